"""A user's own lexicon, a csv file of `word,polarity,emotion[,emotion...]`, with or without a header.

polarity: -1..1, 0 for a neutral word. An emotion is a class of the benchmark or one of Plutchik's eight, in any case. A
word may be a phrase. Empty lines and lines that begin with # do not count.
"""

from __future__ import annotations

import csv
from collections.abc import Iterable, Iterator
from pathlib import Path

import numpy as np

from datasets.affect_tags import PLUTCHIK, TAGS, tag_weights
from datasets.benchmarks import Benchmark
from datasets.errors import DataError, shown
from datasets.lexicon_sources import Entry, normal_term
from datasets.whole_files import read_whole

MOST_BYTES = 2**26  # of a file, a million words and more


def read_user_lexicon(path: Path, benchmark: Benchmark) -> list[Entry]:
    """The entries of a file; their tags are the names of emotions as they stand there, in lower case.

    Raises DataError that names the file and the line.
    """
    try:
        text = read_whole(path, MOST_BYTES).decode("utf-8-sig")
    except OSError as error:
        raise DataError(f"{path}: {error.strerror}; give a csv file or the name of a lexicon") from error
    except UnicodeDecodeError as error:
        raise DataError(f"{path}: is not UTF-8; save it as UTF-8") from error
    known = {name.casefold() for name in (*benchmark.classes, *PLUTCHIK)}
    entries: dict[str, Entry] = {}
    lines: dict[str, int] = {}
    rows = list(_rows(path, text.splitlines()))
    if rows and [cell.casefold() for cell in rows[0][1][:2]] == ["word", "polarity"]:
        del rows[0]
    for line, row in rows:
        try:
            entry = _entry(row, known)
            if entry.term in lines:
                line_before = lines[entry.term]
                raise ValueError(f"{shown(entry.term)} stands in line {line_before} already; leave one of the two")
            _check_sentiment(entry, benchmark)
        except ValueError as error:
            raise DataError(f"{path}, line {line}: {error}") from None
        lines[entry.term], entries[entry.term] = line, entry
    if not entries:
        raise DataError(f"{path}: holds no word; write lines of word,polarity,emotion")
    return list(entries.values())


def name_weights(name: str, benchmark: Benchmark) -> np.ndarray:
    """float32 (C,): the class of this name, else the classes that the emotion stands for; `name` in lower case."""
    same = np.array([other.casefold() == name for other in benchmark.classes], dtype=np.float32)
    return same if same.any() else tag_weights(benchmark)[TAGS.index(name)]


def _rows(path: Path, lines: Iterable[str]) -> Iterator[tuple[int, list[str]]]:
    """(number of the line, its cells) of all lines that count."""
    for number, line in enumerate(lines, start=1):
        if not line.strip() or line.startswith("#"):
            continue
        try:
            yield number, [cell.strip() for cell in next(csv.reader([line], strict=True))]
        except csv.Error as error:
            raise DataError(f"{path}, line {number}: {error}; put quotes around a cell only") from None


def _entry(row: list[str], known: set[str]) -> Entry:
    if len(row) < 3 or not row[2]:
        raise ValueError(f"{shown(','.join(row))} has no emotion; write word,polarity,emotion")
    term = normal_term(row[0])
    if not term:
        raise ValueError(f"{shown(row[0])} is no word; write a word or a phrase")
    try:
        polarity = float(row[1])
    except ValueError:
        raise ValueError(f"{shown(row[1])} is no polarity; write a number from -1 to 1") from None
    if not -1 <= polarity <= 1:
        raise ValueError(f"{shown(row[1])} is no polarity; write a number from -1 to 1")
    emotions = tuple(cell.casefold() for cell in row[2:] if cell)
    unknown = [cell for cell in row[2:] if cell and cell.casefold() not in known]
    if unknown:
        raise ValueError(f"{shown(unknown[0])} is no emotion here; write one of {', '.join(sorted(known))}")
    return Entry(term, polarity, emotions)


def _check_sentiment(entry: Entry, benchmark: Benchmark) -> None:
    weights = sum(name_weights(name, benchmark) for name in entry.tags)
    sentiments = np.array(benchmark.polarity)[weights > 0] * entry.polarity
    if len(sentiments) and (sentiments < 0).all():
        words = ("positive", "negative") if entry.polarity > 0 else ("negative", "positive")
        fault = f"is {words[0]}, but all of its emotions are {words[1]}"
        raise ValueError(f"{shown(entry.term)} {fault}; change one of them")
