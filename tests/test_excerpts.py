"""datasets/media.py: an excerpt holds exactly what the whole video holds there, wherever its key frames are."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import av
import numpy as np
import pytest

from datasets import containers, media
from datasets.errors import DataError
from datasets.excerpts import WHOLE, Excerpt
from datasets.media import PictureTrack, SoundTrack, display_size, excerpt_picture, picture_times
from tests.videos import clicks, grey, onsets, write_video

LEVELS = [20 + 2 * n for n in range(100)]
BETWEEN = {"bf": "2", "g": "40"}  # two of three pictures are coded from later ones, and few stand alone
VIDEOS = {
    "plain.mp4": {},
    "plain.mkv": {},
    "plain.webm": {},
    "between.mp4": {**BETWEEN, "preset": "medium", "sc_threshold": "0"},
    "between.avi": BETWEEN,
}
PARTS = [(0.0, 3.3), (4.7, 6.2), (0.4, 0.9), (9.5, 10.0)]


def frames(path: Path, excerpt: Excerpt = WHOLE, rate: float | None = None) -> np.ndarray:
    """All frames of a track, uint8 (n, H, W, 3)."""
    track = PictureTrack(path, rate=rate, excerpt=excerpt)
    found = [track.image(picture) for numbers, picture in track.pictures() for _ in numbers]
    assert len(found) == track.count
    return np.stack(found)


def sound(path: Path, excerpt: Excerpt = WHOLE) -> np.ndarray:
    """All samples of a track, (n, channels) at 16 kHz."""
    return np.concatenate(list(SoundTrack(path, (16_000,), excerpt=excerpt).blocks()))


@pytest.fixture(scope="module")
def videos(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """10 s at 10 frames a second, a click every second."""
    root = tmp_path_factory.mktemp("tracks")
    for name, coding in VIDEOS.items():
        rate = 48_000 if name.endswith("webm") else 16_000
        clicked = clicks(10, range(10), rate)
        write_video(root / name, grey(LEVELS), sound=clicked, sound_rate=rate, coding=coding)
    return root


@pytest.mark.parametrize("name", VIDEOS)
def test_the_picture_of_an_excerpt_is_that_of_the_video(videos: Path, name: str) -> None:
    whole = frames(videos / name)
    assert len(whole) == 100
    for start, end in PARTS:
        part = frames(videos / name, Excerpt(start, end))
        assert np.array_equal(part, whole[round(10 * start) : round(10 * end)])


@pytest.mark.parametrize("name", VIDEOS)
def test_the_sound_of_an_excerpt_is_that_of_the_video(videos: Path, name: str) -> None:
    whole = sound(videos / name)
    for start, end in PARTS:
        part = sound(videos / name, Excerpt(start, end))
        assert len(part) == round(16_000 * (end - start))
        if name.endswith("webm"):  # whose stamps are rounded to a millisecond
            begins = onsets(part, 16_000) if np.abs(part).max() > 0.1 else []
            assert begins == pytest.approx([n - start for n in range(10) if start <= n < end], abs=2e-3)
        else:
            assert np.allclose(part, whole[round(16_000 * start) : round(16_000 * end)], atol=1e-4)


def test_decoding_begins_near_the_excerpt_or_where_that_is_impossible_at_the_beginning(
    videos: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path, decoded = videos / "between.mp4", []
    whole = frames(path)

    def counted(*args: Any, **flags: Any) -> Iterator[av.Packet]:
        for packet in packets(*args, **flags):
            decoded.append(packet)
            yield packet

    packets = containers.packets
    clock = media.picture_clock(path)
    monkeypatch.setattr(media, "picture_clock", lambda _: clock)
    monkeypatch.setattr(containers, "packets", counted)
    assert np.array_equal(frames(path, Excerpt(8.5, 9.0)), whole[85:90])
    assert 0 < len(decoded) < 60  # a key frame every 40
    decoded.clear()
    monkeypatch.setattr(containers, "_seek", lambda *_: False)
    assert np.array_equal(frames(path, Excerpt(8.5, 9.0)), whole[85:90])
    assert len(decoded) > 85


def test_an_excerpt_of_a_picture_without_constant_rate(tmp_path: Path) -> None:
    times = [0, 0.1, 0.2, 0.6, 0.7, 1.5, 1.6, 1.7, 2.4, 2.5]
    path = write_video(tmp_path / "a.mkv", grey(range(20, 220, 20)), times=times)
    assert picture_times(path)[:-1] == pytest.approx(times, abs=2e-3)
    assert picture_times(path)[-1] > 2.5
    # On the screen at 0.65, 0.75, ... 1.55 s.
    levels = frames(path, Excerpt(0.6, 1.6), rate=10.0).mean(axis=(1, 2, 3))
    assert levels == pytest.approx([80] + [100] * 8 + [120], abs=6)


def test_a_part_of_the_picture_of_the_wanted_size(tmp_path: Path) -> None:
    picture = np.zeros((48, 64, 3), np.uint8)
    picture[12:36, 32:] = 250  # the middle of the right half
    path = write_video(tmp_path / "a.mp4", [picture] * 3)
    part = Excerpt(left=0.5, top=0.25, right=1.0, bottom=0.75)
    assert frames(path, part).shape == (3, 24, 32, 3)
    assert frames(path, part)[:, 2:-2, 2:-2].min() > 230
    assert frames(path, Excerpt(right=0.5)).max() < 30
    # 720x480 is not enlarged; 2880x1920 becomes 720x480, so that the part is 360x240.
    assert display_size(av.VideoFrame(720, 480), None, 240, part) == (720, 480)
    assert display_size(av.VideoFrame(2880, 1920), None, 240, part) == (720, 480)


def test_every_pixel_of_an_odd_picture_is_in_a_half() -> None:
    picture = np.arange(7 * 5 * 3).reshape(7, 5, 3)
    left, right = (excerpt_picture(picture, Excerpt(left=low, right=high)) for low, high in ((0, 0.5), (0.5, 1)))
    assert (left.shape, right.shape) == ((7, 3, 3), (7, 3, 3))
    assert np.array_equal(left, picture[:, :3])
    assert np.array_equal(right, picture[:, 2:])


def test_an_excerpt_that_reaches_past_the_end_says_so(videos: Path) -> None:
    track = PictureTrack(videos / "plain.mkv", excerpt=Excerpt(9.0, 12.0))
    assert (track.count, str(track.damage)) == (10, "the picture ends 2.0 s too early")
    for read in (frames, sound):
        with pytest.raises(DataError, match=r"ends at 10.0 s, before its excerpt begins at 11.0 s"):
            read(videos / "plain.mkv", Excerpt(11.0, 12.0))


def test_sound_that_ends_before_the_excerpt_is_silence(tmp_path: Path) -> None:
    path = write_video(tmp_path / "a.mkv", grey(LEVELS), sound=clicks(2, [0, 1], 16_000))
    part = sound(path, Excerpt(5.0, 6.5))
    assert (len(part), np.abs(part).max()) == (24_000, 0)
