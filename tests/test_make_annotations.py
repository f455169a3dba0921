"""tools/make_annotations.py: the lists that benchmarks come with, drawn splits, and what is wrong with either."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest

from datasets.annotations import AnnotatedSegment, benchmark_of, read_annotation
from tools.make_annotations import main, parse_polarity

VE8 = ("Anger", "Anticipation", "Disgust", "Fear", "Joy", "Sadness", "Surprise", "Trust")


def write(path: Path, *lines: str, end: str = "\n", encoding: str = "utf-8") -> str:
    path.write_bytes((end.join(lines) + end).encode(encoding))
    return str(path)


class Lists:
    """Runs the tool on lists in a folder; `made` is the annotation, `err` the printed errors and notes."""

    def __init__(self, folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
        self.folder, self.capsys = folder, capsys
        self.output = folder / "out" / "x.json"
        self.classes("1 Anger", "2 Joy")

    def classes(self, *lines: str) -> None:
        write(self.folder / "classes.txt", *lines)

    def run(self, train: list[str], test: list[str], *more: str) -> int:
        files = [write(self.folder / "train.txt", *train), write(self.folder / "test.txt", *test)]
        classes = str(self.folder / "classes.txt")
        status = main([str(self.output), "--classes", classes, "--train", files[0], "--test", files[1], *more])
        self.out, self.err = self.capsys.readouterr()
        return status

    def keys(self, subset: str) -> list[tuple[str, str]]:
        return [(video.label, video.id) for video in read_annotation(self.output).subset(subset)]


@pytest.fixture
def lists(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> Lists:
    return Lists(tmp_path, capsys)


def test_videoemotion8(lists):
    lists.classes(*(f"{number} {name}" for number, name in enumerate(VE8, 1)))
    assert lists.run([f"{name}/a{name}" for name in VE8] + ["Fear/both"], ["Disgust/both", "Joy/b"]) == 0
    annotation = read_annotation(lists.output)
    assert annotation.labels == VE8
    assert benchmark_of(annotation, "ve8").classes == VE8
    assert (len(annotation.subset("training")), len(annotation.subset("validation"))) == (9, 2)
    # The one id of two classes stays two videos.
    assert ("Fear", "both") in lists.keys("training")
    assert ("Disgust", "both") in lists.keys("validation")
    assert "id both is in 2 classes" in lists.err
    assert lists.out == "make_annotations: 8 classes, 9 training and 2 validation videos\n"


@pytest.mark.parametrize(
    ("line", "id"),
    [
        ("Joy/clip", "clip"),
        ("Joy/clip.mp4", "clip"),
        ("Joy/clip.MKV", "clip"),
        ("Joy/v1.2 final", "v1.2 final"),
        ('Joy/-it\'s "süß" 怒', '-it\'s "süß" 怒'),
        ("Joy/part 2", "part 2"),
        ("Joy/.mp4", ".mp4"),
        ("Joy/clip\r", "clip"),
    ],
)
def test_ids(lists, line, id):
    assert lists.run([line, "Anger/other"], ["Anger/x", "Joy/y"]) == 0
    assert lists.keys("training") == [("Joy", id), ("Anger", "other")]


@pytest.mark.parametrize("first", [0, 1])
def test_class_numbers_after_the_ids(lists, first):
    train = [f"Anger/a 7.avi {first}", f"Joy/b {first + 1}"]
    assert lists.run(train, ["Joy/part 2", "Joy/part 3"]) == 0
    assert lists.keys("training") == [("Anger", "a 7"), ("Joy", "b")]
    assert lists.keys("validation") == [("Joy", "part 2"), ("Joy", "part 3")]  # 3 is no number of a class


def test_classes_in_the_order_of_their_numbers(lists):
    lists.classes("2 Joy", "1 Anger")
    assert lists.run(["Joy/a"], ["Anger/a2"]) == 0
    assert read_annotation(lists.output).labels == ("Anger", "Joy")
    lists.classes("Joy", "", "Anger")
    assert lists.run(["Joy/a"], ["Anger/a2"]) == 2
    assert "is there already and holds something else; add --overwrite" in lists.err
    assert read_annotation(lists.output).labels == ("Anger", "Joy")
    assert lists.run(["Joy/a"], ["Anger/a2"], "--overwrite") == 0
    assert lists.run(["Joy/a"], ["Anger/a2"]) == 0, "the same again"
    assert read_annotation(lists.output).labels == ("Joy", "Anger")


def test_an_empty_class_is_noted(lists):
    assert lists.run(["Joy/a"], ["Joy/b"]) == 0
    assert "note: class Anger has no training video\n" in lists.err


@pytest.mark.parametrize(
    ("train", "test", "said"),
    [
        (["Joy/a", "Hope/b"], ["Joy/c"], "train.txt:2: class 'Hope' is not in the class index"),
        (["Joy"], ["Joy/c"], "train.txt:1: 'Joy' is not label/id"),
        (["Joy/a", "Joy/a.mp4"], ["Joy/c"], "train.txt: Joy/a is in"),
        (["Joy/a"], ["Joy/a"], "test.txt: Joy/a is in"),
        (["Joy/a/b"], ["Joy/c"], "train.txt:1: 'Joy/a/b' is not label/id"),
        (["Joy/.."], ["Joy/c"], "cannot be a file name"),
    ],
)
def test_wrong_lists_are_one_line_and_write_nothing(lists, train, test, said):
    assert lists.run(train, test) == 2
    assert said in lists.err
    assert lists.err.count("\n") == 1
    assert not lists.output.exists()


def several(lists: Lists, *splits: tuple[list[str], list[str]]) -> int:
    """Runs the tool on one pair of lists per split."""
    words = [str(lists.output), "--classes", str(lists.folder / "classes.txt")]
    for number, (train, test) in enumerate(splits, 1):
        words += ["--train", write(lists.folder / f"train{number}.txt", *train)]
        words += ["--test", write(lists.folder / f"test{number}.txt", *test)]
    status = main(words)
    lists.out, lists.err = lists.capsys.readouterr()
    return status


def test_several_lists_are_several_splits(lists):
    first = (["Joy/a", "Anger/b 2"], ["Joy/c.mp4", "Anger/d"])
    second = (["Anger/d", "Joy/c", "Joy/e"], ["Joy/a"])
    assert several(lists, first, second) == 0
    annotation = read_annotation(lists.output)
    assert {(video.label, video.id): video.subsets for video in annotation.videos} == {
        ("Joy", "a"): ("training", "validation"),
        ("Anger", "b 2"): ("training", None),
        ("Joy", "c"): ("validation", "training"),
        ("Anger", "d"): ("validation", "training"),
        ("Joy", "e"): (None, "training"),
    }
    assert lists.err.splitlines() == [
        "note: --dataset custom needs the sign of every class; give --polarity",
        "note: class Anger has no validation video in split 2",
    ]
    expected = "2 classes, 5 videos, 2 splits of 2-3 training and 1-2 validation videos"
    assert lists.out == f"make_annotations: {expected}\n"


def test_lists_that_do_not_pair_or_overlap_within_a_split(lists):
    assert several(lists, (["Joy/a"], ["Anger/b"]), (["Anger/b"], ["Joy/a", "Anger/b"])) == 2
    assert "test2.txt: Anger/b is in" in lists.err and "train2.txt already" in lists.err
    files = [str(lists.folder / f"{name}1.txt") for name in ("train", "test")]
    classes = ["--classes", str(lists.folder / "classes.txt")]
    assert main([str(lists.output), *classes, "--train", files[0], files[0], "--test", files[1]]) == 2
    assert "2 --train and 1 --test" in lists.capsys.readouterr().err
    assert not lists.output.exists()


@pytest.mark.parametrize(("classes", "said"), [(["1 A", "3 B"], "without gaps"), (["A", "A"], "twice"), ([], "empty")])
def test_wrong_class_index(lists, classes, said):
    lists.classes(*classes)
    assert lists.run(["A/a"], ["A/b"]) == 2
    assert said in lists.err


def test_missing_and_binary_lists(lists):
    lists.run(["Joy/a"], ["Joy/b"])
    base = [str(lists.output), "--classes", str(lists.folder / "classes.txt"), "--train"]
    assert main([*base, str(lists.folder / "none.txt"), "--test", str(lists.folder / "test.txt")]) == 2
    assert "none.txt: No such file" in lists.capsys.readouterr().err
    write(lists.folder / "latin.txt", "Joy/é", encoding="latin-1")
    assert main([*base, str(lists.folder / "latin.txt"), "--test", str(lists.folder / "test.txt")]) == 2
    assert "latin.txt: not UTF-8" in lists.capsys.readouterr().err


def test_polarity(lists):
    assert lists.run(["Joy/a"], ["Anger/b"], "--polarity", "Joy=+, Anger=-") == 0
    assert read_annotation(lists.output).polarity == (-1, 1)
    assert parse_polarity("b=0,a==-1,c=+1", ["a=", "b", "c"]) == (-1, 0, 1)


@pytest.mark.parametrize("polarity", ["Joy=+", "Joy=+,Anger=-,Fear=-", "Joy,Anger", "Joy=good,Anger=bad"])
def test_wrong_polarity(lists, polarity):
    assert lists.run(["Joy/a"], ["Anger/b"], "--polarity", polarity) == 2
    assert lists.err.startswith("make_annotations: --polarity: ")
    assert not lists.output.exists()


def test_segments(lists):
    file = lists.folder / "segments.json"
    file.write_text(json.dumps({"Joy/a": [{"start": 1, "end": 2.5, "label": "Joy", "intensity": 0.5}]}))
    assert lists.run(["Joy/a", "Anger/a"], ["Anger/b"], "--segments", str(file)) == 0
    joy, anger = read_annotation(lists.output).subset("training")
    assert joy.segments == (AnnotatedSegment(1.0, 2.5, "Joy", 0.5),)
    assert anger.segments == ()


@pytest.mark.parametrize(
    ("content", "said"),
    [
        ('{"Joy/z": []}', "'Joy/z' is none of the videos"),
        ('{"Joy/a": [{"start": 1}]}', "'Joy/a' has no list of"),
        ('{"Joy/a": [{"start": 2, "end": 1, "label": "Joy"}]}', "not seconds"),
        ('{"Joy/a": [{"start": 0, "end": 1, "label": "Hope"}]}', "'Hope' is not in"),
        ("[1]", "no object"),
        ("{", "no JSON"),
    ],
)
def test_wrong_segments(lists, content, said):
    file = lists.folder / "segments.json"
    file.write_text(content)
    assert lists.run(["Joy/a"], ["Anger/b"], "--segments", str(file)) == 2
    assert said in lists.err
    assert not lists.output.exists()


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    for number in range(10):
        for path in (f"videos/Anger/clip.{number}.mp4", f"videos/Joy/-j {number}.mkv"):
            (tmp_path / path).parent.mkdir(parents=True, exist_ok=True)
            (tmp_path / path).touch()
    (tmp_path / "videos" / "Joy" / "readme.txt").touch()
    (tmp_path / "videos" / "Trust" / "frames.mp4").mkdir(parents=True)  # a folder of frames keeps its whole name
    (tmp_path / "videos" / ".cache").mkdir()
    return tmp_path / "videos"


def split(folder: Path, name: str, *flags: str) -> dict[str, set[tuple[str, str]]]:
    output = folder.parent / name
    assert main([str(output), "--folder", str(folder), *flags]) == 0
    annotation = read_annotation(output)
    return {name: {(v.label, v.id) for v in annotation.subset(name)} for name in ("training", "validation")}


def test_folder_is_split_class_by_class(folder):
    got = split(folder, "a.json")
    assert read_annotation(folder.parent / "a.json").labels == ("Anger", "Joy", "Trust")
    pairs = {pair for n in range(10) for pair in (("Anger", f"clip.{n}"), ("Joy", f"-j {n}"))}
    assert got["training"] | got["validation"] == pairs | {("Trust", "frames.mp4")}
    assert sorted(label for label, _ in got["validation"]) == ["Anger"] * 3 + ["Joy"] * 3  # 0.3 of ten each
    assert ("Trust", "frames.mp4") in got["training"]  # the only one of its class


def test_split_depends_on_the_seed_and_the_class_alone(folder):
    first = split(folder, "a.json")
    assert split(folder, "b.json") == first
    assert split(folder, "c.json", "--seed", "1") != first
    (folder / "Fear").mkdir()
    (folder / "Fear" / "f.mp4").touch()
    assert split(folder, "d.json")["validation"] == first["validation"]
    halves = split(folder, "e.json", "--test_fraction", "0.5")
    assert len(halves["validation"]) == 10


def test_folder_with_a_class_index(folder):
    classes = write(folder.parent / "classes.txt", "Joy", "Anger")
    split(folder, "a.json", "--classes", classes)
    assert read_annotation(folder.parent / "a.json").labels == ("Joy", "Anger")


def test_folds_of_a_folder(folder):
    output = folder.parent / "f.json"
    assert main([str(output), "--folder", str(folder), "--folds", "4"]) == 0
    annotation = read_annotation(output)
    assert annotation.n_splits == 4 and len(annotation.videos) == 21
    tests = [annotation.subset("validation", split) for split in (1, 2, 3, 4)]
    assert sorted(map(len, tests)) == [5, 5, 5, 6]
    assert sorted((v.label, v.id) for test in tests for v in test) == sorted((v.label, v.id) for v in annotation.videos)
    for label in ("Anger", "Joy"):
        assert sorted(sum(v.label == label for v in test) for test in tests) == [2, 2, 3, 3]
    for split, test in enumerate(tests, 1):
        assert set(annotation.subset("training", split)) == set(annotation.videos) - set(test)
    assert main([str(output), "--folder", str(folder), "--folds", "4"]) == 0
    assert read_annotation(output) == annotation
    assert main([str(output), "--folder", str(folder), "--folds", "4", "--seed", "1", "--overwrite"]) == 0
    assert read_annotation(output) != annotation


def test_folds_of_a_list_do_not_depend_on_its_order(lists):
    lines = [f"{label}/{number}" for label in ("Joy", "Anger") for number in range(6)]
    classes = ["--classes", str(lists.folder / "classes.txt"), "--folds", "3"]
    found = []
    for order in (lines, lines[::-1]):
        train = write(lists.folder / "all.txt", *order)
        assert main([str(lists.output), *classes, "--train", train, "--overwrite"]) == 0
        found.append(set(read_annotation(lists.output).videos))
    assert found[0] == found[1] and len(found[0]) == 12
    out = lists.capsys.readouterr().out.splitlines()[-1]
    assert out == "make_annotations: 2 classes, 12 videos, 3 splits of 8 training and 4 validation videos"


@pytest.mark.parametrize(
    ("flags", "said"),
    [
        (["--folder", "{}", "--folds", "1"], "--folds 1: choose 2 to 21"),
        (["--folder", "{}", "--folds", "22"], "--folds 22: choose 2 to 21"),
        (["--classes", "c", "--train", "x", "--test", "y", "--folds", "3"], "--folds draws the test videos itself"),
        (["--classes", "c", "--train", "x", "y", "--folds", "3"], "--folds draws the test videos itself"),
        (["--folds", "3"], "give --classes"),
        ([], "give --classes, --train and --test, or --folder"),
        (["--folder", "{}", "--train", "x"], "leave out --train"),
        (["--folder", "{}", "--test_fraction", "1"], "between 0 and 1"),
        (["--folder", "{}/none"], "is no folder"),
        (["--folder", "{}/Trust/frames.mp4"], "holds no class folder"),
    ],
)
def test_wrong_arguments_are_one_line(folder, capsys, flags, said):
    status = main([str(folder.parent / "x.json"), *(flag.format(folder) for flag in flags)])
    err = capsys.readouterr().err
    assert status == 2
    assert said in err
    assert err.count("\n") == 1


def test_empty_class_folder(folder, capsys):
    (folder / "Fear").mkdir()
    assert main([str(folder.parent / "x.json"), "--folder", str(folder)]) == 2
    assert "Fear holds no video" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("name", "content", "fault"),
    [
        ("classes", "9" * 5000 + " Joy", "cannot be a file name"),
        ("classes", "Jo\x1by", "class 'Jo.x1by' cannot be a file name"),
        ("train", "Joy/a " + "9" * 5000, "cannot be a file name"),
        ("train", "Joy/a/" + "x" * 9000, "is not label/id"),
        ("segments", "[" * 100_000, "no JSON"),
        ("segments", '{"Joy/a": [{"start": %s, "end": 1, "label": "Joy"}]}' % ("[" * 900 + "]" * 900), "not written"),
        ("segments", '{"Joy/a": [{"start": 0, "end": 1e999, "label": "Joy"}]}', "Infinity is not a number"),
    ],
)
def test_lists_without_measure_are_one_short_line(tmp_path, capsys, name, content, fault):
    texts = {"classes": "Joy\n", "train": "Joy/a\n", "test": "Joy/b\n", "segments": "{}"} | {name: content}
    flags = [str(tmp_path / "d.json")]
    for flag, text in texts.items():
        (tmp_path / flag).write_text(text)
        flags += [f"--{flag}", str(tmp_path / flag)]
    assert main(flags) == 2
    err = capsys.readouterr().err
    assert re.search(fault, err) and err.count("\n") == 1 and len(err) < 600 and not (tmp_path / "d.json").exists()
