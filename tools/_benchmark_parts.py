"""The parts of the benchmark: the matrix-product peak, reading alone, the steps of each phase alone, and both together.

A step is that of training: the model, the phases and their losses come from core/assembly.py, the loop from
core/engine.py.
"""

from __future__ import annotations

import argparse
import contextlib
import itertools
import statistics
import time
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any

import torch
from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.utils.data import DataLoader

from core.assembly import averaged, choose_weights, new_model, phases_of, pretrain_settings, step_settings
from core.device import choose_device, choose_precision
from core.engine import StepSettings, TrainState, train_one_epoch
from core.findings import NonFiniteLossError
from core.optimizer import OptimizerSettings
from core.trainer import Phase
from datasets.benchmarks import BENCHMARKS, Benchmark
from datasets.errors import DataError
from datasets.loading import hold_out, spread
from datasets.opening import open_loader, read_splits
from datasets.video_batch import VideoBatch
from main import USER_ERRORS
from tools._benchmark_meters import Stopwatch, forget_peak_memory, operation_counter, peak_memory
from tools._benchmark_noise import noise_batch

PARTS = ("peak", "data", "pretrain", "finetune", "train")
NEED_DATA = ("data", "train")
PHASES = {"pre-training": "pretrain", "fine-tuning": "finetune"}
PROGRESS = 0.5  # of a phase: pre-training masks most patches at its end

PEAK_SIZES = {"cpu": (1024, 2048), "cuda": (1024, 2048, 4096, 8192)}
PEAK_REPEATS = 5
PRODUCTS_AT_ONCE = {"cpu": 1, "cuda": 10}  # between two marks: one small product on CUDA is shorter than its launch
LONGEST_PRODUCT = 5.0  # seconds; larger sizes are not tried
MOST_SAMPLES = 32  # videos that one process reads


@contextlib.contextmanager
def one_line_errors() -> Iterator[None]:
    """What the user can mend becomes a DataError, whose one line also survives the way out of a child process."""
    try:
        yield
    except torch.OutOfMemoryError:
        raise DataError("the memory of the device is too small for this: choose a smaller --batch_size") from None
    except (*USER_ERRORS, NonFiniteLossError, OSError) as error:
        raise DataError(str(error)) from None


def measure(part: str, flags: argparse.Namespace, steps: int, batches: int, reference: bool = False) -> dict[str, Any]:
    """One of PARTS, as plain numbers. batches: of `data`, 0 for an epoch. Raises DataError.

    reference: the steps of a phase on the same videos as they would be taken without any haste: in float32, one video
    at a time, every attention map written out, nothing recomputed or compiled.
    """
    with one_line_errors():
        if reference:
            plain = {"precision": "fp32", "recompute": "none", "compile": False, "batch_size": 1}
            plain["accu_step"] = flags.batch_size * flags.accu_step
            with sdpa_kernel(SDPBackend.MATH):
                return measure_steps(argparse.Namespace(**vars(flags) | plain), part, steps)
        if part == "peak":
            device = choose_device(flags.device)
            return measure_peak(device, choose_precision(flags.precision, device)[0], PEAK_SIZES[device.type])
        if part == "data":
            return measure_reading(flags, batches)
        if part == "train":
            return measure_training(flags, steps)
        return measure_steps(flags, part, steps)


def measure_peak(device: torch.device, dtype: torch.dtype, sizes: Sequence[int]) -> dict[str, Any]:
    """Floating-point operations a second of square matrix products of these sizes, and the best."""
    speeds: dict[int, float] = {}
    at_once = PRODUCTS_AT_ONCE[device.type]
    for size in sizes:
        left, right, product = (torch.randn(size, size, device=device).to(dtype) for _ in range(3))
        watch = Stopwatch(device)
        torch.mm(left, right, out=product)  # the first one prepares
        watch.mark()
        for _ in range(PEAK_REPEATS):
            for _ in range(at_once):
                torch.mm(left, right, out=product)
            watch.mark()
        seconds = statistics.median(watch.seconds()) / at_once
        speeds[size] = 2 * size**3 / seconds
        if 8 * seconds > LONGEST_PRODUCT:
            break
    best = max(speeds, key=speeds.__getitem__)
    return {"flop_per_second": speeds[best], "size": best, "flop_per_second_by_size": speeds}


def open_training_split(flags: argparse.Namespace, n_videos: int = 0) -> tuple[Benchmark, DataLoader]:
    """The loader that trains, over all its videos or over `n_videos` from the first to the last."""
    benchmark, videos, _ = read_splits(flags)
    videos, _ = hold_out(videos, flags.val_fraction, flags.seed)
    if 0 < n_videos < len(videos):
        videos = spread(videos, n_videos)
    return benchmark, open_loader(flags, benchmark, videos, "training", training=True)


def measure_reading(flags: argparse.Namespace, batches: int) -> dict[str, Any]:
    """Two passes of the loader over the same videos with the same crops, then one process with one thread."""
    _, loader = open_training_split(flags, batches * flags.batch_size)
    speeds = []
    for _ in range(2):
        loader.batch_sampler.set_epoch(0)
        begun = time.perf_counter()
        n_videos = sum(map(len, loader))
        speeds.append(n_videos / (time.perf_counter() - begun))
    if not n_videos:
        raise DataError(f"{flags.root_path}: no training video can be read; see tools/check_dataset.py")
    threads = torch.get_num_threads()
    torch.set_num_threads(1)  # as reading processes have it
    watch = Stopwatch(torch.device("cpu"))
    watch.mark()
    for index in range(min(len(loader.dataset), MOST_SAMPLES)):
        loader.dataset[0, index]
        watch.mark()
    torch.set_num_threads(threads)
    return {
        "videos": n_videos,
        "reading_processes": flags.n_threads,
        "first_pass_videos_per_second": speeds[0],
        "second_pass_videos_per_second": speeds[1],
        "one_process_seconds_per_video": statistics.median(watch.seconds()),
    }


@dataclass
class Trainee:
    """A new model with what trains it; phases by the part that measures them."""

    settings: StepSettings
    state: TrainState
    phases: dict[str, Phase]
    rates: OptimizerSettings

    def begin(self, part: str) -> None:
        """A new optimiser for this phase, at the bottom of a long warm-up: the steps are not meant to learn."""
        phase = self.phases[part]
        phase.prepare()
        self.state.begin_phase(phase.trained, self.rates, 2 * self.rates.warmup_steps)

    def train(
        self,
        part: str,
        batches: Iterable[VideoBatch],
        n_batches: int,
    ) -> dict[str, float]:
        """The batches in steps of `accu_step`, in the middle of the phase; means of the losses and the throughput."""

        def objective(batch: VideoBatch) -> dict[str, torch.Tensor]:
            with self.settings.autocast():
                return self.phases[part].compute(batch, PROGRESS)

        return train_one_epoch(
            self.state, batches, self.settings, objective=objective, n_batches=n_batches, on_step=lambda *_: None
        )[0]


def new_trainee(flags: argparse.Namespace, benchmark: Benchmark) -> Trainee:
    """Model, average and phases as a training run makes them."""
    torch.manual_seed(flags.seed)
    settings = step_settings(flags, benchmark.polarity)
    choose_weights(flags)
    model = new_model(flags, len(benchmark.classes)).to(settings.device)
    ema = averaged(model, flags.ema_decay)
    method = pretrain_settings(flags, settings)
    phases = phases_of(flags, model, ema.module, method, lambda _: {}, None)
    rates = OptimizerSettings(flags.learning_rate, flags.weight_decay, warmup_steps=100_000)
    return Trainee(settings, TrainState(model, ema), {PHASES[phase.name]: phase for phase in phases}, rates)


def measure_steps(flags: argparse.Namespace, part: str, n_steps: int) -> dict[str, Any]:
    """Whole optimiser steps of the phase `part` on one batch of noise that stays on the device."""
    forget_peak_memory(choose_device(flags.device))
    before = peak_memory(choose_device(flags.device))
    benchmark = BENCHMARKS.get(flags.dataset) or read_splits(flags)[0]
    trainee = new_trainee(flags, benchmark)
    device = trainee.settings.device
    trainee.begin(part)
    step = [noise_batch(flags, len(benchmark.classes)).to(device)] * flags.accu_step
    losses = trainee.train(part, step, len(step))  # reads the words, which training does in its first epoch
    forget_peak_memory(device)
    watch, products = Stopwatch(device), []
    # other work slows a CPU down and lets it go again, so that products are measured beside every step
    at_once = 1 if device.type == "cpu" else n_steps
    for _ in range(n_steps // at_once):
        products.append(measure_peak(device, trainee.settings.precision, PEAK_SIZES[device.type][-1:]))
        watch.mark()
        trainee.train(part, step * at_once, len(step) * at_once)
        watch.mark()
    seconds, n_videos = statistics.median(watch.seconds()[::2]) / at_once, sum(map(len, step))
    memory = peak_memory(device)
    with operation_counter() as counter:  # last, because it holds on to tensors
        trainee.train(part, step, len(step))
    flop, peak = counter.get_total_flops(), statistics.median(found["flop_per_second"] for found in products)
    masked = {"mask_ratio": losses["mask_ratio"]} if "mask_ratio" in losses else {}
    return masked | {
        "steps": n_steps,
        "videos_per_step": n_videos,
        "seconds_per_step": seconds,
        "videos_per_second": n_videos / seconds,
        "peak_memory_bytes": memory,
        "memory_before_model_bytes": before,
        "flop_per_step": flop,
        "flop_per_second": flop / seconds,
        "peak_flop_per_second_meanwhile": peak,
        "share_of_peak": flop / seconds / peak,
    }


def measure_training(flags: argparse.Namespace, n_steps: int) -> dict[str, Any]:
    """Steps of each phase on the training split, read meanwhile; one more before them starts the readers.

    Words count as read before, as they are in all epochs of training but the first.
    """
    benchmark, loader = open_training_split(flags)
    trainee = new_trainee(flags, benchmark)
    batches = _epoch_after_epoch(loader)
    measured: dict[str, Any] = {}
    for part in trainee.phases:
        trainee.begin(part)
        trainee.train(part, itertools.islice(batches, flags.accu_step), flags.accu_step)
        n_batches = n_steps * flags.accu_step
        means = trainee.train(part, itertools.islice(batches, n_batches), n_batches)
        measured[part] = {
            "steps": n_steps,
            "videos_per_second": means["videos_per_second"],
            "share_of_time_waiting_for_data": means["waiting"],
        }
    return measured


def _epoch_after_epoch(loader: DataLoader) -> Iterator[VideoBatch]:
    for epoch in itertools.count():
        loader.batch_sampler.set_epoch(epoch)
        for batch in loader:
            # the text encoder reads the words of a key once
            yield replace(batch, keys=[("place in the batch", str(i)) for i in range(len(batch))])
