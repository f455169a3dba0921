"""Recognition metrics by hand and against scikit-learn."""

from __future__ import annotations

import numpy as np
import pytest
from sklearn.metrics import balanced_accuracy_score, f1_score

from core.metrics import drawn_recognition, recognition_metrics

CLASSES, POLARITY = ("Anger", "Joy", "Trust", "Neutral"), (-1, 1, 1, 0)


def test_by_hand() -> None:
    labels = np.array([0, 0, 1, 1, 2])
    predicted = np.array([0, 1, 1, 2, 1])
    metrics = recognition_metrics(predicted, labels, CLASSES, POLARITY)
    assert metrics["acc_e"] == pytest.approx(2 / 5)
    # sentiment: - + + + +  against  - - + + +
    assert metrics["acc_s"] == pytest.approx(4 / 5)
    # F1: Anger 2*1*.5/1.5 = 2/3, Joy precision 1/3 recall 1/2 = .4, Trust 0; weights 2, 2, 1
    assert metrics["f1_e"] == pytest.approx((2 * 2 / 3 + 2 * 0.4) / 5)
    # negative: p 1, r .5, f 2/3; positive: p 3/4, r 1, f 6/7
    assert metrics["f1_s"] == pytest.approx((2 * 2 / 3 + 3 * 6 / 7) / 5)
    assert metrics["per_class"] == {"Anger": 0.5, "Joy": 0.5, "Trust": 0.0, "Neutral": None}
    assert metrics["confusion_matrix"] == [[1, 1, 0, 0], [0, 1, 1, 0], [0, 1, 0, 0], [0, 0, 0, 0]]
    assert metrics["n_videos"] == 5


@pytest.mark.parametrize("seed", range(3))
def test_agrees_with_scikit_learn(seed: int) -> None:
    rng = np.random.default_rng(seed)
    labels, predicted = rng.integers(0, 4, (2, 200))
    metrics = recognition_metrics(predicted, labels, CLASSES, POLARITY)
    assert metrics["f1_e"] == pytest.approx(f1_score(labels, predicted, average="weighted"))
    assert np.mean(list(metrics["per_class"].values())) == pytest.approx(balanced_accuracy_score(labels, predicted))


def test_resamples_agree_with_the_resampled_videos() -> None:
    rng = np.random.default_rng(0)
    labels, predicted = rng.integers(0, 4, (2, 12))
    drawn = rng.multinomial(12, np.full(12, 1 / 12), size=30)
    measured = drawn_recognition(predicted, labels, POLARITY, drawn.astype(float))
    for row, counts in enumerate(drawn):
        chosen = np.repeat(np.arange(12), counts)
        expected = recognition_metrics(predicted[chosen], labels[chosen], CLASSES, POLARITY)
        for name, values in measured.items():
            assert values[row] == pytest.approx(expected[name]), name
