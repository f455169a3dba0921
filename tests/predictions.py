"""Predictions as a model might make them: courses that change slowly, words of every fate, any length."""

from __future__ import annotations

import numpy as np

from core.prediction import Prediction, Segment, Word
from core.verification import STAGES
from datasets.benchmarks import BENCHMARKS

VE8 = BENCHMARKS["ve8"]
_LINES = (
    "I was so happy to see you again",
    "What a terrible day, I am afraid",
    "",
    "He trusted us, and we wait for a wonderful morning",
    "Nothing here",
    "The furious crowd, the lovely sun & a <b>gift</b>",
)
_AFFECTIVE = {
    "happy": 4, "terrible": 3, "afraid": 3, "trusted": 7, "wonderful": 4, "furious": 0, "lovely": 4, "gift": 6,
}  # fmt: skip


def prediction(n_segments: int = 16, seconds: float = 1.5, seed: int = 0, **changes: object) -> Prediction:
    """One video of VideoEmotion-8's classes; `changes` replace fields."""
    rng = np.random.default_rng(seed)
    centres = rng.uniform(0, n_segments, 8)
    time = np.arange(n_segments)[:, None]
    widths = rng.uniform(0.08, 0.25, 8) * max(n_segments, 4)
    scores = 3 * np.exp(-(((time - centres) / widths) ** 2)) + rng.normal(0, 0.25, (n_segments, 8))
    mass = np.exp(scores) / np.exp(scores).sum()
    degree = mass.sum(axis=1)
    segments = tuple(
        Segment(
            start=i * seconds,
            end=(i + 1) * seconds,
            probabilities=tuple((mass[i] / degree[i]).tolist()),
            degree=float(degree[i]),
            text=_LINES[i % len(_LINES)],
            words=words(_LINES[i % len(_LINES)], i),
        )
        for i in range(n_segments)
    )
    values = {
        "file": "videos/evening by the sea.mp4",
        "duration": n_segments * seconds,
        "model": {"checkpoint": "results/demo/last.pt", "epoch": 16, "dataset": "VideoEmotion-8"},
        "classes": VE8.classes,
        "polarity": VE8.polarity,
        "segment_seconds": seconds,
        "probabilities": tuple(mass.sum(axis=0).tolist()),
        "segments": segments,
        "subtitles": "videos/evening by the sea.srt",
    }
    return Prediction(**(values | changes))


def words(line: str, shift: int) -> tuple[Word, ...]:
    """The affective words of a line, one stage of verification after the other."""
    found = []
    for text, emotion in _AFFECTIVE.items():
        if (at := line.find(text)) >= 0:
            passed = STAGES[(shift + len(found)) % len(STAGES)]
            distribution = tuple(0.65 if i == emotion else 0.05 for i in range(8))
            place = (at, at + len(text))
            found.append(Word(text, place, VE8.polarity[emotion], distribution, 0.7, passed, passed == "degree"))
    return tuple(found)
