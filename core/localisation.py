"""Temporal localisation: intervals from a temporal emotion distribution, and their mean average precision.

The precision follows the ActivityNet evaluation: detections of a class are taken in the order of their scores, each is
matched to the free annotated interval of its video that it overlaps most, and counts if the overlap reaches the
threshold; the area is that under the interpolated precision-recall curve. Detections in videos without any annotated
course are not counted: core/evaluation.py makes none there.
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


@dataclass(frozen=True)
class Ranking:
    """The detections of one class in the order of their scores (D), and its annotated intervals (n)."""

    videos: np.ndarray  # (D,) the video of each detection
    hits: np.ndarray  # (T, D) bool, whether it finds an annotated interval at each tIoU threshold
    truth: np.ndarray  # (n,) the video of each annotated interval


def rank_classes(
    detections: Sequence[Interval], truth: Sequence[Interval], thresholds: Sequence[float] = IOU_THRESHOLDS
) -> list[Ranking]:
    """One ranking for each class that the truth holds."""
    return [
        rank([d for d in detections if d.label == label], [t for t in truth if t.label == label], thresholds)
        for label in sorted({interval.label for interval in truth})
    ]


def rank(detections: Sequence[Interval], truth: Sequence[Interval], thresholds: Sequence[float]) -> Ranking:
    """Match the detections of one class with its annotated intervals; of equal scores the first comes first."""
    ranked = sorted(detections, key=lambda interval: -interval.score)
    hits = np.zeros((len(thresholds), len(ranked)), dtype=bool)
    for row, threshold in enumerate(thresholds):
        free: dict[int, list[Interval]] = defaultdict(list)
        for interval in truth:
            free[interval.video].append(interval)
        for place, found in enumerate(ranked):
            candidates = free[found.video]
            best = max(candidates, key=lambda true: overlap(found, true), default=None)
            if best is not None and overlap(found, best) >= threshold:
                candidates.remove(best)
                hits[row, place] = True
    videos = (np.array([interval.video for interval in each], dtype=int) for each in (ranked, truth))
    return Ranking(next(videos), hits, next(videos))


def average_precisions(ranking: Ranking, drawn: np.ndarray) -> np.ndarray:
    """Average precision (R, T) of one class in resamples of the videos, NaN where one holds no annotated interval.

    drawn (R, N) says how often each video counts: a video that is drawn twice has its detections and its annotated
    intervals twice.
    """
    counted = drawn[:, ranking.videos]
    seen = counted.cumsum(axis=1)
    columns = []
    for hits in ranking.hits:
        # between two hits precision only falls, so that hits are all that interpolation has to look at
        found = counted[:, hits]
        precision = found.cumsum(axis=1) / np.maximum(seen[:, hits], 1)
        interpolated = np.maximum.accumulate(precision[:, ::-1], axis=1)[:, ::-1]
        columns.append((found * interpolated).sum(axis=1))
    with np.errstate(invalid="ignore"):
        return np.stack(columns, axis=1) / drawn[:, ranking.truth].sum(axis=1, keepdims=True)


def mean_average_precision(
    rankings: Sequence[Ranking], n_videos: int, thresholds: Sequence[float] = IOU_THRESHOLDS
) -> dict[str, float]:
    """`map` and `map@t` for each tIoU threshold that the rankings were made with, means over classes; {} of none."""
    if not rankings:
        return {}
    once = np.ones((1, n_videos))
    table = np.concatenate([average_precisions(ranking, once) for ranking in rankings])
    by_threshold = {f"map@{t:.2f}": float(value) for t, value in zip(thresholds, table.mean(axis=0), strict=True)}
    return {"map": float(table.mean()), **by_threshold}


def drawn_map(rankings: Sequence[Ranking], drawn: np.ndarray) -> np.ndarray:
    """`map` (R,) of resamples, each over the classes that it holds; NaN where it holds none."""
    per_class = np.stack([average_precisions(ranking, drawn).mean(axis=1) for ranking in rankings], axis=1)
    held = ~np.isnan(per_class)
    with np.errstate(invalid="ignore"):
        return np.where(held, per_class, 0).sum(axis=1) / held.sum(axis=1)


def overlap(a: Interval, b: Interval) -> float:
    """Intersection over union of two intervals in time, 0..1."""
    shared = min(a.end, b.end) - max(a.start, b.start)
    return max(shared, 0.0) / (max(a.end, b.end) - min(a.start, b.start)) if shared > 0 else 0.0
