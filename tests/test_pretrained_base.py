"""Published weights at the published sizes: the hidden states of `transformers`, at both lengths and resolutions."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch
from torch import nn

from models.ast import AudioSpectrogramTransformer
from models.pretrained import load_audio_weights, load_text_encoder, load_visual_weights
from models.vit import VideoViT
from tests import pretrained_sources as sources
from tests.pretrained_sources import difference


@pytest.fixture
def folder(tmp_path: Path) -> Iterator[Path]:
    """A folder that is emptied after the test: pytest would keep gigabytes."""
    yield tmp_path
    shutil.rmtree(tmp_path)


@pytest.fixture(scope="module")
def videomae() -> nn.Module:
    from transformers import VideoMAEConfig, VideoMAEModel

    return sources.randomise(VideoMAEModel(VideoMAEConfig(use_mean_pooling=False)))


@pytest.fixture(scope="module")
def ast() -> nn.Module:
    from transformers import ASTConfig, ASTModel

    return sources.randomise(ASTModel(ASTConfig()))


@pytest.fixture(scope="module")
def bert() -> nn.Module:
    from transformers import BertConfig, BertModel

    return sources.randomise(BertModel(BertConfig()))


def emptied(model: nn.Module) -> nn.Module:
    """The model with nothing in its parameters but zeros."""
    for parameter in model.parameters():
        parameter.data.zero_()
    return model


def assert_filled_like(model: nn.Module, other: nn.Module) -> None:
    """Equal to the last bit, apart from the epsilon, which the authors' files do not state, and the class token."""
    ours, theirs = model.state_dict(), other.state_dict()
    assert all(torch.equal(ours[name], theirs[name]) for name in theirs.keys() - {"norm_eps", "cls_token"})


@torch.no_grad()
def test_videomae_at_224_pixels(videomae: nn.Module, folder: Path) -> None:
    ours = VideoViT(224, class_token=False).eval()
    load_visual_weights(ours, sources.folder_of(videomae, folder))
    clips = torch.randn(1, 3, 16, 224, 224)
    sources.use_eps(videomae, 1e-12)
    assert difference(ours(clips), videomae(clips.transpose(1, 2)).last_hidden_state) < 1e-5


@torch.no_grad()
def test_videomae_at_112_pixels(videomae: nn.Module, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    ours = VideoViT(112, class_token=False).eval()
    tensors = sources.authors_pretraining(videomae)
    loaded = load_visual_weights(ours, sources.saved(sources.training_checkpoint(tensors), folder / "vit.pth"))
    assert "resampled 8x14x14 -> 8x7x7" in str(loaded)
    table = videomae.embeddings.position_embeddings.reshape(8, 7, 2, 7, 2, 768).mean(dim=(2, 4)).reshape(1, 392, 768)
    monkeypatch.setattr(videomae.embeddings, "position_embeddings", table)
    monkeypatch.setattr(videomae.embeddings.patch_embeddings, "image_size", (112, 112))
    sources.use_eps(videomae, 1e-6)
    clips = torch.randn(1, 3, 16, 112, 112)
    assert difference(ours(clips), videomae(clips.transpose(1, 2)).last_hidden_state) < 1e-5

    mart = emptied(VideoViT())
    finetuned = sources.authors_finetuned(videomae, videomae.layernorm)
    load_visual_weights(mart, sources.saved({"module": finetuned}, folder / "vit.pth"))
    assert_filled_like(mart, ours)
    assert torch.equal(mart.embed(clips)[:, 1:], ours.embed(clips)) and not mart.cls_token.any()
    parallel = {f"module.{name}": tensor for name, tensor in tensors.items()}
    load_visual_weights(emptied(mart), sources.saved(parallel, folder / "vit.pth"))
    assert_filled_like(mart, ours)
    load_visual_weights(emptied(mart), sources.as_pickle(sources.folder_of(videomae, folder)))
    assert_filled_like(mart, ours)


@torch.no_grad()
def test_ast_with_1024_frames(ast: nn.Module, folder: Path) -> None:
    ours = AudioSpectrogramTransformer(1024).eval()
    load_audio_weights(ours, sources.folder_of(ast, folder))
    fbank = torch.randn(1, 1024, 128)
    sources.use_eps(ast, 1e-12)
    assert difference(ours(fbank), ast(fbank).last_hidden_state) < 1e-5


@torch.no_grad()
def test_ast_with_100_frames(ast: nn.Module, folder: Path) -> None:
    ours = AudioSpectrogramTransformer(100).eval()
    tensors = sources.authors_ast(ast)
    load_audio_weights(ours, sources.saved(tensors, folder / "ast.pth"))
    whole = ast.embeddings.position_embeddings
    middle = whole[:, 2:].reshape(1, 12, 101, 768)[:, :, 46:55].reshape(1, 108, 768)
    sources.use_eps(ast, 1e-6)
    fbank = torch.randn(1, 100, 128)
    ast.embeddings.position_embeddings = nn.Parameter(torch.cat([whole[:, :2], middle], dim=1))
    expected = ast(fbank).last_hidden_state
    ast.embeddings.position_embeddings = whole
    assert difference(ours(fbank), expected) < 1e-5

    other = emptied(AudioSpectrogramTransformer(100))
    load_audio_weights(other, sources.saved({"state_dict": tensors}, folder / "ast.pth"))
    assert_filled_like(other, ours)
    load_audio_weights(emptied(other), sources.as_pickle(sources.folder_of(ast, folder)))
    assert_filled_like(other, ours)


@torch.no_grad()
@pytest.mark.parametrize("layout", ["folder", "pickled folder", "file"])
def test_bert(layout: str, bert: nn.Module, folder: Path) -> None:
    if layout == "file":
        tensors = {f"module.bert.{name}": tensor for name, tensor in bert.state_dict().items()}
        source = sources.saved({"model": tensors}, folder / "bert.pt")
    else:
        source = sources.folder_of(bert, folder)
        source = sources.as_pickle(source) if layout == "pickled folder" else source
    ids = torch.randint(0, 30_522, (2, 32))
    mask = torch.ones_like(ids, dtype=torch.bool)
    encoder = load_text_encoder(source)
    assert difference(encoder(ids, mask), bert(ids, mask.long()).last_hidden_state) < 1e-5
