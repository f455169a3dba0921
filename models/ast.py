"""Audio Spectrogram Transformer (Gong et al. 2021): overlapping 16x16 patches of a log-mel spectrogram, DeiT blocks."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from models.layers import TransformerLayer, gather_tokens, initialise
from models.norm_eps import hold_norm_eps

SPECTROGRAM_MEAN = -4.2677393  # of AudioSet, the training set of the published weights
SPECTROGRAM_STD = 4.5689974


class AudioSpectrogramTransformer(nn.Module):
    """AST over `num_frames` spectrogram frames of 10 ms, with a class and a distillation token before the patches.

    Args:
        num_frames: frames of the spectrogram; 100 give 9 patches in time at stride 10.
        stride: step of the 16x16 patches, in mel bins and in frames.

    `mean`, `std` and `norm_eps` belong to the weights: they are saved and loaded with them.
    """

    n_special = 2  # the class and the distillation token

    def __init__(
        self,
        num_frames: int = 100,
        mel_bins: int = 128,
        patch_size: int = 16,
        stride: int = 10,
        embed_dim: int = 768,
        depth: int = 12,
        num_heads: int = 12,
        mlp_ratio: float = 4.0,
    ) -> None:
        super().__init__()
        if min(num_frames, mel_bins) < patch_size:
            raise ValueError(f"a spectrogram of {mel_bins}x{num_frames} holds no patch of {patch_size}x{patch_size}")
        self.grid = ((mel_bins - patch_size) // stride + 1, (num_frames - patch_size) // stride + 1)
        self.num_patches = self.grid[0] * self.grid[1]
        self.embed_dim = embed_dim
        self.patch_embed = nn.Conv2d(1, embed_dim, patch_size, stride)
        self.cls_token = nn.Parameter(torch.zeros(1, 1, embed_dim))
        self.dist_token = nn.Parameter(torch.zeros(1, 1, embed_dim))
        self.pos_embed = nn.Parameter(torch.zeros(1, 2 + self.num_patches, embed_dim))
        self.blocks = nn.ModuleList(TransformerLayer(embed_dim, num_heads, mlp_ratio) for _ in range(depth))
        self.norm = nn.LayerNorm(embed_dim, eps=1e-6)
        self.register_buffer("mean", torch.tensor(SPECTROGRAM_MEAN))
        self.register_buffer("std", torch.tensor(SPECTROGRAM_STD))
        hold_norm_eps(self)
        initialise(self)

    def normalise(self, fbank: Tensor) -> Tensor:
        """Log-mel energies (..., T, 128) to zero mean and a standard deviation of one half, as AST was trained."""
        return (fbank - self.mean) / (2 * self.std)

    def start(self, fbank: Tensor, visible: Tensor | None = None) -> tuple[Tensor, None]:
        """Tokens before the first block of log-mel energies (N, T, mel_bins), all of which attend to all (no mask)."""
        return self.embed(self.normalise(fbank), visible), None

    def embed(self, fbank: Tensor, visible: Tensor | None = None) -> Tensor:
        """Tokens before the first block.

        fbank: (N, T, mel_bins), normalised. visible: (N, n) indices of the patches to keep, all if None.
        Returns (N, 2 + n, D).
        """
        patches = self.patch_embed(fbank.transpose(1, 2)[:, None]).flatten(2).transpose(1, 2)
        if patches.shape[1] != self.num_patches:
            raise ValueError(
                f"a spectrogram of shape {tuple(fbank.shape)} gives {patches.shape[1]} patches, this AST has "
                f"{self.num_patches}"
            )
        patches = patches + self.pos_embed[:, 2:]
        if visible is not None:
            patches = gather_tokens(patches, visible)
        special = torch.cat([self.cls_token, self.dist_token], dim=1) + self.pos_embed[:, :2]
        return torch.cat([special.expand(patches.shape[0], -1, -1), patches], dim=1)

    def forward(self, fbank: Tensor) -> Tensor:
        """fbank (N, T, mel_bins), normalised, to tokens (N, 2 + N_a, D) after the last norm."""
        tokens = self.embed(fbank)
        for block in self.blocks:
            tokens = block(tokens)
        return self.norm(tokens)
