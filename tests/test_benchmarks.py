from __future__ import annotations

import pytest

from datasets.benchmarks import BENCHMARKS


def test_the_five_benchmarks_have_the_papers_classes() -> None:
    sizes = {key: len(benchmark.classes) for key, benchmark in BENCHMARKS.items()}
    assert sizes == {"ve8": 8, "ek6": 6, "perr": 5, "iemocap": 4, "affwild2": 7}
    assert BENCHMARKS["ve8"].classes[5] == "Sadness"
    assert BENCHMARKS["ek6"].classes == ("anger", "disgust", "fear", "joy", "sadness", "surprise")


@pytest.mark.parametrize(
    ("key", "positive", "neutral"),
    [
        ("ve8", {"Anticipation", "Joy", "Surprise", "Trust"}, set()),
        ("ek6", {"joy", "surprise"}, set()),
        ("perr", {"Mild", "Intimate"}, {"Neutral"}),
        ("iemocap", {"Happy"}, {"Neutral"}),
        ("affwild2", {"Happiness", "Surprise"}, {"Neutral"}),
    ],
)
def test_polarity_of_every_class(key: str, positive: set[str], neutral: set[str]) -> None:
    benchmark = BENCHMARKS[key]
    expected = {name: 1 if name in positive else 0 if name in neutral else -1 for name in benchmark.classes}
    assert dict(zip(benchmark.classes, benchmark.polarity, strict=True)) == expected
