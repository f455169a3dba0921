"""Seeded stratified k-fold: every video is in the test part of one of K splits, each class spread evenly over them."""

from __future__ import annotations

import random
from collections.abc import Iterable
from dataclasses import replace

from datasets.annotations import Video
from datasets.errors import DataError


def with_folds(videos: Iterable[Video], n_folds: int, seed: int) -> list[Video]:
    """The same videos, in the same order, with `n_folds` splits in place of theirs.

    Sizes of the folds differ by at most one, over all and within a class. The draw depends on the seed and on which
    videos there are, not on their order. Raises DataError where the folds are too many or fewer than two.
    """
    videos = list(videos)
    if not 2 <= n_folds <= len(videos):
        raise DataError(f"--folds {n_folds}: choose 2 to {len(videos)}, the number of videos")
    drawn = sorted(videos, key=lambda video: (video.label, video.id))
    random.Random(seed).shuffle(drawn)
    drawn.sort(key=lambda video: video.label)  # stable: shuffled within a class, one class after the other
    fold_of = {(video.label, video.id): place % n_folds for place, video in enumerate(drawn)}
    return [_in_fold(video, fold_of[video.label, video.id], n_folds) for video in videos]


def _in_fold(video: Video, fold: int, n_folds: int) -> Video:
    subsets = tuple("validation" if split == fold else "training" for split in range(n_folds))
    return replace(video, subset=subsets[0], subsets=subsets)
