"""What an emotion looks like in a demo video: a palette, a shape and a motion.

Several palettes, shapes and motions belong to two emotions, but no two emotions share two of them: one attribute alone
does not decide. Intensity takes the colours from grey to the palette, and the shapes from a slow drift to the full
motion and size. Difficulty adds clutter, noise and hue jitter, and swaps attributes with those of other emotions.
"""

from __future__ import annotations

import colorsys
from collections.abc import Iterator
from dataclasses import dataclass

import cv2
import numpy as np

LOOKS: dict[str, tuple[str, str, str]] = {
    "Anger": ("red", "star", "shake"),
    "Anticipation": ("amber", "ring", "approach"),
    "Disgust": ("green", "blob", "fall"),
    "Fear": ("violet", "star", "flicker"),
    "Joy": ("amber", "disc", "bounce"),
    "Sadness": ("blue", "drop", "fall"),
    "Surprise": ("pink", "disc", "approach"),
    "Trust": ("green", "ring", "orbit"),
}


@dataclass(frozen=True)
class Palette:
    """Hue in degrees; (saturation, value) of the background's top and bottom, and of the shapes."""

    hue: float
    top: tuple[float, float]
    bottom: tuple[float, float]
    body: tuple[float, float]


PALETTES = {
    "red": Palette(356, (0.85, 0.45), (0.90, 0.14), (0.85, 0.95)),
    "amber": Palette(43, (0.36, 1.00), (0.60, 0.97), (0.85, 0.98)),
    "green": Palette(135, (0.50, 0.55), (0.62, 0.28), (0.60, 0.80)),
    "violet": Palette(272, (0.70, 0.26), (0.75, 0.07), (0.60, 0.72)),
    "blue": Palette(213, (0.55, 0.62), (0.72, 0.32), (0.70, 0.92)),
    "pink": Palette(325, (0.22, 1.00), (0.46, 0.98), (0.78, 0.96)),
}
FRACTION_BITS = 4  # cv2 draws polygons at 1/16 of a pixel
SHADOW, HIGHLIGHT = np.array([0.10, 0.16]), np.array([0.14, 0.18])  # away from a light above, in radii
N_SHAPES = (3, 6)


def draw_attributes(
    rng: np.random.Generator, table: dict[str, tuple[str, ...]], emotion: str, difficulty: float
) -> tuple[str, ...]:
    """The attributes of `emotion` in `table`, each swapped for another emotion's the likelier, the more difficult."""
    others = [other for other in table if other != emotion]
    return tuple(
        table[others[rng.integers(len(others))] if rng.random() < 0.85 * difficulty**2 else emotion][attribute]
        for attribute in range(len(table[emotion]))
    )


def render_scene(
    rng: np.random.Generator,
    n_frames: int,
    fps: float,
    size: tuple[int, int],
    emotion: str | None,
    intensity: float,
    difficulty: float,
) -> Iterator[np.ndarray]:
    """The frames of a scene, each uint8 (H, W, 3) RGB; size: (W, H); emotion None: grey, any shape, a slow drift."""
    if emotion is None:
        shape = list(SHAPES)[rng.integers(len(SHAPES))]
        palette, motion, intensity = "red", "drift", 0.0  # at intensity 0 any palette is grey
    else:
        palette, shape, motion = draw_attributes(rng, LOOKS, emotion, difficulty)
    top, bottom, body = _draw_colours(rng, PALETTES[palette], intensity, difficulty)
    backdrop = _draw_backdrop(rng, size, top, bottom, difficulty)
    noise = (26 * difficulty * rng.standard_normal((4, *backdrop.shape), np.float32)).astype(np.int16)
    light = body + 0.22 * (255 - body)
    shadow = 0.6 * bottom
    n_shapes = rng.integers(*N_SHAPES)
    radius = size[1] * rng.uniform(0.11, 0.19, n_shapes) * (0.8 + 0.4 * intensity)
    seconds = np.arange(n_frames) / fps
    places, zoom, turn, glow = MOTIONS[motion](rng, seconds, n_shapes, intensity)
    places = places * size  # (T, J, 2) pixels
    for t in range(n_frames):
        frame = backdrop.copy()
        for j in range(n_shapes):
            cos, sin = np.cos(turn[t, j]), np.sin(turn[t, j])
            reach, centre = radius[j] * zoom[t, j], places[t, j]
            outline = [contour @ np.array([[cos, sin], [-sin, cos]]) * reach for contour in SHAPES[shape]]
            _fill(frame, outline, centre + SHADOW * reach, shadow)
            _fill(frame, outline, centre, body * glow[t])
            if len(outline) == 1:
                _fill(frame, [outline[0] * 0.5], centre - HIGHLIGHT * reach, light * glow[t])
        yield cv2.add(frame, noise[rng.integers(len(noise))], dtype=cv2.CV_8U) if difficulty else frame


def _fill(frame: np.ndarray, outline: list[np.ndarray], centre: np.ndarray, colour: np.ndarray) -> None:
    points = [np.round((contour + centre) * 2**FRACTION_BITS).astype(np.int32) for contour in outline]
    cv2.fillPoly(frame, points, colour.tolist(), cv2.LINE_AA, FRACTION_BITS)


def _draw_colours(rng: np.random.Generator, palette: Palette, intensity: float, difficulty: float) -> np.ndarray:
    """Background top, background bottom and shape, (3, 3) RGB in 0..255, from any grey to the palette."""
    hue = (palette.hue + rng.normal(0, 35 * difficulty)) % 360
    grey_hue, tint, lightness = rng.uniform(0, 360), rng.uniform(0.02, 0.06 + 0.3 * difficulty), rng.uniform(0.2, 0.85)
    grey = [(grey_hue, tint, value) for value in (lightness, 0.7 * lightness, 0.35 + 0.6 * ((lightness + 0.4) % 1))]
    vivid = [(hue, *shade) for shade in (palette.top, palette.bottom, palette.body)]
    grey_rgb, vivid_rgb = (
        np.array([colorsys.hsv_to_rgb(h / 360, s, v) for h, s, v in colours]) for colours in (grey, vivid)
    )
    return 255 * (grey_rgb + intensity * (vivid_rgb - grey_rgb))


def _draw_backdrop(
    rng: np.random.Generator, size: tuple[int, int], top: np.ndarray, bottom: np.ndarray, difficulty: float
) -> np.ndarray:
    """A vertical gradient with clutter: faint shapes of any hue. uint8 (H, W, 3)."""
    width, height = size
    fade = np.linspace(0, 1, height)[:, None, None]
    backdrop = np.repeat(top + fade * (bottom - top), width, axis=1).round().astype(np.uint8)
    for _ in range(round(14 * difficulty)):
        radius, shape = height * rng.uniform(0.06, 0.2), list(SHAPES)[rng.integers(len(SHAPES))]
        colour = 255 * np.array(colorsys.hsv_to_rgb(rng.random(), rng.uniform(0, difficulty), rng.uniform(0.2, 1)))
        layer = backdrop.copy()
        _fill(layer, [contour * radius for contour in SHAPES[shape]], rng.random(2) * size, colour)
        strength = rng.uniform(0.2, 0.4 + 0.4 * difficulty)
        backdrop = cv2.addWeighted(layer, strength, backdrop, 1 - strength, 0)
    return backdrop


# Shapes: closed contours (n, 2) around the origin within radius 1.3, y down; a second contour is a hole.


def _polar(radius: np.ndarray) -> np.ndarray:
    angle = np.linspace(0, 2 * np.pi, len(radius), endpoint=False) - np.pi / 2
    return radius[:, None] * np.stack([np.cos(angle), np.sin(angle)], axis=1)


_ANGLE = np.linspace(0, 2 * np.pi, 36, endpoint=False)
SHAPES: dict[str, tuple[np.ndarray, ...]] = {
    "disc": (_polar(np.full(36, 0.95)),),
    "ring": (_polar(np.full(36, 1.05)), _polar(np.full(36, 0.66))),
    "star": (_polar(np.array([1.3, 0.5, 1.05, 0.5, 1.2, 0.5, 1.1, 0.5, 1.25, 0.5, 1.05, 0.5, 1.2, 0.5])),),
    "blob": (_polar(0.95 + 0.16 * np.sin(3 * _ANGLE) + 0.12 * np.sin(5 * _ANGLE + 1)),),
    "drop": (np.stack([0.95 * np.sin(_ANGLE) * np.sin(_ANGLE / 2) ** 1.4, 0.15 - 1.25 * np.cos(_ANGLE)], axis=1),),
}


# Motions: (seconds (T,), number of shapes J, intensity m) -> places (T, J, 2) in 0..1 of the picture, zoom (T, J),
# turn (T, J) in radians, glow (T,). All are a slow drift at m = 0.

Motion = tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]


def _drift(rng: np.random.Generator, seconds: np.ndarray, n: int, m: float) -> Motion:
    # One shape per column and a free height keep the shapes apart.
    start = np.stack([(rng.permutation(n) + rng.uniform(0.2, 0.8, n)) / n, rng.uniform(0.2, 0.8, n)], axis=1)
    speed = rng.normal(0, 0.03, (n, 2))
    places = start + speed * seconds[:, None, None]
    turn = rng.uniform(-0.4, 0.4, n) + 0.2 * rng.normal(0, 1, n) * seconds[:, None]
    return places, np.ones((len(seconds), n)), turn, np.ones(len(seconds))


def _shake(rng: np.random.Generator, seconds: np.ndarray, n: int, m: float) -> Motion:
    places, zoom, turn, glow = _drift(rng, seconds, n, m)
    places = places + rng.uniform(-0.085, 0.085, places.shape) * m
    return places, zoom, turn + rng.uniform(-0.5, 0.5, turn.shape) * m, glow


def _approach(rng: np.random.Generator, seconds: np.ndarray, n: int, m: float) -> Motion:
    places, _, turn, glow = _drift(rng, seconds, n, m)
    cycle = (seconds[:, None] / rng.uniform(0.9, 1.2) + rng.random(n)) % 1
    far = 1 - m + m * (0.25 + 1.1 * cycle)[..., None]
    return 0.5 + (places - 0.5) * far, 1 - m + m * (0.2 + 1.6 * cycle**1.5), turn, glow


def _fall(rng: np.random.Generator, seconds: np.ndarray, n: int, m: float) -> Motion:
    places, zoom, turn, glow = _drift(rng, seconds, n, m)
    fallen = places[..., 1] + m * rng.uniform(0.35, 0.55, n) * seconds[:, None]
    return np.stack([places[..., 0], (fallen + 0.2) % 1.4 - 0.2], axis=2), zoom, 0.4 * turn, glow


def _flicker(rng: np.random.Generator, seconds: np.ndarray, n: int, m: float) -> Motion:
    places, zoom, turn, _ = _drift(rng, seconds, n, m)
    shrinking = 1.2 - 0.8 * ((seconds[:, None] / 0.8 + rng.random(n)) % 1)
    return places, zoom + m * (shrinking - 1), turn, 1 - 0.65 * m * (rng.random(len(seconds)) < 0.4)


def _bounce(rng: np.random.Generator, seconds: np.ndarray, n: int, m: float) -> Motion:
    places, zoom, turn, glow = _drift(rng, seconds, n, m)
    hop = np.abs(np.sin(np.pi * (seconds[:, None] / rng.uniform(0.6, 0.8, n) + rng.random(n))))
    height = (1 - m) * places[..., 1] + m * (0.82 - 0.6 * hop)
    return np.stack([places[..., 0], height], axis=2), zoom, turn, glow


def _orbit(rng: np.random.Generator, seconds: np.ndarray, n: int, m: float) -> Motion:
    places, zoom, turn, glow = _drift(rng, seconds, n, m)
    angle = 2 * np.pi * (np.arange(n) / n + rng.random()) + 1.3 * rng.choice([-1, 1]) * seconds[:, None]
    circle = 0.5 + np.stack([0.30 * np.cos(angle), 0.30 * np.sin(angle)], axis=2)
    return (1 - m) * places + m * circle, zoom, turn, glow


MOTIONS = {
    "drift": _drift,
    "shake": _shake,
    "approach": _approach,
    "fall": _fall,
    "flicker": _flicker,
    "bounce": _bounce,
    "orbit": _orbit,
}
