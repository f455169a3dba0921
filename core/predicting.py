"""A video through a model, a few segments at a time: its emotion, their distribution over time, its verified words."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import islice, pairwise
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import torch
from torch import Tensor
from tqdm import tqdm

from core.engine import StepSettings
from core.evaluation import temporal_emotion_distribution_of
from core.prediction import Prediction, Segment, Word
from core.report import one_line
from core.verification import STAGES, content_scores, last_stage
from models.mbt import MBT

AT_ONCE = 8  # segments on the device


class PredictionError(ValueError):
    """A model gave scores that are not numbers, or a video has nothing of what it takes."""


class Clip(Protocol):
    """One segment: T frames, F frames of spectrogram."""

    frames: Tensor  # uint8 (3, T, H, W)
    fbank: Tensor | None  # (F, 128)
    thumbnail: bytes


class Video(Protocol):
    """What is predicted: S segments that come one after another, and what is known of their words."""

    path: Path
    duration: float  # seconds
    segment_seconds: float
    blocks: np.ndarray  # (S, 2) seconds
    texts: list[str]  # of the S segments
    pieces: tuple[Tensor, Tensor]  # ids and mask (S, L) of the texts' word pieces
    cues: list[list[Any]]  # affective words in the texts: start, end and a cue of sentiment, emotion (C,) and degree
    subtitles: str | None
    sound: np.ndarray | None
    notes: Sequence[str]  # complete when all clips have come

    def clips(self) -> Iterator[Clip]:
        """The segments in order."""


@dataclass(frozen=True)
class Predictor:
    """A model, ready to be asked: `predictor(video)` gives its Prediction and a JPEG per segment.

    model: in evaluation mode, on the device of `settings`. description: of the model, for the Prediction.
    window: most segments that the video head has met pooled in evaluation. A longer video is pooled in consecutive
        windows of at most that many, as evenly long as can be, and its probabilities are the mean of theirs: the
        maximum over hundreds of segments would be features that no training has shown.
    verify, threshold: the last stage of verification, and of E3, as in the model's training.
    """

    model: MBT
    settings: StepSettings
    classes: tuple[str, ...]
    description: dict[str, str | int]
    window: int
    verify: str
    threshold: float

    @torch.inference_mode()
    def __call__(self, video: Video) -> tuple[Prediction, list[bytes]]:
        """Raises PredictionError, and what reading the video raises."""
        features, thumbnails = self._features(video)
        with self.settings.autocast():
            outputs = [
                self.model.classify({name: each[:, start:end] for name, each in features.items()})
                for start, end in windows(len(thumbnails), self.window)
            ]
        video_scores = torch.cat([output.video_scores for output in outputs]).double().cpu()
        segment_scores = torch.cat([output.segment_scores for output in outputs], dim=1).double().cpu()
        if not (video_scores.isfinite().all() and segment_scores.isfinite().all()):
            raise PredictionError("the model's scores are not numbers; try --precision fp32, or another checkpoint")
        probabilities = video_scores.softmax(dim=-1).mean(dim=0)
        degrees = temporal_emotion_distribution_of(segment_scores)[0].sum(dim=-1)
        emotions = segment_scores[0].softmax(dim=-1)  # the rows of that distribution, normalised
        words = self._words(video, content_scores(segment_scores, probabilities[None]))
        polarity = self.settings.polarity.tolist()
        segments = [
            Segment(start, end, tuple(emotions[s].tolist()), degrees[s].item(), video.texts[s], words[s])
            for s, (start, end) in enumerate(video.blocks.tolist())
        ]
        prediction = Prediction(
            file=str(video.path),
            duration=video.duration,
            model=self.description,
            classes=self.classes,
            polarity=tuple(polarity),
            segment_seconds=video.segment_seconds,
            probabilities=tuple(probabilities.tolist()),
            segments=tuple(segments),
            subtitles=video.subtitles,
            sound=video.sound is not None,
            notes=tuple(video.notes),
        )
        return prediction, thumbnails

    def _features(self, video: Video) -> tuple[dict[str, Tensor], list[bytes]]:
        """Features (1, S, D) of each stream that the video has, and the thumbnails."""
        streams = [
            name for name in self.model.streams
            if name == "visual" or (video.sound if name == "audio" else video.subtitles) is not None
        ]  # fmt: skip
        if not streams:
            wanted = " or ".join({"audio": "sound", "text": "subtitles"}[name] for name in self.model.streams)
            raise PredictionError(f"has no {wanted}, and the model knows nothing else")
        found: dict[str, list[Tensor]] = {name: [] for name in streams}
        pieces = iter(zip(*video.pieces, strict=True)) if "text" in streams else iter(())
        thumbnails: list[bytes] = []
        clips, device = video.clips(), self.settings.device
        name = one_line(video.path.name)
        with tqdm(total=len(video.blocks), desc=name, unit="segment", leave=False, dynamic_ncols=True) as bar:
            while batch := list(islice(clips, AT_ONCE)):
                given = {
                    "visual": lambda clips: (torch.stack([clip.frames for clip in clips]),),
                    "audio": lambda clips: (torch.stack([clip.fbank for clip in clips]),),
                    "text": lambda clips: tuple(map(torch.stack, zip(*islice(pieces, len(clips)), strict=True))),
                }
                media = {name: tuple(each.to(device) for each in given[name](batch)) for name in streams}
                with self.settings.autocast():
                    for name, features in self.model.encode(media).features.items():
                        found[name].append(features)
                thumbnails += [clip.thumbnail for clip in batch]
                bar.update(len(batch))
        return {name: torch.cat(each)[None] for name, each in found.items()}, thumbnails

    def _words(self, video: Video, scores: Tensor) -> list[tuple[Word, ...]]:
        """The words of every segment, verified against the temporal scores (1, S, C)."""
        shape = (1, len(video.cues), max(map(len, video.cues)))
        sentiment, degree, emotion = torch.zeros(shape), torch.zeros(shape), torch.zeros(*shape, len(self.classes))
        for s, cues in enumerate(video.cues):
            for k, found in enumerate(cues):
                sentiment[0, s, k], degree[0, s, k] = found.cue.sentiment, found.cue.degree
                emotion[0, s, k] = torch.from_numpy(np.array(found.cue.emotion))
        polarity = self.settings.polarity.cpu()
        stages = last_stage(scores, sentiment, emotion, degree, sentiment != 0, polarity, self.threshold)[0].tolist()
        needed = STAGES.index(self.verify)
        return [
            tuple(
                Word(
                    text=video.texts[s][found.start : found.end],
                    at=(found.start, found.end),
                    sentiment=found.cue.sentiment,
                    emotion=tuple(found.cue.emotion.tolist()),
                    degree=found.cue.degree,
                    passed=STAGES[stage],
                    verified=stage >= needed,
                )
                for found, stage in zip(cues, stages[s], strict=False)  # behind the cues there is padding
            )
            for s, cues in enumerate(video.cues)
        ]


def windows(n_segments: int, most: int) -> list[tuple[int, int]]:
    """First and last + 1 of consecutive windows of at most `most` segments, as few and as evenly long as can be."""
    count = -(-n_segments // most)
    edges = [number * n_segments // count for number in range(count + 1)]
    return list(pairwise(edges))
