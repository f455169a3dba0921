"""The audio spectrogram transformer: agreement with an independent AST, patch order, normalisation."""

from __future__ import annotations

import pytest
import torch

from models.ast import AudioSpectrogramTransformer
from tests.references import blocks_as_ours

SIZES = {"num_frames": 50, "embed_dim": 24, "depth": 2, "num_heads": 3}


def test_it_is_ast() -> None:
    from transformers import ASTConfig, ASTModel

    torch.manual_seed(0)
    config = ASTConfig(
        hidden_size=24,
        num_hidden_layers=2,
        num_attention_heads=3,
        intermediate_size=96,
        max_length=50,
        layer_norm_eps=1e-6,
    )
    reference = ASTModel(config).eval()
    for parameter in reference.parameters():
        torch.nn.init.normal_(parameter, std=0.2)
    embeddings, norm = reference.embeddings, reference.layernorm
    projection = embeddings.patch_embeddings.projection
    ours = AudioSpectrogramTransformer(**SIZES).eval()
    state = ours.state_dict() | blocks_as_ours(reference.layers)
    state |= {"cls_token": embeddings.cls_token, "dist_token": embeddings.distillation_token}
    state |= {"pos_embed": embeddings.position_embeddings, "norm.weight": norm.weight, "norm.bias": norm.bias}
    state |= {"patch_embed.weight": projection.weight, "patch_embed.bias": projection.bias}
    ours.load_state_dict(state)
    fbank = torch.randn(2, 50, 128)
    torch.testing.assert_close(ours(fbank), reference(fbank).last_hidden_state, rtol=1e-4, atol=1e-5)


def test_one_second_gives_108_patches() -> None:
    with torch.device("meta"):
        model = AudioSpectrogramTransformer()
    assert model.grid == (12, 9)
    assert model(torch.empty(3, 100, 128, device="meta")).shape == (3, 110, 768)


def test_patches_run_over_time_within_a_frequency_band() -> None:
    model = AudioSpectrogramTransformer(**SIZES)
    fbank = torch.zeros(1, 50, 128)
    before = model.embed(fbank)
    fbank[:, 41:46, 0:5] = 1  # reached by the last of 4 patches in time and by the first band alone
    changed = (model.embed(fbank) - before).abs().sum(-1)[0]
    assert model.grid == (12, 4)
    assert changed.nonzero().flatten().tolist() == [2 + 3]


def test_visible_patches_keep_their_positions() -> None:
    model = AudioSpectrogramTransformer(**SIZES)
    fbank = torch.randn(1, 50, 128)
    torch.testing.assert_close(model.embed(fbank, torch.tensor([[5, 0]]))[:, 2:], model.embed(fbank)[:, [7, 2]])


def test_normalise_halves_the_deviation() -> None:
    model = AudioSpectrogramTransformer(**SIZES)
    values = torch.tensor([-4.2677393, -4.2677393 + 2 * 4.5689974])
    torch.testing.assert_close(model.normalise(values), torch.tensor([0.0, 1.0]))


def test_other_lengths_are_refused() -> None:
    with pytest.raises(ValueError, match="patches"):
        AudioSpectrogramTransformer(**SIZES)(torch.zeros(1, 80, 128))
    with pytest.raises(ValueError, match="holds no patch"):
        AudioSpectrogramTransformer(num_frames=10)
