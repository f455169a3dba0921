"""What other programs call the parts of an encoder, and their names here: one table for each way of naming.

In the tables N stands for a layer's number, and `.weight` or `.bias` is left out where both are renamed alike.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field

import torch
from torch import Tensor

TIMM = {  # the authors of VideoMAE and of AST build on timm, as the encoders here do
    "patch_embed.proj": "patch_embed",
    "cls_token": "cls_token",
    "dist_token": "dist_token",
    "pos_embed": "pos_embed",
    "blocks.N.norm1": "blocks.N.norm1",
    "blocks.N.attn.qkv": "blocks.N.attn.qkv",
    "blocks.N.attn.q_bias": "blocks.N.attn.q.bias",
    "blocks.N.attn.v_bias": "blocks.N.attn.v.bias",
    "blocks.N.attn.proj": "blocks.N.attn.proj",
    "blocks.N.norm2": "blocks.N.norm2",
    "blocks.N.mlp.fc1": "blocks.N.mlp.fc1",
    "blocks.N.mlp.fc2": "blocks.N.mlp.fc2",
    "norm": "norm",
    "fc_norm": "norm",  # fine-tuned, behind the mean over the tokens
}
TRANSFORMERS = {
    "embeddings.patch_embeddings.projection": "patch_embed",
    "embeddings.cls_token": "cls_token",
    "embeddings.distillation_token": "dist_token",
    "embeddings.position_embeddings": "pos_embed",
    "encoder.layer.N.layernorm_before": "blocks.N.norm1",
    "encoder.layer.N.attention.attention.query": "blocks.N.attn.q",
    "encoder.layer.N.attention.attention.key": "blocks.N.attn.k",
    "encoder.layer.N.attention.attention.value": "blocks.N.attn.v",
    "encoder.layer.N.attention.attention.q_bias": "blocks.N.attn.q.bias",
    "encoder.layer.N.attention.attention.v_bias": "blocks.N.attn.v.bias",
    "encoder.layer.N.attention.output.dense": "blocks.N.attn.proj",
    "encoder.layer.N.layernorm_after": "blocks.N.norm2",
    "encoder.layer.N.intermediate.dense": "blocks.N.mlp.fc1",
    "encoder.layer.N.output.dense": "blocks.N.mlp.fc2",
    "layernorm": "norm",
    # The modules of release 5, which still writes the names above; other programs may write these.
    "layers.N.layernorm_before": "blocks.N.norm1",
    "layers.N.attention.q_proj": "blocks.N.attn.q",
    "layers.N.attention.k_proj": "blocks.N.attn.k",
    "layers.N.attention.v_proj": "blocks.N.attn.v",
    "layers.N.attention.o_proj": "blocks.N.attn.proj",
    "layers.N.layernorm_after": "blocks.N.norm2",
    "layers.N.mlp.fc1": "blocks.N.mlp.fc1",
    "layers.N.mlp.fc2": "blocks.N.mlp.fc2",
}
BERT = {  # the names of `transformers`, whose BERT is used as it is
    name: name
    for name in (
        "embeddings.word_embeddings",
        "embeddings.position_embeddings",
        "embeddings.token_type_embeddings",
        "embeddings.LayerNorm",
        "encoder.layer.N.attention.self.query",
        "encoder.layer.N.attention.self.key",
        "encoder.layer.N.attention.self.value",
        "encoder.layer.N.attention.output.dense",
        "encoder.layer.N.attention.output.LayerNorm",
        "encoder.layer.N.intermediate.dense",
        "encoder.layer.N.output.dense",
        "encoder.layer.N.output.LayerNorm",
    )
}
BERT_HEADS = {128: 2, 256: 4, 512: 8, 768: 12, 1024: 16}  # of Google's BERTs by width, which no tensor says
ENDINGS = {"weight": "weight", "bias": "bias", "gamma": "weight", "beta": "bias"}  # the last two are TensorFlow's


@dataclass(frozen=True)
class Source:
    """Where an encoder can come from, and how its names are read."""

    title: str
    prefix: str  # of the encoder's names
    anchor: str  # the name behind the prefix by which the source is recognised
    table: dict[str, str]
    outside: dict[str, str] = field(default_factory=dict)  # parts of the encoder that lack the prefix


VISUAL_SOURCES = (
    Source("VideoMAE, pre-training file of its authors", "encoder.", "patch_embed.proj.weight", TIMM),
    Source("VideoMAE, fine-tuned file of its authors", "", "patch_embed.proj.weight", TIMM),
    Source(
        "VideoMAE of transformers, with a head", "videomae.", "embeddings.patch_embeddings.projection.weight",
        TRANSFORMERS, outside={"fc_norm": "norm"},
    ),
    Source("VideoMAE of transformers", "", "embeddings.patch_embeddings.projection.weight", TRANSFORMERS),
)  # fmt: skip
AUDIO_SOURCES = (
    Source("AST, file of its authors", "v.", "patch_embed.proj.weight", TIMM),
    Source(
        "AST of transformers, with a head", "audio_spectrogram_transformer.",
        "embeddings.patch_embeddings.projection.weight", TRANSFORMERS,
    ),
    Source("AST of transformers", "", "embeddings.patch_embeddings.projection.weight", TRANSFORMERS),
)  # fmt: skip
TEXT_SOURCES = (
    Source("BERT, with a head", "bert.", "embeddings.word_embeddings.weight", BERT),
    Source("BERT", "", "embeddings.word_embeddings.weight", BERT),
)


@dataclass(frozen=True)
class RenamedEncoder:
    """An encoder's tensors under the names used here."""

    title: str  # of its source
    tensors: dict[str, Tensor]
    n_read: int  # names of the source that are in `tensors`
    ignored: tuple[str, ...]  # the other names
    ignored_parts: tuple[str, ...]  # the shortest branches with nothing but these


def rename_encoder(tensors: dict[str, Tensor], sources: tuple[Source, ...]) -> RenamedEncoder | None:
    """The encoder of the first source whose anchor is among the tensors, None if there is none.

    Query, key and value become one matrix; VideoMAE's keys, which have no bias, get one of zeros.
    """
    source = next((source for source in sources if source.prefix + source.anchor in tensors), None)
    if source is None:
        return None
    taken: dict[str, str] = {}  # names here and there
    for name in tensors:
        ours = _our_name(name, source)
        if ours is not None:
            taken.setdefault(ours, name)
    renamed = {ours: tensors[name] for ours, name in taken.items()}
    used = set(taken.values())
    ignored = tuple(name for name in tensors if name not in used)
    return RenamedEncoder(source.title, _join_attention(renamed), len(used), ignored, _branches(ignored, used))


def _our_name(name: str, source: Source) -> str | None:
    table = source.table if name.startswith(source.prefix) else source.outside
    stem = name.removeprefix(source.prefix)
    number = re.search(r"\.(\d+)\.", stem)
    stem = re.sub(r"\.\d+\.", ".N.", stem, count=1)
    ours = table.get(stem)
    if ours is None and stem.rpartition(".")[2] in ENDINGS:
        part, _, ending = stem.rpartition(".")
        ours = f"{table[part]}.{ENDINGS[ending]}" if part in table else None
    return ours.replace(".N.", f".{number[1]}.") if ours and number else ours


def _join_attention(tensors: dict[str, Tensor]) -> dict[str, Tensor]:
    """Each layer's separate `attn.q`, `attn.k` and `attn.v` stacked to `attn.qkv`; parts of a triple stay."""
    joined = dict(tensors)
    for name in tensors:
        if not name.endswith((".attn.q.weight", ".attn.q.bias")):
            continue
        stem, _, ending = name.rpartition(".q.")
        query, key, value = (tensors.get(f"{stem}.{part}.{ending}") for part in "qkv")
        if key is None and value is not None and ending == "bias":
            key = torch.zeros_like(value)
        if key is None or value is None or not query.shape == key.shape == value.shape:
            continue
        for part in "qkv":
            joined.pop(f"{stem}.{part}.{ending}", None)
        joined[f"{stem}.qkv.{ending}"] = torch.cat([query, key, value])
    return joined


def _branches(ignored: tuple[str, ...], used: set[str]) -> tuple[str, ...]:
    """The shortest beginnings of the ignored names that no used name shares, each once."""
    shared = {part for name in used for part in _beginnings(name)}
    first = (next((part for part in _beginnings(name) if part not in shared), name) for name in ignored)
    return tuple(dict.fromkeys(first))


def _beginnings(name: str) -> list[str]:
    parts = name.split(".")
    return [".".join(parts[: i + 1]) for i in range(len(parts))]
