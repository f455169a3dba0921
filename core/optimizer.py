"""AdamW without decay on biases, norms and tokens, and its learning rate: linear warm-up, then a cosine, per step."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from timm.optim import param_groups_weight_decay
from timm.scheduler import CosineLRScheduler
from torch import nn


@dataclass(frozen=True)
class OptimizerSettings:
    """Peak learning rate, weight decay, and steps of linear warm-up."""

    learning_rate: float
    weight_decay: float
    warmup_steps: int


def build_optimizer(model: nn.Module, settings: OptimizerSettings) -> torch.optim.AdamW:
    """Fused AdamW over every trainable parameter of the model."""
    exempt = [name for name, _ in model.named_parameters() if name.endswith(("_token", "pos_embed", "bottleneck"))]
    groups = param_groups_weight_decay(model, settings.weight_decay, no_weight_decay_list=exempt)
    return torch.optim.AdamW(groups, lr=settings.learning_rate, betas=(0.9, 0.999), fused=True)


def build_schedule(optimizer: torch.optim.Optimizer, total_steps: int, warmup_steps: int) -> CosineLRScheduler:
    """The rate of step k, from 1 to `total_steps`, is set by `step_update(k)`.

    It rises linearly to the optimiser's own over `warmup_steps`, then falls as a cosine and would reach 0 one step
    after the last.
    """
    schedule = CosineLRScheduler(
        optimizer,
        t_initial=max(total_steps + 1 - warmup_steps, 2),
        warmup_t=warmup_steps,
        warmup_prefix=True,
        t_in_epochs=False,
    )
    schedule.step_update(1)
    return schedule
