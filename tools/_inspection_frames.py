"""What can be wrong with the frames of one video, in a folder or in a pack."""

from __future__ import annotations

import zipfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from datasets.annotations import Video
from datasets.errors import DataError
from datasets.frame_folders import frame_folder, frame_name, parse_fps, parse_n_frames, read_file
from datasets.frame_packs import DAMAGED, list_members, pack_file, read_member, read_text
from datasets.jpeg import decode_picture, picture_size
from tools._findings import Finding, fault_of, finding

NO_FRAMES = "run tools/video2imgs.py; is the video broken, train with --skip_bad"
FRAMES_AGAIN = "delete the folder, run tools/video2imgs.py again"
PACK_AGAIN = "run tools/pack_frames.py --overwrite, or delete the pack"


@dataclass(frozen=True)
class _Files:
    """The files of a folder or of a pack: bytes by name, and what reads one, which raises DataError."""

    path: Path
    sizes: dict[str, int]
    read: Callable[[str], bytes]
    remedy: str


def inspect_frames(video: Video, video_path: Path, samples: int | None) -> tuple[list[Finding], float | None]:
    """Findings, and the duration of the picture in seconds where that is known.

    `samples` frames are decoded, None for all of them and for the checksums of a pack.
    """
    folder, pack = (place(video_path, video.label, video.id) for place in (frame_folder, pack_file))
    if not pack.is_file():
        if not folder.is_dir():
            return [finding(video, "frames missing", "", folder, NO_FRAMES)], None
        return _inspect_files(video, _files_of_folder(folder), samples)
    try:
        files = _files_of_pack(pack)
    except DataError as error:
        return [finding(video, "pack unreadable", fault_of(error, pack), pack, PACK_AGAIN)], None
    findings, seconds = _inspect_files(video, files, samples)
    if samples is None and (name := _first_altered(pack)) is not None:
        findings.append(finding(video, "pack altered", f"{name} against its checksum", pack, PACK_AGAIN))
    if (folder / "n_frames").is_file() and not findings and read_file(folder / "n_frames") != files.read("n_frames"):
        detail = "another n_frames than in the folder, which is not read"
        findings.append(finding(video, "pack and folder differ", detail, pack, PACK_AGAIN, True))
    return findings, seconds


def _files_of_folder(folder: Path) -> _Files:
    sizes = {path.name: path.stat().st_size for path in folder.iterdir() if path.is_file()}
    return _Files(folder, sizes, lambda name: read_file(folder / name), FRAMES_AGAIN)


def _files_of_pack(pack: Path) -> _Files:
    members = list_members(pack)

    def read(name: str) -> bytes:
        if not name.endswith(".jpg"):
            return read_text(pack, members, name)
        with pack.open("rb") as file:
            return read_member(file.fileno(), pack, name, members[name])

    return _Files(pack, {name: member.size for name, member in members.items()}, read, PACK_AGAIN)


def _first_altered(pack: Path) -> str | None:
    try:
        with zipfile.ZipFile(pack) as archive:
            return archive.testzip()
    except DAMAGED as error:  # headers that contradict each other
        return str(error)


def _number(name: str) -> int | None:
    """Of the frame of this name, counted from 0; None for another file."""
    digits = name.removesuffix(".jpg")
    number = int(digits) - 1 if digits.isascii() and digits.isdigit() else -1
    return number if number >= 0 and frame_name(number) == name else None


def _inspect_files(video: Video, files: _Files, samples: int | None) -> tuple[list[Finding], float | None]:
    """As inspect_frames."""
    findings: list[Finding] = []

    def add(fault: str, detail: str, path: Path, is_note: bool = False) -> None:
        findings.append(finding(video, fault, detail, path, files.remedy, is_note))

    fps = None
    path = files.path / "fps"
    try:
        fps = parse_fps(files.read("fps"), path) if "fps" in files.sizes else None
    except DataError as error:
        add("fps unreadable", fault_of(error, path), path)
    path = files.path / "n_frames"
    try:
        count = parse_n_frames(files.read("n_frames"), path)
    except DataError as error:
        add("n_frames unreadable", fault_of(error, path), path)
        return findings, None

    sizes = {name: size for name, size in files.sizes.items() if name.endswith(".jpg")}
    # Numbers rather than names: n_frames may say a hundred million where there are three.
    numbers = {number for name in sizes if (number := _number(name)) is not None and number < count}
    empty = sorted(number for number in numbers if sizes[frame_name(number)] == 0)
    surplus = sizes.keys() - {frame_name(number) for number in numbers}
    if len(numbers) < count:
        first = next(number for number in range(count) if number not in numbers)
        detail = f"n_frames says {count}, {count - len(numbers)} of them are not there, first {frame_name(first)}"
        add("n_frames too high", detail, files.path)
    if surplus:
        detail = f"n_frames says {count}, {len(surplus)} more are there, first {min(surplus)}"
        add("n_frames too low", detail, files.path, files.path.is_dir())
    if empty:
        add("frame empty", f"{len(empty)} such", files.path / frame_name(empty[0]))

    chosen = sorted(numbers) if samples is None else np.linspace(0, count - 1, samples).round().astype(int).tolist()
    shapes: dict[tuple[int, int], Path] = {}
    for name in dict.fromkeys(map(frame_name, chosen)):
        path = files.path / name
        if sizes.get(name):
            try:
                data = files.read(name)
                size = picture_size(data, path)
                decode_picture(data, path, size)
                shapes.setdefault(size, path)
            except DataError as error:
                add("frame unreadable", fault_of(error, path), path)
    if len(shapes) > 1:
        detail = " and ".join(f"{width}x{height}" for height, width in shapes)
        add("frame sizes differ", detail, list(shapes.values())[1])
    return findings, count / fps if fps else None
