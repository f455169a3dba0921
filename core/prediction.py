"""What a model finds in one video: the type that files, pages and pictures are made of, and its JSON and CSV forms."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

SENTIMENTS = {-1: "negative", 0: "neutral", +1: "positive"}
SCHEMA_VERSION = 1  # of the JSON file; docs/prediction.md describes it, and every change of a key's meaning raises it


def strongest(distribution: Sequence[float]) -> int:
    """Index of the most probable emotion."""
    return max(range(len(distribution)), key=distribution.__getitem__)


@dataclass(frozen=True)
class Word:
    """An affective word of a segment, and whether the video agrees with it."""

    text: str  # as it stands in the segment's text
    at: tuple[int, int]  # its first character in the segment's text, and the one behind it
    sentiment: int  # -1 or +1
    emotion: tuple[float, ...]  # (C,) distribution over the classes
    degree: float  # 0..1
    passed: str  # the last stage of verification it passed: none, sentiment, emotion or degree
    verified: bool  # it passed the stage that the model was trained with


@dataclass(frozen=True)
class Segment:
    """A stretch of time and what the model says of it."""

    start: float  # seconds
    end: float
    probabilities: tuple[float, ...]  # (C,) of the emotions within the segment, sums to 1
    degree: float  # the segment's share of the video's emotion over time; all segments' sum to 1
    text: str = ""  # of the subtitles that are shown in it
    words: tuple[Word, ...] = ()

    def emotion(self, classes: tuple[str, ...]) -> str:
        """The most probable of the classes."""
        return classes[strongest(self.probabilities)]


@dataclass(frozen=True)
class Prediction:
    """One video.

    `probabilities` are those of the whole video, `segments` its temporal emotion distribution: probability of an
    emotion within a segment times the segment's degree, which sums to 1 over all entries.
    """

    file: str  # as it was given
    duration: float  # seconds
    model: dict[str, str | int]  # checkpoint (file), epoch, dataset
    classes: tuple[str, ...]
    polarity: tuple[int, ...]  # (C,) -1, 0 or +1
    segment_seconds: float
    probabilities: tuple[float, ...]  # (C,)
    segments: tuple[Segment, ...]
    subtitles: str | None = None  # where the text comes from: a file, "speech recognition", or None without text
    sound: bool = True  # False: scored by the visual head alone
    notes: tuple[str, ...] = field(default=())  # what a reader has to know, one sentence each

    @property
    def emotion(self) -> str:
        """The most probable class."""
        return self.classes[strongest(self.probabilities)]

    @property
    def sentiment(self) -> int:
        """The polarity of the most probable class."""
        return self.polarity[self.classes.index(self.emotion)]
