"""Reads video files as they are found: the clock of the picture, and decoding that survives damaged packets.

Containers lie about their frame counts and rates, so times come from the packets' own stamps. Second 0 of everything
that is made of a video is the instant of its first picture.

The picture is taken at a constant rate whatever the video's own: frame k (from 0) is what is on the screen in the
middle of its interval, (k + 0.5) / rate seconds after the first picture appears.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path

import av
import numpy as np

from datasets.containers import Damage, decode, open_media, packets, picture_stream, seconds_of, sound_stream
from datasets.errors import DataError
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
    stamps, durations, damage = [], [], Damage()
    with open_media(path) as container:
        stream = picture_stream(container)
        for packet in packets(container, stream, damage):
            stamp = packet.pts if packet.pts is not None else packet.dts
            if stamp is not None and not packet.is_discard:
                stamps.append(float(stamp * stream.time_base))
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
    return Clock(start, end + duration, rate)


def display_size(frame: av.VideoFrame, pixel: Fraction | None, short_side: int) -> tuple[int, int]:
    """(width, height) of the stored picture once its pixels are square and its short side is at most `short_side`.

    Raises DataError for pixels of an absurd shape.
    """
    shape = float(pixel or 1)
    if not PIXEL_SHAPES[0] <= shape <= PIXEL_SHAPES[1]:
        raise DataError(f"says that its pixels are {shape:g} times as wide as they are high; remux the file")
    width, height = frame.width * shape, float(frame.height)
    scale = min(1.0, short_side / min(width, height))
    return max(1, round(width * scale)), max(1, round(height * scale))


class PictureTrack:
    """The picture of one video at a constant rate, `count` frames, as it is to be displayed: rotated, pixels square.

    rate: frames a second; default the video's mean rate. Raises DataError when the file holds no picture.
    """

    def __init__(self, path: Path, short_side: int = SHORT_SIDE, rate: float | None = None) -> None:
        self.path, self.damage, self.clock = path, Damage(), picture_clock(path)
        self.short_side, self.rate = short_side, rate or self.clock.rate
        self.count = max(1, round((self.clock.end - self.clock.start) * self.rate))
        self._size, self._turns = (0, 0), 0

    def pictures(self) -> Iterator[tuple[range, av.VideoFrame]]:
        """Decodes the video once: every picture that is shown, and the frames that show it, in order from 0 to `count`.

        Raises DataError when nothing can be decoded.
        """
        slack = min(1e-3, 0.1 / self.rate)  # stamps rounded to a millisecond must not decide which of two is taken
        shown, held = 0, None
        with open_media(self.path) as container:
            stream = picture_stream(container)
            for picture in decode(container, stream, self.damage):
                stamp = seconds_of(picture, stream)
                if held is None:
                    self._size = display_size(picture, stream.sample_aspect_ratio, self.short_side)
                    self._turns = round(picture.rotation / 90) % 4
                elif stamp is not None:
                    begin = shown
                    while shown < self.count and (shown + 0.5) / self.rate + slack < stamp - self.clock.start:
                        shown += 1
                    if shown > begin:
                        yield range(begin, shown), held
                held = picture
            if held is None:
                raise DataError("none of its pictures can be decoded; fetch it again")
            if shown < self.count:
                yield range(shown, self.count), held

    def image(self, picture: av.VideoFrame) -> np.ndarray:
        """One of `pictures` as uint8 (H, W, 3) BGR, scaled and turned as the first one was."""
        return np.rot90(picture.reformat(*self._size, format="bgr24", interpolation="AREA").to_ndarray(), self._turns)


class SoundTrack:
    """The sound of one video on the clock of its picture: sample n belongs to second n / rate after the first picture.

    Sound that begins late, stops early or misses packets is filled with silence, sound before the first picture is
    dropped. Mono stays mono, everything else becomes stereo. `rates` are the allowed sampling rates: the source's own
    if it is among them, else the next higher, else the highest. `clock` is that of the picture, where it is known.
    Raises DataError when the file has no picture or sound.
    """

    def __init__(self, path: Path, rates: tuple[int, ...], clock: Clock | None = None) -> None:
        self.path, self.damage, self.clock = path, Damage(), clock or picture_clock(path)
        with open_media(path) as container:
            stream = sound_stream(container)
            own, self.channels = stream.codec_context.sample_rate, min(2, stream.codec_context.channels)
        self.rate = next((rate for rate in sorted(rates) if rate >= own), max(rates))

    def blocks(self) -> Iterator[np.ndarray]:
        """Yields float32 (n, channels), without gaps; raises DataError when nothing can be decoded."""
        layout, limit = "mono" if self.channels == 1 else "stereo", self.clock.end - self.clock.start + 60.0
        written, expected, kind, resampler = 0, 0.0, None, None
        with open_media(self.path) as container:
            stream = sound_stream(container)
            for frame in decode(container, stream, self.damage):
                stamp = seconds_of(frame, stream)
                moment = expected if stamp is None else stamp - self.clock.start
                if moment > max(limit, expected):
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
        gap = round((self.clock.end - self.clock.start) * self.rate) - written
        yield from self._silence(max(0, gap), written)

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
