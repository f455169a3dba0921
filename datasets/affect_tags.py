"""What the lexicons' emotion tags mean for a benchmark; the table itself, with its sources, is affect_tags.csv."""

from __future__ import annotations

import csv
from functools import lru_cache
from pathlib import Path

import numpy as np

from datasets.benchmarks import BENCHMARKS, Benchmark

TABLE = Path(__file__).with_name("affect_tags.csv")
PLUTCHIK = ("anger", "anticipation", "disgust", "fear", "joy", "sadness", "surprise", "trust")
# The tags by sentiment. Anticipation and surprise have none of their own; the benchmarks count them as positive.
POSITIVE = (
    "anticipation", "surprise", "trust", "contentment", "joy", "ecstasy", "acceptance", "pleasantness", "delight",
    "responsiveness", "eagerness", "enthusiasm", "serenity", "calmness", "bliss",
)  # fmt: skip
NEGATIVE = (
    "melancholy", "sadness", "grief", "annoyance", "anger", "rage", "dislike", "disgust", "loathing", "anxiety", "fear",
    "terror",
)  # fmt: skip
TAGS = POSITIVE + NEGATIVE


def tag_weights(benchmark: Benchmark) -> np.ndarray:
    """float32 (len(TAGS), C): how much of each class a tag stands for; rows of zeros for tags that no class fits.

    A class that is none of the benchmark's own, as in a custom one, takes the weights of the first benchmark with a
    class of this name, in any case; all its weights are zero if there is none.
    """
    table = _table()
    weights = np.zeros((len(TAGS), len(benchmark.classes)), dtype=np.float32)
    for column, name in enumerate(benchmark.classes):
        for key in (benchmark.key, *BENCHMARKS):
            if (key, name.casefold()) in table:
                weights[:, column] = table[key, name.casefold()]
                break
    return weights


@lru_cache(maxsize=1)
def _table() -> dict[tuple[str, str], np.ndarray]:
    """(key of a benchmark, its class in lower case) -> weight of each tag, float32 (len(TAGS),)."""
    classes = ((benchmark.key, name.casefold()) for benchmark in BENCHMARKS.values() for name in benchmark.classes)
    table = {key: np.zeros(len(TAGS), dtype=np.float32) for key in classes}
    with TABLE.open(encoding="utf-8", newline="") as file:
        for row in csv.DictReader(line for line in file if not line.startswith("#")):
            name = None
            for part in row["emotions"].split():
                if part[0].isdigit():
                    table[row["benchmark"], name][TAGS.index(row["tag"])] = float(part)
                else:
                    name = part.casefold()
                    table[row["benchmark"], name][TAGS.index(row["tag"])] = 1.0
    return table
