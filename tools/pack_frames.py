"""Packs the frames of each video into one file, imgs/<label>/<id>.zip, which training reads in place of the folder.

    python tools/pack_frames.py IMGS PACKED
    python tools/pack_frames.py IMGS IMGS --side 128

PACKED may be IMGS itself; the packs then lie beside the folders, which may be deleted. Nothing is compressed, because
JPEG files are already. With --side, larger frames are made smaller by the area average; all others keep every byte.
"""

from __future__ import annotations

import argparse
import sys
import zipfile
from collections.abc import Sequence
from functools import partial
from pathlib import Path

import cv2

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from datasets.errors import DataError
from datasets.frame_folders import frame_name, open_folder
from datasets.frame_packs import DAMAGED, open_pack, pack_file
from datasets.jpeg import decode_picture, picture_size
from tools._batch import Source, command, convert_all, positive

TOOL = "pack_frames"
QUALITY = 95  # of the JPEG files that --side makes
AS_THEY_WERE = "frames as they were"


def pack(folder: Path, target: Path, *, side: int | None) -> str:
    """Writes the frames of `folder` to the new file `target`, short sides above `side` pixels made `side` pixels.

    Returns "", for nothing is left out. Raises DataError for frames that are not whole, of one size, `n_frames` many.
    """
    frames = open_folder(folder)
    surplus = sum(1 for _ in folder.glob("*.jpg")) - frames.n_frames
    if surplus > 0:
        raise DataError(f"{folder} has {surplus} more frames than n_frames says; run tools/video2imgs.py again")
    first = None
    with zipfile.ZipFile(target, "w") as archive:
        archive.comment = _stated(side).encode()
        _add(archive, "n_frames", f"{frames.n_frames}\n".encode())
        if frames.fps is not None:
            _add(archive, "fps", f"{frames.fps!r}\n".encode())
        for index, (path, data) in enumerate(frames.contents(range(frames.n_frames))):
            size = picture_size(data, path)
            first = first or size
            if size != first:
                raise DataError(f"{path} is {size[1]}x{size[0]}, other frames are {first[1]}x{first[0]}")
            if side is not None and min(size) > side:
                data = _smaller(data, path, size, side)
            else:
                decode_picture(data, path, size, 8)
            _add(archive, frame_name(index), data)
    open_pack(target)  # as training does
    return ""


def is_done(target: Path, side: int | None) -> bool:
    """True for a pack that was made with this --side. Raises DataError for any other file of its name."""
    if not target.exists():
        return False
    try:
        with zipfile.ZipFile(target) as archive:
            stated = archive.comment.decode("ascii", errors="replace") or "frames packed by another tool"
    except DAMAGED:
        stated = "something else"
    if stated != _stated(side):
        raise DataError(f"{target} holds {stated[:80]}, not {_stated(side)}; delete it or use --overwrite")
    return True


def find_folders(imgs: Path) -> list[Source]:
    """The folders <imgs>/<label>/<id>, sorted. Raises DataError when there are none."""
    if not imgs.is_dir():
        raise DataError(f"{imgs} is no folder; give the folder that tools/video2imgs.py wrote")
    found = [
        Source(path, path.parent.name, path.name)
        for path in sorted(imgs.glob("*/*"))
        if path.is_dir() and not path.name.startswith(".") and not path.parent.name.startswith(".")
    ]
    if not found:
        raise DataError(f"{imgs} holds no frames; they must lie at {imgs}/<label>/<id>/000001.jpg ...")
    return found


def main(argv: Sequence[str] | None = None) -> int:
    """Runs the command; returns its exit status."""
    parser = argparse.ArgumentParser(
        prog=f"{TOOL}.py", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("imgs", type=Path, metavar="IMGS", help="folder with <label>/<id>/000001.jpg ...")
    parser.add_argument("packed", type=Path, metavar="PACKED", help="folder to write to; made when missing")
    parser.add_argument("--side", type=positive, help="most pixels of a frame's short side (default: any number)")
    parser.add_argument("--jobs", type=positive, help="worker processes (default: one per core)")
    parser.add_argument("--overwrite", action="store_true", help="make again what is already there")
    args = parser.parse_args(argv)
    return command(
        TOOL,
        lambda: convert_all(
            TOOL,
            find_folders(args.imgs),
            args.packed,
            lambda video: pack_file(args.packed, video.label, video.id),
            partial(pack, side=args.side),
            is_done=partial(is_done, side=args.side),
            jobs=args.jobs,
            overwrite=args.overwrite,
            noted="",
        ),
    )


def _stated(side: int | None) -> str:
    """What the comment of a pack says of its frames."""
    return AS_THEY_WERE if side is None else f"frames of at most {side} pixels a side"


def _add(archive: zipfile.ZipFile, name: str, content: bytes) -> None:
    archive.writestr(zipfile.ZipInfo(name), content)  # of a constant date: the same frames, the same file


def _smaller(data: bytes, path: str, size: tuple[int, int], side: int) -> bytes:
    height, width = (max(1, round(pixels * side / min(size))) for pixels in size)
    picture = cv2.resize(decode_picture(data, path, size), (width, height), interpolation=cv2.INTER_AREA)
    return cv2.imencode(".jpg", picture, [cv2.IMWRITE_JPEG_QUALITY, QUALITY])[1].tobytes()


if __name__ == "__main__":
    sys.exit(main())
