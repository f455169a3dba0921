"""Targets: frames in folders and packs, pictures, sound and what is kept of it, video files."""

from __future__ import annotations

import functools
import struct
import zipfile
import zlib
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
import soundfile
from hypothesis import strategies as st
from PIL import Image

from datasets import audio
from datasets.annotations import Video
from datasets.audio import cut_second, decode_sound, log_mel
from datasets.frame_folders import open_folder
from datasets.frame_packs import open_pack
from datasets.frames import read_frames
from datasets.jpeg import REDUCTIONS, decode_picture, encode_picture, picture_size
from datasets.media import picture_clock
from datasets.segments import blocks, clip_centres, clip_frames
from datasets.spectrograms import SpectrogramCache
from datasets.transforms import FrameTransform
from datasets.video_file import VideoFile
from tests.fuzz.files import NUMBERS, patched
from tests.fuzz.target import made, target
from tests.media import tone, write_sound
from tests.videos import grey, write_video
from tools._inspection_frames import inspect_frames


@functools.cache
def _spectrogram() -> np.ndarray:
    return log_mel(tone(1.0, 16_000)).numpy()


@target(
    "numbers",
    lambda: [b"5\n\x0012.5\n", b"100\0", b" 7 \x0029.97002997002997"],
    st.tuples(NUMBERS.map(str), NUMBERS.map(repr)).map(lambda pair: "\0".join(pair).encode()),
    st.tuples(st.integers(1, 10**9), st.floats(1e-6, 1e9)).map(lambda pair: f"{pair[0]}\0{pair[1]}".encode()),
)
def numbers(path: Path) -> None:
    """A folder's n_frames and, behind a zero byte, its fps; all that follows from the two."""
    n_frames, zero, fps = path.read_bytes().partition(b"\0")
    folder = path.with_name("Joy") / "a"
    folder.mkdir(parents=True)
    (folder / "n_frames").write_bytes(n_frames)
    if zero:
        (folder / "fps").write_bytes(fps)
    inspect_frames(Video("a", "Joy", "training"), path.parent, samples=5)
    frames = open_folder(folder)
    rate = frames.fps or frames.n_frames / 1.0
    for rng in (None, np.random.default_rng(0)):
        indices = clip_frames(frames.n_frames, 4, 8, rng)
        assert indices.min() >= 0 and indices.max() < frames.n_frames
    assert np.isfinite(blocks(frames.n_frames / rate, 4)).all()
    for centre in clip_centres(indices, rate):
        assert cut_second(_spectrogram(), centre, 50).shape == (50, 128)


@functools.cache
def _jpegs() -> tuple[bytes, ...]:
    """Two of OpenCV's, then progressive, grey, turned by EXIF data, of four inks, with restart marks."""
    pixels = np.arange(24 * 32 * 3, dtype=np.uint8).reshape(24, 32, 3)
    picture, exif = Image.fromarray(pixels), Image.Exif()
    exif[0x0112] = 6  # a quarter turn
    kinds = ((picture, {"progressive": True}), (picture.convert("L"), {}), (picture, {"exif": exif}))
    kinds = (*kinds, (picture.convert("CMYK"), {}), (picture, {"restart_marker_rows": 1}))
    others = (made(lambda path, kind=kind: kind[0].save(path, format="JPEG", **kind[1])) for kind in kinds)
    return encode_picture(pixels), encode_picture(pixels[:, ::-1]), *others


_FRAME_HEADERS = {b"\xff\xc0": 19, b"\xff\xc2": 19, b"\xff\xda": 14, b"\xff\xe1": 40, b"\xff\xc4": 30}


@target("000001.jpg", _jpegs, patched(_jpegs, _FRAME_HEADERS))
def jpeg(path: Path) -> None:
    content = path.read_bytes()
    size = picture_size(content, path)
    for reduction in REDUCTIONS:
        assert decode_picture(content, path, size, reduction).shape[2] == 3


def _zipped(path: Path, method: int = zipfile.ZIP_STORED, extra: bytes = b"", zip64: bool = False) -> None:
    files = {"n_frames": b"2\n", "fps": b"12.5\n", "000001.jpg": _jpegs()[0], "000002.jpg": _jpegs()[1]}
    with zipfile.ZipFile(path, "w", method) as archive:
        for name, content in files.items():
            info = zipfile.ZipInfo(name)
            info.extra, info.compress_type = extra, method
            with archive.open(info, "w", force_zip64=zip64) as file:
                file.write(content)


def _packs() -> list[bytes]:
    times = struct.pack("<2HBL", 0x5455, 5, 1, 0)
    kinds: list[dict] = [{}, {"extra": times}, {"zip64": True}, {"method": zipfile.ZIP_DEFLATED}]
    return [made(lambda path, kind=kind: _zipped(path, **kind)) for kind in kinds]


@target("Joy.zip", _packs, patched(_packs, {b"PK\1\2": 46, b"PK\3\4": 30, b"PK\5\6": 22}))
def packs(path: Path) -> None:
    folder = path.with_name("Joy")
    folder.mkdir()
    path = path.rename(folder / "a.zip")
    inspect_frames(Video("a", "Joy", "training"), folder.parent, samples=None)
    frames = open_pack(path)
    read_frames(frames, [0, frames.n_frames - 1], FrameTransform(16), None)


def _sounds() -> list[bytes]:
    mono, stereo = tone(0.3, 16_000), np.stack([tone(0.1, 44_100)] * 2, axis=1)
    others = ("FLAC", "WAV", "OGG", "AIFF", "CAF")
    return [
        made(lambda path: write_sound(path, mono, 16_000)),
        made(lambda path: write_sound(path, stereo, 44_100)),
        *(made(lambda path, form=form: soundfile.write(path, mono[:1600], 16_000, format=form)) for form in others),
    ]


_SOUND_HEADERS = {
    b"Xing": 120, b"Info": 120, b"fLaC": 42, b"RIFF": 44, b"OggS": 58, b"FORM": 54, b"\xff\xf3": 40, b"\xff\xfb": 40,
}  # fmt: skip


@target("a.mp3", _sounds, patched(_sounds, _SOUND_HEADERS))
def sound(path: Path) -> None:
    spectrogram = log_mel(decode_sound(path.read_bytes(), path))
    assert spectrogram.isfinite().all() and len(spectrogram)


@functools.cache
def _entry() -> tuple[bytes, str, bytes]:
    """A sound file, the name of its entry in the cache, and the entry."""
    content = _sounds()[0]
    with TemporaryDirectory() as folder:
        (Path(folder) / "a.mp3").write_bytes(content)
        SpectrogramCache(Path(folder) / "cache").open(Path(folder) / "a.mp3")
        (entry,) = (Path(folder) / "cache").iterdir()
        return content, entry.name, entry.read_bytes()


@st.composite
def _entries(draw: st.DrawFn) -> bytes:
    """Entries whose checksum is right."""
    magic, recipe, _, n_rows = struct.unpack("<8sLQQ", _entry()[2][:28])
    n_samples = draw(st.sampled_from((0, 1, 399, 400, 2**40, 2**63)) | st.integers(0, 10**5))
    rows = draw(st.sampled_from((b"", b"\0\x7e" * 128, b"\0\0" * 128, _entry()[2][32:])))
    fields = struct.pack("<8sLQQ", magic, recipe, n_samples, draw(st.sampled_from((0, 1, 2**32, 2**55, n_rows))))
    return fields + struct.pack("<L", zlib.crc32(rows, zlib.crc32(fields))) + rows


@target("entry", lambda: [_entry()[2]], _entries())
def sound_cache(path: Path) -> None:
    content, name, _ = _entry()
    path.with_name("a.mp3").write_bytes(content)
    path.with_name("cache").mkdir()
    path.rename(path.with_name("cache") / name)
    found = SpectrogramCache(path.with_name("cache")).open(path.with_name("a.mp3"))
    assert cut_second(found.spectrogram, 0.1, 50).shape == (50, 128)
    assert len(found.spectrogram) == audio.n_rows(round(found.seconds * audio.SAMPLE_RATE)) > 0


def _videos() -> list[bytes]:
    pictures, clip = grey([10, 60, 110, 160, 210], 32, 48), tone(0.5, 16_000)[:, None]
    suffixes = (".mp4", ".mkv", ".webm", ".avi")
    return [made(lambda path: write_video(path, pictures, sound=clip), f"a{suffix}") for suffix in suffixes]


LONGEST = 60.0  # seconds of a video that is read to its end
_BOXES = {
    b"mvhd": 100, b"tkhd": 90, b"mdhd": 30, b"stsd": 120, b"stts": 30, b"stsz": 40, b"stco": 20, b"pasp": 16,
    b"avih": 60, b"strh": 60, b"strf": 60, b"\x1a\x45\xdf\xa3": 300,
}  # fmt: skip
_PLAYLISTS = (b"#EXTM3U\n#EXT-X-TARGETDURATION:3\n#EXTINF:3,\n/etc/hostname\n", b"ffconcat version 1.0\nfile a.mp4\n")


@target("a.mp4", _videos, patched(_videos, _BOXES), st.sampled_from(_PLAYLISTS))
def video(path: Path) -> None:
    clock = picture_clock(path)
    if clock.end - clock.start > LONGEST:
        return  # that may be so, and then takes its time
    opened = VideoFile(path, segment_seconds=0.25, snippet_duration=4, sample_size=32, audio_frames=20)
    for clip in opened.clips():
        assert clip.frames.shape == (3, 4, 32, 32)
    assert all(note.isprintable() for note in opened.notes)
