"""Files that are whole or not there: written under another name beside their place, then renamed."""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from hashlib import sha256
from pathlib import Path
from typing import Any

PART = ".part-"  # what begins so is unfinished
MOST_NAME = 230  # bytes


class FileError(ValueError):
    """A file cannot be written. What was there is still there."""


@contextmanager
def whole(path: Path) -> Iterator[Path]:
    """Where to write what becomes `path` at the end, and does not after an error. Raises FileError for an OSError."""
    temporary = part_of(path)
    try:
        try:
            yield temporary
            temporary.replace(path)
        finally:
            temporary.unlink(missing_ok=True)
    except OSError as error:
        raise FileError(f"{path}: cannot be written ({error.strerror or error})") from None


def write_text(path: Path, text: str) -> None:
    """In UTF-8. Raises FileError."""
    with whole(path) as temporary:
        # a file name may hold bytes that are no UTF-8, which Python knows as code points and JSON as \udcNN
        temporary.write_text(text, encoding="utf-8", errors="backslashreplace")


def write_json(path: Path, content: dict[str, Any] | list[dict[str, Any]]) -> None:
    """Raises FileError."""
    write_text(path, json.dumps(content, indent=2, ensure_ascii=False, default=str) + "\n")


def remove(path: Path) -> None:
    """A file, a link or a folder with all that is in it, if it is there."""
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path)
    else:
        path.unlink(missing_ok=True)


def leads_out(path: Path, folder: Path) -> bool:
    """Whether a path below a folder lies outside of it, because a link is on the way."""
    return not path.resolve().is_relative_to(folder.resolve())


def part_of(path: Path) -> Path:
    """Where this process writes what becomes `path`."""
    return path.with_name(f"{PART}{os.getpid()}-{_short(path.name)}")


def remove_parts(folder: Path, name: str | None = None) -> None:
    """What killed processes have left unfinished in a folder.

    All of it, at which nobody may be now; or of this name alone, but for what a process of this machine is at.
    """
    for part in folder.glob(f"{PART}*"):
        number, _, of = part.name.removeprefix(PART).partition("-")
        if name is None or (of == _short(name) and not _is_at_work(number)):
            remove(part)


def _short(name: str) -> str:
    """A name that leaves room for what stands before it, of the 255 bytes that a file's name may have."""
    raw = os.fsencode(name)
    return name if len(raw) <= MOST_NAME else sha256(raw).hexdigest()


def _is_at_work(number: str) -> bool:
    """Whether the process of this number, another than this one, is there."""
    if not number.isdecimal() or int(number) == os.getpid():
        return False
    try:
        os.kill(int(number), 0)
    except (ProcessLookupError, OverflowError):
        return False
    except PermissionError:
        pass
    return True
