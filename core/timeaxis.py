"""Times of a video as people read them."""

from __future__ import annotations

_STEPS = (1, 2, 5, 10, 15, 30, 60, 120, 300, 600, 900, 1800, 3600)  # seconds between the marks of an axis


def clock(seconds: float, tenths: bool = False) -> str:
    """m:ss, or h:mm:ss from one hour on; with `tenths` m:ss.t."""
    whole, tenth = divmod(round(10 * seconds), 10) if tenths else (int(round(seconds, 3)), 0)
    minutes, second = divmod(whole, 60)
    hours, minute = divmod(minutes, 60)
    return (f"{hours}:{minute:02}:{second:02}" if hours else f"{minute}:{second:02}") + (f".{tenth}" if tenths else "")


def time_marks(duration: float, most: int) -> list[int]:
    """Round times in seconds from 0 to `duration`, about `most` at equal distances (every hour, if that is more)."""
    step = next((step for step in _STEPS if duration / step < most), _STEPS[-1])
    return list(range(0, int(duration) + 1, step))
