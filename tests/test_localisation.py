"""Intervals from a curve and their average precision, by hand."""

from __future__ import annotations

import numpy as np
import pytest

from core.localisation import Interval, average_precision, detect, mean_average_precision, overlap

TRUTH = [Interval(0, 0, 0, 10), Interval(0, 0, 20, 30), Interval(1, 0, 0, 10)]


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
    measured = mean_average_precision([Interval(0, 0, 0, 10, 0.9), Interval(0, 1, 0, 10, 0.9)], truth, (0.1, 0.3))
    assert measured == {"map": 0.5, "map@0.10": 0.5, "map@0.30": 0.5}
    assert mean_average_precision([], []) == {}


def test_detect_finds_the_peak_and_its_surroundings() -> None:
    distribution = np.array([[0.0, 0.1], [0.3, 0.1], [0.2, 0.1], [0.1, 0.1]])
    blocks = np.array([[0, 2], [2, 4], [4, 6], [6, 8]], dtype=float)
    found = {(i.start, i.end): i.score for i in detect(distribution, blocks, 0) if i.label == 0}
    assert found == pytest.approx({(2, 4): 0.3, (2, 6): 0.25, (2, 8): 0.2})
    flat = [i for i in detect(distribution, blocks, 0) if i.label == 1]
    assert [(i.start, i.end) for i in flat] == [(0, 8)]
