from __future__ import annotations

import io

import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image, ImageOps

from datasets.errors import DataError
from datasets.jpeg import REDUCTIONS, decode_picture, picture_size

RNG = np.random.default_rng(0)
SMOOTH = cv2.resize(RNG.integers(0, 256, (6, 8, 3), dtype=np.uint8), (101, 75), interpolation=cv2.INTER_CUBIC)


def encoded(picture: np.ndarray, mode: str = "RGB", **options: object) -> bytes:
    """A JPEG by PIL."""
    file = io.BytesIO()
    Image.fromarray(picture).convert(mode).save(file, "JPEG", **({"quality": 95} | options))
    return file.getvalue()


WHOLE = encoded(SMOOTH)


@pytest.mark.parametrize("size", [(75, 101), (8, 8), (1, 1), (17, 300)])
@pytest.mark.parametrize(
    "options",
    [
        {},
        {"progressive": True},
        {"optimize": True},
        {"mode": "L"},
        {"comment": b"\xff\xc0 comment"},
        {"subsampling": 0},
    ],
    ids=["baseline", "progressive", "optimised", "grey", "comment", "4:4:4"],
)
def test_size_and_picture_are_those_of_pil(size: tuple[int, int], options: dict) -> None:
    data = encoded(cv2.resize(SMOOTH, size[::-1]), **options)
    assert picture_size(data, "x.jpg") == size
    picture = decode_picture(data, "x.jpg", size)[..., ::-1].astype(int)
    assert np.abs(picture - np.asarray(Image.open(io.BytesIO(data)).convert("RGB"))).max() <= 4
    for reduction in REDUCTIONS:
        expected = tuple(-(-pixels // reduction) for pixels in size)
        assert decode_picture(data, "x.jpg", size, reduction).shape == (*expected, 3)


@pytest.mark.parametrize("reduction", [2, 4, 8])
def test_a_pixel_of_a_smaller_picture_is_the_mean_of_those_it_stands_for(reduction: int) -> None:
    data = encoded(SMOOTH[:72, :96])
    blocks = SMOOTH[:72, :96].reshape(72 // reduction, reduction, 96 // reduction, reduction, 3)
    small = decode_picture(data, "x.jpg", (72, 96), reduction)[..., ::-1]
    difference = np.abs(small - blocks.mean(axis=(1, 3)))
    assert difference.mean() < 1.5
    assert difference.max() < 16


def test_bytes_that_fill_and_zeros_after_the_end_are_no_damage() -> None:
    data = WHOLE[:2] + b"\xff\xff\xff" + WHOLE[2:] + bytes(5)
    assert picture_size(data, "x.jpg") == SMOOTH.shape[:2]
    np.testing.assert_array_equal(
        decode_picture(data, "x.jpg", SMOOTH.shape[:2]), decode_picture(WHOLE, "x.jpg", SMOOTH.shape[:2])
    )


@pytest.mark.parametrize("orientation", range(1, 9))
def test_exif_data_turns_the_picture(orientation: int) -> None:
    exif = Image.Exif()
    exif[0x0112] = orientation
    data = encoded(SMOOTH[:72, :96], exif=exif)
    turned = np.asarray(ImageOps.exif_transpose(Image.open(io.BytesIO(data))))
    size = picture_size(data, "x.jpg")
    assert size == turned.shape[:2] == ((96, 72) if orientation >= 5 else (72, 96))
    assert np.abs(decode_picture(data, "x.jpg", size)[..., ::-1].astype(int) - turned).max() <= 4
    half = cv2.resize(turned, (size[1] // 2, size[0] // 2), interpolation=cv2.INTER_AREA).astype(int)
    assert np.abs(decode_picture(data, "x.jpg", size, 2)[..., ::-1] - half).mean() < 1.5


def stating(height: int, width: int) -> bytes:
    """WHOLE with another size in its header."""
    place = WHOLE.index(b"\xff\xc0")
    return WHOLE[: place + 5] + height.to_bytes(2, "big") + width.to_bytes(2, "big") + WHOLE[place + 9 :]


EXIF = b"\xff\xe1\x00\x08Exif\x00\x00"


@pytest.mark.parametrize(
    ("data", "fault"),
    [
        (b"", "cut off or no JPEG"),
        (WHOLE[:-2], "cut off or no JPEG"),
        (WHOLE[: len(WHOLE) // 2] + bytes(len(WHOLE) // 2), "cut off or no JPEG"),
        (b"\x89PNG" + WHOLE[4:], "cannot be decoded"),
        (b"\xff\xd8\xff\xd9", "cannot be decoded"),
        (b"\xff\xd8\xff\xe0\xff\xff\xff\xd9", "cannot be decoded"),
        (b"\xff\xd8" + b"\xff" * 9 + b"\xff\xd9", "cannot be decoded"),
        (stating(0, 101), "is 101x0 pixels"),
        (stating(8193, 8192), "is 8192x8193 pixels, which is no video frame"),
        (EXIF.join((stating(65_500, 65_500)[:2], stating(65_500, 65_500)[2:])), "is 65500x65500 pixels"),
        (stating(65_500, 65_500), "is 65500x65500 pixels, which is no video frame"),
    ],
)
def test_what_is_no_picture_is_one_line_that_names_the_file(data: bytes, fault: str) -> None:
    with pytest.raises(DataError, match=rf"^a/x\.jpg: .*{fault}.*check_dataset"):
        picture_size(data, "a/x.jpg")


def test_a_picture_of_another_size_than_it_was_said_to_be() -> None:
    with pytest.raises(DataError, match=r"x\.jpg: is of another size"):
        decode_picture(WHOLE, "x.jpg", (75, 99))


@settings(deadline=None, max_examples=300)
@given(st.integers(0, 700), st.integers(0, 255), st.integers(0, len(WHOLE)))
def test_damaged_headers_give_a_picture_or_a_data_error(place: int, value: int, end: int) -> None:
    data = bytearray(WHOLE)
    data[place % len(data)] = value
    for damaged in (bytes(data), bytes(data[:end]) + b"\xff\xd9"):
        try:
            size = picture_size(damaged, "x.jpg")
            assert decode_picture(damaged, "x.jpg", size, 8).dtype == np.uint8
        except DataError as error:
            assert str(error).startswith("x.jpg: ")


def test_a_picture_that_is_drawn_again_and_again_costs_no_time() -> None:
    """Three hundred scans of 60 bytes, each for all 16 million pixels, took four seconds."""
    file = io.BytesIO()
    Image.new("RGB", (4096, 4096)).save(file, "JPEG", progressive=True)
    whole = file.getvalue()
    assert picture_size(whole, "x.jpg") == (4096, 4096)
    scan = whole[whole.rindex(b"\xff\xc4", 0, whole.rindex(b"\xff\xda")) : -2]
    with pytest.raises(DataError, match=r"x\.jpg: draws its picture 3\d\d times over"):
        picture_size(whole[:-2] + 300 * scan + whole[-2:], "x.jpg")
