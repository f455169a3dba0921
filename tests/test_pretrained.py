"""Published weights: every layout gives the hidden states of `transformers`, at a tiny size."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file
from torch import nn

from models.ast import AudioSpectrogramTransformer
from models.pretrained import load_audio_weights, load_text_encoder, load_visual_weights
from models.vit import VideoViT
from tests import pretrained_sources as sources
from tests.pretrained_sources import TINY, difference

Maker = Callable[[nn.Module, Path], Path]
VISUAL = {"image_size": 32, "num_frames": 4, "embed_dim": 24, "depth": 2, "num_heads": 3}
AUDIO = {"num_frames": 100, "embed_dim": 24, "depth": 2, "num_heads": 3}
LOUD_EPS = 1e-2  # of a config.json: would show if it were not obeyed


def tiny_videomae(pooling: bool = False) -> nn.Module:
    from transformers import VideoMAEConfig, VideoMAEForPreTraining, VideoMAEForVideoClassification

    config = VideoMAEConfig(
        image_size=32, num_frames=4, layer_norm_eps=LOUD_EPS, use_mean_pooling=pooling, **TINY, **sources.DECODER
    )
    model = VideoMAEForVideoClassification(config) if pooling else VideoMAEForPreTraining(config)
    return sources.randomise(model)


def videomae_tokens(reference: nn.Module, clips: torch.Tensor, eps: float) -> torch.Tensor:
    """Tokens behind the last norm; that of a fine-tuned model stands behind the pooling and is put before it."""
    sources.use_eps(reference, eps)
    tokens = reference.videomae(clips.transpose(1, 2)).last_hidden_state
    return reference.fc_norm(tokens) if hasattr(reference, "fc_norm") else tokens


def pretraining_checkpoint(model: nn.Module, path: Path) -> Path:
    return sources.saved(sources.training_checkpoint(sources.authors_pretraining(model.videomae)), path / "w.pth")


def finetuned_checkpoint(model: nn.Module, path: Path) -> Path:
    tensors = sources.authors_finetuned(model.videomae, model.fc_norm)
    return sources.saved({"module": tensors, "epoch": 1, "skipped": set()}, path / "w.pt")


def parallel(model: nn.Module, path: Path, zipped: bool = True) -> Path:
    tensors = sources.authors_pretraining(model.videomae)
    return sources.saved({f"module.{name}": tensor for name, tensor in tensors.items()}, path / "w.pth", zipped)


def authors_safetensors(model: nn.Module, path: Path) -> Path:
    save_file(sources.authors_pretraining(model.videomae), path / "w.safetensors")
    return path / "w.safetensors"


VIDEOMAE: dict[str, tuple[bool, float, Maker]] = {  # fine-tuned?, epsilon, how it is saved
    "transformers": (False, LOUD_EPS, sources.folder_of),
    "transformers, encoder alone": (False, LOUD_EPS, lambda m, p: sources.folder_of(m.videomae, p)),
    "transformers, fine-tuned": (True, LOUD_EPS, sources.folder_of),
    "transformers, pickled": (False, LOUD_EPS, lambda m, p: sources.as_pickle(sources.folder_of(m, p))),
    "transformers, its file": (False, LOUD_EPS, lambda m, p: sources.folder_of(m, p) / "model.safetensors"),
    "shards": (False, LOUD_EPS, lambda m, p: sources.as_shards(sources.folder_of(m, p), "model.safetensors")),
    "pickled shards": (False, LOUD_EPS, lambda m, p: sources.as_shards(sources.folder_of(m, p), "pytorch_model.bin")),
    "shards, their index": (
        False, LOUD_EPS,
        lambda m, p: sources.as_shards(sources.folder_of(m, p), "model.safetensors") / "model.safetensors.index.json",
    ),
    "newer names": (
        False, LOUD_EPS,
        lambda m, p: sources.renamed(
            sources.folder_of(m, p), ("q_bias", "query.bias"), ("v_bias", "value.bias"),
        ),
    ),
    "authors, pre-training": (False, 1e-6, pretraining_checkpoint),
    "authors, fine-tuned": (True, 1e-6, finetuned_checkpoint),
    "authors, DataParallel": (False, 1e-6, parallel),
    "authors, before PyTorch 1.6": (False, 1e-6, lambda m, p: parallel(m, p, zipped=False)),
    "authors, state_dict": (
        False, 1e-6,
        lambda m, p: sources.saved({"state_dict": {"module": sources.authors_pretraining(m.videomae)}}, p / "w.bin"),
    ),
    "authors, safetensors": (False, 1e-6, authors_safetensors),
}  # fmt: skip


@torch.no_grad()
@pytest.mark.parametrize("layout", VIDEOMAE)
def test_videomae(layout: str, tmp_path: Path) -> None:
    pooling, eps, save = VIDEOMAE[layout]
    reference = tiny_videomae(pooling)
    ours = VideoViT(**VISUAL, class_token=False, pretrained_grid=(2, 2, 2)).eval()
    loaded = load_visual_weights(ours, save(reference, tmp_path))
    clips = torch.randn(2, 3, 4, 32, 32)
    assert difference(ours(clips), videomae_tokens(reference, clips, eps)) < 1e-5
    assert loaded.as_initialised == () and f"eps {eps:g}" in str(loaded)


def tiny_ast() -> nn.Module:
    from transformers import ASTConfig, ASTForAudioClassification

    return sources.randomise(ASTForAudioClassification(ASTConfig(layer_norm_eps=LOUD_EPS, max_length=100, **TINY)))


def authors_ast(model: nn.Module, path: Path, strip: str = "") -> Path:
    tensors = sources.authors_ast(model.audio_spectrogram_transformer)
    return sources.saved({name.removeprefix(strip): t for name, t in tensors.items()}, path / "w.pth")


NEWER = (
    ("encoder.layer.", "layers."), ("attention.attention.query", "attention.q_proj"),
    ("attention.attention.key", "attention.k_proj"), ("attention.attention.value", "attention.v_proj"),
    ("attention.output.dense", "attention.o_proj"), ("intermediate.dense", "mlp.fc1"), ("output.dense", "mlp.fc2"),
)  # fmt: skip
AST: dict[str, tuple[float, Maker]] = {
    "transformers": (LOUD_EPS, sources.folder_of),
    "transformers, encoder alone": (
        LOUD_EPS, lambda m, p: sources.folder_of(m.audio_spectrogram_transformer, p)
    ),
    "transformers, pickled": (LOUD_EPS, lambda m, p: sources.as_pickle(sources.folder_of(m, p))),
    "shards": (LOUD_EPS, lambda m, p: sources.as_shards(sources.folder_of(m, p), "model.safetensors")),
    "newer names": (LOUD_EPS, lambda m, p: sources.renamed(sources.folder_of(m, p), *NEWER)),
    "authors": (1e-6, authors_ast),
    "authors, without module": (1e-6, lambda m, p: authors_ast(m, p, strip="module.")),
}  # fmt: skip


@torch.no_grad()
@pytest.mark.parametrize("layout", AST)
def test_ast(layout: str, tmp_path: Path) -> None:
    eps, save = AST[layout]
    reference = tiny_ast()
    ours = AudioSpectrogramTransformer(**AUDIO).eval()
    loaded = load_audio_weights(ours, save(reference, tmp_path))
    fbank = torch.randn(2, 100, 128)
    sources.use_eps(reference, eps)
    expected = reference.audio_spectrogram_transformer(fbank).last_hidden_state
    assert difference(ours(fbank), expected) < 1e-5
    assert "position table as it is" in str(loaded)


def tiny_bert(width: int = 24, heads: int = 3, **sizes: int) -> nn.Module:
    from transformers import BertConfig, BertForMaskedLM

    sizes = TINY | {"hidden_size": width, "num_attention_heads": heads, "vocab_size": 50} | sizes
    return sources.randomise(BertForMaskedLM(BertConfig(**sizes)))


BERT: dict[str, Maker] = {
    "with a head": sources.folder_of,
    "encoder alone": lambda m, p: sources.folder_of(m.bert, p),
    "pickled": lambda m, p: sources.as_pickle(sources.folder_of(m, p)),
    "shards": lambda m, p: sources.as_shards(sources.folder_of(m, p), "pytorch_model.bin"),
    "from TensorFlow": lambda m, p: sources.renamed(
        sources.folder_of(m, p), ("LayerNorm.weight", "LayerNorm.gamma"), ("LayerNorm.bias", "LayerNorm.beta")
    ),
    "DataParallel": lambda m, p: sources.renamed(
        sources.folder_of(m, p), ("bert.", "module.bert."), ("cls.", "module.cls.")
    ),
    "file alone": lambda m, p: sources.saved({"state_dict": m.state_dict()}, p / "bert.pth"),
}  # fmt: skip


@torch.no_grad()
@pytest.mark.parametrize("layout", BERT)
def test_bert(layout: str, tmp_path: Path) -> None:
    reference = tiny_bert(width=128, heads=2)
    before = torch.get_rng_state()
    encoder = load_text_encoder(BERT[layout](reference, tmp_path))
    assert torch.equal(torch.get_rng_state(), before), "other random weights would depend on these"
    ids = torch.tensor([[2, 5, 6, 7, 3], [2, 9, 3, 0, 0]])
    mask = ids > 0
    expected = reference.bert(ids, mask.long()).last_hidden_state
    assert difference(encoder(ids, mask)[mask], expected[mask]) < 1e-5
    assert encoder.frozen and not any(p.requires_grad for p in encoder.parameters())
    assert encoder.bert.config.layer_norm_eps == 1e-12 and encoder.loaded.kind == "text"


def test_the_log_says_what_was_loaded_and_what_was_not(tmp_path: Path) -> None:
    ours = VideoViT(**VISUAL, pretrained_grid=(2, 4, 4))
    token = ours.cls_token.clone()
    loaded = load_visual_weights(ours, pretraining_checkpoint(tiny_videomae(), tmp_path))
    assert torch.equal(ours.cls_token, token)
    assert str(loaded) == (
        "visual weights: 30 tensors of w.pth (VideoMAE, pre-training file of its authors); cls_token as initialised; "
        "sine position table resampled 2x4x4 -> 2x2x2; layer norms with eps 1e-06; inputs normalised by the "
        "published statistics; ignored: mask_token, encoder_to_decoder, decoder (4 names)"
    )
    loaded = load_audio_weights(AudioSpectrogramTransformer(**AUDIO), authors_ast(tiny_ast(), tmp_path))
    assert loaded.ignored_parts == ("v.head", "v.head_dist", "mlp_head") and len(loaded.ignored) == 3
