"""Words -> affective cues: sentiment, emotions of the benchmark, and degree, as in the paper's lexicon of words.

A cue's sentiment is the sign of its polarity in the lexicon, its degree the absolute value. Its emotions are those that
its tags stand for (affect_tags.csv), all tags alike; of these, emotions of the other sentiment are left out. A word of
which nothing remains is no cue, and neither is a neutral one. Where emotions are unknown altogether, as in VADER or for
a benchmark whose classes name none, a cue has all emotions of its sentiment alike.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

import numpy as np

from datasets.affect_tags import tag_weights
from datasets.benchmarks import BENCHMARKS, Benchmark
from datasets.errors import DataError
from datasets.lexicon_sources import SOURCES
from datasets.lexicon_table import BEGINS_PHRASE, MAX_TAGS, load_table, pack
from datasets.user_lexicon import name_weights, read_user_lexicon
from datasets.word_forms import Word, base_forms, compared_forms, is_negated, is_negator, split_words

DEFAULT_LEXICON = "combined"


@dataclass(frozen=True, eq=False)
class Cue:
    """An affective term: sentiment +1 or -1, emotion float32 (C,) that sums to 1, degree in (0, 1]."""

    sentiment: int
    emotion: np.ndarray
    degree: float
    term: str


@dataclass(frozen=True, eq=False)
class FoundCue:
    """A cue in a text: text[start:end]."""

    cue: Cue
    start: int
    end: int


class AffectiveLexicon:
    """The cues of a lexicon for a benchmark. `source`: a name of SOURCES, or a csv file (user_lexicon.py).

    Raises DataError if the source cannot be had. Cheap to pickle: the copy loads the lexicon again.
    """

    def __init__(self, benchmark: Benchmark | str, source: str | Path = DEFAULT_LEXICON) -> None:
        if isinstance(benchmark, str):
            if benchmark not in BENCHMARKS:
                raise DataError(f"{benchmark!r} is no benchmark; use one of {', '.join(BENCHMARKS)}")
            benchmark = BENCHMARKS[benchmark]
        self.benchmark, self.source = benchmark, source
        self._polarity = np.array(benchmark.polarity)
        self._weights = tag_weights(benchmark)
        if source in SOURCES:
            self._table = load_table(str(source))
        elif Path(source).suffix.lower() == ".csv":
            entries = read_user_lexicon(Path(source), benchmark)
            names = sorted({name for entry in entries for name in entry.tags})
            if len(names) > MAX_TAGS:
                raise DataError(f"{source}: names {len(names)} emotions; use at most {MAX_TAGS}")
            self._weights = np.stack([name_weights(name, benchmark) for name in names])
            self._table = pack(entries, names)
        else:
            raise DataError(f"{source!r} is no lexicon; use {', '.join(SOURCES)} or a file of words, NAME.csv")
        self._cue = lru_cache(maxsize=1 << 16)(self._read_cue)

    def __reduce__(self) -> tuple[type[AffectiveLexicon], tuple[Benchmark, str | Path]]:
        return AffectiveLexicon, (self.benchmark, self.source)

    def lookup(self, term: str) -> Cue | None:
        """The cue of a word or phrase as it stands in the lexicon, else of the word it is a form of."""
        words = split_words(term)
        cue, n_words = self._longest(words, 0)
        return cue if n_words == len(words) else None

    def find(self, text: str) -> list[FoundCue]:
        """The cues of a text from left to right, longest first, without overlap and without negated ones."""
        words = split_words(text)
        found: list[FoundCue] = []
        place = 0
        while place < len(words):
            cue, n_words = self._longest(words, place)
            if cue and not is_negated(words, place):
                found.append(FoundCue(cue, words[place].start, words[place + n_words - 1].end))
            place += n_words or 1
        return found

    def _longest(self, words: list[Word], place: int) -> tuple[Cue | None, int]:
        """The cue of the most words from `place` on, within a clause, and their number; (None, 0) if there is none."""
        longest: tuple[Cue | None, int] = None, 0
        beginnings = [""]
        for end in range(place, len(words)):
            if not beginnings or (end > place and not words[end].continues):
                break
            terms = [beginning + form for beginning in beginnings for form in self._forms(words[end].text)]
            cue = next(filter(None, map(self._cue, terms)), None)
            if cue and not (end == place and is_negator(words[end].text)):
                longest = cue, end + 1 - place
            beginnings = [term + " " for term in terms if self._begins_phrase(term)]
        return longest

    def _forms(self, word: str) -> list[str]:
        """The word itself, then what it may be a form of."""
        adjectives = [
            adjective
            for adjective, others in compared_forms(word)
            if not others or any(self._cue(other) for other in others)
        ]
        return [word, *base_forms(word), *adjectives]

    def _begins_phrase(self, term: str) -> bool:
        row = self._table.row(term)
        return row is not None and bool(self._table.marks[row] & BEGINS_PHRASE)

    def _read_cue(self, term: str) -> Cue | None:
        row = self._table.row(term)
        polarity = 0.0 if row is None else float(self._table.polarity[row])
        if row is None or polarity == 0:
            return None
        sentiment = 1 if polarity > 0 else -1
        mark = int(self._table.marks[row])
        tags = [place for place in range(len(self._weights)) if mark >> place & 1]
        if tags and self._weights.any():
            emotion = self._weights[tags].sum(axis=0) * (self._polarity * sentiment >= 0)
        else:
            emotion = (self._polarity == sentiment).astype(np.float32)
        total = emotion.sum()
        if total == 0:
            return None
        emotion = (emotion / total).astype(np.float32)
        emotion.flags.writeable = False  # all who find the term get the same array
        return Cue(sentiment, emotion, min(abs(polarity), 1.0), term)
