"""Bootstrap intervals: against SciPy's, their coverage where the truth is known, and too little to resample."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from scipy import stats
from sklearn.metrics import f1_score

from core.evaluation import ARRAYS, all_metrics
from core.intervals import bootstrap_intervals, drawn_mean
from core.report import metrics_table
from tests.predictions import VE8
from tests.test_page_evaluation import some_predictions


def interval_of_mean(values: np.ndarray) -> list[float]:
    return bootstrap_intervals(lambda drawn: {"mean": drawn_mean(values, drawn)}, len(values))["mean"]


def test_agrees_with_scipy() -> None:
    values = np.random.default_rng(1).exponential(size=80)
    expected = stats.bootstrap((values,), np.mean, n_resamples=20_000, method="percentile", rng=0).confidence_interval
    width = expected.high - expected.low
    assert interval_of_mean(values) == pytest.approx(list(expected), abs=0.05 * width)


def test_covers_the_true_share_in_95_of_100_samples() -> None:
    rng = np.random.default_rng(0)
    covered = []
    for _ in range(300):
        low, high = interval_of_mean((rng.random(100) < 0.7).astype(float))
        covered.append(low <= 0.7 <= high)
    # the percentile bootstrap covers a little less than it says; three standard errors are 0.04
    assert 0.89 < np.mean(covered) < 0.98


def test_all_metrics_holds_intervals_of_the_right_metrics() -> None:
    found = some_predictions()
    metrics = all_metrics(found, VE8.classes, VE8.polarity)
    assert list(metrics["intervals"]) == ["acc_e", "f1_e", "acc_s", "f1_s", "kl", "map"]
    for name, (low, high) in metrics["intervals"].items():
        assert low < (metrics | metrics["temporal"])[name] < high, name
    assert all_metrics(found, VE8.classes, VE8.polarity) == metrics, "the draw is seeded"
    predicted = found.scores.argmax(axis=1)
    paired = stats.bootstrap(
        (found.labels, predicted),
        lambda truth, taken: f1_score(truth, taken, average="weighted"),
        paired=True, vectorized=False, n_resamples=2000, method="percentile", rng=0,
    ).confidence_interval  # fmt: skip
    assert metrics["intervals"]["f1_e"] == pytest.approx(list(paired), abs=0.015)


def test_the_order_in_which_videos_are_scored_changes_nothing() -> None:
    found = some_predictions(20)
    order = np.random.default_rng(0).permutation(20)
    found.keys = [("class", f"video {i:02d}") for i in range(20)]
    arrays = {name: getattr(found, name)[order] for name in ARRAYS}
    lists = {name: [getattr(found, name)[i] for i in order] for name in ("keys", "courses")}
    one, other = (
        all_metrics(each, VE8.classes, VE8.polarity)["intervals"] for each in (found, replace(found, **arrays, **lists))
    )
    for name, interval in one.items():
        assert other[name] == pytest.approx(interval), name


def test_only_videos_with_a_course_count() -> None:
    values = np.array([1.0, 2.0, np.nan, 4.0])
    drawn = np.array([[2, 1, 1, 0], [0, 0, 4, 0]], dtype=float)
    np.testing.assert_allclose(drawn_mean(values, drawn), [4 / 3, np.nan])


def test_one_video_has_no_interval() -> None:
    one = some_predictions(1)
    metrics = all_metrics(one, VE8.classes, VE8.polarity)
    assert metrics["intervals"] == {} and "95 %" not in metrics_table(metrics, "test")


@pytest.mark.filterwarnings("error")
def test_courses_that_few_videos_have() -> None:
    few = some_predictions(4)
    truth, courses = few.truth.copy(), list(few.courses)
    truth[1:], courses[1:] = 0, [()] * 3
    metrics = all_metrics(replace(few, truth=truth, courses=courses), VE8.classes, VE8.polarity)
    assert metrics["intervals"]["kl"] == pytest.approx([metrics["temporal"]["kl"]] * 2)


def test_the_table_tells_them() -> None:
    metrics = all_metrics(some_predictions(), VE8.classes, VE8.polarity)
    metrics["intervals"] = {"acc_e": [0.6937, 0.825], "kl": [1.8, 1.9644], "map": [0.3, 0.4]}
    line = metrics_table(metrics, "test").splitlines()[-1]
    assert line == "  95 % intervals, from resampled videos: AccE 69.37-82.50, KL 1.800-1.964, mAP 30.00-40.00"
