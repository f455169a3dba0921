"""Which videos come when, and in which of several processes."""

from __future__ import annotations

import math
from collections.abc import Iterator

import numpy as np
from torch.utils.data import Sampler

Key = tuple[int, int | None]  # epoch and index of a video; None for a batch of no video


class EpochBatches(Sampler[list[Key]]):
    """Keys of the batches of one process, out of `share` = (its number, how many there are).

    Shuffled, for training: the order depends on (seed, epoch) alone. A step of all processes takes the next
    `batch_size` videos for each of them in turn, and all take part in every step; those for whom none are left in the
    last one get a batch of no video. Not shuffled, for evaluation: each process has its own stretch of the videos.
    """

    def __init__(
        self, n_videos: int, batch_size: int, *, seed: int = 0, shuffle: bool, share: tuple[int, int] = (0, 1)
    ) -> None:
        self.n_videos, self.batch_size = n_videos, batch_size
        self.seed, self.shuffle = seed, shuffle
        self.share = share
        self.epoch = self.behind = 0

    def set_epoch(self, epoch: int, behind: int = 0) -> None:
        """The epoch of the next iteration, of whose batches, all processes', `behind` whole steps' are left out."""
        self.epoch, self.behind = epoch, behind

    def __len__(self) -> int:
        """Of a whole epoch."""
        if self.shuffle:
            return math.ceil(self.n_videos / (self.batch_size * self.share[1]))
        return math.ceil(len(self._stretch()) / self.batch_size)

    def __iter__(self) -> Iterator[list[Key]]:
        number, count = self.share
        order, first, stride = self._stretch(), 0, self.batch_size
        if self.shuffle:
            order = np.random.default_rng((self.seed, self.epoch)).permutation(self.n_videos)
            first, stride = number * self.batch_size, count * self.batch_size
        for start in range(first + math.ceil(self.behind / count) * stride, first + len(self) * stride, stride):
            yield [(self.epoch, int(index)) for index in order[start : start + self.batch_size]] or [(self.epoch, None)]

    def _stretch(self) -> range:
        number, count = self.share
        return range(self.n_videos * number // count, self.n_videos * (number + 1) // count)
