from __future__ import annotations

import pytest

from datasets.word_forms import base_forms, compared_forms, is_negated, split_words


@pytest.mark.parametrize(
    ("word", "forms"),
    [
        ("friends", ("friend",)),
        ("kisses", ("kisse", "kiss")),
        ("rates", ("rate",)),
        ("babies", ("baby", "babie")),
        ("wife's", ("wife",)),
        ("loved", ("love",)),
        ("scared", ("scare",)),  # not scar, which would be scarred
        ("scarred", ("scar", "scarr")),
        ("missed", ("miss", "mis")),
        ("offered", ("offere", "offer")),
        ("died", ("die",)),
        ("dying", ("die",)),
        ("crying", ("cry", "crie")),
        ("happily", ("happy",)),
        ("horribly", ("horrible", "horrib")),
        ("tragically", ("tragicalle", "tragical", "tragic")),
        ("glass", ()),
        ("bus", ()),
        ("need", ()),
        ("thing", ()),
        ("morning", ()),
        ("really", ()),
    ],
)
def test_forms_that_a_word_may_come_from(word: str, forms: tuple[str, ...]) -> None:
    assert base_forms(word) == forms


def test_adjectives_that_a_comparison_may_come_from() -> None:
    assert compared_forms("sadder")[0] == ("sad", ("sadly", "sadness"))
    assert compared_forms("nicest")[0] == ("nice", ("nicely", "niceness"))
    assert compared_forms("happier") == (("happy", ()),)
    assert compared_forms("number") == ()
    assert compared_forms("joy") == ()


def test_words_with_their_places() -> None:
    text = "Don\u2019t go - well-known, _Joe_!"
    words = split_words(text)
    assert [word.text for word in words] == ["don't", "go", "well", "known", "joe"]
    assert [text[word.start : word.end] for word in words] == ["Don\u2019t", "go", "well", "known", "Joe"]
    assert [word.continues for word in words] == [False, True, False, True, False]


@pytest.mark.parametrize(
    ("text", "negated"),
    [
        ("not x", True),
        ("not a b x", True),
        ("not a b c x", False),
        ("wouldn't x", True),
        ("hardly x", True),
        ("not, x", False),
        ("not a but x", False),
        ("not only x", False),
        ("never only x", True),
        ("x not", False),
    ],
)
def test_negation(text: str, negated: bool) -> None:
    words = split_words(text)
    assert is_negated(words, [word.text for word in words].index("x")) is negated
