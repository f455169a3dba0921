"""Files of tensors, looked at before and after PyTorch opens them, so that a small one cannot take all memory."""

from __future__ import annotations

import zipfile
from collections.abc import Iterable, Mapping
from pathlib import Path

import torch
from torch import Tensor

MOST_SHARED = 8  # bytes that tensors may claim for one that they have


def check_archive(path: Path) -> None:
    """Raises an exception for a PyTorch zip file that is damaged, holds compressed parts or such as lie over others.

    PyTorch writes none like that, and would allot whatever such a file claims.
    """
    with zipfile.ZipFile(path) as archive:
        infos = archive.infolist()
    if any(info.compress_type != zipfile.ZIP_STORED or info.compress_size != info.file_size for info in infos):
        raise ValueError("parts of it are compressed, which PyTorch does not do")
    if sum(info.file_size for info in infos) > path.stat().st_size:
        raise ValueError("its parts lie over each other")


def fault_of_kinds(tensors: Iterable[tuple[object, object]]) -> str | None:
    """What keeps the values under their names from being dense tensors in memory, None if nothing."""
    for name, value in tensors:
        if not isinstance(name, str) or not name.isprintable() or len(name) > 200:
            return f"a name of a tensor is {ascii(name)[:80]}"
        if not isinstance(value, Tensor) or value.layout != torch.strided or value.is_quantized or value.is_complex():
            return f"{name} is no plain tensor"
        if value.device.type != "cpu" or value.is_nested:
            return f"{name} has no values"
    return None


def fault_of_sizes(tensors: Mapping[str, Tensor]) -> str | None:
    """What is wrong with tensors by whose shapes a model is going to be made, None if nothing.

    A tensor of one number can have the shape of billions, and a thousand tensors can be the same one.
    """
    storages = [value.untyped_storage() for value in tensors.values()]
    held = sum({storage.data_ptr(): storage.nbytes() for storage in storages}.values())
    claimed = sum(value.numel() * value.element_size() for value in tensors.values())
    return f"its tensors claim {claimed:,} bytes and have {held:,}" if claimed > MOST_SHARED * held else None
