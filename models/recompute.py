"""What a layer keeps for its backward pass: all, what is dear to compute, or its input (activation checkpointing)."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

import torch
from torch import Tensor
from torch.utils.checkpoint import CheckpointPolicy, checkpoint, create_selective_checkpoint_contexts

ATEN = torch.ops.aten
DEAR = frozenset(
    {
        ATEN.addmm.default,
        ATEN._scaled_dot_product_flash_attention_for_cpu.default,
        ATEN._scaled_dot_product_flash_attention.default,
        ATEN._scaled_dot_product_efficient_attention.default,
        ATEN._scaled_dot_product_cudnn_attention.default,
    }
)


def _policy(_: Any, operation: Any, *inputs: Any, **__: Any) -> CheckpointPolicy:
    """Keeps the result of a dear operation, but not of a product to a narrower width: it ends a layer, unread by it."""
    narrows = operation is ATEN.addmm.default and inputs[2].shape[0] > inputs[2].shape[1]
    return CheckpointPolicy.MUST_SAVE if operation in DEAR and not narrows else CheckpointPolicy.PREFER_RECOMPUTE


def recomputed(how: str, layer: Callable[[Tensor], Tensor], x: Tensor) -> Tensor:
    """`layer(x)`; what its backward pass needs is kept (`none`), or computed again but for what is dear, or `all`."""
    if how == "none" or not torch.is_grad_enabled():
        return layer(x)
    if how == "all":
        return checkpoint(layer, x, use_reentrant=False)
    return checkpoint(layer, x, use_reentrant=False, context_fn=partial(create_selective_checkpoint_contexts, _policy))
