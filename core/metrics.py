"""Emotion and sentiment recognition scores, by scikit-learn."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np


def recognition_metrics(
    predicted: np.ndarray, labels: np.ndarray, classes: Sequence[str], polarity: Sequence[int]
) -> dict[str, object]:
    """Accuracy and weighted F1 of the emotion and of the sentiment that it implies.

    predicted, labels: (N,) class indices. Returns `acc_e f1_e acc_s f1_s` in 0..1, `per_class` accuracy by class name
    (None for a class without videos), `confusion_matrix` (rows true, columns predicted) and `n_videos`.
    """
    from sklearn.metrics import accuracy_score, confusion_matrix, f1_score  # takes seconds and 100 MB

    sign = np.asarray(polarity)
    indices = np.arange(len(classes))
    matrix = confusion_matrix(labels, predicted, labels=indices)
    totals = matrix.sum(axis=1)
    return {
        "acc_e": float(accuracy_score(labels, predicted)),
        "f1_e": float(f1_score(labels, predicted, labels=indices, average="weighted", zero_division=0)),
        "acc_s": float(accuracy_score(sign[labels], sign[predicted])),
        "f1_s": float(f1_score(sign[labels], sign[predicted], average="weighted", zero_division=0)),
        "per_class": {name: float(matrix[i, i] / totals[i]) if totals[i] else None for i, name in enumerate(classes)},
        "confusion_matrix": matrix.tolist(),
        "n_videos": len(labels),
    }


def drawn_recognition(
    predicted: np.ndarray, labels: np.ndarray, polarity: Sequence[int], drawn: np.ndarray
) -> dict[str, np.ndarray]:
    """`acc_e f1_e acc_s f1_s` of resamples, (R,) each: drawn (R, N) says how often each of the N videos counts."""
    sign, n_videos = np.asarray(polarity), drawn.sum(axis=1)
    scores = {}
    for kind, truth, found in (("e", labels, predicted), ("s", sign[labels], sign[predicted])):
        right = truth == found
        weighted = np.zeros(len(drawn))
        for label in np.unique(truth):
            support, taken = drawn @ (truth == label), drawn @ (found == label)
            # F1 is 2 TP / (support + taken), its weight the support
            weighted += support * 2 * (drawn @ (right & (truth == label))) / np.maximum(support + taken, 1)
        scores[f"acc_{kind}"], scores[f"f1_{kind}"] = drawn @ right / n_videos, weighted / n_videos
    return scores
