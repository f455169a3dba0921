"""What an emotion sounds like in a demo video: a register, a tempo, a timbre and a figure of notes.

As in the picture, most of the four belong to several emotions, and no emotion is told by one of them. Intensity is
loudness against the neutral sound - a quiet room and a plain hum of any pitch - that is always there. Difficulty adds
noise, stray notes and jitter of pitch and tempo, and swaps attributes with those of other emotions.
"""

from __future__ import annotations

import numpy as np

from tools._demo_scenes import draw_attributes

SAMPLE_RATE = 16_000
VOICES: dict[str, tuple[str, str, str, str]] = {
    "Anger": ("low", "fast", "buzz", "cluster"),
    "Anticipation": ("middle", "medium", "buzz", "rising"),
    "Disgust": ("low", "slow", "growl", "falling"),
    "Fear": ("high", "fast", "wail", "cluster"),
    "Joy": ("high", "medium", "bell", "major"),
    "Sadness": ("middle", "slow", "wail", "falling"),
    "Surprise": ("high", "medium", "growl", "rising"),
    "Trust": ("middle", "slow", "bell", "major"),
}
REGISTERS = {"low": 98.0, "middle": 262.0, "high": 698.0}  # Hz
TEMPI = {"slow": 1.6, "medium": 4.0, "fast": 8.0}  # notes per second
TIMBRES = ("buzz", "growl", "wail", "bell")
FIGURES: dict[str, tuple[tuple[int, ...], float]] = {  # semitones of the notes in turn; glide within a note, octaves
    "cluster": ((0, 1, 0, -1), 0.0),
    "rising": ((0, 2, 4, 7, 9, 12), 0.35),
    "falling": ((3, 0, -2, -5), -0.2),
    "major": ((0, 4, 7, 12, 7, 4), 0.0),
}
FADE_SECONDS = 0.02


def render_scene(
    rng: np.random.Generator, n_samples: int, emotion: str | None, intensity: float, difficulty: float
) -> np.ndarray:
    """The sound of a scene, float32 (n_samples,) in -1..1 at SAMPLE_RATE; emotion None: a room and a hum."""
    harmonics = np.arange(1, 7)
    phase = 2 * np.pi * _any_pitch(rng) * np.arange(n_samples) / SAMPLE_RATE
    hum = np.sin(phase[:, None] * harmonics) @ rng.dirichlet(2 / harmonics)
    sound = rng.uniform(0.015, 0.04) * hum + 0.003 * 25**difficulty * _room(rng, n_samples)
    for _ in range(rng.poisson(2.5 * difficulty * n_samples / SAMPLE_RATE)):
        start, length = rng.integers(n_samples), int(rng.uniform(0.1, 0.5) * SAMPLE_RATE)
        stray = _note(length, TIMBRES[rng.integers(len(TIMBRES))], _any_pitch(rng), rng.uniform(-0.3, 0.3))
        sound[start : start + length] += rng.uniform(0.02, 0.2) * difficulty * stray[: n_samples - start]
    if emotion is not None:
        sound += (0.04 + 0.2 * intensity) * _melody(rng, n_samples, emotion, difficulty)
    fade = np.clip(np.arange(n_samples) / (FADE_SECONDS * SAMPLE_RATE), 0, 1)
    return np.clip(sound * fade * fade[::-1], -1, 1).astype(np.float32)


def _any_pitch(rng: np.random.Generator) -> float:
    return 2 ** rng.uniform(np.log2(80), np.log2(1200))


def _room(rng: np.random.Generator, n_samples: int) -> np.ndarray:
    """Noise of unit power that falls off towards high frequencies, as in a room."""
    frequency = np.fft.rfftfreq(n_samples, 1 / SAMPLE_RATE)
    spectrum = np.fft.rfft(rng.standard_normal(n_samples)) / np.sqrt(1 + frequency / 200)
    noise = np.fft.irfft(spectrum, n_samples)
    return noise / noise.std()


def _melody(rng: np.random.Generator, n_samples: int, emotion: str, difficulty: float) -> np.ndarray:
    register, tempo, timbre, figure = draw_attributes(rng, VOICES, emotion, difficulty)
    pitch = REGISTERS[register] * 2 ** rng.normal(0, 0.1 + 0.4 * difficulty)
    rate = TEMPI[tempo] * 2 ** rng.normal(0, 0.1 + 0.4 * difficulty)
    semitones, glide = FIGURES[figure]
    melody = np.zeros(n_samples)
    onset = rng.uniform(0, 0.3) / rate
    first = rng.integers(len(semitones))
    for k in range(first, first + int(n_samples / SAMPLE_RATE * rate) + 1):
        start = int((onset + (k - first) / rate) * SAMPLE_RATE)
        length = min(int(0.9 / rate * SAMPLE_RATE), n_samples - start)
        if length > 0:
            frequency = pitch * 2 ** (semitones[k % len(semitones)] / 12)
            melody[start : start + length] += _note(length, timbre, frequency, glide)
    return melody


def _note(n_samples: int, timbre: str, frequency: float, glide: float) -> np.ndarray:
    """One note (n_samples,) of amplitude about 1, its pitch moving by `glide` octaves from its start to its end."""
    t = np.arange(n_samples) / SAMPLE_RATE
    course = np.linspace(-glide / 2, glide / 2, n_samples)
    if timbre == "wail":
        course = course + 0.045 * np.sin(2 * np.pi * 6.5 * t)
    phase = 2 * np.pi * np.cumsum(frequency * 2**course) / SAMPLE_RATE
    attack = np.minimum(1, t / 0.015) * np.minimum(1, t[::-1] / 0.03)
    if timbre == "buzz":  # a saw below 3.5 kHz
        harmonics = np.arange(1, max(2, min(16, int(3500 / frequency))) + 1)
        return attack * 0.6 * (np.sin(phase[:, None] * harmonics) @ (1 / harmonics))
    if timbre == "growl":  # inharmonic frequency modulation
        return attack * np.sin(phase + 3.5 * np.sin(1.41 * phase))
    if timbre == "bell":  # octaves that ring out
        decay = np.exp(-3 * t / t[-1])
        return attack * decay * (np.sin(phase) + 0.6 * np.sin(2 * phase) + 0.4 * np.sin(4 * phase))
    return attack * np.sin(phase)  # a wail: vibrato alone
