"""The sound of a video, <audio_path>/<label>/<id>.mp3, and its log-mel spectrogram.

The spectrogram is the one that AST (Gong et al., 2021) is trained on: Kaldi filter bank of mono 16 kHz sound, 128 bins,
25 ms Hanning window every 10 ms, mean of the waveform removed, no dither.
"""

from __future__ import annotations

import io
import math
from functools import lru_cache
from pathlib import Path
from tempfile import NamedTemporaryFile

import numpy as np
import soundfile
import torch
from torch import Tensor
from torchaudio.compliance.kaldi import fbank
from torchaudio.transforms import Resample

from datasets.errors import bad_file
from datasets.media import MP3_RATES
from datasets.whole_files import read_whole

MOST_BYTES = 2**31  # of a file, 14 hours of the best mp3
SAMPLE_RATE = 16_000
MEL_BINS = 128
FRAME_SHIFT = 0.010
FRAME_LENGTH = 0.025
_LENGTH, _SHIFT = (round(seconds * SAMPLE_RATE) for seconds in (FRAME_LENGTH, FRAME_SHIFT))
_PIECE = 4000  # rows that are computed at once
MOST_SAMPLES = 64  # of all channels, a byte of mp3: its thinnest coding, 8 kbit/s of 24 kHz stereo, has 48
RECIPE = 1  # of the spectrogram; another number for every change of its values that these constants do not show


def audio_file(audio_path: Path | str, label: str, id: str) -> Path:
    """Where the sound of a video lies."""
    return Path(audio_path) / label / f"{id}.mp3"


def read_sound(path: Path | str) -> np.ndarray:
    """The whole file as float32 (n,), mono (mean of the channels) at 16 kHz.

    Raises DataError if the file is missing, corrupt, cut off or shorter than one window of the spectrogram.
    """
    return decode_sound(read_content(path), path)


def read_content(path: Path | str) -> bytes:
    """The bytes of a sound file. Raises DataError if it is missing or may not be read."""
    try:
        return read_whole(path, MOST_BYTES)
    except OSError as error:
        raise bad_file(path, error.strerror or str(error)) from error


def decode_sound(content: bytes, path: Path | str) -> np.ndarray:
    """What `read_sound` gives, of the `content` of the file `path`. Raises DataError as it does."""
    try:
        rate, stated, mono = _decode(content, Path(path).suffix)
    except (soundfile.SoundFileError, OSError) as error:
        raise bad_file(path, "cannot be decoded") from error
    except _Fault as fault:
        raise bad_file(path, str(fault)) from None
    if len(mono) < FRAME_LENGTH * rate:
        raise bad_file(path, f"holds {len(mono) / rate:.3f} s of sound")
    if len(mono) < stated - rate / 2:
        raise bad_file(path, f"is cut off: {len(mono) / rate:.1f} s of {stated / rate:.1f} s can be decoded")
    if not np.isfinite(mono).all():
        raise bad_file(path, "holds samples that are not numbers")
    return mono if rate == SAMPLE_RATE else _resampler(rate)(torch.from_numpy(mono)).numpy()


def log_mel(waveform: np.ndarray | Tensor) -> Tensor:
    """Log-mel spectrogram, float32 (frames, 128), of a waveform (n,) at 16 kHz; one frame per 10 ms, not normalised."""
    samples = centred(waveform)
    n_all = n_rows(len(samples))
    # In pieces, which takes two gigabytes less for an hour of sound.
    return torch.cat([_rows(samples, start, min(start + _PIECE, n_all)) for start in range(0, n_all, _PIECE)])


def centred(waveform: np.ndarray | Tensor) -> np.ndarray:
    """A waveform (n,) less its mean."""
    samples = np.asarray(waveform)
    # The mean is numpy's, because torch's depends on the number of threads, which differs from process to process.
    return samples - samples.mean()


def cut_second(spectrogram: np.ndarray | Tensor, centre: float, n_frames: int) -> Tensor:
    """The `n_frames` frames of a spectrogram (n, 128) around the instant `centre` in seconds, float32 (n_frames, 128).

    Towards an end of the sound the window is shifted until it lies inside. Sound shorter than the window is repeated
    from its start.
    """
    start = _window_start(len(spectrogram), centre, n_frames)
    rows = spectrogram[np.arange(start, start + n_frames) % len(spectrogram)]
    return torch.from_numpy(np.array(rows, dtype=np.float32))


def log_mel_second(waveform: np.ndarray, centre: float, n_frames: int) -> Tensor:
    """`cut_second(log_mel(waveform), centre, n_frames)`, of which only these frames are computed.

    waveform: what `centred` gives for the whole sound, at least one window of the spectrogram.
    """
    n_all = n_rows(len(waveform))
    start = _window_start(n_all, centre, n_frames)
    return cut_second(_rows(waveform, start, min(start + n_frames, n_all)), 0.0, n_frames)


def n_rows(n_samples: int) -> int:
    """Rows of the spectrogram of so many samples at 16 kHz, at least one window."""
    return 1 + (n_samples - _LENGTH) // _SHIFT


def _rows(waveform: np.ndarray, start: int, end: int) -> Tensor:
    """Rows `start` to `end` of the spectrogram; each depends on its own window alone."""
    samples = waveform[start * _SHIFT : (end - 1) * _SHIFT + _LENGTH]
    return fbank(
        torch.from_numpy(samples)[None],
        htk_compat=True,
        sample_frequency=SAMPLE_RATE,
        use_energy=False,
        window_type="hanning",
        num_mel_bins=MEL_BINS,
        dither=0.0,
        frame_shift=FRAME_SHIFT * 1000,
        frame_length=FRAME_LENGTH * 1000,
    )


def _window_start(length: int, centre: float, n_frames: int) -> int:
    """First of `n_frames` frames around `centre` in seconds, shifted until they lie inside `length` frames, or 0."""
    span = (n_frames - 1) * FRAME_SHIFT + FRAME_LENGTH
    start = math.floor((centre - span / 2) / FRAME_SHIFT + 0.5)
    return max(0, min(start, length - n_frames))


def _decode(content: bytes, suffix: str) -> tuple[int, int, np.ndarray]:
    """Rate, stated number of samples and the samples there are, float32 (n,), the mean of the channels."""
    most = MOST_SAMPLES * len(content) + 2**20
    try:
        return _samples(io.BytesIO(content), most)
    except soundfile.SoundFileError:
        # An mp3 with anything before its first frame is known for one by the name of its file alone.
        with NamedTemporaryFile(suffix=suffix) as file:
            file.write(content)
            file.flush()
            return _samples(file.name, most)


def _samples(source: io.BytesIO | str, most: int) -> tuple[int, int, np.ndarray]:
    with soundfile.SoundFile(source) as file:
        if file.samplerate not in MP3_RATES:
            raise _Fault(f"has {file.samplerate} samples a second, which no mp3 has")
        blocks = [np.empty(0, np.float32)]
        # Not as many at once as the header states: it may state days where there is a second.
        while len(block := file.read(2**20 // file.channels + 1, dtype="float32", always_2d=True)):
            # Adding columns is twenty times faster than numpy's mean over an axis of two.
            blocks.append(sum(block.T) / file.channels)
            most -= block.size
            if most < 0:
                raise _Fault("holds more sound than an mp3 of its length can hold")
        return file.samplerate, file.frames, np.concatenate(blocks)


class _Fault(Exception):
    """What is wrong with a sound, before the file's name is put to it."""


@lru_cache(maxsize=8)
def _resampler(rate: int) -> Resample:
    # Its filter takes as long to compute as to apply.
    return Resample(rate, SAMPLE_RATE)
