"""Masks: which patches go, how many, and where they lie."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from models.masking import (
    count_hidden,
    emotion_oriented_mask,
    frame_mask,
    masked_count,
    random_mask,
    tube_mask,
    visible_indices,
)

CPU = torch.device("cpu")


@pytest.mark.parametrize(
    ("scores", "ratio", "reveal", "masked"),
    [
        ([0.1, 0.4, 0.3, 0.2], 0.5, 1, [2, 3]),  # order 1 2 3 0: the first stays, the next two go
        ([0.1, 0.4, 0.3, 0.2], 0.25, 0, [1]),
        ([0.1, 0.4, 0.3, 0.2], 0.3, 1, [2, 3]),  # ceil(1.2) = 2
        ([0.5, 0.5, 0.5, 0.5], 0.5, 1, [1, 2]),  # equal scores in the order of the patches
        ([0.1, 0.4, 0.3, 0.2], 0.75, 2, [0, 3]),  # only two are left to mask
        ([0.1, 0.4, 0.3, 0.2], 0.0, 1, []),
        ([0.7], 1.0, 0, [0]),
    ],
)
def test_emotion_oriented_mask_by_hand(scores: list[float], ratio: float, reveal: int, masked: list[int]) -> None:
    mask = emotion_oriented_mask(torch.tensor([scores]), ratio, reveal)
    assert mask.dtype == torch.bool and mask[0].nonzero().flatten().tolist() == masked


@pytest.mark.parametrize(("ratio", "n", "count"), [(0.7, 10, 7), (0.1, 392, 40), (0.1, 30, 3), (0.29, 100, 29)])
def test_whole_products_are_not_rounded_up(ratio: float, n: int, count: int) -> None:
    assert masked_count(ratio, n) == count


@given(st.integers(1, 40), st.floats(0, 1), st.integers(0, 10), st.integers(0, 1000))
def test_every_row_masks_as_many(n_patches: int, ratio: float, reveal: int, seed: int) -> None:
    scores = torch.rand(3, n_patches, generator=torch.Generator().manual_seed(seed))
    mask = emotion_oriented_mask(scores, ratio, reveal)
    assert set(mask.sum(dim=1).tolist()) == {max(0, min(masked_count(ratio, n_patches), n_patches - reveal))}
    visible = visible_indices(mask, count_hidden("emotion", (1, n_patches), ratio, reveal))
    assert not mask.gather(1, visible).any() and visible.shape[1] + int(mask[0].sum()) == n_patches
    assert (visible.diff(dim=1) > 0).all()


def test_random_masks_differ_from_row_to_row() -> None:
    torch.manual_seed(0)
    mask = random_mask(50, 20, 0.25, CPU)
    assert mask.sum(dim=1).tolist() == [5] * 50
    assert mask.float().mean(dim=0).max() < 0.5 and len({tuple(row) for row in mask.tolist()}) > 40


def test_tubes_run_through_all_times_and_frames_through_all_places() -> None:
    tubes = tube_mask(4, (3, 8), 0.5, CPU).unflatten(1, (3, 8))
    assert count_hidden("tube", (3, 8), 0.5, 0) == tubes[0].sum()
    assert (tubes == tubes[:, :1]).all() and tubes[:, 0].sum(dim=1).tolist() == [4] * 4
    frames = frame_mask(4, (3, 8), 0.5, CPU).unflatten(1, (3, 8))
    assert count_hidden("frame", (3, 8), 0.5, 0) == frames[0].sum()
    assert (frames == frames[:, :, :1]).all() and frames[:, :, 0].sum(dim=1).tolist() == [2] * 4
