"""Metrics for people: a table for the terminal, pictures for the results folder and TensorBoard."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import matplotlib

matplotlib.use("Agg")

import numpy as np
from matplotlib import pyplot as plt
from matplotlib.figure import Figure

from core.evaluation import STREAM_NAMES
from core.files import whole
from core.prediction import SENTIMENTS, Prediction

_LOSSES = ("loss", "visual", "audio", "text", "classification", "contrast", "distribution", "patches")
_HEADLINE = {"acc_e": "AccE", "f1_e": "F1E", "acc_s": "AccS", "f1_s": "F1S"}
_NAMES = _HEADLINE | {"kl": "KL", "map": "mAP"}


def metrics_table(metrics: dict[str, Any], title: str) -> str:
    """Recognition in per cent, accuracy of each class, the temporal measures if there are any, then all intervals."""
    lines = [f"{title}: {metrics['n_videos']} videos, loss {metrics['loss']:.4f}"]
    if metrics["left_out"]:
        lines.append(f"  {metrics['left_out']} videos were left out because they could not be read")
    for name, count in metrics["lacking"].items():
        if count:
            lines.append(f"  {count} of them scored without {STREAM_NAMES[name]}")
    lines.append("  " + "   ".join(f"{label} {100 * metrics[key]:6.2f}" for key, label in _HEADLINE.items()))
    for name, accuracy in metrics["per_class"].items():
        lines.append(f"  {name:<14} " + ("no videos" if accuracy is None else f"{100 * accuracy:6.2f}"))
    if temporal := metrics.get("temporal"):
        lines.append(
            "  temporal emotion distribution: KL {kl:.3f} (degree {kl_degree:.3f} + emotion {kl_emotion:.3f}; "
            "a uniform guess {kl_uniform:.3f})".format(**temporal)
        )
        lines.append(
            "  of the annotated segments: Chebyshev {chebyshev:.3f}, Clark {clark:.3f}, Canberra {canberra:.3f}, "
            "cosine {cosine:.3f}, intersection {intersection:.3f}".format(**temporal)
        )
        at = ", ".join(f"{100 * v:.2f} at {k[4:]}" for k, v in temporal.items() if k.startswith("map@"))
        lines.append(f"  localisation: mAP {100 * temporal['map']:.2f} (tIoU: {at})")
    if intervals := metrics["intervals"]:
        told = (f"{_NAMES[key]} {_written(key, low)}-{_written(key, high)}" for key, (low, high) in intervals.items())
        lines.append(f"  95 % intervals, from resampled videos: {', '.join(told)}")
    return "\n".join(lines)


def _written(key: str, value: float) -> str:
    return f"{value:.3f}" if key == "kl" else f"{100 * value:.2f}"


def epoch_line(phase: str, epoch: int, n_epochs: int, means: dict[str, float], seconds_left: float) -> str:
    """One line for the log: losses, throughput, time left."""
    losses = ", ".join(f"{name} {means[name]:.4f}" for name in _LOSSES if name in means)
    return (
        f"{phase} {epoch}/{n_epochs}: {losses}, {means['videos_per_second']:.1f} videos/s, "
        f"waiting for data {means['waiting']:.0%}, {int(seconds_left // 60)} min {int(seconds_left % 60)} s left"
    )


def one_line(text: object) -> str:
    """A name for the terminal, whatever it holds: what cannot be printed is escaped."""
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in str(text))


def prediction_line(prediction: Prediction) -> str:
    """Emotion and sentiment of a video, and where its emotion is strongest: at most three segments above the mean."""
    found = f"{prediction.emotion} {max(prediction.probabilities):.0%}, {SENTIMENTS[prediction.sentiment]}"
    above = [segment for segment in prediction.segments if segment.degree > 1 / len(prediction.segments)]
    strongest = sorted(above, key=lambda segment: -segment.degree)[:3]
    moments = ", ".join(
        f"{segment.start:.1f}-{segment.end:.1f} s {segment.emotion(prediction.classes)} ({segment.degree:.0%})"
        for segment in sorted(strongest, key=lambda segment: segment.start)
    )
    return f"{one_line(prediction.file)}: {found}" + (f"; strongest {moments}" if moments else "")


def outcome(n_predicted: int, failed: Sequence[Path]) -> str:
    """The last line of a prediction."""
    names = ", ".join(one_line(video) for video in failed)
    return f"predicted {n_predicted} of {n_predicted + len(failed)} videos" + (f"; failed: {names}" if failed else "")


def confusion_figure(metrics: dict[str, Any], classes: Sequence[str]) -> Figure:
    """Confusion matrix: counts, coloured by the share of the true class."""
    counts = np.asarray(metrics["confusion_matrix"])
    share = counts / np.maximum(counts.sum(axis=1, keepdims=True), 1)
    figure, axes = plt.subplots(figsize=(1.5 + 0.62 * len(classes), 1.2 + 0.58 * len(classes)), layout="constrained")
    image = axes.imshow(share, cmap="Blues", vmin=0, vmax=1)
    for (row, column), count in np.ndenumerate(counts):
        axes.text(column, row, count, ha="center", va="center", color="white" if share[row, column] > 0.5 else "black")
    axes.set_xticks(range(len(classes)), classes, rotation=45, ha="right")
    axes.set_yticks(range(len(classes)), classes)
    axes.set(xlabel="predicted", ylabel="true", title=f"AccE {100 * metrics['acc_e']:.1f} %")
    figure.colorbar(image, ax=axes, label="share of the true class", shrink=0.8)
    return figure


def per_class_figure(metrics: dict[str, Any]) -> Figure:
    """Bars of the accuracy of each class, with chance level and mean."""
    held = {name: value for name, value in metrics["per_class"].items() if value is not None}
    figure, axes = plt.subplots(figsize=(1.5 + 0.8 * len(held), 3.2), layout="constrained")
    bars = axes.bar(list(held), [100 * value for value in held.values()], color="#4878a8")
    axes.bar_label(bars, fmt="%.0f", padding=2)
    axes.axhline(100 * metrics["acc_e"], color="#b04a3a", linewidth=1, label="all videos")
    axes.axhline(100 / len(metrics["per_class"]), color="grey", linewidth=1, linestyle=":", label="chance")
    axes.set(ylabel="accuracy, %", ylim=(0, 108))
    axes.tick_params(axis="x", rotation=30)
    axes.spines[["top", "right"]].set_visible(False)
    axes.legend(loc="upper center", bbox_to_anchor=(0.5, 1.16), ncols=2, frameon=False)
    return figure


def figures(metrics: dict[str, Any], classes: Sequence[str]) -> dict[str, Figure]:
    """Every picture of an evaluation by its file's name."""
    return {"confusion_matrix": confusion_figure(metrics, classes), "per_class": per_class_figure(metrics)}


def save_figures(pictures: dict[str, Figure], folder: Path) -> list[Path]:
    """PNG files in `folder`, made if it is not there; closes the figures. Raises FileError."""
    folder.mkdir(parents=True, exist_ok=True)
    paths = []
    for name, figure in pictures.items():
        paths.append(folder / f"{name}.png")
        with whole(paths[-1]) as temporary:
            figure.savefig(temporary, dpi=130)
        plt.close(figure)
    return paths
