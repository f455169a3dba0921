"""Video ViT of VideoMAE (Tong et al. 2022): tubelet patches, fixed positions, joint space-time attention.

With `class_token=False` it is exactly VideoMAE's encoder; MART adds a class token, without position, for the segment.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from models.layers import TransformerLayer, gather_tokens, initialise
from models.norm_eps import hold_norm_eps
from models.positions import resample_grid_3d, sine_table

IMAGE_MEAN = (0.485, 0.456, 0.406)  # VideoMAE's published weights were trained with ImageNet's statistics
IMAGE_STD = (0.229, 0.224, 0.225)


class VideoViT(nn.Module):
    """ViT over tubelets of `tubelet_size` x `patch_size` x `patch_size` pixels.

    Args:
        image_size: side of the square frames, pixels; a multiple of `patch_size`.
        num_frames: frames of a clip; a multiple of `tubelet_size`.
        pretrained_grid: (time, height, width) patches of the grid that the position table is resampled from.

    `mean`, `std`, `pos_embed` and `norm_eps` belong to the weights: they are saved and loaded with them.
    """

    n_special = 1  # the class token

    def __init__(
        self,
        image_size: int = 112,
        num_frames: int = 16,
        patch_size: int = 16,
        tubelet_size: int = 2,
        embed_dim: int = 768,
        depth: int = 12,
        num_heads: int = 12,
        mlp_ratio: float = 4.0,
        class_token: bool = True,
        pretrained_grid: tuple[int, int, int] = (8, 14, 14),
    ) -> None:
        super().__init__()
        if image_size % patch_size or num_frames % tubelet_size:
            raise ValueError(
                f"clips of {num_frames} frames at {image_size} pixels do not divide into tubelets of "
                f"{tubelet_size}x{patch_size}x{patch_size}: choose multiples"
            )
        self.grid = (num_frames // tubelet_size, image_size // patch_size, image_size // patch_size)
        self.num_patches = self.grid[0] * self.grid[1] * self.grid[2]
        self.pretrained_grid = pretrained_grid
        self.clip_shape = (num_frames, image_size, image_size)
        self.embed_dim = embed_dim
        self.patch_embed = nn.Conv3d(
            3, embed_dim, (tubelet_size, patch_size, patch_size), (tubelet_size, patch_size, patch_size)
        )
        self.cls_token = nn.Parameter(torch.zeros(1, 1, embed_dim)) if class_token else None
        source = sine_table(pretrained_grid[0] * pretrained_grid[1] * pretrained_grid[2], embed_dim)
        self.register_buffer("pos_embed", resample_grid_3d(source, pretrained_grid, self.grid))
        self.blocks = nn.ModuleList(TransformerLayer(embed_dim, num_heads, mlp_ratio) for _ in range(depth))
        self.norm = nn.LayerNorm(embed_dim, eps=1e-6)
        self.register_buffer("mean", torch.tensor(IMAGE_MEAN).reshape(3, 1, 1, 1))
        self.register_buffer("std", torch.tensor(IMAGE_STD).reshape(3, 1, 1, 1))
        hold_norm_eps(self)
        initialise(self)

    def normalise(self, frames: Tensor) -> Tensor:
        """uint8 RGB frames (..., 3, T, H, W) to the float32 input that the weights were trained with."""
        return (frames.float() / 255 - self.mean) / self.std

    def start(self, frames: Tensor, visible: Tensor | None = None) -> tuple[Tensor, None]:
        """Tokens before the first block of uint8 frames (N, 3, T, H, W), all of which attend to all (no mask)."""
        return self.embed(self.normalise(frames), visible), None

    def embed(self, clips: Tensor, visible: Tensor | None = None) -> Tensor:
        """Tokens before the first block.

        clips: (N, 3, T, H, W), normalised. visible: (N, n) indices of the patches to keep, all if None.
        Returns (N, 1 + n, D), or (N, n, D) without a class token.
        """
        if clips.shape[2:] != self.clip_shape:
            raise ValueError(f"clips of shape {tuple(clips.shape)} given to a ViT of clips {self.clip_shape} (T, H, W)")
        patches = self.patch_embed(clips).flatten(2).transpose(1, 2) + self.pos_embed
        if visible is not None:
            patches = gather_tokens(patches, visible)
        if self.cls_token is None:
            return patches
        return torch.cat([self.cls_token.expand(patches.shape[0], -1, -1), patches], dim=1)

    def forward(self, clips: Tensor) -> Tensor:
        """clips (N, 3, T, H, W), normalised, to tokens (N, 1 + N_v, D) after the last norm."""
        tokens = self.embed(clips)
        for block in self.blocks:
            tokens = block(tokens)
        return self.norm(tokens)
