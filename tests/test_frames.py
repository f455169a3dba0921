from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import pytest
from PIL import Image

from datasets.errors import DataError
from datasets.frame_folders import frame_file, frame_folder, open_folder, read_fps, read_n_frames
from datasets.frame_packs import pack_file
from datasets.frames import open_frames, read_frames
from datasets.transforms import FrameTransform
from tests.media import write_frames
from tools.pack_frames import pack


def plain(*colours: tuple[int, int, int], height: int = 24, width: int = 32) -> list[np.ndarray]:
    return [np.full((height, width, 3), colour, dtype=np.uint8) for colour in colours]


def natural(n: int, height: int, width: int) -> list[np.ndarray]:
    """Smooth pictures with some texture that move, RGB."""
    rng = np.random.default_rng(0)
    canvas = np.full((height + n, width + n, 3), 120.0)
    for cells, strength in ((4, 50), (16, 25), (48, 10)):
        noise = rng.normal(0, strength, (cells, cells, 3))
        canvas += cv2.resize(noise, (width + n, height + n), interpolation=cv2.INTER_CUBIC)
    canvas = np.clip(canvas, 0, 255).astype(np.uint8)
    return [canvas[i : i + height, i : i + width] for i in range(n)]


def test_reads_the_frames_asked_for_in_rgb(tmp_path: Path) -> None:
    folder = frame_folder(tmp_path, "Überraschung", "видео 1")
    write_frames(folder, plain((250, 0, 0), (0, 250, 0), (0, 0, 250)), fps=12.5)
    frames = open_frames(tmp_path, "Überraschung", "видео 1")
    pictures = read_frames(frames, [2, 0, 0], FrameTransform(16), None)
    assert (pictures.shape, pictures.dtype) == ((3, 3, 16, 16), np.uint8)
    expected = np.array([[0, 0, 250], [250, 0, 0], [250, 0, 0]])
    assert np.abs(pictures.mean(axis=(2, 3)).T - expected).max() < 3
    assert (frames.n_frames, frames.fps) == (3, 12.5)
    assert frame_file(folder, 0).name == "000001.jpg"


@pytest.mark.parametrize("training", [False, True])
def test_a_pack_gives_the_pixels_of_its_folder_and_is_preferred(tmp_path: Path, training: bool) -> None:
    folder = frame_folder(tmp_path, "Joy", "a")
    write_frames(folder, natural(6, 90, 121), fps=25)
    rng = (lambda seed: np.random.default_rng(seed)) if training else (lambda seed: None)
    indices, transform = [0, 1, 5], FrameTransform(24)
    expected = [read_frames(open_frames(tmp_path, "Joy", "a"), indices, transform, rng(seed)) for seed in range(20)]
    pack(folder, pack_file(tmp_path, "Joy", "a"), side=None)
    for path in folder.glob("*.jpg"):
        path.write_bytes(b"not read")
    frames = open_frames(tmp_path, "Joy", "a")
    assert (frames.n_frames, frames.fps) == (6, 25)
    for seed in range(20):
        np.testing.assert_array_equal(read_frames(frames, indices, transform, rng(seed)), expected[seed])


@pytest.mark.parametrize(("height", "width"), [(480, 640), (483, 641)])
def test_frames_decoded_small_are_those_decoded_whole_and_averaged(tmp_path: Path, height: int, width: int) -> None:
    write_frames(tmp_path, natural(2, height, width))
    transform, reductions = FrameTransform(112), set()
    means, largest = [], []
    for seed in range(40):
        pictures = read_frames(open_folder(tmp_path), [0, 1], transform, np.random.default_rng(seed)).astype(int)
        draw = transform.draw(height, width, np.random.default_rng(seed))
        reductions.add(draw.reduction)
        for index in range(2):
            whole = np.asarray(Image.open(frame_file(tmp_path, index)))
            crop = whole[draw.top : draw.top + draw.side, draw.left : draw.left + draw.side]
            average = draw.augment(cv2.resize(crop, (112, 112), interpolation=cv2.INTER_AREA)).astype(int)
            difference = np.abs(pictures[:, index].transpose(1, 2, 0) - average)
            means.append(difference.mean())
            largest.append(difference.max())
    assert reductions == {2, 4}
    assert max(means) < 0.8
    assert max(largest) < 10


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
    with pytest.raises(DataError, match="a/n_frames: No such file"):
        open_frames(tmp_path, "Joy", "a")


def test_missing_frame(tmp_path: Path) -> None:
    write_frames(tmp_path, plain((9, 9, 9)))
    with pytest.raises(DataError, match=r"000002\.jpg: No such file.*check_dataset"):
        read_frames(open_folder(tmp_path), [0, 1], FrameTransform(16), None)


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
        read_frames(open_folder(tmp_path), [0, 1], FrameTransform(16), None)


def test_frame_of_another_size(tmp_path: Path) -> None:
    write_frames(tmp_path, [*plain((9, 9, 9)), *plain((9, 9, 9), height=30, width=20)])
    with pytest.raises(DataError, match=r"000002\.jpg: is 20x30, other frames are 32x24"):
        read_frames(open_folder(tmp_path), [0, 1], FrameTransform(16), None)


@pytest.mark.parametrize(
    ("name", "content", "fault"),
    [
        ("n_frames", "100000001", "says 100000001 frames"),
        ("n_frames", "9" * 4000, "says 9{5,}"),
        ("n_frames", "9" * 5000, "holds no whole number"),
        ("fps", "1e-320", "says 1e-320 frames per second"),
        ("fps", "1e300", r"says 1e\+300 frames per second"),
        ("fps", "1e999", "says inf frames per second"),
    ],
)
def test_numbers_that_are_not_believed(tmp_path: Path, name: str, content: str, fault: str) -> None:
    write_frames(tmp_path, plain((0, 0, 0)), fps=10.0)
    (tmp_path / name).write_text(content)
    with pytest.raises(DataError, match=f"{name}: {fault}") as caught:
        open_folder(tmp_path)
    assert len(str(caught.value)) < 500
