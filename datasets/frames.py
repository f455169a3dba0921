"""The frames of a video, from its folder (frame_folders.py) or its pack (frame_packs.py).

Where there is a pack, it is read and the folder is not looked at: packs are made because reading them is cheaper, and a
folder that is deleted afterwards, at any moment, changes nothing.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Protocol

import numpy as np

from datasets.errors import bad_file
from datasets.frame_folders import frame_folder, open_folder
from datasets.frame_packs import open_pack, pack_file
from datasets.jpeg import decode_picture, picture_size
from datasets.transforms import FrameTransform


class Frames(Protocol):
    """The frames of one video; fps is None where it is unknown."""

    n_frames: int
    fps: float | None

    def contents(self, indices: Sequence[int]) -> Iterator[tuple[str, bytes]]:
        """Path, for errors, and JPEG of the frames `indices`, counted from 0. Raises DataError."""


def open_frames(video_path: Path | str, label: str, id: str) -> Frames:
    """The pack of a video if there is one, else its folder. Raises DataError if that cannot be read."""
    pack = pack_file(video_path, label, id)
    return open_pack(pack) if pack.is_file() else open_folder(frame_folder(video_path, label, id))


def read_frames(
    frames: Frames, indices: Sequence[int] | np.ndarray, transform: FrameTransform, rng: np.random.Generator | None
) -> np.ndarray:
    """`decode_frames` of the frames `indices` (n,), counted from 0. Raises DataError, too, for one that is missing."""
    return decode_frames(list(frames.contents(indices)), transform, rng)


def decode_frames(
    contents: Sequence[tuple[str, bytes]], transform: FrameTransform, rng: np.random.Generator | None
) -> np.ndarray:
    """Path, for errors, and JPEG of n frames as uint8 (3, n, size, size) RGB, all with the same draw of `transform`.

    Decoded as small as the crop allows. Raises DataError for a frame that is corrupt or of another size than the first.
    """
    out = np.empty((3, len(contents), transform.size, transform.size), dtype=np.uint8)
    first, draw = None, None
    for place, (path, data) in enumerate(contents):
        size = picture_size(data, path)
        if draw is None:
            first, draw = size, transform.draw(*size, rng)
        if size != first:
            raise bad_file(path, f"is {size[1]}x{size[0]}, other frames are {first[1]}x{first[0]}")
        picture = draw.apply(decode_picture(data, path, size, draw.reduction))
        out[:, place] = picture[..., ::-1].transpose(2, 0, 1)  # BGR to RGB
    return out
