"""One epoch of training. Knows no benchmark by name."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from itertools import islice

import torch
from timm.scheduler.scheduler import Scheduler
from timm.utils import ModelEmaV3
from torch import Tensor, nn
from tqdm import tqdm

from core.optimizer import OptimizerSettings, build_optimizer, build_schedule
from datasets.video_batch import VideoBatch


class NonFiniteLossError(RuntimeError):
    """Training met a loss or a gradient that is not a number and stopped before the step."""


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

    def autocast(self) -> torch.autocast:
        """Matrix products in `precision`; a float32 run does not cast at all."""
        return torch.autocast(self.device.type, self.precision, enabled=self.precision != torch.float32)


@dataclass
class Throughput:
    """Where the time of an epoch went."""

    videos: int = 0
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


def train_one_epoch(
    state: TrainState,
    loader: Iterable[VideoBatch],
    settings: StepSettings,
    *,
    compute: Callable[[VideoBatch], dict[str, Tensor]],
    n_batches: int,
    on_step: Callable[[int, dict[str, float]], None],
) -> tuple[dict[str, float], list[str]]:
    """Every batch once; an optimiser step per `accu_step` batches, weighted by their videos as if they were one.

    `compute` gives the losses of a batch on the device, of which `loss` is minimised. `on_step` receives the step's
    number and its losses, gradient norm and learning rate. Returns the epoch's means with its throughput, and one line
    per video that was left out. Raises NonFiniteLossError before a step that would spoil the weights.
    """
    state.model.train()
    throughput = Throughput()
    sums: dict[str, float] = {}
    left_out: list[str] = []
    batches = throughput.timed(loader)
    with tqdm(total=n_batches, desc=f"epoch {state.epoch + 1}", unit="batch", leave=False, dynamic_ncols=True) as bar:
        while group := list(islice(batches, settings.accu_step)):
            left_out += [line for batch in group for line in batch.skipped]
            n_videos = sum(map(len, group))
            if n_videos:
                values = _step(state, group, n_videos, settings, compute)
                on_step(state.step, values)
                throughput.videos += n_videos
                for name, value in values.items():
                    sums[name] = sums.get(name, 0.0) + value * n_videos
                speed = throughput.summary()
                bar.set_postfix_str(
                    f"loss {values['loss']:.3f}, {speed['videos_per_second']:.1f} videos/s, "
                    f"waiting {speed['waiting']:.0%}"
                )
            bar.update(len(group))
    if not throughput.videos:
        raise EmptySplitError("training", left_out)
    state.epoch += 1
    means = {name: value / throughput.videos for name, value in sums.items()}
    return means | throughput.summary(), left_out


def _step(
    state: TrainState,
    group: list[VideoBatch],
    n_videos: int,
    settings: StepSettings,
    compute: Callable[[VideoBatch], dict[str, Tensor]],
) -> dict[str, float]:
    values: dict[str, float] = {}
    for batch in group:
        if not len(batch):
            continue
        batch = batch.to(settings.device)
        losses = compute(batch)
        share = len(batch) / n_videos
        (losses["loss"] * share).backward()
        for name, loss in losses.items():
            values[name] = values.get(name, 0.0) + loss.item() * share
        if not math.isfinite(values["loss"]):
            raise _non_finite("loss", values["loss"], state.step, [batch])
    norm = nn.utils.clip_grad_norm_(state.model.parameters(), settings.clip_grad or math.inf).item()
    if not math.isfinite(norm):
        raise _non_finite("gradient", norm, state.step, group)
    values |= {"gradient_norm": norm, "learning_rate": state.optimizer.param_groups[0]["lr"]}
    state.optimizer.step()
    state.optimizer.zero_grad(set_to_none=True)
    state.step += 1
    state.schedule.step_update(state.step - state.first_step + 1)
    state.ema.update(state.model, state.step)
    return values


def _non_finite(what: str, value: float, step: int, group: list[VideoBatch]) -> NonFiniteLossError:
    videos = ", ".join("/".join(key) for batch in group for key in batch.keys)
    return NonFiniteLossError(f"{what} is {value} at step {step} on {videos}; try a lower --learning_rate")
