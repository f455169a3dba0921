"""The only type that the rest of the project sees of the data."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, fields, replace

import torch
from torch import Tensor

from datasets.annotations import AnnotatedSegment

MODALITIES = ("visual", "audio", "text")


@dataclass
class VideoBatch:
    """B videos of S segments: T frames, F frames of spectrogram, L word pieces per segment; C emotions.

    Of a modality that was not asked for the tensor holds nothing; of one that a video lacks it holds zeros.
    """

    frames: Tensor  # uint8 (B, S, 3, T, H, W) RGB
    fbank: Tensor  # float32 (B, S, F, 128) log-mel, not normalised
    token_ids: Tensor  # int64 (B, S, L) word pieces of the block's subtitles: [CLS] ... [SEP] [PAD] ...
    token_mask: Tensor  # bool (B, S, L), True = not padding
    cue_sentiment: Tensor  # int8 (B, S, K) of the affective words, -1 or +1; 0 for padding
    cue_emotion: Tensor  # float32 (B, S, K, C)
    cue_degree: Tensor  # float32 (B, S, K)
    cue_valid: Tensor  # bool (B, S, K), True = not padding
    cue_pieces: Tensor  # bool (B, S, K, L), the word pieces of a cue
    given: Tensor  # bool (B, 3): has a picture, a sound, subtitles
    labels: Tensor  # int64 (B,)
    blocks: Tensor  # float32 (B, S, 2) start and end in seconds
    truth: Tensor  # float32 (B, S, C) annotated distribution, sums to 1; zeros without annotated segments
    keys: list[tuple[str, str]]  # (label, id)
    cue_words: list[list[list[str]]]  # of each video and segment, as they stand in the subtitles
    courses: list[tuple[AnnotatedSegment, ...]]
    skipped: list[str]  # one line per video that could not be read

    def __len__(self) -> int:
        return len(self.labels)

    def media(self) -> dict[str, tuple[Tensor, ...]]:
        """What models take, by modality; those that were not asked for are left out."""
        media = {"visual": (self.frames,), "audio": (self.fbank,), "text": (self.token_ids, self.token_mask)}
        return {name: tensors for name, tensors in media.items() if math.prod(tensors[0].shape[1:])}

    def present(self) -> dict[str, Tensor]:
        """Which of the videos have it, bool (B,) by modality."""
        return {name: self.given[:, i] for i, name in enumerate(MODALITIES)}

    def to(self, device: torch.device | str, non_blocking: bool = True) -> VideoBatch:
        """The batch with its tensors on `device`."""
        return self._map(lambda tensor: tensor.to(device, non_blocking=non_blocking))

    def pin_memory(self) -> VideoBatch:
        """The batch with its tensors in page-locked memory."""
        return self._map(Tensor.pin_memory)

    def stand_in(self) -> VideoBatch:
        """One video of zeros in the shapes of this batch, for a process that has none where others take a step.

        Its losses are finite and are to be weighted with 0.
        """
        zeros = self._map(lambda tensor: tensor.new_zeros((1, *tensor.shape[1:])))
        no_words = [[[] for _ in range(self.blocks.shape[1])]]
        return replace(
            zeros, token_mask=~zeros.token_mask, given=~zeros.given, cue_words=no_words, courses=[()]
        )  # fmt: skip

    def _map(self, change: Callable[[Tensor], Tensor]) -> VideoBatch:
        values = {field.name: getattr(self, field.name) for field in fields(self)}
        return replace(self, **{name: change(value) for name, value in values.items() if isinstance(value, Tensor)})


def collate(samples: Sequence[VideoBatch]) -> VideoBatch:
    """One batch of several; those of no video add only their line to `skipped`."""

    def joined(name: str) -> Tensor | list:
        values = [getattr(sample, name) for sample in samples]
        return torch.cat(values) if isinstance(values[0], Tensor) else [item for value in values for item in value]

    return VideoBatch(**{field.name: joined(field.name) for field in fields(VideoBatch)})
