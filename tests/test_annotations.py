from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from datasets.annotations import (
    AnnotatedSegment,
    Annotation,
    Video,
    benchmark_of,
    read_annotation,
    write_annotation,
)
from datasets.benchmarks import BENCHMARKS
from datasets.errors import DataError


def entry(label: Any = "joy", subset: Any = "training", subsets: Any = ..., **more: Any) -> dict[str, Any]:
    several = {} if subsets is ... else {"subsets": subsets}
    return {"subset": subset, **several, "annotations": {"label": label, **more}}


def segment(**change: Any) -> dict[str, Any]:
    return {"start": 0.5, "end": 2, "label": "joy", **change}


def stored(tmp_path: Path, document: Any) -> Path:
    path = tmp_path / "labels.json"
    path.write_text(document if isinstance(document, str) else json.dumps(document), encoding="utf-8")
    return path


def with_database(**database: Any) -> dict[str, Any]:
    return {"labels": ["fear", "joy"], "database": database}


def test_reads_videos_subsets_and_segments_in_order(tmp_path: Path) -> None:
    document = with_database(
        b=entry(segments=[segment(intensity=0.25), segment(label="fear")]), a=entry("fear", "validation")
    )
    annotation = read_annotation(stored(tmp_path, document))
    course = (AnnotatedSegment(0.5, 2.0, "joy", 0.25), AnnotatedSegment(0.5, 2.0, "fear", 1.0))
    assert annotation.labels == ("fear", "joy")
    assert annotation.polarity is None
    assert annotation.videos == (Video("b", "joy", "training", course), Video("a", "fear", "validation"))
    assert annotation.subset("validation") == annotation.videos[1:]


def test_a_byte_order_mark_and_an_empty_subset_are_allowed(tmp_path: Path) -> None:
    path = stored(tmp_path, "\ufeff" + json.dumps(with_database(a=entry())))
    assert read_annotation(path).subset("validation") == ()


def test_one_id_in_two_classes_plain_or_with_the_class_before_it(tmp_path: Path) -> None:
    joy, fear = json.dumps(entry()), json.dumps(entry("fear"))
    plain = f'{{"labels": ["fear", "joy"], "database": {{"x": {joy}, "x": {fear}}}}}'
    keyed = with_database(**{"joy/x": entry(), "fear/x": entry("fear")})
    expected = (Video("x", "joy", "training"), Video("x", "fear", "training"))
    assert read_annotation(stored(tmp_path, plain)).videos == expected
    assert read_annotation(stored(tmp_path, keyed)).videos == expected


def test_the_same_video_twice_is_an_error_however_it_is_written(tmp_path: Path) -> None:
    plain = f'{{"labels": ["joy"], "database": {{"x": {json.dumps(entry())}, "x": {json.dumps(entry())}}}}}'
    for document in (plain, with_database(**{"x": entry(), "joy/x": entry(subset="validation")})):
        with pytest.raises(DataError, match="'joy/x' is listed more than once"):
            read_annotation(stored(tmp_path, document))


def test_writing_and_reading_gives_the_same_and_only_shared_ids_get_a_long_key(tmp_path: Path) -> None:
    course = (AnnotatedSegment(0.0, 1.5, "Freude ☺", 0.5),)
    videos = (
        Video("x", "joy", "training", course),
        Video("x", "Freude ☺", "validation"),
        Video("été 1", "joy", "training"),
    )
    annotation = Annotation(("joy", "Freude ☺"), videos, (1, 1))
    path = tmp_path / "new" / "labels.json"
    write_annotation(path, annotation)
    assert read_annotation(path) == annotation
    assert list(json.loads(path.read_text(encoding="utf-8"))["database"]) == ["joy/x", "Freude ☺/x", "été 1"]
    assert [file.name for file in path.parent.iterdir()] == ["labels.json"]


def test_several_splits(tmp_path: Path) -> None:
    document = with_database(
        a=entry(subsets=["training", "validation", "training"]),
        b=entry("fear", "validation", subsets=["validation", None, "training"]),
        c=entry(subset=None, subsets=[None, "training", "validation"]),
    )
    annotation = read_annotation(stored(tmp_path, document))
    assert annotation.n_splits == 3
    ids = {
        split: tuple(
            "".join(video.id for video in annotation.subset(name, split)) for name in ("training", "validation")
        )
        for split in (1, 2, 3)
    }
    assert ids == {1: ("a", "b"), 2: ("c", "a"), 3: ("ab", "c")}
    assert annotation.subset("training") == annotation.subset("training", 1)
    assert [video.subset for video in annotation.videos] == ["training", "validation", None]
    write_annotation(tmp_path / "again.json", annotation)
    assert read_annotation(tmp_path / "again.json") == annotation
    assert json.loads((tmp_path / "again.json").read_text()) == document


def test_a_split_that_is_not_there() -> None:
    for annotation in (Annotation(("joy",), ()), Annotation(("joy",), (Video("a", "joy", "training"),))):
        assert annotation.n_splits == 1
        for split in (0, 2):
            with pytest.raises(ValueError, match=f"1 to 1, not {split}"):
                annotation.subset("training", split)


def test_writing_what_cannot_be_read_leaves_the_old_file(tmp_path: Path) -> None:
    path = stored(tmp_path, with_database(a=entry()))
    before = path.read_bytes()
    twice = Annotation(("joy",), (Video("x", "joy", "training"), Video("x", "joy", "validation")))
    with pytest.raises(DataError, match="more than once"):
        write_annotation(path, twice)
    assert path.read_bytes() == before
    assert list(tmp_path.iterdir()) == [path]


@pytest.mark.parametrize(
    ("document", "fault"),
    [
        ("", "empty file"),
        ("{", "not JSON"),
        ("[" * 100_000, "not JSON"),
        ('{"labels": [NaN]}', "NaN is not a number"),
        ("[]", "not a JSON object"),
        ({"database": {}}, '"labels" is missing'),
        ({"labels": [], "database": {}}, '"labels" is missing'),
        ({"labels": "joy", "database": {}}, '"labels" is missing or not a list'),
        ({"labels": ["joy", 3], "database": {}}, "label 3 is not a string"),
        ({"labels": ["joy", "joy"], "database": {}}, "repeats 'joy'"),
        ({"labels": [".."], "database": {}}, "'..' cannot be a file name"),
        ({"labels": ["joy"]}, '"database" is missing'),
        ({"labels": ["joy"], "database": []}, '"database" is missing or not an object'),
        ({"labels": ["joy"], "polarity": [2], "database": {}}, '"polarity" is not a list of 1'),
        ({"labels": ["joy"], "polarity": [1, 1], "database": {}}, '"polarity" is not a list of 1'),
        ({"labels": ["joy"], "polarity": [True], "database": {}}, '"polarity" is not a list of 1'),
        (with_database(a=3), "video 'a' is not an object"),
        (with_database(a=entry(subset="test")), "video 'a': \"subset\" is 'test'"),
        (with_database(a={"annotations": {"label": "joy"}}), "video 'a': \"subset\" is None"),
        (with_database(a=entry(subsets=None)), "video 'a': \"subsets\" is not a list of"),
        (with_database(a=entry(subsets="training")), "video 'a': \"subsets\" is not a list of"),
        (with_database(a=entry(subsets=[])), "video 'a': \"subsets\" is not a list of"),
        (with_database(a=entry(subsets=["training", "test"])), "video 'a': \"subsets\" is not a list of"),
        (with_database(a=entry(subsets=["training", ["training"]])), "video 'a': \"subsets\" is not a list of"),
        (with_database(a=entry(subsets=["validation"])), '"subset" is \'training\', but the first of "subsets" \'val'),
        (with_database(a=entry(subset=None, subsets=["training"])), '"subset" is None, but the first of'),
        (with_database(a=entry(subset=None)), "video 'a': \"subset\" is None"),
        (with_database(a=entry(subsets=["training"]), b=entry()), "video 'b': 0 \"subsets\", the first video has 1"),
        (with_database(a=entry(), b=entry(subsets=["training"])), "video 'b': 1 \"subsets\", the first video has 0"),
        (with_database(a={"subset": "training"}), 'video \'a\': "annotations" with a "label" is missing'),
        (with_database(a=entry("envy")), "video 'a': label 'envy' is not in"),
        (with_database(a=entry(["joy"])), r"video 'a': label \['joy'\] is not in"),
        (with_database(a=entry(segments=3)), "video 'a': \"segments\" is not a list"),
        (with_database(a=entry(segments=[segment(), 3])), "video 'a', segment 2: not an object"),
        (with_database(a=entry(segments=[{"start": 1, "label": "joy"}])), "segment 1: not an object with"),
        (with_database(a=entry(segments=[segment(end=0.5)])), "segment 1: start 0.5 and end 0.5"),
        (with_database(a=entry(segments=[segment(start=-1)])), "segment 1: start -1"),
        (with_database(a=entry(segments=[segment(end="3")])), "segment 1: start 0.5 and end '3'"),
        (with_database(a=entry(segments=[segment(end=10**400)])), "segment 1: start"),
        (with_database(a=entry(segments=[segment(label="envy")])), "segment 1: label 'envy'"),
        (with_database(a=entry(segments=[segment(intensity=1.5)])), "segment 1: intensity 1.5"),
        (with_database(a=entry(segments=[segment(intensity=None)])), "segment 1: intensity None"),
        (with_database(**{"fear/a": entry("joy")}), "before the slash is not the video's label 'joy'"),
        (with_database(**{"/a": entry()}), "before the slash"),
        (with_database(**{"joy/b/a": entry()}), "before the slash"),
        (with_database(**{"joy/": entry()}), "video id '' cannot be a file name"),
        (with_database(**{"..": entry()}), "video id '..' cannot"),
        (with_database(**{"a\0": entry()}), "cannot be a file name"),
        (with_database(**{"a\\b": entry()}), "cannot be a file name"),
        (with_database(**{"\ud800": entry()}), "cannot be a file name"),
    ],
)
def test_every_fault_is_one_line_with_the_file_and_the_entry(tmp_path: Path, document: Any, fault: str) -> None:
    path = stored(tmp_path, document)
    with pytest.raises(DataError, match=fault) as caught:
        read_annotation(path)
    assert str(caught.value).startswith(f"{path}: ")
    assert "\n" not in str(caught.value)


def test_a_file_that_is_missing_or_not_text(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"none\.json: No such file.*make_annotations"):
        read_annotation(tmp_path / "none.json")
    (tmp_path / "binary.json").write_bytes(b"\xff\xfe\x00")
    with pytest.raises(DataError, match="not UTF-8"):
        read_annotation(tmp_path / "binary.json")


def test_benchmark_keeps_its_order_and_the_annotations_spelling() -> None:
    annotation = Annotation(("Surprise", "joy", "Fear", "disgust", "Sadness", "Anger"), ())
    benchmark = benchmark_of(annotation, "ek6")
    assert benchmark.classes == ("Anger", "disgust", "Fear", "joy", "Sadness", "Surprise")
    assert benchmark.polarity == BENCHMARKS["ek6"].polarity


@pytest.mark.parametrize(
    ("annotation", "key", "fault"),
    [
        (Annotation(("joy", "envy"), ()), "ek6", "unknown envy; missing anger, disgust, fear, sadness, surprise"),
        (Annotation(("joy", "Joy"), ()), "ek6", "unknown none; missing anger"),
        (Annotation((*BENCHMARKS["ek6"].classes, "Joy"), ()), "ek6", "labels are not those of Ekman-6"),
        (
            Annotation(BENCHMARKS["ve8"].classes, ()),
            "ek6",
            "unknown Anticipation, Trust; missing none; use --dataset ve8",
        ),
        (
            Annotation(BENCHMARKS["ek6"].classes, (), (1, -1, -1, 1, -1, 1)),
            "ek6",
            "gives anger polarity 1, Ekman-6 has -1",
        ),
        (Annotation(("joy",), ()), "custom", 'no "polarity"'),
        (Annotation(("joy",), ()), "imagenet", "'imagenet' is unknown; choose one of ve8, ek6"),
    ],
)
def test_labels_that_do_not_fit_the_benchmark(annotation: Annotation, key: str, fault: str) -> None:
    with pytest.raises(DataError, match=fault):
        benchmark_of(annotation, key)


def test_custom_benchmark_is_the_annotations_own() -> None:
    benchmark = benchmark_of(Annotation(("calm", "angry"), (), (0, -1)), "custom")
    assert (benchmark.classes, benchmark.polarity) == (("calm", "angry"), (0, -1))


HUGE = {
    "nested": "[" * 900 + "]" * 900,
    "nested deeper": "[" * 100_000 + "]" * 100_000,
    "a long number": "9" * 4000,
    "a longer number": "9" * 5000,
    "an infinite number": "1e999",
}


@pytest.mark.parametrize("value", HUGE)
@pytest.mark.parametrize("place", ["labels", "label", "subset", "start", "intensity"])
def test_values_without_measure_are_one_short_line(tmp_path: Path, value: str, place: str) -> None:
    segment = {"start": 0, "end": 1, "label": "joy", "intensity": 1}
    entry = {"subset": "training", "annotations": {"label": "joy", "segments": [segment]}}
    document = {"labels": ["joy"], "database": {"a": entry}}
    for holder in (document, entry, entry["annotations"], segment):
        if place in holder:
            holder[place] = "HERE"
            break
    path = tmp_path / "d.json"
    path.write_text(json.dumps(document).replace('"HERE"', HUGE[value]))
    with pytest.raises(DataError, match=r"d\.json: ") as caught:
        read_annotation(path)
    assert str(caught.value).isprintable() and len(str(caught.value)) < 500


def test_names_that_are_longer_than_a_file_name(tmp_path: Path) -> None:
    for id, fits in (("x" * 251, True), ("x" * 252, False), ("\u00fc" * 126, False)):
        annotation = Annotation(("joy",), (Video(id, "joy", "training"),))
        if fits:
            write_annotation(tmp_path / "d.json", annotation)
            assert not (tmp_path / "joy" / f"{id}.zip").is_file(), "asked for without an error"
        else:
            with pytest.raises(DataError, match="cannot be a file name"):
                write_annotation(tmp_path / "d.json", annotation)


def test_what_a_killed_process_has_written_is_removed(tmp_path: Path) -> None:
    for name in (".labels.json.77.tmp", ".other.json.77.tmp"):
        (tmp_path / name).write_text("{")
    write_annotation(tmp_path / "labels.json", Annotation(("Joy",), (Video("a", "Joy", "training"),), None))
    assert {path.name for path in tmp_path.iterdir()} == {"labels.json", ".other.json.77.tmp"}
