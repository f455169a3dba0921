"""Device and number format, chosen once, with the reason."""

from __future__ import annotations

import re
from pathlib import Path

import torch

from core.distributed import local_rank


class DeviceError(ValueError):
    """The requested device is not there."""


def choose_device(name: str) -> torch.device:
    """`auto` (CUDA where there is one), `cpu`, `cuda` or `cuda:i`. Raises DeviceError.

    Of several processes on a machine each gets a CUDA device of its own.
    """
    if name == "auto":
        name = "cuda" if torch.cuda.is_available() else "cpu"
    if name == "cuda" and local_rank():
        name = f"cuda:{local_rank()}"
    try:
        device = torch.device(name)
    except RuntimeError:
        raise DeviceError(f"--device {name}: unknown; use auto, cpu, cuda or cuda:0") from None
    if device.type not in ("cpu", "cuda"):
        raise DeviceError(f"--device {name}: not supported; use auto, cpu, cuda or cuda:0")
    if device.type == "cuda" and (device.index or 0) >= torch.cuda.device_count():
        raise DeviceError(f"--device {name}: {torch.cuda.device_count()} CUDA devices are visible; use --device cpu")
    return device


def choose_precision(name: str, device: torch.device) -> tuple[torch.dtype, str]:
    """Number format of the matrix products (`auto`, `bf16` or `fp32`) and why.

    Weights, losses and the optimiser stay in float32 whichever is chosen.
    """
    if name != "auto":
        return {"bf16": torch.bfloat16, "fp32": torch.float32}[name], "asked for by --precision"
    if device.type == "cuda":
        if torch.cuda.is_bf16_supported(including_emulation=False):
            return torch.bfloat16, f"{torch.cuda.get_device_name(device)} multiplies bf16 in hardware"
        return torch.float32, f"{torch.cuda.get_device_name(device)} has no bf16 units"
    if _cpu_has_bf16():
        return torch.bfloat16, "this CPU multiplies bf16 in hardware"
    return torch.float32, "this CPU has no bf16 units"


def _cpu_has_bf16() -> bool:
    cpuinfo = Path("/proc/cpuinfo")
    if not cpuinfo.exists():
        return False
    text = cpuinfo.read_text(errors="replace")
    return "avx512_bf16" in text or "amx_bf16" in text


def describe_device(device: torch.device) -> str:
    """Name of the device for the log."""
    if device.type == "cuda":
        return f"{device} ({torch.cuda.get_device_name(device)})"
    return f"cpu ({torch.get_num_threads()} threads)"


def check_compiler(device: torch.device) -> None:
    """Raises DeviceError where torch.compile cannot work: without a C++ compiler, on CUDA without Triton."""
    from torch._inductor.cpp_builder import get_cpp_compiler  # seconds to import
    from torch._inductor.exc import InvalidCxxCompiler
    from torch.utils._triton import has_triton

    try:
        get_cpp_compiler()
    except InvalidCxxCompiler:
        raise DeviceError("--compile: no C++ compiler is found; install g++, set CXX or leave the flag out") from None
    if device.type == "cuda" and not has_triton():
        raise DeviceError("--compile: Triton is not installed or does not know this GPU; leave the flag out")


LESS_MEMORY = (
    "use a smaller --batch_size, in training with a larger --accu_step, or --recompute all; --fsdp divides a model "
    "among several GPUs"
)


def out_of_memory(error: BaseException, remedy: str = LESS_MEMORY) -> str | None:
    """One line that says what helps, where memory ran out, on the device or of the processor; None for other errors."""
    if isinstance(error, torch.OutOfMemoryError):
        where = "on the GPU"
    elif isinstance(error, MemoryError) or "can't allocate memory" in str(error):
        where = "of the machine"
    else:
        return None
    asked = re.search(r"tried to allocate [\d.]+ \w+", str(error), re.IGNORECASE)
    return f"memory {where} ran out{f' ({asked[0]})' if asked else ''}: {remedy}"
