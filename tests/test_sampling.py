"""Every video comes once, in an order of seed and epoch alone, however many processes share the work."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from datasets.sampling import EpochBatches, Key


def batches(n_videos: int, size: int, epoch: int = 0, seed: int = 0, shuffle: bool = True, **share) -> list[list[Key]]:
    sampler = EpochBatches(n_videos, size, seed=seed, shuffle=shuffle, **share)
    sampler.set_epoch(epoch)
    found = list(sampler)
    assert len(found) == len(sampler)
    return found


def order(*args: object, **flags: object) -> list[int]:
    return [index for batch in batches(*args, **flags) for _, index in batch]


def test_order_depends_on_seed_and_epoch() -> None:
    assert sorted(order(20, 3, 4)) == list(range(20))
    assert order(20, 3, 4) == order(20, 3, 4) != order(20, 3, 5)
    assert order(20, 3, 4) != order(20, 3, 4, seed=1)
    assert batches(20, 3, 4)[0][0][0] == 4
    assert order(20, 3, shuffle=False) == list(range(20))
    assert list(map(len, batches(7, 3))) == [3, 3, 1]


def test_a_step_of_two_processes_is_two_batches_of_one() -> None:
    alone = batches(16, 3)
    first, second = (batches(16, 3, share=(number, 2)) for number in (0, 1))
    assert [first[0], second[0], first[1], second[1]] == alone[:4]
    assert (first[2], second[2]) == (alone[4], alone[5])
    assert batches(7, 6, share=(1, 2))[-1] == order_keys(7, 6)[6:]
    assert batches(6, 6, share=(1, 2)) == [[(0, None)]], "it takes part without a video"


def order_keys(n_videos: int, size: int) -> list[Key]:
    return [key for batch in batches(n_videos, size) for key in batch]


@given(st.integers(1, 60), st.integers(1, 9), st.integers(1, 7), st.booleans())
def test_processes_share_all_videos(n_videos: int, size: int, count: int, shuffle: bool) -> None:
    parts = [batches(n_videos, size, shuffle=shuffle, share=(number, count)) for number in range(count)]
    videos = [index for part in parts for batch in part for _, index in batch if index is not None]
    assert sorted(videos) == list(range(n_videos))
    assert all(len(batch) <= size for part in parts for batch in part)
    if shuffle:
        assert len({len(part) for part in parts}) == 1, "all take part in every step"
    else:
        assert videos == list(range(n_videos)) and not any(batch == [(0, None)] for part in parts for batch in part)


@pytest.mark.parametrize("shuffle", [True, False])
def test_no_videos_are_no_batches(shuffle: bool) -> None:
    assert batches(0, 4, shuffle=shuffle) == []


@given(st.integers(1, 60), st.integers(1, 9), st.integers(1, 4), st.integers(1, 4), st.integers(0, 9))
def test_an_epoch_goes_on_in_more_or_fewer_processes(n_videos: int, size: int, was: int, now: int, steps: int) -> None:
    """Steps of `was` x `now` batches: as many batches a process as there are others."""
    whole = batches(n_videos, size)
    behind = min(steps * was * now, was * len(batches(n_videos, size, share=(0, was))))
    parts = []
    for number in range(now):
        sampler = EpochBatches(n_videos, size, shuffle=True, share=(number, now))
        sampler.set_epoch(0, behind)
        parts.append(list(sampler))
    assert len({len(part) for part in parts}) == 1
    in_order = [batch for step in zip(*parts, strict=True) for batch in step]
    assert [batch for batch in in_order if batch != [(0, None)]] == whole[behind:]
