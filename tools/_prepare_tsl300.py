"""tsl300: TSL-300, which is localised in time. SOURCE holds its videos, at any depth, and videosenti_gt.json:

    {"database": {"2_Ekman6_joy_1308": {"subset": "train" | "test",
                                        "annotations": [{"segment": ["22.46", "24.63"], "label": "p" | "n"}]}}}

with the name of the video and seconds in it. p is Positive, n is Negative. A video is of the sentiment that its
segments show longest (ours: it has no label of its own); one without any segment is left out. For --dataset custom.
"""

from __future__ import annotations

import json
import math
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from datasets.annotations import AnnotatedSegment
from datasets.benchmarks import Benchmark
from datasets.errors import DataError, shown
from tools._batch import Source
from tools._clips import Clip, Listing, Videos, bare_name, read_lines

BENCHMARK = Benchmark("custom", "TSL-300", ("Negative", "Positive"), (-1, +1))
FILE = "videosenti_gt.json"
SUBSETS = {"train": "training", "test": "validation"}

_SIGNS = {"n": "Negative", "p": "Positive"}


def list_clips(source: Path, labels: Sequence[str]) -> Listing:
    """The videos of the annotation. Raises DataError naming the entry that is wrong."""
    listing = Listing()
    videos = Videos(source)
    path = next(iter(sorted(source.rglob(FILE))), None)
    if path is None:
        raise DataError(f"{source}: holds no {FILE}")
    try:
        database = json.loads("\n".join(read_lines(path)))["database"].items()
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError):
        raise DataError(f'{path}: is not JSON of the form {{"database": {{NAME: {{...}}}}}}') from None
    for name, entry in database:
        try:
            subset = SUBSETS[entry["subset"]]
            segments = tuple(_segment(raw) for raw in entry["annotations"])
        except (KeyError, TypeError, ValueError, OverflowError):
            wanted = '{"subset": "train" | "test", "annotations": [{"segment": [START, END], "label": "p" | "n"}]}'
            raise DataError(f"{path}: entry {shown(name)} is not {wanted}") from None
        seconds = Counter[str]()
        for segment in segments:
            seconds[segment.label] += segment.end - segment.start
        video = videos.find(name)
        if not segments:
            listing.leave_out("without a segment", name)
        elif video is None:
            listing.leave_out("there is no such video", name)
        else:
            label = max(labels, key=seconds.__getitem__)
            listing.clips.append(Clip(Source(video, label, bare_name(name)), (subset,), segments=segments))
    return listing


def _segment(raw: Any) -> AnnotatedSegment:
    start, end = (float(second) for second in raw["segment"])
    if not 0 <= start < end < math.inf:
        raise ValueError
    return AnnotatedSegment(start, end, _SIGNS[raw["label"]])
