"""Small pictures of a video for its page: which segments have one, and where they are shown."""

from __future__ import annotations

import base64
from collections.abc import Mapping

MOST = 120  # keeps the page of a long video small
_TILES = 12  # of the strip under the timeline


def pictured(n_segments: int) -> list[int]:
    """The segments whose thumbnails a page shows: all, or `MOST` at equal distances."""
    count = min(n_segments, MOST)
    return [i * n_segments // count for i in range(count)]


def as_style(thumbnails: Mapping[int, bytes]) -> str:
    """CSS that gives elements of class t<segment> their picture, so that the page holds each one once."""
    return "".join(
        f".t{segment}{{background-image:url(data:image/jpeg;base64,{base64.b64encode(jpeg).decode()})}}\n"
        for segment, jpeg in thumbnails.items()
    )


def tiles(thumbnails: Mapping[int, bytes], starts: list[float], duration: float) -> list[int]:
    """The thumbnails of a strip as wide as the timeline: of each of its parts the last one at or before its middle."""
    middles = [(i + 0.5) * duration / _TILES for i in range(_TILES)]
    shown = sorted(thumbnails)
    return [max((i for i in shown if starts[i] <= middle), default=shown[0]) for middle in middles] if shown else []
