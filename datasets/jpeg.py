"""JPEG files in memory: how they are made, the size that the header states, the picture, whole or at a fraction."""

from __future__ import annotations

import struct
from pathlib import Path

import cv2
import numpy as np

from datasets.errors import bad_file

REDUCTIONS = {  # libjpeg decodes 8x8 blocks straight to 8, 4, 2 or 1 pixels a side, which costs less
    1: cv2.IMREAD_COLOR,
    2: cv2.IMREAD_REDUCED_COLOR_2,
    4: cv2.IMREAD_REDUCED_COLOR_4,
    8: cv2.IMREAD_REDUCED_COLOR_8,
}
MAX_PIXELS = 2**25  # of a frame, those of 8K; a header of a few bytes could ask for gigabytes
MAX_SCANS = 24  # of a progressive picture, which usually has ten; each costs time for all pixels, but hardly a byte

QUALITY = 90  # of a frame, 1 to 100, unless told otherwise

_LONE_MARKERS = {0x01, *range(0xD0, 0xD8)}  # without a length
_SIZE_MARKERS = set(range(0xC0, 0xD0)) - {0xC4, 0xC8, 0xCC}  # SOF; the three others are tables
_END_MARKERS = {0xD9, 0xDA}  # of the file and of the header
_EXIF_MARKER = 0xE1


def encode_picture(picture: np.ndarray, quality: int = QUALITY) -> bytes:
    """A picture uint8 (H, W, 3) BGR as a JPEG."""
    return cv2.imencode(".jpg", picture, [cv2.IMWRITE_JPEG_QUALITY, quality])[1].tobytes()


def picture_size(data: bytes, path: Path | str) -> tuple[int, int]:
    """Height and width of the decoded picture in pixels. Raises DataError for what `path` holds instead of a JPEG."""
    # OpenCV fills what a cut-off file lacks with grey and says nothing; a whole JPEG ends with this marker.
    if not data.rstrip(b"\0").endswith(b"\xff\xd9"):
        raise bad_file(path, "is cut off or no JPEG")
    try:
        height, width, has_exif = _read_header(data)
    except (IndexError, struct.error, ValueError):
        raise bad_file(path, "cannot be decoded") from None
    if not 0 < height * width <= MAX_PIXELS:
        raise bad_file(path, f"is {width}x{height} pixels, which is no video frame")
    if (scans := data.count(b"\xff\xda")) > MAX_SCANS:
        raise bad_file(path, f"draws its picture {scans} times over, which no video frame does")
    # EXIF data may turn the picture.
    return _decode(data, path, 1).shape[:2] if has_exif else (height, width)


def decode_picture(data: bytes, path: Path | str, size: tuple[int, int], reduction: int = 1) -> np.ndarray:
    """uint8 (ceil(H / reduction), ceil(W / reduction), 3) BGR; size is (H, W) of `picture_size`. Raises DataError.

    A pixel is the mean of reduction x reduction of the whole picture, as far as the transform's low frequencies know.
    """
    picture = _decode(data, path, reduction)
    if picture.shape[:2] != tuple(-(-pixels // reduction) for pixels in size):
        raise bad_file(path, "is of another size than its header states")
    return picture


def _read_header(data: bytes) -> tuple[int, int, bool]:
    """Height and width as they are stored, and whether there is EXIF data before them."""
    place, has_exif = 2, False
    if data[:place] != b"\xff\xd8":
        raise ValueError
    while True:
        if data[place] != 0xFF:
            raise ValueError
        marker = data[place + 1]
        if marker == 0xFF:  # fills
            place += 1
        elif marker in _LONE_MARKERS:
            place += 2
        elif marker in _SIZE_MARKERS:
            return *struct.unpack_from(">HH", data, place + 5), has_exif
        elif marker in _END_MARKERS:
            raise ValueError
        else:
            has_exif |= marker == _EXIF_MARKER and data[place + 4 : place + 8] == b"Exif"
            place += 2 + struct.unpack_from(">H", data, place + 2)[0]


def _decode(data: bytes, path: Path | str, reduction: int) -> np.ndarray:
    try:
        picture = cv2.imdecode(np.frombuffer(data, dtype=np.uint8), REDUCTIONS[reduction])
    except cv2.error as error:
        raise bad_file(path, "cannot be decoded") from error
    if picture is None:
        raise bad_file(path, "cannot be decoded")
    return picture
