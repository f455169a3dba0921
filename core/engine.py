"""One epoch of training, in one process or several. Knows no benchmark by name."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable
from contextlib import nullcontext
from dataclasses import dataclass, field
from itertools import islice

import numpy as np
import torch
from timm.scheduler.scheduler import Scheduler
from timm.utils import ModelEmaV3
from torch import Tensor, nn
from tqdm import tqdm

from core import distributed
from core.findings import Begun, Findings, Keys, Reading
from core.optimizer import OptimizerSettings, build_optimizer, build_schedule
from datasets.video_batch import VideoBatch


class EmptySplitError(ValueError):
    """Not one video of a split could be read."""

    def __init__(self, split: str, left_out: list[str]) -> None:
        super().__init__(f"{split}: not one of {len(left_out)} videos could be read; see tools/check_dataset.py")


@dataclass
class TrainState:
    """What training changes."""

    model: nn.Module
    ema: ModelEmaV3
    step: int = 0  # optimiser steps taken
    first_step: int = 0  # of the phase that runs
    epoch: int = 0  # epochs finished
    begun: Begun = field(default_factory=Begun)  # of the next one
    optimizer: torch.optim.Optimizer = field(init=False)
    schedule: Scheduler = field(init=False)

    def begin_phase(self, trained: nn.Module, rates: OptimizerSettings, total_steps: int) -> None:
        """A new optimiser and schedule for `trained`, the model or a part of it."""
        self.optimizer = build_optimizer(trained, rates)
        self.schedule = build_schedule(self.optimizer, total_steps, min(rates.warmup_steps, total_steps // 2))


@dataclass(frozen=True)
class StepSettings:
    """How a step is taken."""

    device: torch.device
    precision: torch.dtype
    polarity: Tensor  # (C,) in {-1, 0, +1}, on the device
    lambda_0: float = 0.5
    accu_step: int = 1
    clip_grad: float = 1.0
    log_every: int = 10  # steps between readings of the losses, each of which waits for the device
    skip_nonfinite: int = 0  # steps without a finite loss and gradient that do not end the training
    seed: int = 0  # of what a step draws

    def autocast(self) -> torch.autocast:
        """Matrix products in `precision`; a float32 run does not cast at all."""
        return torch.autocast(self.device.type, self.precision, enabled=self.precision != torch.float32)


def train_one_epoch(
    state: TrainState,
    loader: Iterable[VideoBatch],
    settings: StepSettings,
    *,
    objective: Callable[[VideoBatch], dict[str, Tensor]],
    n_batches: int,
    on_step: Callable[[int, dict[str, float]], None],
    stop: Callable[[], bool] = lambda: False,
) -> tuple[dict[str, float], list[str]] | None:
    """Every batch once; an optimiser step per `accu_step` batches of all processes, weighted by their videos as one.

    `objective` gives the losses of a batch on the device, of which `loss` is minimised; with several processes it is
    what `distributed.share_gradients` returns, and `loader` gives each process as many batches: those of the epoch's
    `n_batches` that are not behind yet. `on_step` receives the step's number and its losses, gradient norm and learning
    rate, some steps later. `stop` is asked after every step; then the epoch ends where it is, with several processes
    one step later. Returns the epoch's means with its throughput, and one line per video that was left out; None if it
    was stopped. Raises NonFiniteLossError, at most `log_every` steps late; a step whose loss or gradient is not a
    number changes no weight.
    """
    state.model.train()
    findings = Findings(state.begun, settings.skip_nonfinite, on_step)
    n_processes, stopped, vote = distributed.n_processes(), False, distributed.Vote()
    batches = findings.throughput.timed(loader)
    with tqdm(
        total=n_batches, initial=state.begun.batches // n_processes, desc=f"epoch {state.epoch + 1}", unit="batch",
        leave=False, dynamic_ncols=True, disable=not distributed.is_first(),
    ) as bar:  # fmt: skip
        while not stopped and (group := list(islice(batches, settings.accu_step))):
            findings.left_out += [line for batch in group for line in batch.skipped]
            reading = _step(state, group, settings, objective)
            state.begun.batches += len(group) * n_processes
            if reading is not None:
                findings.unread.append(reading)
            if vote.is_for(stop()) or len(findings.unread) >= settings.log_every:
                stopped = findings.read(stop())
                speed = findings.throughput.summary()
                bar.set_postfix_str(
                    f"loss {findings.loss:.3f}, {speed['videos_per_second']:.1f} videos/s, "
                    f"waiting {speed['waiting']:.0%}"
                )
            bar.update(len(group))
    if stopped or findings.read(stop()):
        return None
    left_out = state.begun.left_out
    if not (state.begun.videos or findings.throughput.videos):
        raise EmptySplitError("training", left_out)
    means = state.begun.means() | findings.throughput.summary()
    state.epoch, state.begun = state.epoch + 1, Begun(nonfinite=state.begun.nonfinite)
    return means, left_out


def _step(
    state: TrainState,
    group: list[VideoBatch],
    settings: StepSettings,
    objective: Callable[[VideoBatch], dict[str, Tensor]],
) -> Reading | None:
    """One step of the optimiser, or None where there is no video. The processor does not wait for the device."""
    n_processes, n_videos = distributed.n_processes(), sum(map(len, group))
    if n_processes == 1 and not n_videos:
        return None
    share = 1 / distributed.videos_of_all(n_videos, settings.device)
    first = state.begun.batches + distributed.rank()
    read: list[tuple[Keys, dict[str, Tensor]]] = []
    for number, batch in enumerate(group):
        if n_processes == 1 and not len(batch):
            continue
        batch = batch.to(settings.device)
        torch.manual_seed(_draw(settings.seed, state.epoch, first + number * n_processes))
        with nullcontext() if n_processes == 1 or number == len(group) - 1 else objective.no_sync():
            losses = objective(batch if len(batch) else batch.stand_in())
            # gradients are averaged over the processes, here they are to be added up; 0 x loss, where the loss is no
            # number, makes them none either, in all processes
            weight = len(batch) * share * n_processes + 0 * losses["loss"].detach()
            (losses["loss"] * weight).backward()
        parts = {name: loss.detach().float() * (len(batch) * share) for name, loss in losses.items()}
        read.append((batch.keys, parts))
    norm = nn.utils.clip_grad_norm_(state.model.parameters(), settings.clip_grad or math.inf)
    norm = distributed.undivided(norm)
    reading = Reading(state.step + 1, state.optimizer.param_groups[0]["lr"], read, norm)
    state.optimizer.found_inf = (~norm.isfinite()).float()  # the fused step then changes nothing
    state.optimizer.step()
    state.optimizer.zero_grad(set_to_none=True)
    state.step += 1
    state.schedule.step_update(state.step - state.first_step + 1)
    state.ema.update(state.model, state.step)
    return reading


def _draw(seed: int, epoch: int, batch: int) -> int:
    """Seed of what a batch draws, by its number in the epoch: whatever came before, in however many processes."""
    return int(np.random.SeedSequence((seed, epoch, batch)).generate_state(1, np.uint64)[0])
