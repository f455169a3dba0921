"""What the modules of tools/prepare.py make of an owner's folder: clips, and what is left out."""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass, field
from pathlib import Path
from unicodedata import normalize

from datasets.annotations import AnnotatedSegment
from datasets.errors import DataError
from datasets.video_names import VIDEO_SUFFIXES, find_videos
from tools._batch import Source


@dataclass(frozen=True)
class Clip:
    """One video of the dataset to be made.

    subsets: of every split "training", "validation", or None for neither. text: what is said in it, "" if unknown.
    segments: the course of its emotions, in seconds of the clip.
    """

    source: Source
    subsets: tuple[str | None, ...]
    text: str = ""
    segments: tuple[AnnotatedSegment, ...] = ()


@dataclass
class Listing:
    """The clips of a dataset in order, and by reason the names of what is left out."""

    clips: list[Clip] = field(default_factory=list)
    left_out: dict[str, list[str]] = field(default_factory=lambda: defaultdict(list))

    def leave_out(self, reason: str, *names: str) -> None:
        if names:
            self.left_out[reason] += names


def bare_name(path: Path | str) -> str:
    """The name of a video without the suffixes of videos (`a.wmv.mp4` is `a`), its accents each one character."""
    path = Path(normalize("NFC", Path(path).name))
    while path.suffix.lower() in VIDEO_SUFFIXES:
        path = path.with_suffix("")
    return path.name


class Videos:
    """The videos in a folder and below it, by name. Raises DataError where there is none."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._by_name: dict[str, list[Path]] = defaultdict(list)
        for path in find_videos([folder]):
            self._by_name[bare_name(path)].append(path)

    def find(self, name: str) -> Path | None:
        """The video of a name, or of a path below the folder, with or without suffix; None where there is none.

        Raises DataError for a name that several have.
        """
        found = self._by_name.get(bare_name(name), [])
        if Path(name).parent != Path():
            found = [path for path in found if path.parent == (self.folder / name).parent]
        if len(found) > 1:
            raise DataError(f"{found[0]}: has the same name as {found[1]}; move the wrong one away")
        return found[0] if found else None


def read_lines(path: Path) -> list[str]:
    """The lines of an owner's text file. Raises DataError."""
    try:
        return path.read_text(encoding="utf-8-sig", errors="replace").split("\n")
    except OSError as error:
        raise DataError(f"{path}: {error.strerror}") from None
