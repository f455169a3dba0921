"""The video ViT: agreement with an independent VideoMAE, positions, visible patches."""

from __future__ import annotations

import pytest
import torch

from models.positions import resample_grid_3d, sine_table
from models.vit import VideoViT
from tests.references import blocks_as_ours

SIZES = {"image_size": 32, "num_frames": 4, "embed_dim": 24, "depth": 2, "num_heads": 3, "pretrained_grid": (2, 2, 2)}


def test_without_class_token_it_is_videomae() -> None:
    from transformers import VideoMAEConfig, VideoMAEModel

    torch.manual_seed(0)
    config = VideoMAEConfig(
        image_size=32,
        num_frames=4,
        hidden_size=24,
        num_hidden_layers=2,
        num_attention_heads=3,
        intermediate_size=96,
        use_mean_pooling=False,
        layer_norm_eps=1e-6,
    )
    reference = VideoMAEModel(config).eval()
    for parameter in reference.parameters():
        torch.nn.init.normal_(parameter, std=0.2)
    projection = reference.embeddings.patch_embeddings.projection
    ours = VideoViT(**SIZES, class_token=False).eval()
    state = ours.state_dict() | blocks_as_ours(reference.encoder.layer)
    state |= {"patch_embed.weight": projection.weight, "patch_embed.bias": projection.bias}
    state |= {"norm.weight": reference.layernorm.weight, "norm.bias": reference.layernorm.bias}
    ours.load_state_dict(state)
    clips = torch.randn(2, 3, 4, 32, 32)
    expected = reference(clips.transpose(1, 2)).last_hidden_state
    torch.testing.assert_close(ours(clips), expected, rtol=1e-4, atol=1e-5)


def test_published_size_has_a_class_token_and_392_patches() -> None:
    with torch.device("meta"):
        model = VideoViT()
    assert model.num_patches == 392 and model.grid == (8, 7, 7)
    assert model(torch.empty(2, 3, 16, 112, 112, device="meta")).shape == (2, 393, 768)


def test_sine_table_by_hand() -> None:
    table = sine_table(3, 4)[0]
    expected = torch.tensor([1 / 1, 1 / 1, 1 / 100, 1 / 100]) * 2
    torch.testing.assert_close(table[2, 0::2], expected[0::2].sin())
    torch.testing.assert_close(table[2, 1::2], expected[1::2].cos())
    torch.testing.assert_close(table[0], torch.tensor([0.0, 1.0, 0.0, 1.0]))


def test_halving_a_grid_averages_neighbouring_positions() -> None:
    table = torch.arange(2 * 4 * 4, dtype=torch.float32).reshape(1, 32, 1)
    halved = resample_grid_3d(table, (2, 4, 4), (2, 2, 2)).flatten()
    # the first output place covers rows 0, 1 and columns 0, 1: indices 0, 1, 4, 5
    torch.testing.assert_close(halved[0], torch.tensor(2.5))
    torch.testing.assert_close(halved[4], torch.tensor(18.5))
    assert resample_grid_3d(table, (2, 4, 4), (2, 4, 4)) is table


def test_patches_stand_where_their_pixels_are() -> None:
    """Changing one tubelet's pixels changes the embedding of that patch alone, in (time, row, column) order."""
    model = VideoViT(**SIZES)
    clips = torch.zeros(1, 3, 4, 32, 32)
    before = model.embed(clips)
    clips[:, :, 2:4, 16:32, 0:16] = 1  # second tubelet in time, second row, first column
    changed = (model.embed(clips) - before).abs().sum(-1)[0]
    assert changed.nonzero().flatten().tolist() == [1 + (1 * 2 + 1) * 2 + 0]


def test_only_visible_patches_are_encoded() -> None:
    model = VideoViT(**SIZES)
    clips = torch.randn(2, 3, 4, 32, 32)
    visible = torch.tensor([[0, 3], [7, 1]])
    kept = model.embed(clips, visible)
    everything = model.embed(clips)
    assert kept.shape == (2, 3, 24)
    torch.testing.assert_close(kept[1, 1:], everything[1, [8, 2]])


def test_normalise_uses_the_statistics_of_the_weights() -> None:
    frames = torch.full((1, 3, 1, 1, 1), 255, dtype=torch.uint8)
    expected = (1 - torch.tensor([0.485, 0.456, 0.406])) / torch.tensor([0.229, 0.224, 0.225])
    torch.testing.assert_close(VideoViT(**SIZES).normalise(frames).flatten(), expected)


def test_sizes_that_do_not_divide_are_refused() -> None:
    with pytest.raises(ValueError, match="do not divide"):
        VideoViT(image_size=100)
    with pytest.raises(ValueError, match="clips of shape"):
        VideoViT(**SIZES)(torch.zeros(1, 3, 4, 48, 48))
