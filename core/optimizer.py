"""AdamW without decay on biases, norms and tokens, and its learning rate: linear warm-up, then a cosine, per step."""

from __future__ import annotations

import torch
from timm.optim import param_groups_weight_decay
from timm.scheduler import CosineLRScheduler
from torch import nn


def build_optimizer(model: nn.Module, learning_rate: float, weight_decay: float) -> torch.optim.AdamW:
    """Fused AdamW over every trainable parameter of the model."""
    groups = param_groups_weight_decay(model, weight_decay)
    return torch.optim.AdamW(groups, lr=learning_rate, betas=(0.9, 0.999), fused=True)


def build_schedule(optimizer: torch.optim.Optimizer, total_steps: int, warmup_steps: int) -> CosineLRScheduler:
    """From 0 up to the optimiser's rate over `warmup_steps`, then a cosine down to 0 at `total_steps`."""
    return CosineLRScheduler(
        optimizer,
        t_initial=max(total_steps - warmup_steps, 2),
        warmup_t=warmup_steps,
        warmup_prefix=True,
        t_in_epochs=False,
    )
