"""A run of training in phases: what it changes, keeps on the disk and writes to TensorBoard."""

from __future__ import annotations

import logging
import math
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from timm.utils import ModelEmaV3
from torch import Tensor, nn
from torch.utils.data import DataLoader

from core import checkpoint, distributed, experiment, interruption, report
from core.board import Board
from core.engine import StepSettings, TrainState, train_one_epoch
from core.findings import Begun, NonFiniteLossError
from core.optimizer import OptimizerSettings
from datasets.video_batch import VideoBatch

log = logging.getLogger(__name__)

MOST_SHOWN = 25  # epochs of a phase


@dataclass(frozen=True)
class Phase:
    """Epochs `first` to `end` of a run: what is trained, and the losses of a batch at a progress 0..1 of the phase."""

    name: str
    first: int
    end: int
    trained: nn.Module
    compute: Callable[[VideoBatch, float], dict[str, Tensor]]
    partial: bool = False  # some of what is trained gets no gradient
    checkpoint: str | None = None  # name of a file that keeps the phase's result, too
    accuracy: Callable[[], float] | None = None  # on held-out videos, after each epoch: the best one is kept
    patience: int = 0  # epochs without a better one before the phase ends early, 0 = never
    show: Callable[[float], dict[str, Any]] | None = None  # figures for TensorBoard, after some epochs
    prepare: Callable[[], None] = lambda: None  # the models, before the phase or the rest of it begins

    def shows_after(self, epoch: int) -> bool:
        """Whether there are figures of an epoch: of the last, and of MOST_SHOWN at most, which bounds the files."""
        return (self.end - epoch) % math.ceil((self.end - self.first) / MOST_SHOWN) == 0


@dataclass
class Trainer:
    """One run in its folder.

    learning_rate, weight_decay, warmup_epochs: of either phase's AdamW and schedule.
    flags, data: stored with the checkpoints, plain values; data is what has to be known of the training's: classes,
        polarity, segment_seconds, videos_per_step. save_every: epochs between checkpoints.
    """

    model: nn.Module
    ema: ModelEmaV3
    settings: StepSettings
    learning_rate: float
    weight_decay: float
    warmup_epochs: float
    folder: Path
    flags: dict[str, Any]
    data: dict[str, Any]
    save_every: int = 1
    state: TrainState = field(init=False)
    best: dict[str, Any] = field(default_factory=lambda: {"epoch": 0, "acc_e": -1.0})
    scored: int = 0  # the last epoch that was scored on held-out videos
    board: Board = field(init=False)
    _optimizer: dict[str, Any] | None = None  # of the checkpoint that is continued
    _objective: nn.Module = field(init=False)  # of the phase that runs

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
        state.begun = Begun(**stored.get("begun", {}))  # older checkpoints are of whole epochs alone, all scored
        self.scored = stored.get("scored", state.epoch)
        self._optimizer = stored["optimizer"]
        part = f" and {state.begun.batches} batches" if state.begun.batches else ""
        log.info("resumed after epoch %d%s, step %d", state.epoch, part, state.step)

    def save(self, name: str) -> None:
        """Write everything that is needed to go on. All processes have to come; the first one writes.

        Raises NonFiniteLossError, and writes nothing, where a weight is not a number.
        """
        state = self.state
        content = {
            "model": checkpoint.trained_weights(self.model),
            "ema": checkpoint.trained_weights(self.ema.module),
            "optimizer": checkpoint.optimizer_state(state.optimizer),
            "step": state.step,
            "epoch": state.epoch,
            "begun": asdict(state.begun),
            "first_step": state.first_step,
            "best": self.best,
            "scored": self.scored,
            "flags": self.flags,
            **self.data,
        }
        for part in ("model", "ema"):
            wrong = [name for name, value in content[part].items() if not value.isfinite().all()]
            if wrong:
                raise NonFiniteLossError(
                    f"{len(wrong)} weights are not finite at step {state.step}, the first of them {wrong[0]}; what was "
                    "saved before is good: start again with a lower --learning_rate"
                )
        if distributed.is_first():
            self.board.flush()  # what TensorBoard shows belongs to it, too
            checkpoint.save_checkpoint(self.folder / name, content)
        distributed.wait()

    def run(self, phases: list[Phase], loader: DataLoader) -> None:
        """All epochs that are not behind yet.

        A signal ends it after the step that runs, when everything is in the checkpoint. Raises KeyboardInterrupt or
        Terminated then, NonFiniteLossError and what reading data raises.
        """
        self.board = Board(self.folder / "tensorboard", self.state.step + 1)
        began, first, n_steps = time.perf_counter(), self.state.step, self._n_steps(loader, phases[-1].end)

        def note(phase: Phase, means: dict[str, float]) -> None:
            per_step = (time.perf_counter() - began) / max(self.state.step - first, 1)
            seconds_left = per_step * (n_steps - self.state.step)
            log.info(report.epoch_line(phase.name, self.state.epoch, phases[-1].end, means, seconds_left))

        try:
            with interruption.deferred() as signalled:
                for phase in phases:
                    if self.state.epoch < phase.end or self._is_unscored(phase):
                        self._run_phase(phase, loader, note, signalled)
        finally:
            self.board.flush()

    def _run_phase(
        self,
        phase: Phase,
        loader: DataLoader,
        note: Callable[[Phase, dict[str, float]], None],
        signalled: Callable[[], int],
    ) -> None:
        self._begin(phase, loader)
        self._score(phase, signalled)
        while self.state.epoch < phase.end and not self._is_over(phase):
            note(phase, self._train_epoch(phase, loader, signalled))
            ended = self.state.epoch == phase.end
            if ended and phase.checkpoint:
                self.save(phase.checkpoint)
            if self.state.epoch % self.save_every == 0 or ended or phase.accuracy is not None:
                self.save(experiment.LAST)
            self._score(phase, signalled)
        if self.state.epoch < phase.end:
            log.info("no better held-out AccE for %d epochs: stopped", phase.patience)

    def _begin(self, phase: Phase, loader: DataLoader) -> None:
        state, n_steps = self.state, self._n_steps(loader, phase.end - phase.first)
        begun = state.epoch > phase.first or state.begun.batches > 0
        if not begun:
            state.first_step = state.step
        warmup_steps = round(self.warmup_epochs * self._n_steps(loader, 1))
        rates = OptimizerSettings(self.learning_rate, self.weight_decay, warmup_steps)
        phase.prepare()
        state.begin_phase(phase.trained, rates, n_steps)
        if begun and self._optimizer is not None:
            checkpoint.load_optimizer(state.optimizer, self._optimizer)
            state.schedule.step_update(state.step - state.first_step + 1)
        self._optimizer = None

        def losses(batch: VideoBatch) -> dict[str, Tensor]:
            with self.settings.autocast():
                return phase.compute(batch, self._progress(n_steps))

        self._objective = distributed.share_gradients(distributed.Objective(phase.trained, losses), phase.partial)

    def _is_over(self, phase: Phase) -> bool:
        return 0 < phase.patience <= self.state.epoch - max(self.best["epoch"], phase.first)

    def _n_steps(self, loader: DataLoader, n_epochs: int) -> int:
        return n_epochs * math.ceil(len(loader) / self.settings.accu_step)

    def _train_epoch(self, phase: Phase, loader: DataLoader, signalled: Callable[[], int]) -> dict[str, float]:
        """The epoch, or what is left of it. Raises KeyboardInterrupt or Terminated, once all is saved."""
        state = self.state
        loader.batch_sampler.set_epoch(state.epoch, state.begun.batches)
        found = train_one_epoch(
            state,
            loader,
            self.settings,
            objective=self._objective,
            n_batches=len(loader),
            on_step=self._show_step,
            stop=lambda: bool(signalled()),
        )
        if found is None:
            self.save(experiment.LAST)
            log.info("stopped at step %d and saved", state.step)
            interruption.end(max(distributed.gathered(signalled())))
        means, left_out = found
        for line in left_out:
            log.warning("left out: %s", line)
        self.board.scalars("epoch", means, state.epoch)
        if phase.show is not None and phase.shows_after(state.epoch):
            progress = self._progress(self._n_steps(loader, phase.end - phase.first))
            self.board.figures(phase.name, phase.show(progress), state.step)
        return means

    def _show_step(self, step: int, values: dict[str, float]) -> None:
        if step % self.settings.log_every == 0:
            self.board.scalars("step", values, step)

    def _progress(self, n_steps: int) -> float:
        return min((self.state.step - self.state.first_step) / n_steps, 1.0)

    def _is_unscored(self, phase: Phase) -> bool:
        return phase.accuracy is not None and self.state.epoch > max(phase.first, self.scored)

    def _score(self, phase: Phase, signalled: Callable[[], int]) -> None:
        """Held-out accuracy of an epoch that has none yet, and the best epoch's checkpoint.

        The epoch has been saved: a signal ends it at once.
        """
        if not self._is_unscored(phase):
            return
        if signalled():
            interruption.end(signalled())
        with interruption.at_once():
            accuracy = phase.accuracy()
        self.scored = self.state.epoch
        self.board.scalars("held_out", {"acc_e": accuracy}, self.state.epoch)
        log.info("held-out AccE %.2f after epoch %d", 100 * accuracy, self.state.epoch)
        if accuracy > self.best["acc_e"]:
            self.best = {"epoch": self.state.epoch, "acc_e": accuracy}
            self.save(experiment.BEST)
