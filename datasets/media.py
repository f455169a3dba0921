"""Reads video files as they are found: the clock of the picture, and decoding that survives damaged packets.

Containers lie about their frame counts and rates, so times come from the packets' own stamps. Second 0 of a video is
the instant of its first picture.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

import av
import numpy as np

from datasets.errors import DataError

LONGEST_STILL = 600.0  # seconds; a picture that stays longer has a damaged time stamp
SEEK_MARGIN = 1.0  # seconds before what is wanted; the first packet of a sound is decoded without the one before it


class NoSoundTrack(DataError):
    """The video is silent because it has no sound track at all."""


@dataclass(frozen=True)
class Clock:
    """When the picture begins and ends (seconds, the container's own time) and its mean rate (frames a second)."""

    start: float
    end: float
    rate: float


@dataclass
class Damage:
    """What had to be left out of a file."""

    packets: int = 0
    cut: bool = False
    missing: float = 0.0  # seconds by which the picture ends too early

    def __str__(self) -> str:
        said = [f"damaged packets skipped: {self.packets}"] if self.packets else []
        said += [f"the picture ends {self.missing:.1f} s too early"] if self.missing >= 0.05 else []
        return "; ".join([*said, "the file is cut off or damaged at its end"] if self.cut else said)


@contextlib.contextmanager
def open_media(path: Path) -> Iterator[av.container.InputContainer]:
    """Opens a video file. Raises DataError when it is none."""
    try:
        # An absolute path, because FFmpeg takes `x:y` for a protocol; and odd metadata need not be readable.
        container = av.open(str(path.absolute()), metadata_errors="ignore")
    except UnicodeEncodeError:
        raise DataError("its name is not UTF-8; rename the file") from None
    except (av.FFmpegError, OSError) as error:
        raise DataError(f"is no readable video file ({error.strerror or error}); fetch it again") from None
    with container:
        yield container


@contextlib.contextmanager
def open_stream(
    path: Path, stream_of: Callable[[av.container.InputContainer], av.stream.Stream], second: float | None = None
) -> Iterator[tuple[av.container.InputContainer, av.stream.Stream]]:
    """Opens a video file and one of its streams, from which everything since `second` can be decoded.

    second: of the container's own time. Decoding starts from the beginning without it, and where a file cannot be
    searched. Raises DataError.
    """
    with open_media(path) as container:
        stream = stream_of(container)
        if second is None or _seek(container, stream, second - SEEK_MARGIN):
            yield container, stream
            return
    with open_media(path) as container:
        yield container, stream_of(container)


def picture_stream(container: av.container.InputContainer) -> av.video.stream.VideoStream:
    """The stream of the picture. Raises DataError when there is none that can be decoded."""
    stream = container.streams.best("video")
    if stream is None or stream.codec_context is None:
        raise DataError("has no picture" if stream is None else "its picture is in an unknown coding; convert it")
    return stream


def sound_stream(container: av.container.InputContainer) -> av.audio.stream.AudioStream:
    """The stream of the sound. Raises DataError, NoSoundTrack where there is none at all."""
    stream = container.streams.best("audio")
    if stream is None:
        raise NoSoundTrack("no sound track")
    if stream.codec_context is None:
        raise DataError("its sound is in an unknown coding; convert it")
    return stream


def picture_clock(path: Path) -> Clock:
    """Reads the picture's time stamps, without decoding. Raises DataError when there are none or they are absurd."""
    return _kept_clock(path, path.stat().st_mtime_ns if path.exists() else 0)


def picture_times(path: Path) -> np.ndarray:
    """When each picture appears, and when the last one ends, in seconds after the first, float64 (n + 1,), in order.

    Raises DataError as picture_clock does.
    """
    clock, stamps = _read_clock(path)
    return np.array([*sorted(stamps), clock.end]) - clock.start


def decode(
    container: av.container.InputContainer, stream: av.stream.Stream, damage: Damage
) -> Iterator[av.frame.Frame]:
    """Decodes packet by packet; a packet that cannot be decoded is counted in `damage` and left out."""
    stream.codec_context.thread_count = 1  # where time matters, there is one process per core already
    for packet in _packets(container, stream, damage, flush=True):
        try:
            yield from packet.decode()
        except av.FFmpegError:
            damage.packets += 1


def seconds_of(timed: av.frame.Frame | av.Packet, stream: av.stream.Stream) -> float | None:
    """The time stamp of a frame or packet in seconds, or None when it carries none."""
    stamp = timed.pts if timed.pts is not None else timed.dts
    return None if stamp is None else float(stamp * stream.time_base)


@lru_cache(maxsize=8)  # hundreds of excerpts may be cut out of a film, all of which is read for its clock
def _kept_clock(path: Path, changed: int) -> Clock:
    return _read_clock(path)[0]


def _read_clock(path: Path) -> tuple[Clock, list[float]]:
    stamps, durations, damage = [], [], Damage()
    with open_media(path) as container:
        stream = picture_stream(container)
        for packet in _packets(container, stream, damage):
            stamp = seconds_of(packet, stream)
            if stamp is not None and not packet.is_discard:
                stamps.append(stamp)
                durations.append(float((packet.duration or 0) * stream.time_base))
        nominal = float(stream.average_rate or stream.guessed_rate or 0)
    if not stamps:
        raise DataError("holds no picture; fetch it again")
    last = int(np.argmax(stamps))
    start, end = min(stamps), stamps[last]
    rate = (len(stamps) - 1) / (end - start) if end > start else nominal or 25.0
    if abs(nominal - rate) <= 0.1 * rate:
        rate = nominal  # the stamps are rounded, the container's 30000/1001 is not
    duration = durations[last] or 1 / rate
    still = max([*np.diff(sorted(stamps)), duration])
    if still > LONGEST_STILL:
        raise DataError(f"its time stamps jump by {still:.0f} s, so they are damaged; remux the file")
    return Clock(start, end + duration, rate), stamps


def _seek(container: av.container.InputContainer, stream: av.stream.Stream, second: float) -> bool:
    """Goes to a packet at or before `second` that can be decoded without those before it; False where that fails."""
    place = round(second / stream.time_base)
    try:
        container.seek(place, stream=stream)
        first = next(_packets(container, stream, Damage()), None)
        container.seek(place, stream=stream)
    except av.FFmpegError:
        return False
    stamp = None if first is None else seconds_of(first, stream)
    return stamp is not None and first.is_keyframe and stamp <= second


def _packets(
    container: av.container.InputContainer, stream: av.stream.Stream, damage: Damage, flush: bool = False
) -> Iterator[av.Packet]:
    """The stream's packets, then with `flush` the empty one that empties the decoder; a damaged file just ends."""
    try:
        for packet in container.demux(stream):
            if packet.size or flush:
                yield packet
    except av.FFmpegError:
        damage.cut = True
