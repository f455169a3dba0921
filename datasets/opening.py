"""From the flags to the videos of both splits and to their reader, and to that of video files."""

from __future__ import annotations

import argparse
import logging
from collections.abc import Callable
from functools import cache, partial
from pathlib import Path

import numpy as np
from torch.utils.data import DataLoader

from datasets.annotations import SUBSETS, Video, benchmark_of, read_annotation
from datasets.benchmarks import Benchmark
from datasets.cache import sound_cache
from datasets.errors import DataError, without_remedy
from datasets.lexicon import AffectiveLexicon
from datasets.loading import draw_per_class, make_loader
from datasets.subtitles import Subtitle, read_subtitles
from datasets.video_batch import MODALITIES
from datasets.video_emotion import Layout, VideoEmotionDataset
from datasets.video_file import VideoFile

log = logging.getLogger(__name__)

PLACES = {"visual": "frames", "audio": "sound", "text": "subtitles"}  # what a modality is called


def annotation_file(flags: argparse.Namespace) -> Path:
    """Where the flags say that the annotation lies. Raises DataError."""
    if flags.root_path is None:
        raise DataError("--root_path: say which folder holds imgs/, mp3/, srt/ and the annotation file")
    return flags.root_path / (flags.annotation_path or f"{flags.root_path.absolute().name}.json")


def read_splits(flags: argparse.Namespace) -> tuple[Benchmark, list[Video], list[Video]]:
    """Benchmark, training videos and test videos of the annotation file's split --split. Raises DataError."""
    path = annotation_file(flags)
    annotation = read_annotation(path)
    if flags.split > annotation.n_splits:
        raise DataError(f"{path}: there is no --split {flags.split}, its splits are 1 to {annotation.n_splits}")
    training, test = (list(annotation.subset(name, flags.split)) for name in SUBSETS)
    if flags.train_per_class:
        training = draw_per_class(training, flags.train_per_class, flags.seed)
    if flags.debug:
        training, test = (
            videos[:: max(1, len(videos) // (2 * flags.batch_size))][: 2 * flags.batch_size]
            for videos in (training, test)
        )
    try:
        return benchmark_of(annotation, flags.dataset), training, test
    except DataError as error:
        raise DataError(f"{path}: {error}") from None


def open_loader(
    flags: argparse.Namespace,
    benchmark: Benchmark,
    videos: list[Video],
    split: str,
    training: bool = False,
    share: tuple[int, int] = (0, 1),
) -> DataLoader:
    """Reader of one split: augmented and shuffled in training, deterministic otherwise.

    share: number of this process and of all that read the split together, each its own part.

    Raises DataError where there is nothing to read.
    """
    if not videos and split == "held-out":
        raise DataError(f"--val_fraction {flags.val_fraction} holds out not one video: choose a larger one")
    if not videos:
        raise DataError(f"the {split} split of {flags.root_path} holds no videos; see tools/make_annotations.py")
    layout = Layout(*(flags.root_path / path for path in (flags.video_path, flags.audio_path, flags.srt_path)))
    dataset = new_dataset(flags, benchmark, videos, layout, training=training)
    for line in dataset.left_out:
        log.warning("left out: %s", line)
    for name in dataset.modalities:
        lacking = sum(name not in dataset.given[video] for video in dataset.videos)
        if len(dataset) and lacking == len(dataset):
            raise DataError(
                f"{flags.root_path}: no video of the {split} split has {PLACES[name]}; "
                f"{f'choose --modalities without {name[0]}' if training else f'--drop_modality {name[0]} does without'}"
            )
        if lacking and name != "text":  # of which the reader of words tells
            log.warning("%d of %d videos have no %s and are scored without", lacking, len(dataset), PLACES[name])
    if not len(dataset):
        raise DataError(f"{flags.root_path}: no video of the {split} split can be read; see tools/check_dataset.py")
    return make_loader(
        dataset,
        batch_size=flags.batch_size,
        n_threads=flags.n_threads,
        shuffle=training,
        seed=flags.seed,
        share=share,
        read_timeout=flags.read_timeout,
    )


def new_dataset(
    flags: argparse.Namespace, benchmark: Benchmark, videos: list[Video], layout: Layout, *, training: bool
) -> VideoEmotionDataset:
    """These videos, read as the flags say. Raises DataError, unless --skip_bad, where one has no files."""
    return VideoEmotionDataset(
        videos,
        benchmark,
        layout,
        modalities=[name for name in MODALITIES if name[0] in set(flags.modalities) - set(flags.drop_modality or "")],
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
        incomplete=not training,
        skip_bad=flags.skip_bad,
        sound_cache=sound_cache(flags.sound_cache),
        sound_cache_limit=int(flags.sound_cache_gb * 2**30),
    )


def video_opener(
    flags: argparse.Namespace, benchmark: Benchmark, segment_seconds: float
) -> Callable[[Path, Path | None], VideoFile]:
    """Opens a video file, sampled as the flags say, with words: of the given file, else of the .srt beside it, else of
    --text.

    Raises DataError where the model of --text cannot be had. What it gives raises DataError for a file that is no
    video, or for given subtitles that cannot be read.
    """
    lexicon = cache(lambda: AffectiveLexicon(benchmark, flags.lexicon))  # which only words need
    listen = _listener(flags.speech_model) if flags.text else None

    def open_video(path: Path, srt: Path | None) -> VideoFile:
        video = VideoFile(
            path,
            segment_seconds=segment_seconds,
            snippet_duration=flags.snippet_duration,
            sample_size=flags.sample_size,
            audio_frames=flags.audio_frames,
            max_tokens=flags.max_tokens,
        )
        beside = path.with_suffix(".srt")
        if srt is not None:
            try:
                subtitles = read_subtitles(srt)
            except DataError as error:
                raise DataError(f"--srt {without_remedy(error)}") from None
            video.add_subtitles(str(srt), subtitles, lexicon())
        elif beside.is_file():
            try:
                subtitles = read_subtitles(beside)
            except DataError as error:
                video.add_note(f"Its subtitles were left out ({error}).")
            else:
                video.add_subtitles(str(beside), subtitles, lexicon())
        elif listen is not None and video.sound is not None:
            video.add_subtitles("speech recognition", listen(video.sound), lexicon())
        return video

    return open_video


def _listener(model: str) -> Callable[[np.ndarray], list[Subtitle]]:
    from datasets import speech  # takes seconds

    return partial(speech.recognise, speech.load_model(speech.model_folder(model, "--speech_model")))
