#!/bin/sh
# Everything from one command, started from any directory; paths in the flags are taken from this project's root.
#
#   sh run.sh [flags of main.py]       sets up once, then trains and evaluates; without flags, the demo
#   sh run.sh test [flags of pytest]   sets up once, then runs the tests
#   sh run.sh setup                    sets up for both and stops
#   PYTHON=python3 sh run.sh ...       uses that interpreter as it is and installs nothing
#
# Set-up makes .venv with what requirements.lock or requirements-test.lock pins: 5.6 GB, some seconds from a warm cache,
# minutes over a network.
set -eu

project=$(unset CDPATH && cd -- "$(dirname -- "$0")" && pwd)
cd -- "$project"
stamp=.venv/installed-lock # checksum of the lock that .venv holds, or "unfinished"

say() {
    printf 'run.sh: %s\n' "$*" >&2
}

fail() {
    say "$@"
    exit 1
}

# is_new_enough PYTHON: it starts (a pyenv shim may not) and is at least 3.10.
is_new_enough() {
    "$1" -c 'import sys; sys.exit(sys.version_info < (3, 10))' >/dev/null 2>&1
}

# is_installed LOCK: .venv holds it, or the test lock, of which the other one is a part.
is_installed() {
    held=
    if [ -x .venv/bin/python ] && [ -f "$stamp" ]; then read -r held <"$stamp" || :; fi
    [ "$held" = "$(cksum <"$1")" ] || [ "$held" = "$(cksum <requirements-test.lock)" ]
}

# find_uv: sets uv to the one on the PATH, the one in .venv, or nothing.
find_uv() {
    for uv in uv .venv/bin/uv ''; do
        if [ -z "$uv" ] || "$uv" --version >/dev/null 2>&1; then return; fi
    done
}

# make_environment: .venv with an interpreter that runs and a way to install; kept where there is one.
make_environment() {
    find_uv
    if is_new_enough .venv/bin/python; then
        if [ -n "$uv" ] || .venv/bin/python -m pip --version >/dev/null 2>&1; then return; fi
    fi
    for base in python3 python3.13 python3.12 python3.11 python3.10 ''; do
        [ -n "$base" ] || fail 'no Python 3.10 or newer among python3, python3.13 ... python3.10: install one'
        if is_new_enough "$base"; then break; fi
    done
    rm -rf .venv
    find_uv
    if [ -z "$uv" ] && ! "$base" -c 'import ensurepip, venv' 2>/dev/null; then
        fail "$base cannot make environments: install its venv package (Debian, Ubuntu: python3-venv) or uv"
    fi
    say "making .venv with $("$base" -V 2>&1)"
    "$base" -m venv ${uv:+--without-pip} .venv
}

# install_lock LOCK. Packages that an interrupted installation may have left incomplete are installed again.
install_lock() {
    make_environment
    checksum=$(cksum <"$1")
    reinstall=
    if [ -f "$stamp" ] && [ "$(cat "$stamp")" = unfinished ]; then reinstall=--reinstall; fi
    echo unfinished >"$stamp"
    if [ -z "$uv" ]; then
        say 'installing uv'
        .venv/bin/python -m pip install --quiet uv==0.13.9 || fail 'pip could not install uv (see above)'
        uv=.venv/bin/uv
    fi
    say "installing $1 (5.6 GB in all: seconds from a warm cache, minutes over a network)"
    quiet=--quiet
    if [ -t 2 ]; then quiet=; fi
    "$uv" pip install $quiet $reinstall --python .venv/bin/python --require-hashes -r "$1" ||
        fail "uv could not install $1 (see above); the next start tries again"
    echo "$checksum" >"$stamp"
}

# set_up LOCK: one at a time. The kernel holds the lock, on this very file, so none is left behind however it ends.
set_up() {
    if is_installed "$1"; then return; fi
    (
        if command -v flock >/dev/null && ! flock -n 9; then
            say 'another run.sh is setting up; waiting for it'
            flock 9 || : # a file system without locks: go on as if alone
        fi
        is_installed "$1" || install_lock "$1"
    ) 9<>run.sh
}

# needs_demo FLAGS: they ask to train on the demo, and it is not there; demo.json is the last file that is made of it.
needs_demo() {
    preset=demo
    previous=
    for flag in "$@"; do
        case $flag in
            --root_path | --root_path=* | --config | --config=* | --doctor | --eval | --resume | --help | -h) return 1 ;;
            --preset=*) preset=${flag#*=} ;;
        esac
        if [ "$previous" = --preset ]; then preset=$flag; fi
        previous=$flag
    done
    [ "$preset" = demo ] && [ ! -f data/demo/demo.json ]
}

case ${1-} in
    setup | test) lock=requirements-test.lock ;;
    *) lock=requirements.lock ;;
esac
if [ -n "${PYTHON-}" ]; then
    python=$PYTHON
    command -v "$python" >/dev/null || fail "PYTHON=$python is no program"
else
    set_up "$lock"
    python=.venv/bin/python
fi

case ${1-} in
    setup) ;;
    test)
        shift
        exec "$python" -m pytest "$@"
        ;;
    *)
        if needs_demo "$@"; then
            "$python" -c 'import sys, opts; opts.parse(sys.argv[1:])' "$@" # a misspelt flag is told before the rendering
            "$python" tools/make_demo.py --root data/demo
        fi
        exec "$python" main.py "$@"
        ;;
esac
