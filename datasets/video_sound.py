"""The sound of a video file as training hears it: through the mp3 of tools/video2mp3.py, which has no highest tones.

One stream, of which a minute is in memory uncompressed at the video's own rate.
"""

from __future__ import annotations

import io
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import soundfile

from datasets.audio import FRAME_LENGTH, SAMPLE_RATE, decode_sound
from datasets.containers import Damage
from datasets.errors import DataError
from datasets.media import MP3_RATES, Clock, SoundTrack

PIECE = 60  # seconds that are coded at once
MARGIN = 1  # seconds before and after them, of which nothing is kept: a coder's first and last tones are its own


def read_video_sound(path: Path, clock: Clock) -> tuple[np.ndarray, Damage]:
    """The whole sound, float32 (n,) mono at 16 kHz on the picture's clock, and what had to be left out.

    Raises DataError where there is none (NoSoundTrack) or none that can be decoded, and PyAV's errors.
    """
    track = SoundTrack(path, MP3_RATES, clock)
    sound = np.concatenate(list(_coded(track)))
    if len(sound) < FRAME_LENGTH * SAMPLE_RATE:
        raise DataError(f"it lasts {len(sound) / SAMPLE_RATE:.3f} s")
    return sound, track.damage


def _coded(track: SoundTrack) -> Iterator[np.ndarray]:
    """float32 (n,) at 16 kHz, without gaps."""
    waiting, length, before = [np.empty(0, np.float32)], 0, 0
    for block in track.blocks():
        if not np.isfinite(block).all():
            raise DataError("it holds samples that are not numbers")
        waiting.append(np.clip(block, -1.0, 1.0).mean(axis=1))
        length += len(waiting[-1])
        while length >= (before + PIECE + MARGIN) * track.rate:
            sound = np.concatenate(waiting)
            heard = _through_mp3(sound[: (before + PIECE + MARGIN) * track.rate], track.rate)
            yield heard[before * SAMPLE_RATE : (before + PIECE) * SAMPLE_RATE]
            waiting = [sound[(before + PIECE - MARGIN) * track.rate :]]
            length, before = len(waiting[0]), MARGIN
    yield _through_mp3(np.concatenate(waiting), track.rate)[before * SAMPLE_RATE :]


def _through_mp3(sound: np.ndarray, rate: int) -> np.ndarray:
    if len(sound) < FRAME_LENGTH * rate:
        return np.empty(0, np.float32)
    content = io.BytesIO()
    soundfile.write(content, sound, rate, format="MP3")
    return decode_sound(content.getvalue(), "sound.mp3")
