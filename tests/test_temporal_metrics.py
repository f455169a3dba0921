"""Measures of temporal emotion distributions against numbers worked out by hand."""

from __future__ import annotations

import math

import numpy as np
import pytest

from core.temporal_metrics import kl_of_videos, kl_parts, label_distribution_measures, temporal_metrics


def test_equal_distributions_have_no_divergence() -> None:
    truth = np.array([[0.5, 0.0], [0.25, 0.25]])
    assert kl_parts(truth, truth) == pytest.approx((0.0, 0.0))


def test_parts_by_hand() -> None:
    truth = np.array([[0.5, 0.0], [0.25, 0.25]])
    recovered = np.array([[0.125, 0.125], [0.375, 0.375]])
    degree, emotion = kl_parts(truth, recovered)
    # over time (1/2, 1/2) against (1/4, 3/4); within segment 1: certain against a coin, segment 2: equal
    assert degree == pytest.approx(0.5 * math.log(2) + 0.5 * math.log(2 / 3))
    assert emotion == pytest.approx(0.5 * math.log(2))


def test_one_segment_has_no_degree() -> None:
    degree, emotion = kl_parts(np.array([[0.9, 0.1]]), np.array([[0.5, 0.5]]))
    assert degree == pytest.approx(0.0)
    assert emotion == pytest.approx(0.9 * math.log(1.8) + 0.1 * math.log(0.2))


def test_label_distribution_measures_by_hand() -> None:
    measures = label_distribution_measures(np.array([[0.75, 0.25, 0.0]]), np.array([[0.25, 0.25, 0.5]]))
    assert measures["chebyshev"] == pytest.approx(0.5)
    assert measures["canberra"] == pytest.approx(0.5 / 1.0 + 0 + 0.5 / 0.5)
    assert measures["clark"] == pytest.approx(math.sqrt(0.25 + 0 + 1))
    assert measures["cosine"] == pytest.approx((0.1875 + 0.0625) / (math.sqrt(0.625) * math.sqrt(0.375)))
    assert measures["intersection"] == pytest.approx(0.5)


def test_only_annotated_videos_and_segments_count() -> None:
    truth = np.zeros((2, 2, 2))
    truth[0, 0] = (1.0, 0.0)
    recovered = np.full((2, 2, 2), 0.25)
    measured = temporal_metrics(truth, recovered)
    assert measured["kl"] == pytest.approx(math.log(4)) == measured["kl_uniform"]
    assert measured["kl_degree"] == pytest.approx(math.log(2)) == measured["kl_emotion"]
    assert measured["intersection"] == pytest.approx(0.5)
    assert temporal_metrics(np.zeros((1, 2, 2)), recovered[:1]) == {}
    np.testing.assert_allclose(kl_of_videos(truth, recovered), [math.log(4), math.nan])
