"""TensorBoard, written by the first process alone."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

from matplotlib import pyplot as plt
from torch.utils.tensorboard import SummaryWriter

from core import distributed

log = logging.getLogger(__name__)


class Board:
    """The event file of a run. What an interrupted run wrote from step `first_step` on is hidden by what comes now.

    Where it cannot be written, as on a full disk, a warning says so once, and the run goes on without it.
    """

    def __init__(self, folder: Path, first_step: int) -> None:
        self._folder = folder
        self._writer: SummaryWriter | None = None
        threading.excepthook = _print_others
        if distributed.is_first():
            try:
                self._writer = SummaryWriter(folder, purge_step=first_step)
            except OSError as error:
                self._give_up(error)

    def scalars(self, group: str, values: dict[str, float], step: int) -> None:
        """Numbers by name, shown under `group`."""
        for name, value in values.items():
            self._write(lambda writer, tag=f"{group}/{name}", value=value: writer.add_scalar(tag, value, step))

    def figures(self, group: str, figures: dict[str, Any], step: int, *, close: bool = True) -> None:
        """matplotlib figures by name, shown under `group`; they are closed unless they are needed again."""
        for name, figure in figures.items():
            self._write(
                lambda writer, tag=f"{group}/{name}", figure=figure: writer.add_figure(tag, figure, step, close=False)
            )
            if close:
                plt.close(figure)

    def flush(self) -> None:
        """Put everything on the disk."""
        self._write(SummaryWriter.flush)

    def close(self) -> None:
        """Write what is left."""
        self._write(SummaryWriter.close)

    def _write(self, write: Callable[[SummaryWriter], object]) -> None:
        if self._writer is not None:
            try:
                write(self._writer)
            except OSError as error:
                self._give_up(error)

    def _give_up(self, error: OSError) -> None:
        self._writer = None
        log.warning("%s: cannot be written (%s); the run goes on without TensorBoard", self._folder, error.strerror)


def _print_others(args: threading.ExceptHookArgs) -> None:
    """An error of TensorBoard's thread is raised again by the next call, so that it needs no traceback."""
    if not (issubclass(args.exc_type, OSError) and type(args.thread).__module__.startswith("tensorboard.")):
        threading.__excepthook__(args)
