"""Video files that are made to do harm: none opens another file, none takes more memory than it is worth."""

from __future__ import annotations

import os
from collections.abc import Callable
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pytest

from datasets.containers import open_media
from datasets.errors import DataError
from datasets.media import PictureTrack, SoundTrack, display_size, picture_clock
from datasets.video_file import VideoFile
from tests.fuzz.judge import judge
from tests.media import tone
from tests.videos import TICK, grey, write_video

PLAYLISTS: dict[str, Callable[[Path], str]] = {
    "a.m3u8": lambda other: f"#EXTM3U\n#EXT-X-TARGETDURATION:3\n#EXTINF:3,\n{other}\n#EXT-X-ENDLIST\n",
    "b.m3u8": lambda other: f"#EXTM3U\n#EXT-X-TARGETDURATION:3\n#EXTINF:3,\nfile://{other}\n#EXT-X-ENDLIST\n",
    "c.mp4": lambda other: f"ffconcat version 1.0\nfile {other.name}\n",
}


def read(path: Path) -> VideoFile:
    """All of a video."""
    video = VideoFile(path, segment_seconds=0.5, snippet_duration=2, sample_size=16, audio_frames=50)
    for _ in video.clips():
        pass
    return video


@pytest.mark.parametrize("name", PLAYLISTS)
def test_a_playlist_opens_no_other_file(name: str, tmp_path: Path) -> None:
    other = write_video(tmp_path / "other.mp4", grey([10, 20, 30]))
    (tmp_path / name).write_text(PLAYLISTS[name](other))
    with av.open(str(tmp_path / name)) as container:
        assert container.streams.video, "FFmpeg would have opened it"
    with pytest.raises(DataError, match="is no readable video file"):
        picture_clock(tmp_path / name)


def test_what_is_no_file_is_not_waited_for(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "a.mp4")
    for place in (tmp_path / "a.mp4", tmp_path, Path("/dev/zero")):
        with pytest.raises(DataError, match="is a folder, a device or a pipe"), open_media(place):
            pass


def vast(path: Path) -> None:
    """Two pictures of 36 million grey pixels each, of a few hundred kilobytes."""
    with av.open(str(path), "w") as container:
        stream = container.add_stream("mjpeg", rate=10)
        stream.width, stream.height, stream.pix_fmt = 6000, 6000, "yuvj420p"
        frame = av.VideoFrame(6000, 6000, "yuvj420p")
        for plane in frame.planes:
            plane.update(bytes(plane.buffer_size))
        for number in range(2):
            frame.pts = number
            container.mux(stream.encode(frame))
        container.mux(stream.encode(None))


def lasting(path: Path) -> None:
    """Three pictures at 12,000 a second, of which the last stays for 500 s."""
    with av.open(str(path), "w") as container:
        stream = container.add_stream("libx264", rate=10, options={"tune": "zerolatency"})
        stream.width, stream.height, stream.pix_fmt = 64, 48, "yuv420p"
        stream.codec_context.time_base = TICK
        packets = []
        for number in range(3):
            frame = av.VideoFrame.from_ndarray(np.zeros((48, 64, 3), np.uint8), format="rgb24")
            frame.pts, frame.time_base = number, TICK
            packets += stream.encode(frame)
        packets += stream.encode(None)
        packets[-1].duration = round(500 / TICK)
        container.mux(packets)


BOMBS: dict[str, tuple[str, Callable[[Path], object], str]] = {
    "a picture of 36 million pixels": ("a.avi", vast, "none of its pictures can be decoded"),
    "six million frames": ("a.mp4", lasting, "its time stamps make 6000002 frames"),
    "pictures for a month": (
        "a.mkv",
        lambda path: write_video(path, grey([10] * 500), times=[590.0 * n for n in range(500)]),
        "segments of",
    ),
}


@pytest.mark.parametrize("bomb", BOMBS)
def test_a_small_file_takes_little_memory_and_time(bomb: str, tmp_path: Path) -> None:
    name, make, fault = BOMBS[bomb]
    make(tmp_path / name)
    assert (tmp_path / name).stat().st_size < 2**21
    outcome, words = judge(read, tmp_path / name)
    assert (outcome, fault in words) == ("refused", True), words


def test_sound_that_is_not_there_is_not_made_for_days(tmp_path: Path) -> None:
    pictures, times = grey([10] * 40), [500.0 * number for number in range(40)]
    path = write_video(tmp_path / "a.mkv", pictures, times=times, sound=tone(1.0, 16_000)[:, None])
    track = SoundTrack(path, (16_000,))
    with pytest.raises(DataError, match="its time stamps claim 5 hours without sound"):
        for block in track.blocks():
            assert len(block) <= 60 * 16_000
    assert PictureTrack(path).count == 39


def test_pixels_of_an_absurd_shape() -> None:
    frame = av.VideoFrame(64, 48, "yuv420p")
    assert display_size(frame, Fraction(4, 3), 240) == (85, 48)
    for shape in (Fraction(2**31 - 1), Fraction(1, 1000)):
        with pytest.raises(DataError, match="times as wide as they are high"):
            display_size(frame, shape, 240)
