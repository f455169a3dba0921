"""tools/prepare.py from the owners' files to a trained and evaluated model, of every data set; stopped and gone on."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

import main
from datasets.annotations import AnnotatedSegment, Annotation, read_annotation
from datasets.audio import audio_file, read_sound
from datasets.frame_packs import open_pack, pack_file
from datasets.subtitles import Subtitle, read_subtitles, subtitle_file
from tests import owners, tiny
from tests.media import layout_in, read_clip
from tools import check_dataset, prepare
from tools._inspection import inspect_video

PROJECT = Path(__file__).parents[1]


def run(key: str, source: Path, root: Path, jobs: int = 1) -> int:
    words = ["--dataset", key, "--source", source, "--root", root, "--jobs", jobs]
    return prepare.main([str(word) for word in words])


class Prepared(dict[str, Path]):
    """The root of every data set, prepared when it is first asked for."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def __missing__(self, key: str) -> Path:
        source, root = owners.MAKERS[key](self.folder / key / "source"), self.folder / key / "data"
        assert run(key, source, root) == 0
        self[key] = root
        return root


@pytest.fixture(scope="module")
def prepared(tmp_path_factory: pytest.TempPathFactory) -> Prepared:
    return Prepared(tmp_path_factory.mktemp("owners"))


def annotation_of(root: Path) -> Annotation:
    return read_annotation(root / f"{root.name}.json")


def left_out_of(root: Path) -> dict[str, list[str]]:
    return json.loads((root / "left_out.json").read_text(encoding="utf-8"))["left_out"]


def levels(root: Path, label: str, id: str) -> list[int]:
    """The frames of a video by their mean level."""
    path = pack_file(root / "imgs", label, id)
    return read_clip(path, range(open_pack(path).n_frames)).mean(axis=(1, 2, 3)).round().astype(int).tolist()


@pytest.mark.parametrize("key", owners.MAKERS)
def test_what_is_prepared_is_whole_and_trains(prepared: Prepared, key: str, tmp_path: Path) -> None:
    root = prepared[key]
    annotation, layout = annotation_of(root), layout_in(root)
    findings = check_dataset.inspect_annotation(annotation, root / f"{root.name}.json", layout)
    findings += [finding for video in annotation.videos for finding in inspect_video(video, layout, None)]
    assert {finding.fault for finding in findings} <= {"subtitles missing", "id in several classes"}
    assert all(finding.is_note for finding in findings)
    flags = {"root_path": root, "result_path": tmp_path, "expr_name": "run", "n_epochs": 1, "train_per_class": 2}
    dataset = "custom" if key == "tsl300" else key
    phase = {"pretrain_epochs": 1 if key == "iemocap" else 0}
    assert main.main(tiny.arguments(**flags, **phase, dataset=dataset)) == 0
    metrics = json.loads((tmp_path / "run" / "metrics.json").read_text())
    assert metrics["n_videos"] == len(annotation.subset("validation"))
    assert ("temporal" in metrics) is (key == "tsl300")


def test_videoemotion8(prepared: Prepared) -> None:
    root = prepared["ve8"]
    annotation = annotation_of(root)
    assert (len(annotation.videos), annotation.n_splits) == (24, 3)
    for split in (1, 2, 3):
        training, test = (set(annotation.subset(subset, split)) for subset in ("training", "validation"))
        assert len(training) == 16 and len(test) == 8 and not training & test
    keys = {(video.label, video.id) for video in annotation.videos}
    assert {("Disgust", "both"), ("Fear", "both")} <= keys
    joy = {id for label, id in keys if label == "Joy"}
    assert joy == {"b0", "b1", *(id.removesuffix(".wmv") for id in owners.HOSTILE)}
    assert left_out_of(root) == {}


def test_ekman6_has_one_split_and_its_own_spelling(prepared: Prepared) -> None:
    annotation = annotation_of(prepared["ek6"])
    assert annotation.n_splits == 1
    assert (len(annotation.subset("training")), len(annotation.subset("validation"))) == (12, 6)
    assert pack_file(prepared["ek6"] / "imgs", "anger", "1").is_file()


def test_erato_is_cut_out_of_its_film(prepared: Prepared) -> None:
    root = prepared["perr"]
    annotation = annotation_of(root)
    assert (len(annotation.subset("training")), len(annotation.subset("validation"))) == (6, 5)
    id = "A Film (1999)_2.00to4.50"
    assert levels(root, "Intimate", id) == pytest.approx([60] * 8 + [80] * 8 + [100] * 4, abs=3)
    assert len(read_sound(audio_file(root / "mp3", "Intimate", id))) / 16_000 == pytest.approx(2.5, abs=0.05)
    assert read_subtitles(subtitle_file(root / "srt", "Tense", "said")) == [Subtitle(0.0, 2.0, "Now, I am afraid.")]
    assert left_out_of(root) == {"of val, as there is a test": ["of val"]}


def test_iemocap_shows_the_speaker_and_leaves_out_a_session_a_split(prepared: Prepared) -> None:
    root = prepared["iemocap"]
    annotation = annotation_of(root)
    assert (len(annotation.videos), annotation.n_splits) == (25, 5)
    for split in range(1, 6):
        assert {video.id[:5] for video in annotation.subset("validation", split)} == {f"Ses0{split}"}
        assert len(annotation.subset("training", split)) == 20
    labels = {video.id[-4:]: video.label for video in annotation.videos if video.id.startswith("Ses02")}
    assert labels == {"F000": "Anger", "M001": "Happy", "F002": "Neutral", "M003": "Sadness", "F004": "Happy"}
    # The marked actor, F of session 2 and M of session 1, is on the left, where the picture has the level 120.
    for label, id, level in (
        ("Anger", "Ses02F_impro01_F000", 120),
        ("Happy", "Ses02F_impro01_M001", 220),
        ("Anger", "Ses01M_impro01_F000", 220),
        ("Happy", "Ses01M_impro01_M001", 120),
    ):
        assert levels(root, label, id) == pytest.approx([level] * 10, abs=4)
        assert read_clip(pack_file(root / "imgs", label, id), [0]).shape == (1, 32, 48, 3)
    text = read_subtitles(subtitle_file(root / "srt", "Anger", "Ses02F_impro01_F000"))
    assert text == [Subtitle(0.0, 1.25, "I am so happy, number 0.")]
    assert not subtitle_file(root / "srt", "Sadness", "Ses02F_impro01_M003").exists()
    left_out = {reason: len(names) for reason, names in left_out_of(root).items()}
    assert left_out == {"of another class (fru)": 5, "of another class (xxx)": 5}


def test_affwild2_is_cut_into_runs_of_one_class(prepared: Prepared) -> None:
    root = prepared["affwild2"]
    annotation = annotation_of(root)
    assert [(video.label, video.id) for video in annotation.subset("validation")] == [
        ("Happiness", "10-60-1280x720_left_1to20"),
        ("Sadness", "10-60-1280x720_left_29to48"),
        ("Anger", "10-60-1280x720_right_1to24"),
        ("Surprise", "10-60-1280x720_right_25to48"),
    ]
    assert {video.id for video in annotation.subset("training")} == {
        f"7-60-1920x1080_{first}to{first + 9}" for first in range(1, 70, 10)
    }
    assert levels(root, "Anger", "7-60-1920x1080_11to20") == pytest.approx([40] * 6 + [60] * 4, abs=3)
    assert read_clip(pack_file(root / "imgs", "Sadness", "10-60-1280x720_left_29to48"), [0]).shape == (1, 48, 32, 3)
    assert left_out_of(root) == {
        "another class (Other)": ["7-60-1920x1080_71to75"],
        "without class": ["10-60-1280x720_left_24to28", "7-60-1920x1080_76to80"],
        "shorter than 1 s": ["10-60-1280x720_left_21to23"],
    }


def test_tsl300_has_segments_and_the_sentiment_shown_longest(prepared: Prepared) -> None:
    annotation = annotation_of(prepared["tsl300"])
    assert (annotation.labels, annotation.polarity) == (("Negative", "Positive"), (-1, 1))
    assert [(video.label, video.id) for video in annotation.subset("training")] == [
        ("Negative", "1_Ekman6_disgust_3"),
        ("Positive", "2_Ekman6_joy_1308"),
    ]
    (test,) = annotation.subset("validation")
    assert test.segments == (AnnotatedSegment(1.0, 1.5, "Negative"), AnnotatedSegment(2.0, 3.0, "Positive"))
    assert left_out_of(prepared["tsl300"]) == {"without a segment": ["71_CMU_MOSEI__gzYkdjNvPc"]}


def contents(root: Path) -> dict[str, bytes]:
    return {str(path.relative_to(root)): path.read_bytes() for path in root.rglob("*") if path.is_file()}


def test_killed_and_run_again_it_equals_an_undisturbed_run(
    prepared: Prepared, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    source, root = prepared["iemocap"].parent / "source", tmp_path / "data"
    words = ["--dataset", "iemocap", "--source", str(source), "--root", str(root), "--jobs", "1"]
    process = subprocess.Popen(
        [sys.executable, str(PROJECT / "tools" / "prepare.py"), *words],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
    )
    deadline = time.monotonic() + 60
    while not (any(root.glob("imgs/*/*.zip")) and any(root.glob("imgs/*/.part-*"))):
        assert time.monotonic() < deadline and process.poll() is None
        time.sleep(0.002)
    process.send_signal(signal.SIGKILL)
    process.communicate()
    made = {path: path.stat().st_mtime_ns for path in root.rglob("*") if path.suffix in (".zip", ".mp3")}
    assert 0 < sum(path.suffix == ".zip" for path in made) < 25
    assert not (root / "data.json").exists()
    assert run("iemocap", source, root) == 0
    assert "prepare sound: 0 done, 25 already there" in capsys.readouterr().out
    assert {path: path.stat().st_mtime_ns for path in made} == made
    assert contents(root) == contents(prepared["iemocap"])
    assert run("iemocap", source, root) == 0
    assert "prepare frames: 0 done, 25 already there" in capsys.readouterr().out


def test_unreadable_and_silent_videos_are_left_out_with_the_reason(tmp_path: Path) -> None:
    source = owners.ekman6(tmp_path / "source")
    (source / "Anger" / "1.mp4").write_bytes(b"cut")
    owners.write_video(source / "Joy" / "2.mp4", owners.grey([100] * 8))
    (source / "Anger" / "2.mp4").unlink()
    (source / "Anger" / "extra.mp4").touch()
    (source / "Anger" / "3.avi").touch()
    assert run("ek6", source, tmp_path / "data") == 1
    reasons = left_out_of(tmp_path / "data")
    assert reasons.pop("no sound track") == ["joy/2"]
    assert reasons.pop("in a list, but there is no such video") == ["anger/2"]
    assert reasons.pop("in no list") == [str(source / "Anger" / "extra.mp4")]
    assert reasons.pop("another video of its class has the same name") == [str(source / "Anger" / "3.mp4")]
    ((reason, names),) = reasons.items()
    assert "is no readable video file" in reason and names == ["anger/1", "anger/3"]
    annotation = annotation_of(tmp_path / "data")
    assert len(annotation.videos) == 14
    assert check_dataset.main(["--root_path", str(tmp_path / "data"), "--jobs", "1"]) == 0


def test_a_root_in_which_something_else_is(
    prepared: Prepared, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    source = prepared["ek6"].parent / "source"
    before = contents(prepared["perr"])
    assert run("ek6", source, prepared["perr"]) == 2
    assert "holds perr; give another --root for ek6" in capsys.readouterr().err
    assert contents(prepared["perr"]) == before
    (tmp_path / f"{tmp_path.name}.json").write_text("mine")
    assert run("ek6", source, tmp_path) == 2
    assert "was made by something else; give another --root" in capsys.readouterr().err
    assert contents(tmp_path) == {f"{tmp_path.name}.json": b"mine"}
