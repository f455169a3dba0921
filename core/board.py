"""TensorBoard, written by the first process alone."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from matplotlib import pyplot as plt
from torch.utils.tensorboard import SummaryWriter

from core import distributed


class Board:
    """The event file of a run. What an interrupted run wrote from step `first_step` on is hidden by what comes now."""

    def __init__(self, folder: Path, first_step: int) -> None:
        self._writer = SummaryWriter(folder, purge_step=first_step) if distributed.is_first() else None

    def scalars(self, group: str, values: dict[str, float], step: int) -> None:
        """Numbers by name, shown under `group`."""
        if self._writer is not None:
            for name, value in values.items():
                self._writer.add_scalar(f"{group}/{name}", value, step)

    def figures(self, group: str, figures: dict[str, Any], step: int, *, close: bool = True) -> None:
        """matplotlib figures by name, shown under `group`; they are closed unless they are needed again."""
        for name, figure in figures.items():
            if self._writer is not None:
                self._writer.add_figure(f"{group}/{name}", figure, step, close=False)
            if close:
                plt.close(figure)

    def close(self) -> None:
        """Write what is left."""
        if self._writer is not None:
            self._writer.close()
