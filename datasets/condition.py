"""What `python main.py --doctor` says of the data that the flags name: (line, whether training would fail by it)."""

from __future__ import annotations

import argparse
from collections.abc import Iterator

from datasets.benchmarks import BENCHMARKS
from datasets.errors import DataError
from datasets.lexicon import AffectiveLexicon
from datasets.lexicon_sources import SOURCES
from datasets.lexicon_table import load_table
from datasets.opening import read_splits
from datasets.video_batch import MODALITIES
from datasets.video_files import Layout, needed


def dataset_lines(flags: argparse.Namespace, asked: bool) -> Iterator[tuple[str, bool]]:
    """Labels, videos of either split and what they lack, without opening a file. asked: --root_path was given.

    Raises DataError where the annotation cannot be read.
    """
    root = flags.root_path
    if root is None or not root.is_dir():
        yield "no --root_path" if root is None else f"{root} is not there", asked
        return
    benchmark, training, test = read_splits(flags)
    yield f"{root}: {benchmark.name}, {len(benchmark.classes)} classes: {', '.join(benchmark.classes)}", False
    layout = Layout(*(root / path for path in (flags.video_path, flags.audio_path, flags.srt_path)))
    asked_for = needed([name for name in MODALITIES if name[0] in flags.modalities])
    for name, videos in (("training", training), ("test", test)):
        faults = [fault for video in videos if (fault := layout.fault(video, asked_for)) is not None]
        n_wordless = sum(not layout.has(video, "text") for video in videos)
        yield f"{name}: {len(videos)} videos, {n_wordless} without subtitles", not videos
        if faults:
            yield f"{name}: {len(faults)} videos cannot be read; the first: {faults[0]}", not flags.skip_bad


def lexicon_lines(flags: argparse.Namespace) -> Iterator[tuple[str, bool]]:
    """The lexicon, and how much it holds. Raises DataError where it cannot be had."""
    if flags.lexicon in SOURCES:
        yield f"{flags.lexicon}: {SOURCES[flags.lexicon].versions()}, {len(load_table(flags.lexicon)):,} rows", False
        return
    try:
        benchmark = read_splits(flags)[0]  # whose emotions a lexicon of the user's may name
    except DataError:
        benchmark = BENCHMARKS.get(flags.dataset, BENCHMARKS["ve8"])
    AffectiveLexicon(benchmark, flags.lexicon)
    yield f"{flags.lexicon} for {benchmark.name}", False
