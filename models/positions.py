"""VideoMAE's position table and how it is moved to another grid.

VideoMAE adds a fixed sine table over the flattened 8x14x14 grid of its pre-training. Another grid gets its table by
resampling that one, so that a place in the picture keeps its code.
"""

from __future__ import annotations

import math

import torch
import torch.nn.functional as F
from torch import Tensor


def sine_table(n_positions: int, dim: int) -> Tensor:
    """Sine-cosine table (1, n_positions, dim) of "Attention is all you need", sines at even channels."""
    position = torch.arange(n_positions, dtype=torch.float64)[:, None]
    frequency = torch.exp(-math.log(10_000.0) * 2 * (torch.arange(dim, dtype=torch.float64) // 2) / dim)
    angle = position * frequency
    angle[:, 0::2] = angle[:, 0::2].sin()
    angle[:, 1::2] = angle[:, 1::2].cos()
    return angle.float()[None]


def resample_grid_3d(table: Tensor, source: tuple[int, int, int], target: tuple[int, int, int]) -> Tensor:
    """Trilinear resampling of a position table over (time, height, width).

    table: (1, T*H*W, D) of the grid `source`. Returns (1, T'*H'*W', D) of the grid `target`.
    """
    if source == target:
        return table
    dim = table.shape[-1]
    grid = table.reshape(1, *source, dim).permute(0, 4, 1, 2, 3)
    grid = F.interpolate(grid.float(), size=target, mode="trilinear", align_corners=False)
    return grid.flatten(2).transpose(1, 2).to(table.dtype)
