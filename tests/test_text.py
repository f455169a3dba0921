"""The text encoder: padding, freezing, the embedded pre-trained weights."""

from __future__ import annotations

import torch

from datasets.tokens import encode_texts
from models.pretrained import load_text_encoder
from models.text import TextEncoder, embedded_weights


def tiny_encoder(frozen: bool = True) -> TextEncoder:
    from transformers import BertConfig

    sizes = {"hidden_size": 24, "num_hidden_layers": 2, "num_attention_heads": 3, "intermediate_size": 48}
    return TextEncoder(BertConfig(vocab_size=50, **sizes), frozen=frozen)


def test_padding_does_not_change_the_words_and_is_zero() -> None:
    torch.manual_seed(0)
    encoder = tiny_encoder()
    words = torch.tensor([[5, 6, 7]])
    padded = torch.tensor([[5, 6, 7, 0, 0]])
    mask = torch.tensor([[True, True, True, False, False]])
    features = encoder(padded, mask)
    torch.testing.assert_close(features[:, :3], encoder(words, mask[:, :3]), rtol=1e-4, atol=1e-5)
    assert not features[:, 3:].any()
    assert not torch.allclose(features[:, :3], encoder(padded, torch.ones_like(mask))[:, :3], atol=1e-4)


def test_frozen_means_no_gradient_and_no_dropout() -> None:
    encoder = tiny_encoder().train()
    ids, mask = torch.tensor([[5, 6]]), torch.ones(1, 2, dtype=torch.bool)
    first = encoder(ids, mask)
    assert not first.requires_grad
    torch.testing.assert_close(first, encoder(ids, mask), rtol=0, atol=0)
    trained = tiny_encoder(frozen=False).train()
    assert trained(ids, mask).requires_grad
    assert not torch.equal(trained(ids, mask), trained(ids, mask))


def test_embedded_weights_know_that_joy_is_nearer_to_happiness_than_to_gravel() -> None:
    encoder = load_text_encoder(embedded_weights())
    ids, mask, _ = encode_texts(["joy", "happiness", "gravel"], max_tokens=6)
    features = encoder(ids, mask)
    mean = torch.nn.functional.normalize(features.sum(1) / mask.sum(1, keepdim=True), dim=-1)
    assert encoder.embed_dim == 384
    assert mean[0] @ mean[1] > mean[0] @ mean[2] + 0.1
