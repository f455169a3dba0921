"""Which patches are hidden from the student: the emotion-oriented mask (Eq. 6, 7) and the masks it is compared with.

A mask is bool (N, M), True = masked, with the same number of masked patches in every row.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor

MASKINGS = ("emotion", "attention", "random", "tube", "frame")


@dataclass(frozen=True)
class Masks:
    """What N segments hide of the patches of each stream."""

    hidden: dict[str, Tensor]  # bool (N, M), True = masked
    visible: dict[str, Tensor]  # int64 (N, n), places of the others, ascending


def masked_count(ratio: float, n: int) -> int:
    """ceil(ratio * n), for products that are whole up to rounding too."""
    return math.ceil(round(ratio * n, 6))


def emotion_oriented_mask(scores: Tensor, ratio: float, reveal: int) -> Tensor:
    """Eq. 7: of each row of attention scores (N, M), the `reveal` highest stay as hints, the next ceil(ratio * M) go.

    Equal scores are taken in the order of the patches. A row that ends before all are masked masks what is left.
    """
    n_patches = scores.shape[1]
    order = scores.argsort(dim=1, descending=True, stable=True)
    chosen = order[:, reveal : reveal + masked_count(ratio, n_patches)]
    return torch.zeros_like(scores, dtype=torch.bool).scatter(1, chosen, True)


def random_mask(n: int, n_patches: int, ratio: float, device: torch.device) -> Tensor:
    """MAE's mask: ceil(ratio * n_patches) patches of each of n rows, drawn uniformly."""
    return emotion_oriented_mask(torch.rand(n, n_patches, device=device), ratio, reveal=0)


def tube_mask(n: int, grid: tuple[int, int], ratio: float, device: torch.device) -> Tensor:
    """VideoMAE's mask: the same places at all times. grid: (times, places), times before places in the order."""
    return random_mask(n, grid[1], ratio, device).repeat(1, grid[0])


def frame_mask(n: int, grid: tuple[int, int], ratio: float, device: torch.device) -> Tensor:
    """All places of ceil(ratio * times) of the times. grid: (times, places), times before places."""
    return random_mask(n, grid[0], ratio, device).repeat_interleave(grid[1], dim=1)


def count_hidden(masking: str, grid: tuple[int, int], ratio: float, reveal: int) -> int:
    """Masked patches of each row of a mask, known without looking at it. grid: (times, places)."""
    times, places = grid
    if masking == "tube":
        return masked_count(ratio, places) * times
    if masking == "frame":
        return masked_count(ratio, times) * places
    return max(0, min(masked_count(ratio, times * places), times * places - reveal))


def visible_indices(mask: Tensor, n_hidden: int) -> Tensor:
    """Places of the patches that are not masked, ascending: int64 (N, M - n_hidden) of a mask that hides `n_hidden`."""
    return mask.to(torch.uint8).argsort(dim=1, stable=True)[:, : mask.shape[1] - n_hidden]
