"""The sound of a video file: what training hears of it, and the same in pieces."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from datasets import video_sound
from datasets.audio import centred, cut_second, log_mel, log_mel_second, read_sound
from datasets.errors import DataError
from datasets.media import picture_clock
from datasets.video_sound import read_video_sound
from tests.media import tone
from tests.videos import grey, write_video
from tools import video2mp3


@pytest.fixture(scope="module")
def video(tmp_path_factory: pytest.TempPathFactory) -> Path:
    rate = 22_050
    sound = tone(7.3, rate, 440) * np.linspace(0.2, 1, round(7.3 * rate), dtype=np.float32)
    path = tmp_path_factory.mktemp("video") / "a.mkv"
    return write_video(path, grey([90] * 70), sound=sound[:, None], sound_rate=rate, sound_start=0.5)


def test_it_is_the_sound_of_the_mp3(video: Path, tmp_path: Path) -> None:
    video2mp3.extract(video, tmp_path / "a.mp3")
    found, damage = read_video_sound(video, picture_clock(video))
    np.testing.assert_array_equal(found, read_sound(tmp_path / "a.mp3"))
    assert str(damage) == ""


def test_pieces_make_the_whole(video: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    whole, _ = read_video_sound(video, picture_clock(video))
    monkeypatch.setattr(video_sound, "PIECE", 2)
    pieces, _ = read_video_sound(video, picture_clock(video))
    assert len(pieces) == len(whole)
    difference = np.abs(pieces - whole)  # of a tone of 0.5, which would be off by more in its phase or its coding
    assert difference.max() < 0.05 and difference.mean() < 0.002


def test_sound_too_short_for_a_spectrogram(tmp_path: Path) -> None:
    path = write_video(tmp_path / "a.mkv", grey([90]), fps=100, sound=tone(0.01, 16_000)[:, None])
    with pytest.raises(DataError, match=r"it lasts 0\.0"):
        read_video_sound(path, picture_clock(path))


@pytest.mark.parametrize("centre", [-1.0, 0.0, 0.4, 1.2345, 2.9, 60.0])
@pytest.mark.parametrize("n_frames", [50, 100, 400])
def test_seconds_are_cut_from_the_whole_spectrogram(centre: float, n_frames: int) -> None:
    waveform = np.random.default_rng(0).standard_normal(48_123).astype(np.float32) + 0.3
    wanted = cut_second(log_mel(waveform), centre, n_frames)
    found = log_mel_second(centred(waveform), centre, n_frames)
    np.testing.assert_allclose(found, wanted, atol=1e-4)
