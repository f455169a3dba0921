"""Videos on disk -> VideoBatch, the only type that the rest of the project sees.

S equal blocks cover a video. Each gives one clip of T frames, the second of sound centred on that clip, and the words
of all subtitles that overlap the block. Training draws the clip's place in its block and augments; evaluation takes the
middle and is deterministic.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from dataclasses import dataclass, fields, replace
from pathlib import Path

import numpy as np
import torch
from torch import Tensor
from torch.utils.data import Dataset

from datasets.annotations import AnnotatedSegment, Video
from datasets.audio import MEL_BINS, audio_file, cut_second
from datasets.benchmarks import Benchmark
from datasets.cues import find_cues
from datasets.errors import DataError, bad_file
from datasets.frames import frame_file, frame_folder, read_clip, read_fps, read_n_frames
from datasets.lexicon import DEFAULT_LEXICON, AffectiveLexicon
from datasets.sampling import Key
from datasets.segments import blocks, clip_centres, clip_frames, course_distribution
from datasets.spectrograms import DEFAULT_LIMIT, SpectrogramCache
from datasets.subtitles import read_subtitles, subtitle_file, text_between
from datasets.tokens import encode_texts
from datasets.transforms import FrameTransform, mask_spectrogram

log = logging.getLogger(__name__)


@dataclass
class VideoBatch:
    """B videos of S segments: T frames, F frames of spectrogram, L word pieces per segment; C emotions."""

    frames: Tensor  # uint8 (B, S, 3, T, H, W) RGB
    fbank: Tensor  # float32 (B, S, F, 128) log-mel, not normalised
    token_ids: Tensor  # int64 (B, S, L) word pieces of the block's subtitles: [CLS] ... [SEP] [PAD] ...
    token_mask: Tensor  # bool (B, S, L), True = not padding
    cue_sentiment: Tensor  # int8 (B, S, K) of the affective words, -1 or +1; 0 for padding
    cue_emotion: Tensor  # float32 (B, S, K, C)
    cue_degree: Tensor  # float32 (B, S, K)
    cue_valid: Tensor  # bool (B, S, K), True = not padding
    cue_pieces: Tensor  # bool (B, S, K, L), the word pieces of a cue
    labels: Tensor  # int64 (B,)
    blocks: Tensor  # float32 (B, S, 2) start and end in seconds
    truth: Tensor  # float32 (B, S, C) annotated distribution, sums to 1; zeros without annotated segments
    keys: list[tuple[str, str]]  # (label, id)
    cue_words: list[list[list[str]]]  # of each video and segment, as they stand in the subtitles
    courses: list[tuple[AnnotatedSegment, ...]]
    skipped: list[str]  # one line per video that could not be read

    def __len__(self) -> int:
        return len(self.labels)

    def to(self, device: torch.device | str, non_blocking: bool = True) -> VideoBatch:
        """The batch with its tensors on `device`."""
        return self._map(lambda tensor: tensor.to(device, non_blocking=non_blocking))

    def pin_memory(self) -> VideoBatch:
        """The batch with its tensors in page-locked memory."""
        return self._map(Tensor.pin_memory)

    def _map(self, change: Callable[[Tensor], Tensor]) -> VideoBatch:
        values = {field.name: getattr(self, field.name) for field in fields(self)}
        return replace(self, **{name: change(value) for name, value in values.items() if isinstance(value, Tensor)})


def collate(samples: Sequence[VideoBatch]) -> VideoBatch:
    """One batch of several; those of no video add only their line to `skipped`."""

    def joined(name: str) -> Tensor | list:
        values = [getattr(sample, name) for sample in samples]
        return torch.cat(values) if isinstance(values[0], Tensor) else [item for value in values for item in value]

    return VideoBatch(**{field.name: joined(field.name) for field in fields(VideoBatch)})


@dataclass(frozen=True)
class Layout:
    """The folders of frames, sound and subtitles, each with one folder per class."""

    video_path: Path
    audio_path: Path
    srt_path: Path


class VideoEmotionDataset(Dataset[VideoBatch]):
    """Videos of one subset; every item is a VideoBatch of one video.

    videos: those to read; their labels are classes of `benchmark`.
    n_segments, snippet_duration, sample_size: S, T and the side of the frames in pixels.
    audio_frames: F, spectrogram frames of 10 ms per segment.
    max_tokens: L, with [CLS] and [SEP].
    training: random clips, crops and augmentation, drawn from (seed, epoch, index) alone.
    min_crop_scale, freq_mask, time_mask: smallest crop, share of the short side; widest masks of the sound, bins and
        frames. 19 of 100 frames are the share of AST's recipe for short sounds, 96 of 512.
    skip_bad: leave out videos that cannot be read, listed in `left_out` and in `VideoBatch.skipped`.
    lexicon, max_cues: where affective words come from, and K, how many of a segment are kept.
    sound_cache, sound_cache_limit: folder where spectrograms are kept, None for nowhere, and bytes that they may take.

    Raises DataError, unless skip_bad, naming the first file that is missing or empty and how many videos lack one.
    """

    def __init__(
        self,
        videos: Sequence[Video],
        benchmark: Benchmark,
        layout: Layout,
        *,
        n_segments: int,
        snippet_duration: int,
        sample_size: int,
        audio_frames: int = 100,
        max_tokens: int = 32,
        max_cues: int = 8,
        lexicon: str | Path = DEFAULT_LEXICON,
        training: bool,
        seed: int = 0,
        min_crop_scale: float = 0.5,
        freq_mask: int = 24,
        time_mask: int = 19,
        skip_bad: bool = False,
        sound_cache: Path | None = None,
        sound_cache_limit: int = DEFAULT_LIMIT,
    ) -> None:
        self.benchmark = benchmark
        self.layout = layout
        self.n_segments = n_segments
        self.snippet_duration = snippet_duration
        self.audio_frames = audio_frames
        self.max_tokens, self.max_cues = max_tokens, max_cues
        self.training = training
        self.seed = seed
        self.masks = freq_mask, time_mask
        self.skip_bad = skip_bad
        self.transform = FrameTransform(sample_size, min_crop_scale)
        self.sounds = SpectrogramCache(sound_cache, sound_cache_limit)
        self.lexicon = AffectiveLexicon(benchmark, lexicon)
        encode_texts([""], max_tokens)  # loads the vocabulary once, before the workers are forked
        faults = {video: fault for video in videos if (fault := _missing(video, layout)) is not None}
        self.left_out = list(faults.values())
        if faults and not skip_bad:
            raise DataError(f"{len(faults)} of {len(videos)} videos cannot be read; the first: {self.left_out[0]}")
        self.videos = [video for video in videos if video not in faults]
        self._wordless = {v for v in self.videos if not subtitle_file(layout.srt_path, v.label, v.id).is_file()}
        if self._wordless:
            count = len(self._wordless), len(self.videos), layout.srt_path
            log.warning("%d of %d videos have no subtitle file in %s and are read as without words", *count)

    def __len__(self) -> int:
        return len(self.videos)

    def __getitem__(self, key: int | Key) -> VideoBatch:
        """The video `index` as `epoch` shows it; key is (epoch, index), or an index for epoch 0. No video for None.

        Raises DataError for a corrupt file, or with `skip_bad` gives a batch of no video that says so.
        """
        epoch, index = key if isinstance(key, tuple) else (0, key)
        if index is None:
            return self._nothing([])
        rng = np.random.default_rng((self.seed, epoch, index)) if self.training else None
        try:
            return self._read(self.videos[index], rng)
        except DataError as error:
            if not self.skip_bad:
                raise
            return self._nothing([str(error)])

    def _read(self, video: Video, rng: np.random.Generator | None) -> VideoBatch:
        folder = frame_folder(self.layout.video_path, video.label, video.id)
        n_frames = read_n_frames(folder)
        sound = self.sounds.open(audio_file(self.layout.audio_path, video.label, video.id))
        # Frames of unknown rate are taken to span the sound.
        fps = read_fps(folder) or n_frames / sound.seconds

        indices = clip_frames(n_frames, self.n_segments, self.snippet_duration, rng)  # (S, T)
        distinct, place = np.unique(indices, return_inverse=True)
        frames = self.transform(read_clip(folder, distinct), rng)  # (3, distinct, H, W)
        clips = torch.from_numpy(frames[:, place.reshape(indices.shape)]).transpose(0, 1)  # (S, 3, T, H, W)

        centres = clip_centres(indices, fps)
        fbank = torch.stack([cut_second(sound.spectrogram, centre, self.audio_frames) for centre in centres])
        if rng is not None:
            fbank = mask_spectrogram(fbank, rng, *self.masks)

        bounds = blocks(n_frames / fps, self.n_segments)
        subtitles = []
        if video not in self._wordless:
            subtitles = read_subtitles(subtitle_file(self.layout.srt_path, video.label, video.id))
        texts = [text_between(subtitles, start, end) for start, end in bounds]
        token_ids, token_mask, places = encode_texts(texts, self.max_tokens)
        cues = find_cues(texts, places, self.lexicon, self.max_cues)

        classes = self.benchmark.classes
        return VideoBatch(
            frames=clips[None],
            fbank=fbank[None],
            token_ids=token_ids[None],
            token_mask=token_mask[None],
            cue_sentiment=cues.sentiment[None],
            cue_emotion=cues.emotion[None],
            cue_degree=cues.degree[None],
            cue_valid=cues.valid[None],
            cue_pieces=cues.pieces[None],
            labels=torch.tensor([classes.index(video.label)]),
            blocks=torch.from_numpy(bounds).float()[None],
            truth=torch.from_numpy(course_distribution(video.segments, bounds, classes))[None],
            keys=[(video.label, video.id)],
            cue_words=[cues.words],
            courses=[video.segments],
            skipped=[],
        )

    def _nothing(self, skipped: list[str]) -> VideoBatch:
        segments, size = self.n_segments, self.transform.size
        return VideoBatch(
            frames=torch.empty((0, segments, 3, self.snippet_duration, size, size), dtype=torch.uint8),
            fbank=torch.empty((0, segments, self.audio_frames, MEL_BINS)),
            token_ids=torch.empty((0, segments, self.max_tokens), dtype=torch.int64),
            token_mask=torch.empty((0, segments, self.max_tokens), dtype=torch.bool),
            cue_sentiment=torch.empty((0, segments, self.max_cues), dtype=torch.int8),
            cue_emotion=torch.empty((0, segments, self.max_cues, len(self.benchmark.classes))),
            cue_degree=torch.empty((0, segments, self.max_cues)),
            cue_valid=torch.empty((0, segments, self.max_cues), dtype=torch.bool),
            cue_pieces=torch.empty((0, segments, self.max_cues, self.max_tokens), dtype=torch.bool),
            labels=torch.empty(0, dtype=torch.int64),
            blocks=torch.empty((0, segments, 2)),
            truth=torch.empty((0, segments, len(self.benchmark.classes))),
            keys=[],
            cue_words=[],
            courses=[],
            skipped=skipped,
        )


def _missing(video: Video, layout: Layout) -> str | None:
    """What of a video is not there or empty, without opening anything; None if nothing."""
    folder = frame_folder(layout.video_path, video.label, video.id)
    for path in (folder / "n_frames", frame_file(folder, 0), audio_file(layout.audio_path, video.label, video.id)):
        try:
            if path.stat().st_size == 0:
                return str(bad_file(path, "is empty"))
        except OSError as error:
            return str(bad_file(path, error.strerror or str(error)))
    return None
