"""The losses, one function each. Scores are before any softmax; every loss is a mean over videos."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor


def polarity_consistent_cross_entropy(scores: Tensor, labels: Tensor, polarity: Tensor, penalty: float) -> Tensor:
    """Cross-entropy that counts a prediction of the opposite sentiment `1 + penalty` times (VAANet, Zhao et al. 2020).

    scores (B, C), labels (B,) int64, polarity (C,) in {-1, 0, +1}. A neutral class is opposite to none.
    """
    opposite = polarity[scores.argmax(dim=1)] * polarity[labels] < 0
    scores = scores.to(torch.promote_types(scores.dtype, torch.float32))
    per_video = F.cross_entropy(scores, labels, reduction="none")
    return (per_video * (1 + penalty * opposite)).mean()
