"""What a fuzz target is: how a file is read, sound files to begin with, hostile ones to draw."""

from __future__ import annotations

import functools
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory

from hypothesis import strategies as st

from tests.fuzz.files import damaged

Read = Callable[[Path], object]
Seeds = Callable[[], Sequence[bytes]]


@dataclass(frozen=True)
class Target:
    """read: reads the file `name` in a folder of its own as the project does, and asserts what holds of every file that
    is read without complaint. seeds: contents of sound files. cases: contents of hostile ones.
    """

    read: Read
    name: str
    seeds: Seeds
    cases: st.SearchStrategy[bytes]


TARGETS: dict[str, Target] = {}


def target(name: str, seeds: Seeds, *cases: st.SearchStrategy[bytes]) -> Callable[[Read], Read]:
    """Enters a function under its own name. `cases` are drawn besides damaged seeds and mere bytes."""
    kept = functools.cache(seeds)

    def enter(read: Read) -> Read:
        TARGETS[read.__name__] = Target(read, name, kept, st.one_of(*cases, damaged(kept), st.binary(max_size=100)))
        return read

    return enter


def made(write: Callable[[Path], object], name: str = "file") -> bytes:
    """The bytes that `write` puts into a file of this name."""
    with TemporaryDirectory() as folder:
        write(Path(folder) / name)
        return (Path(folder) / name).read_bytes()
