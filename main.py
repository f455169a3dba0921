"""Train a model, evaluate a checkpoint or predict videos with it: `python main.py --help`."""

from __future__ import annotations

import argparse
import logging
import signal
import sys
import time
from collections.abc import Callable, Iterator
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import opts
from core import doctor, installation
from datasets.cache import sound_cache, user_cache


def examine(flags: argparse.Namespace) -> int:
    """Say what a report of a fault should hold; gives the exit status. Imports nothing before that may be broken."""

    def lexicon() -> Iterator[tuple[str, bool]]:
        from datasets.condition import lexicon_lines

        yield from lexicon_lines(flags)

    def dataset() -> Iterator[tuple[str, bool]]:
        from datasets.condition import dataset_lines

        yield from dataset_lines(flags, asked=flags.root_path not in (None, opts.PRESETS["demo"]["root_path"]))

    cache, sounds = user_cache(), sound_cache(flags.sound_cache)
    asked = flags.visual_weights, flags.audio_weights, flags.text_weights
    return doctor.examine(
        [
            *installation.checks(flags.precision, flags.device),
            *doctor.weights(Path(__file__).parent / "pretrained_models", asked),
            ("lexicon", lexicon),
            ("dataset", dataset),
            *doctor.caches([(cache, "lexicon-*"), (sounds, "*.mel")]),
            *doctor.disk([flags.result_path, cache, flags.root_path]),
        ]
    )


if __name__ == "__main__":
    _flags = opts.parse()  # --help and a misspelt flag need not wait for PyTorch
    if _flags.doctor:
        sys.exit(examine(_flags))
    if find_spec("torch") is None:
        print(f"error: {sys.executable} has no PyTorch: use .venv/bin/python, which sh run.sh makes", file=sys.stderr)
        sys.exit(2)
    if signal.getsignal(signal.SIGINT) is signal.default_int_handler:
        signal.signal(signal.SIGINT, signal.SIG_DFL)  # Ctrl-C in the seconds of the imports needs no traceback

import torch
from matplotlib.figure import Figure
from torch.utils.data import DataLoader

from core import (
    checkpoint,
    device,
    distributed,
    evaluation,
    experiment,
    files,
    interruption,
    prediction_files,
    report,
    web_app,
)
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
    stored_recogniser,
)
from core.courses import annotated_course, prediction_of
from core.engine import EmptySplitError, StepSettings
from core.findings import NonFiniteLossError
from core.page.evaluation import write_evaluation
from core.page.source import as_data_url, check_embeddable
from core.page.video import video_page, write_page
from core.pictures import draw_view
from core.predicting import PredictionError, Predictor
from core.prediction import Prediction
from core.stored_run import load_run
from core.timeline import draw_timeline
from core.trainer import Trainer
from core.views import view_videos
from datasets.benchmarks import Benchmark, benchmark_of_model
from datasets.errors import DataError
from datasets.loading import hold_out, read_spread, segment_seconds, spread, still
from datasets.opening import open_loader, read_splits, video_opener
from datasets.readers import explain, watched
from datasets.video_names import find_videos
from models.build import count_parameters
from models.weight_files import WeightError

log = logging.getLogger("mart")

N_SHOWN = 3  # training videos whose pre-training TensorBoard shows, and test videos whose timelines

USER_ERRORS = (
    opts.UsageError,
    DataError,
    checkpoint.CheckpointError,
    device.DeviceError,
    distributed.LostProcessError,
    EmptySplitError,
    evaluation.ScoreError,
    experiment.ExperimentError,
    files.FileError,
    ModelError,
    PredictionError,
    WeightError,
    web_app.WebAppError,
)


def score_split(
    model: torch.nn.Module, loader: DataLoader, settings: StepSettings, benchmark: Benchmark, name: str
) -> tuple[evaluation.Predictions, dict[str, Any]]:
    """What the model says of one split, and all metrics of it."""
    found = evaluation.predict_split(model, loader, settings, n_batches=len(loader), name=name)
    for line in found.left_out:
        log.warning("left out: %s", line)
    found.left_out += loader.dataset.left_out
    return found, evaluation.all_metrics(found, benchmark.classes, benchmark.polarity)


def timelines(found: evaluation.Predictions, benchmark: Benchmark) -> dict[str, Figure]:
    """Pictures of a few videos, the same ones after every run."""
    in_order = sorted(range(len(found.keys)), key=found.keys.__getitem__)
    return {
        "/".join(found.keys[i]): draw_timeline(
            prediction_of(found, i, benchmark.classes, benchmark.polarity), annotated_course(found, i)
        )
        for i in spread(in_order, min(N_SHOWN, len(in_order)))
    }


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
        check_step(flags, stored)
    choose_weights(flags)
    model = new_model(flags, len(benchmark.classes), stored)
    if stored is None:
        load_encoders(recogniser(model), flags)
    model.to(settings.device)
    # everything that the user may have mistyped has been read by now
    if distributed.is_first():
        experiment.open_experiment(folder, opts.to_stored(flags), resume=flags.resume)
        experiment.start_log(folder / "log.txt")
    log.info("experiment %s", folder)
    log.info("parameters: %s", ", ".join(f"{part} {n:,}" for part, n in count_parameters(model).items()))

    ema = averaged(model, flags.ema_decay)
    divide(flags, model, ema)
    data = {"classes": list(benchmark.classes), "polarity": list(benchmark.polarity)}
    data["videos_per_step"] = videos_per_step(flags)
    data["segment_seconds"] = (stored or {}).get("segment_seconds") or segment_seconds(loader.dataset)
    trainer = Trainer(
        model, ema, settings, flags.learning_rate, flags.weight_decay, flags.warmup_epochs, folder,
        opts.to_stored(flags), data, flags.save_every,
    )  # fmt: skip
    if stored is not None:
        trainer.restore(stored)
        stored.clear()  # the weights are in the model now
    method = pretrain_settings(flags, settings)
    pictured = flags.pretrain_epochs > 0 and "v" in flags.modalities
    shown = read_spread(still(loader.dataset), N_SHOWN) if pictured else None

    def views(progress: float) -> dict[str, Figure]:
        with settings.autocast(), distributed.whole(ema.module):
            seen = view_videos(model, ema.module, shown.to(settings.device), method, progress)
        shown_here = seen if distributed.is_first() else []
        return {"/".join(view.key): draw_view(view, benchmark.classes) for view in shown_here}

    def accuracy() -> float:
        with distributed.whole(ema.module):
            return score_split(recogniser(ema.module), held_out_loader, settings, benchmark, "held-out")[1]["acc_e"]

    phases = phases_of(
        flags, model, ema.module, method, views if pictured else None, accuracy if flags.val_fraction else None
    )
    trainer.run(phases, loader)

    result = experiment.BEST if flags.val_fraction else experiment.LAST
    final = checkpoint.load_checkpoint(folder / result)
    checkpoint.load_weights(ema.module, final["ema"], folder / result)
    try:
        with distributed.whole(ema.module):
            found, metrics = score_split(recogniser(ema.module), test_loader, settings, benchmark, "test")
    except DataError as error:
        remedy = f"mend it, then --eval --checkpoint {folder / result}, or add --skip_bad"
        raise DataError(f"the model is trained, but not scored: {error}; {remedy}") from None
    if not distributed.is_first():
        return
    pictures = report.figures(metrics, benchmark.classes)
    trainer.board.figures("test", pictures, trainer.state.step, close=False)
    trainer.board.figures("timeline", timelines(found, benchmark), trainer.state.step)
    trainer.board.close()
    paths = report.save_figures(pictures, folder / "plots")
    files.write_json(folder / experiment.METRICS, metrics)  # last: where it is, the run is finished
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


def videos_per_step(flags: argparse.Namespace) -> int:
    """Of the optimiser, in all processes."""
    return flags.batch_size * flags.accu_step * distributed.n_processes()


def check_step(flags: argparse.Namespace, stored: dict[str, Any]) -> None:
    """A continued run's steps are of as many videos as before, in however many processes. Raises UsageError."""
    before, now = stored.get("videos_per_step", videos_per_step(flags)), videos_per_step(flags)
    if now != before:
        raise opts.UsageError(
            f"--resume continues a run whose steps are of {before} videos, but --batch_size {flags.batch_size} x "
            f"--accu_step {flags.accu_step} x {distributed.n_processes()} processes are {now}: change --accu_step or "
            "the processes"
        )


def evaluate(flags: argparse.Namespace, stored: dict[str, Any]) -> None:
    """Score the test split with the averaged weights of a checkpoint."""
    experiment.start_log(None)
    if flags.drop_modality and not set(flags.drop_modality) < set(flags.modalities):
        raise opts.UsageError(
            f"--drop_modality {flags.drop_modality}: some, not all, of what the model takes, which is "
            f"{flags.modalities}"
        )
    folder = flags.out or flags.checkpoint.parent / "report"
    if flags.report and distributed.is_first():
        # a link is the user's own if it was asked for, and not if it came with the checkpoint
        prediction_files.check_folder(flags.out.resolve() if flags.out else folder, overwrite=flags.overwrite)
    benchmark, _, videos = read_splits(flags)
    check_classes(benchmark, stored, flags.checkpoint)
    loader = open_loader(flags, benchmark, videos, "test", share=distributed.share())
    settings = step_settings(flags, benchmark.polarity)
    model = stored_recogniser(flags, stored).to(settings.device)
    found, metrics = score_split(model, loader, settings, benchmark, "test")
    log.info(report.metrics_table(metrics, f"test, averaged weights of epoch {stored['epoch']}"))
    if flags.json and distributed.is_first():
        files.write_json(flags.json, metrics)
    if flags.report and distributed.is_first():
        about = {"Checkpoint": str(flags.checkpoint), "Epoch": stored["epoch"], "Dataset": benchmark.name}
        page = write_evaluation(folder, found, metrics, benchmark.classes, benchmark.polarity, about)
        log.info("report: %s", page)


def open_predictor(
    flags: argparse.Namespace, stored: dict[str, Any]
) -> Callable[[Path, Path | None], tuple[Prediction, list[bytes]]]:
    """What a checkpoint's model says of a video file with its subtitles, and a JPEG of each segment.

    Lets go of `stored`, once the weights are in the model. Raises USER_ERRORS, as what it gives does.
    """
    benchmark = benchmark_of_model(flags.dataset, stored["classes"], stored.get("polarity"))
    seconds = flags.segment_seconds or stored.get("segment_seconds")
    if seconds is None:
        raise opts.UsageError(f"{flags.checkpoint} does not say how long its segments are: give --segment_seconds")
    open_video = video_opener(flags, benchmark, seconds)
    settings = step_settings(flags, benchmark.polarity)
    model = stored_recogniser(flags, stored).to(settings.device).eval()
    description = {"checkpoint": str(flags.checkpoint), "epoch": stored["epoch"], "dataset": flags.dataset}
    stored.clear()
    predictor = Predictor(
        model, settings, benchmark.classes, description, flags.val_len, flags.verify, flags.degree_threshold
    )
    return lambda path, srt: predictor(open_video(path, srt))


def predict(flags: argparse.Namespace, stored: dict[str, Any]) -> int:
    """Predict every video and write what was found; one that fails does not stop the others. Gives the exit status."""
    experiment.start_log(None)
    videos = find_videos(flags.predict)
    predict_file = open_predictor(flags, stored)
    out = flags.out or (None if flags.json or flags.csv else Path("predictions"))
    if out:
        out.mkdir(parents=True, exist_ok=True)  # before anything is computed
    found, failed = [], []
    for video, name in zip(videos, prediction_files.folder_names(videos), strict=True):
        try:
            if out:
                prediction_files.check_folder(out / name, overwrite=flags.overwrite)
            if flags.embed:
                check_embeddable(video)
            prediction, thumbnails = predict_file(video, flags.srt)
            if out:
                with prediction_files.whole_folder(out / name) as folder:
                    prediction_files.write_folder(folder, prediction)
                    report.save_figures({"timeline": draw_timeline(prediction)}, folder)
                    write_page(folder, prediction, dict(enumerate(thumbnails)), video, embed=flags.embed)
        except (*USER_ERRORS, OSError, RuntimeError, MemoryError) as error:
            if flags.debug:
                raise
            failed.append(video)
            line = why(error, "close other programs, or use --device cpu")
            line = line or f"{type(error).__name__}: {report.one_line(error)}; --debug shows where"
            log.error("FAILED %s: %s", report.one_line(video), line)
            continue
        found.append(prediction)
        log.info(report.prediction_line(prediction))
        if out:
            log.info("  page: %s", report.one_line(out / name / "report.html"))
        for note in prediction.notes:
            log.info("  %s", note)
    if flags.json and found:
        contents = [prediction_files.as_json(prediction) for prediction in found]
        files.write_json(flags.json, contents if len(videos) > 1 else contents[0])
    if flags.csv and found:
        prediction_files.write_csv(flags.csv, found)
    log.info(report.outcome(len(found), failed))
    return 0 if not failed else 1 if found else 2


def serve(flags: argparse.Namespace, stored: dict[str, Any]) -> None:
    """Predict what is uploaded to a web page on this computer, until Ctrl-C."""
    experiment.start_log(None)

    def page(found: Prediction, thumbnails: list[bytes], video: Path) -> str:
        return video_page(found, dict(enumerate(thumbnails)), as_data_url(video))

    web_app.serve(
        open_predictor(flags, stored),
        page,
        prediction_files.as_json,
        (*USER_ERRORS, OSError),
        examples=sorted((flags.root_path / "videos").glob("*/*.mp4"))[:N_SHOWN] if flags.root_path else [],
        title="Emotions of a video over time",
        port=flags.port,
    )


def run(argv: list[str] | None) -> int:
    """Read the flags - of a stored run, where one is continued or used - and do what they ask; gives the status."""
    flags = opts.parse(argv)
    if flags.doctor:
        return examine(flags)
    if flags.eval or flags.predict or flags.serve:
        opts.check(flags)
        stored = load_run(flags.checkpoint)
        flags = opts.parse(argv, stored["flags"])
        if flags.predict:
            return predict(flags, stored)
        if flags.serve:
            serve(flags, stored)
            return 0
        with watched(flags.read_timeout), distributed.joined(device.choose_device(flags.device)):
            evaluate(flags, stored)
        return 0
    stored = None
    if flags.resume:
        flags, stored = resumed(argv, flags)
    opts.check(flags)
    if flags.debug:
        flags.n_epochs, flags.pretrain_epochs = 1, min(flags.pretrain_epochs, 1)
    with watched(flags.read_timeout), distributed.joined(device.choose_device(flags.device)):
        now = distributed.gathered(time.strftime("%Y%m%d-%H%M%S"))[0]
        flags.expr_name = flags.expr_name or f"{'debug' if flags.debug else flags.preset}-{now}"
        begun = distributed.is_restart() and experiment.is_of_this_job(flags.result_path / flags.expr_name)
        if distributed.gathered(begun)[0] and stored is None:
            flags, stored = resumed(argv, flags)
        train(flags, stored)
    return 0


def resumed(argv: list[str] | None, flags: argparse.Namespace) -> tuple[argparse.Namespace, dict[str, Any] | None]:
    """Flags and last checkpoint of the run that is continued; none of a run that ended before it had one."""
    if not flags.expr_name:
        raise opts.UsageError(f"--resume needs --expr_name, a folder of {flags.result_path}")
    folder = flags.result_path / flags.expr_name
    experiment.check_experiment(folder, resume=True, overwrite=False)
    stored = load_run(folder / experiment.LAST, resume=True) if (folder / experiment.LAST).is_file() else None
    before = stored["flags"] if stored else experiment.read_flags(folder)
    flags = opts.parse(argv, before, resume=True)
    opts.check_same_run(flags, before)
    flags.resume = True
    return flags, stored


def why(error: BaseException, more_memory: str = device.LESS_MEMORY) -> str | None:
    """One line for an error that is known, or for memory that ran out; None for others."""
    if isinstance(error, (*USER_ERRORS, NonFiniteLossError, OSError)):
        return str(error)
    return explain(error) or device.out_of_memory(error, more_memory)


def main(argv: list[str] | None = None) -> int:
    """Exit status: 0, 2 for something the user can mend, 3 for training that met no number, 130 or 143 for a signal."""
    debug = "--debug" in (argv or sys.argv)
    try:
        with interruption.at_once():
            return run(argv)
    except (*USER_ERRORS, NonFiniteLossError, OSError, RuntimeError, MemoryError) as error:
        line = why(error)
        if line is None or debug:
            raise
        print(f"error: {line}", file=sys.stderr)
        return 3 if isinstance(error, NonFiniteLossError) else 2
    except (KeyboardInterrupt, interruption.Terminated) as signalled:
        print("interrupted; training goes on with --resume --expr_name NAME", file=sys.stderr)
        return interruption.status(signalled)


if __name__ == "__main__":
    sys.exit(main())
