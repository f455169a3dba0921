"""The command --predict on small videos of every kind: what it prints, writes, refuses and survives."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
from pathlib import Path

import cv2
import numpy as np
import pytest
import soundfile
import torch

import main
import opts
from core.checkpoint import load_checkpoint
from core.prediction import Prediction
from core.report import one_line
from datasets.benchmarks import BENCHMARKS
from datasets.media import MP3_RATES
from tests import models, tiny
from tests.children import Moment, start
from tests.media import tone, write_subtitles
from tests.videos import grey, write_video
from tools import video2imgs, video2mp3

PROJECT = Path(__file__).parents[1]
LEVELS = list(range(10, 250, 10))  # 24 pictures, 2.4 s, 5 segments
SOUND = tone(2.4, 16_000)[:, None]


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return models.write_checkpoint(tmp_path_factory.mktemp("model") / "last.pt")


@pytest.fixture(scope="module")
def video(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("video") / "talk.mp4"
    write_subtitles(
        path.with_suffix(".srt"),
        [("00:00:00,000", "00:00:00,400", "what a joy"), ("00:00:02,000", "00:00:02,300", "sad")],
    )
    return write_video(path, grey(LEVELS), sound=SOUND)


@pytest.fixture(autouse=True)
def elsewhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "here").mkdir()
    monkeypatch.chdir(tmp_path / "here")


def predict(checkpoint: Path, *words: object) -> int:
    return main.main(["--predict", *map(str, words), "--checkpoint", str(checkpoint)])


def test_a_prediction_and_its_folder(checkpoint: Path, video: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert predict(checkpoint, video) == 0
    out = capsys.readouterr().out.splitlines()
    assert out[-3].startswith(f"{video}: ")
    assert out[-2:] == ["  page: predictions/talk/report.html", "predicted 1 of 1 videos"]
    folder = Path("predictions/talk")
    found = json.loads((folder / "prediction.json").read_text())
    assert (found["schema"], found["file"], found["duration"]) == (1, str(video), 2.4)
    assert found["model"] == {"checkpoint": str(checkpoint), "epoch": 3, "dataset": "ve8"}
    assert (found["sound"], found["subtitles"], found["notes"]) == (True, str(video.with_suffix(".srt")), [])
    assert [segment["text"] for segment in found["segments"]] == ["what a joy", "", "", "", "sad"]
    word = found["segments"][0]["words"][0]
    assert (word["text"], word["at"], word["sentiment"]) == ("joy", [7, 10], 1)
    assert word["passed"] in ("none", "sentiment", "emotion", "degree")
    assert word["verified"] == (word["passed"] == "degree"), "the stage of the stored run"
    for numbers in (found["probabilities"], *(segment["probabilities"] for segment in found["segments"])):
        assert list(numbers) == list(models.CLASSES) and sum(numbers.values()) == pytest.approx(1)
    assert sum(segment["degree"] for segment in found["segments"]) == pytest.approx(1)
    assert (folder / "segments.csv").read_text().count("\n") == 6

    names = {"prediction.json", "report.html", "segments.csv", "timeline.png", "video.mp4"}
    assert {path.name for path in folder.iterdir()} == names
    page = (folder / "report.html").read_text()
    assert 'src="video.mp4"' in page and page.count("data:image/jpeg") == 5
    assert (folder / "video.mp4").samefile(video)

    before = (folder / "prediction.json").read_bytes()
    assert predict(checkpoint, video) == 2
    last = capsys.readouterr().out.splitlines()[-2]
    assert last == f"FAILED {video}: {folder} is there already; add --overwrite, or choose another --out"
    assert predict(checkpoint, video, "--overwrite") == 0
    assert (folder / "prediction.json").read_bytes() == before, "the same again"


@pytest.mark.parametrize(("number", "status"), [(signal.SIGTERM, 143), (signal.SIGKILL, -9)])
def test_an_interrupted_prediction_leaves_no_half_folder(
    number: signal.Signals, status: int, checkpoint: Path, video: Path, tmp_path: Path
) -> None:
    words = ["--predict", str(video), "--checkpoint", str(checkpoint), "--out", str(tmp_path / "o"), "--device", "cpu"]
    child = start(words, tmp_path / "log.txt", signal_at=(number, Moment("main:write_page")))
    assert child.wait() == status, child.log.read_text()
    assert [path.name.partition("-")[0] for path in (tmp_path / "o").iterdir()] == [".part"] * (status < 0)
    assert main.main(words) == 0
    assert [path.name for path in (tmp_path / "o").iterdir()] == ["talk"]
    assert len(list((tmp_path / "o" / "talk").iterdir())) == 5


def test_a_page_holds_its_video_where_that_is_asked_for(checkpoint: Path, video: Path) -> None:
    assert predict(checkpoint, video, "--embed", "--out", "o") == 0
    assert "data:video/mp4;base64," in Path("o/talk/report.html").read_text()
    assert not Path("o/talk/video.mp4").exists()


def test_the_web_app_predicts_uploads(checkpoint: Path, video: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    called = {}

    def serve(read, page, as_json, errors, *, examples, title, port) -> None:
        called.update(read=read, page=page, as_json=as_json, errors=errors, port=port)

    monkeypatch.setattr(main.web_app, "serve", serve)
    assert main.main(["--serve", "--checkpoint", str(checkpoint), "--port", "1234"]) == 0
    other = video.with_name("other.srt")
    write_subtitles(other, [("00:00:00,000", "00:00:00,400", "so sad")])
    with_its_own, thumbnails = called["read"](video, other)
    assert [with_its_own.segments[0].text, called["read"](video, None)[0].segments[0].text] == ["so sad", "what a joy"]
    page = called["page"](with_its_own, thumbnails, video)
    assert "data:video/mp4;base64," in page and "talk.mp4" in page
    assert called["as_json"](with_its_own)["schema"] == 1 and called["port"] == 1234
    with pytest.raises(called["errors"], match="has no picture"):
        called["read"](other, None)


def test_it_says_what_evaluation_says_of_the_same_video(checkpoint: Path, video: Path, tmp_path: Path) -> None:
    root = tmp_path / "data"
    for name in ("imgs", "mp3"):
        (root / name / "Joy").mkdir(parents=True)
    video2imgs.extract(video, root / "imgs" / "Joy" / "talk", short_side=240, quality=90, fps=None)
    video2mp3.extract(video, root / "mp3" / "Joy" / "talk.mp3")
    entry = {"subset": "validation", "annotations": {"label": "Joy"}}
    (root / "data.json").write_text(json.dumps({"labels": models.CLASSES, "database": {"talk": entry}}))
    stored = load_checkpoint(checkpoint)
    flags = opts.parse(["--eval", "--checkpoint", str(checkpoint), "--root_path", str(root)], stored["flags"])
    benchmark, _, videos = main.read_splits(flags)
    settings = main.step_settings(flags, benchmark.polarity)
    loader = main.open_loader(flags, benchmark, videos, "test")
    scored = main.evaluation.predict_split(
        main.stored_recogniser(flags, stored).eval(), loader, settings, n_batches=1, name="test"
    )
    prediction, _ = predictor(checkpoint)(video, None)
    expected = torch.from_numpy(scored.scores[0]).softmax(dim=0).tolist()
    assert prediction.probabilities == pytest.approx(expected, abs=1e-3) and max(expected) > 0.2
    temporal = [[p * segment.degree for p in segment.probabilities] for segment in prediction.segments]
    np.testing.assert_allclose(temporal, scored.temporal[0], atol=1e-3)


def predictor(checkpoint: Path, *words: str):
    stored = load_checkpoint(checkpoint)
    argv = ["--predict", "x", "--checkpoint", str(checkpoint), *words]
    return main.open_predictor(opts.parse(argv, stored["flags"]), stored)


def test_segments_are_those_of_training_or_as_asked_for(checkpoint: Path, video: Path, tmp_path: Path) -> None:
    assert predict(checkpoint, video, "--json", "a.json", "--segment_seconds", 1) == 0
    found = json.loads(Path("a.json").read_text())
    assert [segment["end"] for segment in found["segments"]] == pytest.approx([1.2, 2.4])
    assert not Path("predictions").exists(), "only what was asked for"


def test_a_folder_with_a_bad_file_goes_on(checkpoint: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    folder = tmp_path / "videos"
    write_video(folder / "a.mp4", grey(LEVELS), sound=SOUND)
    write_video(folder / "deep" / "a.webm", grey(LEVELS[:8]))
    (folder / "b.mp4").write_bytes(bytes(5000))
    soundfile.write(folder / "c.mp3", SOUND, MP3_RATES[3])
    (folder / "c.mp3").rename(folder / "c.mkv")
    assert predict(checkpoint, folder, "--json", "all.json", "--csv", "all.csv", "--out", "o") == 1
    out = capsys.readouterr().out.splitlines()
    assert [line.split(": ")[1].split(" (")[0] for line in out if line.startswith("FAILED")] == [
        "is no readable video file",
        "has no picture",
    ]
    assert "  No sound track: it was scored without." in out
    assert out[-1] == f"predicted 2 of 4 videos; failed: {folder}/b.mp4, {folder}/c.mkv"
    found = json.loads(Path("all.json").read_text())
    assert [entry["file"] for entry in found] == [f"{folder}/a.mp4", f"{folder}/deep/a.webm"]
    assert [entry["sound"] for entry in found] == [True, False]
    assert len(Path("all.csv").read_text().splitlines()) == 1 + 5 + 2
    assert {str(path) for path in Path("o").rglob("*.json")} == {"o/a/prediction.json", "o/a-2/prediction.json"}
    assert predict(checkpoint, folder / "b.mp4", "--json", "none.json") == 2
    assert not Path("none.json").exists()


@pytest.mark.parametrize(
    ("error", "said"),
    [
        (torch.OutOfMemoryError("Tried to allocate 2 GiB"), "memory on the GPU ran out (Tried to allocate 2 GiB): "),
        (MemoryError(), "memory of the machine ran out: close other programs, or use --device cpu"),
        (RuntimeError("a\nb"), "RuntimeError: a\\nb; --debug shows where"),
    ],
)
def test_a_video_that_the_machine_cannot_take_does_not_stop_the_others(
    error: Exception, said: str, checkpoint: Path, video: Path, monkeypatch: pytest.MonkeyPatch, capsys
) -> None:
    predictor = main.Predictor.__call__

    def fail_at_first(self: main.Predictor, opened: object) -> object:
        monkeypatch.setattr(main.Predictor, "__call__", predictor)
        raise error

    shutil.copy(video, "second.mp4")
    monkeypatch.setattr(main.Predictor, "__call__", fail_at_first)
    assert predict(checkpoint, video, "second.mp4", "--json", "all.json") == 1
    assert f"FAILED {video}: {said}" in capsys.readouterr().out
    assert [found["file"] for found in json.loads(Path("all.json").read_text())] == ["second.mp4"]


@pytest.mark.parametrize("name", ["a\nb \"q\" 'é' %d 怒.mp4", "-dash.mp4", "..mp4", os.fsdecode(b"\xff\xfe.mp4")])
def test_any_name(checkpoint: Path, video: Path, tmp_path: Path, name: str, capsys: pytest.CaptureFixture[str]) -> None:
    folder = tmp_path / "odd"
    folder.mkdir()
    (folder / name).write_bytes(video.read_bytes())
    status = predict(checkpoint, folder / name, "--csv", "a.csv", "--json", "a.json", "--out", "o")
    out = capsys.readouterr().out
    assert status == 0 and json.loads(Path("a.json").read_text())["file"] == str(folder / name)
    assert len(list(Path("o").glob("*/prediction.json"))) == 1
    result, _, summary = out.splitlines()[-3:]
    assert result.startswith(f"{one_line(folder / name)}: ") and summary == "predicted 1 of 1 videos"


def test_subtitles_that_are_asked_for_and_those_that_are_damaged(
    checkpoint: Path, video: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    other = tmp_path / "other.srt"
    write_subtitles(other, [("00:00:00,000", "00:00:09,000", "fear")])
    assert predict(checkpoint, video, "--json", "a.json", "--srt", other) == 0
    found = json.loads(Path("a.json").read_text())
    assert found["subtitles"] == str(other) and {segment["text"] for segment in found["segments"]} == {"fear"}
    other.write_bytes(bytes(range(256)) * 9)
    assert predict(checkpoint, video, "--json", "a.json", "--srt", other) == 2
    assert "is not text" in capsys.readouterr().out
    beside = tmp_path / "talk.mp4"
    beside.write_bytes(video.read_bytes())
    other.rename(tmp_path / "talk.srt")
    assert predict(checkpoint, beside, "--json", "a.json") == 0
    found = json.loads(Path("a.json").read_text())
    assert found["subtitles"] is None and found["notes"][0].startswith("Its subtitles were left out (")


def test_speech_is_recognised_where_there_are_no_subtitles(
    checkpoint: Path, video: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from datasets import speech
    from datasets.subtitles import Subtitle

    def recognise(model: object, sound: np.ndarray) -> list[Subtitle]:
        assert model == "model" and len(sound) / 16_000 == pytest.approx(2.4, abs=0.1)
        return [Subtitle(0.0, 0.3, "I am so happy.")]

    monkeypatch.setattr(speech, "load_model", lambda folder: "model")
    monkeypatch.setattr(speech, "model_folder", lambda model, flag: Path(model))
    monkeypatch.setattr(speech, "recognise", recognise)
    silent = tmp_path / "silent.mp4"
    silent.write_bytes(video.read_bytes())
    write_video(tmp_path / "mute.mp4", grey(LEVELS))
    assert predict(checkpoint, silent, video, tmp_path / "mute.mp4", "--text", "--json", "a.json") == 0
    spoken, written, mute = json.loads(Path("a.json").read_text())
    assert spoken["subtitles"] == "speech recognition" and spoken["segments"][0]["text"] == "I am so happy."
    assert [word["text"] for word in spoken["segments"][0]["words"]] == ["happy"]
    assert written["subtitles"] == str(video.with_suffix(".srt")) and mute["subtitles"] is None


def test_models_of_older_versions(video: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    old = models.write_checkpoint(tmp_path / "old.pt", polarity=None, segment_seconds=None)
    assert predict(old, video, "--json", "a.json") == 2
    assert capsys.readouterr().err == f"error: {old} does not say how long its segments are: give --segment_seconds\n"
    assert predict(old, video, "--json", "a.json", "--segment_seconds", 0.5) == 0
    assert json.loads(Path("a.json").read_text())["polarity"] == list(BENCHMARKS["ve8"].polarity)
    flags = load_checkpoint(old)["flags"] | {"dataset": "custom"}
    assert predict(models.write_checkpoint(tmp_path / "own.pt", flags=flags, polarity=None), video) == 2
    message = capsys.readouterr().err
    assert "does not say which of Anger, Anticipation" in message and message.count("\n") == 1
    own = models.write_checkpoint(tmp_path / "own.pt", flags=flags, polarity=[0] * 7 + [1])
    assert predict(own, video, "--json", "a.json") == 0
    assert json.loads(Path("a.json").read_text())["polarity"] == [0] * 7 + [1]


WRONG = {
    "no checkpoint": (["--predict", "a.mp4"], "--predict needs --checkpoint"),
    "two things": (["--predict", "a.mp4", "--eval"], "--eval and --predict: one at a time"),
    "resumed": (["--predict", "a.mp4", "--resume"], "no --resume"),
    "eval with csv": (["--eval", "--checkpoint", "x", "--csv", "a.csv"], "--csv goes with --predict"),
    "training with text": (["--text"], "--text goes with --predict or --serve"),
    "predict with report": (["--predict", "a.mp4", "--checkpoint", "x", "--report"], "--report goes with --eval"),
    "srt of many": (["--predict", "a.mp4", "b.mp4", "--checkpoint", "x", "--srt", "a.srt"], "--srt belongs to one"),
    "srt of a folder": (["--predict", ".", "--checkpoint", "x", "--srt", "a.srt"], "--srt belongs to one"),
    "srt and text": (["--predict", "a.mp4", "--checkpoint", "x", "--srt", "a.srt", "--text"], "leave it out, or --srt"),
    "no folder": (["--predict", "a.mp4", "--checkpoint", "x", "--csv", "no/a.csv"], "--csv no/a.csv: is a folder, or"),
    "a folder": (["--predict", "a.mp4", "--checkpoint", "x", "--json", "."], "--json .: is a folder, or"),
    "one file": (["--predict", "a.mp4", "--checkpoint", "x", "--json", "a", "--csv", "a"], "two files need two names"),
}


@pytest.mark.parametrize("name", WRONG)
def test_flags_that_do_not_go_together(name: str, capsys: pytest.CaptureFixture[str]) -> None:
    words, said = WRONG[name]
    assert main.main(words) == 2
    message = capsys.readouterr().err
    assert message.startswith("error: ") and message.count("\n") == 1 and said in message


def test_wrong_places(checkpoint: Path, video: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for words, said in (
        ([tmp_path / "none.mp4"], "none.mp4: no such file or folder"),
        ([tmp_path / "here"], "holds no video"),
        ([video, "--out", checkpoint], str(checkpoint)),
        ([video, "--speech_model", tmp_path, "--text"], "has no config.json"),
    ):
        assert predict(checkpoint, *words) == 2
        message = capsys.readouterr().err
        assert said in message and message.count("\n") == 1


def test_one_process_only(
    checkpoint: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("TORCHELASTIC_RUN_ID", "1")
    assert predict(checkpoint, "a.mp4") == 2
    assert "start it with python, not with torchrun" in capsys.readouterr().err


def test_a_run_stores_how_long_its_segments_are(tiny_dataset: Path, tmp_path: Path) -> None:
    words = tiny.arguments(root_path=tiny_dataset, result_path=tmp_path, expr_name="r", pretrain_epochs=0, debug=True)
    assert main.main(words) == 0
    stored = load_checkpoint(tmp_path / "r" / "last.pt")
    assert stored["segment_seconds"] == pytest.approx(2.0), "4 s in two segments"
    assert tuple(stored["polarity"]) == BENCHMARKS["ve8"].polarity
    source = next((tiny_dataset / "videos" / "Joy").iterdir())
    assert predict(tmp_path / "r" / "last.pt", source, "--json", "a.json") == 0
    assert len(json.loads(Path("a.json").read_text())["segments"]) == 2


MEASURE = """
import resource, sys
from pathlib import Path
import main, opts
from core.checkpoint import load_checkpoint
peak = lambda: resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
checkpoint, *videos = sys.argv[1:]
stored = load_checkpoint(Path(checkpoint))
argv = ["--predict", *videos, "--checkpoint", checkpoint, "--segment_seconds", "1"]
predict = main.open_predictor(opts.parse(argv, stored["flags"]), stored)
for video in videos:
    prediction, _ = predict(Path(video), None)
    print(len(prediction.segments), peak())
"""


def test_memory_does_not_grow_with_the_pictures(checkpoint: Path, tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    wide = cv2.resize(rng.integers(0, 255, (12, 40, 3), dtype=np.uint8), (800, 240), interpolation=cv2.INTER_CUBIC)
    for name, seconds in (("short", 6), ("long", 60)):
        sound = rng.normal(0, 0.1, (seconds * 16_000, 1)).astype(np.float32)
        shown = [np.ascontiguousarray(wide[:, shift : shift + 320]) for shift in range(seconds * 8)]
        write_video(tmp_path / f"{name}.mkv", shown, fps=8, sound=sound)
    words = [sys.executable, "-c", MEASURE, checkpoint, *(tmp_path / f"{name}.mkv" for name in ("short", "long"))]
    done = subprocess.run(words, cwd=PROJECT, capture_output=True, text=True, check=True)
    (n_short, short), (n_long, long) = (map(float, line.split()) for line in done.stdout.splitlines()[-2:])
    assert (n_short, n_long) == (6, 60)
    assert long - short < 50, "megabytes, of which the pictures alone would take 110"


def test_the_predictor_gives_a_picture_of_each_segment(checkpoint: Path, video: Path) -> None:
    prediction, thumbnails = predictor(checkpoint)(video, None)
    assert isinstance(prediction, Prediction) and len(thumbnails) == len(prediction.segments) == 5
    assert all(thumbnail.startswith(b"\xff\xd8") for thumbnail in thumbnails)
