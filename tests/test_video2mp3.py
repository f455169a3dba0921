"""tools/video2mp3.py on real videos: second t of the mp3 is second t of the picture, whatever the container does."""

from __future__ import annotations

import contextlib
import io
import re
from pathlib import Path

import numpy as np
import pytest
import soundfile

from datasets.audio import SAMPLE_RATE, read_sound
from datasets.media import MP3_RATES, SoundTrack
from tests.videos import clicks, grey, onsets, write_video
from tools.video2mp3 import main

PICTURES = grey(range(20, 220, 5))  # 4 s at 10 frames a second
EXPECTED = {  # id: sampling rate, channels, onsets in seconds of the picture
    "late mp4": (16_000, 1, [1.5]),
    "late mkv": (16_000, 1, [1.5]),
    "-early 'é'": (16_000, 1, [1.5]),
    "short": (44_100, 2, [0.5]),
    "studio": (48_000, 1, [1.0, 2.5]),
    "plain avi": (22_050, 1, [1.0, 2.5]),
    "plain webm": (48_000, 1, [1.0, 2.5]),
    "damaged mp4": (16_000, 1, [0.5, 3.0]),
    "damaged mkv": (16_000, 1, [0.5, 3.0]),
}


@pytest.fixture(scope="module")
def videos(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("videos") / "Joy"

    def write(name: str, sound: np.ndarray | None, rate: int = 16_000, **more) -> None:
        write_video(folder / name, PICTURES, sound=sound, sound_rate=rate, **more)

    for kind in ("mp4", "mkv"):
        write(f"late {kind}.{kind}", clicks(2, [0.5], 16_000), sound_start=1.0)
        write(f"damaged {kind}.{kind}", clicks(4, [0.5, 3.0], 16_000), broken_sound=range(20, 25))
    write("-early 'é'.mp4", clicks(5, [0.5, 2.5], 16_000), times=[1 + n / 10 for n in range(40)])
    write("short.mkv", clicks(1, [0.5], 44_100, 2) * np.array([1, 0], np.float32), 44_100)
    write("studio.mkv", clicks(4, [1.0, 2.5], 96_000), 96_000)
    write("plain avi.avi", clicks(4, [1.0, 2.5], 22_050), 22_050)
    write("plain webm.webm", clicks(4, [1.0, 2.5], 48_000), 48_000)
    write("mute.mp4", None)
    (folder / "garbage.mp4").write_bytes(bytes(5000))
    return folder.parent


@pytest.fixture(scope="module")
def made(videos: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, int, str, str]:
    """The folder of the mp3 files; status and printed lines of a run that found what a killed run might have left."""
    mp3 = tmp_path_factory.mktemp("mp3")
    (mp3 / "Joy").mkdir()
    (mp3 / "Joy" / "short.mp3").touch()
    (mp3 / "Joy" / ".part-77.new").write_bytes(b"half")
    with contextlib.redirect_stdout(io.StringIO()) as out, contextlib.redirect_stderr(io.StringIO()) as err:
        status = main([str(videos), str(mp3), "--jobs", "2"])
    return mp3, status, out.getvalue(), err.getvalue()


@pytest.mark.parametrize("id", EXPECTED)
def test_sound_keeps_the_time_of_the_picture(made, id):
    rate, channels, instants = EXPECTED[id]
    sound, got_rate = soundfile.read(made[0] / "Joy" / f"{id}.mp3", always_2d=True)
    assert (got_rate, sound.shape[1]) == (rate, channels)
    assert onsets(sound, rate) == pytest.approx(instants, abs=0.01)
    assert len(sound) / rate == pytest.approx(4.0, abs=0.1)  # silence to the picture's end


def test_damaged_packets_become_silence_of_their_length(videos):
    sound = np.random.default_rng(0).choice(np.float32([-0.5, 0.5]), (64_000, 1))
    path = write_video(videos.parent / "noise.mkv", PICTURES, sound=sound, sound_rate=16_000, broken_sound=[20, 21])
    track = SoundTrack(path, MP3_RATES)
    got = np.concatenate(list(track.blocks()))
    assert got.shape == sound.shape
    silent = np.flatnonzero(got[:, 0] == 0)
    length = len(silent) // 2  # of a packet
    assert silent.tolist() == list(range(20 * length, 22 * length))
    heard = np.flatnonzero(got[:, 0])
    assert np.abs(got[heard] - sound[heard]).max() < 1e-3  # FLAC is lossless: all else is in its place
    assert str(track.damage) == "damaged packets skipped: 2"


def test_channels_keep_their_sides(made):
    sound, _ = soundfile.read(made[0] / "Joy" / "short.mp3", always_2d=True)
    left, right = np.abs(sound).max(axis=0)
    assert left > 0.4
    assert right < 0.05


def test_training_reads_it(made):
    sound = read_sound(made[0] / "Joy" / "short.mp3")
    assert len(sound) == pytest.approx(4 * SAMPLE_RATE, abs=SAMPLE_RATE / 10)


def test_each_failure_is_one_line(made):
    mp3, status, out, err = made
    assert status == 1
    assert re.fullmatch(r"video2mp3: 9 done \(2 damaged\), 0 already there, 2 failed, \d+ s\n", out)
    failed = sorted(line.split("/Joy/")[1] for line in err.splitlines() if "FAILED" in line)
    assert failed[0].startswith("garbage.mp4: is no readable video file")
    assert failed[1:] == ["mute.mp4: no sound track"]
    assert sorted(path.stem for path in (mp3 / "Joy").iterdir()) == sorted(EXPECTED)


def test_the_next_run_does_nothing_twice(videos, made, capsys):
    mp3 = made[0]
    before = {path: path.stat().st_mtime_ns for path in mp3.rglob("*.mp3")}
    assert main([str(videos), str(mp3), "--jobs", "1"]) == 1
    assert re.fullmatch(r"video2mp3: 0 done, 9 already there, 2 failed, \d+ s\n", capsys.readouterr().out)
    assert {path: path.stat().st_mtime_ns for path in mp3.rglob("*.mp3")} == before


def test_wrong_folder_is_one_line(tmp_path, capsys):
    assert main([str(tmp_path / "missing"), str(tmp_path / "mp3")]) == 2
    assert capsys.readouterr().err.count("\n") == 1
