"""Position tables of VideoMAE and AST, and how they are moved to another grid of patches.

VideoMAE adds a fixed sine table over the flattened 8x14x14 grid of its pre-training. Another grid gets its table by
resampling that one, so that a place in the picture keeps its code. AST learns the table of its 12x101 grid; a shorter
sound takes the middle of it.
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


def fit_grid_2d(table: Tensor, source: tuple[int, int], target: tuple[int, int]) -> Tensor:
    """A table over (frequency, time) for another grid, as AST's code does it.

    Fewer steps in time are cut out around the middle; more of them, or other bands, are interpolated bilinearly.
    table: (1, F*T, D) of the grid `source`. Returns (1, F'*T', D) of the grid `target`.
    """
    if source == target:
        return table
    grid = table.reshape(1, *source, table.shape[-1]).permute(0, 3, 1, 2)
    if target[1] < source[1]:
        start = source[1] // 2 - target[1] // 2
        grid = grid[..., start : start + target[1]]
    if grid.shape[2:] != target:
        grid = F.interpolate(grid.float(), size=target, mode="bilinear", align_corners=False)
    return grid.flatten(2).transpose(1, 2).to(table.dtype)
