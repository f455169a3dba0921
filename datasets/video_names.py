"""Which files are videos, by their names alone, how they are found, and what they may be called in a dataset."""

from __future__ import annotations

import os
import unicodedata
from collections.abc import Sequence
from pathlib import Path

from datasets.errors import DataError

VIDEO_SUFFIXES = (
    ".3gp",
    ".asf",
    ".avi",
    ".f4v",
    ".flv",
    ".m2ts",
    ".m4v",
    ".mkv",
    ".mov",
    ".mp4",
    ".mpeg",
    ".mpg",
    ".mts",
    ".ogv",
    ".rm",
    ".rmvb",
    ".ts",
    ".vob",
    ".webm",
    ".wmv",
)


MOST_NAME = 251  # bytes of a label or an id: a file name has 255, .zip four


def may_be_name(text: str) -> bool:
    """Whether a label or an id can be one component of a path, and no more: it stands in a file that anyone wrote."""
    if text in ("", ".", "..") or any(char in "/\\" or unicodedata.category(char) in ("Cc", "Cs") for char in text):
        return False
    return len(text.encode()) <= MOST_NAME


def is_video(path: Path, suffixes: Sequence[str] = VIDEO_SUFFIXES) -> bool:
    """A file that is not hidden and has one of `suffixes`, by default those of videos."""
    return path.suffix.lower() in suffixes and not path.name.startswith(".") and path.is_file()


def find_videos(places: Sequence[Path]) -> list[Path]:
    """The files among `places`, whatever their names, and all videos in the folders and below, each once, in order.

    Hidden files and folders are passed over. Raises DataError for a place that is not there and a folder without video.
    """
    found: dict[Path, None] = {}
    for place in places:
        if place.is_dir():
            inside = [
                Path(folder) / name
                for folder, folders, names in sorted(os.walk(place))
                if not any(part.startswith(".") for part in Path(folder).relative_to(place).parts)
                for name in sorted(names)
                if is_video(Path(folder) / name)
            ]
            if not inside:
                raise DataError(f"{place}: holds no video; known are {' '.join(VIDEO_SUFFIXES)}")
            found |= dict.fromkeys(inside)
        else:
            if not place.exists():
                raise DataError(f"{place}: no such file or folder")
            found[place] = None
    return list(found)
