from __future__ import annotations

import dataclasses
import logging
import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch.utils.data import DataLoader

from datasets import frame_packs
from datasets.annotations import AnnotatedSegment, Video
from datasets.audio import audio_file
from datasets.benchmarks import BENCHMARKS
from datasets.errors import DataError
from datasets.frame_folders import frame_file, frame_folder
from datasets.frame_packs import pack_file
from datasets.sampling import EpochBatches
from datasets.subtitles import subtitle_file
from datasets.video_batch import VideoBatch, collate
from datasets.video_emotion import Layout, VideoEmotionDataset
from tests.media import layout_in, tone, write_subtitles, write_video
from tools.pack_frames import main as pack_main

EK6 = BENCHMARKS["ek6"]
CUES = [("00:00:00,200", "00:00:00,900", "I love you"), ("00:00:02,200", "00:00:02,900", "no")]
COURSE = (AnnotatedSegment(0.0, 1.5, "joy", 1.0), AnnotatedSegment(1.5, 3.0, "fear", 0.5))
VIDEOS = (
    Video("a", "joy", "training", COURSE),
    Video("b", "fear", "training"),
    Video("c", "fear", "training"),
    Video("a", "fear", "training"),
)


def noise_video(layout: Layout, video: Video, seed: int, cues: Sequence[tuple[str, str, str]] | None = CUES) -> None:
    """3 s, 10 fps."""
    rng = np.random.default_rng(seed)
    frames = rng.integers(0, 256, (30, 24, 32, 3), dtype=np.uint8)
    waveform = rng.normal(0, 0.1, 48_000).astype(np.float32)
    write_video(layout, video.label, video.id, frames=frames, fps=10, waveform=waveform, cues=cues)


@pytest.fixture
def layout(tmp_path: Path) -> Layout:
    for seed, video in enumerate(VIDEOS):
        noise_video(layout_in(tmp_path), video, seed)
    return layout_in(tmp_path)


def dataset_of(layout: Layout, videos: Sequence[Video] = VIDEOS, **change: Any) -> VideoEmotionDataset:
    options = {"n_segments": 3, "snippet_duration": 4, "sample_size": 16, "max_tokens": 8, "training": False}
    return VideoEmotionDataset(videos, EK6, layout, **(options | change))


def assert_same(first: VideoBatch, second: VideoBatch) -> None:
    for field in dataclasses.fields(VideoBatch):
        one, two = getattr(first, field.name), getattr(second, field.name)
        assert torch.equal(one, two) if isinstance(one, torch.Tensor) else one == two, field.name


def test_shapes_types_and_contents_of_a_batch(layout: Layout) -> None:
    dataset = dataset_of(layout)
    batch = collate([dataset[0], dataset[1]])
    shapes = {
        field.name: (tuple(value.shape), value.dtype)
        for field in dataclasses.fields(batch)
        if isinstance(value := getattr(batch, field.name), torch.Tensor)
    }
    assert shapes == {
        "frames": ((2, 3, 3, 4, 16, 16), torch.uint8),
        "fbank": ((2, 3, 100, 128), torch.float32),
        "token_ids": ((2, 3, 8), torch.int64),
        "token_mask": ((2, 3, 8), torch.bool),
        "cue_sentiment": ((2, 3, 8), torch.int8),
        "cue_emotion": ((2, 3, 8, 6), torch.float32),
        "cue_degree": ((2, 3, 8), torch.float32),
        "cue_valid": ((2, 3, 8), torch.bool),
        "cue_pieces": ((2, 3, 8, 8), torch.bool),
        "given": ((2, 3), torch.bool),
        "labels": ((2,), torch.int64),
        "blocks": ((2, 3, 2), torch.float32),
        "truth": ((2, 3, 6), torch.float32),
    }
    assert len(batch) == 2
    assert batch.labels.tolist() == [3, 2]  # joy, fear
    assert batch.keys == [("joy", "a"), ("fear", "b")]
    assert batch.courses == [COURSE, ()]
    assert batch.skipped == []
    assert batch.blocks[0].tolist() == [[0, 1], [1, 2], [2, 3]]
    # I love you / nothing / no, in the vocabulary of bert-base-uncased.
    assert batch.token_ids[0].tolist() == [
        [101, 1045, 2293, 2017, 102, 0, 0, 0],
        [101, 102, 0, 0, 0, 0, 0, 0],
        [101, 2053, 102, 0, 0, 0, 0, 0],
    ]
    assert batch.token_mask[0].sum(dim=1).tolist() == [5, 2, 3]
    # Of 2.25 in all: joy 1 s and 0.5 s; fear half of 0.5 s and of 1 s.
    expected = torch.zeros(3, 6)
    expected[0, 3], expected[1, 3], expected[1, 2], expected[2, 2] = 1 / 2.25, 0.5 / 2.25, 0.25 / 2.25, 0.5 / 2.25
    torch.testing.assert_close(batch.truth[0], expected)
    assert not batch.truth[1].any()


def test_moving_a_batch_moves_every_tensor_and_nothing_else(layout: Layout) -> None:
    batch = dataset_of(layout)[0]
    moved = batch.to("meta")
    assert all(value.is_meta for value in vars(moved).values() if isinstance(value, torch.Tensor))
    assert (moved.keys, moved.courses) == (batch.keys, batch.courses)
    assert not batch.frames.is_meta


def stepped_video(layout: Layout, onset: float, fps: float | None) -> Video:
    """12 s: frame i is grey of level i until `onset` and 130 brighter from then on, just when a tone sets in."""
    levels = [i + (130 if i / 10 >= onset else 0) for i in range(120)]
    frames = [np.full((16, 16, 3), level, dtype=np.uint8) for level in levels]
    waveform = tone(12, 44_100)
    waveform[: round(onset * 44_100)] = 0
    video = Video("step", "joy", "training")
    write_video(layout, "joy", "step", frames=frames, fps=fps, waveform=waveform, rate=44_100)
    return video


@pytest.mark.parametrize("fps", [10.0, None], ids=["fps known", "fps from the sound"])
@pytest.mark.parametrize("onset", [6.0, 7.0])
@pytest.mark.parametrize("training", [False, True])
def test_picture_and_sound_of_a_segment_are_of_the_same_instant(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, fps: float | None, onset: float, training: bool
) -> None:
    monkeypatch.setattr("datasets.transforms.AUGMENTATION_PROBABILITY", 0.0)
    layout = layout_in(tmp_path)
    sizes = {"n_segments": 8, "snippet_duration": 4, "freq_mask": 0, "time_mask": 0}
    dataset = dataset_of(layout, [stepped_video(layout, onset, fps)], training=training, **sizes)
    mixed = 0
    for epoch in range(12 if training else 1):
        sample = dataset[epoch, 0]
        levels = sample.frames[0].float().mean(dim=(1, 3, 4)).round()  # (8, 4)
        loud = (
            (sample.fbank[0].amax(dim=2) > 0).float().mean(dim=1)
        )  # (8,) share of the second in which the tone sounds
        # The level says which frame it is; the four of a clip are shown from first / 10 to (first + 4) / 10 seconds.
        first = torch.where(levels >= 130, levels - 130, levels)[:, 0]
        share = (0.5 + (first + 2) / 10 - onset).clamp(0, 1)
        torch.testing.assert_close(loud, share, atol=0.04, rtol=0)
        mixed += int(((share > 0.05) & (share < 0.95)).sum())
    if training or onset == 7.0:
        assert mixed  # a second in which the tone sets in was among them


def test_unknown_frame_rate_means_frames_span_the_sound(tmp_path: Path) -> None:
    layout = layout_in(tmp_path)
    dataset = dataset_of(layout, [stepped_video(layout, 6.0, None)], n_segments=4)
    expected = torch.tensor([[0.0, 3], [3, 6], [6, 9], [9, 12]])
    torch.testing.assert_close(dataset[0].blocks[0], expected, atol=0.01, rtol=0)


def test_training_depends_on_seed_epoch_and_index_alone(layout: Layout) -> None:
    first, second = dataset_of(layout, training=True, seed=3), dataset_of(layout, training=True, seed=3)
    later = first[7, 1]
    for index in (2, 0, 1):
        first[0, index]
    assert_same(first[7, 1], later)
    assert_same(second[7, 1], later)
    assert_same(first[1], first[0, 1])
    others = [first[8, 1], dataset_of(layout, training=True, seed=4)[7, 1]]
    assert not any(torch.equal(other.fbank, later.fbank) for other in others)


def test_evaluation_is_the_same_in_every_epoch(layout: Layout) -> None:
    dataset = dataset_of(layout)
    assert_same(dataset[0, 2], dataset[9, 2])


@pytest.mark.parametrize("training", [True, False])
def test_worker_processes_change_nothing(layout: Layout, training: bool) -> None:
    dataset = dataset_of(layout, training=training)
    batches = []
    for workers in (0, 2):
        sampler = EpochBatches(len(dataset), 3, seed=1, shuffle=True)
        sampler.set_epoch(5)
        batches.append(list(DataLoader(dataset, batch_sampler=sampler, num_workers=workers, collate_fn=collate)))
    assert [len(batch) for batch in batches[0]] == [3, 1]
    for one, two in zip(*batches, strict=True):
        assert_same(one, two)


@pytest.mark.parametrize("training", [True, False])
def test_a_cache_of_sound_changes_nothing(
    layout: Layout, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, training: bool
) -> None:
    loaders = [
        DataLoader(
            dataset_of(layout, training=training, sound_cache=folder), 2, num_workers=workers, collate_fn=collate
        )
        for folder, workers in ((None, 0), (tmp_path / "sound", 2), (tmp_path / "sound", 2), (tmp_path / "sound", 0))
    ]
    expected, *others = map(list, loaders[:-1])
    monkeypatch.setattr("datasets.audio.log_mel", None)  # all of it is there by now
    for batches in (*others, list(loaders[-1])):
        for one, two in zip(expected, batches, strict=True):
            assert_same(one, two)
    assert len(list((tmp_path / "sound").iterdir())) == len(VIDEOS)
    dataset = dataset_of(layout, training=training, sound_cache=tmp_path / "none", sound_cache_limit=0)
    with pytest.raises(DataError, match="not callable"):
        dataset[0]


def test_a_sound_that_is_lost_during_training_is_told_in_spite_of_a_cache(layout: Layout, tmp_path: Path) -> None:
    dataset = dataset_of(layout, sound_cache=tmp_path / "sound")
    assert len(dataset[0]) == 1
    path = audio_file(layout.audio_path, "joy", "a")
    path.unlink()
    with pytest.raises(DataError, match=f"{path}: No such file"):
        dataset[0]


def test_a_video_shorter_than_a_clip_and_sound_shorter_than_a_second(tmp_path: Path) -> None:
    layout, video = layout_in(tmp_path), Video("short", "joy", "training")
    frames = [np.full((8, 8, 3), level, dtype=np.uint8) for level in (50, 200)]
    write_video(layout, "joy", "short", frames=frames, fps=10, waveform=tone(0.2, 16_000))
    for training in (True, False):
        sample = dataset_of(layout, [video], training=training)[0]
        assert sample.frames.shape == (1, 3, 3, 4, 16, 16)
        assert sample.fbank.shape == (1, 3, 100, 128)
    levels = sample.frames[0, 0, 0].float().mean(dim=(1, 2)).round().tolist()
    assert levels == pytest.approx([50, 200, 50, 200], abs=2)
    # 0.2 s are 18 frames of sound, repeated.
    torch.testing.assert_close(sample.fbank[0, 0, 18:36], sample.fbank[0, 0, :18])


@pytest.mark.parametrize("lost", ["folder", "n_frames", "first frame", "sound", "empty sound"])
def test_missing_files_are_found_before_training(layout: Layout, lost: str) -> None:
    folder, sound = frame_folder(layout.video_path, "fear", "b"), audio_file(layout.audio_path, "fear", "b")
    path = {"folder": folder / "n_frames", "n_frames": folder / "n_frames", "first frame": frame_file(folder, 0)}.get(
        lost, sound
    )
    if lost == "folder":
        folder.rename(folder.with_name("elsewhere"))
    elif lost == "empty sound":
        path.write_bytes(b"")
    else:
        path.unlink()
    with pytest.raises(DataError, match=r"1 of 4 videos cannot be read; the first: .*check_dataset") as caught:
        dataset_of(layout)
    assert f"{path}: " in str(caught.value)
    dataset = dataset_of(layout, skip_bad=True)
    assert [(video.label, video.id) for video in dataset.videos] == [("joy", "a"), ("fear", "c"), ("fear", "a")]
    assert len(dataset) == 3
    assert len(dataset.left_out) == 1
    assert str(path) in dataset.left_out[0]


@pytest.mark.parametrize("training", [True, False])
@pytest.mark.parametrize("workers", [0, 2])
def test_packs_give_the_batches_of_their_folders(layout: Layout, training: bool, workers: int) -> None:
    def batches() -> list[VideoBatch]:
        dataset = dataset_of(layout, training=training)
        sampler = EpochBatches(len(dataset), 3, seed=1, shuffle=True)
        return list(DataLoader(dataset, batch_sampler=sampler, num_workers=workers, collate_fn=collate))

    expected = batches()
    assert pack_main([str(layout.video_path), str(layout.video_path), "--jobs", "1"]) == 0
    for folder in layout.video_path.glob("*/[abc]"):
        shutil.rmtree(folder)
    for one, two in zip(expected, batches(), strict=True):
        assert_same(one, two)


def test_a_later_sample_reads_nothing_but_its_frames(
    layout: Layout, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert pack_main([str(layout.video_path), str(layout.video_path), "--jobs", "1"]) == 0
    monkeypatch.setattr("datasets.spectrograms.SETTLED", 0)
    dataset = dataset_of(layout, training=True, sound_cache=tmp_path / "sound")
    expected = dataset[1, 0]
    for name in ("audio.read_content", "words.read_subtitles", "words.find_cues", "frame_packs.list_members"):
        monkeypatch.setattr(f"datasets.{name}", None)
    read = []
    original = frame_packs.read_member
    monkeypatch.setattr(frame_packs, "read_member", lambda *args: read.append(args[2]) or original(*args))
    assert_same(dataset[1, 0], expected)
    assert len(read) == len(set(read)) == 3 * 4, "12 different frames, each read once"


def test_packs_that_cannot_be_read(layout: Layout) -> None:
    path = pack_file(layout.video_path, "fear", "b")
    path.write_bytes(b"")
    with pytest.raises(DataError, match=rf"1 of 4 videos cannot be read; the first: {path}: is empty"):
        dataset_of(layout)
    path.write_bytes(b"not a zip file")
    with pytest.raises(DataError, match=rf"^{path}: is cut off or no zip file"):
        dataset_of(layout)[1]
    assert dataset_of(layout, skip_bad=True)[1].skipped[0].startswith(f"{path}: is cut off or no zip file")


def test_a_batch_may_be_written_to(layout: Layout) -> None:
    dataset = dataset_of(layout)
    batch, expected = collate([dataset[0]]), collate([dataset[0]])
    for value in vars(batch).values():
        if isinstance(value, torch.Tensor):
            value.zero_()
    assert_same(collate([dataset[0]]), expected)


def damage(layout: Layout, video: Video) -> Path:
    path = frame_file(frame_folder(layout.video_path, video.label, video.id), 14)
    path.write_bytes(path.read_bytes()[:100])
    return path


@pytest.mark.parametrize("workers", [0, 2])
def test_a_corrupt_file_is_one_line_that_names_it(layout: Layout, workers: int) -> None:
    path = damage(layout, VIDEOS[1])
    loader = DataLoader(dataset_of(layout), 2, num_workers=workers, collate_fn=collate)
    with pytest.raises(DataError) as caught:
        list(loader)
    expected = f"{path}: is cut off or no JPEG; `python tools/check_dataset.py --root_path DATA` lists all such, "
    expected += "--skip_bad leaves them out"
    assert str(caught.value) == expected


def test_skip_bad_leaves_a_corrupt_video_out_of_its_batch(layout: Layout) -> None:
    path = damage(layout, VIDEOS[1])
    dataset = dataset_of(layout, skip_bad=True)
    batch = collate([dataset[index] for index in range(4)])
    assert batch.keys == [("joy", "a"), ("fear", "c"), ("fear", "a")]
    assert len(batch) == 3
    assert len(batch.frames) == 3
    assert len(batch.skipped) == 1
    assert str(path) in batch.skipped[0]


def test_skip_bad_with_nothing_left_gives_a_batch_of_no_video(layout: Layout) -> None:
    damage(layout, VIDEOS[1])
    dataset = dataset_of(layout, skip_bad=True)
    batch = collate([dataset[1], dataset[0, 1]])
    assert len(batch) == 0
    assert (batch.keys, len(batch.skipped)) == ([], 2)
    whole = dataset[0]
    for field in dataclasses.fields(batch):
        value = getattr(batch, field.name)
        if isinstance(value, torch.Tensor):
            assert value.shape[1:] == getattr(whole, field.name).shape[1:], field.name
            assert value.dtype == getattr(whole, field.name).dtype, field.name


def test_missing_subtitles_are_no_words_and_told_once(layout: Layout, caplog: pytest.LogCaptureFixture) -> None:
    for video in VIDEOS[1:3]:
        subtitle_file(layout.srt_path, video.label, video.id).unlink()
    with caplog.at_level(logging.WARNING):
        dataset = dataset_of(layout)
        samples = [dataset[index] for index in range(4)]
    assert [sample.token_mask.sum().item() for sample in samples] == [10, 6, 6, 10]
    assert [record.getMessage().split(" in ")[0] for record in caplog.records] == [
        "2 of 4 videos have no subtitle file"
    ]


def test_a_cue_over_two_blocks_is_in_both(layout: Layout) -> None:
    write_subtitles(subtitle_file(layout.srt_path, "joy", "a"), [("00:00:00,500", "00:00:01,500", "no")])
    assert dataset_of(layout)[0].token_ids[0, :, 1].tolist() == [2053, 2053, 102]


def test_no_videos_and_only_bad_videos(layout: Layout) -> None:
    assert len(dataset_of(layout, [])) == 0
    gone = [Video("gone", "joy", "training")]
    assert len(dataset_of(layout, gone, skip_bad=True)) == 0
