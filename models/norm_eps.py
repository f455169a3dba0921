"""The epsilon of an encoder's layer norms: sources differ in it, so it is saved and loaded with the weights."""

from __future__ import annotations

import torch
from torch import nn


def hold_norm_eps(encoder: nn.Module) -> None:
    """Give an encoder the buffer `norm_eps`; a state that is loaded sets the layer norms by it."""
    encoder.register_buffer("norm_eps", torch.tensor(encoder.norm.eps))
    encoder.register_load_state_dict_post_hook(_follow_buffer)


def set_norm_eps(encoder: nn.Module, eps: float) -> None:
    """Change the epsilon of every layer norm of an encoder that holds it."""
    encoder.norm_eps.fill_(eps)
    _follow_buffer(encoder)


def _follow_buffer(encoder: nn.Module, _keys: object = None) -> None:
    eps = float(encoder.norm_eps)
    for module in encoder.modules():
        if isinstance(module, nn.LayerNorm):
            module.eps = eps
