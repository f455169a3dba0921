"""Bottleneck fusion of picture and sound over the segments of a video (MBT, Nagrani et al. 2021), with the heads.

The first layers of both encoders are unimodal. In the last `fusion_depth` layers each modality attends over its own
tokens and a few bottleneck tokens, and the two updated bottlenecks are averaged. Segment features are the class token
of the picture and the mean of the two special tokens of the sound; linear heads turn them into emotion scores.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor, nn

from models.ast import AudioSpectrogramTransformer
from models.vit import VideoViT


@dataclass
class MBTOutput:
    """Features and scores (before any softmax) of B videos with S segments."""

    visual_features: Tensor  # (B, S, D)
    audio_features: Tensor  # (B, S, D)
    segment_scores: Tensor  # (B, S, C) visual plus audio head
    visual_scores: Tensor  # (B, C) visual head on the temporally pooled features
    audio_scores: Tensor  # (B, C)
    video_scores: Tensor  # (B, C) their sum


class MBT(nn.Module):
    """Both encoders, the bottleneck and the two heads.

    Args:
        visual, audio: encoders of equal width; at least `fusion_depth` blocks each.
        fusion_depth: how many of the last layers share the bottleneck.
        temporal_pool: `max` (the paper) or `mean` over segments, for the scores of a video.
    """

    def __init__(
        self,
        visual: VideoViT,
        audio: AudioSpectrogramTransformer,
        n_classes: int,
        fusion_depth: int = 4,
        n_bottleneck: int = 32,
        temporal_pool: str = "max",
    ) -> None:
        super().__init__()
        if visual.embed_dim != audio.embed_dim:
            raise ValueError(f"fusion needs encoders of one width, got {visual.embed_dim} and {audio.embed_dim}")
        if not 1 <= fusion_depth <= min(len(visual.blocks), len(audio.blocks)):
            raise ValueError(f"fusion_depth {fusion_depth} does not fit encoders of {len(visual.blocks)} layers")
        if temporal_pool not in ("max", "mean"):
            raise ValueError(f"temporal_pool is max or mean, not {temporal_pool!r}")
        self.visual, self.audio = visual, audio
        self.fusion_depth = fusion_depth
        self.temporal_pool = temporal_pool
        self.bottleneck = nn.Parameter(torch.randn(1, n_bottleneck, visual.embed_dim) * 0.02)
        self.visual_head = nn.Linear(visual.embed_dim, n_classes)
        self.audio_head = nn.Linear(audio.embed_dim, n_classes)
        for head in (self.visual_head, self.audio_head):
            nn.init.trunc_normal_(head.weight, std=0.02)
            nn.init.zeros_(head.bias)

    def fuse(self, visual_tokens: Tensor, audio_tokens: Tensor) -> tuple[Tensor, Tensor]:
        """Embedded tokens (N, n_v, D) and (N, n_a, D) through all layers and the last norms; same shapes."""
        for block in self.visual.blocks[: -self.fusion_depth]:
            visual_tokens = block(visual_tokens)
        for block in self.audio.blocks[: -self.fusion_depth]:
            audio_tokens = block(audio_tokens)
        n_visual, n_audio = visual_tokens.shape[1], audio_tokens.shape[1]
        bottleneck = self.bottleneck.expand(len(visual_tokens), -1, -1)
        for visual_block, audio_block in zip(
            self.visual.blocks[-self.fusion_depth :], self.audio.blocks[-self.fusion_depth :], strict=True
        ):
            visual_out = visual_block(torch.cat([visual_tokens, bottleneck], dim=1))
            audio_out = audio_block(torch.cat([audio_tokens, bottleneck], dim=1))
            visual_tokens, audio_tokens = visual_out[:, :n_visual], audio_out[:, :n_audio]
            bottleneck = (visual_out[:, n_visual:] + audio_out[:, n_audio:]) / 2
        return self.visual.norm(visual_tokens), self.audio.norm(audio_tokens)

    def pool(self, features: Tensor) -> Tensor:
        """(B, S, D) to (B, D) over the segments."""
        return features.amax(dim=1) if self.temporal_pool == "max" else features.mean(dim=1)

    def forward(self, frames: Tensor, fbank: Tensor) -> MBTOutput:
        """frames uint8 (B, S, 3, T, H, W), fbank (B, S, F, 128): all segments of all videos in one pass."""
        n_videos, n_segments = frames.shape[:2]
        visual_tokens = self.visual.embed(self.visual.normalise(frames.flatten(0, 1)))
        audio_tokens = self.audio.embed(self.audio.normalise(fbank.flatten(0, 1)))
        visual_tokens, audio_tokens = self.fuse(visual_tokens, audio_tokens)
        visual_features = visual_tokens[:, 0].reshape(n_videos, n_segments, -1)
        audio_features = audio_tokens[:, :2].mean(dim=1).reshape(n_videos, n_segments, -1)
        visual_scores = self.visual_head(self.pool(visual_features)).float()
        audio_scores = self.audio_head(self.pool(audio_features)).float()
        return MBTOutput(
            visual_features=visual_features,
            audio_features=audio_features,
            segment_scores=(self.visual_head(visual_features) + self.audio_head(audio_features)).float(),
            visual_scores=visual_scores,
            audio_scores=audio_scores,
            video_scores=visual_scores + audio_scores,
        )
