"""What an epoch finds: losses, read for several steps at once, steps whose losses are no numbers, throughput."""

from __future__ import annotations

import logging
import math
import time
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field

import torch
from torch import Tensor

from core import distributed
from datasets.video_batch import VideoBatch

log = logging.getLogger(__name__)

Keys = list[tuple[str, str]]  # (label, id) of the videos of a batch


class NonFiniteLossError(RuntimeError):
    """Training met a loss, a gradient or a weight that is not a number. Such a gradient changed no weight."""


@dataclass
class Throughput:
    """Where the time of an epoch went, since the program was started."""

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
class Begun:
    """What is behind of an epoch, in all processes. Plain values, which a checkpoint in the middle of one keeps."""

    batches: int = 0
    videos: int = 0  # of the steps that have been read, whose losses are finite
    sums: dict[str, float] = field(default_factory=dict)  # of each loss, times the step's videos
    left_out: list[str] = field(default_factory=list)  # one line per video that could not be read
    nonfinite: int = 0  # steps without a finite loss and gradient, of the whole training

    def means(self) -> dict[str, float]:
        """Of the losses over the videos."""
        return {name: value / self.videos for name, value in self.sums.items()}


@dataclass
class Reading:
    """What a step leaves to be read; it stays on the device until then."""

    step: int  # from 1
    learning_rate: float
    batches: list[tuple[Keys, dict[str, Tensor]]]  # this process's, with their parts of sums over all batches of all
    gradient_norm: Tensor  # the same in all processes


@dataclass
class Findings:
    """Takes the steps of an epoch into `begun`, those of all processes.

    skip_nonfinite: as many steps without a finite loss and gradient do not end the training.
    on_step: receives a step's number and its losses, gradient norm and learning rate.
    """

    begun: Begun
    skip_nonfinite: int
    on_step: Callable[[int, dict[str, float]], None]
    throughput: Throughput = field(default_factory=Throughput)
    unread: list[Reading] = field(default_factory=list)
    left_out: list[str] = field(default_factory=list)  # of this process, not in `begun` yet
    loss: float = math.nan  # of the last step that was read

    def read(self, stopping: bool) -> bool:
        """Wait for the device and take in what is unread. Says whether any of the processes is `stopping`.

        Raises NonFiniteLossError.
        """
        tensors = [value for each in self.unread for _, values in each.batches for value in values.values()]
        tensors += [each.gradient_norm for each in self.unread]
        numbers = iter(torch.stack(tensors).tolist() if tensors else ())
        own = [
            [(keys, {name: next(numbers) for name in values}) for keys, values in each.batches] for each in self.unread
        ]
        steps, norms = self.unread, list(numbers)
        found, stopping_too, left_out = zip(*distributed.gathered((own, stopping, self.left_out)), strict=True)
        self.unread, self.left_out = [], []
        self.begun.left_out += [line for lines in left_out for line in lines]
        for step, norm, *batches in zip(steps, norms, *found, strict=True):
            self._take(step, norm, [batch for process in batches for batch in process])
        return any(stopping_too)

    def _take(self, step: Reading, norm: float, batches: list[tuple[Keys, dict[str, float]]]) -> None:
        keys = [key for batch, _ in batches for key in batch]
        if not keys:
            return
        values: dict[str, float] = {}
        for _, parts in batches:
            for name, value in parts.items():
                values[name] = values.get(name, 0.0) + value
        values["gradient_norm"] = norm
        self.throughput.videos += len(keys)
        if not (math.isfinite(values["loss"]) and math.isfinite(norm)):
            faulty = [key for batch, parts in batches if not math.isfinite(parts["loss"]) for key in batch]
            self._report(step.step, values, faulty or keys)
            return
        self.loss = values["loss"]
        self.begun.videos += len(keys)
        for name, value in values.items():
            self.begun.sums[name] = self.begun.sums.get(name, 0.0) + value * len(keys)
        self.on_step(step.step, values | {"learning_rate": step.learning_rate})

    def _report(self, step: int, values: dict[str, float], keys: Keys) -> None:
        """One line for a step without finite losses. Raises NonFiniteLossError where it is one too many."""
        what = "gradient" if math.isfinite(values["loss"]) else "loss"
        numbers = ", ".join(f"{name} {value:.4g}" for name, value in values.items())
        line = f"step {step}: the {what} is not finite on {', '.join(map('/'.join, keys))} ({numbers})"
        self.begun.nonfinite += 1
        if self.begun.nonfinite > self.skip_nonfinite:
            raise NonFiniteLossError(
                f"{line}; what was saved before is good: start again with a lower --learning_rate, or go on with "
                f"--resume --skip_nonfinite {self.begun.nonfinite}"
            )
        log.warning("%s: %d of %d that --skip_nonfinite allows", line, self.begun.nonfinite, self.skip_nonfinite)
