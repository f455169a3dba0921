"""Writes the annotation file, from the lists that a benchmark comes with or from a folder of class folders.

    python tools/make_annotations.py ve8.json --classes classInd.txt --train trainlist01.txt --test testlist01.txt
    python tools/make_annotations.py ve8.json --classes classInd.txt --train trainlist*.txt --test testlist*.txt
    python tools/make_annotations.py mine.json --folder videos --polarity Anger=-,Joy=+,Neutral=0
    python tools/make_annotations.py mine.json --folder videos --folds 5

Class index: one class a line, `Anger` or, as in UCF-101 and VideoEmotion-8, `1 Anger`. Lists: one video a line,
`Anger/ID`, `Anger/ID.mp4` or `Anger/ID 1`; ids may hold spaces and dots. A last number is taken for the index of the
class, not for a part of the id, only if every line of that list ends in the index of its class, counted from 1 or 0.
Several lists are several splits, the first of --train with the first of --test and so on; main.py --split K takes one.
"""

from __future__ import annotations

import argparse
import json
import random
import re
import sys
from collections import Counter, defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import replace
from itertools import product
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from datasets.annotations import (
    MOST_BYTES,
    SUBSETS,
    AnnotatedSegment,
    Annotation,
    Video,
    read_annotation,
    write_annotation,
)
from datasets.benchmarks import benchmarks_with
from datasets.errors import DataError, shown
from datasets.video_names import VIDEO_SUFFIXES, may_be_name
from datasets.whole_files import read_whole
from tools._batch import command
from tools._folds import with_folds

TOOL = "make_annotations"
SIGNS = {"-": -1, "-1": -1, "0": 0, "+": 1, "+1": 1, "1": 1}


def read_classes(path: Path) -> dict[str, int]:
    """Class name -> its number in the class index (its line, from 1, where lines carry none). Raises DataError."""
    lines = [text for _, text in _lines(path)]
    if not lines:
        raise DataError(f"{path}: empty; write one class a line, `1 Anger` or `Anger`")
    numbered = [re.fullmatch(r"(\d{1,9})[\s,]+(\S.*)", line) for line in lines]
    if all(numbered):
        pairs = sorted((int(match[1]), match[2]) for match in numbered)
        numbers = [number for number, _ in pairs]
        if numbers not in (list(range(len(pairs))), list(range(1, len(pairs) + 1))):
            raise DataError(f"{path}: the numbers of its classes do not run from 1 (or 0) without gaps; correct them")
    else:
        pairs = list(enumerate(lines, 1))
    repeated = [name for name, count in Counter(name for _, name in pairs).items() if count > 1]
    if repeated:
        raise DataError(f"{path}: class {shown(repeated[0])} occurs twice; remove one")
    if unusable := [name for _, name in pairs if not may_be_name(name)]:
        raise DataError(f"{path}: class {shown(unusable[0])} cannot be a file name; write another")
    return {name: number for number, name in pairs}


def read_list(path: Path, classes: dict[str, int]) -> list[tuple[str, str]]:
    """The (label, id) of every line of a list. Raises DataError naming the first line that is wrong."""
    entries = []
    for number, text in _lines(path):
        label, _, id = text.partition("/")
        if not id or "/" in id:
            raise DataError(f"{path}:{number}: {shown(text)} is not label/id; write for example Anger/clip01")
        if label not in classes:
            known = shown(", ".join(classes))
            raise DataError(f"{path}:{number}: class {shown(label)} is not in the class index; it has {known}")
        entries.append((label, id))
    endings = [re.fullmatch(r"(.*\S)\s+(\d{1,9})", id) for _, id in entries]
    if all(endings):
        offsets = {int(end[2]) - classes[label] for end, (label, _) in zip(endings, entries, strict=True)}
        if offsets in ({0}, {-1}):
            entries = [(label, end[1]) for end, (label, _) in zip(endings, entries, strict=True)]
    return [(label, _without_suffix(id)) for label, id in entries]


def read_lists(train: Sequence[Path], test: Sequence[Path], classes: dict[str, int]) -> list[Video]:
    """The videos of all lists; the first of `train` and the first of `test` are the first split. Raises DataError."""
    if len(train) != len(test):
        raise DataError(f"{len(train)} --train and {len(test)} --test: give one list of each per split")
    subsets: dict[tuple[str, str], list[str | None]] = {}
    for split, lists in enumerate(zip(train, test, strict=True)):
        first_seen: dict[tuple[str, str], Path] = {}
        for path, subset in zip(lists, SUBSETS, strict=True):
            for label, id in read_list(path, classes):
                if (label, id) in first_seen:
                    raise DataError(f"{path}: {label}/{id} is in {first_seen[label, id]} already; remove one of them")
                first_seen[label, id] = path
                subsets.setdefault((label, id), [None] * len(train))[split] = subset
    several = len(train) > 1
    return [Video(id, label, of[0], subsets=tuple(of) if several else ()) for (label, id), of in subsets.items()]


def split_folder(
    folder: Path, classes: Sequence[str] | None, fraction: float, seed: int
) -> tuple[list[str], list[Video]]:
    """Labels and videos of <folder>/<label>/<id>[.mp4], split by class; every class of two or more is in both subsets.

    The draw of a class depends on `seed` and its own videos alone. Raises DataError for an empty folder or class.
    """
    if not folder.is_dir():
        raise DataError(f"{folder} is no folder; give one that holds <label>/<id>.mp4 or <label>/<id>/")
    labels = list(classes or sorted(path.name for path in folder.iterdir() if path.is_dir() and path.name[0] != "."))
    videos: list[Video] = []
    for label in labels:
        if not (folder / label).is_dir():
            raise DataError(f"{folder / label} is missing, but the class index has {label!r}; correct one of the two")
        ids = sorted(
            {
                path.name if path.is_dir() else path.stem
                for path in (folder / label).iterdir()
                if path.name[0] != "." and (path.is_dir() or path.suffix.lower() in VIDEO_SUFFIXES)
            }
        )
        if not ids:
            raise DataError(f"{folder / label} holds no video; fill it or remove it")
        held_out = min(max(1, round(fraction * len(ids))), len(ids) - 1)
        test = set(random.Random(f"{seed}/{label}").sample(ids, held_out))
        videos += [Video(id, label, "validation" if id in test else "training") for id in ids]
    if not videos:
        raise DataError(f"{folder} holds no class folder; videos must lie at {folder}/<label>/<id>.mp4")
    return labels, videos


def parse_polarity(text: str, labels: Sequence[str]) -> tuple[int, ...]:
    """`Anger=-,Joy=+,Neutral=0` -> the sign of every label, in their order. Raises DataError."""
    signs: dict[str, int] = {}
    for part in text.split(","):
        label, equals, sign = part.strip().rpartition("=")
        if not equals or sign.strip() not in SIGNS:
            raise DataError(f"--polarity: {shown(part)} is not CLASS=SIGN; write for example Anger=-,Joy=+,Neutral=0")
        signs[label.strip()] = SIGNS[sign.strip()]
    if set(signs) != set(labels):
        wrong = sorted(set(signs) ^ set(labels))
        raise DataError(
            f"--polarity: give every class of {', '.join(labels)} one sign; look at {shown(', '.join(wrong))}"
        )
    return tuple(signs[label] for label in labels)


def add_segments(path: Path, videos: Iterable[Video]) -> list[Video]:
    """The videos with the segments that the JSON file {"label/id": [segment, ...]} has for them. Raises DataError."""
    try:
        given: Any = json.loads(read_whole(path, MOST_BYTES).decode("utf-8-sig"))
    except OSError as error:
        raise DataError(f"{path}: {error.strerror}; give the JSON file of the segments") from None
    except (ValueError, RecursionError) as error:
        raise DataError(f'{path}: no JSON ({error}); write {{"label/id": [segment, ...]}}') from None
    if not isinstance(given, dict):
        raise DataError(f'{path}: no object; write {{"label/id": [segment, ...]}}')
    segments: dict[str, tuple[AnnotatedSegment, ...]] = {}
    for key, entries in given.items():
        try:
            segments[key] = tuple(AnnotatedSegment(**entry) for entry in entries)
        except TypeError:
            form = '{"start": s, "end": s, "label": ..., "intensity": 0..1}'
            raise DataError(f"{path}: {shown(key)} has no list of {form}; correct it") from None
    videos = list(videos)
    unknown = sorted(segments.keys() - {f"{video.label}/{video.id}" for video in videos})
    if unknown:
        count = f"({len(unknown)} such)"
        raise DataError(f"{path}: {shown(unknown[0])} is none of the videos {count}; correct its label or id")
    return [replace(video, segments=segments.get(f"{video.label}/{video.id}", ())) for video in videos]


def main(argv: Sequence[str] | None = None) -> int:
    """Runs the command; returns its exit status."""
    parser = argparse.ArgumentParser(
        prog=f"{TOOL}.py", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("output", type=Path, metavar="JSON", help="annotation file to write")
    parser.add_argument("--classes", type=Path, metavar="FILE", help="class index; with --folder: only these classes")
    lists = {"type": Path, "nargs": "+", "action": "extend", "metavar": "FILE", "default": []}
    parser.add_argument("--train", **lists, help="list of the training videos, of every split one")
    parser.add_argument("--test", **lists, help="list of the test videos, of every split one")
    parser.add_argument("--folder", type=Path, metavar="DIR", help="folder of class folders, of videos or of frames")
    parser.add_argument("--test_fraction", type=float, default=0.3, help="of every class, with --folder (default: 0.3)")
    folds = "splits instead of one, each with another K-th of --folder, or of the one list --train, for test"
    parser.add_argument("--folds", type=int, metavar="K", help=folds)
    parser.add_argument("--seed", type=int, default=0, help="of the draw with --folder or --folds (default: 0)")
    parser.add_argument("--polarity", metavar="LIST", help="sign of every class: Anger=-,Joy=+,Neutral=0")
    parser.add_argument("--overwrite", action="store_true", help="replace another annotation of this name")
    parser.add_argument("--segments", type=Path, metavar="FILE", help='JSON: {"label/id": [segment, ...]}')
    args = parser.parse_args(argv)
    return command(TOOL, lambda: _make(args))


def _make(args: argparse.Namespace) -> int:
    if args.folds is not None and (args.test or len(args.train) > 1):
        raise DataError("--folds draws the test videos itself, from --folder or one list --train; leave out the others")
    if args.folder is not None:
        if args.train or args.test:
            raise DataError("--folder draws the split itself; leave out --train and --test")
        if not 0 < args.test_fraction < 1:
            raise DataError("--test_fraction must lie between 0 and 1")
        chosen = list(read_classes(args.classes)) if args.classes else None
        labels, videos = split_folder(args.folder, chosen, args.test_fraction, args.seed)
    elif args.classes and args.train and (args.test or args.folds is not None):
        classes = read_classes(args.classes)
        labels = list(classes)
        if args.folds is None:
            videos = read_lists(args.train, args.test, classes)
        else:
            videos = [Video(id, label, None) for label, id in read_list(args.train[0], classes)]
    else:
        raise DataError("give --classes, --train and --test, or --folder")
    if args.folds is not None:
        videos = with_folds(videos, args.folds, args.seed)
    if args.segments:
        videos = add_segments(args.segments, videos)
    polarity = parse_polarity(args.polarity, labels) if args.polarity else None
    annotation = Annotation(tuple(labels), tuple(videos), polarity)
    if not args.overwrite and args.output.exists():
        _check_same(args.output, annotation)
    write_annotation(args.output, annotation)
    _report(annotation)
    return 0


def _check_same(path: Path, annotation: Annotation) -> None:
    """Raises DataError where another annotation is there, which may hold work by hand."""
    try:
        same = read_annotation(path) == annotation
    except DataError:
        same = False
    if not same:
        raise DataError(f"{path} is there already and holds something else; add --overwrite, or choose another name")


def _report(annotation: Annotation) -> None:
    if annotation.polarity is None and not benchmarks_with(annotation.labels):
        print("note: --dataset custom needs the sign of every class; give --polarity", file=sys.stderr)
    splits = range(1, annotation.n_splits + 1)
    counts: dict[str, list[int]] = defaultdict(list)
    for split, subset in product(splits, SUBSETS):
        of_class = Counter(video.label for video in annotation.subset(subset, split))
        counts[subset].append(of_class.total())
        where = f" in split {split}" if len(splits) > 1 else ""
        for label in annotation.labels:
            if not of_class[label]:
                print(f"note: class {label} has no {subset} video{where}", file=sys.stderr)
    classes_of = defaultdict(list)
    for video in annotation.videos:
        classes_of[video.id].append(video.label)
    for id, several in classes_of.items():
        if len(several) > 1:
            print(f"note: id {id} is in {len(several)} classes: {', '.join(several)}", file=sys.stderr)
    training, validation = (_span(counts[subset]) for subset in SUBSETS)
    several = f"{len(annotation.videos)} videos, {len(splits)} splits of " if len(splits) > 1 else ""
    print(f"{TOOL}: {len(annotation.labels)} classes, {several}{training} training and {validation} validation videos")


def _span(counts: Sequence[int]) -> str:
    return f"{min(counts)}-{max(counts)}" if min(counts) < max(counts) else f"{counts[0]}"


def _lines(path: Path) -> list[tuple[int, str]]:
    try:
        text = read_whole(path, MOST_BYTES).decode("utf-8-sig")
    except OSError as error:
        raise DataError(f"{path}: {error.strerror}; give the list that came with the videos") from None
    except UnicodeDecodeError:
        raise DataError(f"{path}: not UTF-8; save it as UTF-8") from None
    return [(number, line.strip()) for number, line in enumerate(text.split("\n"), 1) if line.strip()]


def _without_suffix(name: str) -> str:
    stem, dot, suffix = name.rpartition(".")
    return stem if dot and stem and f".{suffix.lower()}" in VIDEO_SUFFIXES else name


if __name__ == "__main__":
    sys.exit(main())
