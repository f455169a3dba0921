"""Train a model or evaluate a checkpoint: `python main.py --help`."""

from __future__ import annotations

import opts

if __name__ == "__main__":
    opts.parse()  # --help and a misspelt flag need not wait for PyTorch

import argparse
import logging
import sys
import time
from pathlib import Path
from typing import Any

import torch
from matplotlib.figure import Figure
from torch.utils.data import DataLoader

from core import checkpoint, device, distributed, evaluation, experiment, report
from core.assembly import (
    ModelError,
    averaged,
    choose_weights,
    divide,
    load_encoders,
    new_model,
    phases_of,
    pretrain_settings,
    recogniser,
    step_settings,
)
from core.engine import EmptySplitError, NonFiniteLossError, StepSettings
from core.pictures import draw_view
from core.trainer import Trainer
from core.views import view_videos
from datasets.benchmarks import Benchmark
from datasets.errors import DataError
from datasets.loading import hold_out, read_spread, still
from datasets.opening import open_loader, read_splits
from models.build import count_parameters
from models.mart import MART
from models.weight_files import WeightError

log = logging.getLogger("mart")

N_SHOWN = 3  # training videos whose pre-training TensorBoard shows

USER_ERRORS = (
    opts.UsageError,
    DataError,
    checkpoint.CheckpointError,
    device.DeviceError,
    EmptySplitError,
    experiment.ExperimentError,
    ModelError,
    WeightError,
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


def train(flags: argparse.Namespace, stored: dict[str, Any] | None) -> None:
    """Pre-train and fine-tune, keep checkpoints, and score the test split once at the end with the averaged weights.

    stored: the checkpoint of the run that is continued, None for a new one.
    """
    folder = flags.result_path / flags.expr_name
    if distributed.is_first():  # which makes it, perhaps before others look
        experiment.check_experiment(folder, resume=flags.resume, overwrite=flags.overwrite)
    experiment.start_log(None)
    torch.manual_seed(flags.seed)
    benchmark, videos, test_videos = read_splits(flags)
    training_videos, held_out = hold_out(videos, flags.val_fraction, flags.seed)
    share = distributed.share()
    loader = open_loader(flags, benchmark, training_videos, "training", training=True, share=share)
    held_out_loader = open_loader(flags, benchmark, held_out, "held-out", share=share) if flags.val_fraction else None
    test_loader = open_loader(flags, benchmark, test_videos, "test", share=share)
    settings = step_settings(flags, benchmark.polarity)
    if stored is not None:
        check_classes(benchmark, stored, folder / experiment.LAST)
    choose_weights(flags)
    model = new_model(flags, len(benchmark.classes))
    if stored is None:
        load_encoders(recogniser(model), flags)
    if isinstance(model, MART):
        log.info("%s", model.text.loaded)
    model.to(settings.device)
    # everything that the user may have mistyped has been read by now
    if distributed.is_first():
        experiment.open_experiment(folder, opts.to_stored(flags), resume=flags.resume)
        experiment.start_log(folder / "log.txt")
    log.info("experiment %s", folder)
    log.info("parameters: %s", ", ".join(f"{part} {n:,}" for part, n in count_parameters(model).items()))

    ema = averaged(model, flags.ema_decay)
    divide(flags, model, ema)
    trainer = Trainer(
        model, ema, settings, flags.learning_rate, flags.weight_decay, flags.warmup_epochs, folder,
        opts.to_stored(flags), benchmark.classes, flags.save_every,
    )  # fmt: skip
    if stored is not None:
        trainer.restore(stored)
        stored.clear()  # the weights are in the model now
    method = pretrain_settings(flags, settings)
    shown = read_spread(still(loader.dataset), N_SHOWN) if flags.pretrain_epochs else None

    def views(progress: float) -> dict[str, Figure]:
        with settings.autocast(), distributed.whole(ema.module):
            seen = view_videos(model, ema.module, shown.to(settings.device), method, progress)
        shown_here = seen if distributed.is_first() else []
        return {"/".join(view.key): draw_view(view, benchmark.classes) for view in shown_here}

    def accuracy() -> float:
        with distributed.whole(ema.module):
            return score_split(recogniser(ema.module), held_out_loader, settings, benchmark, "held-out")["acc_e"]

    trainer.run(phases_of(flags, model, ema.module, method, views, accuracy if flags.val_fraction else None), loader)

    result = experiment.BEST if flags.val_fraction else experiment.LAST
    final = checkpoint.load_checkpoint(folder / result)
    checkpoint.load_weights(ema.module, final["ema"], folder / result)
    try:
        with distributed.whole(ema.module):
            metrics = score_split(recogniser(ema.module), test_loader, settings, benchmark, "test")
    except DataError as error:
        remedy = f"mend it, then --eval --checkpoint {folder / result}, or add --skip_bad"
        raise DataError(f"the model is trained, but not scored: {error}; {remedy}") from None
    if not distributed.is_first():
        return
    experiment.write_json(folder / experiment.METRICS, metrics)
    pictures = report.figures(metrics, benchmark.classes)
    trainer.board.figures("test", pictures, trainer.state.step, close=False)
    trainer.board.close()
    paths = report.save_figures(pictures, folder / "plots")
    log.info(report.metrics_table(metrics, f"test, averaged weights of epoch {final['epoch']}"))
    log.info("plots: %s", ", ".join(map(str, paths)))
    log.info("the same again: python main.py --eval --checkpoint %s", folder / result)


def check_classes(benchmark: Benchmark, stored: dict[str, Any], path: Path) -> None:
    """A checkpoint's classes must be those of the data, in their order. Raises UsageError."""
    if list(benchmark.classes) != stored["classes"]:
        raise opts.UsageError(
            f"{path} was trained on the classes {', '.join(stored['classes'])}, "
            f"the annotation holds {', '.join(benchmark.classes)}"
        )


def evaluate(flags: argparse.Namespace, stored: dict[str, Any]) -> None:
    """Score the test split with the averaged weights of a checkpoint."""
    experiment.start_log(None)
    benchmark, _, videos = read_splits(flags)
    check_classes(benchmark, stored, flags.checkpoint)
    loader = open_loader(flags, benchmark, videos, "test", share=distributed.share())
    settings = step_settings(flags, benchmark.polarity)
    part = "mbt." if flags.pretrain_epochs else ""
    flags.pretrain_epochs = 0  # what scores needs no text encoder
    model = new_model(flags, len(benchmark.classes))
    weights = {name.removeprefix(part): value for name, value in stored["ema"].items() if name.startswith(part)}
    checkpoint.load_weights(model, weights, flags.checkpoint)
    metrics = score_split(model.to(settings.device), loader, settings, benchmark, "test")
    log.info(report.metrics_table(metrics, f"test, averaged weights of epoch {stored['epoch']}"))
    if flags.json and distributed.is_first():
        experiment.write_json(flags.json, metrics)


def run(argv: list[str] | None) -> None:
    """Read the flags - of a stored run, where one is continued or evaluated - and do what they ask."""
    flags = opts.parse(argv)
    if flags.eval:
        opts.check(flags)
        stored = checkpoint.load_checkpoint(flags.checkpoint)
        flags = opts.parse(argv, stored["flags"])
        with distributed.joined(device.choose_device(flags.device)):
            return evaluate(flags, stored)
    stored = None
    if flags.resume:
        folder = flags.result_path / flags.expr_name
        if not flags.expr_name:
            raise opts.UsageError(f"--resume needs --expr_name, a folder of {flags.result_path}")
        experiment.check_experiment(folder, resume=True, overwrite=False)
        stored = checkpoint.load_checkpoint(folder / experiment.LAST)
        flags = opts.parse(argv, stored["flags"])
        opts.check_same_run(flags, stored["flags"])
    opts.check(flags)
    if flags.debug:
        flags.n_epochs, flags.pretrain_epochs = 1, min(flags.pretrain_epochs, 1)
    with distributed.joined(device.choose_device(flags.device)):
        now = distributed.gathered(time.strftime("%Y%m%d-%H%M%S"))[0]
        flags.expr_name = flags.expr_name or f"{'debug' if flags.debug else flags.preset}-{now}"
        train(flags, stored)


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
    except OSError as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        print("interrupted; a training run goes on with --resume --expr_name NAME", file=sys.stderr)
        return 130
    return 0


if __name__ == "__main__":
    sys.exit(main())
