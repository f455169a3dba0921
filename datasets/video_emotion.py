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
from torch import Tensor
from torch.utils.data import Dataset

from datasets.annotations import Video
from datasets.audio import FRAME_SHIFT, MEL_BINS, audio_file, cut_second
from datasets.benchmarks import Benchmark
from datasets.errors import DataError
from datasets.frames import Frames, open_frames, read_frames
from datasets.lexicon import DEFAULT_LEXICON, AffectiveLexicon
from datasets.readers import reading
from datasets.sampling import Key
from datasets.segments import blocks, clip_centres, clip_frames, course_distribution
from datasets.spectrograms import DEFAULT_LIMIT, Sound, SpectrogramCache
from datasets.transforms import FrameTransform, mask_spectrogram
from datasets.video_batch import MODALITIES, VideoBatch, collate
from datasets.video_files import Layout, needed
from datasets.words import WordReader

USUAL_FPS = 25  # of frames that come without a rate and without a sound

__all__ = ["Layout", "VideoBatch", "VideoEmotionDataset", "collate"]


@dataclass(frozen=True)
class _Opened:
    """What a sample is cut from."""

    frames: Frames | None
    sound: Sound | None
    seconds: float  # duration


class VideoEmotionDataset(Dataset[VideoBatch]):
    """Videos of one subset; every item is a VideoBatch of one video.

    videos: those to read; their labels are classes of `benchmark`.
    modalities: what is read. Words are, whichever these are, for their cues.
    n_segments, snippet_duration, sample_size: S, T and the side of the frames in pixels.
    audio_frames: F, spectrogram frames of 10 ms per segment.
    max_tokens: L, with [CLS] and [SEP].
    training: random clips, crops and augmentation, drawn from (seed, epoch, index) alone.
    min_crop_scale, freq_mask, time_mask: smallest crop, share of the short side; widest masks of the sound, bins and
        frames. 19 of 100 frames are the share of AST's recipe for short sounds, 96 of 512.
    incomplete: a video that lacks some of the modalities is read with the others; without, all but text are needed.
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
        modalities: Sequence[str] = MODALITIES,
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
        incomplete: bool = False,
        skip_bad: bool = False,
        sound_cache: Path | None = None,
        sound_cache_limit: int = DEFAULT_LIMIT,
    ) -> None:
        self.benchmark = benchmark
        self.layout = layout
        self.modalities = tuple(modalities)
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
        self.given: dict[Video, tuple[str, ...]] = {}
        faults: dict[Video, str] = {}
        for video in videos:
            with reading(f"{video.label}/{video.id}"):
                given = tuple(name for name in self.modalities if layout.has(video, name))
                fault = layout.fault(video, (incomplete and given) or needed(self.modalities))
            self.given[video] = given
            if fault is not None:
                faults[video] = fault
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
        video = self.videos[index]
        with reading(f"{video.label}/{video.id}"):
            try:
                return self._read(video, rng)
            except DataError as error:
                if not self.skip_bad:
                    raise
                return self._nothing([str(error)])

    def seconds(self, video: Video) -> float:
        """Duration of a video: that of its picture, else of its sound, else of its subtitles. Raises DataError."""
        with reading(f"{video.label}/{video.id}"):
            return self._open(video).seconds

    def _open(self, video: Video) -> _Opened:
        given = self.given[video]
        frames = open_frames(self.layout.video_path, video.label, video.id) if "visual" in given else None
        sound = None
        timed_by_sound = frames is not None and frames.fps is None and self.layout.has(video, "audio")
        if "audio" in given or timed_by_sound:
            sound = self.sounds.open(audio_file(self.layout.audio_path, video.label, video.id))
        if timed_by_sound:  # frames of unknown rate are taken to span the sound
            seconds = sound.seconds
        elif frames is not None:
            seconds = frames.n_frames / (frames.fps or USUAL_FPS)
        else:
            seconds = self.words.end(video) if sound is None else sound.seconds
        return _Opened(frames, sound, seconds)

    def _read(self, video: Video, rng: np.random.Generator | None) -> VideoBatch:
        given, opened = self.given[video], self._open(video)
        clips, centres = self._no_clips(), None
        if opened.frames is not None:
            clips, centres = self._read_picture(opened.frames, opened.seconds, rng)
        fbank = self._no_fbank()
        if "audio" in given:
            fbank = self._read_sound(opened.sound.spectrogram, centres, rng)
        bounds = blocks(opened.seconds, self.n_segments)
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
            given=torch.tensor([[name in given for name in MODALITIES]]),
            labels=torch.tensor([classes.index(video.label)]),
            blocks=torch.from_numpy(bounds).float()[None],
            truth=torch.from_numpy(course_distribution(video.segments, bounds, classes))[None],
            keys=[(video.label, video.id)],
            cue_words=[words.cues.words],
            courses=[video.segments],
            skipped=[],
        )

    def _read_picture(
        self, frames: Frames, seconds: float, rng: np.random.Generator | None
    ) -> tuple[Tensor, np.ndarray]:
        """Clips uint8 (S, 3, T, H, W) of a picture that takes `seconds`, and the instants of their middles (S,)."""
        indices = clip_frames(frames.n_frames, self.n_segments, self.snippet_duration, rng)  # (S, T)
        distinct, place = np.unique(indices, return_inverse=True)
        pictures = read_frames(frames, distinct, self.transform, rng)  # (3, distinct, H, W)
        if len(distinct) < indices.size:
            pictures = pictures[:, place.ravel()]
        clips = torch.from_numpy(pictures).unflatten(1, indices.shape).transpose(0, 1)
        return clips, clip_centres(indices, frames.n_frames / seconds)

    def _read_sound(self, rows: np.ndarray, centres: np.ndarray | None, rng: np.random.Generator | None) -> Tensor:
        """Spectrograms (S, F, 128) around these instants; without a picture as if it had a frame for each of `rows`."""
        if centres is None:
            centres = clip_centres(clip_frames(len(rows), self.n_segments, self.audio_frames, rng), 1 / FRAME_SHIFT)
        fbank = torch.stack([cut_second(rows, centre, self.audio_frames) for centre in centres])
        return fbank if rng is None else mask_spectrogram(fbank, rng, *self.masks)

    def _no_clips(self) -> Tensor:
        """What stands for the clips of a video without a picture: of no length if none has been asked for."""
        size, length = self.transform.size, self.snippet_duration if "visual" in self.modalities else 0
        return torch.zeros((self.n_segments, 3, length, size, size), dtype=torch.uint8)

    def _no_fbank(self) -> Tensor:
        """What stands for the spectrograms of a video without a sound: of no length if none has been asked for."""
        return torch.zeros(self.n_segments, self.audio_frames if "audio" in self.modalities else 0, MEL_BINS)

    def _nothing(self, skipped: list[str]) -> VideoBatch:
        segments = self.n_segments
        return VideoBatch(
            frames=self._no_clips()[None][:0],
            fbank=self._no_fbank()[None][:0],
            token_ids=torch.empty((0, segments, self.max_tokens), dtype=torch.int64),
            token_mask=torch.empty((0, segments, self.max_tokens), dtype=torch.bool),
            cue_sentiment=torch.empty((0, segments, self.max_cues), dtype=torch.int8),
            cue_emotion=torch.empty((0, segments, self.max_cues, len(self.benchmark.classes))),
            cue_degree=torch.empty((0, segments, self.max_cues)),
            cue_valid=torch.empty((0, segments, self.max_cues), dtype=torch.bool),
            cue_pieces=torch.empty((0, segments, self.max_cues, self.max_tokens), dtype=torch.bool),
            given=torch.empty((0, len(MODALITIES)), dtype=torch.bool),
            labels=torch.empty(0, dtype=torch.int64),
            blocks=torch.empty((0, segments, 2)),
            truth=torch.empty((0, segments, len(self.benchmark.classes))),
            keys=[],
            cue_words=[],
            courses=[],
            skipped=skipped,
        )
