"""The annotation file: which videos there are, their class, their subset and, where known, their emotional course.

    {"labels": [...], "polarity": [-1 | 0 | 1, ...],
     "database": {ID: {"subset": "training" | "validation", "subsets": ["training" | "validation" | null, ...],
                       "annotations": {"label": ..., "segments": [{"start", "end", "label", "intensity"}]}}}}

`polarity`, `subsets`, `segments` and `intensity` (default 1) are optional. Of several splits `subsets` holds each one's
subset, null where the video is in neither, and `subset` repeats the first. A video is known by (label, id), because
VideoEmotion-8 has one id in two classes; such a database key is written `label/id`.
"""

from __future__ import annotations

import json
import os
from collections import Counter
from dataclasses import asdict, dataclass
from glob import escape
from pathlib import Path
from typing import Any, NoReturn

from datasets.benchmarks import BENCHMARKS, Benchmark, benchmarks_with
from datasets.errors import DataError, shown
from datasets.video_names import may_be_name
from datasets.whole_files import read_whole

SUBSETS = ("training", "validation")
MOST_BYTES = 2**28  # of a file; those of a million videos are half of it


@dataclass(frozen=True)
class AnnotatedSegment:
    """An emotion between two instants in seconds, of intensity 0..1."""

    start: float
    end: float
    label: str
    intensity: float = 1.0


@dataclass(frozen=True)
class Video:
    """One video of the dataset; (label, id) is its key. `subsets` holds those of all splits, if there are several."""

    id: str
    label: str
    subset: str | None
    segments: tuple[AnnotatedSegment, ...] = ()
    subsets: tuple[str | None, ...] = ()


@dataclass(frozen=True)
class Annotation:
    """A checked annotation file."""

    labels: tuple[str, ...]
    videos: tuple[Video, ...]
    polarity: tuple[int, ...] | None = None

    @property
    def n_splits(self) -> int:
        """How many ways of dividing the videos the file holds, at least 1."""
        return (len(self.videos[0].subsets) if self.videos else 0) or 1

    def subset(self, name: str, split: int = 1) -> tuple[Video, ...]:
        """The videos of "training" or "validation" in a split, from 1, in the file's order; maybe none."""
        if name not in SUBSETS:
            raise ValueError(f"subset is one of {SUBSETS}, not {name!r}")
        if not 1 <= split <= self.n_splits:
            raise ValueError(f"split is 1 to {self.n_splits}, not {split}")
        return tuple(video for video in self.videos if (video.subsets or (video.subset,))[split - 1] == name)


def read_annotation(path: Path | str) -> Annotation:
    """Reads and checks an annotation file. Raises DataError naming the file and the first entry that is wrong."""
    try:
        return _parse(read_whole(path, MOST_BYTES).decode("utf-8-sig"))
    except OSError as error:
        raise DataError(f"{path}: {error.strerror}; tools/make_annotations.py makes an annotation file") from error
    except UnicodeDecodeError as error:
        raise DataError(f"{path}: not UTF-8 text; save it as UTF-8") from error
    except _Fault as fault:
        raise DataError(f"{path}: {fault}; correct it or make it anew with tools/make_annotations.py") from fault


def write_annotation(path: Path | str, annotation: Annotation) -> None:
    """Writes atomically what read_annotation reads back as the same annotation. Raises DataError if it would not."""
    path = Path(path)
    classes_of_id = Counter(video.id for video in annotation.videos)
    # Pieces of text rather than a dict, in which a repeated video would vanish before the check sees it.
    polarity = "" if annotation.polarity is None else f'"polarity": {_dump(list(annotation.polarity))},\n'
    try:
        entries = ",\n".join(
            f"{_dump(f'{video.label}/{video.id}' if classes_of_id[video.id] > 1 else video.id)}: {_dump(_entry(video))}"
            for video in annotation.videos
        )
        text = f'{{"labels": {_dump(list(annotation.labels))},\n{polarity}"database": {{\n{entries}\n}}}}\n'
        _parse(text)
    except (_Fault, RecursionError) as fault:
        raise DataError(f"{path}: not written, {fault}") from fault
    temporary = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        for left in path.parent.glob(f".{escape(path.name)}.*.tmp"):  # by a killed process
            left.unlink(missing_ok=True)
        temporary.write_text(text, encoding="utf-8")
        temporary.replace(path)
    except OSError as error:
        raise DataError(f"{path}: cannot be written, {error.strerror}") from error
    finally:
        temporary.unlink(missing_ok=True)


def benchmark_of(annotation: Annotation, key: str) -> Benchmark:
    """The benchmark `key` with its classes spelt as in the annotation (the folders on disk are), in its own order.

    `custom` takes labels and polarity from the annotation. Raises DataError if labels and benchmark do not agree.
    """
    if key == "custom":
        if annotation.polarity is None:
            raise DataError(
                '--dataset custom: the annotation has no "polarity"; make it again with --polarity, or add a list of '
                "-1, 0 or 1 per label"
            )
        return Benchmark("custom", "custom", annotation.labels, annotation.polarity)
    if key not in BENCHMARKS:
        raise DataError(f"benchmark {key!r} is unknown; choose one of {', '.join(BENCHMARKS)}, custom")
    benchmark = BENCHMARKS[key]
    spelling = {label.casefold(): label for label in annotation.labels}
    wanted = [name.casefold() for name in benchmark.classes]
    if sorted(wanted) != sorted(label.casefold() for label in annotation.labels):
        unknown = [label for label in annotation.labels if label.casefold() not in wanted]
        missing = [name for name in benchmark.classes if name.casefold() not in spelling]
        raise DataError(
            f"the annotation's labels are not those of {benchmark.name} ({key}):"
            f" unknown {', '.join(unknown) or 'none'}; missing {', '.join(missing) or 'none'};"
            f" use --dataset {' or '.join(benchmarks_with(annotation.labels)) or 'custom'}, or correct the labels"
        )
    if annotation.polarity is not None:
        given = dict(zip(annotation.labels, annotation.polarity, strict=True))
        for name, sign in zip(wanted, benchmark.polarity, strict=True):
            if given[spelling[name]] != sign:
                raise DataError(
                    f"the annotation gives {spelling[name]} polarity {given[spelling[name]]}, {benchmark.name}"
                    f' has {sign}; remove "polarity" from the annotation or use custom'
                )
    return Benchmark(benchmark.key, benchmark.name, tuple(spelling[name] for name in wanted), benchmark.polarity)


class _Fault(ValueError):
    """What is wrong in the text, before the file's name is put to it."""


class _Repeating(dict[str, Any]):
    """A JSON object of which some keys are repeated, all of them in `pairs`."""

    def __init__(self, pairs: list[tuple[str, Any]]) -> None:
        super().__init__(pairs)
        self.pairs = pairs


def _object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    return found if len(found) == len(pairs) else _Repeating(pairs)


def _parse(text: str) -> Annotation:
    try:
        document = json.loads(text, object_pairs_hook=_object, parse_constant=_refuse_constant)
    except _Fault:
        raise
    except (ValueError, RecursionError) as error:
        raise _Fault("empty file" if not text.strip() else f"not JSON ({error})") from error
    if not isinstance(document, dict):
        raise _Fault("not a JSON object")
    labels = document.get("labels")
    if not isinstance(labels, list) or not labels:
        raise _Fault('"labels" is missing or not a list of names')
    for label in labels:
        _check_component(label, "label")
    if len(set(labels)) < len(labels):
        raise _Fault(f'"labels" repeats {shown(Counter(labels).most_common(1)[0][0])}')
    polarity = document.get("polarity")
    if polarity is not None and (
        not isinstance(polarity, list) or len(polarity) != len(labels) or any(_not_sign(sign) for sign in polarity)
    ):
        raise _Fault(f'"polarity" is not a list of {len(labels)} numbers -1, 0 or 1, one per label')
    database = document.get("database")
    if not isinstance(database, dict):
        raise _Fault('"database" is missing or not an object')
    entries = database.pairs if isinstance(database, _Repeating) else database.items()
    videos = tuple(_video(key, entry, labels) for key, entry in entries)
    repeated = [pair for pair, count in Counter((video.label, video.id) for video in videos).items() if count > 1]
    if repeated:
        raise _Fault(f"video {shown('/'.join(repeated[0]))} is listed more than once")
    for (key, _), video in zip(entries, videos, strict=True):
        if len(video.subsets) != len(videos[0].subsets):
            raise _Fault(
                f'video {shown(key)}: {len(video.subsets)} "subsets", the first video has {len(videos[0].subsets)}'
            )
    return Annotation(tuple(labels), videos, None if polarity is None else tuple(polarity))


def _video(key: str, entry: Any, labels: list[str]) -> Video:
    where = f"video {shown(key)}"
    if not isinstance(entry, dict):
        raise _Fault(f"{where} is not an object")
    subsets = _subsets(where, entry)
    annotations = entry.get("annotations")
    if not isinstance(annotations, dict) or "label" not in annotations:
        raise _Fault(f'{where}: "annotations" with a "label" is missing')
    label = annotations["label"]
    if label not in labels:
        raise _Fault(f'{where}: label {shown(label)} is not in "labels"')
    prefix, slash, id = key.rpartition("/")
    if slash and prefix != label:
        raise _Fault(f"{where}: the part before the slash is not the video's label {shown(label)}")
    _check_component(id, "video id")
    segments = annotations.get("segments", [])
    if not isinstance(segments, list):
        raise _Fault(f'{where}: "segments" is not a list')
    checked = tuple(_segment(f"{where}, segment {number}", raw, labels) for number, raw in enumerate(segments, 1))
    return Video(id, label, entry.get("subset"), checked, subsets)


def _subsets(where: str, entry: dict[str, Any]) -> tuple[str | None, ...]:
    """Those of all splits, () where the entry has but one."""
    subset = entry.get("subset")
    if "subsets" not in entry:
        if subset not in SUBSETS:
            raise _Fault(f'{where}: "subset" is {shown(subset)}, neither "training" nor "validation"')
        return ()
    subsets = entry["subsets"]
    if not isinstance(subsets, list) or not subsets or any(each not in (*SUBSETS, None) for each in subsets):
        raise _Fault(f'{where}: "subsets" is not a list of "training", "validation" or null, one per split')
    if subset != subsets[0]:
        raise _Fault(f'{where}: "subset" is {shown(subset)}, but the first of "subsets" {shown(subsets[0])}')
    return tuple(subsets)


def _segment(where: str, raw: Any, labels: list[str]) -> AnnotatedSegment:
    if not isinstance(raw, dict) or not {"start", "end", "label"} <= raw.keys():
        raise _Fault(f'{where}: not an object with "start", "end" and "label"')
    start, end, label, intensity = raw["start"], raw["end"], raw["label"], raw.get("intensity", 1.0)
    if _not_number(start) or _not_number(end) or not 0 <= start < end <= 1e9:
        raise _Fault(f"{where}: start {shown(start)} and end {shown(end)} are not seconds with 0 <= start < end")
    if label not in labels:
        raise _Fault(f'{where}: label {shown(label)} is not in "labels"')
    if _not_number(intensity) or not 0 <= intensity <= 1:
        raise _Fault(f"{where}: intensity {shown(intensity)} is not a number from 0 to 1")
    return AnnotatedSegment(float(start), float(end), label, float(intensity))


def _check_component(text: Any, what: str) -> None:
    """Labels and ids become folders and files, so each has to be one component of a path."""
    if not isinstance(text, str):
        raise _Fault(f"{what} {shown(text)} is not a string")
    if not may_be_name(text):
        raise _Fault(f"{what} {shown(text)} cannot be a file name")


def _not_number(value: Any) -> bool:
    return isinstance(value, bool) or not isinstance(value, (int, float))


def _not_sign(value: Any) -> bool:
    return isinstance(value, bool) or not isinstance(value, int) or value not in (-1, 0, 1)


def _refuse_constant(name: str) -> NoReturn:
    raise _Fault(f"{name} is not a number")


def _dump(value: Any) -> str:
    return json.dumps(value, ensure_ascii=False)


def _entry(video: Video) -> dict[str, Any]:
    segments = {"segments": [asdict(segment) for segment in video.segments]} if video.segments else {}
    subsets = {"subsets": list(video.subsets)} if video.subsets else {}
    return {"subset": video.subset, **subsets, "annotations": {"label": video.label, **segments}}
