"""Which part of a video is meant; without what reads videos, which takes long to import."""

from __future__ import annotations

import math
from dataclasses import dataclass


@dataclass(frozen=True)
class Excerpt:
    """A part of a video: seconds after its first picture, and edges of its picture as shares of width and height."""

    start: float = 0.0
    end: float = math.inf
    left: float = 0.0
    top: float = 0.0
    right: float = 1.0
    bottom: float = 1.0


WHOLE = Excerpt()
