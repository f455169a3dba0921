"""A run of training in phases: what it changes, keeps on the disk and writes to TensorBoard."""

from __future__ import annotations

import logging
import math
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from timm.utils import ModelEmaV3
from torch import Tensor, nn
from torch.utils.data import DataLoader
from torch.utils.tensorboard import SummaryWriter

from core import checkpoint, experiment, report
from core.engine import StepSettings, TrainState, train_one_epoch
from core.optimizer import OptimizerSettings
from datasets.video_batch import VideoBatch

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Phase:
    """Epochs `first` to `end` of a run: what is trained, and the losses of a batch at a progress 0..1 of the phase."""

    name: str
    first: int
    end: int
    trained: nn.Module
    compute: Callable[[VideoBatch, float], dict[str, Tensor]]
    checkpoint: str | None = None  # name of a file that keeps the phase's result, too
    accuracy: Callable[[], float] | None = None  # on held-out videos, after each epoch: the best one is kept
    patience: int = 0  # epochs without a better one before the phase ends early, 0 = never
    show: Callable[[float], dict[str, Any]] | None = None  # figures for TensorBoard, after each epoch


@dataclass
class Trainer:
    """One run in its folder.

    learning_rate, weight_decay, warmup_epochs: of either phase's AdamW and schedule.
    flags: stored with the checkpoints, plain values. save_every: epochs between checkpoints.
    """

    model: nn.Module
    ema: ModelEmaV3
    settings: StepSettings
    learning_rate: float
    weight_decay: float
    warmup_epochs: float
    folder: Path
    flags: dict[str, Any]
    classes: tuple[str, ...]
    save_every: int = 1
    state: TrainState = field(init=False)
    best: dict[str, Any] = field(default_factory=lambda: {"epoch": 0, "acc_e": -1.0})
    writer: SummaryWriter = field(init=False)
    _optimizer: dict[str, Any] | None = None  # of the checkpoint that is continued

    def __post_init__(self) -> None:
        self.state = TrainState(self.model, self.ema)

    def restore(self, stored: dict[str, Any]) -> None:
        """Go on where the checkpoint was written. Raises CheckpointError for one of another model."""
        for module, name in ((self.model, "model"), (self.ema.module, "ema")):
            checkpoint.load_weights(module, stored[name], self.folder / experiment.LAST)
        state = self.state
        state.step, state.epoch, state.first_step, self.best = (
            stored[name] for name in ("step", "epoch", "first_step", "best")
        )
        checkpoint.restore_random_states(stored["random"])
        self._optimizer = stored["optimizer"]
        log.info("resumed after epoch %d, step %d", state.epoch, state.step)

    def save(self, name: str) -> None:
        """Write everything that is needed to go on."""
        state = self.state
        content = {
            "model": checkpoint.trained_weights(self.model),
            "ema": checkpoint.trained_weights(self.ema.module),
            "optimizer": state.optimizer.state_dict(),
            "step": state.step,
            "epoch": state.epoch,
            "first_step": state.first_step,
            "best": self.best,
            "random": checkpoint.random_states(),
            "flags": self.flags,
            "classes": list(self.classes),
        }
        checkpoint.save_checkpoint(self.folder / name, content)

    def run(self, phases: list[Phase], loader: DataLoader) -> None:
        """All epochs that are not behind yet. Raises NonFiniteLossError and what reading data raises."""
        self.writer = SummaryWriter(self.folder / "tensorboard", purge_step=self.state.step + 1)
        started, resumed_at, n_epochs = time.perf_counter(), self.state.epoch, phases[-1].end
        for phase in phases:
            if self.state.epoch >= phase.end:
                continue
            self._begin(phase, loader)
            while self.state.epoch < phase.end and not self._is_over(phase):
                means = self._train_epoch(phase, loader)
                per_epoch = (time.perf_counter() - started) / (self.state.epoch - resumed_at)
                seconds_left = per_epoch * (n_epochs - self.state.epoch)
                line = report.epoch_line(phase.name, self.state.epoch, n_epochs, means, seconds_left)
                log.info(line + self._score(phase))
                ended = self.state.epoch == phase.end
                if self.state.epoch % self.save_every == 0 or ended or phase.patience:
                    self.save(experiment.LAST)
                if ended and phase.checkpoint:
                    self.save(phase.checkpoint)
            if self.state.epoch < phase.end:
                log.info("no better held-out AccE for %d epochs: stopped", phase.patience)

    def _begin(self, phase: Phase, loader: DataLoader) -> None:
        state, steps = self.state, self._steps_per_epoch(loader)
        begun = state.epoch > phase.first
        if not begun:
            state.first_step = state.step
        warmup_steps = round(self.warmup_epochs * steps)
        rates = OptimizerSettings(self.learning_rate, self.weight_decay, warmup_steps)
        state.begin_phase(phase.trained, rates, (phase.end - phase.first) * steps)
        if begun and self._optimizer is not None:
            state.optimizer.load_state_dict(self._optimizer)
            state.schedule.step_update(state.step - state.first_step + 1)
        self._optimizer = None

    def _is_over(self, phase: Phase) -> bool:
        return 0 < phase.patience <= self.state.epoch - max(self.best["epoch"], phase.first)

    def _steps_per_epoch(self, loader: DataLoader) -> int:
        return math.ceil(len(loader) / self.settings.accu_step)

    def _train_epoch(self, phase: Phase, loader: DataLoader) -> dict[str, float]:
        state = self.state
        n_steps = (phase.end - phase.first) * self._steps_per_epoch(loader)

        def compute(batch: VideoBatch) -> dict[str, Tensor]:
            with self.settings.autocast():
                return phase.compute(batch, min((state.step - state.first_step) / n_steps, 1.0))

        loader.sampler.set_epoch(state.epoch)
        means, left_out = train_one_epoch(
            state, loader, self.settings, compute=compute, n_batches=len(loader), on_step=self._write_step
        )
        for line in left_out:
            log.warning("left out: %s", line)
        for name, value in means.items():
            self.writer.add_scalar(f"epoch/{name}", value, state.epoch)
        if phase.show is not None:
            for name, figure in phase.show((state.step - state.first_step) / n_steps).items():
                self.writer.add_figure(f"{phase.name}/{name}", figure, state.step)
        return means

    def _write_step(self, step: int, values: dict[str, float]) -> None:
        for name, value in values.items():
            self.writer.add_scalar(f"step/{name}", value, step)

    def _score(self, phase: Phase) -> str:
        """Held-out accuracy for the log, and the best epoch's checkpoint."""
        if phase.accuracy is None:
            return ""
        accuracy = phase.accuracy()
        self.writer.add_scalar("held_out/acc_e", accuracy, self.state.epoch)
        if accuracy > self.best["acc_e"]:
            self.best = {"epoch": self.state.epoch, "acc_e": accuracy}
            self.save(experiment.BEST)
        return f", held-out AccE {100 * accuracy:.2f}"
