"""The course of a video's emotions as the geometry of a timeline in SVG; chart.html draws it."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import accumulate, groupby

from core.prediction import Segment, strongest
from core.timeaxis import clock, time_marks

_MARKS = 6  # on the time axis, few enough for a phone


@dataclass(frozen=True)
class Run:
    """Neighbouring segments of one strongest emotion; x and width in per cent of the duration."""

    emotion: int
    x: float
    width: float


@dataclass(frozen=True)
class Chart:
    """Paths in a box as wide as the duration in seconds, 100 high, and what is written around them."""

    duration: float
    areas: tuple[str, ...]  # of the classes, each from the floor to the top of its own part: the last one comes first
    degree: str
    highest: float  # degree at the top of the box, in multiples of the mean
    runs: tuple[Run, ...]
    marks: tuple[tuple[float, str], ...]  # per cent of the duration, time

    @property
    def mean(self) -> float:
        """Where the mean degree lies in the box, from its top."""
        return round(100 - 100 / self.highest, 1)


def relative_degrees(segments: Sequence[Segment]) -> list[float]:
    """Degrees in multiples of their mean; 1 where there is no emotion at all."""
    total = sum(segment.degree for segment in segments)
    return [segment.degree * len(segments) / total if total else 1.0 for segment in segments]


def draw_chart(segments: Sequence[Segment], duration: float) -> Chart:
    """The timeline of one segment or more, within 0 to `duration` seconds."""
    degrees = relative_degrees(segments)
    highest = max(1.25, *degrees)
    piles = list(zip(*(tuple(accumulate(segment.probabilities)) for segment in segments), strict=True))
    runs = []
    felt = [segment for segment in segments if any(segment.probabilities)]
    for emotion, members in groupby(felt, lambda segment: strongest(segment.probabilities)):
        first, *_, last = [*members] * 2
        x = 100 * first.start / duration
        runs.append(Run(emotion, round(x, 3), round(100 * last.end / duration - x, 3)))
    return Chart(
        duration=duration,
        areas=tuple(_steps(segments, [100 * min(height, 1.0) for height in pile]) for pile in piles),
        degree=_steps(segments, [100 * degree / highest for degree in degrees]),
        highest=highest,
        runs=tuple(runs),
        marks=tuple((round(100 * mark / duration, 3), clock(mark)) for mark in time_marks(duration, _MARKS)),
    )


def _steps(segments: Sequence[Segment], heights: Iterable[float]) -> str:
    """The area under a step curve of heights 0..100; it falls to 0 where no segment is."""
    path, end = "", None
    for segment, height in zip(segments, heights, strict=True):
        if segment.start != end:
            path += f"{'V100' if path else ''}M{_short(segment.start)} 100"
        path += f"V{_short(100 - height, 1)}H{_short(segment.end)}"
        end = segment.end
    return path + "V100Z"


def _short(number: float, digits: int = 2) -> str:
    return f"{number:.{digits}f}".rstrip("0").rstrip(".")
