"""What encoders and decoders share: their layer, its attention, initialisation, the choice of tokens."""

from __future__ import annotations

from collections.abc import Callable
from functools import cache, partial

import torch
import torch.nn.functional as F
from timm.layers import Attention
from timm.models.vision_transformer import Block
from torch import Tensor, nn

from models.recompute import recomputed


def attend(query: Tensor, key: Tensor, value: Tensor, mask: Tensor | None = None) -> Tensor:
    """Fused attention of queries (N, H, L, D) over keys and values (N, H, M, D): (N, H, L, D).

    mask: bool (N, M), True = a key that is attended to; all are if None. A CPU computes it in float32, because the
    gradient of its bfloat16 kernel takes four times as long.
    """
    if query.device.type == "cpu":
        query, key, value = query.float(), key.float(), value.float()
    with torch.autocast("cpu", enabled=False):
        return F.scaled_dot_product_attention(query, key, value, None if mask is None else mask[:, None, None])


class SelfAttention(Attention):
    """timm's multi-head attention, computed by `attend`."""

    def forward(self, x: Tensor, attn_mask: Tensor | None = None, is_causal: bool = False) -> Tensor:
        """Tokens (N, L, D) to (N, L, D); attn_mask bool (N, L), True = a token that is attended to."""
        query, key, value = self.qkv(x).unflatten(-1, (3, self.num_heads, -1)).permute(2, 0, 3, 1, 4)
        return self.proj(attend(query, key, value, attn_mask).transpose(1, 2).flatten(2))


class TransformerLayer(Block):
    """A pre-norm ViT layer with biases.

    recompute: what its backward pass computes again, `none`, `cheap` or `all` (models/recompute.py).
    compiled: runs as one function that torch.compile makes of all such layers.
    """

    recompute = "none"
    compiled = False

    def __init__(self, dim: int, num_heads: int, mlp_ratio: float = 4.0) -> None:
        norm = partial(nn.LayerNorm, eps=1e-6)
        super().__init__(dim, num_heads, mlp_ratio, qkv_bias=True, norm_layer=norm, attn_layer=SelfAttention)

    def forward(self, x: Tensor, attn_mask: Tensor | None = None, is_causal: bool = False) -> Tensor:
        """Tokens (N, L, D) to (N, L, D); attn_mask bool (N, L), True = a token that is attended to."""
        cached = torch.is_autocast_cache_enabled()
        torch.set_autocast_cache_enabled(False)  # a pass reads its weights once: their casts need not outlive it
        try:
            return (_compiled_run() if self.compiled else _run)(self, x, attn_mask)
        finally:
            torch.set_autocast_cache_enabled(cached)


def _run(layer: TransformerLayer, x: Tensor, mask: Tensor | None) -> Tensor:
    return recomputed(layer.recompute, partial(Block.forward, layer, attn_mask=mask), x)


@cache
def _compiled_run() -> Callable[[TransformerLayer, Tensor, Tensor | None], Tensor]:
    return torch.compile(_run, dynamic=True)  # the number of tokens changes as the mask grows


def set_layers(model: nn.Module, recompute: str, compiled: bool) -> None:
    """How all layers of a model run."""
    for layer in model.modules():
        if isinstance(layer, TransformerLayer):
            layer.recompute, layer.compiled = recompute, compiled


def initialise(module: nn.Module) -> None:
    """MAE's initialisation: Xavier-uniform projections, zero biases, special tokens and learned tables N(0, 0.02)."""
    for layer in module.modules():
        if isinstance(layer, nn.Linear):
            nn.init.xavier_uniform_(layer.weight)
            if layer.bias is not None:
                nn.init.zeros_(layer.bias)
        elif isinstance(layer, (nn.Conv2d, nn.Conv3d)):
            nn.init.xavier_uniform_(layer.weight.view(layer.out_channels, -1))
            nn.init.zeros_(layer.bias)
    for name, parameter in module.named_parameters():
        if name.endswith(("_token", "pos_embed")):
            nn.init.normal_(parameter, std=0.02)


def gather_tokens(tokens: Tensor, indices: Tensor) -> Tensor:
    """Rows of tokens (N, M, D) at indices (N, n): (N, n, D)."""
    return tokens.gather(1, indices[..., None].expand(-1, -1, tokens.shape[-1]))


def special_attention(block: Block, tokens: Tensor, n_special: int, n_patches: int) -> Tensor:
    """Attention (N, n_patches) of the first `n_special` tokens (N, L, D) to the patches behind them, in this layer.

    Mean over heads and special tokens, a distribution over the patches. Only these rows of the attention are computed.
    """
    attention = block.attn
    query_key = attention.qkv(block.norm1(tokens)).unflatten(-1, (3, attention.num_heads, -1))[:, :, :2]
    query = query_key[:, :n_special, 0].transpose(1, 2)
    key = query_key[:, n_special : n_special + n_patches, 1].transpose(1, 2)
    return (query @ key.transpose(-1, -2) * attention.scale).float().softmax(dim=-1).mean(dim=(1, 2))
