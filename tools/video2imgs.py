"""Videos to the frames that training reads: imgs/<label>/<id>/000001.jpg ..., `fps` and `n_frames`.

    python tools/video2imgs.py VIDEOS IMGS

Frames come at a constant rate whatever the video's own, see datasets/media.py. Display rotation and pixel shape are
applied.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from functools import partial
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from datasets.errors import DataError
from datasets.excerpts import WHOLE, Excerpt
from datasets.frame_folders import frame_file, frame_folder
from datasets.frame_packs import pack_file
from datasets.jpeg import QUALITY, encode_picture
from datasets.media import SHORT_SIDE, PictureTrack
from tools._batch import command, conversion_parser, convert_all, find_videos, positive

TOOL = "video2imgs"


def extract(
    source: Path, folder: Path, *, short_side: int, quality: int, fps: float | None, excerpt: Excerpt = WHOLE
) -> str:
    """Writes the frames of `source` to the new folder `folder`; `n_frames` comes last. Returns what had to be left out.

    Raises DataError when the file holds no picture that can be decoded.
    """
    track = PictureTrack(source, short_side, fps, excerpt)
    folder.mkdir()
    for frames, picture in track.pictures():
        content = encode_picture(track.image(picture), quality)
        for index in frames:
            frame_file(folder, index).write_bytes(content)
    (folder / "fps").write_text(f"{track.rate!r}\n", encoding="utf-8")
    (folder / "n_frames").write_text(f"{track.count}\n", encoding="utf-8")
    return str(track.damage)


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
    parser.add_argument("--short_side", type=positive, default=SHORT_SIDE, help="pixels; never enlarges (default: 240)")
    parser.add_argument("--quality", type=positive, default=QUALITY, help="of the JPEG files, 1 to 100 (default: 90)")
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
