"""How near a recovered temporal emotion distribution comes to the annotated course.

Both are distributions over all (segment, emotion) entries of a video. By the chain rule their KL divergence is that of
the two distributions over time (the degree part) plus the expected KL of the emotions within a segment. The other
measures are the usual ones of label distribution learning (Geng 2016), on the emotions of each annotated segment.
"""

from __future__ import annotations

import numpy as np

_TINY = 1e-12


def kl_parts(truth: np.ndarray, recovered: np.ndarray) -> tuple[float, float]:
    """Degree part and emotion part of KL(truth || recovered), in nats. Both (S, C), summing to 1."""
    degree, recovered_degree = truth.sum(axis=1), recovered.sum(axis=1)
    over_time = _kl(degree, recovered_degree)
    return over_time, _kl(truth, recovered) - over_time


def _kl(p: np.ndarray, q: np.ndarray) -> float:
    held = p > 0
    return float((p[held] * np.log(p[held] / np.maximum(q[held], _TINY))).sum())


def kl_of_videos(truth: np.ndarray, recovered: np.ndarray) -> np.ndarray:
    """KL divergence (N,) in nats of each of truth and recovered (N, S, C); NaN for a video without a course."""
    pairs = zip(truth.astype(np.float64), recovered.astype(np.float64), strict=True)
    return np.array([_kl(true, found) if true.any() else np.nan for true, found in pairs])


def label_distribution_measures(truth: np.ndarray, recovered: np.ndarray) -> dict[str, float]:
    """Means over segments of truth and recovered (n, C), each row a distribution over emotions."""
    difference, total = np.abs(truth - recovered), np.maximum(truth + recovered, _TINY)
    norms = np.linalg.norm(truth, axis=1) * np.linalg.norm(recovered, axis=1)
    per_segment = {
        "chebyshev": difference.max(axis=1),
        "clark": np.sqrt(((difference / total) ** 2).sum(axis=1)),
        "canberra": (difference / total).sum(axis=1),
        "cosine": (truth * recovered).sum(axis=1) / np.maximum(norms, _TINY),
        "intersection": np.minimum(truth, recovered).sum(axis=1),
    }
    return {name: float(values.mean()) for name, values in per_segment.items()}


def temporal_metrics(truth: np.ndarray, recovered: np.ndarray) -> dict[str, float]:
    """Means over the annotated videos of truth and recovered (N, S, C); {} where no video has a course.

    `kl` (nats) with its `kl_degree` and `kl_emotion` parts, `kl_uniform` for a guess that knows nothing, and the label
    distribution measures over the segments that the annotation covers.
    """
    rows: list[dict[str, float]] = []
    for true, found in zip(truth.astype(np.float64), recovered.astype(np.float64), strict=True):
        if true.sum() == 0:
            continue
        degree_part, emotion_part = kl_parts(true, found)
        covered = true.sum(axis=1) > 0
        rows.append(
            {
                "kl": degree_part + emotion_part,
                "kl_degree": degree_part,
                "kl_emotion": emotion_part,
                "kl_uniform": _kl(true, np.full_like(true, 1 / true.size)),
                **label_distribution_measures(_rows_to_one(true[covered]), _rows_to_one(found[covered])),
            }
        )
    return {name: float(np.mean([row[name] for row in rows])) for name in rows[0]} if rows else {}


def _rows_to_one(values: np.ndarray) -> np.ndarray:
    return values / np.maximum(values.sum(axis=1, keepdims=True), _TINY)
