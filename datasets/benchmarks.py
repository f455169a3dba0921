"""The five benchmarks of the paper: classes in index order and the sentiment that each emotion implies."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Benchmark:
    """Classes in index order; polarity of each, -1, 0 or +1."""

    key: str
    name: str
    classes: tuple[str, ...]
    polarity: tuple[int, ...]


BENCHMARKS: dict[str, Benchmark] = {
    benchmark.key: benchmark
    for benchmark in (
        Benchmark(
            "ve8",
            "VideoEmotion-8",
            ("Anger", "Anticipation", "Disgust", "Fear", "Joy", "Sadness", "Surprise", "Trust"),
            (-1, +1, -1, -1, +1, -1, +1, +1),
        ),
        Benchmark(
            "ek6",
            "Ekman-6",
            ("anger", "disgust", "fear", "joy", "sadness", "surprise"),
            (-1, -1, -1, +1, -1, +1),
        ),
        Benchmark("perr", "PERR", ("Neutral", "Mild", "Intimate", "Tense", "Hostile"), (0, +1, +1, -1, -1)),
        Benchmark("iemocap", "IEMOCAP", ("Anger", "Happy", "Neutral", "Sadness"), (-1, +1, 0, -1)),
        Benchmark(
            "affwild2",
            "Aff-Wild2",
            ("Neutral", "Anger", "Disgust", "Fear", "Happiness", "Sadness", "Surprise"),
            (0, -1, -1, -1, +1, -1, +1),
        ),
    )
}
