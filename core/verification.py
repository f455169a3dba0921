"""Temporal emotion scores (Eq. 3), hierarchical verification of the cues (E1, E2, E3), the target distribution.

Pure functions on tensors: B videos, S segments, C emotions, K cues per segment.
"""

from __future__ import annotations

import torch
from torch import Tensor

STAGES = ("none", "sentiment", "emotion", "degree")


def temporal_scores(segment_scores: Tensor, video_scores: Tensor) -> Tensor:
    """Eq. 3: scores of the segments (B, S, C), each emotion weighted by its probability in the video (B, C)."""
    return video_scores.softmax(dim=-1)[:, None] * segment_scores


def content_scores(segment_scores: Tensor, belief: Tensor) -> Tensor:
    """Temporal scores (B, S, C) that cues are checked against: `belief` (B, C), the emotions' probabilities in the
    video, times the scores of its segments (B, S, C) above the lowest of them.
    """
    # Eq. 3 multiplies scores by probabilities, so their zero counts; no loss fixes it, the video's lowest score does
    lowest = segment_scores.amin(dim=(1, 2), keepdim=True)
    return temporal_scores(segment_scores - lowest, belief.clamp_min(1e-12).log())


def verify_cues(
    scores: Tensor,
    sentiment: Tensor,
    emotion: Tensor,
    degree: Tensor,
    valid: Tensor,
    polarity: Tensor,
    threshold: float,
    stage: str,
) -> Tensor:
    """Which cues agree with the content of their own segment, bool (B, S, K).

    scores: temporal scores (B, S, C). sentiment (B, S, K) in {-1, +1}, emotion (B, S, K, C) distributions, degree (B,
    S, K) in 0..1 and valid (B, S, K) bool describe the cues; polarity (C,) in {-1, 0, +1} the emotions. `stage` is
    the last test that counts: `none` keeps every valid cue; `sentiment` (E1) asks for the sign of the segment's
    expected polarity; `emotion` (E2) also that the segment's strongest emotion has the greatest mass in the cue, ties
    count; `degree` (E3) also that the cue's degree is within `threshold` of that emotion's score, min-max scaled over
    time. A score that never changes, as in a video of one segment, has degree 0.
    """
    if stage not in STAGES:
        raise ValueError(f"stage is one of {', '.join(STAGES)}, not {stage!r}")
    verified = valid.bool()
    if stage == "none":
        return verified
    expected = (scores.softmax(dim=-1) * polarity).sum(dim=-1)
    verified = verified & (sentiment == expected.sign()[..., None])
    if stage == "sentiment":
        return verified
    strongest = scores.argmax(dim=-1)  # (B, S)
    index = strongest[..., None, None].expand(*emotion.shape[:-1], 1)
    verified = verified & (emotion.gather(-1, index)[..., 0] == emotion.amax(dim=-1))
    if stage == "emotion":
        return verified
    low, high = scores.amin(dim=1, keepdim=True), scores.amax(dim=1, keepdim=True)
    scaled = (scores - low) / (high - low).clamp_min(torch.finfo(scores.dtype).tiny)
    content = scaled.gather(-1, strongest[..., None])  # (B, S, 1)
    return verified & ((degree - content).abs() < threshold)


def last_stage(
    scores: Tensor,
    sentiment: Tensor,
    emotion: Tensor,
    degree: Tensor,
    valid: Tensor,
    polarity: Tensor,
    threshold: float,
) -> Tensor:
    """The last of STAGES that each cue passes, by its number, int64 (B, S, K); -1 for padding. See `verify_cues`."""
    cues = sentiment, emotion, degree, valid
    # a stage is passed only after all before it
    return torch.stack([verify_cues(scores, *cues, polarity, threshold, stage) for stage in STAGES]).sum(dim=0) - 1


def temporal_emotion_distribution(
    scores: Tensor, emotion: Tensor, degree: Tensor, verified: Tensor, mix: float, temperature: float
) -> Tensor:
    """The target Q (B, S, C), one distribution over all segments and emotions of a video.

    From the content: softmax of the temporal scores (B, S, C) over `temperature`. From the verified cues (B, S, K):
    their emotions (B, S, K, C) weighted by their degrees. A video with verified cues takes `mix` of the second.
    """
    content = (scores / temperature).flatten(1).softmax(dim=1).reshape(scores.shape)
    mass = ((degree * verified)[..., None] * emotion).sum(dim=2)
    total = mass.sum(dim=(1, 2), keepdim=True)
    cues = mass / total.clamp_min(torch.finfo(mass.dtype).tiny)
    return torch.where(total > 0, (1 - mix) * content + mix * cues, content)
