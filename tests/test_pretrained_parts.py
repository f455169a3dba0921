"""What comes with published weights: names of the original files, positions, epsilon, statistics, defaults."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from models.ast import AudioSpectrogramTransformer
from models.build import ModelSizes, build_model
from models.positions import fit_grid_2d
from models.pretrained import find_default, load_audio_weights, load_text_encoder, load_visual_weights
from models.text import embedded_weights
from models.vit import IMAGE_MEAN, VideoViT
from tests import pretrained_sources as sources
from tests.pretrained_sources import TINY, difference

UPSTREAM = Path(__file__).parent / "fixtures" / "upstream_names.json"  # names and shapes of the authors' files


def numbered(source: str) -> dict[str, Tensor]:
    """A table with the original names and shapes in which every tensor holds its own number; small on the disk."""
    names = json.loads(UPSTREAM.read_text())[source]["keys"]
    return {name: torch.tensor(float(i)).expand(shape) for i, (name, shape) in enumerate(names)}


@pytest.mark.parametrize("kind", ["pretrain", "finetune_k400"])
def test_the_original_videomae_files_fill_everything(kind: str, tmp_path: Path) -> None:
    tensors = numbered(f"videomae vit_base_patch16_224, {kind}")
    path = sources.saved({"model" if kind == "pretrain" else "module": tensors}, tmp_path / "vit.pth")
    model = VideoViT()
    loaded = load_visual_weights(model, path)
    prefix, norm = ("encoder.", "norm") if kind == "pretrain" else ("", "fc_norm")
    block = f"{prefix}blocks.11."
    for ours, theirs in {
        model.patch_embed.weight: f"{prefix}patch_embed.proj.weight",
        model.blocks[11].attn.qkv.weight: f"{block}attn.qkv.weight",
        model.blocks[11].mlp.fc2.bias: f"{block}mlp.fc2.bias",
        model.norm.weight: f"{prefix}{norm}.weight",
    }.items():
        assert torch.equal(ours, tensors[theirs])
    query, key, value = model.blocks[11].attn.qkv.bias.chunk(3)
    assert torch.equal(query, tensors[f"{block}attn.q_bias"]) and torch.equal(value, tensors[f"{block}attn.v_bias"])
    assert not key.any()
    assert loaded.n_tensors + len(loaded.ignored) == len(tensors) and loaded.as_initialised == ("cls_token",)
    heads = ("mask_token", "encoder_to_decoder", "decoder") if kind == "pretrain" else ("head",)
    assert loaded.ignored_parts == heads


def test_the_original_ast_file_fills_everything(tmp_path: Path) -> None:
    tensors = numbered("audioset_10_10_0.4593.pth")
    model = AudioSpectrogramTransformer()
    loaded = load_audio_weights(model, sources.saved(tensors, tmp_path / "audioset_10_10_0.4593.pth"))
    assert torch.equal(model.dist_token, tensors["module.v.dist_token"])
    assert torch.equal(model.pos_embed, tensors["module.v.pos_embed"][:, :110])
    assert torch.equal(model.blocks[0].attn.qkv.bias, tensors["module.v.blocks.0.attn.qkv.bias"])
    assert loaded.ignored_parts == ("v.head", "v.head_dist", "mlp_head")
    assert "cut around its middle 12x101 -> 12x9" in str(loaded)


def test_a_shorter_sound_takes_the_middle_of_the_grid() -> None:
    table = torch.randn(1, 12 * 101, 5)
    cut = fit_grid_2d(table, (12, 101), (12, 9)).reshape(12, 9, 5)
    assert torch.equal(cut, table.reshape(12, 101, 5)[:, 46:55])  # 50 - 4 = 46, as in AST's code
    even = fit_grid_2d(table, (12, 101), (12, 100)).reshape(12, 100, 5)
    assert torch.equal(even, table.reshape(12, 101, 5)[:, :100])  # 50 - 50 = 0
    assert fit_grid_2d(table, (12, 101), (12, 101)) is table


@pytest.mark.parametrize("target", [(12, 120), (8, 101), (8, 40), (16, 130)])
def test_other_grids_are_interpolated(target: tuple[int, int]) -> None:
    table = torch.randn(1, 12 * 101, 5)
    picture = table.reshape(1, 12, 101, 5).permute(0, 3, 1, 2)
    if target[1] < 101:
        picture = picture[..., 50 - target[1] // 2 :][..., : target[1]]
    expected = F.interpolate(picture, size=target, mode="bilinear").permute(0, 2, 3, 1).reshape(1, -1, 5)
    torch.testing.assert_close(fit_grid_2d(table, (12, 101), target), expected)


@pytest.mark.parametrize(("frames", "words"), [(100, "cut around its middle 12x101 -> 12x9"), (1210, "interpolated")])
def test_special_tokens_keep_their_positions(frames: int, words: str, tmp_path: Path) -> None:
    from transformers import ASTConfig, ASTModel

    reference = sources.randomise(ASTModel(ASTConfig(**TINY)))
    model = AudioSpectrogramTransformer(frames, embed_dim=24, depth=2, num_heads=3)
    assert words in str(load_audio_weights(model, sources.folder_of(reference, tmp_path)))
    assert torch.equal(model.pos_embed[:, :2], reference.embeddings.position_embeddings[:, :2])


def tiny_videomae(**changes: object) -> nn.Module:
    from transformers import VideoMAEConfig, VideoMAEModel

    config = VideoMAEConfig(**(TINY | {"image_size": 64, "num_frames": 4, "use_mean_pooling": False} | changes))
    return sources.randomise(VideoMAEModel(config))


@torch.no_grad()
@pytest.mark.parametrize("learned", [False, True])
def test_a_smaller_picture_gets_the_mean_of_neighbouring_positions(learned: bool, tmp_path: Path) -> None:
    reference = tiny_videomae()
    tensors = sources.authors_pretraining(reference)
    if learned:
        reference.embeddings.position_embeddings = torch.randn(1, 2 * 4 * 4, 24)
        tensors["encoder.pos_embed"] = reference.embeddings.position_embeddings
    ours = VideoViT(32, 4, embed_dim=24, depth=2, num_heads=3, class_token=False, pretrained_grid=(2, 4, 4)).eval()
    loaded = load_visual_weights(ours, sources.saved(tensors, tmp_path / "vit.pth"))
    table = reference.embeddings.position_embeddings.reshape(2, 2, 2, 2, 2, 24)
    reference.embeddings.position_embeddings = table.mean(dim=(2, 4)).reshape(1, 8, 24)
    reference.embeddings.patch_embeddings.image_size = (32, 32)
    clips = torch.randn(1, 3, 4, 32, 32)
    sources.use_eps(reference, 1e-6)
    assert difference(ours(clips), reference(clips.transpose(1, 2)).last_hidden_state) < 1e-5
    assert f"{'learned' if learned else 'sine'} position table resampled 2x4x4 -> 2x2x2" in str(loaded)


def test_the_grid_of_a_folder_is_that_of_its_configuration(tmp_path: Path) -> None:
    """The model was built for 8x14x14, the weights were trained on 2x4x4."""
    reference = tiny_videomae()
    ours = VideoViT(64, 4, embed_dim=24, depth=2, num_heads=3)
    load_visual_weights(ours, sources.folder_of(reference, tmp_path))
    torch.testing.assert_close(ours.pos_embed, reference.embeddings.position_embeddings)


@torch.no_grad()
def test_what_belongs_to_the_weights_is_in_our_checkpoints(tmp_path: Path) -> None:
    from transformers import ASTConfig, ASTModel

    sizes = ModelSizes(4, 32, 4, 100, embed_dim=24, depth=2, num_heads=3, fusion_depth=1, n_bottleneck=2)
    model = build_model(sizes).eval()
    picture = tiny_videomae(image_size=32, layer_norm_eps=1e-2)
    statistics = {"image_mean": [0.5, 0.4, 0.3], "image_std": [0.2, 0.1, 0.3]}
    line = load_visual_weights(model.visual, sources.folder_of(picture, tmp_path / "v", **statistics))
    assert "inputs normalised by the statistics of preprocessor_config.json" in str(line)
    sound = sources.randomise(ASTModel(ASTConfig(layer_norm_eps=1e-3, max_length=100, **TINY)))
    load_audio_weights(model.audio, sources.folder_of(sound, tmp_path / "a", mean=-6.8, std=5.5))
    torch.testing.assert_close(model.visual.mean.flatten(), torch.tensor([0.5, 0.4, 0.3]))
    torch.testing.assert_close(model.audio.normalise(torch.tensor(-6.8 + 11.0)), torch.tensor(1.0))

    again = build_model(sizes).eval()
    again.load_state_dict(torch.load(sources.saved(model.state_dict(), tmp_path / "last.pt")))
    frames, fbank = torch.randint(0, 256, (1, 2, 3, 4, 32, 32), dtype=torch.uint8), torch.randn(1, 2, 100, 128)
    media = {"visual": (frames,), "audio": (fbank,)}
    assert torch.equal(again(media).video_scores, model(media).video_scores)
    assert again.audio.norm.eps == pytest.approx(1e-3) and again.visual.blocks[1].norm2.eps == pytest.approx(1e-2)


def test_authors_files_bring_the_published_constants(tmp_path: Path) -> None:
    ours = VideoViT(32, 4, embed_dim=24, depth=2, num_heads=3)
    folder = sources.folder_of(tiny_videomae(), tmp_path, image_mean=[0.5] * 3, image_std=[0.5] * 3)
    load_visual_weights(ours, folder)
    load_visual_weights(ours, sources.saved(sources.authors_pretraining(tiny_videomae()), tmp_path / "w.pth"))
    torch.testing.assert_close(ours.mean.flatten(), torch.tensor(IMAGE_MEAN))
    assert ours.norm.eps == pytest.approx(1e-6)


def test_half_precision_files_become_float32(tmp_path: Path) -> None:
    tensors = {name: tensor.half() for name, tensor in sources.authors_pretraining(tiny_videomae()).items()}
    ours = VideoViT(64, 4, embed_dim=24, depth=2, num_heads=3)
    load_visual_weights(ours, sources.saved(tensors, tmp_path / "w.pth"))
    assert ours.blocks[0].attn.qkv.weight.dtype == torch.float32
    assert torch.equal(ours.norm.weight, tensors["encoder.norm.weight"].float())


def test_published_weights_are_found_under_their_names(tmp_path: Path) -> None:
    assert find_default("visual", tmp_path) is None
    (tmp_path / "videomae-base").mkdir()
    assert find_default("visual", tmp_path) == tmp_path / "videomae-base"
    (tmp_path / "vit_base_patch16_224.pth").touch()
    assert find_default("visual", tmp_path) == tmp_path / "vit_base_patch16_224.pth"
    assert find_default("audio", tmp_path) is None and find_default("text", tmp_path) is None


def test_the_bert_of_the_dependencies_is_loaded_as_transformers_does() -> None:
    from transformers import BertModel

    reference = BertModel.from_pretrained(embedded_weights(), add_pooling_layer=False, local_files_only=True)
    ours, theirs = load_text_encoder(embedded_weights()).bert.state_dict(), reference.state_dict()
    assert ours.keys() == theirs.keys() and all(torch.equal(ours[name], theirs[name]) for name in ours)
