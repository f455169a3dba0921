"""The frames of a video in one file, <video_path>/<label>/<id>.zip: what its folder holds, stored without compression.

A pack comes from anywhere: whatever it holds besides 000001.jpg ..., `n_frames` and `fps` is refused, and nothing of it
is ever written to disk. Where its frames lie is looked up once in a process; from then on a frame is one read.
"""

from __future__ import annotations

import os
import re
import struct
import zipfile
from collections import OrderedDict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

import numpy as np

from datasets.errors import bad_file
from datasets.frame_folders import MOST_BYTES, frame_name, parse_fps, parse_n_frames

KEPT_INDEXES = 64 * 2**20  # bytes of a process, 12 a frame: 1,800 videos of 3,000 frames

# What zipfile raises for damaged bytes.
DAMAGED = (zipfile.BadZipFile, NotImplementedError, struct.error, ValueError, OverflowError, OSError, EOFError)

_MEMBER = re.compile(r"[0-9]{6,}\.jpg|n_frames|fps")
_LOCAL_HEADER = struct.Struct("<4s22xHH")  # magic, lengths of name and extra field
_MAGIC = b"PK\3\4"
_MAX_TEXT = 64  # bytes of `n_frames` and `fps`


@dataclass(frozen=True)
class Member:
    """Where a file lies in a pack: its header's first byte, and the length of its content, both in bytes."""

    start: int
    size: int


@dataclass(frozen=True, eq=False)
class FramePack:
    """An open pack. fps: frames per second, None where that is unknown."""

    path: Path
    n_frames: int
    fps: float | None
    starts: np.ndarray  # int64 (n_frames,) of the members, in order of the frames
    sizes: np.ndarray  # uint32 (n_frames,)

    def contents(self, indices: Sequence[int]) -> Iterator[tuple[str, bytes]]:
        """<pack>/<name> and content of the frames `indices`, counted from 0.

        Raises DataError for a pack that has been changed or cut off.
        """
        with _opened(self.path) as file:
            for index in map(int, indices):
                name, member = frame_name(index), Member(int(self.starts[index]), int(self.sizes[index]))
                yield f"{self.path}/{name}", read_member(file.fileno(), self.path, name, member)


def pack_file(video_path: Path | str, label: str, id: str) -> Path:
    """Where the pack of a video lies."""
    return Path(video_path) / label / f"{id}.zip"


def open_pack(path: Path) -> FramePack:
    """Raises DataError for a pack that is damaged, or whose frames are not 1 to `n_frames`."""
    try:
        status = path.stat()
    except OSError as error:
        raise bad_file(path, error.strerror or str(error)) from error
    stamp = status.st_ino, status.st_size, status.st_mtime_ns
    known = _kept.pop(path, None)
    if known is not None and known[0] == stamp:
        _kept[path] = known
        return known[1]
    pack = _read_pack(path)
    _kept[path] = stamp, pack
    while len(_kept) > 1 and sum(12 * kept.n_frames for _, kept in _kept.values()) > KEPT_INDEXES:
        _kept.popitem(last=False)
    return pack


_kept: OrderedDict[Path, tuple[tuple[int, ...], FramePack]] = OrderedDict()  # the least recently used first


def list_members(path: Path) -> dict[str, Member]:
    """The files in a pack. Raises DataError if it is no zip, or holds what no pack holds."""
    with _opened(path) as file:
        try:
            with zipfile.ZipFile(file) as archive:
                infos, end = archive.infolist(), archive.start_dir
        except DAMAGED as error:  # which of them depends on the byte that is damaged
            raise bad_file(path, f"is cut off or no zip file ({error})") from None
    members: dict[str, Member] = {}
    for info in infos:
        name = info.orig_filename
        if not _MEMBER.fullmatch(name):
            raise bad_file(path, f"holds {name[:80]!r}, not only frames, n_frames and fps; run tools/pack_frames.py")
        if name in members:
            raise bad_file(path, f"holds {name} twice")
        if info.compress_type != zipfile.ZIP_STORED or info.flag_bits & 1 or info.compress_size != info.file_size:
            raise bad_file(path, f"holds {name} compressed or encrypted; run tools/pack_frames.py")
        members[name] = Member(info.header_offset, info.file_size)
    begin = 0
    for name, member in sorted(members.items(), key=lambda item: item[1].start):
        if member.start < begin:
            raise bad_file(path, f"is damaged: {name} lies over other files")
        begin = member.start + _LOCAL_HEADER.size + len(name) + member.size
        if begin > end:
            raise bad_file(path, f"is damaged: {name} reaches past the end")
        if member.size > MOST_BYTES:
            raise bad_file(path, f"holds {name} of {member.size:,} bytes, which is no frame")
    return members


def read_member(handle: int, path: Path, name: str, member: Member) -> bytes:
    """Content of one file of the pack `path`, open as `handle`. Raises DataError."""
    head = _LOCAL_HEADER.size + len(name)
    try:
        record = os.pread(handle, head + member.size, member.start)
        magic, n_name, n_extra = _LOCAL_HEADER.unpack_from(record)
        if magic != _MAGIC or n_name != len(name) or record[_LOCAL_HEADER.size : head] != name.encode():
            raise bad_file(path, f"is damaged: there is no {name} where its list says")
        content = os.pread(handle, member.size, member.start + head + n_extra) if n_extra else record[head:]
    except OSError as error:
        raise bad_file(path, error.strerror or str(error)) from error
    except struct.error:
        content = b""
    if len(content) != member.size:
        raise bad_file(path, f"is cut off: {name} is not whole")
    return content


def read_text(path: Path, members: dict[str, Member], name: str) -> bytes:
    """Content of the pack's `n_frames` or `fps`. Raises DataError if there is none, or it is too long for a number."""
    if name not in members:
        raise bad_file(path / name, "No such file")
    if members[name].size > _MAX_TEXT:
        raise bad_file(path / name, "holds no number")
    with _opened(path) as file:
        return read_member(file.fileno(), path, name, members[name])


def _read_pack(path: Path) -> FramePack:
    members = list_members(path)
    n_frames = parse_n_frames(read_text(path, members, "n_frames"), path / "n_frames")
    fps = parse_fps(read_text(path, members, "fps"), path / "fps") if "fps" in members else None
    there = len(members.keys() - {"n_frames", "fps"})
    if n_frames != there:
        raise bad_file(path, f"holds {there} frames, its n_frames says {n_frames}")
    names = [frame_name(index) for index in range(n_frames)]
    if absent := next((name for name in names if name not in members), None):
        raise bad_file(path, f"lacks {absent}")
    return FramePack(
        path,
        n_frames,
        fps,
        np.array([members[name].start for name in names], dtype=np.int64),
        np.array([members[name].size for name in names], dtype=np.uint32),
    )


def _opened(path: Path) -> BinaryIO:
    try:
        return path.open("rb")
    except OSError as error:
        raise bad_file(path, error.strerror or str(error)) from error
