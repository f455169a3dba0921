"""What `python main.py --doctor` says of this machine and installation, for a report of what went wrong.

Nothing is imported before its line is due, since any of it may be broken. No line holds more of the user than a path
below the home folder, which becomes ~, and nothing of the environment.
"""

from __future__ import annotations

import os
import re
import shutil
import sys
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path
from typing import NamedTuple


class Line(NamedTuple):
    """One line; broken: what the program needs is not there."""

    text: str
    broken: bool = False


Check = tuple[str, Callable[[], Iterable[tuple[str, bool]]]]  # its title, and what gives its lines


def examine(checks: Sequence[Check]) -> int:
    """Print every line of every check; gives the exit status, 1 where anything needed is broken."""
    status = 0
    for title, check in checks:
        for line in _guarded(check):
            status |= line.broken
            try:
                print(f"{title:<10} {'BROKEN: ' * line.broken}{_presentable(line.text)}", flush=True)
            except BrokenPipeError:  # whoever reads, `head` perhaps, has had enough
                os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
                return status
    return status


def disk(places: Iterable[Path | None]) -> list[Check]:
    """Free space where something is written, and in the shared memory of the reading processes."""
    return [("disk", lambda: (_free(place) for place in (*places, Path("/dev/shm")) if place is not None))]


def caches(folders: Iterable[tuple[Path | None, str]]) -> list[Check]:
    """What is kept in folders, and which of their files count."""
    return [("caches", lambda: (_kept(folder, pattern) for folder, pattern in folders if folder is not None))]


def weights(folder: Path, asked: Iterable[str | None]) -> list[Check]:
    """The published weights in pretrained_models/, and those that flags name."""
    return [("weights", lambda: _weights(folder, asked))]


def _kept(folder: Path, pattern: str) -> Line:
    sizes = [path.lstat().st_size for path in folder.glob(pattern) if path.is_file()]
    return Line(f"{folder / pattern}: {len(sizes)} files, {in_bytes(sum(sizes))}")


def _weights(folder: Path, asked: Iterable[str | None]) -> Iterator[Line]:
    from models.pretrained import DEFAULTS

    for kind, names in DEFAULTS.items():
        there = [folder / name for name in names if (folder / name).exists()]
        if not there:
            yield Line(f"{kind}: none of the published ones in {folder}, see its README.md")
        for path in there:
            yield from _files_of(kind, path)
    for source in asked:
        if source not in (None, "random", "small"):
            path = Path(source).expanduser()
            yield from _files_of("asked for", path) if path.exists() else [Line(f"asked for: {source}, no file here")]


def _files_of(kind: str, path: Path) -> Iterator[Line]:
    from models.weight_files import SUFFIXES
    from models.weight_source import hashes, read_source

    source = read_source(path) if path.is_dir() else read_source(path.parent)
    files = sorted(each for each in path.iterdir() if each.suffix in SUFFIXES) if path.is_dir() else [path]
    if not files:
        yield Line(f"{kind}: {path} holds no weights", broken=True)
    for file in files:
        sha256 = hashes(file)[0]
        recorded = source.recorded.get(file.name)
        verdict = f"as published: {source.repository} at commit {source.commit[:12]}"
        if recorded != sha256:
            verdict = "not what its SOURCE.txt says" if recorded else "of unknown origin"
        wrong = recorded not in (None, sha256)
        yield Line(f"{kind}: {file}, {in_bytes(file.stat().st_size)}, SHA-256 {sha256}, {verdict}", broken=wrong)


def in_bytes(number: float) -> str:
    """In units that can be read."""
    for unit in ("B", "kB", "MB", "GB"):
        if number < 1000:
            return f"{number:.3g} {unit}"
        number /= 1000
    return f"{number:.1f} TB"


def _guarded(check: Callable[[], Iterable[tuple[str, bool]]]) -> Iterator[Line]:
    try:
        yield from (Line(*line) for line in check())
    except Exception as error:  # whatever it is belongs into the report
        reason = (str(error).strip().splitlines() or [""])[0]
        yield Line(f"{type(error).__name__}: {reason}", broken=True)


def _presentable(text: str) -> str:
    """Without the home folder, and without what the terminal cannot show or would obey."""
    home = str(Path("~").expanduser())
    if len(home) > 1:
        text = re.sub(rf"{re.escape(home)}(?=\W|$)", "~", text)
    shown = "".join(letter if letter.isprintable() else ascii(letter)[1:-1] for letter in text)
    encoding = sys.stdout.encoding or "utf-8"
    return shown.encode(encoding, "backslashreplace").decode(encoding)


def _free(place: Path) -> Line:
    there = next((path for path in (place.absolute(), *place.absolute().parents) if path.exists()), None)
    if there is None:
        return Line(f"{place} is not there")
    usage = shutil.disk_usage(there)
    return Line(f"{place}: {in_bytes(usage.free)} free of {in_bytes(usage.total)}")
