"""The fast path against a plain one: segment by segment, attention written out, masked patches left out one by one.

The plain one is below, in the words of the equations; it has the model's weights and nothing of its code but the
linear maps and norms.
"""

from __future__ import annotations

from copy import deepcopy
from dataclasses import replace
from types import MethodType

import pytest
import torch
from torch import Tensor, nn

from core.pretraining import finetune_losses, pretrain_losses
from models.ast import AudioSpectrogramTransformer
from models.build import add_pretraining, build_model
from models.decoder import PatchDecoder
from models.layers import TransformerLayer
from models.mart import MART
from models.mbt import MBT, Media, Present, SegmentTokens
from models.tacl import WordToPatchAttention
from models.text import TextStream
from models.vit import VideoViT
from tests import tiny
from tests.test_modalities import words_batch
from tests.test_pretraining import SETTINGS, SIZES
from tests.test_text import tiny_encoder


def attention_map(query: Tensor, key: Tensor) -> Tensor:
    """Every query (L, d) against every key (M, d) of one head: (L, M)."""
    scores = torch.stack([torch.stack([(q * k).sum() for k in key]) for q in query]) / query.shape[1] ** 0.5
    weights = (scores - scores.amax(dim=1, keepdim=True)).exp()
    return weights / weights.sum(dim=1, keepdim=True)


def plain_layer(layer: TransformerLayer, tokens: Tensor) -> Tensor:
    """One segment (L, D)."""
    query, key, value = layer.attn.qkv(layer.norm1(tokens)).chunk(3, dim=-1)
    n = layer.attn.num_heads
    heads = zip(*(part.chunk(n, dim=-1) for part in (query, key, value)), strict=True)
    gathered = torch.cat([attention_map(q, k) @ v for q, k, v in heads], dim=-1)
    tokens = tokens + layer.attn.proj(gathered)
    hidden = layer.mlp.fc1(layer.norm2(tokens))
    return tokens + layer.mlp.fc2(0.5 * hidden * (1 + torch.erf(hidden / 2**0.5)))


def plain_visual_patches(encoder: VideoViT, clip: Tensor) -> list[Tensor]:
    """Every tubelet of one clip (3, T, H, W), with its position."""
    clip, (t, side, _) = encoder.normalise(clip), encoder.patch_embed.kernel_size
    weight, bias, (times, rows, columns) = encoder.patch_embed.weight.flatten(1), encoder.patch_embed.bias, encoder.grid
    cubes = [
        clip[:, t * a : t * (a + 1), side * b : side * (b + 1), side * c : side * (c + 1)]
        for a in range(times) for b in range(rows) for c in range(columns)
    ]  # fmt: skip
    return [
        weight @ cube.flatten() + bias + position for cube, position in zip(cubes, encoder.pos_embed[0], strict=True)
    ]


def plain_audio_patches(encoder: AudioSpectrogramTransformer, fbank: Tensor) -> list[Tensor]:
    """Every patch of one spectrogram (F, 128), with its position."""
    image, side, step = encoder.normalise(fbank).T, encoder.patch_embed.kernel_size[0], encoder.patch_embed.stride[0]
    weight, bias, (bands, times) = encoder.patch_embed.weight.flatten(1), encoder.patch_embed.bias, encoder.grid
    pieces = [image[step * a : step * a + side, step * b : step * b + side] for a in range(bands) for b in range(times)]
    positions = encoder.pos_embed[0, 2:]
    return [weight @ piece.flatten() + bias + place for piece, place in zip(pieces, positions, strict=True)]


def plain_words(bert: nn.Module, ids: Tensor) -> Tensor:
    """BERT's features of the word pieces (L,) of one segment, of which none is padding."""
    start, n_heads = bert.embeddings, bert.config.num_attention_heads
    first_sentence, places = start.token_type_embeddings.weight[0], start.position_embeddings.weight
    pieces = [start.word_embeddings.weight[piece] for piece in ids.tolist()]
    tokens = torch.stack([piece + places[i] + first_sentence for i, piece in enumerate(pieces)])
    tokens = start.LayerNorm(tokens)
    for layer in bert.encoder.layer:
        own, attended = layer.attention.self, layer.attention.output
        parts = (part(tokens).chunk(n_heads, dim=-1) for part in (own.query, own.key, own.value))
        heads = zip(*parts, strict=True)
        gathered = torch.cat([attention_map(q, k) @ v for q, k, v in heads], dim=-1)
        tokens = attended.LayerNorm(attended.dense(gathered) + tokens)
        hidden = layer.intermediate.dense(tokens)
        hidden = 0.5 * hidden * (1 + torch.erf(hidden / 2**0.5))
        tokens = layer.output.LayerNorm(layer.output.dense(hidden) + tokens)
    return tokens


def plain_start(encoder: nn.Module, media: list[Tensor], visible: list[int] | None) -> Tensor:
    """What enters the first layer of a stream's encoder, of one segment: (L, D)."""
    if isinstance(encoder, TextStream):
        ids, seen = media
        return encoder.project(plain_words(encoder.encoder.bert, ids[seen]))
    if isinstance(encoder, VideoViT):
        special, patches = [encoder.cls_token[0, 0]], plain_visual_patches(encoder, media[0])
    else:
        tokens, positions = (encoder.cls_token, encoder.dist_token), encoder.pos_embed[0, :2]
        special = [token[0, 0] + position for token, position in zip(tokens, positions, strict=True)]
        patches = plain_audio_patches(encoder, media[0])
    return torch.stack([*special, *(patch for i, patch in enumerate(patches) if visible is None or i in visible)])


def plain_encode(
    mbt: MBT, media: Media, present: Present | None, visible: dict[str, Tensor] | None = None
) -> SegmentTokens:
    """MBT.encode, a segment at a time; everybody has everything. Of the text only [CLS] is kept."""
    assert all(present[name].all() for name in mbt.streams)
    encoders = {name: mbt.encoder(name) for name in mbt.streams}
    found: list[tuple[dict[str, Tensor], dict[str, Tensor]]] = []
    for i in range(len(media["visual"][0])):
        tokens, bottleneck = {}, mbt.bottleneck[0]
        for name, encoder in encoders.items():
            places = None if visible is None or name == "text" else visible[name][i].tolist()
            tokens[name] = plain_start(encoder, [each[i] for each in media[name]], places)
            for layer in encoder.blocks[: len(encoder.blocks) - mbt.fusion_depth]:
                tokens[name] = plain_layer(layer, tokens[name])
        for depth in range(mbt.fusion_depth, 0, -1):
            last = {name: torch.cat([each, bottleneck]) for name, each in tokens.items()}
            out = {name: plain_layer(encoder.blocks[-depth], last[name]) for name, encoder in encoders.items()}
            bottleneck = sum(out[name][len(each) :] for name, each in tokens.items()) / len(tokens)
            tokens = {name: out[name][: len(each)] for name, each in tokens.items()}
        found.append(({name: encoders[name].norm(each) for name, each in tokens.items()}, last))
    kept = {name: 1 if name == "text" else None for name in encoders}
    return SegmentTokens(
        {name: torch.stack([tokens[name][:n] for tokens, _ in found]) for name, n in kept.items()},
        {"visual": 1, "audio": 2, "text": 1},
        {name: torch.stack([last[name] for _, last in found]) for name in ("visual", "audio")},
    )


def plain_class_attention(mbt: MBT, tokens: SegmentTokens) -> dict[str, Tensor]:
    """Rows of the full maps of the last layers."""
    found = []
    for inputs, layer, n_special, whole in (
        (tokens.last_inputs["visual"], mbt.visual.blocks[-1], 1, tokens.tokens["visual"]),
        (tokens.last_inputs["audio"], mbt.audio.blocks[-1], 2, tokens.tokens["audio"]),
    ):
        rows = []
        for segment in inputs:
            query, key, _ = layer.attn.qkv(layer.norm1(segment)).chunk(3, dim=-1)
            heads = zip(*(part.chunk(layer.attn.num_heads, dim=-1) for part in (query, key)), strict=True)
            maps = torch.stack([attention_map(q, k) for q, k in heads])[:, :n_special, n_special : whole.shape[1]]
            rows.append((maps / maps.sum(dim=-1, keepdim=True)).mean(dim=(0, 1)))
        found.append(torch.stack(rows))
    return dict(zip(("visual", "audio"), found, strict=True))


def plain_heads(attention: WordToPatchAttention, words: Tensor, patches: Tensor) -> list[tuple[Tensor, Tensor]]:
    """Map (K, P) and values (P, d) of every head, for the words (K, W) and patches (P, D) of one segment."""
    key, value = attention.key_value(attention.patch_norm(patches)).chunk(2, dim=-1)
    parts = (
        part.chunk(attention.num_heads, dim=-1) for part in (attention.query(attention.word_norm(words)), key, value)
    )
    return [(attention_map(q, k), v) for q, k, v in zip(*parts, strict=True)]


def plain_gather(attention: WordToPatchAttention, words: Tensor, patches: Tensor) -> Tensor:
    """WordToPatchAttention.forward, a segment at a time."""
    heads = (plain_heads(attention, w, p) for w, p in zip(words, patches, strict=True))
    return torch.stack([attention.output(torch.cat([weights @ v for weights, v in each], dim=-1)) for each in heads])


def plain_weights(attention: WordToPatchAttention, words: Tensor, patches: Tensor) -> Tensor:
    """WordToPatchAttention.weights, a segment at a time."""
    heads = (plain_heads(attention, w, p) for w, p in zip(words, patches, strict=True))
    return torch.stack([torch.stack([weights for weights, _ in each]).mean(dim=0) for each in heads])


def plain_decode(decoder: PatchDecoder, tokens: Tensor, visible: Tensor) -> Tensor:
    """PatchDecoder.forward, a segment and a patch at a time."""
    found = []
    for segment, places in zip(tokens, visible.tolist(), strict=True):
        known = dict(zip(places, decoder.project(segment), strict=True))
        positions = decoder.positions.flatten(0, -2)
        hidden = torch.stack([known.get(i, decoder.mask_token[0, 0]) + place for i, place in enumerate(positions)])
        for layer in decoder.blocks:
            hidden = plain_layer(layer, hidden)
        found.append(decoder.head(decoder.norm(hidden)))
    return torch.stack(found)


def new_model(modalities: str) -> MART:
    """With enough layers for the size of the averaged bottleneck to matter, which the first norm behind it hides."""
    torch.manual_seed(0)
    text = tiny_encoder()
    sizes = replace(tiny.SIZES, modalities=modalities, depth=4, fusion_depth=3)
    return add_pretraining(build_model(sizes, text), text, SIZES)


def plain(model: MART) -> MART:
    """The same model, with the plain path for its own."""
    model = deepcopy(model)
    for part, name, function in (
        (model.mbt, "encode", plain_encode),
        (model.mbt, "class_attention", plain_class_attention),
        (model.tacl.visual_attention, "forward", plain_gather),
        (model.tacl.visual_attention, "weights", plain_weights),
        (model.tacl.audio_attention, "forward", plain_gather),
        (model.tacl.audio_attention, "weights", plain_weights),
        (model.visual_decoder, "forward", plain_decode),
        (model.audio_decoder, "forward", plain_decode),
    ):
        setattr(part, name, MethodType(function, part))
    return model


@pytest.mark.parametrize("modalities", ["av", "avt"])
@pytest.mark.parametrize("phase", ["emotion", "attention", "random", "finetune"])
def test_the_fast_path_is_the_plain_one(phase: str, modalities: str) -> None:
    student = new_model(modalities)
    with torch.no_grad():  # scores and attention that differ between segments and patches
        for name, parameter in student.named_parameters():
            if name.endswith("head.weight") or "qkv" in name or ".query" in name or ".key_value" in name:
                parameter *= 3
    teacher, batch = deepcopy(student), words_batch(2)
    assert not batch.token_mask.all()
    found = []
    for own, taught in ((student, teacher), (plain(student), plain(teacher))):
        torch.manual_seed(1)
        if phase == "finetune":
            losses = finetune_losses(own, taught, batch, SETTINGS, weight=1.0)
        else:
            chosen = replace(SETTINGS, masking=phase, verify="sentiment")
            losses = pretrain_losses(own, taught, batch, chosen, progress=1.0)
        losses["loss"].backward()
        found.append(losses | {name: p.grad for name, p in own.named_parameters() if p.grad is not None})
    fast, slow = found
    assert fast.keys() == slow.keys() and len(fast) > 60
    for name, value in slow.items():
        torch.testing.assert_close(fast[name], value, rtol=1e-4, atol=1e-4 * value.abs().max().item(), msg=name)
