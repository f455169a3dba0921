"""Encoders of `transformers` with random weights, and their weights in every layout in which they are published."""

from __future__ import annotations

import argparse
import json
from pathlib import Path

import numpy as np
import torch
from safetensors.torch import load_file, save_file
from torch import Tensor, nn

from tests.references import blocks_as_ours

TINY = {"hidden_size": 24, "num_hidden_layers": 2, "num_attention_heads": 3, "intermediate_size": 96}
DECODER = {
    "decoder_hidden_size": 12, "decoder_num_hidden_layers": 1, "decoder_num_attention_heads": 3,
    "decoder_intermediate_size": 24,
}  # fmt: skip


def randomise(model: nn.Module, seed: int = 0) -> nn.Module:
    """Everything random, biases, norms and tables too, at sizes where activations neither vanish nor explode."""
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            if parameter.dim() == 1:
                parameter.normal_(std=0.1, generator=generator)
                if "norm" in name.lower() and name.endswith("weight"):
                    parameter.add_(1)
            elif "token" in name or "position" in name or "word_embeddings" in name:
                parameter.normal_(std=0.3, generator=generator)
            else:
                parameter.normal_(std=parameter[0].numel() ** -0.5, generator=generator)
    return model.eval()


def use_eps(model: nn.Module, eps: float) -> None:
    """Another epsilon for every layer norm."""
    for module in model.modules():
        if isinstance(module, nn.LayerNorm):
            module.eps = eps


def difference(ours: Tensor, reference: Tensor) -> float:
    """Largest difference, relative to the largest value."""
    return ((ours - reference).abs().max() / reference.abs().max()).item()


def of_timm(layers: nn.ModuleList, projection: nn.Module, norm: nn.Module) -> dict[str, Tensor]:
    """Blocks, patch embedding and last norm under timm's names."""
    state = {name: tensor.detach().clone() for name, tensor in blocks_as_ours(layers).items()}
    for name, module in (("patch_embed.proj", projection), ("norm", norm)):
        state |= {f"{name}.{kind}": getattr(module, kind).detach().clone() for kind in ("weight", "bias")}
    return state


def authors_videomae(encoder: nn.Module, norm: nn.Module) -> dict[str, Tensor]:
    """VideoMAE's encoder under its authors' names: biases of queries and values apart, none of keys."""
    state = of_timm(encoder.encoder.layer, encoder.embeddings.patch_embeddings.projection, norm)
    for name in [name for name in state if name.endswith("qkv.bias")]:
        query, key, value = state.pop(name).chunk(3)
        assert not key.any()
        state |= {name.replace("qkv.bias", "q_bias"): query.clone(), name.replace("qkv.bias", "v_bias"): value.clone()}
    return state


def authors_pretraining(encoder: nn.Module) -> dict[str, Tensor]:
    """The pre-training file, with a few names of the decoder."""
    state = {f"encoder.{name}": tensor for name, tensor in authors_videomae(encoder, encoder.layernorm).items()}
    rest = ("mask_token", "encoder_to_decoder.weight", "decoder.blocks.0.norm1.weight", "decoder.norm.weight")
    return state | {name: torch.randn(3) for name in rest}


def authors_finetuned(encoder: nn.Module, norm: nn.Module) -> dict[str, Tensor]:
    """The fine-tuned file: no prefix, `fc_norm` for the norm, a head."""
    state = authors_videomae(encoder, norm)
    state |= {f"fc_norm.{kind}": state.pop(f"norm.{kind}") for kind in ("weight", "bias")}
    return state | {"head.weight": torch.randn(5, 3), "head.bias": torch.randn(5)}


def authors_ast(encoder: nn.Module) -> dict[str, Tensor]:
    """AST's file: DataParallel around a timm model `v`, whose own heads are there too, and a head."""
    embeddings = encoder.embeddings
    state = of_timm(encoder.layers, embeddings.patch_embeddings.projection, encoder.layernorm)
    state |= {"cls_token": embeddings.cls_token.data, "dist_token": embeddings.distillation_token.data}
    state |= {"pos_embed": embeddings.position_embeddings.data}
    state |= {"head.weight": torch.randn(4, 3), "head_dist.weight": torch.randn(4, 3)}
    return {f"module.v.{name}": tensor for name, tensor in state.items()} | {"module.mlp_head.0.bias": torch.randn(3)}


def training_checkpoint(tensors: dict[str, Tensor]) -> dict[str, object]:
    """What VideoMAE's training program saves: flags, and learning rates that are NumPy's numbers."""
    group = {"lr": np.float64(1e-3), "weight_decay": np.float64(0.05), "lr_scale": 1.0, "params": [0]}
    optimizer = {"state": {0: {"step": 3, "exp_avg": torch.randn(2)}}, "param_groups": [group]}
    flags = argparse.Namespace(lr=1e-3, output_dir="out", window_size=(8, 14, 14))
    return {"model": tensors, "optimizer": optimizer, "epoch": 1599, "scaler": {"scale": 1.0}, "args": flags}


def saved(content: object, path: Path, zipped: bool = True) -> Path:
    """`torch.save`, before PyTorch 1.6 not as a zip file."""
    torch.save(content, path, _use_new_zipfile_serialization=zipped)
    return path


def folder_of(model: nn.Module, folder: Path, **preprocessing: object) -> Path:
    """The folder that `transformers` saves, with preprocessor_config.json if there is something to say in it."""
    model.save_pretrained(folder)
    if preprocessing:
        (folder / "preprocessor_config.json").write_text(json.dumps(preprocessing))
    return folder


def as_pickle(folder: Path) -> Path:
    """The folder with pytorch_model.bin instead of model.safetensors."""
    saved(load_file(folder / "model.safetensors"), folder / "pytorch_model.bin")
    (folder / "model.safetensors").unlink()
    return folder


def as_shards(folder: Path, stem: str) -> Path:
    """The folder with its weights in three files and their index; stem: model.safetensors or pytorch_model.bin."""
    tensors = load_file(folder / "model.safetensors")
    (folder / "model.safetensors").unlink()
    name, _, suffix = stem.partition(".")
    where = {}
    for i in range(3):
        shard = dict(list(tensors.items())[i::3])
        file = f"{name}-{i + 1:05}-of-00003.{suffix}"
        (save_file if suffix == "safetensors" else torch.save)(shard, folder / file)
        where |= dict.fromkeys(shard, file)
    (folder / f"{stem}.index.json").write_text(json.dumps({"metadata": {}, "weight_map": where}))
    return folder


def renamed(folder: Path, *pairs: tuple[str, str]) -> Path:
    """The folder with other names in model.safetensors, each pair replaced in turn."""
    tensors = {}
    for name, tensor in load_file(folder / "model.safetensors").items():
        for old, new in pairs:
            name = name.replace(old, new)
        tensors[name] = tensor
    save_file(tensors, folder / "model.safetensors")
    return folder
