"""Look-ups and cues of the real lexicons, whose tables are built once per run in a cache of its own."""

from __future__ import annotations

import pickle
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from datasets.benchmarks import BENCHMARKS, Benchmark
from datasets.errors import DataError
from datasets.lexicon import DEFAULT_LEXICON, AffectiveLexicon, Cue
from tools import _demo_words

SOURCES = ("combined", "nrc", "senticnet", "vader")  # senticnet9 is no requirement; see test_lexicon_sources.py


@pytest.fixture(scope="module", autouse=True)
def cache(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    folder = tmp_path_factory.mktemp("cache")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("XDG_CACHE_HOME", str(folder))
        for source in SOURCES:
            AffectiveLexicon("ve8", source)
        yield folder


def emotions(benchmark: Benchmark | str, source: str, term: str) -> dict[str, float]:
    """The classes of a cue with their parts; {} if the term is no cue."""
    lexicon = AffectiveLexicon(benchmark, source)
    cue = lexicon.lookup(term)
    if cue is None:
        return {}
    parts = zip(lexicon.benchmark.classes, cue.emotion.tolist(), strict=True)
    return {name: round(part, 3) for name, part in parts if part}


def found(text: str, source: str = DEFAULT_LEXICON) -> list[tuple[str, str]]:
    """(what stands in the text, term of the lexicon) of each cue."""
    return [(text[hit.start : hit.end], hit.cue.term) for hit in AffectiveLexicon("ve8", source).find(text)]


THIRD = round(1 / 3, 3)


@pytest.mark.parametrize(
    ("source", "term", "expected"),
    [
        # NRC: furious is anger, disgust, negative; happy is anticipation, joy, positive, trust
        ("nrc", "furious", {"Anger": 0.5, "Disgust": 0.5}),
        ("nrc", "happy", {"Anticipation": THIRD, "Joy": THIRD, "Trust": THIRD}),
        # NRC: abandonment is negative; its surprise, which VideoEmotion-8 counts as positive, is left out
        ("nrc", "abandonment", {"Anger": THIRD, "Fear": THIRD, "Sadness": THIRD}),
        ("nrc", "calm", {}),  # positive, without an emotion
        ("nrc", "party", {}),
        ("senticnet", "party", {"Joy": 1}),
        ("senticnet", "fall in love", {"Joy": 1}),
        ("senticnet", "furious", {}),  # neutral, and its tags are #pleasantness and #fear
        ("vader", "furious", {"Anger": 0.25, "Disgust": 0.25, "Fear": 0.25, "Sadness": 0.25}),
        ("vader", "party", {"Anticipation": 0.25, "Joy": 0.25, "Surprise": 0.25, "Trust": 0.25}),
        ("vader", "number", {}),  # 0.3 of 4 counts as neutral
        ("combined", "furious", {"Anger": 0.5, "Disgust": 0.5}),
        ("combined", "sad", {"Sadness": 1}),  # NRC does not know it
        ("combined", "party", {"Joy": 1}),
        ("combined", "fall in love", {"Joy": 1}),
        ("combined", "time", {}),  # anticipation, says NRC alone
        ("combined", "plot", {}),  # joy, says SenticNet alone
        ("combined", "table", {}),
    ],
)
def test_words_of_each_lexicon(source: str, term: str, expected: dict[str, float]) -> None:
    assert emotions("ve8", source, term) == expected


@pytest.mark.parametrize("source", ["combined", "nrc", "senticnet"])
@pytest.mark.parametrize("emotion", ["Anger", "Disgust", "Fear", "Joy", "Sadness", "Surprise", "Trust"])
def test_a_word_that_names_an_emotion_has_no_other(source: str, emotion: str) -> None:
    # SenticNet 6 tags fear with anger, anger with disgust and disgust with fear; NRC calls fear anger too.
    assert emotions("ve8", source, emotion) == {emotion: 1}


@pytest.mark.parametrize(
    ("benchmark", "term", "expected"),
    [
        ("ek6", "sad", {"sadness": 1}),
        ("ek6", "honesty", {}),  # trust, which Ekman-6 does not have
        ("affwild2", "joy", {"Happiness": 1}),
        ("affwild2", "furious", {"Anger": 0.5, "Disgust": 0.5}),
        ("iemocap", "joy", {"Happy": 1}),
        ("iemocap", "furious", {"Anger": 1}),
        ("iemocap", "terror", {}),
        ("perr", "furious", {"Hostile": 1}),
        ("perr", "terror", {"Tense": 1}),
        ("perr", "joy", {"Intimate": 0.5, "Mild": 0.5}),
    ],
)
def test_words_for_each_benchmark(benchmark: str, term: str, expected: dict[str, float]) -> None:
    assert emotions(benchmark, "combined", term) == expected


def test_custom_classes_take_the_weights_of_known_names_in_any_case() -> None:
    custom = Benchmark("custom", "mine", ("JOY", "Anger", "boredom"), (1, -1, -1))
    assert emotions(custom, "combined", "party") == {"JOY": 1}
    assert emotions(custom, "combined", "furious") == {"Anger": 1}
    assert emotions(custom, "combined", "terror") == {}


def test_custom_classes_without_known_names_know_the_sentiment_only() -> None:
    custom = Benchmark("custom", "mine", ("up", "down", "low", "flat"), (1, -1, -1, 0))
    assert emotions(custom, "combined", "party") == {"up": 1}
    assert emotions(custom, "combined", "furious") == {"down": 0.5, "low": 0.5}


@pytest.mark.parametrize(
    ("source", "term", "sentiment", "degree"),
    [
        ("senticnet", "sad", -1, 0.91),
        ("senticnet", "party", +1, 0.45),
        ("nrc", "furious", -1, 0.64),  # no degrees: one for all
        ("vader", "sad", -1, 2.1 / 3),
        ("vader", "love", +1, 1.0),  # 3.2, and 3 counts as strongest
        ("combined", "sad", -1, 2.1 / 3),
        ("combined", "quest", +1, 0.9),  # VADER does not know it, SenticNet says 0.9
    ],
)
def test_sentiment_and_degree(source: str, term: str, sentiment: int, degree: float) -> None:
    cue = AffectiveLexicon("ve8", source).lookup(term)
    assert (cue.sentiment, cue.degree) == (sentiment, pytest.approx(degree))


@pytest.mark.parametrize("benchmark", [*BENCHMARKS])
@pytest.mark.parametrize("source", SOURCES)
def test_every_cue_is_a_distribution_that_agrees_with_its_sentiment(benchmark: str, source: str) -> None:
    lexicon = AffectiveLexicon(benchmark, source)
    # Words of all kinds: those that the templates of the demo hold, and those of the project's own sources.
    text = " ".join(path.read_text(encoding="utf-8") for path in Path(_demo_words.__file__).parent.glob("*.py"))
    cues = [hit.cue for hit in lexicon.find(text)]
    assert len(cues) > 50
    polarity = np.array(lexicon.benchmark.polarity)
    for cue in cues:
        assert cue.emotion.dtype == np.float32
        assert cue.emotion.shape == polarity.shape
        assert cue.emotion.sum() == pytest.approx(1)
        assert cue.sentiment in (-1, 1)
        assert (polarity[cue.emotion > 0] == cue.sentiment).all()
        assert 0 < cue.degree <= 1


def test_affective_words_of_the_demo_mean_what_they_are_meant_to_mean() -> None:
    lexicon = AffectiveLexicon("ve8")
    for words in (_demo_words.NOUNS, _demo_words.ADJECTIVES):
        for emotion, terms in words.items():
            for term in terms:
                cue = lexicon.lookup(term)
                assert isinstance(cue, Cue), term
                assert cue.emotion[lexicon.benchmark.classes.index(emotion)] == cue.emotion.max(), term
    assert [lexicon.find(text) for text in _demo_words.NEUTRAL_TEMPLATES] == [[]] * len(_demo_words.NEUTRAL_TEMPLATES)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("They fall in love.", [("fall in love", "fall in love")]),
        ("in love, I loved", [("love", "love"), ("I loved", "i love")]),
        ("It falls in love", [("falls in love", "fall in love")]),
        ("They fall. In love?", [("love", "love")]),  # no phrase beyond the clause
        ("a well-done job", [("well-done", "well done")]),
        ("FURIOUS!", [("FURIOUS", "furious")]),
        ("Mother\u2019s joy", [("joy", "joy")]),
        ("killed kissing", [("killed", "kill"), ("kissing", "kiss")]),
        ("terrors angrier nicely", [("terrors", "terror"), ("angrier", "angry"), ("nicely", "nice")]),
        ("the number of the evening news", []),
        ("power corner letter", []),
        ("", []),
        ("...", []),
    ],
)  # fmt: skip
def test_finds_the_longest_terms_and_their_forms(text: str, expected: list[tuple[str, str]]) -> None:
    assert found(text) == expected


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("I am not happy", []),
        ("I am never so happy", []),
        ("she isn\u2019t happy", []),
        ("there is no joy", []),
        ("not a very very happy man", ["happy"]),  # three words between
        ("No. Great!", ["great"]),
        ("not rich but happy", ["happy"]),
        ("not only happy", ["happy"]),
        ("happy, not sad", ["happy"]),
        ("nothing", []),
        ("they do not fall in love", []),  # and so not "love" either
    ],
)
def test_negated_words_are_no_cues(text: str, expected: list[str]) -> None:
    assert [term for _, term in found(text)] == expected


def test_a_negator_alone_is_no_cue() -> None:
    assert AffectiveLexicon("ve8", "vader").lookup("no") is None  # VADER gives it -1.2
    assert found("no no no", "vader") == []


def test_lookup_is_of_the_whole_term() -> None:
    lexicon = AffectiveLexicon("ve8")
    assert lexicon.lookup("fall_in_love").term == "fall in love"
    assert lexicon.lookup("furious table") is None
    assert lexicon.lookup("") is None


WORDS = (
    "not", "no", "isn't", "love", "in", "fall", "I", "happy", "sad", "killed", "but", "FURIOUS!", "-", ".", "'",
    "\u2019", "_", "\u0130", "\u00df", "\ud800", "\U0001f600",
)  # fmt: skip
TEXTS = st.text() | st.lists(st.sampled_from(WORDS)).map(" ".join) | st.lists(st.sampled_from(WORDS)).map("".join)


@settings(max_examples=300, deadline=None)
@given(text=TEXTS)
def test_spans_are_in_order_and_do_not_overlap(text: str) -> None:
    lexicon = AffectiveLexicon("ve8")
    end = 0
    for hit in lexicon.find(text):
        assert end <= hit.start < hit.end <= len(text)
        assert lexicon.lookup(text[hit.start : hit.end]).term == hit.cue.term
        end = hit.end


def test_pickled_for_a_worker_it_is_small_and_the_same() -> None:
    lexicon = AffectiveLexicon("ek6", "senticnet")
    data = pickle.dumps(lexicon)
    copy = pickle.loads(data)
    assert len(data) < 1000
    np.testing.assert_array_equal(copy.lookup("sad").emotion, lexicon.lookup("sad").emotion)


def test_loads_at_once() -> None:
    seconds = []
    for _ in range(3):
        began = time.perf_counter()
        AffectiveLexicon("ve8", "combined").lookup("fall in love")
        seconds.append(time.perf_counter() - began)
    assert min(seconds) < 0.3


def test_unknown_names() -> None:
    with pytest.raises(DataError, match="'nowhere' is no benchmark; use one of ve8"):
        AffectiveLexicon("nowhere")
    with pytest.raises(DataError, match=r"'bing' is no lexicon; use combined, .* or a file"):
        AffectiveLexicon("ve8", "bing")
