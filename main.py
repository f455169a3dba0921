"""Train a model or evaluate a checkpoint: `python main.py --help`."""

from __future__ import annotations

import opts

if __name__ == "__main__":
    opts.parse()  # --help and a misspelt flag need not wait for PyTorch

import argparse
import dataclasses
import logging
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from matplotlib.figure import Figure
from timm.utils import ModelEmaV3
from torch.utils.data import DataLoader

from core import checkpoint, device, evaluation, experiment, report
from core.engine import EmptySplitError, NonFiniteLossError, StepSettings
from core.pictures import draw_view
from core.pretraining import PretrainSettings, finetune_losses, pretrain_losses
from core.trainer import Phase, Trainer
from core.views import view_videos
from datasets.annotations import Video, benchmark_of, read_annotation
from datasets.benchmarks import Benchmark
from datasets.errors import DataError
from datasets.loading import draw_per_class, hold_out, make_loader, read_spread, still
from datasets.video_emotion import Layout, VideoBatch, VideoEmotionDataset
from models.build import ModelSizes, PretrainingSizes, add_pretraining, build_model, count_parameters
from models.mart import MART
from models.mbt import MBT
from models.text import TextEncoder, embedded_weights

log = logging.getLogger("mart")

N_SHOWN = 3  # training videos whose pre-training TensorBoard shows

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
    path = flags.annotation_path or Path(f"{flags.root_path.absolute().name}.json")
    annotation = read_annotation(flags.root_path / path)
    training, test = list(annotation.subset("training")), list(annotation.subset("validation"))
    if flags.train_per_class:
        training = draw_per_class(training, flags.train_per_class, flags.seed)
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
    if not videos and split == "held-out":
        raise opts.UsageError(f"--val_fraction {flags.val_fraction} holds out not one video: choose a larger one")
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
        max_cues=flags.max_cues,
        lexicon=flags.lexicon,
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


def new_model(flags: argparse.Namespace, benchmark: Benchmark) -> MART | MBT:
    """The model that the flags ask for: the baseline, or MART around it where there is a pre-training."""
    try:
        baseline = build_model(sizes_of(ModelSizes, flags, n_classes=len(benchmark.classes)))
        if not flags.pretrain_epochs:
            return baseline
        return add_pretraining(baseline, TextEncoder(folder=embedded_weights()), sizes_of(PretrainingSizes, flags))
    except ValueError as error:
        raise opts.UsageError(f"sizes of the model: {error}") from None


def sizes_of(sizes: type, flags: argparse.Namespace, **known: int) -> Any:
    """A dataclass of sizes, filled from the flags of the same names."""
    names = {field.name for field in dataclasses.fields(sizes)} - set(known)
    return sizes(**known, **{name: getattr(flags, name) for name in names})


def recogniser(model: MART | MBT) -> MBT:
    """The part that scores a video."""
    return model.mbt if isinstance(model, MART) else model


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


def pretrain_settings(flags: argparse.Namespace, settings: StepSettings) -> PretrainSettings:
    """What the flags say of the pre-training."""
    return PretrainSettings(
        polarity=settings.polarity,
        lambda_0=flags.lambda_0,
        verify=flags.verify,
        threshold=flags.degree_threshold,
        mix=flags.cue_mix,
        label_share=flags.label_share,
        teacher_temperature=flags.teacher_temperature,
        contrast_temperature=flags.contrast_temperature,
        masking=flags.masking,
        mask_ratio=(flags.mask_start, flags.mask_end),
        distribution=flags.target == "distribution",
        unlabelled=flags.unlabelled,
        weights=(flags.weight_cls, flags.weight_tacl, flags.weight_ted, flags.weight_patch),
    )


def phases_of(
    flags: argparse.Namespace,
    model: MART | MBT,
    ema: MART | MBT,
    method: PretrainSettings,
    views: Callable[[float], dict[str, Figure]],
    accuracy: Callable[[], float] | None,
) -> list[Phase]:
    """Pre-training, where the flags ask for one, and fine-tuning. `accuracy` is that of held-out videos."""

    def pretrain(batch: VideoBatch, progress: float) -> dict[str, torch.Tensor]:
        return pretrain_losses(model, ema, batch, method, progress)

    def finetune(batch: VideoBatch, progress: float) -> dict[str, torch.Tensor]:
        return finetune_losses(model, ema, batch, method, flags.finetune_ted)

    first = Phase("pre-training", 0, flags.pretrain_epochs, model, pretrain, experiment.PRETRAINED, show=views)
    n_epochs = flags.pretrain_epochs + flags.n_epochs
    second = Phase(
        "fine-tuning", first.end, n_epochs, recogniser(model), finetune, accuracy=accuracy, patience=flags.patience
    )
    return [first, second] if flags.pretrain_epochs else [second]


def train(flags: argparse.Namespace, stored: dict[str, Any] | None) -> None:
    """Pre-train and fine-tune, keep checkpoints, and score the test split once at the end with the averaged weights.

    stored: the checkpoint of the run that is continued, None for a new one.
    """
    folder = flags.result_path / flags.expr_name
    experiment.check_experiment(folder, resume=flags.resume, overwrite=flags.overwrite)
    experiment.start_log(None)
    torch.manual_seed(flags.seed)
    benchmark, videos, test_videos = read_splits(flags)
    training_videos, held_out = hold_out(videos, flags.val_fraction, flags.seed)
    loader = open_loader(flags, benchmark, training_videos, "training", training=True)
    held_out_loader = open_loader(flags, benchmark, held_out, "held-out") if flags.val_fraction else None
    test_loader = open_loader(flags, benchmark, test_videos, "test")
    settings = step_settings(flags, benchmark)
    if stored is not None:
        check_classes(benchmark, stored, folder / experiment.LAST)
    model = new_model(flags, benchmark).to(settings.device)
    # everything that the user may have mistyped has been read by now
    experiment.open_experiment(folder, opts.to_stored(flags), resume=flags.resume)
    experiment.start_log(folder / "log.txt")
    log.info("experiment %s", folder)
    log.info("parameters: %s", ", ".join(f"{part} {n:,}" for part, n in count_parameters(model).items()))

    ema = ModelEmaV3(model, decay=flags.ema_decay, use_warmup=True)
    if isinstance(model, MART):
        ema.module.text = model.text  # frozen, so one copy serves both
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
        with settings.autocast():
            seen = view_videos(model, ema.module, shown.to(settings.device), method, progress)
        return {"/".join(view.key): draw_view(view, benchmark.classes) for view in seen}

    def accuracy() -> float:
        return score_split(recogniser(ema.module), held_out_loader, settings, benchmark, "held-out")["acc_e"]

    trainer.run(phases_of(flags, model, ema.module, method, views, accuracy if flags.val_fraction else None), loader)

    result = experiment.BEST if flags.val_fraction else experiment.LAST
    final = checkpoint.load_checkpoint(folder / result)
    checkpoint.load_weights(ema.module, final["ema"], folder / result)
    try:
        metrics = score_split(recogniser(ema.module), test_loader, settings, benchmark, "test")
    except DataError as error:
        remedy = f"mend it, then --eval --checkpoint {folder / result}, or add --skip_bad"
        raise DataError(f"the model is trained, but not scored: {error}; {remedy}") from None
    experiment.write_json(folder / experiment.METRICS, metrics)
    pictures = report.figures(metrics, benchmark.classes)
    for name, figure in pictures.items():
        trainer.writer.add_figure(f"test/{name}", figure, trainer.state.step, close=False)
    trainer.writer.close()
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
    loader = open_loader(flags, benchmark, videos, "test")
    settings = step_settings(flags, benchmark)
    model = new_model(flags, benchmark)
    checkpoint.load_weights(model, stored["ema"], flags.checkpoint)
    metrics = score_split(recogniser(model).to(settings.device), loader, settings, benchmark, "test")
    log.info(report.metrics_table(metrics, f"test, averaged weights of epoch {stored['epoch']}"))
    if flags.json:
        experiment.write_json(flags.json, metrics)


def run(argv: list[str] | None) -> None:
    """Read the flags - of a stored run, where one is continued or evaluated - and do what they ask."""
    flags = opts.parse(argv)
    if flags.eval:
        opts.check(flags)
        stored = checkpoint.load_checkpoint(flags.checkpoint)
        return evaluate(opts.parse(argv, stored["flags"]), stored)
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
    flags.expr_name = flags.expr_name or time.strftime(f"{'debug' if flags.debug else flags.preset}-%Y%m%d-%H%M%S")
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
