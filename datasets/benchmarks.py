"""The five benchmarks of the paper: classes in index order and the sentiment that each emotion implies."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

from datasets.errors import DataError


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


def benchmarks_with(labels: Sequence[str]) -> list[str]:
    """Keys of the benchmarks whose classes are these labels, in any case and order."""
    names = {label.casefold() for label in labels}
    return [each.key for each in BENCHMARKS.values() if {name.casefold() for name in each.classes} == names]


def benchmark_of_model(key: str, classes: Sequence[str], polarity: Sequence[int] | None) -> Benchmark:
    """The benchmark that a model was trained on: these classes, as they were spelt there, in the order of its scores.

    polarity: None of a model that does not keep it, which is known of the benchmarks above. Raises DataError otherwise.
    """
    known = BENCHMARKS.get(key, Benchmark(key, key, (), ()))
    if polarity is None and len(known.classes) != len(classes):
        raise DataError(
            f"the checkpoint does not say which of {', '.join(classes)} are positive: it was written by an older "
            "version; continue that run with --resume, which writes it again"
        )
    return replace(known, classes=tuple(classes), polarity=tuple(known.polarity if polarity is None else polarity))
