from __future__ import annotations

import csv

import numpy as np
import pytest

from datasets.affect_tags import NEGATIVE, PLUTCHIK, POSITIVE, TABLE, TAGS, tag_weights
from datasets.benchmarks import BENCHMARKS, Benchmark

ROWS = list(csv.DictReader(line for line in TABLE.read_text(encoding="utf-8").splitlines() if line[0] != "#"))
SIGNS = np.array([1] * len(POSITIVE) + [-1] * len(NEGATIVE))


def test_one_row_with_a_source_for_each_tag_and_benchmark() -> None:
    rows = sorted((row["tag"], row["benchmark"]) for row in ROWS)
    assert rows == sorted((tag, key) for tag in TAGS for key in BENCHMARKS)
    assert all(row["source"] in {"name", "pole", "dyad", "half", "excited", "relation", "none"} for row in ROWS)
    assert all((row["source"] == "none") == (not row["emotions"]) for row in ROWS)


@pytest.mark.parametrize("benchmark", BENCHMARKS.values(), ids=[*BENCHMARKS])
def test_tags_mean_classes_of_their_own_sentiment(benchmark: Benchmark) -> None:
    weights = tag_weights(benchmark)
    assert weights.shape == (len(TAGS), len(benchmark.classes))
    assert ((weights >= 0) & (weights <= 1)).all()
    assert (np.multiply.outer(SIGNS, benchmark.polarity)[weights > 0] == 1).all()
    reached = weights.any(axis=0)
    assert [name for name, is_reached in zip(benchmark.classes, reached, strict=True) if not is_reached] in (
        [], ["Neutral"],
    )  # fmt: skip


def test_plutchiks_emotions_are_the_classes_of_videoemotion_8() -> None:
    weights = tag_weights(BENCHMARKS["ve8"])[[TAGS.index(tag) for tag in PLUTCHIK]]
    np.testing.assert_array_equal(weights, np.eye(8))


def test_poles_of_the_hourglass() -> None:
    def meaning(key: str, tag: str) -> dict[str, float]:
        benchmark = BENCHMARKS[key]
        row = tag_weights(benchmark)[TAGS.index(tag)].tolist()
        return {name: weight for name, weight in zip(benchmark.classes, row, strict=True) if weight}

    assert meaning("ve8", "delight") == {"Trust": 1, "Joy": 0.5}
    assert meaning("ve8", "bliss") == {"Joy": 0.5, "Trust": 0.5}
    assert meaning("ek6", "terror") == {"fear": 1}
    assert meaning("ek6", "pleasantness") == {"joy": 0.5}
    assert meaning("affwild2", "calmness") == {}
    assert meaning("iemocap", "enthusiasm") == {"Happy": 0.5}
    assert meaning("perr", "loathing") == {"Hostile": 1}
