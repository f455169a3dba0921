"""Every flag, grouped, with its help, unit and default. A preset is a set of defaults."""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any, NoReturn

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

# Plain data. `base` is the published configuration; `demo` trains in minutes on two CPU cores.
PRESETS: dict[str, dict[str, Any]] = {
    "base": {},
    "demo": {
        "root_path": Path("data/demo"),
        "visual_weights": "random",
        "audio_weights": "random",
        "text_weights": "small",
        "seq_len": 8,
        "val_len": 8,
        "snippet_duration": 8,
        "sample_size": 48,
        "min_crop_scale": 0.7,
        "freq_mask": 8,
        "time_mask": 8,
        "embed_dim": 128,
        "depth": 4,
        "num_heads": 4,
        "fusion_depth": 2,
        "n_bottleneck": 4,
        "audio_stride": 16,
        "pretrain_epochs": 8,
        "decoder_dim": 64,
        "decoder_depth": 2,
        "decoder_heads": 4,
        "common_dim": 64,
        "n_epochs": 8,
        "batch_size": 8,
        "accu_step": 1,
        "learning_rate": 1e-3,
        "warmup_epochs": 2.0,
        "ema_decay": 0.99,
        "recompute": "none",
    },
}

# Flags that may differ from a stored run without making it another one.
MACHINE_FLAGS = frozenset(
    {"root_path", "video_path", "audio_path", "srt_path", "annotation_path", "result_path", "expr_name", "n_threads"}
    | {"device", "fsdp", "log_every", "save_every", "skip_bad", "sound_cache", "sound_cache_gb", "recompute", "compile"}
    | {"read_timeout", "skip_nonfinite"}
    | {"accu_step"}  # with more or fewer processes; how many videos a step takes is stored, too
    | {"visual_weights", "audio_weights"}  # a stored run holds what it made of them
)


# Flags that belong to one command and not to a run.
PREDICTION_FLAGS = frozenset(
    {"csv", "out", "report", "embed", "srt", "text", "speech_model", "segment_seconds", "port", "drop_modality"}
)

# Flags that say what one command should do: neither stored runs nor --config hand them on.
COMMAND_FLAGS = PREDICTION_FLAGS | frozenset(
    {"config", "eval", "predict", "serve", "checkpoint", "json", "resume", "overwrite", "doctor", "debug"}
)


class UsageError(ValueError):
    """Flags that contradict each other or a stored run."""


def _number(kind: type[int] | type[float], wanted: str, holds: Callable[[float], bool]) -> Callable[[str], Any]:
    """An argparse type: a number of this kind for which `holds`."""

    def convert(text: str) -> Any:
        try:
            value = kind(text)
        except ValueError:
            value = None
        if value is None or not holds(value):
            raise argparse.ArgumentTypeError(f"{text!r} is not {wanted}")
        return value

    return convert


_POSITIVE = _number(int, "a whole number above 0", lambda value: value > 0)
_COUNT = _number(int, "a whole number, 0 or more", lambda value: value >= 0)
_SEED = _number(int, "a whole number from 0 to 4294967295", lambda value: 0 <= value < 2**32)
_SHARE = _number(float, "a number from 0 to 1", lambda value: 0 <= value <= 1)
_ABOVE_ZERO = _number(float, "a number above 0", lambda value: 0 < value < float("inf"))
_NOT_NEGATIVE = _number(float, "a number, 0 or more", lambda value: 0 <= value < float("inf"))


def _letters(text: str) -> str:
    """An argparse type: some of a, v and t, each once, in this order."""
    if not text or set(text) - set("avt") or len(set(text)) < len(text):
        raise argparse.ArgumentTypeError(f"{text!r} is not one or several of a, v and t, each once")
    return "".join(letter for letter in "avt" if letter in text)


# What a checkpoint that is not continued may not decide: it can be anybody's.
_OWN_FLAGS = frozenset({"result_path", "expr_name", "sound_cache", "sound_cache_gb", "n_threads"})


MOST_TOLD = 500  # characters of what is wrong


class _Parser(argparse.ArgumentParser):
    """Says what is wrong in one line, not after a page of usage."""

    where = ""  # the words come from, if not from the command line

    def error(self, message: str) -> NoReturn:
        message = message if len(message) <= MOST_TOLD else f"{message[:MOST_TOLD]} ..."
        self.exit(2, f"error: {self.where}{message}; see python {self.prog} --help\n")


class _StoredParser(_Parser):
    """Reads the flags of a stored run."""

    def error(self, message: str) -> NoReturn:
        raise UsageError(f"the flags of the stored run: {message[:200]}; use a checkpoint that training wrote")


def build_parser(defaults: dict[str, Any], kind: type[_Parser] = _Parser) -> argparse.ArgumentParser:
    """The parser, with `defaults` (of a preset or a stored run) in place of its own."""
    parser = kind(
        prog="main.py",
        description="Train MART, evaluate a checkpoint with --eval, or predict your own videos with --predict.",
        formatter_class=argparse.ArgumentDefaultsHelpFormatter,
        allow_abbrev=False,
    )

    group = parser.add_argument_group("what to do")
    group.add_argument("--preset", choices=sorted(PRESETS), default="demo", help="set of defaults for all other flags")
    group.add_argument(
        "--config",
        type=Path,
        metavar="FILE",
        help="flags as NAME = VALUE in TOML, above --preset and below this command line",
    )
    group.add_argument("--eval", action="store_true", help="evaluate --checkpoint on the test split")
    group.add_argument(
        "--predict",
        nargs="+",
        type=Path,
        metavar="VIDEO",
        help="the emotions over time of video files, or of all in a folder, by --checkpoint",
    )
    group.add_argument("--serve", action="store_true", help="the same in a web page on this computer; needs gradio")
    group.add_argument("--checkpoint", type=Path, help="file that a training run wrote, for --eval, --predict, --serve")
    group.add_argument(
        "--json", type=Path, help="with --eval: write the metrics here, 0..1; with --predict: write what was found"
    )
    group.add_argument("--resume", action="store_true", help="continue the run --expr_name from its last checkpoint")
    group.add_argument(
        "--overwrite", action="store_true", help="replace an existing experiment of this name, or a page"
    )
    group.add_argument(
        "--doctor", action="store_true", help="say what is installed, found and free, for a report of what went wrong"
    )
    group.add_argument("--debug", action="store_true", help="two batches, one epoch, tracebacks: see that it runs")

    group = parser.add_argument_group("prediction", "with --predict and --serve; --out and --report also with --eval")
    group.add_argument("--csv", type=Path, help="write one line per segment here")
    group.add_argument(
        "--out",
        type=Path,
        help="folder for the pages; default predictions, unless --json or --csv is given, with --eval report beside "
        "the checkpoint",
    )
    group.add_argument("--report", action="store_true", help="with --eval: write a page with metrics and mistakes")
    group.add_argument("--embed", action="store_true", help="put the video into its page instead of beside it")
    group.add_argument(
        "--srt", type=Path, help="subtitles of the one video; default its name with .srt, where there is one"
    )
    group.add_argument("--text", action="store_true", help="recognise the speech of videos without subtitles")
    group.add_argument("--speech_model", default="tiny.en", help="of --text: faster-whisper's, a name or a folder")
    group.add_argument(
        "--segment_seconds", type=_ABOVE_ZERO, help="length of a segment; default the mean one of the model's training"
    )
    group.add_argument("--port", type=_POSITIVE, default=7860, help="of --serve")

    group = parser.add_argument_group("data", "relative paths of the parts are taken from --root_path")
    group.add_argument(
        "--dataset",
        default="ve8",
        help="ve8, ek6, perr, iemocap, affwild2, or custom: the classes and "
        "their polarity stand in the annotation file",
    )
    group.add_argument(
        "--modalities",
        type=_letters,
        default="av",
        help="what is learnt from, one or several of a (sound), v (picture), t (subtitles); subtitles also give the "
        "pre-training its affective words, whichever these are",
    )
    group.add_argument(
        "--drop_modality",
        type=_letters,
        help="with --eval: those of the model's that are left out, as if no test video had them",
    )
    group.add_argument("--root_path", type=Path, help="folder of the dataset")
    group.add_argument(
        "--video_path", type=Path, default=Path("imgs"), help="frames, <label>/<id>/%%06d.jpg or <label>/<id>.zip"
    )
    group.add_argument("--audio_path", type=Path, default=Path("mp3"), help="sound, <label>/<id>.mp3")
    group.add_argument("--srt_path", type=Path, default=Path("srt"), help="subtitles, <label>/<id>.srt")
    group.add_argument("--annotation_path", type=Path, help="annotation file; default <root_path>/<its name>.json")
    group.add_argument("--split", type=_POSITIVE, default=1, help="of the annotation's splits, which one, from 1")
    group.add_argument(
        "--train_per_class",
        type=_COUNT,
        default=0,
        help="use so many training videos of each class, drawn by --seed; 0 = all",
    )
    group.add_argument("--skip_bad", action="store_true", help="leave out and count videos that cannot be read")
    group.add_argument("--n_threads", type=_COUNT, default=2, help="processes that read data; 0 reads in the main one")
    group.add_argument(
        "--read_timeout",
        type=_NOT_NEGATIVE,
        default=0.0,
        help="seconds without data after which the run ends, for storage that may hang; 0 = never",
    )
    group.add_argument(
        "--sound_cache",
        type=Path,
        help="folder where spectrograms are kept, once computed; none = nowhere; default ~/.cache/mart/sound",
    )
    group.add_argument("--sound_cache_gb", type=_ABOVE_ZERO, default=20.0, help="most that it may hold")

    group = parser.add_argument_group(
        "pre-trained weights",
        "a file, a Hugging Face folder or an id of its hub; "
        "default: the published ones of pretrained_models/, where they are there",
    )
    group.add_argument("--visual_weights", help="VideoMAE, or random")
    group.add_argument("--audio_weights", help="AST, or random")
    group.add_argument("--text_weights", help="BERT, or small, the MiniLM that arrives with the dependencies")

    group = parser.add_argument_group("sampling of a video")
    group.add_argument("--seq_len", type=_POSITIVE, default=12, help="segments of a video in training")
    group.add_argument("--val_len", type=_POSITIVE, default=16, help="segments of a video in evaluation")
    group.add_argument("--snippet_duration", type=_POSITIVE, default=16, help="frames of a segment's clip")
    group.add_argument("--sample_size", type=_POSITIVE, default=112, help="side of a frame, pixels")
    group.add_argument("--audio_frames", type=_POSITIVE, default=100, help="sound of a segment, frames of 10 ms")
    group.add_argument("--max_tokens", type=_POSITIVE, default=32, help="word pieces of a segment's subtitles")
    group.add_argument("--min_crop_scale", type=_SHARE, default=0.5, help="smallest training crop, share of a side")
    group.add_argument("--freq_mask", type=_COUNT, default=24, help="widest mask of a training sound, mel bins")
    group.add_argument("--time_mask", type=_COUNT, default=19, help="widest mask of a training sound, frames of 10 ms")

    group = parser.add_argument_group("sizes of the model")
    group.add_argument("--embed_dim", type=_POSITIVE, default=768, help="width of the encoders")
    group.add_argument("--depth", type=_POSITIVE, default=12, help="layers of each encoder")
    group.add_argument("--num_heads", type=_POSITIVE, default=12, help="attention heads")
    group.add_argument("--fusion_depth", type=_POSITIVE, default=4, help="last layers, joined by the bottleneck")
    group.add_argument("--n_bottleneck", type=_POSITIVE, default=32, help="bottleneck tokens")
    group.add_argument("--patch_size", type=_POSITIVE, default=16, help="side of a visual patch, pixels")
    group.add_argument("--audio_stride", type=_POSITIVE, default=10, help="step of the sound's 16x16 patches")
    group.add_argument("--temporal_pool", choices=("max", "mean"), default="max", help="segments to video")

    group = parser.add_argument_group("pre-training", "the phase before --n_epochs of fine-tuning")
    group.add_argument("--pretrain_epochs", type=_COUNT, default=100, help="its length; 0 trains the baseline alone")
    group.add_argument(
        "--modality_dropout",
        type=_SHARE,
        default=0.0,
        help="share of the videos of which the student sees only some modalities, drawn at random, in both phases",
    )
    group.add_argument("--unlabelled", action="store_true", help="without labels: the lexicon and the teacher alone")
    group.add_argument(
        "--verify",
        choices=("none", "sentiment", "emotion", "degree"),
        default="degree",
        help="last stage of verification that a word has to pass",
    )
    group.add_argument("--degree_threshold", type=_SHARE, default=0.5, help="difference of degree that still passes")
    group.add_argument("--cue_mix", type=_SHARE, default=0.5, help="share of the verified words in the target")
    group.add_argument("--teacher_temperature", type=_ABOVE_ZERO, default=2.0, help="of the video's part of the target")
    group.add_argument(
        "--label_share",
        type=_SHARE,
        default=1.0,
        help="of the label in what the teacher believes about a video, at the end; at the beginning it is 1",
    )
    group.add_argument(
        "--masking",
        choices=("emotion", "attention", "random", "tube", "frame", "none"),
        default="emotion",
        help="which patches are hidden",
    )
    group.add_argument(
        "--mask_at",
        choices=("encoder", "decoder"),
        default="encoder",
        help="masked patches are dropped before the encoder, or only hidden from the decoder",
    )
    group.add_argument("--mask_start", type=_SHARE, default=0.1, help="share of masked patches at the beginning")
    group.add_argument("--mask_end", type=_SHARE, default=0.5, help="share of masked patches at the end")
    group.add_argument(
        "--target",
        choices=("distribution", "pixel", "hog"),
        default="distribution",
        help="what is recovered: the temporal emotion distribution and pixels, or pixels or HOG alone",
    )
    group.add_argument("--weight_cls", type=_NOT_NEGATIVE, default=1.0, help="of the classification loss")
    group.add_argument("--weight_tacl", type=_NOT_NEGATIVE, default=1.0, help="of the contrast of words (Eq. 5)")
    group.add_argument("--weight_ted", type=_NOT_NEGATIVE, default=1.0, help="of the temporal distribution's KL")
    group.add_argument("--weight_patch", type=_NOT_NEGATIVE, default=0.05, help="of the recovery of patches")
    group.add_argument("--contrast_temperature", type=_ABOVE_ZERO, default=0.1, help="of the contrast of words")
    group.add_argument(
        "--finetune_ted",
        type=_NOT_NEGATIVE,
        help="weight of that KL in fine-tuning; default 1 after a pre-training that learns the distribution, else 0",
    )
    group.add_argument(
        "--lexicon",
        default="combined",
        help="of affective words: combined, nrc, senticnet, senticnet9, vader or FILE.csv",
    )
    group.add_argument("--max_cues", type=_POSITIVE, default=8, help="affective words of a segment")
    group.add_argument("--decoder_dim", type=_POSITIVE, default=512, help="width of the decoders")
    group.add_argument("--decoder_depth", type=_POSITIVE, default=8, help="layers of the decoders")
    group.add_argument("--decoder_heads", type=_POSITIVE, default=16, help="attention heads of the decoders")
    group.add_argument("--common_dim", type=_POSITIVE, default=256, help="space in which words and patches meet")

    group = parser.add_argument_group("training")
    group.add_argument("--n_epochs", type=_POSITIVE, default=150, help="passes over the training split, fine-tuning")
    group.add_argument("--batch_size", type=_POSITIVE, default=4, help="videos at once on the device")
    group.add_argument("--accu_step", type=_POSITIVE, default=9, help="batches of one optimiser step")
    group.add_argument("--learning_rate", type=_ABOVE_ZERO, default=2e-4, help="peak of the schedule")
    group.add_argument("--weight_decay", type=_NOT_NEGATIVE, default=0.04, help="of AdamW")
    group.add_argument("--warmup_epochs", type=_NOT_NEGATIVE, default=5.0, help="epochs of linear warm-up")
    group.add_argument("--lambda_0", type=_NOT_NEGATIVE, default=0.5, help="extra weight of a wrong sentiment")
    group.add_argument("--clip_grad", type=_NOT_NEGATIVE, default=1.0, help="largest gradient norm, 0 = no limit")
    group.add_argument(
        "--skip_nonfinite",
        type=_COUNT,
        default=0,
        help="steps whose loss or gradient is not finite that are reported and left out; one more ends the run",
    )
    group.add_argument("--ema_decay", type=_SHARE, default=0.999, help="of the averaged weights that are evaluated")
    group.add_argument(
        "--val_fraction",
        type=_SHARE,
        default=0.0,
        help="share of the training split that is held out "
        "to choose the best epoch; the test split is never looked at for it",
    )
    group.add_argument(
        "--patience",
        type=_COUNT,
        default=0,
        help="with --val_fraction: stop after so many epochs without a better one, 0 = never",
    )
    group.add_argument("--seed", type=_SEED, default=0, help="of weights, order and augmentation")

    group = parser.add_argument_group("machine and results")
    group.add_argument("--device", default="auto", help="auto, cpu, cuda or cuda:i")
    group.add_argument("--precision", choices=("auto", "bf16", "fp32"), default="auto", help="of matrix products")
    group.add_argument(
        "--recompute",
        choices=("none", "cheap", "all"),
        default="cheap",
        help="what the backward pass of a layer computes again instead of keeping it: nothing, what costs little time, "
        "everything",
    )
    group.add_argument(
        "--compile",
        action=argparse.BooleanOptionalAction,
        default=False,
        help="compile the layers, which takes a C++ compiler",
    )
    group.add_argument(
        "--fsdp",
        action=argparse.BooleanOptionalAction,
        default=False,
        help="divide weights and optimiser among the processes of torchrun",
    )
    group.add_argument(
        "--log_every",
        type=_POSITIVE,
        default=10,
        help="steps between readings of the losses, which wait for the device",
    )
    group.add_argument("--result_path", type=Path, default=Path("results"), help="folder of all experiments")
    group.add_argument("--expr_name", default="", help="name of the experiment; default <preset>-<date>-<time>")
    group.add_argument("--save_every", type=_POSITIVE, default=1, help="epochs between checkpoints")
    parser.set_defaults(**defaults)
    return parser


def parse(
    argv: list[str] | None = None, stored: dict[str, Any] | None = None, *, resume: bool = False
) -> argparse.Namespace:
    """Flags of the command line over those of --config, over those of a stored run, or else of the preset.

    resume: the stored run is the user's own. Of another one nothing is taken that says where to write or how much of
    the machine to use. Raises UsageError for a stored value that the command line would not take.
    """
    chooser = _Parser(prog="main.py", add_help=False, allow_abbrev=False)
    chooser.add_argument("--preset", choices=sorted(PRESETS))
    chooser.add_argument("--config", type=Path)
    chosen = chooser.parse_known_args(argv)[0]
    config = {} if chosen.config is None else _read_config(chosen.config)
    preset = PRESETS[chosen.preset or config.get("preset", "demo")]
    flags = build_parser((preset if stored is None else from_stored(stored, resume)) | config).parse_args(argv)
    if flags.finetune_ted is None:
        flags.finetune_ted = float(flags.pretrain_epochs > 0 and flags.target == "distribution")
    return flags


def _read_config(path: Path) -> dict[str, Any]:
    """The flags of a TOML file, read and checked as on a command line; what is wrong ends in one line and status 2."""
    parser = build_parser({})
    parser.where = f"{path}: "
    try:
        if path.is_fifo() or path.is_char_device():  # which may have no end
            parser.error("is no file")
        content = tomllib.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        parser.error(f"cannot be read ({error.strerror})")
    except (ValueError, RecursionError) as error:  # no UTF-8, no TOML
        parser.error(f"no TOML ({error})")
    known = vars(parser.parse_args([]))
    words = []
    for key, value in content.items():
        if key not in known or key in COMMAND_FLAGS:
            parser.error(f"{key if key.isprintable() else repr(key)} is no flag of a run")
        if isinstance(value, str) and not value.isprintable():
            parser.error(f"{key} = {value!r}: holds what cannot be printed")
        is_switch = isinstance(known[key], bool)
        if is_switch != isinstance(value, bool):
            parser.error(f"{key} = {value!r}: {'true or false' if is_switch else 'a number or text'} is wanted")
        words += ([f"--{key}"] if value else []) if is_switch else [f"--{key}={value}"]
    read = vars(parser.parse_args(words))
    for key, value in content.items():
        if isinstance(value, str) != isinstance(read[key], (str, Path)):
            wanted = "a number without" if isinstance(value, str) else "text in"
            parser.error(f"{key} = {value!r}: {wanted} quotation marks is wanted")
    return {key: read[key] for key in content}


def check(flags: argparse.Namespace) -> None:
    """Refuse flags that together make no sense. Raises UsageError."""
    _check_use(flags)
    if flags.fsdp and "TORCHELASTIC_RUN_ID" not in os.environ:
        raise UsageError("--fsdp divides among processes: torchrun --nproc_per_node N main.py --fsdp ...")
    if int(os.environ.get("TORCHELASTIC_MAX_RESTARTS", 0)) and not (flags.eval or flags.expr_name):
        raise UsageError("--max-restarts of torchrun needs --expr_name NAME, by which a restart finds its experiment")
    if flags.read_timeout and not flags.n_threads:
        raise UsageError("--read_timeout watches reading processes: give --n_threads 1 or more")
    if flags.resume and (flags.debug or flags.overwrite):
        raise UsageError("--resume continues a run as it was: leave out --debug and --overwrite")
    if Path(flags.expr_name).name != flags.expr_name:
        raise UsageError(f"--expr_name {flags.expr_name}: a plain name, the folder goes to --result_path")
    if flags.patience and not flags.val_fraction:
        raise UsageError("--patience needs --val_fraction: without held-out videos no epoch is better than another")
    if flags.masking == "none" and flags.target != "distribution":
        raise UsageError(f"--masking none leaves --target {flags.target} nothing to recover: choose another of either")
    if flags.masking == "none" and flags.mask_at == "decoder":
        raise UsageError("--mask_at decoder needs masks: choose another --masking than none")
    if flags.modalities == "t" and flags.pretrain_epochs and flags.masking != "none":
        raise UsageError("--modalities t has no patches to mask: add --masking none, or --pretrain_epochs 0")
    if flags.modality_dropout and len(flags.modalities) == 1:
        raise UsageError(f"--modality_dropout takes one of several, but --modalities {flags.modalities} is one")
    if flags.mask_start > flags.mask_end:
        raise UsageError(f"--mask_start {flags.mask_start} is above --mask_end {flags.mask_end}: the share grows")
    if not flags.pretrain_epochs and (flags.unlabelled or flags.finetune_ted):
        raise UsageError("--unlabelled and --finetune_ted need a pre-training: give --pretrain_epochs")
    if flags.target != "distribution" and flags.finetune_ted:
        raise UsageError(f"--finetune_ted keeps a distribution that --target {flags.target} does not learn")


def _check_use(flags: argparse.Namespace) -> None:
    """What goes with --eval, --predict and --serve, and what they are not without. Raises UsageError."""
    uses = [f"--{name}" for name in ("eval", "predict", "serve") if getattr(flags, name)]
    if len(uses) > 1:
        raise UsageError(f"{' and '.join(uses)}: one at a time")
    if not uses and (flags.checkpoint or flags.json):
        raise UsageError(
            "--checkpoint and --json go with --eval or --predict; to continue a run: --resume --expr_name NAME"
        )
    if uses and (flags.checkpoint is None or flags.resume):
        raise UsageError(f"{uses[0]} needs --checkpoint results/<experiment>/last.pt, and no --resume")
    if flags.overwrite and (flags.serve or (flags.eval and not flags.report)):
        raise UsageError("--overwrite replaces an experiment, or the output of --predict or --report")
    if flags.eval and flags.out and not flags.report:
        raise UsageError("--eval --out FOLDER is where --report goes: add --report")
    for name, where in (
        ("drop_modality", ("eval",)),
        ("csv", ("predict",)), ("srt", ("predict",)), ("embed", ("predict",)), ("out", ("predict", "eval")),
        ("report", ("eval",)), ("text", ("predict", "serve")), ("segment_seconds", ("predict", "serve")),
    ):  # fmt: skip
        if getattr(flags, name) and not any(getattr(flags, use) for use in where):
            raise UsageError(f"--{name} goes with {' or '.join(f'--{use}' for use in where)}")
    for name in ("json", "csv"):
        path = getattr(flags, name)
        if path and (path.is_dir() or not path.absolute().parent.is_dir()):
            raise UsageError(f"--{name} {path}: is a folder, or its folder is not there; give a file in one that is")
    if flags.csv and flags.csv == flags.json:
        raise UsageError(f"--csv and --json {flags.csv}: two files need two names")
    if flags.srt and (len(flags.predict) > 1 or flags.predict[0].is_dir()):
        raise UsageError("--srt belongs to one video; of several, each may have its .srt beside it")
    if flags.srt and flags.text:
        raise UsageError("--text recognises the speech of videos without subtitles: leave it out, or --srt")
    if (flags.predict or flags.serve) and "TORCHELASTIC_RUN_ID" in os.environ:
        raise UsageError(f"{uses[0]} runs in one process: start it with python, not with torchrun")


def to_stored(flags: argparse.Namespace) -> dict[str, Any]:
    """Flags as plain values for a JSON file or a checkpoint."""
    return {name: str(value) if isinstance(value, Path) else value for name, value in sorted(vars(flags).items())}


def from_stored(stored: dict[str, Any], resume: bool) -> dict[str, Any]:
    """Undo `to_stored`, without flags that are gone by now and those that only say what that command should do.

    Every value goes through the parser, as if it had been typed. Raises UsageError.
    """
    parser = build_parser({}, _StoredParser)
    known = vars(parser.parse_args([]))
    kept = {name: value for name, value in stored.items() if name in known and name not in COMMAND_FLAGS}
    given = {name: value for name, value in kept.items() if value is not None and value is not False}
    words = [f"--{name}" if value is True else f"--{name}={value}" for name, value in given.items()]
    values = vars(parser.parse_args(words))
    if not resume:
        threads, cache = values["n_threads"], values["sound_cache"]
        values |= {name: known[name] for name in _OWN_FLAGS}
        values["n_threads"] = min(threads, os.cpu_count() or 1)
        values["sound_cache"] = cache and Path("none")
    return {name: values[name] for name in kept}


def check_same_run(flags: argparse.Namespace, stored: dict[str, Any]) -> None:
    """A continued run keeps what decides its weights. Raises UsageError naming the flags that differ."""
    before, now = from_stored(stored, resume=True), vars(flags)
    changed = [
        f"--{name} {now[name]} (was {before[name]})"
        for name in before
        if before[name] != now[name] and name not in MACHINE_FLAGS
    ]
    if changed:
        raise UsageError(f"--resume continues the same run, but {', '.join(changed)}: leave out or start another")
