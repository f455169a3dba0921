"""Weights that cannot be used: one line with the file, what is wrong and what to do; nothing is changed or run."""

from __future__ import annotations

import json
import pickle
import re
from pathlib import Path

import pytest
import torch
from torch import nn

from models.ast import AudioSpectrogramTransformer
from models.pretrained import load_audio_weights, load_text_encoder, load_visual_weights
from models.vit import VideoViT
from models.weight_files import WeightError, read_weights
from models.weight_source import hashes
from tests import pretrained_sources as sources
from tests.pretrained_sources import TINY

WIDE = TINY | {"hidden_size": 48, "num_hidden_layers": 3, "intermediate_size": 192}


class Payload:
    """Unpickling this would run code."""

    def __reduce__(self) -> tuple:
        return (Path("pwned").write_text, ("pwned",))


def vit() -> VideoViT:
    return VideoViT(32, 4, embed_dim=24, depth=2, num_heads=3)


def ast() -> AudioSpectrogramTransformer:
    return AudioSpectrogramTransformer(embed_dim=24, depth=2, num_heads=3)


def videomae(sizes: dict[str, int] = TINY, **changes: object) -> nn.Module:
    from transformers import VideoMAEConfig, VideoMAEModel

    given = {"image_size": 32, "num_frames": 4, "use_mean_pooling": False} | sizes | changes
    return sources.randomise(VideoMAEModel(VideoMAEConfig(**given)))


def audio_model(sizes: dict[str, int] = TINY) -> nn.Module:
    from transformers import ASTConfig, ASTModel

    return sources.randomise(ASTModel(ASTConfig(**sizes)))


def bert(**changes: object) -> nn.Module:
    from transformers import BertConfig, BertModel

    return sources.randomise(BertModel(BertConfig(**(TINY | {"vocab_size": 50} | changes))))


def refused(load: object, *arguments: object) -> str:
    """The message of the WeightError, which is one line."""
    with pytest.raises(WeightError) as caught:
        load(*arguments)
    message = str(caught.value)
    assert "\n" not in message and "; " in message
    return message


@pytest.mark.parametrize("zipped", [True, False])
def test_code_in_a_file_is_not_run(zipped: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    tensors = sources.authors_pretraining(videomae())
    path = sources.saved({"model": tensors, "x": Payload()}, tmp_path / "evil.pth", zipped)
    assert "evil.pth: holds code" in refused(load_visual_weights, vit(), path)
    for protocol in (2, 4, 5):
        path.write_bytes(pickle.dumps(Payload(), protocol=protocol))
        assert "evil.pth" in refused(load_visual_weights, vit(), path)
    assert not Path("pwned").exists()
    pickle.loads(path.read_bytes())
    assert Path("pwned").exists(), "the payload would have worked"


def test_a_pickled_module_is_not_opened(tmp_path: Path) -> None:
    path = sources.saved(nn.Linear(2, 2), tmp_path / "whole.pt")
    assert "holds code (torch.nn.modules.linear.Linear)" in refused(load_audio_weights, ast(), path)


@pytest.mark.parametrize("keep", [0, 1, 10, 1000, -1000, -30])
@pytest.mark.parametrize("layout", ["zip", "old", "safetensors", "folder"])
def test_a_cut_off_file_is_refused(layout: str, keep: int, tmp_path: Path) -> None:
    if layout in ("zip", "old"):
        path = sources.saved(sources.authors_pretraining(videomae()), tmp_path / "vit.pth", zipped=layout == "zip")
    else:
        path = sources.folder_of(videomae(), tmp_path) / "model.safetensors"
    path.write_bytes(path.read_bytes()[:keep])
    given = tmp_path if layout == "folder" else path
    model = vit()
    before = {name: tensor.clone() for name, tensor in model.state_dict().items()}
    assert f"{path}: no readable weights, perhaps cut off" in refused(load_visual_weights, model, given)
    assert all(torch.equal(tensor, before[name]) for name, tensor in model.state_dict().items())


def test_a_web_page_is_no_weight_file(tmp_path: Path) -> None:
    path = tmp_path / "vit.pth"
    path.write_text("<!DOCTYPE html>\n<html>Quota exceeded</html>")
    assert "it begins with '<!DOCTYPE html>'" in refused(load_visual_weights, vit(), path)


def test_files_and_folders_that_are_not_there(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "pretrained_models").mkdir()
    for missing in (tmp_path / "vit.pth", "some/vit.pth", "pretrained_models/videomae-base", "a/b/c", "/none/at-all"):
        assert f"{missing}: no such file or folder" in refused(load_visual_weights, vit(), missing)
    assert "holds neither model.safetensors nor" in refused(load_text_encoder, tmp_path / "pretrained_models")


def test_a_shard_that_is_missing_is_named(tmp_path: Path) -> None:
    folder = sources.as_shards(sources.folder_of(videomae(), tmp_path), "model.safetensors")
    (folder / "model-00002-of-00003.safetensors").unlink()
    assert "model-00002-of-00003.safetensors of its index is missing" in refused(load_visual_weights, vit(), folder)
    index = folder / "model.safetensors.index.json"
    index.write_text(json.dumps({"weight_map": {"x": "../elsewhere.safetensors"}}))
    assert "no index of weight files" in refused(load_visual_weights, vit(), folder)
    index.write_text("{")
    assert "not readable as JSON" in refused(load_visual_weights, vit(), folder)


@pytest.mark.parametrize("config", [True, False])
def test_another_model_is_recognised(config: bool, tmp_path: Path) -> None:
    folders = {"bert": bert(), "videomae": videomae(), "audio-spectrogram-transformer": audio_model()}
    for name, model in folders.items():
        sources.folder_of(model, tmp_path / name)
        if not config:
            (tmp_path / name / "config.json").unlink()
    loads = {
        "videomae": lambda path: load_visual_weights(vit(), path),
        "audio-spectrogram-transformer": lambda path: load_audio_weights(ast(), path),
        "bert": load_text_encoder,
    }
    for wanted, load in loads.items():
        for given in set(folders) - {wanted}:
            message = refused(load, tmp_path / given)
            assert (f"it holds a model of type {given}" if config else "") in message
    assert "no VideoMAE encoder" in refused(loads["videomae"], tmp_path / "bert")


def test_an_imagenet_vit_of_the_same_name_is_no_videomae(tmp_path: Path) -> None:
    tensors = {f"{name}": tensor for name, tensor in sources.authors_videomae(videomae(), nn.LayerNorm(24)).items()}
    tensors |= {"patch_embed.proj.weight": torch.zeros(24, 3, 16, 16), "pos_embed": torch.zeros(1, 5, 24)}
    message = refused(load_visual_weights, vit(), sources.saved(tensors, tmp_path / "vit_base_patch16_224.pth"))
    assert "patch_embed.weight has shape (24, 3, 16, 16), the model (24, 3, 2, 16, 16)" in message


@pytest.mark.parametrize("config", [True, False])
def test_a_larger_encoder_is_refused_with_the_names(config: bool, tmp_path: Path) -> None:
    for name, large, load, model in (
        ("visual", videomae(WIDE), load_visual_weights, vit()),
        ("audio", audio_model(WIDE), load_audio_weights, ast()),
    ):
        folder = sources.folder_of(large, tmp_path / name)
        if not config:
            (folder / "config.json").unlink()
        message = refused(load, model, folder)
        assert "an encoder 48 wide with 3 layers for one 24 wide with 2 layers: " in message
        assert "cls_token has shape" in message or "patch_embed.weight has shape (48, 3, 2, 16, 16)" in message
        assert " more; give" in message


def test_unfilled_and_surplus_parts_are_named_and_nothing_is_copied(tmp_path: Path) -> None:
    tensors = sources.authors_pretraining(videomae())
    del (
        tensors["encoder.blocks.1.mlp.fc1.bias"],
        tensors["encoder.blocks.0.attn.v_bias"],
        tensors["encoder.norm.weight"],
    )
    model = vit()
    before = model.blocks[0].mlp.fc1.weight.clone()
    message = refused(load_visual_weights, model, sources.saved(tensors, tmp_path / "vit.pth"))
    assert "blocks.0.attn.qkv.bias is missing; blocks.1.mlp.fc1.bias is missing; norm.weight is missing" in message
    assert "1 more" in message and torch.equal(model.blocks[0].mlp.fc1.weight, before)
    pooled = sources.folder_of(videomae(use_mean_pooling=True), tmp_path / "pooled")
    assert "norm.weight is missing; norm.bias is missing" in refused(load_visual_weights, vit(), pooled)


def test_values_that_are_not_finite_are_refused(tmp_path: Path) -> None:
    reference = bert()
    reference.encoder.layer[1].output.dense.weight.data[0, 0] = torch.nan
    message = refused(load_text_encoder, sources.folder_of(reference, tmp_path))
    assert "encoder.layer.1.output.dense.weight is not finite" in message


def test_what_no_shape_shows_is_read_from_the_configuration(tmp_path: Path) -> None:
    folder = sources.folder_of(videomae(num_attention_heads=2), tmp_path / "heads")
    assert "made with 2 attention heads, the model has 3" in refused(load_visual_weights, vit(), folder)
    small = {"patch_embed.proj.weight": torch.zeros(384, 3, 2, 16, 16), "blocks.11.norm1.weight": torch.zeros(384)}
    path = sources.saved(small, tmp_path / "vit_small.pth")
    message = refused(load_visual_weights, VideoViT(32, 4, embed_dim=384, depth=1, num_heads=12), path)
    assert "made with 6 attention heads, the model has 12; change --num_heads" in message
    folder = sources.folder_of(videomae(hidden_act="relu"), tmp_path / "relu")
    assert "made with the activation relu" in refused(load_visual_weights, vit(), folder)
    folder = sources.folder_of(videomae(), tmp_path / "mean", image_mean=["grey"] * 3, image_std=[1, 1, 1])
    assert "image_mean or image_std of preprocessor_config.json is no number" in refused(
        load_visual_weights, vit(), folder
    )
    path = sources.saved(bert().state_dict(), tmp_path / "bert.pth")
    assert "BERT of unknown size (24 wide)" in refused(load_text_encoder, path)
    (sources.folder_of(bert(), tmp_path / "cased") / "vocab.txt").write_text("[PAD]\nHello\n")
    assert "another vocabulary" in refused(load_text_encoder, tmp_path / "cased")


def test_a_download_that_is_not_what_the_hub_has(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Files lie in the cache under their hashes, with links to them; the hub's client is a stand-in."""
    folder, blobs = sources.folder_of(videomae(), tmp_path / "snapshots"), tmp_path / "blobs"
    blobs.mkdir()
    for path in list(folder.iterdir()):
        blob = blobs / hashes(path)[path.suffix == ".json"]
        path.rename(blob)
        path.symlink_to(blob)
    monkeypatch.setattr("huggingface_hub.snapshot_download", lambda *_, **__: str(folder))
    assert load_visual_weights(vit(), "somebody/model").path == folder
    with (folder / "model.safetensors").open("ab") as file:
        file.write(b"more")
    message = refused(load_visual_weights, vit(), "somebody/model")
    assert "model.safetensors: is not what the hub has of it; it was removed, start again" in message
    assert not (folder / "model.safetensors").exists() and (folder / "config.json").exists()


def test_a_hub_id_without_network(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from huggingface_hub import constants

    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)  # what HF_HUB_OFFLINE=1 sets
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path))
    message = refused(load_visual_weights, vit(), "MCG-NJU/videomae-base")
    assert "MCG-NJU/videomae-base: no file or folder, and not read from the Hugging Face hub: " in message

    cached = tmp_path / "models--MCG-NJU--videomae-base"
    sources.folder_of(videomae(), cached / "snapshots" / "0123")
    (cached / "refs").mkdir()
    (cached / "refs" / "main").write_text("0123")
    loaded = load_visual_weights(vit(), "MCG-NJU/videomae-base")
    assert loaded.name == "MCG-NJU/videomae-base" and loaded.path == cached / "snapshots" / "0123"


def test_a_file_without_tensors(tmp_path: Path) -> None:
    for content in ({"model": {}}, [torch.zeros(2)], {"epoch": 3}):
        assert "holds no table of tensors" in refused(read_weights, sources.saved(content, tmp_path / "x.pth"))


@pytest.mark.parametrize(
    ("kind", "changes", "fault"),
    [
        ("visual", {"tubelet_size": 0}, "tubelet_size of config.json is 0, which cannot be"),
        ("visual", {"patch_size": 10**9}, "patch_size of config.json is 1000000000, which cannot be"),
        ("visual", {"image_size": "large"}, "image_size of config.json is large, which cannot be"),
        ("visual", {"image_size": 16_000}, "config.json states a grid of .* patches"),
        ("visual", {"num_attention_heads": [3]}, r"made with \[3\] attention heads, the model has 3"),
        ("visual", {"layer_norm_eps": "nan"}, "layer_norm_eps of config.json is nan, which cannot be"),
        ("visual", {"layer_norm_eps": -1}, "layer_norm_eps of config.json is -1, which cannot be"),
        ("audio", {"frequency_stride": 0}, "frequency_stride of config.json is 0, which cannot be"),
        ("audio", {"num_mel_bins": 1}, "config.json states a grid of"),
        ("audio", {"model_type": "a\nb"}, r"a model of type 'a\\nb'"),
        ("text", {"hidden_act": {"a": 1}}, "hidden_act of config.json is {'a': 1}, which cannot be"),
        ("text", {"num_attention_heads": 5}, r"BERT of unknown size \(24 wide\)"),
        ("text", {"position_embedding_type": "relative_key"}, "position_embedding_type of config.json is relative_key"),
    ],
)
def test_a_configuration_that_cannot_be(kind: str, changes: dict, fault: str, tmp_path: Path) -> None:
    make, load = {
        "visual": (videomae, lambda path: load_visual_weights(vit(), path)),
        "audio": (audio_model, lambda path: load_audio_weights(ast(), path)),
        "text": (bert, load_text_encoder),
    }[kind]
    folder = sources.folder_of(make(), tmp_path)
    config = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps(config | changes))
    assert re.search(fault, refused(load, folder))


def test_sizes_of_a_bert_are_those_of_its_tensors(tmp_path: Path) -> None:
    folder = sources.folder_of(bert(), tmp_path)
    config = json.loads((folder / "config.json").read_text())
    vast = {"vocab_size": 10**9, "num_hidden_layers": 10**6, "intermediate_size": 10**7}
    (folder / "config.json").write_text(json.dumps(config | vast))
    encoder = load_text_encoder(folder)
    assert (encoder.bert.config.vocab_size, encoder.bert.config.num_hidden_layers) == (50, 2)


def test_a_bert_of_one_tensor_under_all_names_is_refused(tmp_path: Path) -> None:
    state = {name: torch.zeros(1).expand(value.shape) for name, value in bert().state_dict().items()}
    torch.save(state, tmp_path / "bert.pth")
    assert "bytes and have 148" in refused(load_text_encoder, tmp_path / "bert.pth")


def test_statistics_by_which_nothing_can_be_divided(tmp_path: Path) -> None:
    for std in ([0, 1, 1], [-1, 1, 1], [1e999, 1, 1], [10**400, 1, 1]):
        folder = sources.folder_of(videomae(), tmp_path, image_mean=[0, 0, 0], image_std=std)
        assert "image_std of preprocessor_config.json is no number" in refused(load_visual_weights, vit(), folder)


def test_names_that_are_no_names(tmp_path: Path) -> None:
    for name in ("a\x1b[2J", "a\nb", "x" * 9999):
        path = sources.saved({name: torch.zeros(2)}, tmp_path / "w.pth")
        assert refused(read_weights, path).isprintable() and len(refused(read_weights, path)) < 500
    content: dict = {}
    content["model"] = content  # would be unwrapped for ever
    assert "holds no table of tensors" in refused(read_weights, sources.saved(content, tmp_path / "w.pth"))
