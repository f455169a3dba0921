"""One epoch of training, in one process or several. Knows no benchmark by name."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import nullcontext
from dataclasses import dataclass, field
from itertools import islice

import torch
from timm.scheduler.scheduler import Scheduler
from timm.utils import ModelEmaV3
from torch import Tensor, nn
from tqdm import tqdm

from core import distributed
from core.optimizer import OptimizerSettings, build_optimizer, build_schedule
from datasets.video_batch import VideoBatch


class NonFiniteLossError(RuntimeError):
    """Training met a loss or a gradient that is not a number. Such a gradient changed no weight."""


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

    def autocast(self) -> torch.autocast:
        """Matrix products in `precision`; a float32 run does not cast at all."""
        return torch.autocast(self.device.type, self.precision, enabled=self.precision != torch.float32)


@dataclass
class Throughput:
    """Where the time of an epoch went."""

    videos: int = 0  # of all processes
    waiting: float = 0.0  # seconds spent waiting for data
    started: float = field(default_factory=time.perf_counter)

    def timed(self, batches: Iterable[VideoBatch]) -> Iterator[VideoBatch]:
        """The same batches, with the wait for each counted."""
        iterator = iter(batches)
        while True:
            begun = time.perf_counter()
            batch = next(iterator, None)
            self.waiting += time.perf_counter() - begun
            if batch is None:
                return
            yield batch

    @property
    def elapsed(self) -> float:
        """Seconds since the start."""
        return max(time.perf_counter() - self.started, 1e-9)

    def summary(self) -> dict[str, float]:
        """`videos_per_second` and the share of time spent `waiting`."""
        return {"videos_per_second": self.videos / self.elapsed, "waiting": self.waiting / self.elapsed}


@dataclass
class Reading:
    """What a step leaves to be read: its losses stay on the device until those of several steps are read at once."""

    step: int  # from 1
    learning_rate: float
    keys: list[tuple[str, str]]  # of this process's videos
    values: dict[str, Tensor]  # this process's parts of sums over all; the same `gradient_norm` in all


@dataclass
class Findings:
    """What an epoch has found so far, in all processes."""

    on_step: Callable[[int, dict[str, float]], None]
    throughput: Throughput = field(default_factory=Throughput)
    loss: float = math.nan  # of the last step that was read
    unread: list[Reading] = field(default_factory=list)
    _sums: dict[str, float] = field(default_factory=dict)  # of each loss, times the step's videos

    def read(self) -> None:
        """Wait for the device and take in what is unread. Raises NonFiniteLossError."""
        numbers = iter(torch.stack([value for each in self.unread for value in each.values.values()]).tolist())
        own = [(each.keys, {name: next(numbers) for name in each.values}) for each in self.unread]
        for each, parts in zip(self.unread, zip(*distributed.gathered(own), strict=True), strict=True):
            keys = [key for process_keys, _ in parts for key in process_keys]
            values: dict[str, float] = {}
            for _, found in parts:
                for name, value in found.items():
                    values[name] = value if name == "gradient_norm" else values.get(name, 0.0) + value
            for what, name in (("loss", "loss"), ("gradient", "gradient_norm")):
                if not math.isfinite(values[name]):
                    videos = ", ".join("/".join(key) for key in keys)
                    raise NonFiniteLossError(
                        f"{what} is {values[name]} at step {each.step} on {videos}; try a lower --learning_rate"
                    )
            if keys:
                self.on_step(each.step, values | {"learning_rate": each.learning_rate})
                self.throughput.videos += len(keys)
                for name, value in values.items():
                    self._sums[name] = self._sums.get(name, 0.0) + value * len(keys)
                self.loss = values["loss"]
        self.unread.clear()

    def means(self) -> dict[str, float]:
        """Of the losses over the videos."""
        return {name: value / self.throughput.videos for name, value in self._sums.items()}


def train_one_epoch(
    state: TrainState,
    loader: Iterable[VideoBatch],
    settings: StepSettings,
    *,
    objective: Callable[[VideoBatch], dict[str, Tensor]],
    n_batches: int,
    on_step: Callable[[int, dict[str, float]], None],
) -> tuple[dict[str, float], list[str]]:
    """Every batch once; an optimiser step per `accu_step` batches of all processes, weighted by their videos as one.

    `objective` gives the losses of a batch on the device, of which `loss` is minimised; with several processes it is
    what `distributed.share_gradients` returns, and `loader` gives each process as many batches. `on_step` receives the
    step's number and its losses, gradient norm and learning rate, some steps later. Returns the epoch's means with its
    throughput, and one line per video that was left out. Raises NonFiniteLossError, at most `log_every` steps late; a
    step whose gradient is not a number changes no weight.
    """
    state.model.train()
    findings = Findings(on_step)
    left_out: list[str] = []
    batches = findings.throughput.timed(loader)
    with tqdm(
        total=n_batches, desc=f"epoch {state.epoch + 1}", unit="batch", leave=False, dynamic_ncols=True,
        disable=not distributed.is_first(),
    ) as bar:  # fmt: skip
        while group := list(islice(batches, settings.accu_step)):
            left_out += [line for batch in group for line in batch.skipped]
            reading = _step(state, group, settings, objective)
            if reading is not None:
                findings.unread.append(reading)
            if len(findings.unread) >= settings.log_every:
                findings.read()
                speed = findings.throughput.summary()
                bar.set_postfix_str(
                    f"loss {findings.loss:.3f}, {speed['videos_per_second']:.1f} videos/s, "
                    f"waiting {speed['waiting']:.0%}"
                )
            bar.update(len(group))
    if findings.unread:
        findings.read()
    left_out = [line for lines in distributed.gathered(left_out) for line in lines]
    if not findings.throughput.videos:
        raise EmptySplitError("training", left_out)
    state.epoch += 1
    return findings.means() | findings.throughput.summary(), left_out


def _step(
    state: TrainState,
    group: list[VideoBatch],
    settings: StepSettings,
    objective: Callable[[VideoBatch], dict[str, Tensor]],
) -> Reading | None:
    """One step of the optimiser, or None where there is no video. The processor does not wait for the device."""
    alone, n_videos = distributed.n_processes() == 1, sum(map(len, group))
    if alone:
        group = [batch for batch in group if len(batch)]
        if not group:
            return None
    share = 1 / distributed.videos_of_all(n_videos, settings.device)
    values: dict[str, Tensor] = {}
    for number, batch in enumerate(group, start=1):
        batch = batch.to(settings.device)
        with nullcontext() if alone or number == len(group) else objective.no_sync():
            losses = objective(batch if len(batch) else batch.stand_in())
            # gradients are averaged over the processes, here they are to be added up
            (losses["loss"] * (len(batch) * share * distributed.n_processes())).backward()
        for name, loss in losses.items():
            values[name] = values.get(name, 0.0) + loss.detach().float() * (len(batch) * share)
    norm = nn.utils.clip_grad_norm_(state.model.parameters(), settings.clip_grad or math.inf)
    values["gradient_norm"] = norm = distributed.undivided(norm)
    reading = Reading(
        step=state.step + 1,
        learning_rate=state.optimizer.param_groups[0]["lr"],
        keys=[key for batch in group for key in batch.keys],
        values=values,
    )
    state.optimizer.found_inf = (~norm.isfinite()).float()  # the fused step then changes nothing
    state.optimizer.step()
    state.optimizer.zero_grad(set_to_none=True)
    state.step += 1
    state.schedule.step_update(state.step - state.first_step + 1)
    state.ema.update(state.model, state.step)
    return reading
