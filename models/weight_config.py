"""What a source's config.json and preprocessor_config.json say of its weights, if it is believable.

Sizes are those of the tensors themselves: a line of JSON may claim any.
"""

from __future__ import annotations

import math
from reprlib import repr as shortened
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from models.archives import fault_of_sizes
from models.weight_files import WeightError, WeightFile
from models.weight_names import BERT_HEADS

if TYPE_CHECKING:
    from transformers import BertConfig

VIDEOMAE = {"image_size": 224, "num_frames": 16, "patch_size": 16, "tubelet_size": 2}  # where none is stated
AST = {"num_mel_bins": 128, "max_length": 1024, "patch_size": 16, "frequency_stride": 10, "time_stride": 10}
MOST = 2**14  # of any of these numbers


def video_grid(file: WeightFile) -> tuple[int, int, int]:
    """Patches in time, height and width. Raises WeightError."""
    image, frames, patch, tubelet = (_whole(file, name, value) for name, value in VIDEOMAE.items())
    return _checked(file, (frames // tubelet, image // patch, image // patch))


def sound_grid(file: WeightFile, **stated: int) -> tuple[int, int]:
    """Patches in frequency and time; `stated` where config.json says nothing. Raises WeightError."""
    bins, frames, patch, band, step = (_whole(file, name, value) for name, value in (AST | stated).items())
    return _checked(file, ((bins - patch) // band + 1, (frames - patch) // step + 1))


def norm_eps(file: WeightFile) -> float:
    """Epsilon of the layer norms that a config.json states. Raises WeightError."""
    eps = file.config.get("layer_norm_eps", 1e-12)
    if isinstance(eps, bool) or not isinstance(eps, (int, float)) or not 0 <= eps < 1:
        raise _wrong(file, "layer_norm_eps")
    return float(eps)


def input_statistics(
    file: WeightFile, names: tuple[str, str], published: tuple[object, object]
) -> tuple[Tensor, Tensor, str]:
    """Mean and deviation of the weights' inputs, and where they come from. Raises WeightError."""
    if not all(name in file.preprocessing for name in names):
        return *(torch.tensor(value) for value in published), "inputs normalised by the published statistics"
    try:
        mean, std = (torch.tensor(file.preprocessing[name], dtype=torch.float32) for name in names)
    except (TypeError, ValueError, RuntimeError, OverflowError):
        mean = std = torch.zeros(1)
    if not (mean.isfinite().all() and std.isfinite().all() and (std > 0).all()):
        place = f"{file.path}: {' or '.join(names)} of preprocessor_config.json"
        raise WeightError(f"{place} is no number; download the folder again")
    return mean, std, "inputs normalised by the statistics of preprocessor_config.json"


def bert_config(file: WeightFile, tensors: dict[str, Tensor]) -> BertConfig:
    """Configuration of a BERT: heads and activation as stated, else those of Google's. Raises WeightError."""
    from transformers import BertConfig
    from transformers.activations import ACT2FN

    if fault := fault_of_sizes(tensors):
        raise WeightError(f"{file.path}: {fault}; give other weights")
    try:
        tables = (tensors[f"embeddings.{table}_embeddings.weight"] for table in ("word", "position", "token_type"))
        (n_words, width), (n_places, _), (n_types, _) = (table.shape for table in tables)
        inner = len(tensors["encoder.layer.0.intermediate.dense.bias"])
        n_layers = sum(name.endswith("intermediate.dense.bias") for name in tensors)
        layers = (tensors[f"encoder.layer.{i}.intermediate.dense.weight"] for i in range(n_layers))
        if any(layer.shape != (inner, width) for layer in layers):
            raise KeyError("layers of several sizes")
        if 0 in (n_words, n_places, n_types, inner):
            raise KeyError("empty tables")
        heads = _whole(file, "num_attention_heads", BERT_HEADS.get(width, MOST))
        if width % heads:
            raise KeyError(f"{width} wide")
    except (KeyError, ValueError) as error:
        reason = error.args[0] if isinstance(error, KeyError) else "tables of other dimensions"
        raise WeightError(f"{file.path}: BERT of unknown size ({reason}); give its folder with config.json") from None
    activation = file.config.get("hidden_act", "gelu")
    if not isinstance(activation, str) or activation not in ACT2FN:
        raise _wrong(file, "hidden_act")
    if file.config.get("position_embedding_type", "absolute") != "absolute":
        raise _wrong(file, "position_embedding_type")
    return BertConfig(
        vocab_size=n_words,
        hidden_size=width,
        num_hidden_layers=n_layers,
        num_attention_heads=heads,
        intermediate_size=inner,
        max_position_embeddings=n_places,
        type_vocab_size=n_types,
        hidden_act=activation,
        layer_norm_eps=norm_eps(file),
    )


def in_words(stated: object) -> str:
    """What a file states, for a message: short, whatever it is."""
    plain = str(stated) if isinstance(stated, (str, int, float)) else ""
    return plain if plain.isprintable() and 0 < len(plain) < 80 else shortened(stated)


def _whole(file: WeightFile, name: str, default: int) -> int:
    value: Any = file.config.get(name, default)
    if isinstance(value, list) and value:
        value = value[0]
    if isinstance(value, bool) or not isinstance(value, int) or not 1 <= value <= MOST:
        raise _wrong(file, name)
    return value


def _checked(file: WeightFile, grid: tuple[int, ...]) -> Any:
    if min(grid) < 1 or math.prod(grid) > 2**20:
        raise WeightError(f"{file.path}: config.json states a grid of {grid} patches; download the folder again")
    return grid


def _wrong(file: WeightFile, name: str) -> WeightError:
    stated = in_words(file.config.get(name))
    return WeightError(f"{file.path}: {name} of config.json is {stated}, which cannot be; download the folder again")
