"""The frames of a video as files: <video_path>/<label>/<id>/000001.jpg ..., numbered from 1 without gaps.

Beside them lie `n_frames` (how many there are) and, optionally, `fps` (frames per second).
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from datasets.errors import bad_file, shown
from datasets.whole_files import read_whole

MOST_BYTES = 2**26  # of a frame
MOST_FRAMES = 10**8  # of a video, a month at 30 a second
RATES = 1e-3, 1e5  # frames per second, the lowest and the highest that is believed


def frame_folder(video_path: Path | str, label: str, id: str) -> Path:
    """Where the frames of a video lie."""
    return Path(video_path) / label / id


def frame_name(index: int) -> str:
    """The name of the frame `index`, counted from 0."""
    return f"{index + 1:06d}.jpg"


def frame_file(folder: Path | str, index: int) -> Path:
    """The file of the frame `index`, counted from 0."""
    return Path(folder) / frame_name(index)


def read_file(path: Path) -> bytes:
    """The content of a file. Raises DataError if it is missing, may not be read or is no frame by its length."""
    try:
        return read_whole(path, MOST_BYTES)
    except OSError as error:
        raise bad_file(path, error.strerror or str(error)) from error


def read_n_frames(folder: Path | str) -> int:
    """The number of frames that the file `n_frames` states, at least 1. Raises DataError."""
    path = Path(folder) / "n_frames"
    return parse_n_frames(read_file(path), path)


def read_fps(folder: Path | str) -> float | None:
    """Frames per second, or None where there is no file `fps`. Raises DataError."""
    path = Path(folder) / "fps"
    return parse_fps(read_file(path), path) if path.exists() else None


def parse_n_frames(content: bytes, path: Path) -> int:
    """What a file `n_frames` of this content states, 1 to MOST_FRAMES. Raises DataError, naming `path`."""
    try:
        count = int(content.decode())
    except ValueError as error:
        raise bad_file(path, "holds no whole number") from error
    if not 1 <= count <= MOST_FRAMES:
        raise bad_file(path, f"says {shown(count)} frames")
    return count


def parse_fps(content: bytes, path: Path) -> float:
    """What a file `fps` of this content states, within RATES. Raises DataError, naming `path`."""
    try:
        fps = float(content.decode())
    except ValueError as error:
        raise bad_file(path, "holds no number") from error
    if not RATES[0] <= fps <= RATES[1]:
        raise bad_file(path, f"says {fps} frames per second")
    return fps


@dataclass(frozen=True)
class FrameFolder:
    """An open folder. fps: frames per second, None where that is unknown."""

    path: Path
    n_frames: int
    fps: float | None

    def contents(self, indices: Sequence[int]) -> Iterator[tuple[str, bytes]]:
        """Path and content of the frames `indices`, counted from 0. Raises DataError for one that is missing."""
        for index in indices:
            path = frame_file(self.path, int(index))
            yield str(path), read_file(path)


def open_folder(folder: Path) -> FrameFolder:
    """Raises DataError for a folder without `n_frames`."""
    return FrameFolder(folder, read_n_frames(folder), read_fps(folder))
