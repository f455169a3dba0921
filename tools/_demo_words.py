"""What is said in a demo video: short English sentences, with or without a word that carries an emotion.

The affective words are single words that the NRC Emotion Lexicon (Mohammad and Turney, 2013) tags with the emotion, all
but two with no other one, and whose polarity in NRC and SenticNet 6 is the emotion's. Every list runs from mild to
strong by SenticNet's |polarity|, and a stronger scene gets a stronger word. All other words of the templates, alone or
in a row, are in neither lexicon, so that a sentence has exactly the cues that are put into it. No template negates.
"""

from __future__ import annotations

import numpy as np

NOUNS: dict[str, tuple[str, ...]] = {
    "Anger": ("strife", "anger", "scorn", "frustration", "injustice", "rage"),
    "Anticipation": ("preparation", "anticipation", "expectation", "vision", "adventure", "quest"),
    "Disgust": ("rubbish", "goo", "mildew", "contamination", "grime", "loathing"),
    "Fear": ("apprehension", "nervousness", "harm", "doom", "insecurity", "terror"),
    "Joy": ("hilarity", "joy", "mirth", "gratitude", "sunshine", "glee"),
    "Sadness": ("melancholy", "heartache", "emptiness", "bereavement", "gloom", "grief"),
    "Surprise": ("immediacy", "marvel", "chance", "fluke", "astonishment", "originality"),
    "Trust": ("unity", "integrity", "wisdom", "loyalty", "honesty", "credibility"),
}
ADJECTIVES: dict[str, tuple[str, ...]] = {
    "Anger": ("defiant", "spiteful", "contemptuous", "unjust", "overbearing", "cranky"),
    "Anticipation": ("wishful", "attainable", "inaugural", "expected", "ready", "expectant"),
    "Disgust": ("vulgar", "distasteful", "musty", "rancid", "filthy", "slimy"),
    "Fear": ("unsafe", "merciless", "ghostly", "unspeakable", "hazardous", "turbulent"),
    "Joy": ("jovial", "radiant", "blissful", "merry", "joyous", "festive"),
    "Sadness": ("sorrowful", "hollow", "lonesome", "glum", "somber", "dreary"),
    "Surprise": ("unique", "spectacular", "unprecedented", "startling", "surprised", "palpable"),
    "Trust": ("credible", "respectful", "straightforward", "steadfast", "sincere", "honorable"),
}
NOUN_TEMPLATES = (
    "She told us about the {}.",
    "So this is the {} that he asked about.",
    "We could see the {} from over here.",
    "Here comes the {} again.",
    "What did they say about the {}?",
    "Then there was the {} of this morning.",
)
ADJECTIVE_TEMPLATES = (
    "He said that it was {}.",
    "It looked {} from over here.",
    "This one seems so {} to us.",
    "Then it all got {}.",
    "Is it still {} in there?",
    "Everyone said that it was {}.",
)
NOUN_PAIR_TEMPLATES = ("It was the {} and then the {}.", "There was the {}, and after that the {}.")
ADJECTIVE_PAIR_TEMPLATES = ("It was so {} and so {}.", "One of them looked {}, the other {}.")
NEUTRAL_TEMPLATES = (
    "They went over there and then came back.",
    "What did you say to him after that?",
    "She asked us where we were from.",
    "We saw them at the corner.",
    "This is the one that I told you about.",
    "Then we got to the other one.",
    "He put it under the window.",
    "There are two of these and three of those.",
    "So where did they go from there?",
    "They came in, one after the other.",
    "It was here, and then it was over there.",
    "I will tell you about it later.",
)
PAIR_RATE = 0.2  # share of affective sentences with two words


def draw_neutral(rng: np.random.Generator) -> str:
    """A sentence without any word of a lexicon."""
    return NEUTRAL_TEMPLATES[rng.integers(len(NEUTRAL_TEMPLATES))]


def draw_affective(
    rng: np.random.Generator, emotion: str | None, others: tuple[str, ...], misleading: float, intensity: float
) -> tuple[str, list[tuple[str, str]]]:
    """A sentence with one or two words of `emotion`, each one of `others` instead with probability `misleading`.

    intensity: in [0, 1], mild to strong words. Returns the sentence and its (word, emotion of the word) in order.
    """
    words = NOUNS if rng.random() < 0.5 else ADJECTIVES
    if rng.random() < PAIR_RATE:
        templates, n_words = NOUN_PAIR_TEMPLATES if words is NOUNS else ADJECTIVE_PAIR_TEMPLATES, 2
    else:
        templates, n_words = NOUN_TEMPLATES if words is NOUNS else ADJECTIVE_TEMPLATES, 1
    said: dict[str, str] = {}
    for _ in range(n_words):
        astray = emotion is None or rng.random() < misleading
        source = others[rng.integers(len(others))] if astray else emotion
        fresh = [word for word in words[source] if word not in said]
        said[fresh[int(np.clip(rng.normal(intensity, 0.25), 0, 0.999) * len(fresh))]] = source
    return templates[rng.integers(len(templates))].format(*said), list(said.items())
