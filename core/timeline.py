"""The course of a video's emotions as one picture for files and TensorBoard."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

from core.legend import draw_legend, legend_height
from core.lettering import plain, write
from core.palette import emotion_colours
from core.prediction import Prediction, Segment
from core.timeaxis import clock, time_marks

_WIDTH, _LEFT, _RIGHT = 10.0, 0.8, 0.2  # inches
_MARKS = 12  # on the time axis


def draw_timeline(prediction: Prediction, annotated: Sequence[Segment] = ()) -> Figure:
    """The emotions within each segment and their degree, and below the same of an annotated course, if there is one.

    The axes are labelled emotions, degree, annotated emotions, annotated degree. pyplot does not know the figure.
    """
    courses = {"": prediction.segments} | ({"annotated ": annotated} if annotated else {})
    colours = emotion_colours(len(prediction.classes))
    names = [plain(name, 24) for name in prediction.classes]
    below = 0.5 + legend_height(names, _WIDTH)
    total = below + 2.65 * len(courses) + 0.4
    figure = Figure(figsize=(_WIDTH, total), dpi=100)
    FigureCanvasAgg(figure)
    bottom = total - 0.4
    for title, segments in courses.items():
        edges = [*(segment.start for segment in segments), segments[-1].end]
        for name, high, above in (("emotions", 1.4, 0.25), ("degree", 0.75, 0.1)):
            bottom -= high + above
            place = (_LEFT / _WIDTH, bottom / total, 1 - (_LEFT + _RIGHT) / _WIDTH, high / total)
            axes = figure.add_axes(place, label=title + name)
            _draw_axis(axes, prediction.duration, last=name == "degree")
            if name == "emotions":
                axes.set_title("annotation" if title else "model", fontsize=9, loc="left", pad=3)
                _draw_emotions(axes, segments, edges, colours)
            else:
                _draw_degree(axes, segments, edges)
        bottom -= 0.15
    verdict = f"   {plain(prediction.emotion, 24)} {100 * max(prediction.probabilities):.0f} %"
    heading = figure.text(_LEFT / _WIDTH, 1 - 0.08 / total, "", fontsize=12, fontweight="bold", va="top")
    write(heading, plain(prediction.file), 72 * (_WIDTH - 3.5), verdict)
    draw_legend(figure, names, colours)
    return figure


def _draw_axis(axes: Axes, duration: float, last: bool) -> None:
    marks = time_marks(duration, _MARKS)
    axes.set(xlim=(0, duration), xticks=marks, xticklabels=[clock(mark) if last else "" for mark in marks])
    axes.tick_params(labelsize=8, length=3)
    axes.spines[["top", "right"]].set_visible(False)


def _draw_emotions(axes: Axes, segments: Sequence[Segment], edges: Sequence[float], colours: Sequence[str]) -> None:
    floor = np.zeros(len(segments))
    for colour, shares in zip(colours, np.array([segment.probabilities for segment in segments]).T, strict=True):
        top = floor + shares
        axes.stairs(top, edges, baseline=floor, fill=True, color=colour, edgecolor="white", linewidth=0.4)
        floor = top
    axes.set(ylim=(0, 1), yticks=(0, 0.5, 1))
    axes.set_ylabel("emotions", fontsize=8)


def _draw_degree(axes: Axes, segments: Sequence[Segment], edges: Sequence[float]) -> None:
    degrees = [segment.degree for segment in segments]
    axes.stairs(degrees, edges, fill=True, color="#c9ccd1", edgecolor="#60656d")
    axes.axhline(np.mean(degrees), color="black", linewidth=0.8, linestyle=(0, (4, 4)))
    axes.set_ylim(0, 1.08 * max(degrees) or 1)
    axes.locator_params(axis="y", nbins=3)
    axes.set_ylabel("degree", fontsize=8)
