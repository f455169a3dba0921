"""Videos on disk -> VideoBatch (video_batch.py).

S equal blocks cover a video. Each gives one clip of T frames, the second of sound centred on that clip, and the words
of all subtitles that overlap the block. Training draws the clip's place in its block and augments; evaluation takes the
middle and is deterministic.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from torch.utils.data import Dataset

from datasets.annotations import Video
from datasets.audio import MEL_BINS, audio_file, cut_second
from datasets.benchmarks import Benchmark
from datasets.errors import DataError, bad_file
from datasets.frame_folders import frame_file, frame_folder
from datasets.frame_packs import pack_file
from datasets.frames import open_frames, read_frames
from datasets.lexicon import DEFAULT_LEXICON, AffectiveLexicon
from datasets.sampling import Key
from datasets.segments import blocks, clip_centres, clip_frames, course_distribution
from datasets.spectrograms import DEFAULT_LIMIT, Sound, SpectrogramCache
from datasets.transforms import FrameTransform, mask_spectrogram
from datasets.video_batch import VideoBatch, collate
from datasets.words import WordReader

__all__ = ["Layout", "VideoBatch", "VideoEmotionDataset", "collate"]


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
        faults = {video: fault for video in videos if (fault := missing_file(video, layout)) is not None}
        self.left_out = list(faults.values())
        if faults and not skip_bad:
            raise DataError(f"{len(faults)} of {len(videos)} videos cannot be read; the first: {self.left_out[0]}")
        self.videos = [video for video in videos if video not in faults]
        self.words = WordReader(
            self.videos, layout.srt_path, AffectiveLexicon(benchmark, lexicon), max_tokens, max_cues
        )

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

    def seconds(self, video: Video) -> float:
        """Duration of a video. Raises DataError for a corrupt file."""
        frames = open_frames(self.layout.video_path, video.label, video.id)
        return frames.n_frames / frames.fps if frames.fps else self._sound(video).seconds

    def _sound(self, video: Video) -> Sound:
        return self.sounds.open(audio_file(self.layout.audio_path, video.label, video.id))

    def _read(self, video: Video, rng: np.random.Generator | None) -> VideoBatch:
        frames = open_frames(self.layout.video_path, video.label, video.id)
        sound = self._sound(video)
        # Frames of unknown rate are taken to span the sound.
        fps = frames.fps or frames.n_frames / sound.seconds

        indices = clip_frames(frames.n_frames, self.n_segments, self.snippet_duration, rng)  # (S, T)
        distinct, place = np.unique(indices, return_inverse=True)
        pictures = read_frames(frames, distinct, self.transform, rng)  # (3, distinct, H, W)
        if len(distinct) < indices.size:
            pictures = pictures[:, place.ravel()]
        clips = torch.from_numpy(pictures).unflatten(1, indices.shape).transpose(0, 1)  # (S, 3, T, H, W)

        centres = clip_centres(indices, fps)
        fbank = torch.stack([cut_second(sound.spectrogram, centre, self.audio_frames) for centre in centres])
        if rng is not None:
            fbank = mask_spectrogram(fbank, rng, *self.masks)

        bounds = blocks(frames.n_frames / fps, self.n_segments)
        words = self.words.read(video, bounds)
        classes = self.benchmark.classes
        return VideoBatch(
            frames=clips[None],
            fbank=fbank[None],
            token_ids=words.token_ids[None].long(),
            token_mask=words.token_mask[None],
            cue_sentiment=words.cues.sentiment[None],
            cue_emotion=words.cues.emotion[None],
            cue_degree=words.cues.degree[None],
            cue_valid=words.cues.valid[None],
            cue_pieces=words.cues.pieces[None],
            labels=torch.tensor([classes.index(video.label)]),
            blocks=torch.from_numpy(bounds).float()[None],
            truth=torch.from_numpy(course_distribution(video.segments, bounds, classes))[None],
            keys=[(video.label, video.id)],
            cue_words=[words.cues.words],
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


def missing_file(video: Video, layout: Layout) -> str | None:
    """What of a video is not there or empty, without opening anything; None if nothing."""
    folder, pack = (place(layout.video_path, video.label, video.id) for place in (frame_folder, pack_file))
    frames = [pack] if pack.is_file() else [folder / "n_frames", frame_file(folder, 0)]
    for path in (*frames, audio_file(layout.audio_path, video.label, video.id)):
        try:
            if path.stat().st_size == 0:
                return str(bad_file(path, "is empty"))
        except OSError as error:
            return str(bad_file(path, error.strerror or str(error)))
    return None
