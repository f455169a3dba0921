"""The speech of videos as subtitles srt/<label>/<id>.srt, one sentence a cue on the picture's clock; by faster-whisper.

    python tools/video2srt.py VIDEOS SRT --model small.en

`--model` is a name (tiny.en, small, large-v3, ..., fetched once from the Hugging Face hub) or a folder with a
CTranslate2 model. A video without speech or without sound gets an empty file, which says that it has been listened to.
"""

from __future__ import annotations

import argparse
import functools
import sys
from collections.abc import Sequence
from pathlib import Path

import ctranslate2
import numpy as np
import pysrt

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from datasets.containers import NoSoundTrack
from datasets.errors import DataError
from datasets.media import SoundTrack
from datasets.speech import WHISPER_RATE, load_model, model_folder, recognise
from datasets.subtitles import subtitle_file
from tools._batch import command, conversion_parser, convert_all, find_videos, positive
from tools._workers import cores

TOOL = "video2srt"


def transcribe(
    source: Path,
    target: Path,
    *,
    model: Path,
    language: str | None,
    vad: bool,
    device: str,
    compute_type: str,
    threads: int,
) -> str:
    """Writes the subtitles of the video `source` to `target`; returns a note when there is no speech."""
    cues, note = [], "no speech"
    try:
        sound = np.concatenate([block.mean(axis=1) for block in SoundTrack(source, (WHISPER_RATE,)).blocks()])
    except NoSoundTrack as error:
        note = str(error)
    else:
        cues = recognise(load_model(model, device, compute_type, threads), sound, language, vad)
    items = [pysrt.SubRipItem(number, _time(cue.start), _time(cue.end), cue.text) for number, cue in enumerate(cues, 1)]
    pysrt.SubRipFile(items).save(str(target), encoding="utf-8")
    return "" if cues else note


def main(argv: Sequence[str] | None = None) -> int:
    """Runs the command; returns its exit status."""
    description = "Turn the speech of videos into subtitles with faster-whisper."
    parser = conversion_parser(TOOL, description, "srt", jobs="one per four cores; one with --device cuda")
    parser.add_argument("--model", default="tiny.en", help="name on the hub, or folder (default: tiny.en)")
    parser.add_argument("--language", default="en", help="en, de, ... or `auto` to find it out (default: en)")
    parser.add_argument(
        "--vad", action=argparse.BooleanOptionalAction, default=True, help="skip what holds no voice (default: yes)"
    )
    parser.add_argument("--device", choices=("cpu", "cuda"), default="cpu", help="cuda needs cuBLAS 12 and cuDNN 9")
    parser.add_argument("--compute_type", default="auto", help="int8, float16, ... (default: auto, the fastest)")
    parser.add_argument("--threads", type=positive, help="per worker process (default: the cores, shared evenly)")
    args = parser.parse_args(argv)
    return command(TOOL, lambda: _transcribe_all(args))


def _transcribe_all(args: argparse.Namespace) -> int:
    videos = find_videos(args.videos)
    if args.device == "cuda" and ctranslate2.get_cuda_device_count() == 0:
        raise DataError("--device cuda: there is no CUDA device; use --device cpu")
    known = ctranslate2.get_supported_compute_types(args.device)
    if args.compute_type not in ("auto", *known):
        raise DataError(f"--compute_type {args.compute_type}: {args.device} has {', '.join(sorted(known))}")
    # A model may take gigabytes, so there is not one for every core; on a GPU one keeps it busy.
    jobs = args.jobs or (1 if args.device == "cuda" else max(1, cores() // 4))
    transcription = functools.partial(
        transcribe,
        model=model_folder(args.model),
        language=None if args.language == "auto" else args.language,
        vad=args.vad,
        device=args.device,
        compute_type=args.compute_type,
        threads=args.threads or max(1, cores() // min(jobs, len(videos))),
    )
    return convert_all(
        TOOL,
        videos,
        args.output,
        lambda video: subtitle_file(args.output, video.label, video.id),
        transcription,
        is_done=Path.is_file,
        jobs=jobs,
        overwrite=args.overwrite,
        noted="without speech",
    )


def _time(seconds: float) -> pysrt.SubRipTime:
    return pysrt.SubRipTime.from_ordinal(round(seconds * 1000))


if __name__ == "__main__":
    sys.exit(main())
