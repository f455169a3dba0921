"""One pass of evaluation over every video of a split, and all metrics of it."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass
from itertools import chain
from typing import Any

import numpy as np
import torch
from torch import Tensor
from tqdm import tqdm

from core import distributed
from core.engine import EmptySplitError, StepSettings
from core.intervals import bootstrap_intervals, drawn_mean
from core.localisation import Interval, Ranking, detect, drawn_map, mean_average_precision, rank_classes
from core.losses import classification_losses
from core.metrics import drawn_recognition, recognition_metrics
from core.temporal_metrics import kl_of_videos, temporal_metrics
from datasets.video_batch import MODALITIES, VideoBatch
from models.mbt import MBT

STREAM_NAMES = {"visual": "picture", "audio": "sound", "text": "subtitles"}
ARRAYS = ("labels", "scores", "temporal", "truth", "blocks", "given")


class ScoreError(ValueError):
    """A model's scores are not numbers."""


@dataclass
class Predictions:
    """What a model says of every video of a split (N of them), and what the annotation says."""

    keys: list[tuple[str, str]]  # (label, id)
    labels: np.ndarray  # (N,)
    scores: np.ndarray  # (N, C) of the videos, before any softmax
    temporal: np.ndarray  # (N, S, C) temporal emotion distribution, sums to 1 over S and C
    truth: np.ndarray  # (N, S, C) the annotated course, or zeros
    blocks: np.ndarray  # (N, S, 2) seconds
    given: np.ndarray  # bool (N, 3), which of MODALITIES were there
    streams: tuple[str, ...]  # those that the model takes
    courses: list[tuple]  # annotated segments: start, end, label, intensity
    loss: float  # mean over the videos
    left_out: list[str]  # one line per video that could not be read


def temporal_emotion_distribution_of(segment_scores: Tensor) -> Tensor:
    """Softmax of segment scores (B, S, C) over all S x C entries of a video."""
    return segment_scores.flatten(1).softmax(dim=1).reshape(segment_scores.shape)


@torch.no_grad()
def predict_split(
    model: MBT, loader: Iterable[VideoBatch], settings: StepSettings, *, n_batches: int, name: str
) -> Predictions:
    """Score every video once, in evaluation mode, without augmentation. Raises EmptySplitError and ScoreError.

    Several processes score the batches of their loaders, and all of them get the predictions of all.
    """
    model.eval()
    found: dict[str, list[Any]] = defaultdict(list)
    left_out: list[str] = []
    hidden = not distributed.is_first()
    for batch in tqdm(loader, name, n_batches, leave=False, unit="batch", dynamic_ncols=True, disable=hidden):
        left_out += batch.skipped
        if not len(batch):
            continue
        batch = batch.to(settings.device)
        with settings.autocast():
            output = model(batch.media(), batch.present())
        losses = classification_losses(output, batch.labels, settings.polarity, settings.lambda_0)
        found["loss"].append(losses["loss"] * len(batch))
        found["keys"] += batch.keys
        found["courses"] += batch.courses
        found["labels"].append(batch.labels)
        found["truth"].append(batch.truth)
        found["blocks"].append(batch.blocks)
        found["given"].append(batch.given)
        found["scores"].append(output.video_scores)
        found["temporal"].append(temporal_emotion_distribution_of(output.segment_scores))
    own = {key: torch.cat(found[key]).cpu().numpy() for key in ARRAYS if found[key]}
    loss = sum(value.item() for value in found["loss"])
    parts = distributed.gathered((found["keys"], found["courses"], own, loss, left_out))
    keys, courses, arrays, losses, lines = zip(*parts, strict=True)
    all_keys, all_lines = list(chain(*keys)), list(chain(*lines))
    n_videos = len(all_keys)
    if not n_videos:
        raise EmptySplitError(name, all_lines)
    joined = {key: np.concatenate([part[key] for part in arrays if part]) for key in ARRAYS}
    wrong = ~(np.isfinite(joined["scores"]).all(axis=1) & np.isfinite(joined["temporal"]).all(axis=(1, 2)))
    if wrong.any():
        first = "/".join(all_keys[int(wrong.argmax())])
        raise ScoreError(
            f"the model's scores of {wrong.sum()} of {n_videos} {name} videos are not numbers, the first {first}; try "
            "--precision fp32, or another checkpoint"
        )
    return Predictions(
        keys=all_keys,
        courses=list(chain(*courses)),
        loss=sum(losses) / n_videos,
        left_out=all_lines,
        streams=model.streams,
        **joined,
    )


def all_metrics(predictions: Predictions, classes: tuple[str, ...], polarity: tuple[int, ...]) -> dict[str, object]:
    """Recognition metrics, `loss`, `left_out`, `lacking`; where courses are annotated `temporal` with localisation.

    lacking: of each modality that the model takes, how many videos were scored without it.
    intervals: the 95 % interval of `acc_e f1_e acc_s f1_s` and of the temporal `kl` and `map`.
    """
    predicted, labels, n_videos = predictions.scores.argmax(axis=1), predictions.labels, len(predictions.keys)
    metrics = recognition_metrics(predicted, labels, classes, polarity)
    metrics |= {"loss": predictions.loss, "left_out": len(predictions.left_out)}
    metrics["lacking"] = {
        name: int((~predictions.given[:, MODALITIES.index(name)]).sum()) for name in predictions.streams
    }
    temporal = temporal_metrics(predictions.truth, predictions.temporal)
    rankings = localise(predictions, classes) if temporal else []
    if temporal:
        metrics["temporal"] = temporal | mean_average_precision(rankings, n_videos)
    kl = kl_of_videos(predictions.truth, predictions.temporal)
    # a video is drawn by its key, since several processes give another order
    places = np.argsort(sorted(range(n_videos), key=predictions.keys.__getitem__))

    def statistics(drawn: np.ndarray) -> dict[str, np.ndarray]:
        drawn = drawn[:, places]
        of_course = {"kl": drawn_mean(kl, drawn), "map": drawn_map(rankings, drawn)} if rankings else {}
        return drawn_recognition(predicted, labels, polarity, drawn) | of_course

    metrics["intervals"] = bootstrap_intervals(statistics, n_videos)
    return metrics


def localise(predictions: Predictions, classes: tuple[str, ...]) -> list[Ranking]:
    """The detections of every annotated class, in the videos that carry a course, against the annotated intervals."""
    index = {name: i for i, name in enumerate(classes)}
    annotated = [
        Interval(video, index[segment.label], segment.start, segment.end)
        for video, course in enumerate(predictions.courses)
        for segment in course
    ]
    detections = [
        interval
        for video in sorted({interval.video for interval in annotated})
        for interval in detect(predictions.temporal[video], predictions.blocks[video], video)
    ]
    return rank_classes(detections, annotated)
