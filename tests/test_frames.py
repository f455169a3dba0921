from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from datasets.errors import DataError
from datasets.frames import frame_file, frame_folder, read_clip, read_fps, read_n_frames
from tests.media import write_frames


def plain(*colours: tuple[int, int, int], height: int = 24, width: int = 32) -> list[np.ndarray]:
    return [np.full((height, width, 3), colour, dtype=np.uint8) for colour in colours]


def test_reads_the_frames_asked_for_in_rgb(tmp_path: Path) -> None:
    folder = frame_folder(tmp_path, "Überraschung", "видео 1")
    write_frames(folder, plain((250, 0, 0), (0, 250, 0), (0, 0, 250)), fps=12.5)
    clip = read_clip(folder, [2, 0, 0])
    assert (clip.shape, clip.dtype) == ((3, 24, 32, 3), np.uint8)
    expected = np.array([[0, 0, 250], [250, 0, 0], [250, 0, 0]])
    assert np.abs(clip.mean(axis=(1, 2)) - expected).max() < 3
    assert (read_n_frames(folder), read_fps(folder)) == (3, 12.5)
    assert frame_file(folder, 0).name == "000001.jpg"


def test_unknown_frame_rate(tmp_path: Path) -> None:
    write_frames(tmp_path, plain((9, 9, 9)))
    assert read_fps(tmp_path) is None


@pytest.mark.parametrize("text", ["", "abc", "0", "-3", "2.5"])
def test_number_of_frames_that_is_none(tmp_path: Path, text: str) -> None:
    (tmp_path / "n_frames").write_text(text)
    with pytest.raises(DataError, match=r"n_frames: (holds no whole number|says).*tools/check_dataset\.py"):
        read_n_frames(tmp_path)


@pytest.mark.parametrize("text", ["", "abc", "0", "-1", "nan", "inf"])
def test_frame_rate_that_is_none(tmp_path: Path, text: str) -> None:
    (tmp_path / "fps").write_text(text)
    with pytest.raises(DataError, match=r"fps: (holds no number|says)"):
        read_fps(tmp_path)


def test_missing_folder(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="n_frames: No such file"):
        read_n_frames(tmp_path / "none")


def test_missing_frame(tmp_path: Path) -> None:
    write_frames(tmp_path, plain((9, 9, 9)))
    with pytest.raises(DataError, match=r"000002\.jpg: No such file.*check_dataset"):
        read_clip(tmp_path, [0, 1])


@pytest.mark.parametrize(
    "damage",
    [
        lambda data: b"",
        lambda data: data[: len(data) // 2],
        lambda data: data[:-2],
        lambda data: data[: len(data) // 2] + bytes(len(data) // 2),
        lambda data: bytes(len(data)),
        lambda data: b"<html>not found</html>",
        lambda data: data[:2] + b"\xff\xd9",
    ],
    ids=["empty", "half", "no end", "zeros after half", "zeros", "text", "nothing between start and end"],
)
def test_damaged_frame(tmp_path: Path, damage) -> None:
    noise = np.random.default_rng(0).integers(0, 256, (48, 64, 3), dtype=np.uint8)
    write_frames(tmp_path, [noise, noise])
    path = frame_file(tmp_path, 1)
    path.write_bytes(damage(path.read_bytes()))
    with pytest.raises(DataError, match=r"000002\.jpg: (is cut off or no JPEG|cannot be decoded)"):
        read_clip(tmp_path, [0, 1])


def test_frame_of_another_size(tmp_path: Path) -> None:
    write_frames(tmp_path, [*plain((9, 9, 9)), *plain((9, 9, 9), height=30, width=20)])
    with pytest.raises(DataError, match=r"000002\.jpg: is 20x30, other frames are 32x24"):
        read_clip(tmp_path, [0, 1])
