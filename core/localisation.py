"""Temporal localisation: intervals from a temporal emotion distribution, and their mean average precision.

The precision follows the ActivityNet evaluation: detections of a class are taken in the order of their scores, each is
matched to the free annotated interval of its video that it overlaps most, and counts if the overlap reaches the
threshold; the area is that under the interpolated precision-recall curve.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

IOU_THRESHOLDS = (0.10, 0.15, 0.20, 0.25, 0.30)
_LEVELS = 10  # thresholds between a curve's minimum and maximum that intervals are cut at


@dataclass(frozen=True)
class Interval:
    """An annotated (score 1) or detected interval of class `label` in video number `video`, seconds."""

    video: int
    label: int
    start: float
    end: float
    score: float = 1.0


def detect(distribution: np.ndarray, blocks: np.ndarray, video: int) -> list[Interval]:
    """Every maximal run of blocks above one of ten levels of a class's curve, scored by the curve's mean in it.

    distribution (S, C) sums to 1; blocks (S, 2) are the segments' start and end, seconds.
    """
    found: dict[tuple[int, int, int], Interval] = {}
    for label, curve in enumerate(distribution.T):
        for level in np.linspace(curve.min(), curve.max(), _LEVELS + 1)[1:]:
            above = np.concatenate([[False], curve >= level, [False]])
            edges = np.flatnonzero(above[1:] != above[:-1])
            for first, stop in zip(edges[::2], edges[1::2], strict=True):
                found[label, first, stop] = Interval(
                    video, label, float(blocks[first, 0]), float(blocks[stop - 1, 1]), float(curve[first:stop].mean())
                )
    return list(found.values())


def mean_average_precision(
    detections: Sequence[Interval], truth: Sequence[Interval], thresholds: Sequence[float] = IOU_THRESHOLDS
) -> dict[str, float]:
    """`map` and `map@t` for each tIoU threshold, means over the classes that the truth holds; {} without truth."""
    labels = sorted({interval.label for interval in truth})
    if not labels:
        return {}
    table = np.array(
        [
            [
                average_precision(
                    [d for d in detections if d.label == label], [t for t in truth if t.label == label], threshold
                )
                for threshold in thresholds
            ]
            for label in labels
        ]
    )
    by_threshold = {f"map@{t:.2f}": float(value) for t, value in zip(thresholds, table.mean(axis=0), strict=True)}
    return {"map": float(table.mean()), **by_threshold}


def average_precision(detections: Sequence[Interval], truth: Sequence[Interval], threshold: float) -> float:
    """Average precision of the detections of one class at one tIoU threshold; 0 without detections."""
    free: dict[int, list[Interval]] = defaultdict(list)
    for interval in truth:
        free[interval.video].append(interval)
    hits = np.zeros(len(detections))
    for rank, found in enumerate(sorted(detections, key=lambda interval: -interval.score)):
        candidates = free[found.video]
        best = max(candidates, key=lambda true: overlap(found, true), default=None)
        if best is not None and overlap(found, best) >= threshold:
            candidates.remove(best)
            hits[rank] = 1
    if not hits.any():
        return 0.0
    true_positives = hits.cumsum()
    precision = true_positives / np.arange(1, len(hits) + 1)
    recall = true_positives / len(truth)
    interpolated = np.maximum.accumulate(precision[::-1])[::-1]
    return float((np.diff(recall, prepend=0.0) * interpolated).sum())


def overlap(a: Interval, b: Interval) -> float:
    """Intersection over union of two intervals in time, 0..1."""
    shared = min(a.end, b.end) - max(a.start, b.start)
    return max(shared, 0.0) / (max(a.end, b.end) - min(a.start, b.start)) if shared > 0 else 0.0
