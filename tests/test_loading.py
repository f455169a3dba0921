"""Which videos are held out, drawn and shown."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import torch

from datasets.annotations import Video, read_annotation
from datasets.benchmarks import BENCHMARKS
from datasets.loading import draw_per_class, hold_out, read_spread, still
from datasets.video_emotion import Layout, VideoEmotionDataset

VIDEOS = [Video(f"v{i}", label, "training") for i in range(5) for label in ("Joy", "Fear")] + [
    Video("only", "Anger", "training")
]


def test_drawing_takes_so_many_of_each_class_in_their_order() -> None:
    drawn = draw_per_class(VIDEOS, 2, seed=0)
    assert Counter(video.label for video in drawn) == {"Joy": 2, "Fear": 2, "Anger": 1}
    assert drawn == [video for video in VIDEOS if video in drawn]
    assert draw_per_class(VIDEOS, 2, seed=0) == drawn
    assert len({tuple(draw_per_class(VIDEOS, 2, seed)) for seed in range(8)}) > 1


def test_a_smaller_draw_is_part_of_a_larger_one() -> None:
    assert set(draw_per_class(VIDEOS, 1, seed=3)) < set(draw_per_class(VIDEOS, 3, seed=3))


def test_drawing_more_than_there_are_takes_all() -> None:
    assert draw_per_class(VIDEOS, 9, seed=0) == VIDEOS


def test_holding_out_parts_every_class_and_keeps_one() -> None:
    training, held = hold_out(VIDEOS, 0.4, seed=0)
    assert Counter(video.label for video in held) == {"Joy": 2, "Fear": 2}
    assert sorted(training + held, key=VIDEOS.index) == VIDEOS


def test_still_videos_are_always_the_same(tiny_dataset: Path) -> None:
    annotation = read_annotation(tiny_dataset / f"{tiny_dataset.name}.json")
    layout = Layout(*(tiny_dataset / part for part in ("imgs", "mp3", "srt")))
    dataset = VideoEmotionDataset(
        annotation.subset("training"), BENCHMARKS["ve8"], layout,
        n_segments=2, snippet_duration=4, sample_size=32, training=True,
    )  # fmt: skip
    one, two = (read_spread(still(dataset), 3) for _ in range(2))
    assert dataset.training, "the dataset itself still augments"
    assert len(one) == 3 and one.keys == two.keys and len(set(one.keys)) == 3
    assert torch.equal(one.frames, two.frames) and torch.equal(one.fbank, two.fbank)
    assert len(read_spread(dataset, 10_000)) == len(dataset)
