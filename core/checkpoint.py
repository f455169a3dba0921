"""Checkpoints: everything needed to go on, written atomically, read without running code from the file."""

from __future__ import annotations

import os
import pickle
import platform
from importlib.metadata import version
from pathlib import Path
from typing import Any

import torch
from torch import nn

from core.distributed import divided_like, undivided
from core.files import whole
from models.archives import check_archive

FORMAT = 1


class CheckpointError(ValueError):
    """A checkpoint is missing, unreadable or belongs to something else."""


def versions() -> dict[str, str]:
    """Versions that decide whether a run can be repeated."""
    return {"python": platform.python_version(), **{name: version(name) for name in ("torch", "timm", "transformers")}}


def save_checkpoint(path: Path, content: dict[str, Any]) -> None:
    """Flush to the disk beside `path`, then rename: `path` is always whole. Raises CheckpointError where that fails."""
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with whole(path) as temporary, temporary.open("wb") as file:
            torch.save({"format": FORMAT, "versions": versions(), **content}, file)
            file.flush()
            os.fsync(file.fileno())
    except (OSError, RuntimeError) as error:
        reason = error if isinstance(error, OSError) else error.__context__  # which PyTorch's own error hides
        if not isinstance(reason, OSError):
            raise
        raise CheckpointError(
            f"{path}: cannot be written ({reason.strerror}); what was saved before is whole: mend it, then --resume"
        ) from None


def load_checkpoint(path: Path) -> dict[str, Any]:
    """Content of a checkpoint that `save_checkpoint` wrote, on the CPU. Raises CheckpointError."""
    if not path.is_file():
        raise CheckpointError(f"{path}: no such checkpoint; give --checkpoint a results/<experiment>/last.pt")
    with path.open("rb") as file:
        if file.read(2) != b"PK":
            raise CheckpointError(f"{path}: no PyTorch file, or cut off; use a checkpoint that this program wrote")
    try:
        check_archive(path)
        content = torch.load(path, map_location="cpu", weights_only=True)
    except pickle.UnpicklingError:
        raise CheckpointError(
            f"{path}: holds more than tensors and plain values and was not opened; "
            "use a checkpoint that this program wrote"
        ) from None
    except Exception as error:  # a damaged file can raise anything
        reason = ascii(str(error).splitlines()[0])[1:-1][:200] if str(error) else type(error).__name__
        raise CheckpointError(f"{path}: not a readable checkpoint ({reason}); it may be cut off") from None
    if not isinstance(content, dict) or type(content.get("format")) is not int or content["format"] != FORMAT:
        raise CheckpointError(f"{path}: not a checkpoint of this program; train one with `python main.py`")
    return content


def trained_weights(model: nn.Module) -> dict[str, torch.Tensor]:
    """State of the model without frozen parameters, which come with the pre-trained weights they were read from.

    A sharded model's is put together, for which all processes have to come.
    """
    return {name: undivided(value) for name, value in _own_weights(model).items()}


def _own_weights(model: nn.Module) -> dict[str, torch.Tensor]:
    frozen = {name for name, parameter in model.named_parameters() if not parameter.requires_grad}
    return {name: value for name, value in model.state_dict().items() if name not in frozen}


def check_weights(model: nn.Module, weights: dict[str, torch.Tensor], path: Path) -> None:
    """See that weights fill all but frozen parameters. Raises CheckpointError that names the first that differ."""
    own = _own_weights(model)
    faults = [f"{name} is missing" for name in own if name not in weights]
    faults += [f"{name} is unknown" for name in weights if name not in own]
    faults += [
        f"{name} has shape {tuple(weights[name].shape)}, the model {tuple(value.shape)}"
        for name, value in own.items()
        if name in weights and weights[name].shape != value.shape
    ]
    if faults:
        more = f" and {len(faults) - 3} more" if len(faults) > 3 else ""
        raise CheckpointError(
            f"{path}: weights of another model: {'; '.join(faults[:3])}{more}; "
            "leave out the flags that change the model's sizes"
        )


def load_weights(model: nn.Module, weights: dict[str, torch.Tensor], path: Path) -> None:
    """Fill everything but frozen parameters. Raises CheckpointError as `check_weights` does."""
    check_weights(model, weights, path)
    own = _own_weights(model)
    model.load_state_dict({name: divided_like(weights[name], own[name]) for name in own}, strict=False)


def optimizer_state(optimizer: torch.optim.Optimizer) -> dict[str, Any]:
    """State of the optimiser; that of a sharded model is put together, for which all processes have to come."""
    state = optimizer.state_dict()
    of_parameters = {
        number: {name: undivided(value) for name, value in values.items()} for number, values in state["state"].items()
    }
    return {**state, "state": of_parameters}


def load_optimizer(optimizer: torch.optim.Optimizer, state: dict[str, Any]) -> None:
    """Undo `optimizer_state`, whether the model is sharded now or was then."""
    parameters = [parameter for group in optimizer.param_groups for parameter in group["params"]]
    of_parameters = {
        number: {
            name: divided_like(value, parameters[number]) if value.ndim else value for name, value in values.items()
        }
        for number, values in state["state"].items()
    }
    optimizer.load_state_dict({**state, "state": of_parameters})
