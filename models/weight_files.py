"""Weight files of other programs, however they are stored, as a table of tensors. Nothing in a file is run."""

from __future__ import annotations

import argparse
import json
import pickle
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from safetensors.torch import load_file
from torch import Tensor

from models.archives import check_archive, fault_of_kinds
from models.weight_source import hashes

WEIGHT_NAMES = (  # of a Hugging Face folder, the first that is there is read
    "model.safetensors",
    "model.safetensors.index.json",
    "pytorch_model.bin",
    "pytorch_model.bin.index.json",
)
SUFFIXES = {".pth", ".pt", ".bin", ".safetensors"}
WRAPPERS = ("model", "module", "state_dict")  # under which a training program keeps the tensors beside other things
HUB_ID = re.compile(r"\w[\w.-]*/\w[\w.-]*")

# Checkpoints of training programs hold their flags and, as learning rates, NumPy's numbers. Neither runs code.
PLAIN_VALUES = [
    argparse.Namespace,
    np.dtype,
    *(type(np.dtype(kind)) for kind in ("float64", "float32", "int64", "bool")),
    *((np.float64(0).__reduce__()[0], f"numpy.{core}.multiarray.scalar") for core in ("core", "_core")),
]


class WeightError(ValueError):
    """Pre-trained weights are missing, unreadable or belong to another encoder."""


@dataclass(frozen=True)
class WeightFile:
    """What a source holds."""

    path: Path
    name: str  # for messages: the hub's id, or the last part of the path
    tensors: dict[str, Tensor]  # under the names of the source, without what wraps all of them
    config: dict[str, Any]  # of config.json, empty where there is none
    preprocessing: dict[str, Any]  # of preprocessor_config.json, likewise


def read_weights(source: Path | str) -> WeightFile:
    """Read a file, a Hugging Face folder or, from its cache or the network, an id of the Hugging Face hub.

    Tensors of uncompressed files stay on the disk until they are used. Raises WeightError with one line.
    """
    path = _find(source)
    folder = path if path.is_dir() else path.parent if path.name in WEIGHT_NAMES else None
    tensors: dict[str, Tensor] = {}
    for file in _files_of(path):
        tensors |= _read_tensors(file)
    return WeightFile(
        path=path,
        name=path.name if Path(source).expanduser().exists() else str(source),
        tensors=_without_prefix(tensors),
        config=_read_json(folder / "config.json") if folder else {},
        preprocessing=_read_json(folder / "preprocessor_config.json") if folder else {},
    )


def _find(source: Path | str) -> Path:
    path = Path(source).expanduser()
    if path.exists():
        return path
    # "pretrained_models/NAME" looks like an id as well, but its first part is a folder here.
    if HUB_ID.fullmatch(str(source)) and path.suffix not in SUFFIXES and not path.parent.is_dir():
        return _fetch(str(source))
    raise WeightError(f"{path}: no such file or folder; pretrained_models/README.md says where the weights come from")


def _fetch(hub_id: str) -> Path:
    """Folder of the hub's files in the local cache, downloaded first where they are not there."""
    from huggingface_hub import snapshot_download, try_to_load_from_cache

    reason = "it holds no weights"
    try:
        for name in WEIGHT_NAMES:
            cached = try_to_load_from_cache(hub_id, name)
            if isinstance(cached, str):
                return Path(cached).parent
        for weights in ("model*.safetensors*", "pytorch_model*.bin*"):
            wanted = ["config.json", "preprocessor_config.json", "vocab.txt", weights]
            folder = Path(snapshot_download(hub_id, allow_patterns=wanted))
            if any((folder / name).is_file() for name in WEIGHT_NAMES):
                _check_downloaded(folder)
                return folder
    except WeightError:
        raise
    except Exception as error:  # the transport's own errors differ with the version of huggingface_hub
        reason = str(error).strip().splitlines()[0] if str(error).strip() else type(error).__name__
    raise WeightError(
        f"{hub_id}: no file or folder, and not read from the Hugging Face hub: {reason.rstrip('.')}; "
        "download it by hand, see pretrained_models/README.md, and give the folder"
    )


def _check_downloaded(folder: Path) -> None:
    """The hub's client calls a file in its cache by the hash that the hub records, but does not compare it."""
    for link in sorted(folder.iterdir()):
        file = link.resolve()
        if re.fullmatch("[0-9a-f]{40}|[0-9a-f]{64}", file.name) and file.name not in hashes(file):
            file.unlink()
            raise WeightError(f"{link}: is not what the hub has of it; it was removed, start again to download it anew")


def _files_of(path: Path) -> list[Path]:
    """The files that hold the tensors of a file, a folder or a shards' index."""
    if path.is_dir():
        names = [name for name in WEIGHT_NAMES if (path / name).is_file()]
        if not names:
            raise WeightError(
                f"{path}: holds neither model.safetensors nor pytorch_model.bin; give the folder that does, or a file"
            )
        path = path / names[0]
    if not path.is_file():
        raise WeightError(f"{path}: is a device or a pipe; give a file or a Hugging Face folder")
    if path.suffix != ".json":
        return [path]
    shards = _read_json(path).get("weight_map")
    if not isinstance(shards, dict) or not all(Path(str(name)).name == name for name in shards.values()):
        raise WeightError(f"{path}: no index of weight files beside it; download the folder again")
    files = [path.parent / name for name in sorted(set(shards.values()))]
    missing = [file.name for file in files if not file.is_file()]
    if missing:
        raise WeightError(f"{path.parent}: {', '.join(missing)} of its index is missing; download the folder again")
    return files


def _read_tensors(file: Path) -> dict[str, Tensor]:
    try:
        if file.suffix == ".safetensors":
            return _checked(load_file(file), file)
        with file.open("rb") as stream:
            start = stream.read(40)
        zipped = start.startswith(b"PK")
        if not zipped and not start.startswith(b"\x80"):
            raise ValueError(f"it begins with {start.decode(errors='replace').split(chr(10))[0]!r}")
        if zipped:
            check_archive(file)
        with torch.serialization.safe_globals(PLAIN_VALUES):
            content = torch.load(file, map_location="cpu", weights_only=True, mmap=zipped)
    except WeightError:
        raise
    except Exception as error:  # a damaged file can raise anything
        raise WeightError(f"{file}: {_what_is_wrong(error)}") from None
    return _unwrap(content, file)


def _what_is_wrong(error: Exception) -> str:
    """One line about a file that could not be read."""
    reason = str(error).strip() or type(error).__name__
    if isinstance(error, pickle.UnpicklingError):
        reason = reason.rpartition("WeightsUnpickler error: ")[2].strip()
        if "GLOBAL" in reason or reason.startswith("Trying to"):
            name = re.search(r"GLOBAL (\S+)", reason)
            code = f"code ({ascii(name[1])[1:-1][:80]})" if name else "code"
            return f"holds {code} beside its tensors and was not opened; take the file of the weights' authors"
    start = ascii(reason.splitlines()[0].rstrip("."))[1:-1][:200]
    return f"no readable weights, perhaps cut off ({start}); give a whole .pth, .bin or .safetensors file"


def _unwrap(content: object, file: Path) -> dict[str, Tensor]:
    """The table of tensors inside the dictionaries that a training program put around it."""
    for _ in range(10):  # a dictionary may hold itself
        if not isinstance(content, Mapping):
            break
        inner = next((content[name] for name in WRAPPERS if isinstance(content.get(name), Mapping)), None)
        if inner is None:
            break
        content = inner
    table = content if isinstance(content, Mapping) else {}
    tensors = {str(name): value for name, value in table.items() if isinstance(value, Tensor)}
    if not tensors:
        raise WeightError(f"{file}: holds no table of tensors; give the weights of an encoder")
    return {name: value.detach() for name, value in _checked(tensors, file).items()}


def _checked(tensors: dict[str, Tensor], file: Path) -> dict[str, Tensor]:
    if fault := fault_of_kinds(tensors.items()):
        raise WeightError(f"{file}: {fault}; give the weights of an encoder")
    return tensors


def _without_prefix(tensors: dict[str, Tensor]) -> dict[str, Tensor]:
    """Names without the `module.` that DataParallel puts before all of them."""
    while tensors and all(name.startswith("module.") for name in tensors):
        tensors = {name.removeprefix("module."): tensor for name, tensor in tensors.items()}
    return tensors


def _read_json(file: Path) -> dict[str, Any]:
    """Content of a JSON file, empty if there is none."""
    try:
        content = json.loads(file.read_text(encoding="utf-8"))
    except FileNotFoundError:
        return {}
    except (OSError, ValueError, RecursionError) as error:
        raise WeightError(f"{file}: not readable as JSON ({error}); download it again") from None
    if not isinstance(content, dict):
        raise WeightError(f"{file}: holds no table; download it again")
    return content
