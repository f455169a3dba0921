"""Bottleneck fusion of picture, sound and text over the segments of a video (MBT, Nagrani et al. 2021), with the heads.

The first layers of every encoder are unimodal. In the last `fusion_depth` layers each stream attends over its own
tokens and a few bottleneck tokens, and the updated bottlenecks are averaged. Segment features are the mean of a
stream's special tokens; linear heads turn them into emotion scores, which are added up. What a video does not have, a
sound or subtitles, takes no part in either: the others are averaged and added up.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from models.layers import special_attention

STREAMS = ("visual", "audio", "text")
PATCHED = STREAMS[:2]  # those whose tokens are patches, which can be masked and recovered

# What each encoder starts from, by stream: frames uint8 (N, 3, T, H, W); sound (N, F, 128); word pieces and their mask
# (N, L). Streams that the model does not have are passed over; of those it has, one at least is there.
Media = Mapping[str, tuple[Tensor, ...]]
Present = Mapping[str, Tensor]  # by stream, bool (N,) or (B,): who has it; no mapping at all: everybody has everything


@dataclass
class MBTOutput:
    """Features and scores (before any softmax) of B videos with S segments."""

    features: dict[str, Tensor]  # (B, S, D) of each stream
    stream_scores: dict[str, Tensor]  # (B, C) of each stream's head on the temporally pooled features
    segment_scores: Tensor  # (B, S, C) sum of the heads of what a video has
    video_scores: Tensor  # (B, C) likewise
    present: dict[str, Tensor] | None  # bool (B,), as it was given


@dataclass
class SegmentTokens:
    """Tokens of N segments by stream after the last norms, special ones first, and what entered the last layers."""

    tokens: dict[str, Tensor]  # (N, n_special + P, D)
    n_special: dict[str, int]
    last_inputs: dict[str, Tensor]  # (N, n_special + P + bottleneck, D)

    @property
    def patches(self) -> dict[str, Tensor]:
        """Picture and sound without their special tokens, (N, P, D)."""
        return {name: self.tokens[name][:, self.n_special[name] :] for name in PATCHED if name in self.tokens}

    @property
    def features(self) -> dict[str, Tensor]:
        """Features (N, D) of the segments."""
        return {name: tokens[:, : self.n_special[name]].mean(dim=1) for name, tokens in self.tokens.items()}


class MBT(nn.Module):
    """One to three encoders, the bottleneck and a head for each.

    Args:
        encoders: by stream, of equal width and with at least `fusion_depth` layers each.
        fusion_depth: how many of the last layers share the bottleneck.
        temporal_pool: `max` (the paper) or `mean` over segments, for the scores of a video.
    """

    def __init__(
        self,
        encoders: Mapping[str, nn.Module],
        n_classes: int,
        fusion_depth: int = 4,
        n_bottleneck: int = 32,
        temporal_pool: str = "max",
    ) -> None:
        super().__init__()
        widths = {encoder.embed_dim for encoder in encoders.values()}
        if len(widths) != 1:
            raise ValueError(f"fusion needs encoders of one width, got {' and '.join(map(str, sorted(widths)))}")
        if not 1 <= fusion_depth <= min(len(encoder.blocks) for encoder in encoders.values()):
            depths = " and ".join(str(len(encoder.blocks)) for encoder in encoders.values())
            raise ValueError(f"fusion_depth {fusion_depth} does not fit encoders of {depths} layers")
        if temporal_pool not in ("max", "mean"):
            raise ValueError(f"temporal_pool is max or mean, not {temporal_pool!r}")
        self.streams = tuple(name for name in STREAMS if name in encoders)
        for name in self.streams:
            self.add_module(name, encoders[name])
        self.embed_dim = widths.pop()
        self.fusion_depth = fusion_depth
        self.temporal_pool = temporal_pool
        self.bottleneck = nn.Parameter(torch.randn(1, n_bottleneck, self.embed_dim) * 0.02)
        for name in self.streams:
            self.add_module(f"{name}_head", nn.Linear(self.embed_dim, n_classes))
        for name in self.streams:
            nn.init.trunc_normal_(self.head(name).weight, std=0.02)
            nn.init.zeros_(self.head(name).bias)

    def encoder(self, stream: str) -> nn.Module:
        """The encoder of a stream: VideoViT, AudioSpectrogramTransformer or TextStream."""
        return self.get_submodule(stream)

    def head(self, stream: str) -> nn.Linear:
        """Its emotion scores."""
        return self.get_submodule(f"{stream}_head")

    def encode(
        self, media: Media, present: Present | None = None, visible: Mapping[str, Tensor] | None = None
    ) -> SegmentTokens:
        """N segments through all layers and the last norms.

        visible: indices (N, n) of the patches that are encoded, by stream; all if None.
        """
        tokens, masks = {}, {}
        for name in [name for name in self.streams if name in media]:
            encoder = self.encoder(name)
            chosen = {} if visible is None or name not in visible else {"visible": visible[name]}
            tokens[name], masks[name] = encoder.start(*media[name], **chosen)
            for block in encoder.blocks[: -self.fusion_depth]:
                tokens[name] = block(tokens[name], masks[name])
        lengths = {name: each.shape[1] for name, each in tokens.items()}
        bottleneck = self.bottleneck.expand(next(iter(tokens.values())).shape[0], -1, -1)
        for name, mask in masks.items():
            if mask is not None:  # the bottleneck is seen by all
                masks[name] = F.pad(mask, (0, bottleneck.shape[1]), value=True)
        for depth in range(-self.fusion_depth, 0):
            last = {name: torch.cat([each, bottleneck], dim=1) for name, each in tokens.items()}
            out = {name: self.encoder(name).blocks[depth](each, masks[name]) for name, each in last.items()}
            tokens = {name: each[:, : lengths[name]] for name, each in out.items()}
            bottleneck = mean_of_present({name: each[:, lengths[name] :] for name, each in out.items()}, present)
        return SegmentTokens(
            tokens={name: self.encoder(name).norm(each) for name, each in tokens.items()},
            n_special={name: self.encoder(name).n_special for name in tokens},
            last_inputs=last,
        )

    def class_attention(self, tokens: SegmentTokens) -> dict[str, Tensor]:
        """Attention of the special tokens to the patches in the last layer, mean over heads: (N, P) of each stream."""
        return {
            name: special_attention(
                self.encoder(name).blocks[-1], tokens.last_inputs[name], tokens.n_special[name], patches.shape[1]
            )
            for name, patches in tokens.patches.items()
        }

    def pool(self, features: Tensor) -> Tensor:
        """(B, S, D) to (B, D) over the segments."""
        return features.amax(dim=1) if self.temporal_pool == "max" else features.mean(dim=1)

    def score(self, tokens: SegmentTokens, n_videos: int, present: Present | None = None) -> MBTOutput:
        """Features and scores of the segments and, by the same heads on the pooled features, of their videos.

        present: of the B videos.
        """
        features = {name: each.unflatten(0, (n_videos, -1)) for name, each in tokens.features.items()}
        return self.classify(features, present)

    def classify(self, features: Mapping[str, Tensor], present: Present | None = None) -> MBTOutput:
        """Scores of B videos by the features (B, S, D) of their segments."""
        segment_scores = {name: self.head(name)(each) for name, each in features.items()}
        stream_scores = {name: self.head(name)(self.pool(each)).float() for name, each in features.items()}
        return MBTOutput(
            features=dict(features),
            stream_scores=stream_scores,
            segment_scores=sum_of_present(segment_scores, present).float(),
            video_scores=sum_of_present(stream_scores, present),
            present=None if present is None else {name: present[name] for name in features},
        )

    def forward(self, media: Media, present: Present | None = None) -> MBTOutput:
        """Media of B videos with S segments, (B, S, ...), and who has them (B,): all segments in one pass."""
        n_videos, n_segments = next(iter(media.values()))[0].shape[:2]
        tokens = self.encode(segments_of(media), of_segments(present, n_segments))
        return self.score(tokens, n_videos, present)


def segments_of(media: Media) -> dict[str, tuple[Tensor, ...]]:
    """Media of B videos with S segments (B, S, ...) as those of N = B*S segments."""
    return {name: tuple(each.flatten(0, 1) for each in tensors) for name, tensors in media.items()}


def of_segments(present: Present | None, n_segments: int) -> dict[str, Tensor] | None:
    """Who has what of B videos (B,) as that of their segments (B*S,)."""
    if present is None:
        return None
    return {name: each[:, None].expand(-1, n_segments).flatten() for name, each in present.items()}


def sum_of_present(parts: Mapping[str, Tensor], present: Present | None) -> Tensor:
    """Sum of tensors (N, ...) over the streams that are there."""
    if present is not None:
        parts = {name: part * _like(present[name], part) for name, part in parts.items()}
    return sum(parts.values())


def mean_of_present(parts: Mapping[str, Tensor], present: Present | None) -> Tensor:
    """Mean of tensors (N, ...) over the streams that are there."""
    total = sum_of_present(parts, present)
    if present is None:
        return total / len(parts)
    return total / _like(sum(present[name].int() for name in parts).clamp_min(1), total)


def _like(flags: Tensor, values: Tensor) -> Tensor:
    """(N,) as numbers that broadcast over (N, ...)."""
    return flags.to(values.dtype).reshape(-1, *[1] * (values.dim() - 1))
