"""Weights of `transformers` encoders under our names."""

from __future__ import annotations

from torch import Tensor, cat, nn, zeros_like


def blocks_as_ours(layers: nn.ModuleList) -> dict[str, Tensor]:
    """State of pre-norm transformer layers, whose projections are query, key, value, output, fc1, fc2 in this order."""
    state: dict[str, Tensor] = {}
    for i, layer in enumerate(layers):
        query, key, value, projection, fc1, fc2 = (m for m in layer.modules() if isinstance(m, nn.Linear))
        norm1, norm2 = (m for m in layer.modules() if isinstance(m, nn.LayerNorm))
        key_bias = zeros_like(query.bias) if key.bias is None else key.bias
        state[f"blocks.{i}.attn.qkv.weight"] = cat([query.weight, key.weight, value.weight])
        state[f"blocks.{i}.attn.qkv.bias"] = cat([query.bias, key_bias, value.bias])
        ours = {"attn.proj": projection, "mlp.fc1": fc1, "mlp.fc2": fc2, "norm1": norm1, "norm2": norm2}
        for name, module in ours.items():
            state |= {f"blocks.{i}.{name}.weight": module.weight, f"blocks.{i}.{name}.bias": module.bias}
    return state
