"""The losses, one function each. Scores are before any softmax; every loss is a mean over videos."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

from models.mbt import MBTOutput


def polarity_consistent_cross_entropy(
    scores: Tensor, labels: Tensor, polarity: Tensor, penalty: float, counted: Tensor | None = None
) -> Tensor:
    """Cross-entropy that counts a prediction of the opposite sentiment `1 + penalty` times (VAANet, Zhao et al. 2020).

    scores (B, C), labels (B,) int64, polarity (C,) in {-1, 0, +1}. A neutral class is opposite to none. counted: bool
    (B,), videos whose loss counts, all if None; the mean is that over all B, so that parts of a batch add up.
    """
    opposite = polarity[scores.argmax(dim=1)] * polarity[labels] < 0
    scores = _at_least_float32(scores)
    per_video = F.cross_entropy(scores, labels, reduction="none")
    weights = 1 + penalty * opposite
    return (per_video * (weights if counted is None else weights * counted)).mean()


def classification_losses(scores: MBTOutput, labels: Tensor, polarity: Tensor, penalty: float) -> dict[str, Tensor]:
    """Polarity-consistent cross-entropy of the head of each stream, by its name, and their sum `loss`.

    A video that lacks a stream adds nothing to the loss of its head.
    """
    losses = {
        name: polarity_consistent_cross_entropy(
            each, labels, polarity, penalty, None if scores.present is None else scores.present[name]
        )
        for name, each in scores.stream_scores.items()
    }
    return {"loss": sum(losses.values()), **losses}


def temporal_distribution_kl(target: Tensor, student_scores: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """KL(Q || P), P the softmax of the student's segment scores over all S x C entries: (total, degree, emotion part).

    target Q (B, S, C) sums to 1 over S and C; student_scores (B, S, C). By the chain rule the total is the divergence
    of the two distributions over time (degree) plus the expected divergence of the emotions within a segment (emotion).
    """
    target, scores = target.double(), student_scores.double()  # small tensors; equal distributions then differ by 1e-8
    log_p = scores.flatten(1).log_softmax(dim=1).reshape(scores.shape)
    log_p_time = log_p.logsumexp(dim=2)  # (B, S)
    q_time = target.sum(dim=2)
    entropy_time = torch.xlogy(q_time, q_time).sum(dim=1)
    degree = entropy_time - (q_time * log_p_time).sum(dim=1)
    within = torch.xlogy(target, target) - target * (log_p - log_p_time[..., None])
    emotion = within.sum(dim=(1, 2)) - entropy_time
    dtype = torch.promote_types(student_scores.dtype, torch.float32)
    degree, emotion = degree.mean().to(dtype), emotion.mean().to(dtype)
    return degree + emotion, degree, emotion


def complementary_contrast(anchor: Tensor, words: Tensor, other: Tensor, valid: Tensor, temperature: float) -> Tensor:
    """Eq. 5 for one modality: pull a word's vector to the word, push it from the other modality elsewhere in time.

    anchor, words, other: L2-normalised (B, S, K, D), for each word its vector in this modality, its own embedding and
    its vector in the other modality; valid (B, S, K) bool. The negatives of a word are `other` at the words of the
    other segments of its video. Mean over all valid words; 0 without any.
    """
    n_videos, n_segments, n_words = valid.shape
    anchor, words, other = (_at_least_float32(x).flatten(1, 2) for x in (anchor, words, other))  # (B, S*K, D)
    segment = torch.arange(n_segments, device=valid.device).repeat_interleave(n_words)
    counted = valid.reshape(n_videos, -1).bool()
    positive = (anchor * words).sum(dim=-1) / temperature
    negative = anchor @ other.transpose(1, 2) / temperature  # (B, S*K, S*K)
    elsewhere = (segment[:, None] != segment[None, :]) & counted[:, None, :]
    negative = negative.masked_fill(~elsewhere, -torch.inf)
    loss = torch.cat([positive[..., None], negative], dim=-1).logsumexp(dim=-1) - positive
    return loss.masked_fill(~counted, 0.0).sum() / counted.sum().clamp_min(1)


def patch_recovery(recovered: Tensor, patches: Tensor, masked: Tensor) -> Tensor:
    """Mean squared error on the masked patches against the patch's own normalised values (MAE, He et al. 2022).

    recovered, patches: (N, M, P), P values a patch; masked (N, M) bool. 0 when nothing is masked.
    """
    patches = _at_least_float32(patches)
    variance, mean = torch.var_mean(patches, dim=-1, keepdim=True)
    error = (recovered - (patches - mean) / (variance + 1e-6).sqrt()).square().mean(dim=-1)
    return (error * masked).sum() / masked.sum().clamp_min(1)


def _at_least_float32(values: Tensor) -> Tensor:
    return values.to(torch.promote_types(values.dtype, torch.float32))
