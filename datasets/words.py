"""The words of a video's blocks: the pieces of its subtitles and the affective cues among them.

A video's blocks are the same in every epoch, so its words are read and looked up once in a process.
"""

from __future__ import annotations

import logging
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from datasets.annotations import Video
from datasets.cues import SegmentCues, find_cues
from datasets.lexicon import AffectiveLexicon
from datasets.subtitles import Subtitle, read_subtitles, subtitle_file, text_between
from datasets.tokens import encode_texts

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class BlockWords:
    """Words of S blocks, L pieces each. Not to be written to: it is kept."""

    token_ids: Tensor  # int16 (S, L), which holds the ids of bert-base-uncased, 0 to 30521
    token_mask: Tensor  # bool (S, L), True = not padding
    cues: SegmentCues


class WordReader:
    """Reads each video's subtitles once and keeps what `read` gives, about 8 kB a video (12 blocks of 32 pieces and 8
    cues, 8 emotions). Every reading process keeps those that it has read.

    videos: those to read; the ones without a file have no words, and are counted in a warning.
    srt_path: folder of the subtitles.
    max_tokens, max_cues: L and K.
    """

    def __init__(
        self, videos: Sequence[Video], srt_path: Path, lexicon: AffectiveLexicon, max_tokens: int, max_cues: int
    ) -> None:
        self.srt_path = srt_path
        self.lexicon = lexicon
        self.max_tokens, self.max_cues = max_tokens, max_cues
        self._kept: dict[tuple[Video, bytes], BlockWords] = {}
        self._wordless = {video for video in videos if not subtitle_file(srt_path, video.label, video.id).is_file()}
        if self._wordless:
            count = len(self._wordless), len(videos), srt_path
            log.warning("%d of %d videos have no subtitle file in %s and are read as without words", *count)
        encode_texts([""], max_tokens)  # loads the vocabulary once, before the workers are forked

    def read(self, video: Video, bounds: np.ndarray) -> BlockWords:
        """The words between `bounds`, float64 (S, 2), start and end of every block in seconds.

        Raises DataError if the subtitles cannot be read.
        """
        key = video, bounds.tobytes()
        if key not in self._kept:
            self._kept[key] = self._look_up(video, bounds)
        return self._kept[key]

    def end(self, video: Video) -> float:
        """When the last subtitle of a video goes, in seconds. Raises DataError if they cannot be read."""
        return max((subtitle.end for subtitle in self._subtitles(video)), default=0.0)

    def _subtitles(self, video: Video) -> list[Subtitle]:
        if video in self._wordless:
            return []
        return read_subtitles(subtitle_file(self.srt_path, video.label, video.id))

    def _look_up(self, video: Video, bounds: np.ndarray) -> BlockWords:
        subtitles = self._subtitles(video)
        texts = [text_between(subtitles, start, end) for start, end in bounds]
        ids, mask, places = encode_texts(texts, self.max_tokens)
        return BlockWords(ids.to(torch.int16), mask, find_cues(texts, places, self.lexicon, self.max_cues))
