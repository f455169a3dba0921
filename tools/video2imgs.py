"""Videos to the frames that training reads: imgs/<label>/<id>/000001.jpg ..., `fps` and `n_frames`.

    python tools/video2imgs.py VIDEOS IMGS

Frames come at a constant rate whatever the video's own: output frame k (from 0) is the picture on the screen in the
middle of its interval, (k + 0.5) / fps seconds after the first picture appears. Display rotation and pixel shape are
applied.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from fractions import Fraction
from functools import partial
from pathlib import Path

import av
import cv2
import numpy as np

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from datasets.errors import DataError
from datasets.frame_folders import frame_folder
from datasets.frame_packs import pack_file
from tools._batch import command, conversion_parser, convert_all, find_videos, positive
from tools._media import Damage, decode, open_media, picture_clock, picture_stream, seconds_of

TOOL = "video2imgs"


def display_size(frame: av.VideoFrame, pixel: Fraction | None, short_side: int) -> tuple[int, int]:
    """(width, height) of the stored picture once its pixels are square and its short side is at most `short_side`."""
    width, height = frame.width * float(pixel or 1), float(frame.height)
    scale = min(1.0, short_side / min(width, height))
    return max(1, round(width * scale)), max(1, round(height * scale))


def jpeg(frame: av.VideoFrame, size: tuple[int, int], turns: int, quality: int) -> bytes:
    """The frame scaled to `size` (width, height), then turned by `turns` x 90 degrees counter-clockwise, as a JPEG."""
    image = frame.reformat(*size, format="bgr24", interpolation="AREA").to_ndarray()
    return cv2.imencode(".jpg", np.rot90(image, turns), [cv2.IMWRITE_JPEG_QUALITY, quality])[1].tobytes()


def extract(source: Path, folder: Path, *, short_side: int, quality: int, fps: float | None) -> str:
    """Writes the frames of `source` to the new folder `folder`; `n_frames` comes last. Returns what had to be left out.

    Raises DataError when the file holds no picture that can be decoded.
    """
    clock, damage = picture_clock(source), Damage()
    rate = fps or clock.rate
    count = max(1, round((clock.end - clock.start) * rate))
    slack = min(1e-3, 0.1 / rate)  # stamps rounded to a millisecond must not decide which of two frames is taken
    folder.mkdir()
    written, held, picture, size = 0, None, b"", None

    def write_until(seconds: float) -> None:
        nonlocal written, picture
        while held is not None and written < count and (written + 0.5) / rate + slack < seconds:
            picture = picture or jpeg(held, size, turns, quality)
            written += 1
            (folder / f"{written:06d}.jpg").write_bytes(picture)

    with open_media(source) as container:
        stream = picture_stream(container)
        for frame in decode(container, stream, damage):
            if size is None:
                size = display_size(frame, stream.sample_aspect_ratio, short_side)
                turns = round(frame.rotation / 90) % 4
            stamp = seconds_of(frame, stream)
            if stamp is not None:
                write_until(stamp - clock.start)
            held, picture = frame, b""
        write_until(float("inf"))
    if not written:
        raise DataError("none of its pictures can be decoded; fetch it again")
    (folder / "fps").write_text(f"{rate!r}\n", encoding="utf-8")
    (folder / "n_frames").write_text(f"{written}\n", encoding="utf-8")
    return str(damage)


def is_done(folder: Path) -> bool:
    """True for a finished folder, and for one that has been packed.

    Raises DataError for a folder that somebody else filled and that has no `n_frames`.
    """
    if (folder / "n_frames").is_file() or pack_file(folder.parent.parent, folder.parent.name, folder.name).is_file():
        return True
    if folder.is_dir() and any(folder.iterdir()):
        raise DataError(f"{folder} has files but no n_frames, so another tool made it; delete it or use --overwrite")
    return False


def main(argv: Sequence[str] | None = None) -> int:
    """Runs the command; returns its exit status."""
    parser = conversion_parser(TOOL, "Extract the frames of videos as JPEG files, at a constant rate.", "imgs")
    parser.add_argument("--short_side", type=positive, default=240, help="pixels; never enlarges (default: 240)")
    parser.add_argument("--quality", type=positive, default=90, help="of the JPEG files, 1 to 100 (default: 90)")
    parser.add_argument("--fps", type=_rate, help="frames a second (default: the video's mean rate)")
    args = parser.parse_args(argv)
    extraction = partial(extract, short_side=args.short_side, quality=min(100, args.quality), fps=args.fps)
    return command(
        TOOL,
        lambda: convert_all(
            TOOL,
            find_videos(args.videos),
            args.output,
            lambda video: frame_folder(args.output, video.label, video.id),
            extraction,
            is_done=is_done,
            jobs=args.jobs,
            overwrite=args.overwrite,
            noted="damaged",
        ),
    )


def _rate(text: str) -> float:
    try:
        rate = float(text)
    except ValueError:
        rate = 0.0
    if not 0.01 <= rate <= 1000:
        raise argparse.ArgumentTypeError(f"{text!r} is no rate in frames a second")
    return rate


if __name__ == "__main__":
    sys.exit(main())
