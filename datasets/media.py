"""Reads video files as they are found: the clock of the picture, and decoding that survives damaged packets.

Containers lie about their frame counts and rates, so times come from the packets' own stamps. Second 0 of everything
that is made of a video is the instant of its first picture, or of an excerpt that at which it begins.

The picture is taken at a constant rate whatever the video's own: frame k (from 0) is what is on the screen in the
middle of its interval, at second (k + 0.5) / rate.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from fractions import Fraction
from functools import lru_cache
from pathlib import Path

import av
import numpy as np

from datasets.containers import (
    Damage,
    decode,
    open_media,
    open_stream,
    packets,
    picture_stream,
    seconds_of,
    sound_stream,
)
from datasets.errors import DataError
from datasets.excerpts import WHOLE, Excerpt
from datasets.frame_folders import MOST_FRAMES, RATES

LONGEST_STILL = 600.0  # seconds; a picture that stays longer has a damaged time stamp
MP3_RATES = (8000, 11025, 12000, 16000, 22050, 24000, 32000, 44100, 48000)  # samples a second that mp3 knows
MOST_REPEATED = 100_000  # frames that show the last picture
MOST_SILENCE = 7200.0  # seconds that are filled in beyond what the sound track holds
PIECE = 60  # seconds of silence at once
PIXEL_SHAPES = 0.1, 10.0  # width by height, the narrowest and the widest that is believed
SHORT_SIDE = 240  # pixels of a frame, unless told otherwise
SOUND_TOLERANCE = 0.020  # seconds; containers round stamps to a millisecond or so, a lost AAC packet leaves 21 ms


@dataclass(frozen=True)
class Clock:
    """When the picture begins and ends (seconds, the container's own time) and its mean rate (frames a second)."""

    start: float
    end: float
    rate: float


def picture_clock(path: Path) -> Clock:
    """Reads the picture's time stamps, without decoding. Raises DataError when there are none or they are absurd."""
    return _kept_clock(path, path.stat().st_mtime_ns if path.exists() else 0)


def picture_times(path: Path) -> np.ndarray:
    """When each picture appears, and when the last one ends, in seconds after the first, float64 (n + 1,), in order.

    Raises DataError as picture_clock does.
    """
    clock, stamps = _read_clock(path)
    return np.array([*sorted(stamps), clock.end]) - clock.start


@lru_cache(maxsize=8)  # hundreds of excerpts may be cut out of a film, all of which is read for its clock
def _kept_clock(path: Path, changed: int) -> Clock:
    return _read_clock(path)[0]


def _read_clock(path: Path) -> tuple[Clock, list[float]]:
    stamps, durations, damage = [], [], Damage()
    with open_media(path) as container:
        stream = picture_stream(container)
        for packet in packets(container, stream, damage):
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
    if not RATES[0] <= rate <= RATES[1]:
        raise DataError(f"its time stamps make {rate:g} frames a second, so they are damaged; remux the file")
    if duration * rate > MOST_REPEATED or (end - start) * rate > MOST_FRAMES:
        raise DataError(f"its time stamps make {(end - start + duration) * rate:.0f} frames; remux the file")
    return Clock(start, end + duration, rate), stamps


def excerpt_clock(whole: Clock, excerpt: Excerpt) -> Clock:
    """When the excerpt begins and ends. Raises DataError when the video ends before it begins."""
    start = whole.start + excerpt.start
    if start >= whole.end:
        raise DataError(f"ends at {whole.end - whole.start:.1f} s, before its excerpt begins at {excerpt.start:.1f} s")
    return Clock(start, min(whole.start + excerpt.end, whole.end), whole.rate)


def excerpt_picture(picture: np.ndarray, excerpt: Excerpt) -> np.ndarray:
    """The excerpt's part of a picture (H, W, 3), with the pixels that an edge divides."""
    height, width = picture.shape[:2]
    rows = slice(math.floor(excerpt.top * height), math.ceil(excerpt.bottom * height))
    return picture[rows, math.floor(excerpt.left * width) : math.ceil(excerpt.right * width)]


def display_size(
    frame: av.VideoFrame, pixel: Fraction | None, short_side: int, excerpt: Excerpt = WHOLE
) -> tuple[int, int]:
    """(width, height) of the stored picture once its pixels are square and the excerpt's short side is `short_side`.

    Smaller pictures keep their size. Raises DataError for pixels of an absurd shape.
    """
    shape = float(pixel or 1)
    if not PIXEL_SHAPES[0] <= shape <= PIXEL_SHAPES[1]:
        raise DataError(f"says that its pixels are {shape:g} times as wide as they are high; remux the file")
    width, height = frame.width * shape, float(frame.height)
    part = min(width * (excerpt.right - excerpt.left), height * (excerpt.bottom - excerpt.top))
    scale = min(1.0, short_side / part)
    return max(1, round(width * scale)), max(1, round(height * scale))


class PictureTrack:
    """The picture of one video at a constant rate, `count` frames, as it is to be displayed: rotated, pixels square.

    rate: frames a second; default the video's mean rate. `clock` is that of the excerpt.
    Raises DataError when the file holds no picture.
    """

    def __init__(
        self, path: Path, short_side: int = SHORT_SIDE, rate: float | None = None, excerpt: Excerpt = WHOLE
    ) -> None:
        whole = picture_clock(path)
        self.path, self.damage, self.excerpt, self.clock = path, Damage(), excerpt, excerpt_clock(whole, excerpt)
        if math.isfinite(excerpt.end):
            self.damage.missing = max(0.0, excerpt.end - (whole.end - whole.start))
        self.short_side, self.rate = short_side, rate or self.clock.rate
        self.count = max(1, round((self.clock.end - self.clock.start) * self.rate))
        self._size, self._turns = (0, 0), 0

    def pictures(self) -> Iterator[tuple[range, av.VideoFrame]]:
        """Decodes the video once: every picture that is shown, and the frames that show it, in order from 0 to `count`.

        Raises DataError when nothing can be decoded.
        """
        slack = min(1e-3, 0.1 / self.rate)  # stamps rounded to a millisecond must not decide which of two is taken
        shown, held = 0, None
        since = self.clock.start if self.excerpt.start else None
        with open_stream(self.path, picture_stream, since) as (container, stream):
            for picture in decode(container, stream, self.damage):
                stamp = seconds_of(picture, stream)
                if held is None:
                    self._size = display_size(picture, stream.sample_aspect_ratio, self.short_side, self.excerpt)
                    self._turns = round(picture.rotation / 90) % 4
                elif stamp is not None:
                    begin = shown
                    while shown < self.count and (shown + 0.5) / self.rate + slack < stamp - self.clock.start:
                        shown += 1
                    if shown > begin:
                        yield range(begin, shown), held
                    if shown == self.count and math.isfinite(self.excerpt.end):
                        return
                held = picture
            if held is None:
                raise DataError("none of its pictures can be decoded; fetch it again")
            if shown < self.count:
                yield range(shown, self.count), held

    def image(self, picture: av.VideoFrame) -> np.ndarray:
        """One of `pictures` as uint8 (H, W, 3) BGR, scaled, cut and turned as the first one was."""
        scaled = picture.reformat(*self._size, format="bgr24", interpolation="AREA").to_ndarray()
        return np.rot90(excerpt_picture(scaled, self.excerpt), self._turns)


class SoundTrack:
    """The sound of one video on the clock of its picture: sample n belongs to second n / rate after the first picture.

    Sound that begins late, stops early or misses packets is filled with silence, sound before the first picture is
    dropped. Mono stays mono, everything else becomes stereo. `rates` are the allowed sampling rates: the source's own
    if it is among them, else the next higher, else the highest. `clock` is that of the whole picture, where it is
    known. Of an excerpt with an end, sound is as long as the picture.
    Raises DataError when the file has no picture or sound.
    """

    def __init__(
        self, path: Path, rates: tuple[int, ...], clock: Clock | None = None, excerpt: Excerpt = WHOLE
    ) -> None:
        whole = clock or picture_clock(path)
        self.path, self.damage, self.excerpt, self.clock = path, Damage(), excerpt, excerpt_clock(whole, excerpt)
        self._limit = whole.end - self.clock.start + 60.0
        with open_stream(path, sound_stream) as (_, stream):
            own, self.channels = stream.codec_context.sample_rate, min(2, stream.codec_context.channels)
        self.rate = next((rate for rate in sorted(rates) if rate >= own), max(rates))

    def blocks(self) -> Iterator[np.ndarray]:
        """Yields float32 (n, channels), without gaps; raises DataError when nothing can be decoded."""
        left = self._picture_samples() if math.isfinite(self.excerpt.end) else None
        for block in self._blocks():
            yield block[:left]
            if left is not None:
                left = max(0, left - len(block))
                if left == 0:
                    return

    def _blocks(self) -> Iterator[np.ndarray]:
        layout = "mono" if self.channels == 1 else "stereo"
        written, expected, kind, resampler = 0, 0.0, None, None
        since = self.clock.start if self.excerpt.start else None
        with open_stream(self.path, sound_stream, since) as (container, stream):
            for frame in decode(container, stream, self.damage):
                stamp = seconds_of(frame, stream)
                moment = expected if stamp is None else stamp - self.clock.start
                if moment > max(self._limit, expected):
                    moment = expected  # no sound begins a minute after the last picture: the stamp is wrong
                now = (frame.sample_rate, frame.layout.name, frame.format.name)
                if now != kind or abs(moment - expected) > SOUND_TOLERANCE:
                    for block in _drain(resampler, None):
                        written += len(block)
                        yield block
                    kind, expected = now, moment
                    resampler = av.AudioResampler(format="flt", layout=layout, rate=self.rate)
                    gap = round(moment * self.rate) - written
                    if gap > 0:
                        yield from self._silence(gap, written)
                        written += gap
                    surplus = max(0, -gap)
                expected += frame.samples / frame.sample_rate
                for block in _drain(resampler, frame):
                    kept = block[surplus:]
                    surplus -= len(block) - len(kept)
                    written += len(kept)
                    yield kept
            if resampler is None:
                raise DataError("its sound track holds nothing that can be decoded; fetch it again")
            for block in _drain(resampler, None):
                written += len(block)
                yield block
        yield from self._silence(max(0, self._picture_samples() - written), written)

    def _picture_samples(self) -> int:
        return round((self.clock.end - self.clock.start) * self.rate)

    def _silence(self, samples: int, written: int) -> Iterator[np.ndarray]:
        """So many samples behind those that are written. A file of a few bytes may claim days of it."""
        if samples > written + MOST_SILENCE * self.rate:
            hours = samples / self.rate / 3600
            raise DataError(f"its time stamps claim {hours:.0f} hours without sound; remux the file")
        for start in range(0, samples, PIECE * self.rate):
            yield np.zeros((min(PIECE * self.rate, samples - start), self.channels), np.float32)


def _drain(resampler: av.AudioResampler | None, frame: av.AudioFrame | None) -> Iterator[np.ndarray]:
    for block in resampler.resample(frame) if resampler else ():
        yield block.to_ndarray().reshape(block.samples, -1)
