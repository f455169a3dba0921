"""Intervals from a curve and their average precision, by hand."""

from __future__ import annotations

from dataclasses import replace
from itertools import chain

import numpy as np
import pytest

from core.localisation import (
    Interval,
    average_precisions,
    detect,
    drawn_map,
    mean_average_precision,
    overlap,
    rank,
    rank_classes,
)

TRUTH = [Interval(0, 0, 0, 10), Interval(0, 0, 20, 30), Interval(1, 0, 0, 10)]


def average_precision(detections: list[Interval], truth: list[Interval], threshold: float) -> float:
    ((value,),) = average_precisions(rank(detections, truth, (threshold,)), np.ones((1, 3)))
    return float(value)


def test_overlap() -> None:
    assert overlap(Interval(0, 0, 0, 10), Interval(0, 0, 5, 15)) == pytest.approx(5 / 15)
    assert overlap(Interval(0, 0, 0, 5), Interval(0, 0, 5, 10)) == 0


def test_perfect_detections() -> None:
    found = [Interval(t.video, 0, t.start, t.end, score) for t, score in zip(TRUTH, (0.9, 0.8, 0.7), strict=True)]
    assert average_precision(found, TRUTH, 0.3) == pytest.approx(1.0)


def test_a_second_detection_of_the_same_interval_is_wrong() -> None:
    found = [Interval(0, 0, 0, 10, 0.9), Interval(0, 0, 1, 10, 0.8), Interval(1, 0, 0, 10, 0.7)]
    # hits 1 0 1 of three: precision at the hits 1, 2/3; recall steps of 1/3
    assert average_precision(found, TRUTH, 0.3) == pytest.approx((1 + 2 / 3) / 3)


def test_precision_is_interpolated() -> None:
    found = [Interval(1, 0, 50, 60, 0.9), Interval(0, 0, 0, 10, 0.8), Interval(0, 0, 20, 30, 0.7)]
    # hits 0 1 1: precisions 0, 1/2, 2/3; the first hit is raised to 2/3
    assert average_precision(found, TRUTH, 0.3) == pytest.approx(2 * (2 / 3) / 3)


def test_a_detection_belongs_to_its_video() -> None:
    assert average_precision([Interval(2, 0, 0, 10, 0.9)], TRUTH, 0.1) == 0
    assert average_precision([], TRUTH, 0.1) == 0


def test_ties_keep_their_order_and_the_threshold_counts_as_reached() -> None:
    found = [Interval(0, 0, 0, 3, 0.5), Interval(0, 0, 0, 10, 0.5)]
    # the first overlaps by exactly 0.3 and takes the interval, so the second is a duplicate
    assert average_precision(found, TRUTH, 0.3) == pytest.approx(1 / 3)


def test_mean_is_over_the_classes_that_occur() -> None:
    truth = [Interval(0, 0, 0, 10), Interval(0, 2, 0, 10)]
    rankings = rank_classes([Interval(0, 0, 0, 10, 0.9), Interval(0, 1, 0, 10, 0.9)], truth, (0.1, 0.3))
    measured = mean_average_precision(rankings, 1, (0.1, 0.3))
    assert measured == {"map": 0.5, "map@0.10": 0.5, "map@0.30": 0.5}
    assert mean_average_precision(rank_classes([], []), 1) == {}


def test_a_video_drawn_twice_counts_like_two_videos() -> None:
    """Resamples by their weights, against the resampled videos themselves."""
    rng = np.random.default_rng(0)
    n_videos, n_classes = 6, 3

    def some(count: int, video: int) -> list[Interval]:
        starts, lengths, scores = rng.uniform(0, 20, count), rng.uniform(1, 20, count), rng.random(count)
        labels = rng.integers(n_classes, size=count)
        return [
            Interval(video, int(label), start, start + length, score)
            for label, start, length, score in zip(labels, starts, lengths, scores, strict=True)
        ]

    truth = [some(rng.integers(3), video) for video in range(n_videos)]
    found = [some(12, video) for video in range(n_videos)]
    drawn = rng.multinomial(n_videos, np.full(n_videos, 1 / n_videos), size=20).astype(float)
    rankings = rank_classes(list(chain(*found)), list(chain(*truth)))
    measured = drawn_map(rankings, drawn)

    def copies(parts: list[list[Interval]], counts: np.ndarray) -> list[Interval]:
        chosen = [part for part, count in zip(parts, counts, strict=True) for _ in range(int(count))]
        return [replace(interval, video=number) for number, part in enumerate(chosen) for interval in part]

    expected = [
        mean_average_precision(rank_classes(copies(found, counts), copies(truth, counts)), n_videos).get("map", np.nan)
        for counts in drawn
    ]
    assert len(set(expected)) > 10
    np.testing.assert_allclose(measured, expected, rtol=1e-12)
    assert np.isnan(drawn_map(rankings, np.zeros((1, n_videos)))).all()


def test_detect_finds_the_peak_and_its_surroundings() -> None:
    distribution = np.array([[0.0, 0.1], [0.3, 0.1], [0.2, 0.1], [0.1, 0.1]])
    blocks = np.array([[0, 2], [2, 4], [4, 6], [6, 8]], dtype=float)
    found = {(i.start, i.end): i.score for i in detect(distribution, blocks, 0) if i.label == 0}
    assert found == pytest.approx({(2, 4): 0.3, (2, 6): 0.25, (2, 8): 0.2})
    flat = [i for i in detect(distribution, blocks, 0) if i.label == 1]
    assert [(i.start, i.end) for i in flat] == [(0, 8)]
