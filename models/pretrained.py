"""Published weights into the encoders: VideoMAE (Tong et al. 2022), AST (Gong et al. 2021), BERT (Devlin et al. 2019).

An encoder is filled completely or, with a WeightError, not at all. What belongs to the weights comes with them: the
statistics that inputs are normalised by, the epsilon of the layer norms, the position table for the run's grid.
"""

from __future__ import annotations

from dataclasses import dataclass
from math import prod
from pathlib import Path

import torch
from torch import Tensor, nn

from models.ast import SPECTROGRAM_MEAN, SPECTROGRAM_STD, AudioSpectrogramTransformer
from models.norm_eps import set_norm_eps
from models.positions import fit_grid_2d, resample_grid_3d, sine_table
from models.text import TextEncoder, embedded_weights
from models.vit import IMAGE_MEAN, IMAGE_STD, VideoViT
from models.weight_config import bert_config, in_words, input_statistics, norm_eps, sound_grid, video_grid
from models.weight_files import WeightError, WeightFile, read_weights
from models.weight_names import (
    AUDIO_SOURCES,
    TEXT_SOURCES,
    VISUAL_SOURCES,
    RenamedEncoder,
    Source,
    rename_encoder,
)

AUTHORS_EPS = 1e-6  # of the layer norms in the code of VideoMAE and of AST; a config.json states its own
AST_STRIDES = (10, 12, 14, 16)  # of its authors' files for AudioSet
HEADS = {384: 6, 768: 12, 1024: 16, 1280: 16}  # of published ViTs by width, which tensors alone do not say
DEFAULTS = {  # names under pretrained_models/
    "visual": ("vit_base_patch16_224.pth", "videomae_base_patch16_224.pth", "videomae-base"),
    "audio": ("audioset_10_10_0.4593.pth", "ast-finetuned-audioset-10-10-0.4593"),
    "text": ("bert-base-uncased",),
}


@dataclass(frozen=True)
class LoadedWeights:
    """What was loaded, from where, and what was not."""

    kind: str  # visual, audio or text
    path: Path
    name: str  # the hub's id, or the last part of the path
    source: str  # whose weights, in words
    n_tensors: int  # tensors of the source that the encoder took
    ignored: tuple[str, ...]  # names of the source that are no part of the encoder
    ignored_parts: tuple[str, ...]  # the branches they stand on: heads, decoders
    notes: tuple[str, ...] = ()  # positions, epsilon, statistics
    as_initialised: tuple[str, ...] = ()  # parts of the encoder that the source does not know

    def __str__(self) -> str:
        """One line for the log."""
        line = f"{self.kind} weights: {self.n_tensors} tensors of {self.name} ({self.source})"
        for name in self.as_initialised:
            line += f"; {name} as initialised"
        line += "".join(f"; {note}" for note in self.notes)
        if self.ignored:
            line += f"; ignored: {_some(self.ignored_parts, 6, ', ')} ({len(self.ignored)} names)"
        return line


def find_default(kind: str, folder: Path = Path("pretrained_models")) -> Path | None:
    """The published weights of kind `visual`, `audio` or `text` in this folder, None if they are not there."""
    return next((folder / name for name in DEFAULTS[kind] if (folder / name).exists()), None)


def load_visual_weights(model: VideoViT, source: Path | str) -> LoadedWeights:
    """Fill the video ViT with VideoMAE from a file, a Hugging Face folder or an id of its hub.

    A class token, which VideoMAE lacks, stays as initialised. Raises WeightError with one line.
    """
    file = read_weights(source)
    found = _find_encoder(file, VISUAL_SOURCES, "VideoMAE", "videomae")
    _check_heads(model, file, found)
    stated = video_grid(file) if file.config else model.pretrained_grid
    learned = found.tensors.get("pos_embed")
    table = sine_table(prod(stated), model.embed_dim) if learned is None else learned
    grid = _grid_of(table, [stated, model.grid])
    mean, std, statistics = input_statistics(file, ("image_mean", "image_std"), (IMAGE_MEAN, IMAGE_STD))
    state = found.tensors | {
        "pos_embed": resample_grid_3d(table, grid, model.grid) if grid else table,
        "mean": mean.reshape(-1, 1, 1, 1),
        "std": std.reshape(-1, 1, 1, 1),
    }
    kept = ("cls_token",) if model.cls_token is not None and "cls_token" not in state else ()
    _fill(model, state, file, kept)
    kind = "sine" if learned is None else "learned"
    place = "as it is" if grid == model.grid else f"resampled {_shape(grid)} -> {_shape(model.grid)}"
    notes = (f"{kind} position table {place}", _use_eps(model, file), statistics)
    return _loaded("visual", file, found, notes, kept)


def load_audio_weights(model: AudioSpectrogramTransformer, source: Path | str) -> LoadedWeights:
    """Fill the audio spectrogram transformer with AST from a file, a Hugging Face folder or an id of its hub.

    Raises WeightError with one line.
    """
    file = read_weights(source)
    found = _find_encoder(file, AUDIO_SOURCES, "AST", "audio-spectrogram-transformer")
    _check_heads(model, file, found)
    state = dict(found.tensors)
    strides = [{}] if file.config else [{"frequency_stride": n, "time_stride": n} for n in AST_STRIDES]
    table = state.get("pos_embed", torch.empty(0))
    grid = _grid_of(table, [*(sound_grid(file, **stride) for stride in strides), model.grid], n_special=2)
    if grid:
        state["pos_embed"] = torch.cat([table[:, :2], fit_grid_2d(table[:, 2:], grid, model.grid)], dim=1)
    published = (SPECTROGRAM_MEAN, SPECTROGRAM_STD)
    state["mean"], state["std"], statistics = input_statistics(file, ("mean", "std"), published)
    _fill(model, state, file)
    verb = "cut around its middle" if grid[0] == model.grid[0] and grid[1] > model.grid[1] else "interpolated"
    place = "as it is" if grid == model.grid else f"{verb} {_shape(grid)} -> {_shape(model.grid)}"
    return _loaded("audio", file, found, (f"position table {place}", _use_eps(model, file), statistics))


def load_text_encoder(source: Path | str, frozen: bool = True) -> TextEncoder:
    """BERT from a Hugging Face folder, an id of its hub, or a file of one of Google's sizes.

    `loaded` of the encoder says what was loaded. Raises WeightError with one line.
    """
    file = read_weights(source)
    found = _find_encoder(file, TEXT_SOURCES, "BERT", "bert")
    words = file.path / "vocab.txt"
    if words.is_file() and words.read_bytes().split() != (embedded_weights() / "vocab.txt").read_bytes().split():
        raise WeightError(f"{words}: another vocabulary than bert-base-uncased's; give an uncased English BERT")
    config = bert_config(file, found.tensors)
    with torch.random.fork_rng(devices=[]):  # what is overwritten below should not move other random weights
        encoder = TextEncoder(config, frozen=frozen)
    _fill(encoder.bert, found.tensors, file)
    encoder.loaded = _loaded("text", file, found)
    return encoder


def _find_encoder(file: WeightFile, sources: tuple[Source, ...], wanted: str, model_type: str) -> RenamedEncoder:
    stated = file.config.get("model_type", model_type)
    found = rename_encoder(file.tensors, sources) if stated == model_type else None
    if found is not None and (scalars := [name for name, value in found.tensors.items() if not value.dim()]):
        raise WeightError(f"{file.path}: {scalars[0]} is one number, no table; give weights of {wanted}")
    if found is None:
        held = _some(tuple(file.tensors), between=", ")
        if stated != model_type:
            held = f"a model of type {in_words(stated)}"
        raise WeightError(f"{file.path}: no {wanted} encoder, it holds {held}; give weights of {wanted}")
    return found


def _check_heads(model: VideoViT | AudioSpectrogramTransformer, file: WeightFile, found: RenamedEncoder) -> None:
    """Raises WeightError where the weights need other heads or another activation, which shows in no tensor."""
    own, width = model.blocks[0].attn.num_heads, len(found.tensors["patch_embed.weight"])
    published = HEADS.get(width, own) if "blocks.11.norm1.weight" in found.tensors else own
    heads = file.config.get("num_attention_heads", published)
    activation = file.config.get("hidden_act", "gelu")
    if width == model.embed_dim and heads != own:
        fault = f"made with {in_words(heads)} attention heads, the model has {own}"
        raise WeightError(f"{file.path}: {fault}; change --num_heads")
    if activation != "gelu":
        raise WeightError(f"{file.path}: made with the activation {in_words(activation)}, not gelu; give other weights")


def _fill(model: nn.Module, state: dict[str, Tensor], file: WeightFile, kept: tuple[str, ...] = ()) -> None:
    """Copy `state` into the model. Raises WeightError, and copies nothing, if anything but `kept` is left or over."""
    own = {name: value for name, value in model.state_dict().items() if name not in (*kept, "norm_eps")}
    faults = [f"{name} is missing" for name in own if name not in state]
    faults += [
        f"{name} has shape {tuple(state[name].shape)}, the model {tuple(value.shape)}"
        for name, value in own.items()
        if name in state and state[name].shape != value.shape
    ]
    faults += [f"{name} is not in the model" for name in state if name not in own]
    faults = faults or [f"{name} is not finite" for name in own if not state[name].isfinite().all()]
    if faults:
        sizes, wanted = _size(state), _size(own)
        size = f"an encoder {sizes} for one {wanted}: " if sizes != wanted else ""
        raise WeightError(
            f"{file.path}: {size}{_some(tuple(faults))}; give all weights of an encoder of the model's size, "
            "or change the flags of its size (published weights: --preset base)"
        )
    with torch.no_grad():
        for name, value in own.items():
            value.copy_(state[name])


def _use_eps(model: VideoViT | AudioSpectrogramTransformer, file: WeightFile) -> str:
    eps = norm_eps(file) if file.config else AUTHORS_EPS
    set_norm_eps(model, eps)
    return f"layer norms with eps {eps:g}"


def _grid_of(table: Tensor, grids: list[tuple[int, ...]], n_special: int = 0) -> tuple[int, ...] | None:
    """The first of the grids that has as many places as the table (1, n_special + places, D)."""
    places = table.shape[1] - n_special if table.dim() == 3 and len(table) == 1 else None
    return next((grid for grid in grids if prod(grid) == places), None)


def _loaded(
    kind: str, file: WeightFile, found: RenamedEncoder, notes: tuple[str, ...] = (), kept: tuple[str, ...] = ()
) -> LoadedWeights:
    counts = found.n_read, found.ignored, found.ignored_parts
    return LoadedWeights(kind, file.path, file.name, found.title, *counts, notes, kept)


def _size(tensors: dict[str, Tensor]) -> str:
    """Size of a ViT in words, empty for BERT."""
    if "patch_embed.weight" not in tensors:
        return ""
    n_layers = sum(name.startswith("blocks.") and name.endswith(".norm1.weight") for name in tensors)
    return f"{len(tensors['patch_embed.weight'])} wide with {n_layers} layers"


def _shape(grid: tuple[int, ...]) -> str:
    return "x".join(map(str, grid))


def _some(names: tuple[str, ...], n: int = 3, between: str = "; ") -> str:
    """The first names, and how many there are behind them."""
    return between.join(names[:n]) + (f" and {len(names) - n} more" if len(names) > n else "")
