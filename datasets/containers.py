"""Containers of video and sound, opened and decoded by FFmpeg, whoever made them: damaged packets are left out.

A file may not make FFmpeg open another one, as playlists do, nor ask for pictures or sound of any size.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import av

from datasets.errors import DataError

LIMITS = {"max_pixels": str(2**25), "max_samples": str(2**20)}  # of a picture, those of 8K; of a frame of sound
ALONE = {"protocol_whitelist": "none"}  # by which anything but the file that is open could be read


class NoSoundTrack(DataError):
    """The video is silent because it has no sound track at all."""


@dataclass
class Damage:
    """What had to be left out of a file."""

    packets: int = 0
    cut: bool = False

    def __str__(self) -> str:
        said = [f"damaged packets skipped: {self.packets}"] if self.packets else []
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


def seconds_of(frame: av.frame.Frame, stream: av.stream.Stream) -> float | None:
    """The frame's time stamp in seconds, or None when it carries none."""
    stamp = frame.pts if frame.pts is not None else frame.dts
    return None if stamp is None else float(stamp * stream.time_base)


def sound_stream(container: av.container.InputContainer) -> av.audio.stream.AudioStream:
    """The stream of the sound. Raises NoSoundTrack, or DataError when it cannot be decoded."""
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
