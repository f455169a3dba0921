"""A video file as a model takes it, straight from its container: clip, sound and words of every segment.

The sound is decoded first and kept, 64 kB a second, since its mean is a part of every spectrogram. Then the picture is
decoded once, and only the frames of clips are kept until their segment is complete. They go through the JPEG of
tools/video2imgs.py, so that what a model gets is what the dataset gives of the same video taken apart.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import av
import cv2
import numpy as np
import torch
from torch import Tensor

from datasets.audio import centred, log_mel_second
from datasets.containers import NoSoundTrack
from datasets.errors import DataError
from datasets.frames import decode_frames
from datasets.jpeg import decode_picture, encode_picture, picture_size
from datasets.lexicon import AffectiveLexicon, FoundCue
from datasets.media import Clock, PictureTrack
from datasets.segments import blocks, clip_centres, clip_frames
from datasets.subtitles import Subtitle, text_between
from datasets.tokens import encode_texts
from datasets.transforms import FrameTransform
from datasets.video_sound import read_video_sound

MAX_SEGMENTS = 100_000  # of a video, 40 hours of 1.5 s each
THUMBNAIL_WIDTH = 160  # pixels


@dataclass(frozen=True)
class Clip:
    """What a model takes of one segment: T frames, F frames of spectrogram."""

    frames: Tensor  # uint8 (3, T, H, W) RGB
    fbank: Tensor | None  # float32 (F, 128) log-mel, not normalised; None where there is no sound
    thumbnail: bytes  # the clip's middle frame, not cropped, as a JPEG


class VideoFile:
    """One video in equal segments, as many of `segment_seconds` as are nearest to its duration, at least one.

    snippet_duration, sample_size: T and the side of the frames in pixels. audio_frames: F. max_tokens: L.
    `duration` in seconds, `blocks` float64 (S, 2), `sound` float32 (n,) mono at 16 kHz or None, `texts`, `cues` and
    `pieces`, int64 ids and bool mask (S, L), of every segment, `subtitles` where these come from or None.

    Raises DataError for a file without a picture that can be decoded. A sound that cannot be only makes a note.
    """

    def __init__(
        self,
        path: Path,
        *,
        segment_seconds: float,
        snippet_duration: int,
        sample_size: int,
        audio_frames: int,
        max_tokens: int = 32,
    ) -> None:
        self.path, self.segment_seconds = path, segment_seconds
        self._track = PictureTrack(path)
        self._transform, self._audio_frames = FrameTransform(sample_size), audio_frames
        self.duration = self._track.count / self._track.rate
        n_segments = max(1, round(self.duration / segment_seconds))
        if n_segments > MAX_SEGMENTS:
            raise DataError(f"has {n_segments} segments of {segment_seconds:g} s; give a longer --segment_seconds")
        self.blocks = blocks(self.duration, n_segments)
        self._frames = clip_frames(self._track.count, n_segments, snippet_duration)
        self._notes: list[str] = []
        self.sound = self._read_sound(self._track.clock)
        self.subtitles: str | None = None
        self.texts: list[str] = [""] * n_segments
        self.cues: list[list[FoundCue]] = [[] for _ in range(n_segments)]
        self._max_tokens = max_tokens

    @property
    def notes(self) -> tuple[str, ...]:
        """What a reader has to know, a sentence each; complete when all clips are read."""
        damage = str(self._track.damage)
        return (*self._notes, *([f"Picture: {damage}."] if damage else []))

    @property
    def pieces(self) -> tuple[Tensor, Tensor]:
        """Word pieces of the texts."""
        return encode_texts(self.texts, self._max_tokens)[:2]

    def add_note(self, note: str) -> None:
        """One sentence more for `notes`."""
        self._notes.append(note)

    def add_subtitles(self, source: str, subtitles: Sequence[Subtitle], lexicon: AffectiveLexicon) -> None:
        """Give the segments their words."""
        self.subtitles = source
        self.texts = [text_between(subtitles, start, end) for start, end in self.blocks]
        self.cues = [lexicon.find(text) for text in self.texts]

    def clips(self) -> Iterator[Clip]:
        """The segments in order, each as soon as its frames are decoded. Raises DataError."""
        waveform = None if self.sound is None else centred(self.sound)
        centres = clip_centres(self._frames, self._track.rate)
        first, last = self._frames.min(axis=1), self._frames.max(axis=1)
        wanted = np.zeros(self._track.count, dtype=bool)
        wanted[self._frames] = True
        kept: dict[int, bytes] = {}
        segment = 0
        try:
            for numbers, picture in self._track.pictures():
                if wanted[numbers.start : numbers.stop].any():
                    kept |= dict.fromkeys(numbers, encode_picture(self._track.image(picture)))
                while segment < len(centres) and last[segment] < numbers.stop:
                    fbank = None
                    if waveform is not None:
                        second = log_mel_second(waveform, centres[segment], self._audio_frames)
                        fbank = second.half().float()  # rounded as the cache of spectrograms is
                    yield self._clip(kept, self._frames[segment], fbank)
                    segment += 1
                    kept = {k: content for k, content in kept.items() if segment < len(first) and k >= first[segment]}
        except (av.FFmpegError, cv2.error) as error:
            raise DataError(f"its picture cannot be decoded ({error})") from None

    def _clip(self, kept: Mapping[int, bytes], numbers: np.ndarray, fbank: Tensor | None) -> Clip:
        contents = [(str(self.path), kept[number]) for number in numbers.tolist()]
        frames = torch.from_numpy(decode_frames(contents, self._transform, None))
        return Clip(frames, fbank, _thumbnail(*contents[len(contents) // 2]))

    def _read_sound(self, clock: Clock) -> np.ndarray | None:
        try:
            sound, damage = read_video_sound(self.path, clock)
        except NoSoundTrack:
            self.add_note("No sound track: it was scored without.")
            return None
        except (DataError, av.FFmpegError) as error:
            self.add_note(f"The sound was left out ({error}): it was scored without.")
            return None
        if str(damage):
            self.add_note(f"Sound: {damage}.")
        return sound


def _thumbnail(path: str, content: bytes) -> bytes:
    picture = decode_picture(content, path, picture_size(content, path))
    height, width = picture.shape[:2]
    if width > THUMBNAIL_WIDTH:
        size = THUMBNAIL_WIDTH, max(1, round(height * THUMBNAIL_WIDTH / width))
        picture = cv2.resize(picture, size, interpolation=cv2.INTER_AREA)
    return encode_picture(picture)
