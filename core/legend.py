"""The legend of the emotions under a matplotlib picture."""

from __future__ import annotations

from collections.abc import Sequence

from matplotlib.figure import Figure
from matplotlib.patches import Patch

from core.lettering import write

_ROW = 0.18  # inches


def legend_height(names: Sequence[str], inches: float) -> float:
    """Inches that the legend of these names takes under a picture `inches` wide."""
    return _ROW * -(-len(names) // _per_row(names, inches))


def draw_legend(figure: Figure, names: Sequence[str], colours: Sequence[str]) -> None:
    """Each name behind its colour, at the lower edge of the picture."""
    legend = figure.legend(
        [Patch(color=colour) for colour in colours], [str(i) for i in range(len(names))],
        ncols=_per_row(names, figure.get_figwidth()), loc="lower center", fontsize=8, frameon=False, handlelength=1,
        columnspacing=1.2, labelspacing=0.3,
    )  # fmt: skip
    for text, name in zip(legend.get_texts(), names, strict=True):  # the legend itself leaves out what begins with _
        write(text, name)


def _per_row(names: Sequence[str], inches: float) -> int:
    return max(1, int((inches - 0.2) / (0.5 + 0.08 * max(map(len, names)))))
