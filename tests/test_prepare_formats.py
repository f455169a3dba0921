"""What the modules of tools/prepare.py say of an owner's folder that is not as they expect it, in one line."""

from __future__ import annotations

import json
import re
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from datasets.benchmarks import BENCHMARKS
from tests import owners
from tools import _prepare_affwild2, prepare
from tools._clips import Listing, bare_name


@pytest.fixture(scope="module")
def originals(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    folder = tmp_path_factory.mktemp("originals")
    return {key: make(folder / key) for key, make in owners.MAKERS.items()}


@pytest.fixture
def source_of(originals: dict[str, Path], tmp_path: Path) -> Callable[[str], Path]:
    """A copy of an owner's folder that a test may spoil."""
    return lambda key: Path(shutil.copytree(originals[key], tmp_path / "source"))


def listed(key: str, source: Path) -> Listing:
    classes = BENCHMARKS[key].classes if key in BENCHMARKS else ("Negative", "Positive")
    return prepare.OWNERS[key].list_clips(source, classes)


def replace(path: Path, old: str, new: str) -> None:
    text = path.read_text(encoding="utf-8")
    assert old in text
    path.write_text(text.replace(old, new, 1), encoding="utf-8")


def erato_list(**change: object) -> Callable[[Path], object]:
    """Spoils others.json: one more entry, with these columns."""
    row = {"video": "x", "label": "Mild", "subset": "train", "id": "new"}
    return lambda source: (source / "others.json").write_text(
        json.dumps([{name: value for name, value in (row | change).items() if value is not None}])
    )


def tsl300_entry(**change: object) -> Callable[[Path], object]:
    entry = {"subset": "train", "annotations": [{"segment": ["1", "2"], "label": "p"}]}
    return lambda source: (source / "videosenti_gt.json").write_text(json.dumps({"database": {"a": entry | change}}))


DIALOG = "Session3/dialog/EmoEvaluation/Ses03M_impro01.txt"
TRANSCRIPTS = "Session3/dialog/transcriptions/Ses03M_impro01.txt"
PERSON = "annotations/EXPR_Set/Train_Set/7-60-1920x1080.txt"
HEAD = "Neutral,Anger,Disgust,Fear,Happiness,Sadness,Surprise,Other"
FAULTS = [
    (
        "ve8",
        lambda s: shutil.rmtree(s / "lists"),
        "holds no lists of the splits (trainlist01.txt, testlist01.txt, ...)",
    ),
    ("ve8", lambda s: (s / "lists/testlist02.txt").unlink(), "trainlist02.txt: there is no test list of that split"),
    ("ve8", lambda s: shutil.copy(s / "lists/testlist02.txt", s / "test_2.txt"), "is another list of the same split"),
    ("ve8", lambda s: replace(s / "lists/trainlist01.txt", "Anger/a1", "Anger-a1"), "'Anger-a1' is not label/id"),
    ("ve8", lambda s: replace(s / "lists/trainlist01.txt", "Anger/a1", "Rage/a1"), "class 'Rage' is not in"),
    ("ve8", lambda s: replace(s / "lists/testlist01.txt", "Trust/b0", "Anger/a1"), "Anger/a1 is in"),
    ("ve8", lambda s: shutil.rmtree(s / "videos"), "holds no video"),
    (
        "ek6",
        lambda s: [path.rename(f"{path}_") for path in s.iterdir() if path.is_dir()],
        "(18 not in a folder of a class;",
    ),
    ("perr", lambda s: [path.unlink() for path in (s / "train.csv", s / "others.json")], "holds no list of the clips"),
    ("perr", lambda s: (s / "others.json").write_text("{"), "others.json: no JSON"),
    ("perr", lambda s: (s / "others.json").write_text('{"a": 1}'), "others.json: is not a list of objects"),
    (
        "perr",
        lambda s: replace(s / "train.csv", "intimate", "cosy"),
        "train.csv:4: label 'cosy' is none of Neutral, Mild",
    ),
    (
        "perr",
        lambda s: replace(s / "train.csv", "label", "emotion"),
        "train.csv:2: has no 'label'; its columns are 'video,",
    ),
    ("perr", erato_list(video=None), "others.json, entry 1: has no 'video'"),
    ("perr", erato_list(subset=None), "others.json, entry 1: subset 'others' is none of train, val, test"),
    ("perr", erato_list(start=1), "entry 1: has only one of 'start' and 'end'"),
    ("perr", erato_list(start="1 min", end=9), "entry 1: '1 min' is no time, 83.5 or 00:01:23.5"),
    ("perr", erato_list(start="00:02", end="1.5"), "entry 1: ends at 1.5 s, not after its start at 2 s"),
    ("perr", erato_list(label="Tense", id="said"), "train.csv:7: 'Tense/said' is in"),
    ("perr", lambda s: shutil.copy(s / "clips/x.mp4", s / "films/x.mp4"), "has the same name as"),
    (
        "iemocap",
        lambda s: shutil.rmtree(s / "Session3"),
        "holds no *.txt; SOURCE is the folder of Session1 to Session5",
    ),
    ("iemocap", lambda s: replace(s / DIALOG, "\tneu\t", "\t"), "Ses03M_impro01.txt:11: '[2.2500 - 3.5000]"),
    (
        "iemocap",
        lambda s: replace(s / DIALOG, "- 3.5000", "- 1.5000"),
        ":11: 'Ses03M_impro01_F002' ends at 1.5 s, before",
    ),
    ("iemocap", lambda s: (s / DIALOG).write_text("% nothing\n"), "Ses03M_impro01.txt: holds no line [START - END]"),
    ("iemocap", lambda s: (s / TRANSCRIPTS).unlink(), "transcriptions/Ses03M_impro01.txt: No such file"),
    ("iemocap", lambda s: (s / TRANSCRIPTS).write_text("F: words\n"), "holds no line NAME [START-END]: TEXT"),
    (
        "affwild2",
        lambda s: (s / "annotations/EXPR_Set").rename(s / "x"),
        "one folder *EXPR*/Train_Set, but there are 0",
    ),
    ("affwild2", lambda s: shutil.copytree(s / "annotations/EXPR_Set", s / "EXPR"), "but there are 2"),
    ("affwild2", lambda s: (s / PERSON).unlink(), "EXPR_Set/Train_Set: holds no *.txt"),
    (
        "affwild2",
        lambda s: replace(s / PERSON, "Disgust,Fear", "Fear,Disgust"),
        "080.txt:1: 'Neutral,Anger,Fear,Disgust",
    ),
    ("affwild2", lambda s: replace(s / PERSON, "\n1\n", "\n8\n"), ":12: '8' is no number of a class, -1 to 7"),
    ("affwild2", lambda s: replace(s / PERSON, "\n1\n", "\n\n"), ":12: '' is no number of a class"),
    ("affwild2", lambda s: shutil.copy(s / "batch1/7-60-1920x1080.mp4", s / "batch2"), "has the same name as"),
    ("tsl300", lambda s: (s / "videosenti_gt.json").rename(s / "gt.json"), "holds no videosenti_gt.json"),
    ("tsl300", lambda s: (s / "videosenti_gt.json").write_text("[]"), "videosenti_gt.json: is not JSON of the form"),
    ("tsl300", tsl300_entry(subset="val"), "entry 'a' is not {\"subset\""),
    ("tsl300", tsl300_entry(annotations=[{"segment": ["2", "1"], "label": "p"}]), "entry 'a' is not"),
    ("tsl300", tsl300_entry(annotations=[{"segment": ["1", "2"], "label": "joy"}]), "entry 'a' is not"),
    (
        "ek6",
        lambda s: (s / "Ekman6_train.txt").write_text("Anger/x 0\n"),
        "no training video is left (12 in no list; 1 in",
    ),
    ("tsl300", tsl300_entry(annotations={}), "no video is left (1 without a segment); see python tools/prepare.py"),
]


@pytest.mark.parametrize(("key", "spoil", "said"), FAULTS)
def test_what_is_wrong_is_one_line_and_nothing_is_written(
    source_of: Callable[[str], Path],
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    key: str,
    spoil: Callable[[Path], object],
    said: str,
) -> None:
    source = source_of(key)
    spoil(source)
    assert prepare.main(["--dataset", key, "--source", str(source), "--root", str(tmp_path / "data")]) == 2
    err = capsys.readouterr().err
    assert said in err and err.count("\n") == 1
    assert not (tmp_path / "data").exists()


def test_the_folder_has_to_be_there(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert prepare.main(["--dataset", "ek6", "--source", str(tmp_path / "x"), "--root", str(tmp_path)]) == 2
    assert "x is no folder; give the one that came from the owners" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("name", "bare"),
    [
        ("a.mp4", "a"), ("a.wmv.mp4", "a"), ("v1.2 final..MKV", "v1.2 final."), ("-a", "-a"), (".mp4", ".mp4"),
        ("caf\N{LATIN SMALL LETTER E}\N{COMBINING ACUTE ACCENT}.avi", "caf\N{LATIN SMALL LETTER E WITH ACUTE}"),
    ],
)  # fmt: skip
def test_bare_name(name: str, bare: str) -> None:
    assert bare_name(name) == bare


def test_names_that_cannot_be_those_of_files_are_left_out(source_of: Callable[[str], Path], tmp_path: Path) -> None:
    source = source_of("tsl300")
    shutil.copy(source / "vid" / "test" / "9_CMU_MOSEI_lzVA--tIse0.mp4", source / "a\\b.mp4")
    tsl300_entry()(source)
    replace(source / "videosenti_gt.json", '"a"', '"a\\\\b"')
    listing = listed("tsl300", source)
    assert [clip.source.id for clip in listing.clips] == ["a\\b"]
    assert prepare._usable(listing) == []
    assert dict(listing.left_out) == {"its name cannot be that of a file": ["Positive/a\\b"]}


def test_numbers_of_classes_in_another_order(source_of: Callable[[str], Path]) -> None:
    """Those of the owners, which need not be those of the alphabet."""
    source = source_of("ve8")
    before = listed("ve8", source)
    for path in source.rglob("*list*.txt"):
        lines = [re.sub(r"\s+\d+$", "", line) for line in path.read_text().splitlines()]
        path.write_text("".join(f"{line} {len(line.partition('/')[0]) + 20}\n" for line in lines if line.strip()))
    after = listed("ve8", source)
    assert after.clips == before.clips and after.left_out == before.left_out


def test_videos_that_are_not_there_are_left_out(source_of: Callable[[str], Path]) -> None:
    source = source_of("iemocap")
    (source / "Session3/dialog/avi/DivX/Ses03M_impro01.avi").unlink()
    listing = listed("iemocap", source)
    assert len(listing.clips) == 20
    assert len(listing.left_out["there is no Ses03M_impro01.avi"]) == 5


def test_a_file_of_affwild2_that_belongs_to_another_video_or_to_none(source_of: Callable[[str], Path]) -> None:
    source = source_of("affwild2")
    (source / PERSON).write_text("\n".join([HEAD, *["1"] * 60]))
    owners.write_lines(source / "annotations/EXPR_Set/Train_Set/gone.txt", [HEAD, "1"])
    listing = listed("affwild2", source)
    assert {clip.subsets for clip in listing.clips} == {("validation",)}
    assert listing.left_out["60 lines for 80 frames"] == ["7-60-1920x1080"]
    assert listing.left_out["there is no such video"] == ["gone"]


def test_the_class_of_other_may_lack(tmp_path: Path) -> None:
    path = owners.write_lines(tmp_path / "a.txt", [HEAD.removesuffix(",Other"), "0", "-5", "6"])
    assert _prepare_affwild2.read_classes(path, BENCHMARKS["affwild2"].classes) == ["Neutral", "", "Surprise"]


def test_erato_tests_on_val_where_nothing_is_in_test(source_of: Callable[[str], Path]) -> None:
    source = source_of("perr")
    erato_list(subset="val")(source)
    listing = listed("perr", source)
    assert [clip.source.id for clip in listing.clips if clip.subsets == ("validation",)] == ["new"]
    assert not listing.left_out
