"""Our attention is timm's, whatever it is computed in."""

from __future__ import annotations

import pytest
import torch
from timm.layers import Attention

from models.layers import SelfAttention, TransformerLayer, attend


def both() -> tuple[SelfAttention, Attention]:
    torch.manual_seed(0)
    ours, theirs = SelfAttention(24, 3, qkv_bias=True), Attention(24, 3, qkv_bias=True)
    theirs.load_state_dict(ours.state_dict())
    return ours, theirs


@pytest.mark.parametrize(("precision", "tolerance"), [(torch.float32, 1e-6), (torch.bfloat16, 2e-2)])
def test_agrees_with_timm_forwards_and_backwards(precision: torch.dtype, tolerance: float) -> None:
    ours, theirs = both()
    tokens = torch.randn(2, 5, 24)
    with torch.autocast("cpu", precision, enabled=precision != torch.float32):
        found, wanted = ours(tokens), theirs(tokens)
    torch.testing.assert_close(found, wanted, atol=tolerance, rtol=tolerance)
    for output in (found, wanted):
        output.float().square().sum().backward()
    torch.testing.assert_close(ours.qkv.weight.grad, theirs.qkv.weight.grad, atol=5 * tolerance, rtol=5 * tolerance)


def test_a_cpu_attends_in_float32_under_autocast() -> None:
    query = torch.randn(1, 2, 3, 4, dtype=torch.bfloat16)
    with torch.autocast("cpu", torch.bfloat16):
        assert attend(query, query, query).dtype == torch.float32


def test_attention_by_hand() -> None:
    """One query that is equally like both keys takes the mean of their values."""
    key = torch.tensor([[[[1.0, 0.0], [1.0, 0.0]]]])
    value = torch.tensor([[[[0.0, 2.0], [4.0, 6.0]]]])
    torch.testing.assert_close(attend(key[:, :, :1], key, value), torch.tensor([[[[2.0, 4.0]]]]))


def test_the_layer_uses_it() -> None:
    layer = TransformerLayer(24, 3)
    assert isinstance(layer.attn, SelfAttention) and layer.norm1.eps == 1e-6 and layer.attn.qkv.bias is not None
