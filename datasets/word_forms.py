"""The words of an English text, the forms they may be inflections of, and whether they are negated.

Negation follows VADER (Hutto and Gilbert, ICWSM 2014): a negator among the three words before a cue, here within the
same clause (Pang et al., EMNLP 2002, end the scope at punctuation). What a negated word then means can not be told from
the word: it is neither its opposite nor just weaker (Kiritchenko and Mohammad, 2016, "The effect of negators, modals,
and degree adverbs on sentiment composition"), so that no cue is taken from it.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import lru_cache

NEGATION_WINDOW = 3  # words
NEGATORS = frozenset(
    (
        "no", "not", "never", "none", "nobody", "nothing", "nowhere", "neither", "nor", "cannot", "without", "hardly",
        "barely", "scarcely", "aint", "cant", "wont", "dont", "didnt", "doesnt", "isnt", "wasnt", "arent", "werent",
        "couldnt", "wouldnt", "shouldnt", "hasnt", "havent", "hadnt",
    )
)  # fmt: skip
# Frequent words that look like a form of another one (numb, late, morn, ...) or say no more than "very" (really).
NOT_INFLECTED = frozenset(
    (
        "according", "being", "casting", "during", "evening", "later", "latest", "morning", "news", "number", "numbers",
        "really", "thriller",
    )
)  # fmt: skip
_WORD = re.compile(r"[^\W_]+(?:['\u2018\u2019][^\W_]+)*")
_WITHIN_A_CLAUSE = re.compile(r"\s+|[-_]")
_APOSTROPHES = str.maketrans("\u2018\u2019", "''")
_VOWELS = frozenset("aeiouy")
_MIN_FORM = 3  # letters: nothing shorter is taken for the form that a word was made from


@dataclass(frozen=True)
class Word:
    """A word in lower case, where it stands in its text, and whether it goes on with the clause of the word before."""

    text: str
    start: int
    end: int
    continues: bool


def split_words(text: str) -> list[Word]:
    """The words of a text in order; punctuation ends a clause, a hyphen joins two words of one."""
    words: list[Word] = []
    for match in _WORD.finditer(text):
        gap = text[words[-1].end : match.start()] if words else ""
        continues = _WITHIN_A_CLAUSE.fullmatch(gap) is not None
        words.append(Word(match.group().lower().translate(_APOSTROPHES), match.start(), match.end(), continues))
    return words


def is_negated(words: Sequence[Word], index: int) -> bool:
    """Whether a negator stands before words[index], at most NEGATION_WINDOW words away, with no clause between.

    "but" ends the scope too, and "not only" does not negate.
    """
    for place in range(index - 1, max(index - 1 - NEGATION_WINDOW, -1), -1):
        word, following = words[place].text, words[place + 1]
        if not following.continues or word == "but":
            return False
        if is_negator(word) and not (word == "not" and following.text == "only"):
            return True
    return False


def is_negator(word: str) -> bool:
    """Whether a word in lower case negates what follows."""
    return word in NEGATORS or word.endswith("n't")


@lru_cache(maxsize=65536)
def base_forms(word: str) -> tuple[str, ...]:
    """The words that `word` may be a plural, possessive, past, -ing or -ly form of, the likeliest first."""
    if word in NOT_INFLECTED:
        return ()
    return _words(_base_forms(word))


@lru_cache(maxsize=65536)
def compared_forms(word: str) -> tuple[tuple[str, tuple[str, ...]], ...]:
    """The adjectives that `word` may be the comparative or superlative of.

    Most words in -er are neither (power, corner, master), so an adjective comes with two forms of which it should have
    one: sadder -> sad, (sadly, sadness). Words in -ier need none: happier -> happy, ().
    """
    ending = next((ending for ending in ("er", "est") if word.endswith(ending)), None)
    if ending is None or word in NOT_INFLECTED:
        return ()
    stem = word.removesuffix(ending)
    if stem.endswith("i"):
        return tuple((adjective, ()) for adjective in _words([stem[:-1] + "y"]))
    return tuple((adjective, (adjective + "ly", adjective + "ness")) for adjective in _words(_without_ending(stem)))


def _words(forms: Iterable[str]) -> tuple[str, ...]:
    return tuple(dict.fromkeys(form for form in forms if len(form) >= _MIN_FORM and _VOWELS & set(form)))


def _base_forms(word: str) -> Iterator[str]:
    if word.endswith(("'s", "s'")):
        word = word.removesuffix("s").removesuffix("'")
        yield word
    if word.endswith("ies"):
        yield word[:-3] + "y"
        yield word[:-1]
    elif word.endswith("es"):
        yield word[:-1]
        if word[:-2].endswith(("s", "x", "z", "ch", "sh", "o")):
            yield word[:-2]
    elif word.endswith("s") and not word.endswith(("ss", "us", "is")):
        yield word[:-1]
    elif word.endswith("ied"):
        yield word[:-3] + "y"
        yield word[:-1]
    elif word.endswith("ed"):
        yield from _without_ending(word[:-2])
    elif word.endswith("ying"):
        yield word[:-3]
        yield word[:-4] + "ie"
    elif word.endswith("ing"):
        yield from _without_ending(word[:-3])
    elif word.endswith("ily"):
        yield word[:-3] + "y"
    elif word.endswith("ly"):
        yield word[:-1] + "e"
        yield word[:-2]
        if word.endswith("ally"):
            yield word[:-4]


def _without_ending(stem: str) -> Iterator[str]:
    """The words that give `stem` before -ed, -ing, -er and -est: stopped, hoped, started."""
    if len(stem) < _MIN_FORM:
        return
    if stem[-1] == stem[-2] and stem[-1] not in _VOWELS:
        yield from (stem, stem[:-1]) if stem[-1] in "lsz" else (stem[:-1], stem)
    elif stem[-1] not in _VOWELS and stem[-1] not in "wx" and stem[-2] in _VOWELS and stem[-3] not in _VOWELS:
        yield stem + "e"  # hop would have its consonant doubled, unless the vowel is not stressed (offered)
        if sum(letter in _VOWELS for letter in stem) > 1:
            yield stem
    else:
        yield stem
        yield stem + "e"
