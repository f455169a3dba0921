"""A video in pre-training as one picture: frames and sound with their masks, words, and the distributions over time."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.collections import LineCollection
from matplotlib.figure import Figure
from torch import Tensor

from core.legend import draw_legend, legend_height
from core.lettering import plain, write
from core.losses import temporal_distribution_kl
from core.palette import emotion_colours, is_light
from core.verification import STAGES
from core.views import VideoView

_REJECTED, _MASKED = "#858585", (0.07, 0.07, 0.1, 0.7)
# Margins and the limits of the whole, of a frame and a line of words, in inches.
_LEFT, _RIGHT, _MIN_WIDTH, _MAX_WIDTH, _MAX_HEIGHT = 0.75, 0.2, 7.5, 14.0, 9.0
_FRAME, _LINE = 1.5, 0.16
_MAX_LINES = 8  # of words under a segment
_CAPTION = (
    "dark: masked patches    coloured: verified words    grey: words that failed E1 sentiment, E2 emotion or E3 degree"
)


def draw_view(view: VideoView, classes: Sequence[str]) -> Figure:
    """The picture of a video with the emotions `classes`, at most 14 x 9 inches.

    Its axes are labelled frames, sound (of a model that hears), words, target, recovered and, where there is an
    annotation, truth; segment s is column s of each. pyplot does not know the figure: it is gone with its last
    reference, and closing it does no harm.
    """
    n_segments, height, width = len(view.frames), *view.frames.shape[2:]
    names = [plain(name, 24) for name in classes]
    colours = emotion_colours(len(names))
    panels = ("target", "recovered", "truth") if view.truth.any() else ("target", "recovered")

    inches = min(max(_LEFT + _RIGHT + 1.6 * n_segments, _MIN_WIDTH), _MAX_WIDTH)
    column = (inches - _LEFT - _RIGHT) / n_segments
    shown = min(0.93 * column, _FRAME * width / max(width, height))  # width of a frame
    below = 0.5 + legend_height(names, inches)
    # (height, space above) of each row, from the top
    rows = {"frames": (shown * height / width, 0.8)}
    if view.fbank.numel():
        rows["sound"] = (min(shown, 0.9), 0.06)
    rows["words"] = (_LINE * min(max(1, *map(len, view.words)), _MAX_LINES), 0.1)
    left_over = (_MAX_HEIGHT - below - sum(map(sum, rows.values()))) / len(panels)
    rows |= dict.fromkeys(panels, (min(max(left_over - 0.3, 0.5), 1.0), 0.3))
    total = below + sum(map(sum, rows.values()))

    figure = Figure(figsize=(inches, total), dpi=100)
    FigureCanvasAgg(figure)
    axes: dict[str, Axes] = {}
    bottom = total
    for name, (high, above) in rows.items():
        bottom -= high + above
        place = (_LEFT / inches, bottom / total, n_segments * column / inches, high / total)
        axes[name] = figure.add_axes(place, label=name)
    _draw_frames(axes["frames"], view, shown / column, points=min(8.0, 9 * column))
    if "sound" in axes:
        _draw_sound(axes["sound"], view, shown / column)
    _draw_words(axes["words"], view, colours, 72 * column)
    _draw_panels({name: axes[name] for name in panels}, view, colours, min(shown / column, 0.8))

    title = figure.text(_LEFT / inches, 1 - 0.1 / total, "", fontsize=12, fontweight="bold", va="top")
    write(title, "/".join(plain(part) for part in view.key), 72 * (inches - _LEFT - _RIGHT))
    figure.text(_LEFT / inches, 1 - 0.37 / total, _CAPTION, fontsize=7, color="#555555", va="top")
    draw_legend(figure, names, colours)
    return figure


def _draw_frames(axes: Axes, view: VideoView, share: float, points: float) -> None:
    _strip(axes, "frames", len(view.frames))
    for s, (frame, (start, end)) in enumerate(zip(view.frames, view.blocks.tolist(), strict=True)):
        extent = (s + 0.5 - share / 2, s + 0.5 + share / 2, 0, 1)
        axes.imshow(frame.permute(1, 2, 0).numpy(), extent=extent, aspect="auto")
        axes.text(s + 0.5, 1.03, f"{start:.1f}-{end:.1f} s", ha="center", va="bottom", fontsize=points)
        if view.visual_mask is not None:
            _shade(axes, view.visual_mask[s].flip(0), extent)


def _draw_sound(axes: Axes, view: VideoView, share: float) -> None:
    _strip(axes, "sound", len(view.fbank))
    low, high = np.percentile(view.fbank.numpy(), (1, 99.5))  # one scale, so that silence is seen
    for s, energies in enumerate(view.fbank):
        extent = (s + 0.5 - share / 2, s + 0.5 + share / 2, 0, 1)
        scale = {"cmap": "GnBu", "vmin": low, "vmax": high}
        axes.imshow(energies.T.numpy(), **scale, extent=extent, origin="lower", aspect="auto")
        if view.audio_mask is not None:
            _shade(axes, view.audio_mask[s], extent)


def _strip(axes: Axes, name: str, n_segments: int) -> None:
    """Axes of one column per segment, without a frame; images must not change their limits."""
    axes.set(xlim=(0, n_segments), ylim=(0, 1), xticks=[], yticks=[], autoscale_on=False)
    axes.set_ylabel(name, fontsize=8)
    axes.spines[:].set_visible(False)


def _shade(axes: Axes, mask: Tensor, extent: tuple[float, float, float, float]) -> None:
    """Darken the cells of a mask (rows from the bottom, columns), strike them through and draw their grid."""
    left, right, bottom, top = extent
    shade = mask[..., None].numpy() * np.asarray(_MASKED)
    axes.imshow(shade, extent=extent, origin="lower", aspect="auto", interpolation="nearest")
    y, x = np.linspace(bottom, top, mask.shape[0] + 1), np.linspace(left, right, mask.shape[1] + 1)
    grid = [((left, v), (right, v)) for v in y] + [((v, bottom), (v, top)) for v in x]
    struck = [((x[j], y[i]), (x[j + 1], y[i + 1])) for i, j in mask.nonzero().tolist()]  # seen on black frames too
    axes.add_collection(LineCollection(grid + struck, colors=[(1, 1, 1, 0.35)], linewidths=0.4), autolim=False)


def _draw_words(axes: Axes, view: VideoView, colours: Sequence[str], points: float) -> None:
    """The cues of each segment below each other, cut to `points`, the width of a column."""
    n_lines = min(max(1, *map(len, view.words)), _MAX_LINES)
    _strip(axes, "words", len(view.words))
    axes.set_ylim(n_lines, 0)
    size, strongest = 8.0 if points > 80 else 7.0, view.cue_emotion.argmax(dim=-1).tolist()
    for s, words in enumerate(view.words):
        fitting = words if len(words) <= n_lines else words[: n_lines - 1]
        for k, word in enumerate(fitting):
            text = axes.text(s + 0.5, k + 0.5, "", fontsize=size, ha="center", va="center")
            if view.verified[s, k]:
                colour = colours[strongest[s][k]]
                text.set(color="black" if is_light(colour) else "white", fontweight="bold")
                text.set_bbox({"facecolor": colour, "edgecolor": "none", "boxstyle": "round,pad=0.12"})
                write(text, plain(word), points - 6)
            else:
                text.set(color=_REJECTED)
                write(text, plain(word), points - 6, f" (E{STAGES.index(view.passed[s][k]) + 1})")
        if len(fitting) < len(words):
            more = f"\u2026 {len(words) - len(fitting)} more"
            axes.text(s + 0.5, n_lines - 0.5, more, fontsize=size, color=_REJECTED, ha="center", va="center")
    if not any(view.words):
        axes.text(len(view.words) / 2, 0.5, "no affective words", color=_REJECTED, fontsize=8, ha="center", va="center")


def _draw_panels(axes: dict[str, Axes], view: VideoView, colours: Sequence[str], width: float) -> None:
    """Stacked bars, as high as a segment's share of the whole distribution (its degree)."""
    titles = {"target": "target Q", "recovered": "recovered P", "truth": "annotation"}
    log_p = view.recovered.clamp_min(torch.finfo(torch.float32).tiny).log()[None]
    for name, of in (("target", "Q"), ("truth", "truth")):
        if name in axes:
            divergence = temporal_distribution_kl(getattr(view, name)[None], log_p)[0].item()
            titles["recovered"] += f"     KL({of} || P) = {abs(divergence):.3f}"  # rounding can leave -0.000
    shares = {name: getattr(view, name).nan_to_num() for name in axes}
    highest = max(float(table.sum(dim=1).max()) for table in shares.values())
    times = [*view.blocks[:, 0].tolist(), view.blocks[-1, 1].item()]
    for name, part in axes.items():
        floor = np.zeros(len(times) - 1)
        for colour, values in zip(colours, shares[name].T.numpy(), strict=True):
            part.bar(np.arange(len(values)) + 0.5, values, width, floor, color=colour, edgecolor="white", linewidth=0.3)
            floor = floor + values
        part.set(xlim=(0, len(floor)), ylim=(0, 1.05 * highest or 1), xticks=range(len(times)), xticklabels=[])
        part.set_title(titles[name], fontsize=9, loc="left", pad=3)
        part.set_ylabel("degree", fontsize=8)
        part.tick_params(labelsize=7, length=2)
        part.locator_params(axis="y", nbins=4)
        part.spines[["top", "right"]].set_visible(False)
    last, every = axes[list(axes)[-1]], -(-len(times) // 41)
    last.set_xticklabels(["" if i % every else f"{time:.1f}" for i, time in enumerate(times)])
    last.set_xlabel("seconds", fontsize=8, labelpad=1)
