"""Bottleneck fusion of picture and sound over the segments of a video (MBT, Nagrani et al. 2021), with the heads.

The first layers of both encoders are unimodal. In the last `fusion_depth` layers each modality attends over its own
tokens and a few bottleneck tokens, and the two updated bottlenecks are averaged. Segment features are the class token
of the picture and the mean of the two special tokens of the sound; linear heads turn them into emotion scores. Without
sound the picture attends over its own bottleneck, and its head alone scores.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor, nn

from models.ast import AudioSpectrogramTransformer
from models.layers import special_attention
from models.vit import VideoViT


@dataclass
class MBTOutput:
    """Features and scores (before any softmax) of B videos with S segments; None is what there is not without sound."""

    visual_features: Tensor  # (B, S, D)
    audio_features: Tensor | None  # (B, S, D)
    segment_scores: Tensor  # (B, S, C) visual plus audio head
    visual_scores: Tensor  # (B, C) visual head on the temporally pooled features
    audio_scores: Tensor | None  # (B, C)
    video_scores: Tensor  # (B, C) their sum


@dataclass
class SegmentTokens:
    """Tokens of N segments after the last norms, special ones first, and what entered the last layer."""

    visual: Tensor  # (N, 1 + P_v, D)
    audio: Tensor | None  # (N, 2 + P_a, D)
    last_inputs: tuple[Tensor, Tensor | None]  # of either modality, with the bottleneck behind

    @property
    def patches(self) -> tuple[Tensor, Tensor]:
        """Visual (N, P_v, D) and audio (N, P_a, D) patches alone."""
        return self.visual[:, 1:], self.audio[:, 2:]

    @property
    def features(self) -> tuple[Tensor, Tensor | None]:
        """Visual and audio features (N, D) of the segments."""
        return self.visual[:, 0], None if self.audio is None else self.audio[:, :2].mean(dim=1)


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

    def encode(
        self, frames: Tensor, fbank: Tensor | None, visible: tuple[Tensor, Tensor] | None = None
    ) -> SegmentTokens:
        """Frames uint8 (N, 3, T, H, W) and sound (N, F, 128) of N segments through all layers and the last norms.

        visible: indices (N, n) of the visual and of the audio patches that are encoded, all if None.
        """
        visible_visual, visible_audio = visible or (None, None)
        visual = self.visual.embed(self.visual.normalise(frames), visible_visual)
        for block in self.visual.blocks[: -self.fusion_depth]:
            visual = block(visual)
        bottleneck = self.bottleneck.expand(visual.shape[0], -1, -1)
        if fbank is None:
            return self._fuse_silent(visual, bottleneck)
        audio = self.audio.embed(self.audio.normalise(fbank), visible_audio)
        for block in self.audio.blocks[: -self.fusion_depth]:
            audio = block(audio)
        n_visual, n_audio = visual.shape[1], audio.shape[1]
        for visual_block, audio_block in zip(
            self.visual.blocks[-self.fusion_depth :], self.audio.blocks[-self.fusion_depth :], strict=True
        ):
            last = torch.cat([visual, bottleneck], dim=1), torch.cat([audio, bottleneck], dim=1)
            visual_out, audio_out = visual_block(last[0]), audio_block(last[1])
            visual, audio = visual_out[:, :n_visual], audio_out[:, :n_audio]
            bottleneck = (visual_out[:, n_visual:] + audio_out[:, n_audio:]) / 2
        return SegmentTokens(self.visual.norm(visual), self.audio.norm(audio), last)

    def _fuse_silent(self, visual: Tensor, bottleneck: Tensor) -> SegmentTokens:
        """The last layers of segments without sound: the bottleneck (N, n, D) is the picture's alone."""
        n_visual = visual.shape[1]
        tokens = torch.cat([visual, bottleneck], dim=1)
        for block in self.visual.blocks[-self.fusion_depth :]:
            last, tokens = tokens, block(tokens)
        return SegmentTokens(self.visual.norm(tokens[:, :n_visual]), None, (last, None))

    def class_attention(self, tokens: SegmentTokens) -> tuple[Tensor, Tensor]:
        """Attention of the special tokens to the patches in the last layer, mean over heads: (N, P_v) and (N, P_a)."""
        visual_input, audio_input = tokens.last_inputs
        n_visual, n_audio = tokens.visual.shape[1] - 1, tokens.audio.shape[1] - 2
        return (
            special_attention(self.visual.blocks[-1], visual_input, 1, n_visual),
            special_attention(self.audio.blocks[-1], audio_input, 2, n_audio),
        )

    def pool(self, features: Tensor) -> Tensor:
        """(B, S, D) to (B, D) over the segments."""
        return features.amax(dim=1) if self.temporal_pool == "max" else features.mean(dim=1)

    def score(self, tokens: SegmentTokens, n_videos: int) -> MBTOutput:
        """Features and scores of the segments and, by the same heads on the pooled features, of their videos."""
        return self.classify(*(each if each is None else each.unflatten(0, (n_videos, -1)) for each in tokens.features))

    def classify(self, visual_features: Tensor, audio_features: Tensor | None) -> MBTOutput:
        """Scores of B videos by the features (B, S, D) of their segments."""
        segment_scores = self.visual_head(visual_features)
        video_scores = visual_scores = self.visual_head(self.pool(visual_features)).float()
        audio_scores = None
        if audio_features is not None:
            segment_scores = segment_scores + self.audio_head(audio_features)
            audio_scores = self.audio_head(self.pool(audio_features)).float()
            video_scores = visual_scores + audio_scores
        return MBTOutput(
            visual_features=visual_features,
            audio_features=audio_features,
            segment_scores=segment_scores.float(),
            visual_scores=visual_scores,
            audio_scores=audio_scores,
            video_scores=video_scores,
        )

    def forward(self, frames: Tensor, fbank: Tensor | None) -> MBTOutput:
        """frames uint8 (B, S, 3, T, H, W), fbank (B, S, F, 128): all segments of all videos in one pass."""
        sound = None if fbank is None else fbank.flatten(0, 1)
        return self.score(self.encode(frames.flatten(0, 1), sound), frames.shape[0])
