"""One fault of a dataset, as a row of the table that tools/check_dataset.py prints."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from datasets.annotations import Video
from datasets.errors import DataError, without_remedy


@dataclass(frozen=True)
class Finding:
    """One row: what is wrong (`fault`, the same words for the same thing; `detail`), where, and what to do about it."""

    fault: str
    detail: str
    label: str
    id: str
    path: Path
    remedy: str
    is_note: bool = False


def finding(video: Video, fault: str, detail: str, path: Path, remedy: str, is_note: bool = False) -> Finding:
    """The row of one video."""
    return Finding(fault, detail, video.label, video.id, path, remedy, is_note)


def fault_of(error: DataError, path: Path) -> str:
    """The error's message without its file and remedy, for which the table has columns."""
    return without_remedy(error).removeprefix(f"{path}: ")
