"""The speech of videos as subtitles srt/<label>/<id>.srt, one sentence a cue on the picture's clock; by faster-whisper.

    python tools/video2srt.py VIDEOS SRT --model small.en

VIDEOS may also be the folder MP3 of sound that tools/video2mp3.py or tools/prepare.py made.

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

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from datasets.containers import NoSoundTrack
from datasets.errors import DataError
from datasets.media import SoundTrack
from datasets.speech import WHISPER_RATE, load_model, model_folder, recognise
from datasets.subtitles import subtitle_file, write_subtitles
from datasets.video_names import VIDEO_SUFFIXES, is_video
from tools._batch import Source, command, conversion_parser, convert_all, find_videos, positive
from tools._workers import cores

TOOL = "video2srt"
SOUND_SUFFIX = ".mp3"


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
        sound = _read(source)
    except NoSoundTrack as error:
        note = str(error)
    else:
        cues = recognise(load_model(model, device, compute_type, threads), sound, language, vad)
    write_subtitles(target, cues)
    return "" if cues else note


def find_sources(folder: Path) -> list[Source]:
    """The videos <folder>/<label>/<id>.<extension>, or where there is none the sounds. Raises DataError for neither."""
    has_videos = any(is_video(path) for path in folder.glob("*/*"))
    return find_videos(folder, VIDEO_SUFFIXES if has_videos else (SOUND_SUFFIX,))


def _read(source: Path) -> np.ndarray:
    """The sound of a video on its picture's clock, or of an mp3, float32 (n,) at WHISPER_RATE. Raises DataError."""
    if source.suffix.lower() == SOUND_SUFFIX:
        from datasets.audio import read_sound  # brings torch, which videos do without

        return read_sound(source)
    return np.concatenate([block.mean(axis=1) for block in SoundTrack(source, (WHISPER_RATE,)).blocks()])


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
    videos = find_sources(args.videos)
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


if __name__ == "__main__":
    sys.exit(main())
