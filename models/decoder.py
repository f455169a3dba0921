"""Recovery of masked patches: a light decoder over visible tokens and mask tokens (MAE), and what it should recover."""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn

from models.layers import TransformerLayer, initialise
from models.positions import sine_table

HOG_BINS = 9


class PatchDecoder(nn.Module):
    """From the visible tokens of one modality to values of all its patches.

    Args:
        embed_dim: width of the encoder's tokens.
        n_patches: patches of a segment, visible and masked.
        out_dim: values of a patch.
    """

    def __init__(self, embed_dim: int, n_patches: int, out_dim: int, width: int, depth: int, num_heads: int) -> None:
        super().__init__()
        self.project = nn.Linear(embed_dim, width)
        self.mask_token = nn.Parameter(torch.zeros(1, 1, width))
        self.blocks = nn.ModuleList(TransformerLayer(width, num_heads) for _ in range(depth))
        self.norm = nn.LayerNorm(width, eps=1e-6)
        self.head = nn.Linear(width, out_dim)
        initialise(self)
        self.register_buffer("positions", sine_table(n_patches, width))

    def forward(self, tokens: Tensor, visible: Tensor) -> Tensor:
        """tokens (N, n, D) of the patches at `visible` (N, n) to values (N, M, out_dim) of all patches."""
        known = self.project(tokens)
        index = visible[..., None].expand(-1, -1, known.shape[-1])
        canvas = self.mask_token.to(known.dtype).repeat(len(known), self.positions.shape[1], 1)
        hidden = canvas.scatter(1, index, known) + self.positions
        for block in self.blocks:
            hidden = block(hidden)
        return self.head(self.norm(hidden))


def video_patches(clips: Tensor, tubelet_size: int, patch_size: int) -> Tensor:
    """Pixels of every tubelet, in the encoder's order: (N, 3, T, H, W) to (N, M, tubelet_size * patch_size**2 * 3)."""
    n, channels, t, h, w = clips.shape
    p = patch_size
    grid = clips.reshape(n, channels, t // tubelet_size, tubelet_size, h // p, p, w // p, p)
    return grid.permute(0, 2, 4, 6, 3, 5, 7, 1).reshape(n, (t // tubelet_size) * (h // p) * (w // p), -1)


def spectrogram_patches(fbank: Tensor, patch_size: int, stride: int) -> Tensor:
    """Energies of every patch, in the encoder's order: (N, T, F) to (N, M, patch_size**2); patches may overlap."""
    image = fbank.transpose(1, 2)  # (N, F, T), frequency before time as the encoder has it
    return image.unfold(1, patch_size, stride).unfold(2, patch_size, stride).flatten(1, 2).flatten(2)


def hog(patches: Tensor) -> Tensor:
    """Histograms of oriented gradients (Dalal and Triggs 2005): grey patches (..., P, P) to (..., 4 * HOG_BINS).

    Four cells a patch, unsigned orientations, each gradient weighted by its size and shared by the two nearest bins,
    each patch normalised to length 1.
    """
    vertical = torch.gradient(patches, dim=-2)[0]
    horizontal = torch.gradient(patches, dim=-1)[0]
    size = torch.hypot(horizontal, vertical)
    place = (torch.atan2(vertical, horizontal) % math.pi) / math.pi * HOG_BINS
    lower = place.floor()
    share = place - lower
    lower = lower.long() % HOG_BINS
    bins = torch.zeros(*patches.shape, HOG_BINS, dtype=patches.dtype, device=patches.device)
    bins.scatter_add_(-1, lower[..., None], (size * (1 - share))[..., None])
    bins.scatter_add_(-1, ((lower + 1) % HOG_BINS)[..., None], (size * share)[..., None])
    half = patches.shape[-1] // 2
    cells = [bins[..., r : r + half, c : c + half, :].sum(dim=(-3, -2)) for r in (0, half) for c in (0, half)]
    return nn.functional.normalize(torch.cat(cells, dim=-1), dim=-1)
