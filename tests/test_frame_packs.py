"""Packs of all kinds: whole ones of several makers, damaged ones, and such as are made to do harm."""

from __future__ import annotations

import os
import struct
import zipfile
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from datasets import frame_packs
from datasets.errors import DataError
from datasets.frame_folders import frame_name
from datasets.frame_packs import open_pack, pack_file
from tests.fuzz.judge import judge

CONTENTS = [bytes([number]) * (50 + number) for number in range(5)]
FILES = {"n_frames": b"5\n", "fps": b"12.5\n"} | {frame_name(i): content for i, content in enumerate(CONTENTS)}


def write_pack(path: Path, files: list[tuple[str, bytes]] | dict[str, bytes], **options: int) -> Path:
    with zipfile.ZipFile(path, "w", **options) as archive:
        for name, content in files.items() if isinstance(files, dict) else files:
            archive.writestr(name, content)
    return path


def read_all(path: Path) -> list[bytes]:
    frames = open_pack(path)
    return [content for _, content in frames.contents(range(frames.n_frames))]


def test_reads_the_frames_asked_for(tmp_path: Path) -> None:
    path = pack_file(tmp_path, "Überraschung", "видео 1.v2")
    path.parent.mkdir()
    write_pack(path, FILES)
    frames = open_pack(path)
    assert path == tmp_path / "Überraschung" / "видео 1.v2.zip"
    assert (frames.n_frames, frames.fps) == (5, 12.5)
    assert list(frames.contents([3, 0, 0])) == [
        (f"{path}/000004.jpg", CONTENTS[3]),
        (f"{path}/000001.jpg", CONTENTS[0]),
        (f"{path}/000001.jpg", CONTENTS[0]),
    ]


def test_rate_may_be_unknown_and_order_is_that_of_the_names(tmp_path: Path) -> None:
    files = dict(reversed(FILES.items()))
    del files["fps"]
    path = write_pack(tmp_path / "a.zip", files)
    assert open_pack(path).fps is None
    assert read_all(path) == CONTENTS


def with_extra_fields(path: Path) -> None:
    """As Info-ZIP writes them, times in the header of every file."""
    with zipfile.ZipFile(path, "w") as archive:
        for name, content in FILES.items():
            info = zipfile.ZipInfo(name)
            info.extra = struct.pack("<2HBL", 0x5455, 5, 1, 0)
            archive.writestr(info, content)


def as_a_stream(path: Path) -> None:
    """Lengths behind every file, as when the output is a pipe."""

    class Pipe:
        def __init__(self, file) -> None:
            self.write, self.flush = file.write, file.flush

    with path.open("wb") as file:
        write_pack(Pipe(file), FILES)


def behind_other_bytes(path: Path) -> None:
    write_pack(path, FILES)
    path.write_bytes(b"#!/bin/sh\n" + path.read_bytes())


@pytest.mark.parametrize("make", [with_extra_fields, as_a_stream, behind_other_bytes])
def test_other_makers_of_zip_files(tmp_path: Path, make: Callable[[Path], None]) -> None:
    make(tmp_path / "a.zip")
    assert read_all(tmp_path / "a.zip") == CONTENTS


def test_more_frames_than_the_old_format_counts(tmp_path: Path) -> None:
    n_frames = 66_000
    files = {"n_frames": f"{n_frames}".encode()} | {frame_name(i): b"%d" % i for i in range(n_frames)}
    frames = open_pack(write_pack(tmp_path / "a.zip", files))
    assert [content for _, content in frames.contents([0, 65_535, 65_999])] == [b"0", b"65535", b"65999"]


@pytest.mark.parametrize(
    ("files", "fault"),
    [
        ({**FILES, "/etc/passwd": b"x"}, r"holds '/etc/passwd', not only frames"),
        ({**FILES, "../000006.jpg": b"x"}, r"holds '\.\./000006\.jpg'"),
        ({**FILES, "000001.jpg/": b""}, r"holds '000001\.jpg/'"),
        ({**FILES, "a\\000001.jpg": b""}, r"holds 'a"),
        ({**FILES, "000006.jpg\n": b""}, r"holds '000006\.jpg\\n'"),
        ({**FILES, "00000\u0666.jpg": b""}, "holds '00000\u0666"),
        ([*FILES.items(), ("000002.jpg", b"x")], r"holds 000002\.jpg twice"),
        ({name: FILES[name] for name in FILES if name != "000003.jpg"}, "holds 4 frames, its n_frames says 5"),
        ({**FILES, "000006.jpg": b"x"}, "holds 6 frames, its n_frames says 5"),
        ({name.replace("3.", "7."): FILES[name] for name in FILES}, r"lacks 000003\.jpg"),
        ({name.replace("00000", "000000"): FILES[name] for name in FILES}, r"lacks 000001\.jpg"),
        ({**FILES, "n_frames": b"9" * 8}, "its n_frames says 99999999"),
        ({**FILES, "n_frames": b"9" * 30}, "/n_frames: says 99999"),
        ({**FILES, "n_frames": b"many"}, "/n_frames: holds no whole number"),
        ({**FILES, "n_frames": b"5" + b" " * 100}, "/n_frames: holds no number"),
        ({**FILES, "n_frames": b"0"}, "/n_frames: says 0 frames"),
        ({name: FILES[name] for name in FILES if name != "n_frames"}, "/n_frames: No such file"),
        ({**FILES, "fps": b"nan"}, "/fps: says nan frames per second"),
        ({**FILES, "fps": b"\xff"}, "/fps: holds no number"),
        ({}, "/n_frames: No such file"),
    ],
)
@pytest.mark.filterwarnings("ignore:Duplicate name")
def test_what_no_pack_holds_is_one_line_that_names_it(tmp_path: Path, files, fault: str) -> None:
    path = write_pack(tmp_path / "a.zip", files)
    with pytest.raises(DataError, match=rf"^{path}.*{fault}.*check_dataset"):
        open_pack(path)
    assert list(tmp_path.iterdir()) == [path]


@pytest.mark.parametrize("method", [zipfile.ZIP_DEFLATED, zipfile.ZIP_BZIP2, zipfile.ZIP_LZMA])
def test_compressed_packs_are_not_unpacked(tmp_path: Path, method: int) -> None:
    path = write_pack(tmp_path / "a.zip", {**FILES, "000001.jpg": bytes(10**7)}, compression=method)
    assert path.stat().st_size < 10**6
    with pytest.raises(DataError, match=r"a\.zip: holds n_frames compressed or encrypted"):
        open_pack(path)


def entry(data: bytes, name: str) -> int:
    """Where the list of the zip file has its entry of this name."""
    return data.rindex(name.encode()) - 46


def forged(path: Path, name: str, offset: int, value: int) -> None:
    """Writes 4 bytes into the list's entry."""
    data = bytearray(path.read_bytes())
    struct.pack_into("<L", data, entry(bytes(data), name) + offset, value)
    path.write_bytes(data)


STARTS, SIZES = 42, (20, 24)


@pytest.mark.parametrize(
    ("name", "offset", "value", "fault"),
    [
        ("000002.jpg", STARTS, 2**31, "reaches past the end"),
        ("000002.jpg", STARTS, 0, "lies over other files"),
        ("000005.jpg", SIZES, 2**30, "reaches past the end"),
        ("000002.jpg", SIZES, 90, "lies over other files"),
        ("000005.jpg", SIZES, 2**32 - 1, "is cut off or no zip file|reaches past the end"),
        ("000002.jpg", 8, 1, "compressed or encrypted"),  # flags, and the method after them
    ],
)
def test_lists_that_lie(tmp_path: Path, name: str, offset, value: int, fault: str) -> None:
    path = write_pack(tmp_path / "a.zip", FILES)
    for place in offset if isinstance(offset, tuple) else (offset,):
        forged(path, name, place, value)
    with pytest.raises(DataError, match=rf"^{path}: .*({fault})"):
        open_pack(path)


def test_an_entry_that_points_to_another_files_header(tmp_path: Path) -> None:
    path = write_pack(
        tmp_path / "a.zip", {**FILES, "000002.jpg": FILES["000003.jpg"], "000003.jpg": FILES["000003.jpg"]}
    )
    data = path.read_bytes()
    starts = [struct.unpack_from("<L", data, entry(data, name) + STARTS)[0] for name in ("000002.jpg", "000003.jpg")]
    for name, start in zip(("000003.jpg", "000002.jpg"), starts, strict=True):
        forged(path, name, STARTS, start)
    with pytest.raises(DataError, match=r"there is no 000002\.jpg where its list says"):
        read_all(path)


@pytest.mark.parametrize("left", [0, 1, 10, 100, 300, 400])
def test_cut_off_packs(tmp_path: Path, left: int) -> None:
    path = write_pack(tmp_path / "a.zip", FILES)
    path.write_bytes(path.read_bytes()[:left])
    with pytest.raises(DataError, match=rf"^{path}: is cut off or no zip file"):
        open_pack(path)


def test_missing_packs_and_folders(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"a\.zip: No such file"):
        open_pack(tmp_path / "a.zip")
    with pytest.raises(DataError, match="Is a directory"):
        open_pack(tmp_path)


def test_a_pack_that_is_cut_off_after_it_was_opened(tmp_path: Path) -> None:
    path = write_pack(tmp_path / "a.zip", FILES)
    frames = open_pack(path)
    os.truncate(path, 100)
    with pytest.raises(DataError, match=rf"^{path}: is cut off: 000001\.jpg is not whole"):
        list(frames.contents([0]))
    path.unlink()
    with pytest.raises(DataError, match=rf"^{path}: No such file"):
        list(frames.contents([0]))


@settings(deadline=None, max_examples=400, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.lists(st.tuples(st.floats(0, 1, exclude_max=True), st.integers(0, 255)), max_size=4), st.integers(0, 40))
def test_any_damage_gives_frames_or_a_data_error(tmp_path: Path, changes: list[tuple[float, int]], lost: int) -> None:
    data = bytearray(write_pack(tmp_path / "whole.zip", FILES).read_bytes())
    for place, value in changes:
        # Most bytes are content; those of the list, at the end, are more to the point.
        data[-1 - int(place**2 * len(data))] = value
    path = tmp_path / "a.zip"
    path.write_bytes(data[: len(data) - lost * (lost > 30)])
    try:
        contents = read_all(path)
        assert [len(content) for content in contents] == [len(content) for content in CONTENTS]
    except DataError as error:
        assert str(path) in str(error)
        assert "\n" not in str(error)


def test_the_list_is_read_once_until_the_file_changes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    reads = []
    original = frame_packs.list_members
    monkeypatch.setattr(frame_packs, "list_members", lambda path: reads.append(path) or original(path))
    path = write_pack(tmp_path / "a.zip", FILES)
    assert open_pack(path) is open_pack(path)
    assert reads == [path]
    other = write_pack(tmp_path / "new.zip", {**FILES, "fps": b"30"})
    other.replace(path)
    assert open_pack(path).fps == 30
    assert reads == [path, path]


def test_what_is_kept_is_bounded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(frame_packs, "_kept", type(frame_packs._kept)())
    monkeypatch.setattr(frame_packs, "KEPT_INDEXES", 3 * 5 * 12)
    paths = [write_pack(tmp_path / f"{number}.zip", FILES) for number in range(4)]
    for path in (paths[0], paths[1], paths[2], paths[0], paths[3]):
        frames = open_pack(path)
    assert list(frame_packs._kept) == [paths[2], paths[0], paths[3]]
    assert frames.starts.nbytes + frames.sizes.nbytes == 5 * 12
    longer = {name: FILES[name] for name in FILES if name != "n_frames"} | {"n_frames": b"6", "000006.jpg": b"x"}
    assert open_pack(write_pack(paths[2], longer)).n_frames == 6, "the oldest, which no longer fits beside all others"
    assert list(frame_packs._kept) == [paths[3], paths[2]]


def test_no_file_stays_open(tmp_path: Path) -> None:
    def count() -> int:
        return len(list(Path("/proc/self/fd").iterdir()))

    before = count()
    kept = [open_pack(write_pack(tmp_path / f"{number}.zip", FILES)) for number in range(50)]
    for frames in kept:
        assert len(list(frames.contents([1, 2]))) == 2
    assert count() == before
    assert np.all(np.diff(kept[0].starts) > 0)


def test_a_frame_of_terabytes_is_not_read(tmp_path: Path) -> None:
    """A sparse file that takes hardly a block of the disk."""
    path = tmp_path / "a.zip"
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("n_frames", "1")
        archive.writestr("000001.jpg", b"")
    content = path.read_bytes()
    start, listed = content.index(b"PK\3\4", 4), content.index(b"PK\1\2")
    size = 2**31
    with path.open("wb") as file:
        file.write(content[:listed])
        file.seek(listed + size)
        central = bytearray(content[listed:])
        at = central.index(b"PK\1\2", 4)
        central[at + 20 : at + 28] = struct.pack("<2L", size, size)
        end = central.index(b"PK\5\6")
        central[end + 16 : end + 20] = struct.pack("<L", listed + size)
        file.write(central)
    assert start < listed and path.stat().st_size > size
    outcome, words = judge(open_pack, path)
    assert outcome == "refused" and "holds 000001.jpg of 2,147,483,648 bytes, which is no frame" in words
