"""What the benchmark measures with: a stopwatch, a memory gauge and a counter of floating-point operations."""

from __future__ import annotations

import itertools
import resource
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from torch.utils.flop_counter import FlopCounterMode


class Stopwatch:
    """Times between marks in the work of a device. On CUDA they are events in its stream, which nothing waits for."""

    def __init__(self, device: torch.device) -> None:
        self.device = device
        self._marks: list[Any] = []

    def mark(self) -> None:
        """The work that was asked for until now ends here."""
        if self.device.type != "cuda":
            self._marks.append(time.perf_counter())
            return
        event = torch.cuda.Event(enable_timing=True)
        event.record(torch.cuda.current_stream(self.device))
        self._marks.append(event)

    def seconds(self) -> list[float]:
        """Seconds from each mark to the next."""
        pairs = itertools.pairwise(self._marks)
        if self.device.type != "cuda":
            return [end - begun for begun, end in pairs]
        torch.cuda.synchronize(self.device)
        return [begun.elapsed_time(end) / 1000 for begun, end in pairs]


def peak_memory(device: torch.device) -> int:
    """Most bytes at a time: of tensors on a CUDA device, otherwise in the memory of this process, code included."""
    if device.type == "cuda":
        return torch.cuda.max_memory_allocated(device)
    status = Path("/proc/self/status")
    # getrusage also knows the process that started this one, the file only this one
    for line in status.read_text().splitlines() if status.exists() else []:
        if line.startswith("VmHWM:"):
            return int(line.split()[1]) * 1024
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak if sys.platform == "darwin" else peak * 1024


def forget_peak_memory(device: torch.device) -> None:
    """Begins `peak_memory` anew with what is held now."""
    if device.type == "cuda":
        torch.cuda.reset_peak_memory_stats(device)
    elif (control := Path("/proc/self/clear_refs")).exists():
        control.write_text("5")


class _OwnOperations(FlopCounterMode):
    """Leaves out what a backward pass computes a second time, which it does with gradients enabled."""

    def _count_flops(self, func_packet: Any, out: Any, args: Any, kwargs: Any) -> Any:
        if torch._C._current_graph_task_id() != -1 and torch.is_grad_enabled():
            return out
        return super()._count_flops(func_packet, out, args, kwargs)


def operation_counter() -> FlopCounterMode:
    """Counts operations of matrix products, convolutions and attention; entered, it sees forward and backward passes.

    PyTorch's own formulas, and for the fused attention of a CPU, which it leaves out, those that it has for CUDA. Only
    the model's own operations count: those that --recompute repeats are none.
    """
    operations = torch.ops.aten
    return _OwnOperations(
        display=False,
        custom_mapping={
            operations._scaled_dot_product_flash_attention_for_cpu: _attention,
            operations._scaled_dot_product_flash_attention_for_cpu_backward: _attention_backward,
        },
    )


def _attention(query: Sequence[int], key: Sequence[int], *_: Any, **__: Any) -> int:
    """Two products: scores, and values weighted by them. Shapes (N, H, L, D) and (N, H, M, D)."""
    n, heads, length, width = query
    return 2 * 2 * n * heads * length * key[2] * width


def _attention_backward(_: Sequence[int], query: Sequence[int], key: Sequence[int], *__: Any, **___: Any) -> int:
    """Five products: the scores once more, and the gradients of weights, values, queries and keys."""
    n, heads, length, width = query
    return 5 * 2 * n * heads * length * key[2] * width
