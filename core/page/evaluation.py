"""The page of an evaluation: its measures, which emotions are taken for which, and the most confident mistakes."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import groupby
from pathlib import Path
from typing import Any

from core.courses import annotated_course, prediction_of
from core.evaluation import STREAM_NAMES, Predictions
from core.files import write_text
from core.page.chart import Chart, draw_chart
from core.page.template import render
from core.page.video import PAGE
from core.prediction import Prediction

_N_SHOWN = 12  # mistakes with their timelines
_HEADLINE = {
    "acc_e": "Accuracy, emotion", "f1_e": "F1, emotion", "acc_s": "Accuracy, sentiment", "f1_s": "F1, sentiment",
}  # fmt: skip
_TEMPORAL = {
    "kl": "KL divergence", "kl_degree": "of it degree", "kl_emotion": "of it emotion",
    "kl_uniform": "KL of a uniform guess", "chebyshev": "Chebyshev", "clark": "Clark", "canberra": "Canberra",
    "cosine": "Cosine", "intersection": "Intersection", "map": "Localisation, mAP",
}  # fmt: skip


@dataclass(frozen=True)
class Mistake:
    """A video whose emotion the model takes for another one."""

    name: str  # <label>/<id>
    label: int
    taken: int
    probabilities: tuple[float, ...]
    number: int | None = None  # among those that are shown with a timeline, from 1
    model: Chart | None = None
    annotated: Chart | None = None


def write_evaluation(
    folder: Path,
    predictions: Predictions,
    metrics: dict[str, Any],
    classes: tuple[str, ...],
    polarity: tuple[int, ...],
    about: dict[str, str | int],
) -> Path:
    """Write `folder`/report.html and return its path; other files in the folder stay.

    metrics: of `all_metrics`. about: what was evaluated, shown as it is. Raises FileError.
    """
    counts = metrics["confusion_matrix"]
    measured = metrics.get("temporal", {})
    mistakes = find_mistakes(predictions, classes, polarity)
    page = render(
        "evaluation",
        n_classes=len(classes),
        classes=classes,
        metrics=metrics,
        lacking={STREAM_NAMES[name]: count for name, count in metrics["lacking"].items() if count},
        headline=_HEADLINE,
        temporal={key: label for key, label in _TEMPORAL.items() if key in measured},
        localisation={key[4:]: value for key, value in measured.items() if key.startswith("map@")},
        counts=counts,
        n_true=[sum(row) for row in counts],
        n_taken=[sum(column) for column in zip(*counts, strict=True)],
        left_out=predictions.left_out,
        mistakes=mistakes,
        shown=[mistake for mistake in mistakes if mistake.number],
        groups=[(cell, list(those)) for cell, those in groupby(sorted(mistakes, key=_cell), _cell)],
        about=about,
    )
    folder.mkdir(parents=True, exist_ok=True)
    write_text(folder / PAGE, page)
    return folder / PAGE


def find_mistakes(predictions: Predictions, classes: tuple[str, ...], polarity: tuple[int, ...]) -> list[Mistake]:
    """All, by the probability of the wrong emotion; the first ones with their timelines."""
    labels = predictions.labels.tolist()
    wrong = [i for i, taken in enumerate(predictions.scores.argmax(axis=1).tolist()) if taken != labels[i]]
    videos = {i: prediction_of(predictions, i, classes, polarity) for i in wrong}
    wrong.sort(key=lambda i: (-max(videos[i].probabilities), predictions.keys[i]))
    mistakes = [_mistake(videos[i], labels[i]) for i in wrong]
    for number, i in enumerate(wrong[:_N_SHOWN], 1):
        video, course = videos[i], annotated_course(predictions, i)
        mistakes[number - 1] = _mistake(
            video,
            labels[i],
            number=number,
            model=draw_chart(video.segments, video.duration),
            annotated=draw_chart(course, video.duration) if course else None,
        )
    return mistakes


def _mistake(video: Prediction, label: int, **drawn: Any) -> Mistake:
    return Mistake(video.file, label, video.classes.index(video.emotion), video.probabilities, **drawn)


def _cell(mistake: Mistake) -> tuple[int, int]:
    return mistake.label, mistake.taken
