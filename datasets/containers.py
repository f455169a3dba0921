"""Containers of video and sound, opened and decoded by FFmpeg, whoever made them: damaged packets are left out.

A file may not make FFmpeg open another one, as playlists do, nor ask for pictures or sound of any size.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import av

from datasets.errors import DataError

SEEK_MARGIN = 1.0  # seconds before what is wanted; the first packet of a sound is decoded without the one before it
LIMITS = {"max_pixels": str(2**25), "max_samples": str(2**20)}  # of a picture, those of 8K; of a frame of sound
ALONE = {"protocol_whitelist": "none"}  # by which anything but the file that is open could be read


class NoSoundTrack(DataError):
    """The video is silent because it has no sound track at all."""


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
    with contextlib.ExitStack() as opened:
        try:
            if path.exists() and not path.is_file():
                raise DataError("is a folder, a device or a pipe, not a video file")
            # Read by Python, so that FFmpeg itself may open nothing; and odd metadata need not be readable.
            file = opened.enter_context(path.open("rb"))
            container = opened.enter_context(av.open(file, metadata_errors="ignore", options=LIMITS | ALONE))
        except UnicodeEncodeError:
            raise DataError("its name is not UTF-8; rename the file") from None
        except (av.FFmpegError, OSError) as error:
            raise DataError(f"is no readable video file ({error.strerror or error}); fetch it again") from None
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


def decode(
    container: av.container.InputContainer, stream: av.stream.Stream, damage: Damage
) -> Iterator[av.frame.Frame]:
    """Decodes packet by packet; a packet that cannot be decoded is counted in `damage` and left out."""
    stream.codec_context.options = stream.codec_context.options | LIMITS
    stream.codec_context.thread_count = 1  # where time matters, there is one process per core already
    for packet in packets(container, stream, damage, flush=True):
        try:
            yield from packet.decode()
        except av.FFmpegError:
            damage.packets += 1


def seconds_of(timed: av.frame.Frame | av.Packet, stream: av.stream.Stream) -> float | None:
    """The time stamp of a frame or packet in seconds, or None when it carries none."""
    stamp = timed.pts if timed.pts is not None else timed.dts
    return None if stamp is None else float(stamp * stream.time_base)


def sound_stream(container: av.container.InputContainer) -> av.audio.stream.AudioStream:
    """The stream of the sound. Raises DataError, NoSoundTrack where there is none at all."""
    stream = container.streams.best("audio")
    if stream is None:
        raise NoSoundTrack("no sound track")
    if stream.codec_context is None:
        raise DataError("its sound is in an unknown coding; convert it")
    return stream


def packets(
    container: av.container.InputContainer, stream: av.stream.Stream, damage: Damage, flush: bool = False
) -> Iterator[av.Packet]:
    """The stream's packets, then with `flush` the empty one that empties the decoder; a damaged file just ends."""
    try:
        for packet in container.demux(stream):
            if packet.size or flush:
                yield packet
    except av.FFmpegError:
        damage.cut = True


def _seek(container: av.container.InputContainer, stream: av.stream.Stream, second: float) -> bool:
    """Goes to a packet at or before `second` that can be decoded without those before it; False where that fails."""
    place = round(second / stream.time_base)
    try:
        container.seek(place, stream=stream)
        first = next(packets(container, stream, Damage()), None)
        container.seek(place, stream=stream)
    except av.FFmpegError:
        return False
    stamp = None if first is None else seconds_of(first, stream)
    return stamp is not None and first.is_keyframe and stamp <= second
