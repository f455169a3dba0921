"""The known course of one demo video: its scenes, which emotion each shows where, and what is said meanwhile."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from tools._demo_words import draw_affective, draw_neutral

SCENE_SECONDS = (1.2, 2.5)
EMOTIONAL_SHARE = (0.35, 0.40)  # of a video's time, a distractor not counted
INTENSITY = (0.5, 1.0)
DISTRACTOR_INTENSITY = (0.2, 0.35)
SUBTITLE_RATE = 0.8  # subtitles per scene
SHOWN_IN = (("picture",), ("sound",), ("picture", "sound"))


@dataclass(frozen=True)
class Scene:
    """Seconds; `emotion` None is neutral, `intensity` in [0, 1], `shown_in` names the media that carry the emotion."""

    start: float
    end: float
    emotion: str | None = None
    intensity: float = 0.0
    shown_in: tuple[str, ...] = ()

    def emotion_in(self, medium: str) -> str | None:
        return self.emotion if medium in self.shown_in else None


@dataclass(frozen=True)
class Line:
    """One subtitle in seconds; `words`: its affective words, each with its emotion and whether that is the scene's."""

    start: float
    end: float
    text: str
    words: tuple[tuple[str, str, bool], ...] = ()


@dataclass(frozen=True)
class Course:
    scenes: tuple[Scene, ...]
    lines: tuple[Line, ...]


def draw_course(
    seeds: np.random.SeedSequence,
    emotion: str,
    emotions: tuple[str, ...],
    *,
    seconds: float,
    fps: float,
    difficulty: float,
    misleading: float,
) -> Course:
    """The scenes and lines of a video of `emotion`; scene edges fall on frames (multiples of 1/fps)."""
    scene_rng, word_rng = (np.random.default_rng(seed) for seed in seeds.spawn(2))
    scenes = _draw_scenes(scene_rng, emotion, emotions, seconds, fps, difficulty)
    return Course(scenes, _draw_lines(word_rng, scenes, emotions, misleading))


def _draw_scenes(
    rng: np.random.Generator, emotion: str, emotions: tuple[str, ...], seconds: float, fps: float, difficulty: float
) -> tuple[Scene, ...]:
    edges = _draw_edges(rng, seconds, fps)
    emotional = _draw_emotional(rng, np.diff(edges))
    # Taking the media in turns keeps them at a third each and gives two scenes at least one picture and one sound.
    turns = [SHOWN_IN[i] for i in rng.permutation(len(SHOWN_IN))] if len(emotional) > 1 else [SHOWN_IN[-1]]
    scenes = [Scene(start, end) for start, end in zip(edges[:-1].tolist(), edges[1:].tolist(), strict=True)]
    for turn, i in enumerate(emotional):
        scenes[i] = Scene(
            scenes[i].start, scenes[i].end, emotion, round(rng.uniform(*INTENSITY), 3), turns[turn % len(turns)]
        )
    neutral = [i for i, scene in enumerate(scenes) if scene.emotion is None]
    if len(neutral) > 1 and rng.random() < difficulty:
        i = rng.choice(neutral)
        other = rng.choice([e for e in emotions if e != emotion]).item()
        intensity = round(rng.uniform(*DISTRACTOR_INTENSITY), 3)
        scenes[i] = Scene(scenes[i].start, scenes[i].end, other, intensity, SHOWN_IN[rng.integers(len(SHOWN_IN))])
    return tuple(scenes)


def _draw_edges(rng: np.random.Generator, seconds: float, fps: float) -> np.ndarray:
    """Scene edges in seconds, (n + 1,), on whole frames."""
    shortest, longest = SCENE_SECONDS
    n_scenes = max(2, round(seconds / rng.uniform(1.7, 2.0)))
    lengths = rng.uniform(shortest, longest, n_scenes)
    for _ in range(100):
        lengths *= seconds / lengths.sum()
        if lengths.min() >= shortest and lengths.max() <= longest:
            break
        lengths = rng.uniform(shortest, longest, n_scenes)
    lengths *= seconds / lengths.sum()
    return np.round(np.concatenate([[0.0], np.cumsum(lengths)]) * fps) / fps


def _draw_emotional(rng: np.random.Generator, lengths: np.ndarray) -> list[int]:
    """Scenes whose share of the time comes close to a share drawn from EMOTIONAL_SHARE, in order of time."""
    share = rng.uniform(*EMOTIONAL_SHARE)
    n_emotional = max(1, round(share * len(lengths)))
    draws = [rng.permutation(len(lengths))[:n_emotional] for _ in range(20)]
    best = min(draws, key=lambda chosen: abs(lengths[chosen].sum() / lengths.sum() - share))
    return sorted(best.tolist())


def _draw_lines(
    rng: np.random.Generator, scenes: tuple[Scene, ...], emotions: tuple[str, ...], misleading: float
) -> tuple[Line, ...]:
    in_emotional, in_neutral = _misleading_rates(scenes, misleading)
    lines = []
    for scene in scenes:
        if rng.random() >= SUBTITLE_RATE:
            continue
        start, end = scene.start + rng.uniform(0.05, 0.2), scene.end - rng.uniform(0.05, 0.2)
        if scene.emotion is None and rng.random() >= in_neutral:
            text, words = draw_neutral(rng), []
        else:
            others = tuple(e for e in emotions if e != scene.emotion)
            intensity = scene.intensity or rng.random()
            text, words = draw_affective(rng, scene.emotion, others, in_emotional, intensity)
        lines.append(Line(round(start, 3), round(end, 3), text, tuple((w, e, e == scene.emotion) for w, e in words)))
    return tuple(lines)


def _misleading_rates(scenes: tuple[Scene, ...], misleading: float) -> tuple[float, float]:
    """How often a word of an emotional scene misleads, and how often a neutral scene has an affective sentence at all.

    Every word of a neutral scene misleads. With a and q for the two, and n emotional and m neutral scenes,
    (n a + m q) / (n + m q) = misleading. Of the two unknowns a is half of `misleading`, unless q would then exceed 1.
    """
    n = sum(scene.emotion is not None for scene in scenes)
    m = len(scenes) - n
    if m == 0:
        return misleading, 0.0
    in_neutral = 1.0 if misleading == 1 else min(1.0, n * misleading / 2 / (m * (1 - misleading)))
    return (misleading * (n + m * in_neutral) - m * in_neutral) / n, in_neutral
