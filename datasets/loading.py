"""From an annotated split to batches: the held-out part, the order of an epoch, the reading processes."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from contextlib import suppress
from copy import copy
from typing import TypeVar

import numpy as np
import torch
from torch.utils.data import DataLoader

from datasets.annotations import Video
from datasets.errors import DataError
from datasets.readers import Readers
from datasets.sampling import EpochBatches
from datasets.video_batch import VideoBatch, collate
from datasets.video_emotion import VideoEmotionDataset

Item = TypeVar("Item")


def hold_out(videos: Sequence[Video], fraction: float, seed: int) -> tuple[list[Video], list[Video]]:
    """Part for training and part for choosing an epoch, the same share of every class.

    A class of n videos gives round(n * fraction), but keeps one for training. The draw depends on `seed` alone.
    """
    held: set[tuple[str, str]] = set()
    for members in _shuffled_classes(videos, seed):
        count = min(round(len(members) * fraction), len(members) - 1)
        held |= {(video.label, video.id) for video in members[:count]}
    return (
        [video for video in videos if (video.label, video.id) not in held],
        [video for video in videos if (video.label, video.id) in held],
    )


def draw_per_class(videos: Sequence[Video], count: int, seed: int) -> list[Video]:
    """`count` videos of each class, or all it has, in their order. The draw depends on `seed` alone."""
    drawn = {(video.label, video.id) for members in _shuffled_classes(videos, seed) for video in members[:count]}
    return [video for video in videos if (video.label, video.id) in drawn]


def _shuffled_classes(videos: Sequence[Video], seed: int) -> list[list[Video]]:
    by_label: dict[str, list[Video]] = defaultdict(list)
    for video in videos:
        by_label[video.label].append(video)
    rng = np.random.default_rng(seed)
    classes = (sorted(by_label[label], key=lambda video: video.id) for label in sorted(by_label))
    return [[members[i] for i in rng.permutation(len(members))] for members in classes]


def still(dataset: VideoEmotionDataset) -> VideoEmotionDataset:
    """The same videos in the same segments, read without augmentation: always the same."""
    copied = copy(dataset)
    copied.training = False
    return copied


def read_spread(dataset: VideoEmotionDataset, count: int) -> VideoBatch:
    """`count` videos, or all there are, from the beginning to the end of the dataset."""
    return collate([dataset[i] for i in spread(range(len(dataset)), min(count, len(dataset)))])


def segment_seconds(dataset: VideoEmotionDataset, count: int = 64) -> float | None:
    """Length of a segment as training sees it: the median over `count` videos from the first to the last.

    None where not one of them can be read, which training will say.
    """
    lengths = []
    for video in spread(dataset.videos, min(count, len(dataset.videos))):
        with suppress(DataError):
            lengths.append(dataset.seconds(video) / dataset.n_segments)
    return float(np.median(lengths)) if lengths else None


def spread(items: Sequence[Item], count: int) -> list[Item]:
    """`count` of the items, no more than there are, at equal distances from the first on."""
    return [items[i * len(items) // count] for i in range(count)]


def make_loader(
    dataset: VideoEmotionDataset,
    *,
    batch_size: int,
    n_threads: int,
    shuffle: bool,
    seed: int,
    share: tuple[int, int] = (0, 1),
    read_timeout: float = 0.0,
) -> DataLoader:
    """The batches of `EpochBatches`: every video once. Call `loader.batch_sampler.set_epoch(e)` before epoch e.

    A reading process that dies, or a batch for which one waits `read_timeout` seconds (0 = for ever), raises what
    `readers.explain` makes one line of.
    """
    return DataLoader(
        dataset,
        batch_sampler=EpochBatches(len(dataset), batch_size, seed=seed, shuffle=shuffle, share=share),
        num_workers=n_threads,
        collate_fn=collate,
        pin_memory=torch.cuda.is_available(),
        persistent_workers=n_threads > 0,
        timeout=read_timeout,
        worker_init_fn=Readers(n_threads).begin if n_threads else None,
    )
