"""The affective cues of a video's segments as tensors: what verification, the target and the masks are made of."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from datasets.lexicon import AffectiveLexicon


@dataclass
class SegmentCues:
    """Up to K cues in each of S segments, padded with invalid ones; C emotions, L word pieces."""

    sentiment: Tensor  # int8 (S, K), -1 or +1; 0 for padding
    emotion: Tensor  # float32 (S, K, C)
    degree: Tensor  # float32 (S, K)
    valid: Tensor  # bool (S, K)
    pieces: Tensor  # bool (S, K, L), the word pieces of the segment's text that the cue consists of
    words: list[list[str]]  # (S, number of cues)


def find_cues(texts: Sequence[str], places: Tensor, lexicon: AffectiveLexicon, max_cues: int) -> SegmentCues:
    """The first `max_cues` cues of each of S texts; places (S, L, 2) are those of its word pieces.

    A cue behind the last word piece, in a text that was cut, is left out.
    """
    n_segments, n_pieces = places.shape[:2]
    n_classes = len(lexicon.benchmark.classes)
    sentiment = np.zeros((n_segments, max_cues), dtype=np.int8)
    emotion = np.zeros((n_segments, max_cues, n_classes), dtype=np.float32)
    degree = np.zeros((n_segments, max_cues), dtype=np.float32)
    pieces = np.zeros((n_segments, max_cues, n_pieces), dtype=bool)
    words: list[list[str]] = []
    for segment, (text, place) in enumerate(zip(texts, places.numpy(), strict=True)):
        words.append([])
        for found in lexicon.find(text):
            inside = (place[:, 0] < found.end) & (place[:, 1] > found.start)
            if not inside.any() or len(words[-1]) == max_cues:
                break
            k = len(words[-1])
            sentiment[segment, k] = found.cue.sentiment
            emotion[segment, k] = found.cue.emotion
            degree[segment, k] = found.cue.degree
            pieces[segment, k] = inside
            words[-1].append(text[found.start : found.end])
    return SegmentCues(
        sentiment=torch.from_numpy(sentiment),
        emotion=torch.from_numpy(emotion),
        degree=torch.from_numpy(degree),
        valid=torch.from_numpy(sentiment != 0),
        pieces=torch.from_numpy(pieces),
        words=words,
    )
