"""A video in pre-training as one picture: frames and sound with their masks, words, and the distributions over time."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache

import numpy as np
import torch
from matplotlib import colormaps
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.collections import LineCollection
from matplotlib.colors import to_hex, to_rgb
from matplotlib.figure import Figure
from matplotlib.font_manager import FontProperties, findfont, fontManager, get_font
from matplotlib.patches import Patch
from matplotlib.text import Text
from torch import Tensor

from core.losses import temporal_distribution_kl
from core.verification import STAGES
from core.views import VideoView

# Okabe and Ito's colours, safe for the colour-blind, in an order that suits the emotions of VideoEmotion-8.
_PALETTE = ("#d55e00", "#e69f00", "#009e73", "#000000", "#f0e442", "#0072b2", "#cc79a7", "#56b4e9")
_REJECTED, _MASKED = "#858585", (0.07, 0.07, 0.1, 0.7)
# For scripts that matplotlib's own font lacks, where one of these is installed.
_OTHER_FONTS = ("Noto Sans CJK SC", "Noto Sans CJK JP", "WenQuanYi Zen Hei", "Microsoft YaHei", "PingFang SC")
_NO_GLYPH = "\u25a1"
# Margins and the limits of the whole, of a frame, a line of words and a row of the legend, in inches.
_LEFT, _RIGHT, _MIN_WIDTH, _MAX_WIDTH, _MAX_HEIGHT = 0.75, 0.2, 7.5, 14.0, 9.0
_FRAME, _LINE, _LEGEND_ROW = 1.5, 0.16, 0.18
_MAX_LINES = 8  # of words under a segment
_CAPTION = (
    "dark: masked patches    coloured: verified words    grey: words that failed E1 sentiment, E2 emotion or E3 degree"
)


def draw_view(view: VideoView, classes: Sequence[str]) -> Figure:
    """The picture of a video with the emotions `classes`, at most 14 x 9 inches.

    Its axes are labelled frames, sound, words, target, recovered and, where there is an annotation, truth; segment s is
    column s of each. pyplot does not know the figure: it is gone with its last reference, and closing it does no harm.
    """
    n_segments, height, width = len(view.frames), *view.frames.shape[2:]
    names = [_plain(name, 24) for name in classes]
    many = [to_hex(colormaps["tab20"](i % 20)) for i in range(len(names))]
    colours = _PALETTE[: len(names)] if len(names) <= len(_PALETTE) else many
    panels = ("target", "recovered", "truth") if view.truth.any() else ("target", "recovered")

    inches = min(max(_LEFT + _RIGHT + 1.6 * n_segments, _MIN_WIDTH), _MAX_WIDTH)
    column = (inches - _LEFT - _RIGHT) / n_segments
    shown = min(0.93 * column, _FRAME * width / max(width, height))  # width of a frame
    per_row = max(1, int((inches - 0.2) / (0.5 + 0.08 * max(map(len, names)))))
    below = 0.5 + _LEGEND_ROW * -(-len(names) // per_row)
    # (height, space above) of each row, from the top
    rows = {
        "frames": (shown * height / width, 0.8),
        "sound": (min(shown, 0.9), 0.06),
        "words": (_LINE * min(max(1, *map(len, view.words)), _MAX_LINES), 0.1),
    }
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
    _draw_sound(axes["sound"], view, shown / column)
    _draw_words(axes["words"], view, colours, 72 * column)
    _draw_panels({name: axes[name] for name in panels}, view, colours, min(shown / column, 0.8))

    title = figure.text(_LEFT / inches, 1 - 0.1 / total, "", fontsize=12, fontweight="bold", va="top")
    _write(title, "/".join(_plain(part) for part in view.key), 72 * (inches - _LEFT - _RIGHT))
    figure.text(_LEFT / inches, 1 - 0.37 / total, _CAPTION, fontsize=7, color="#555555", va="top")
    legend = figure.legend(
        [Patch(color=colour) for colour in colours], [str(i) for i in range(len(names))], ncols=per_row,
        loc="lower center", fontsize=8, frameon=False, handlelength=1, columnspacing=1.2, labelspacing=0.3,
    )  # fmt: skip
    for text, name in zip(legend.get_texts(), names, strict=True):  # the legend itself leaves out what begins with _
        _write(text, name)
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
                text.set(color="black" if _is_light(colour) else "white", fontweight="bold")
                text.set_bbox({"facecolor": colour, "edgecolor": "none", "boxstyle": "round,pad=0.12"})
                _write(text, _plain(word), points - 6)
            else:
                text.set(color=_REJECTED)
                _write(text, _plain(word), points - 6, f" (E{STAGES.index(view.passed[s][k]) + 1})")
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


def _is_light(colour: str) -> bool:
    """Black is easier to read on it than white (WCAG 2: where the relative luminance is above 0.18)."""
    return bool(np.dot(np.asarray(to_rgb(colour)) ** 2.2, (0.2126, 0.7152, 0.0722)) > 0.18)


def _plain(words: str, longest: int = 80) -> str:
    """One line of characters that can be drawn: what no font has becomes a box."""
    words = " ".join("".join(char if char.isprintable() else " " for char in words).split())
    words = words if len(words) <= longest else words[: longest - 1] + "\u2026"
    return "".join(char if ord(char) in _fonts()[1] else _NO_GLYPH for char in words)


def _write(text: Text, words: str, points: float = float("inf"), ending: str = "") -> None:
    """Let `text` say `words` and then `ending`, as they are, with as many of the words' letters as fit in `points`."""
    text.set(text=words + ending, parse_math=False, fontfamily=_fonts()[0])
    figure = text.get_figure()
    limit = points * figure.dpi / 72
    while words and (width := text.get_window_extent(figure.canvas.get_renderer()).width) > limit:
        words = words[: min(len(words) - 1, int(len(words) * limit / width))]
        text.set_text(f"{words}\u2026{ending}")


@cache
def _fonts() -> tuple[list[str], frozenset[int]]:
    """Families to draw users' words with, and the characters that one of them has in both weights."""
    installed = set(fontManager.get_font_names())
    families = ["DejaVu Sans", *(name for name in _OTHER_FONTS if name in installed)]
    characters: set[int] = set()
    for family in families:
        files = {findfont(FontProperties(family=family, weight=weight)) for weight in ("normal", "bold")}
        characters |= set.intersection(*(set(get_font(file).get_charmap()) for file in files))
    return families, frozenset(characters)
