"""A run as its checkpoint tells it, which may be the work of a stranger: looked at before anything is made of it."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

from core.checkpoint import CheckpointError, load_checkpoint
from models.archives import fault_of_kinds, fault_of_sizes

MOST_SECONDS = 1e9  # of a segment
MOST_TEXT = 4096  # characters of a flag or of the name of a class
RESUMED = ("model", "optimizer", "step", "first_step", "best")  # what going on with a run needs besides


def load_run(path: Path, *, resume: bool = False) -> dict[str, Any]:
    """Content of a checkpoint with all that scoring needs, or going on. Raises CheckpointError.

    flags: a table of plain values, which opts.parse checks one by one. classes: names, each once; polarity: of each -1,
    0 or 1, or None. segment_seconds: above 0, or None. epoch: 0 or more. ema: dense tensors by name.
    """
    content = load_checkpoint(path)
    for name in ("flags", "classes", "epoch", "ema", *(RESUMED if resume else ())):
        if content.get(name) is None:
            raise CheckpointError(f"{path}: {name} is missing; use a checkpoint that training wrote")
    for name, (is_sound, wanted) in _WANTED.items():
        if content.get(name) is not None and not is_sound(content[name]):
            raise CheckpointError(f"{path}: {name} is not {wanted}; use a checkpoint that training wrote")
    if content.get("polarity") is not None and len(content["polarity"]) != len(content["classes"]):
        counts = f"{len(content['polarity'])} of {len(content['classes'])} classes"
        raise CheckpointError(f"{path}: has a polarity for {counts}; use a checkpoint that training wrote")
    for name in ("ema", "model"):
        weights = content.get(name, {})
        if fault := fault_of_kinds(weights.items()) or fault_of_sizes(weights):
            raise CheckpointError(f"{path}: {fault}; use a checkpoint that training wrote")
    return content


def _is_text(value: object) -> bool:
    return isinstance(value, str) and value.isprintable() and len(value) <= MOST_TEXT


def _is_plain(value: object) -> bool:
    return value is None or _is_text(value) or type(value) in (bool, int, float)


def _are_names(value: object) -> bool:
    return isinstance(value, (list, tuple)) and 0 < len(value) == len({*filter(_is_text, value)} - {""})


_WANTED: dict[str, tuple[Callable[[Any], bool], str]] = {
    "flags": (
        lambda value: isinstance(value, dict) and all(map(_is_text, value)) and all(map(_is_plain, value.values())),
        "a table of plain values",
    ),
    "classes": (_are_names, "a list of names"),
    "polarity": (
        lambda value: isinstance(value, (list, tuple)) and all(type(sign) is int and abs(sign) <= 1 for sign in value),
        "a list of -1, 0 and 1",
    ),
    "segment_seconds": (
        lambda value: type(value) in (int, float) and 0 < value <= MOST_SECONDS,
        "a number of seconds",
    ),
    "epoch": (lambda value: type(value) is int and 0 <= value < 2**31, "a whole number"),
    "ema": (lambda value: isinstance(value, dict) and len(value) > 0, "a table of tensors"),
    "model": (lambda value: isinstance(value, dict), "a table of tensors"),
}
