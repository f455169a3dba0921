"""Train a model or evaluate a checkpoint: `python main.py --help`."""

from __future__ import annotations

import argparse
import dataclasses
import logging
import math
import sys
import time
from pathlib import Path
from typing import Any

import torch
from timm.utils import ModelEmaV3
from torch.utils.data import DataLoader
from torch.utils.tensorboard import SummaryWriter

import opts
from core import checkpoint, device, evaluation, experiment, report
from core.engine import EmptySplitError, NonFiniteLossError, StepSettings, TrainState, train_one_epoch
from core.optimizer import build_optimizer, build_schedule
from datasets.annotations import Video, benchmark_of, read_annotation
from datasets.benchmarks import Benchmark
from datasets.errors import DataError
from datasets.loading import hold_out, make_loader
from datasets.video_emotion import Layout, VideoEmotionDataset
from models.build import ModelSizes, build_model, count_parameters
from models.mbt import MBT

log = logging.getLogger("mart")

USER_ERRORS = (
    opts.UsageError,
    DataError,
    checkpoint.CheckpointError,
    device.DeviceError,
    EmptySplitError,
    experiment.ExperimentError,
)


def read_splits(flags: argparse.Namespace) -> tuple[Benchmark, list[Video], list[Video]]:
    """Benchmark, training videos and test videos of the annotation file."""
    if flags.root_path is None:
        raise opts.UsageError("--root_path: say which folder holds imgs/, mp3/, srt/ and the annotation file")
    path = flags.annotation_path or Path(f"{flags.root_path.resolve().name}.json")
    annotation = read_annotation(flags.root_path / path)
    training, test = list(annotation.subset("training")), list(annotation.subset("validation"))
    if flags.debug:
        training, test = (
            videos[:: max(1, len(videos) // (2 * flags.batch_size))][: 2 * flags.batch_size]
            for videos in (training, test)
        )
    return benchmark_of(annotation, flags.dataset), training, test


def open_loader(
    flags: argparse.Namespace, benchmark: Benchmark, videos: list[Video], split: str, training: bool = False
) -> DataLoader:
    """Reader of one split: augmented and shuffled in training, deterministic otherwise."""
    if not videos:
        raise opts.UsageError(f"the {split} split of {flags.root_path} holds no videos; see tools/make_annotations.py")
    layout = Layout(*(flags.root_path / path for path in (flags.video_path, flags.audio_path, flags.srt_path)))
    dataset = VideoEmotionDataset(
        videos,
        benchmark,
        layout,
        n_segments=flags.seq_len if training else flags.val_len,
        snippet_duration=flags.snippet_duration,
        sample_size=flags.sample_size,
        audio_frames=flags.audio_frames,
        max_tokens=flags.max_tokens,
        training=training,
        seed=flags.seed,
        min_crop_scale=flags.min_crop_scale,
        freq_mask=flags.freq_mask,
        time_mask=flags.time_mask,
        skip_bad=flags.skip_bad,
    )
    for line in dataset.left_out:
        log.warning("left out: %s", line)
    if not len(dataset):
        raise DataError(f"{flags.root_path}: no video of the {split} split can be read; see tools/check_dataset.py")
    return make_loader(
        dataset, batch_size=flags.batch_size, n_threads=flags.n_threads, shuffle=training, seed=flags.seed
    )


def new_model(flags: argparse.Namespace, benchmark: Benchmark) -> MBT:
    """The model that the flags ask for, with random weights."""
    names = {field.name for field in dataclasses.fields(ModelSizes)} - {"n_classes"}
    try:
        return build_model(ModelSizes(len(benchmark.classes), **{name: getattr(flags, name) for name in names}))
    except ValueError as error:
        raise opts.UsageError(f"sizes of the model: {error}") from None


def step_settings(flags: argparse.Namespace, benchmark: Benchmark) -> StepSettings:
    """Device and number format, chosen here once and logged with the reason."""
    chosen = device.choose_device(flags.device)
    precision, reason = device.choose_precision(flags.precision, chosen)
    log.info("device %s, matrix products in %s: %s", device.describe_device(chosen), precision, reason)
    return StepSettings(
        device=chosen,
        precision=precision,
        polarity=torch.tensor(benchmark.polarity, device=chosen),
        lambda_0=flags.lambda_0,
        accu_step=flags.accu_step,
        clip_grad=flags.clip_grad,
    )


def score_split(
    model: torch.nn.Module, loader: DataLoader, settings: StepSettings, benchmark: Benchmark, name: str
) -> dict[str, Any]:
    """All metrics of one split."""
    found = evaluation.predict_split(model, loader, settings, n_batches=len(loader), name=name)
    for line in found.left_out:
        log.warning("left out: %s", line)
    metrics = evaluation.all_metrics(found, benchmark.classes, benchmark.polarity)
    metrics["left_out"] += len(loader.dataset.left_out)
    return metrics


def train(flags: argparse.Namespace) -> None:
    """Train, keep checkpoints, and score the test split once at the end with the averaged weights."""
    folder = flags.result_path / flags.expr_name
    experiment.open_experiment(folder, resume=flags.resume, overwrite=flags.overwrite)
    experiment.start_log(folder / "log.txt")
    log.info("experiment %s", folder)
    torch.manual_seed(flags.seed)
    benchmark, videos, test_videos = read_splits(flags)
    training_videos, held_out = hold_out(videos, flags.val_fraction, flags.seed)
    loader = open_loader(flags, benchmark, training_videos, "training", training=True)
    held_out_loader = open_loader(flags, benchmark, held_out, "held-out") if flags.val_fraction else None
    test_loader = open_loader(flags, benchmark, test_videos, "test")
    settings = step_settings(flags, benchmark)

    model = new_model(flags, benchmark).to(settings.device)
    log.info("parameters: %s", ", ".join(f"{part} {n:,}" for part, n in count_parameters(model).items()))
    steps_per_epoch = math.ceil(len(loader) / flags.accu_step)
    optimizer = build_optimizer(model, flags.learning_rate, flags.weight_decay)
    schedule = build_schedule(optimizer, flags.n_epochs * steps_per_epoch, round(flags.warmup_epochs * steps_per_epoch))
    ema = ModelEmaV3(model, decay=flags.ema_decay, use_warmup=True)
    state = TrainState(model, ema, optimizer, schedule)
    best = {"epoch": 0, "acc_e": -1.0}

    if flags.resume:
        stored = checkpoint.load_checkpoint(folder / experiment.LAST)
        for module, name in ((model, "model"), (ema.module, "ema")):
            checkpoint.load_weights(module, stored[name], folder / experiment.LAST)
        optimizer.load_state_dict(stored["optimizer"])
        state.step, state.epoch, best = stored["step"], stored["epoch"], stored["best"]
        schedule.step_update(state.step)
        checkpoint.restore_random_states(stored["random"])
        log.info("resumed after epoch %d, step %d", state.epoch, state.step)
    experiment.write_json(folder / experiment.FLAGS, opts.to_stored(flags))

    def save(name: str) -> None:
        content = {
            "model": model.state_dict(),
            "ema": ema.module.state_dict(),
            "optimizer": optimizer.state_dict(),
            "step": state.step,
            "epoch": state.epoch,
            "best": best,
            "random": checkpoint.random_states(),
            "flags": opts.to_stored(flags),
            "classes": list(benchmark.classes),
        }
        checkpoint.save_checkpoint(folder / name, content)

    writer = SummaryWriter(folder / "tensorboard", purge_step=state.step)

    def on_step(step: int, values: dict[str, float]) -> None:
        for name, value in values.items():
            writer.add_scalar(f"step/{name}", value, step)

    started, first_epoch = time.perf_counter(), state.epoch
    while state.epoch < flags.n_epochs:
        loader.sampler.set_epoch(state.epoch)
        means, left_out = train_one_epoch(state, loader, settings, n_batches=len(loader), on_step=on_step)
        for line in left_out:
            log.warning("left out: %s", line)
        per_epoch = (time.perf_counter() - started) / (state.epoch - first_epoch)
        line = (
            f"epoch {state.epoch}/{flags.n_epochs}: loss {means['loss']:.4f} (visual {means['visual']:.4f}, "
            f"audio {means['audio']:.4f}), {means['videos_per_second']:.1f} videos/s, "
            f"waiting for data {means['waiting']:.0%}, {_minutes(per_epoch * (flags.n_epochs - state.epoch))} left"
        )
        for name, value in means.items():
            writer.add_scalar(f"epoch/{name}", value, state.epoch)
        if held_out_loader is not None:
            metrics = score_split(ema.module, held_out_loader, settings, benchmark, "held-out")
            writer.add_scalar("held_out/acc_e", metrics["acc_e"], state.epoch)
            line += f", held-out AccE {100 * metrics['acc_e']:.2f}"
            if metrics["acc_e"] > best["acc_e"]:
                best = {"epoch": state.epoch, "acc_e": metrics["acc_e"]}
                save(experiment.BEST)
        log.info(line)
        tired = flags.patience and held_out_loader is not None and state.epoch - best["epoch"] >= flags.patience
        if state.epoch % flags.save_every == 0 or state.epoch == flags.n_epochs or tired:
            save(experiment.LAST)
        if tired:
            log.info("no better held-out AccE for %d epochs: stopped", flags.patience)
            break

    result = experiment.BEST if held_out_loader is not None else experiment.LAST
    final = checkpoint.load_checkpoint(folder / result)
    checkpoint.load_weights(ema.module, final["ema"], folder / result)
    metrics = score_split(ema.module, test_loader, settings, benchmark, "test")
    experiment.write_json(folder / experiment.METRICS, metrics)
    pictures = report.figures(metrics, benchmark.classes)
    for name, figure in pictures.items():
        writer.add_figure(f"test/{name}", figure, state.step, close=False)
    writer.close()
    paths = report.save_figures(pictures, folder / "plots")
    log.info(report.metrics_table(metrics, f"test, averaged weights of epoch {final['epoch']}"))
    log.info("plots: %s", ", ".join(map(str, paths)))
    log.info("checkpoint: %s, to be evaluated with: python main.py --eval --checkpoint FILE", folder / result)


def evaluate(flags: argparse.Namespace, stored: dict[str, Any]) -> None:
    """Score the test split with the averaged weights of a checkpoint."""
    experiment.start_log(None)
    benchmark, _, videos = read_splits(flags)
    if list(benchmark.classes) != stored["classes"]:
        raise opts.UsageError(
            f"{flags.checkpoint} was trained on the classes {', '.join(stored['classes'])}, "
            f"{flags.root_path} holds {', '.join(benchmark.classes)}"
        )
    loader = open_loader(flags, benchmark, videos, "test")
    settings = step_settings(flags, benchmark)
    model = new_model(flags, benchmark)
    checkpoint.load_weights(model, stored["ema"], flags.checkpoint)
    metrics = score_split(model.to(settings.device), loader, settings, benchmark, "test")
    log.info(report.metrics_table(metrics, f"test, averaged weights of epoch {stored['epoch']}"))
    if flags.json:
        experiment.write_json(flags.json, metrics)


def _minutes(seconds: float) -> str:
    return f"{int(seconds // 60)} min {int(seconds % 60)} s"


def run(argv: list[str] | None) -> None:
    """Read the flags - of a stored run, where one is continued or evaluated - and do what they ask."""
    flags = opts.parse(argv)
    if flags.eval:
        if flags.checkpoint is None:
            raise opts.UsageError("--eval needs --checkpoint, e.g. results/<experiment>/last.pt")
        stored = checkpoint.load_checkpoint(flags.checkpoint)
        return evaluate(opts.parse(argv, stored["flags"]), stored)
    if flags.resume:
        if not flags.expr_name:
            raise opts.UsageError(f"--resume needs --expr_name, a folder of {flags.result_path}")
        stored = checkpoint.load_checkpoint(flags.result_path / flags.expr_name / experiment.LAST)
        flags = opts.parse(argv, stored["flags"])
        opts.check_same_run(flags, stored["flags"])
    elif flags.debug:
        flags.n_epochs = 1
    flags.expr_name = flags.expr_name or time.strftime(f"{'debug' if flags.debug else flags.preset}-%Y%m%d-%H%M%S")
    if Path(flags.expr_name).name != flags.expr_name:
        raise opts.UsageError(f"--expr_name {flags.expr_name}: a plain name, the folder goes to --result_path")
    train(flags)


def main(argv: list[str] | None = None) -> int:
    """Exit status: 0, 2 for something the user can mend, 3 for a loss that is not a number, 130 when interrupted."""
    try:
        run(argv)
    except USER_ERRORS as error:
        if "--debug" in (argv or sys.argv):
            raise
        print(f"error: {error}", file=sys.stderr)
        return 2
    except NonFiniteLossError as error:
        print(f"error: {error}", file=sys.stderr)
        return 3
    except KeyboardInterrupt:
        print("interrupted; continue with --resume", file=sys.stderr)
        return 130
    return 0


if __name__ == "__main__":
    sys.exit(main())
