"""Bottleneck fusion: what reaches what, pooling, heads, independence of the segments."""

from __future__ import annotations

import pytest
import torch

from models.build import ModelSizes, build_model, count_parameters
from models.mbt import MBT

TINY = ModelSizes(
    n_classes=3,
    sample_size=32,
    snippet_duration=4,
    audio_frames=50,
    audio_stride=16,
    embed_dim=24,
    depth=3,
    num_heads=3,
    fusion_depth=2,
    n_bottleneck=2,
)


@pytest.fixture
def model() -> MBT:
    torch.manual_seed(0)
    return build_model(TINY).eval()


def media(n_videos: int = 2, n_segments: int = 3, louder: float = 0.0) -> dict[str, tuple[torch.Tensor, ...]]:
    generator = torch.Generator().manual_seed(1)
    frames = torch.randint(0, 256, (n_videos, n_segments, 3, 4, 32, 32), dtype=torch.uint8, generator=generator)
    fbank = torch.randn(n_videos, n_segments, 50, 128, generator=generator) * 4 - 4 + louder
    return {"visual": (frames,), "audio": (fbank,)}


def silent(n_videos: int = 2, n_segments: int = 3) -> dict[str, tuple[torch.Tensor, ...]]:
    return {"visual": media(n_videos, n_segments)["visual"]}


def test_video_scores_are_the_heads_on_pooled_features(model: MBT) -> None:
    output = model(media())
    visual = model.visual_head(output.features["visual"].max(dim=1).values)
    audio = model.audio_head(output.features["audio"].max(dim=1).values)
    torch.testing.assert_close(output.stream_scores["visual"], visual)
    torch.testing.assert_close(output.video_scores, visual + audio)
    segment = model.visual_head(output.features["visual"]) + model.audio_head(output.features["audio"])
    torch.testing.assert_close(output.segment_scores, segment)


def test_mean_pooling_averages_segments(model: MBT) -> None:
    model.temporal_pool = "mean"
    output = model(media())
    torch.testing.assert_close(output.video_scores, output.segment_scores.mean(dim=1), rtol=1e-4, atol=1e-5)


def test_segments_and_videos_do_not_see_each_other(model: MBT) -> None:
    together = model(media())
    alone = model({name: (tensor[1:, 2:],) for name, (tensor,) in media().items()})
    torch.testing.assert_close(together.segment_scores[1:, 2:], alone.segment_scores, rtol=1e-4, atol=1e-5)


def test_sound_reaches_the_picture_only_through_the_bottleneck(model: MBT) -> None:
    heard = model(media()).features["visual"]
    assert not torch.allclose(heard, model(media(louder=3)).features["visual"], atol=1e-4)
    deaf = build_model(ModelSizes(**{**TINY.__dict__, "n_bottleneck": 0})).eval()
    torch.testing.assert_close(deaf(media()).features["visual"], deaf(media(louder=3)).features["visual"])


def test_one_shared_layer_passes_nothing_on(model: MBT) -> None:
    """The bottleneck is averaged after a layer, so the first shared layer alone cannot carry sound to the picture."""
    shallow = build_model(ModelSizes(**{**TINY.__dict__, "fusion_depth": 1})).eval()
    torch.testing.assert_close(shallow(media()).features["visual"], shallow(media(louder=3)).features["visual"])


def test_every_parameter_is_trained(model: MBT) -> None:
    output = model.train()(media())
    (output.stream_scores["visual"].square().sum() + output.stream_scores["audio"].square().sum()).backward()
    without = [name for name, p in model.named_parameters() if p.requires_grad and (p.grad is None or not p.grad.any())]
    assert without == []


def test_contradicting_sizes_are_refused() -> None:
    with pytest.raises(ValueError, match="multiple of num_heads"):
        build_model(ModelSizes(3, embed_dim=25, num_heads=3))
    with pytest.raises(ValueError, match="fusion_depth 4"):
        build_model(ModelSizes(**{**TINY.__dict__, "fusion_depth": 4}))


def test_parts_add_up_to_the_whole(model: MBT) -> None:
    assert sum(count_parameters(model).values()) == sum(p.numel() for p in model.parameters())


def test_without_sound_the_picture_scores_alone(model: MBT) -> None:
    output = model(silent())
    assert output.features.keys() == output.stream_scores.keys() == {"visual"}
    torch.testing.assert_close(output.segment_scores, model.visual_head(output.features["visual"]))
    torch.testing.assert_close(output.video_scores, model.visual_head(output.features["visual"].amax(dim=1)))
    assert not torch.allclose(output.features["visual"], model(media()).features["visual"], atol=1e-4)
    deaf = build_model(ModelSizes(**{**TINY.__dict__, "n_bottleneck": 0})).eval()
    torch.testing.assert_close(deaf(silent()).features["visual"], deaf(media()).features["visual"])


def test_without_sound_the_bottleneck_is_the_pictures_own(model: MBT) -> None:
    """As if the sound's half of the average were the picture's, too."""
    (frames,) = silent(1, 1)["visual"]
    tokens = model.visual.embed(model.visual.normalise(frames.flatten(0, 1)))
    n_visual = tokens.shape[1]
    for number, block in enumerate(model.visual.blocks):
        if number == len(model.visual.blocks) - model.fusion_depth:
            tokens = torch.cat([tokens, model.bottleneck], dim=1)
        tokens = block(tokens)
    expected = model.visual.norm(tokens)[:, :n_visual]
    torch.testing.assert_close(model.encode({"visual": (frames.flatten(0, 1),)}).tokens["visual"], expected)
