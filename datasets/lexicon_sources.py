"""The affective lexicons that packages carry, read from their data files; none of their code is imported.

nrc         NRC Emotion Lexicon (NRCLex): Plutchik's eight emotions and two sentiments of single words, by people.
            Mohammad and Turney, "Crowdsourcing a word-emotion association lexicon", Computational Intelligence 29(3),
            2013. Free for research; commercial use asks for a licence of its authors.
senticnet   SenticNet 6 (senticnet 1.6): polarity and two mood tags of words and phrases, made by machine. MIT, cite
            Cambria et al., "SenticNet 6: Ensemble application of symbolic and subsymbolic AI for sentiment analysis",
            CIKM 2020.
senticnet9  SenticNet 9 (sentic): the same, anew, in 24 tags. Non-commercial use only; cite Cambria et al., "SenticNet
            9: Generative commonsense for emotion AI via conceptual primitive discovery and time shift mechanism", IEEE
            Transactions on Computational Social Systems 13, 2026, and Susanto et al., "The Hourglass Model Revisited",
            IEEE Intelligent Systems 35(5), 2020.
vader       VADER (vaderSentiment): valence of single words, the mean of ten people. MIT, cite Hutto and Gilbert,
            "VADER: A parsimonious rule-based model for sentiment analysis of social media text", ICWSM 2014.
combined    Emotions of people (NRC) where there are any, completed by SenticNet 6; see `_combined`.
"""

from __future__ import annotations

import importlib.metadata
import importlib.util
import json
import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

from datasets.affect_tags import NEGATIVE, PLUTCHIK, POSITIVE, TAGS
from datasets.errors import DataError
from datasets.word_forms import base_forms, is_negator, split_words

# NRC has no degree: every word gets the median of its words' |polarity| in SenticNet 6.
NRC_DEGREE = 0.64
# Valences go to 4, but from 3 on a word counts as strongest, which makes the median degree that of SenticNet; a word
# below 0.5 counts as neutral.
VADER_STRONGEST = 3.0
VADER_NEUTRAL = 0.5
# SenticNet 6 gives fear the tag of anger, anger that of disgust, disgust that of fear, furious that of pleasantness.
# These two are sound: the words they mark are joyful (sad) in NRC 2.4 (1.6) times as often as others.
SENTICNET6_TAGS = frozenset({"joy", "sadness"})
_SENTICNET_ROW = re.compile(r"""senticnet\[(['"])(.+)\1\] = \[(.*)\]\s*""")
_TERM, _LETTER = re.compile(r"[\w'\u2019 -]+"), re.compile(r"[^\W\d_]")  # no emoticons
_SIGNS = dict.fromkeys(POSITIVE, 1) | dict.fromkeys(NEGATIVE, -1)


class Entry(NamedTuple):
    """A term, words in lower case joined by single spaces; its polarity in -1..1, not 0; its tags, if it has any."""

    term: str
    polarity: float
    tags: tuple[str, ...]


@dataclass(frozen=True)
class Source:
    """A lexicon: the packages that it needs, as pip calls them, and its entries; a repeated term counts once."""

    packages: tuple[str, ...]
    entries: Callable[[], Iterator[Entry]]

    def versions(self) -> str:
        """The packages with their versions. Raises DataError if one is not installed."""
        found = []
        for package in self.packages:
            try:
                found.append(package + importlib.metadata.version(package))
            except importlib.metadata.PackageNotFoundError:
                raise DataError(f"the lexicon needs {package}, not installed; run `pip install {package}`") from None
        return "-".join(found)


def normal_term(text: str) -> str:
    """Words in lower case joined by single spaces, however they are joined in the text; "" for emoticons and such."""
    is_term = _TERM.fullmatch(text) and _LETTER.search(text)
    return " ".join(word.text for word in split_words(text)) if is_term else ""


def _data_file(package: str, module: str, file: str) -> Path:
    found = importlib.util.find_spec(module)  # of a top-level module: nothing is imported
    path = Path(found.origin).parent / file if found and found.origin else Path(module) / file
    if not path.is_file():
        raise DataError(f"{path}: not found; run `pip install --force-reinstall {package}`")
    return path


def _nrc_words() -> dict[str, tuple[int, tuple[str, ...]]]:
    """Sentiment, 0 for none or both, and emotions of each word. A word that names an emotion has no other."""
    path = _data_file("nrclex", "nrclex", "data/nrc_en.json")
    return {
        word: (
            ("positive" in tags) - ("negative" in tags),
            (word,) if word in PLUTCHIK else tuple(tag for tag in PLUTCHIK if tag in tags),
        )
        for word, tags in json.loads(path.read_text(encoding="utf-8")).items()
    }


def _vader_words() -> dict[str, float]:
    """Polarity in -1..1 of each word that is not neutral."""
    path = _data_file("vadersentiment", "vaderSentiment", "vader_lexicon.txt")
    rows = [line.split("\t") for line in path.read_text(encoding="utf-8").splitlines() if "\t" in line]
    valences = {normal_term(row[0]): float(row[1]) for row in rows}
    valences.pop("", None)
    return {
        word: max(-1.0, min(1.0, valence / VADER_STRONGEST))
        for word, valence in valences.items()
        if abs(valence) >= VADER_NEUTRAL
    }


def _senticnet_entries(package: str, module: str, file: str, sound: frozenset[str]) -> Iterator[Entry]:
    """All concepts, with those of their tags that are in `sound`. A concept that is named like a tag has no other."""
    path = _data_file(package, module, file)
    found = False
    with path.open(encoding="utf-8") as lines:
        for row in filter(None, map(_SENTICNET_ROW.fullmatch, lines)):
            values = [value.strip("'\"") for value in row[3].split(", ", 8)]
            term, tags = normal_term(row[2]), {value.removeprefix("#") for value in values[4:6]} & sound
            found = True
            if term:
                yield Entry(term, float(values[7]), (term,) if term in TAGS else tuple(sorted(tags)))
    if not found:
        raise DataError(f"{path}: holds no concepts; run `pip install --force-reinstall {package}`")


def _sign(value: float) -> int:
    return (value > 0) - (value < 0)


def _nrc() -> Iterator[Entry]:
    for word, (sentiment, tags) in _nrc_words().items():
        if tags:
            yield Entry(word, NRC_DEGREE * (sentiment or _sign(sum(_SIGNS[tag] for tag in tags))), tags)


def _vader() -> Iterator[Entry]:
    return (Entry(word, valence, ()) for word, valence in _vader_words().items())


def _senticnet6() -> Iterator[Entry]:
    return _senticnet_entries("senticnet", "senticnet", "senticnet6.py", SENTICNET6_TAGS)


def _tagged(entries: Iterator[Entry]) -> Iterator[Entry]:
    return (entry for entry in entries if entry.tags)


def _combined() -> Iterator[Entry]:
    """The terms on whose sentiment two of NRC, VADER and SenticNet agree; one alone is right hardly above chance.

    Emotions are those of NRC, or SenticNet's tag for words that NRC gives none. Without a second opinion NRC says of
    "time" and "long" that they are anticipation, SenticNet of "plot" that it is joy, of "old" that it is sadness.
    A phrase of SenticNet needs the agreement of one of its words, and has the emotions that NRC gives to such words.
    Polarity is VADER's, which follows the strength of whole sentences as people feel it, else SenticNet's, which hardly
    does.
    """
    nrc, vader = _nrc_words(), _vader_words()

    def valence(word: str) -> float:
        return next((vader[form] for form in (word, *base_forms(word)) if form in vader), 0.0)

    def sentiment(word: str) -> int:
        known = (nrc[form][0] for form in (word, *base_forms(word)) if form in nrc)
        return 0 if is_negator(word) else _sign(valence(word)) or next(filter(None, known), 0)

    def emotions(word: str) -> tuple[str, ...]:
        return next((nrc[form][1] for form in (word, *base_forms(word)) if form in nrc and nrc[form][1]), ())

    senticnet: dict[str, float] = {}
    for term, polarity, tags in _senticnet6():
        words = term.split(" ")
        if len(words) == 1 and emotions(term):
            senticnet[term] = polarity
            continue
        agreeing = [word for word in words if sentiment(word) * polarity > 0]
        tags = tuple({tag for word in agreeing for tag in emotions(word)}) or tags
        if agreeing and tags:
            rated = valence(term) if len(words) == 1 else 0.0
            yield Entry(term, rated or polarity, tags)
    for word, (nrc_sign, tags) in nrc.items():
        polarities = vader.get(word, 0.0), senticnet.get(word, 0.0)
        signs = [*map(_sign, polarities), nrc_sign or _sign(sum(_SIGNS[tag] for tag in tags))]
        sign = next((sign for sign in (1, -1) if signs.count(sign) > 1), 0)
        if sign in {_SIGNS[tag] for tag in tags}:
            yield Entry(word, next(polarity for polarity in polarities if polarity * sign > 0), tags)


SOURCES: dict[str, Source] = {
    "combined": Source(("nrclex", "senticnet", "vadersentiment"), _combined),
    "nrc": Source(("nrclex",), _nrc),
    "senticnet": Source(("senticnet",), lambda: _tagged(_senticnet6())),
    "senticnet9": Source(
        ("sentic",), lambda: _tagged(_senticnet_entries("sentic", "sentic", "babel/data_en.py", frozenset(TAGS)))
    ),
    "vader": Source(("vadersentiment",), _vader),
}
