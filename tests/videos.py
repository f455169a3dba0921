"""Writes small real videos for the tests of the tools: any container, time stamps and sound, damaged or whole."""

from __future__ import annotations

from collections.abc import Sequence
from fractions import Fraction
from pathlib import Path

import av
import numpy as np

CODECS = {
    ".mp4": ("libx264", "aac"),
    ".mkv": ("libx264", "flac"),
    ".webm": ("libvpx", "libopus"),
    ".avi": ("mpeg4", "pcm_s16le"),
}
TICK = Fraction(1, 12_000)  # divides by 24, 25 and 30 frames a second


def grey(levels: Sequence[int], height: int = 48, width: int = 64) -> list[np.ndarray]:
    """One even picture (H, W, 3) per level: its level tells which picture it was, even after lossy coding."""
    return [np.full((height, width, 3), level, np.uint8) for level in levels]


def clicks(seconds: float, at: Sequence[float], rate: int, channels: int = 1) -> np.ndarray:
    """Silence with a 1 kHz tone of 50 ms at each instant, float32 (n, channels)."""
    sound = np.zeros((round(seconds * rate), channels), np.float32)
    tone = 0.5 * np.sin(2 * np.pi * 1000 * np.arange(round(0.05 * rate)) / rate)[:, None]
    for instant in at:
        begin = round(instant * rate)
        sound[begin : begin + len(tone)] = tone[: len(sound) - begin]
    return sound


def onsets(sound: np.ndarray, rate: int) -> list[float]:
    """The instants in seconds at which sound (n, channels) sets in after at least 0.2 s of silence."""
    loud = np.flatnonzero(np.abs(sound).max(axis=1) > 0.1) / rate
    return [float(instant) for instant, before in zip(loud, [-1.0, *loud[:-1]], strict=True) if instant - before > 0.2]


def write_video(
    path: Path,
    pictures: Sequence[np.ndarray],
    *,
    fps: float = 10.0,
    times: Sequence[float] | None = None,
    sound: np.ndarray | None = None,
    sound_rate: int = 16_000,
    sound_start: float = 0.0,
    turned: int = 0,
    broken_pictures: Sequence[int] = (),
    broken_sound: Sequence[int] = (),
    coding: dict[str, str] | None = None,
) -> Path:
    """Writes pictures (H, W, 3) RGB at `fps`, or at `times` in seconds, and sound (n, channels) from `sound_start` on.

    `turned` is the display rotation in degrees, counter-clockwise. The packets `broken_pictures` and `broken_sound`, as
    counted in each stream, become garbage. `coding` are options of the picture's encoder.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    video_codec, sound_codec = CODECS[path.suffix.lower()]
    height, width = pictures[0].shape[:2]
    with av.open(str(path.absolute()), "w") as container:
        video = container.add_stream(video_codec, rate=Fraction(fps).limit_denominator(1001))
        video.width, video.height, video.pix_fmt = width, height, "yuv420p"
        video.options = {"crf": "12", "preset": "ultrafast"} if video_codec == "libx264" else {}
        video.options |= coding or {}
        if times is not None:
            video.codec_context.time_base = TICK
        if broken_pictures:
            video.gop_size = 1  # every picture stands alone, so that one packet is one picture
        if turned:
            video.set_display_rotation(turned)
        track = None
        if sound is not None:
            layout = "mono" if sound.shape[1] == 1 else "stereo"
            track = container.add_stream(sound_codec, rate=sound_rate, layout=layout)
        packets = []
        for number, picture in enumerate(pictures):
            frame = av.VideoFrame.from_ndarray(picture, format="rgb24")
            if times is not None:
                frame.pts, frame.time_base = round(times[number] / TICK), TICK
            else:
                frame.pts, frame.time_base = number, 1 / Fraction(fps).limit_denominator(1001)
            packets += video.encode(frame)
        packets = _break([*packets, *video.encode(None)], broken_pictures)
        if track is not None:
            packets += _break(_sound_packets(track, sound, sound_rate, sound_start), broken_sound)
        for packet in sorted(packets, key=lambda packet: packet.dts * packet.time_base):
            container.mux(packet)
    return path


def _sound_packets(track: av.AudioStream, sound: np.ndarray, rate: int, start: float) -> list[av.Packet]:
    layout = "mono" if sound.shape[1] == 1 else "stereo"
    frame = av.AudioFrame.from_ndarray(np.ascontiguousarray(sound.reshape(1, -1)), format="flt", layout=layout)
    frame.sample_rate, frame.pts, frame.time_base = rate, round(start * rate), Fraction(1, rate)
    size = track.frame_size or 1024
    resampler = av.AudioResampler(format=track.format, layout=layout, rate=track.rate, frame_size=size)
    pieces = [*resampler.resample(frame), *resampler.resample(None), None]
    return [packet for piece in pieces for packet in track.encode(piece)]


def _break(packets: list[av.Packet], which: Sequence[int]) -> list[av.Packet]:
    for number in which:
        good = packets[number]
        bad = av.Packet(b"\xff" * good.size)
        bad.stream, bad.pts, bad.dts, bad.time_base = good.stream, good.pts, good.dts, good.time_base
        bad.duration = good.duration
        packets[number] = bad
    return packets
