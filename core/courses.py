"""Single videos of an evaluation: what the model says of one, and its annotated course, in the type of a prediction."""

from __future__ import annotations

import numpy as np
import torch

from core.evaluation import Predictions
from core.prediction import Prediction, Segment


def prediction_of(
    predictions: Predictions, video: int, classes: tuple[str, ...], polarity: tuple[int, ...]
) -> Prediction:
    """Video number `video` as the model sees it; its file is its <label>/<id>."""
    blocks = predictions.blocks[video]
    return Prediction(
        file="/".join(predictions.keys[video]),
        duration=float(blocks[-1, 1]),
        model={},
        classes=classes,
        polarity=polarity,
        segment_seconds=float((blocks[:, 1] - blocks[:, 0]).mean()),
        probabilities=tuple(torch.from_numpy(predictions.scores[video]).double().softmax(dim=0).tolist()),
        segments=_segments(predictions.temporal[video], blocks),
    )


def annotated_course(predictions: Predictions, video: int) -> tuple[Segment, ...]:
    """What the annotation says of the same segments, zeros where it is silent; nothing where there is none."""
    truth = predictions.truth[video]
    return _segments(truth, predictions.blocks[video]) if truth.any() else ()


def _segments(distribution: np.ndarray, blocks: np.ndarray) -> tuple[Segment, ...]:
    """From a temporal emotion distribution (S, C) and its times (S, 2)."""
    degrees = distribution.sum(axis=1).astype(np.float64)
    within = distribution / np.where(degrees > 0, degrees, 1)[:, None]
    columns = (blocks.tolist(), within.tolist(), degrees.tolist())
    return tuple(Segment(*times, tuple(shares), degree) for times, shares, degree in zip(*columns, strict=True))
