"""The frames of a video: <video_path>/<label>/<id>/000001.jpg ..., numbered from 1 without gaps.

Beside them lie `n_frames` (how many there are) and, optionally, `fps` (frames per second).
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from pathlib import Path

import cv2
import numpy as np

from datasets.errors import bad_file


def frame_folder(video_path: Path | str, label: str, id: str) -> Path:
    """Where the frames of a video lie."""
    return Path(video_path) / label / id


def frame_file(folder: Path | str, index: int) -> Path:
    """The file of the frame `index`, counted from 0."""
    return Path(folder) / f"{index + 1:06d}.jpg"


def read_n_frames(folder: Path | str) -> int:
    """The number of frames that the file `n_frames` states, at least 1. Raises DataError."""
    path = Path(folder) / "n_frames"
    try:
        count = int(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise bad_file(path, error.strerror or str(error)) from error
    except ValueError as error:
        raise bad_file(path, "holds no whole number") from error
    if count < 1:
        raise bad_file(path, f"says {count} frames")
    return count


def read_fps(folder: Path | str) -> float | None:
    """Frames per second, or None where there is no file `fps`. Raises DataError."""
    path = Path(folder) / "fps"
    try:
        fps = float(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        return None
    except OSError as error:
        raise bad_file(path, error.strerror or str(error)) from error
    except ValueError as error:
        raise bad_file(path, "holds no number") from error
    if not (math.isfinite(fps) and fps > 0):
        raise bad_file(path, f"says {fps} frames per second")
    return fps


def read_clip(folder: Path | str, indices: Sequence[int] | np.ndarray) -> np.ndarray:
    """Frames `indices` (T,), counted from 0, as uint8 (T, H, W, 3) RGB.

    Raises DataError for a frame that is missing, corrupt or of another size than the first.
    """
    clip = None
    for position, index in enumerate(indices):
        path = frame_file(folder, int(index))
        frame = _decode(path)
        if clip is None:
            clip = np.empty((len(indices), *frame.shape), dtype=np.uint8)
        if frame.shape != clip.shape[1:]:
            (height, width), (first_height, first_width) = frame.shape[:2], clip.shape[1:3]
            raise bad_file(path, f"is {width}x{height}, other frames are {first_width}x{first_height}")
        cv2.cvtColor(frame, cv2.COLOR_BGR2RGB, dst=clip[position])
    if clip is None:
        raise ValueError("read_clip needs at least one index")
    return clip


def _decode(path: Path) -> np.ndarray:
    """uint8 (H, W, 3) BGR."""
    try:
        data = path.read_bytes()
    except OSError as error:
        raise bad_file(path, error.strerror or str(error)) from error
    # OpenCV fills what a cut-off file lacks with grey and says nothing; a whole JPEG ends with this marker.
    if not data.rstrip(b"\0").endswith(b"\xff\xd9"):
        raise bad_file(path, "is cut off or no JPEG")
    try:
        frame = cv2.imdecode(np.frombuffer(data, dtype=np.uint8), cv2.IMREAD_COLOR)
    except cv2.error as error:
        raise bad_file(path, "cannot be decoded") from error
    if frame is None:
        raise bad_file(path, "cannot be decoded")
    return frame
