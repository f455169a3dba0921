"""Several processes, one per device, as torchrun starts them: who this one is, what all of them found, who writes.

Without torchrun there is one process, and nothing here communicates.
"""

from __future__ import annotations

import os
import time
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from hashlib import sha256
from typing import Any, TypeVar
from uuid import uuid4

import torch
import torch.distributed as dist
from torch import Tensor, nn
from torch.nn.parallel import DistributedDataParallel

from datasets.video_batch import VideoBatch

Value = TypeVar("Value")


class LostProcessError(RuntimeError):
    """Another process of the run has ended."""


@contextmanager
def joined(device: torch.device) -> Iterator[None]:
    """The processes that torchrun started know each other inside; they meet over Gloo, and their GPUs over NCCL.

    Raises LostProcessError where one waits for another that has ended.
    """
    if "TORCHELASTIC_RUN_ID" not in os.environ:
        yield
        return
    if device.type == "cuda":
        torch.cuda.set_device(device)
    try:
        store, number, size = next(dist.rendezvous("env://"))
        backend = "cpu:gloo,cuda:nccl" if device.type == "cuda" else "gloo"
        dist.init_process_group(backend, store=own_part(store, number, size), rank=number, world_size=size)
        yield
    except RuntimeError as error:
        if not (isinstance(error, dist.DistError) or "gloo" in str(error)):
            raise
        number, said = os.environ.get("RANK", "0"), str(error).splitlines()[0]
        what = "has lost the others: one has ended, and says why itself" if dist.is_initialized() else "is alone"
        raise LostProcessError(f"process {number} {what} ({said})") from None
    dist.destroy_process_group()  # not after an error, when the others may never come; torchrun ends them


def own_part(store: dist.Store, number: int, size: int) -> dist.Store:
    """The part of a store in which only the processes that run now have written; this is the `number`-th of `size`.

    torchrun hands processes that it starts again the store of those before them, with the addresses of the dead in it,
    and each machine counts its restarts alone. So all write a name of their own, look whose names stand there, and meet
    under these names together: under a list with a name of the dead in it, not all will come. Raises LostProcessError
    where not all have come within the timeout of the store.
    """
    store.set(f"process {number}", uuid4().hex)
    end = time.monotonic() + store.timeout.total_seconds()
    while time.monotonic() < end:
        try:
            names = store.multi_get([f"process {i}" for i in range(size)])
        except dist.DistStoreError:
            break
        meeting = sha256(b" ".join(names)).hexdigest()
        store.set(f"{meeting} {number}", "here")
        if store.check([f"{meeting} {i}" for i in range(size)]):
            return dist.PrefixStore(meeting, store)
        time.sleep(0.05)
    raise LostProcessError(f"process {number} has waited {store.timeout} for the others, of which not all have come")


def job() -> str | None:
    """The torchrun that started this process, also if it has started it again; None without one."""
    name = os.environ.get("TORCHELASTIC_RUN_ID")
    return f"torchrun {os.getppid()}" if name == "none" else name  # as it is called unless --rdzv_id names it


def is_restart() -> bool:
    """Whether torchrun has started this process again, after one of them had died."""
    return int(os.environ.get("TORCHELASTIC_RESTART_COUNT", 0)) > 0


def local_rank() -> int:
    """Number of this process on its machine, and of the device that is its own."""
    return int(os.environ.get("LOCAL_RANK", 0))


def rank() -> int:
    """Number of this process among all, from 0."""
    return dist.get_rank() if dist.is_initialized() else 0


def n_processes() -> int:
    """How many there are."""
    return dist.get_world_size() if dist.is_initialized() else 1


def is_first() -> bool:
    """Whether this process is the one that writes and reports."""
    return rank() == 0


def share() -> tuple[int, int]:
    """Number of this process and of all, by which they divide the videos."""
    return rank(), n_processes()


def gathered(value: Value) -> list[Value]:
    """The values of all processes, in their order; they travel pickled. All have to call it."""
    if n_processes() == 1:
        return [value]
    values: list[Any] = [None] * n_processes()
    dist.all_gather_object(values, value)
    return values


class Vote:
    """On ending, after every step: whether any process has been for it the time before, which all then know alike.

    It travels while the step runs, on the processors, so that no device is waited for. One process decides at once.
    """

    def __init__(self) -> None:
        self._cast: tuple[Tensor, dist.Work] | None = None

    def is_for(self, own: bool) -> bool:
        """The result of the time before, with several processes; all have to come."""
        if n_processes() == 1:
            return own
        before, votes = self._cast, torch.tensor(float(own))
        self._cast = votes, dist.all_reduce(votes, async_op=True)
        if before is None:
            return False
        before[1].wait()
        return bool(before[0])


def wait() -> None:
    """Until all processes have come here."""
    if n_processes() > 1:
        dist.barrier()


def videos_of_all(count: int, device: torch.device) -> int | Tensor:
    """Videos of a step in all processes, at least 1; with several a tensor, for which the processor does not wait."""
    if n_processes() == 1:
        return max(count, 1)
    total = torch.full((), float(count), device=device)
    dist.all_reduce(total)
    return total.clamp_min(1)


def undivided(value: Tensor) -> Tensor:
    """The whole of a tensor that a sharded model has only parts of; all processes have to ask."""
    return value.full_tensor() if hasattr(value, "full_tensor") else value


def divided_like(value: Tensor, like: Tensor) -> Tensor:
    """This process's part of a whole tensor, if `like` is divided."""
    if not hasattr(like, "full_tensor"):
        return value
    from torch.distributed.tensor import distribute_tensor  # takes seconds, is there where `like` was made

    return distribute_tensor(value.to(like.device), like.device_mesh, like.placements)


@contextmanager
def whole(model: nn.Module) -> Iterator[None]:
    """All weights of a sharded teacher are gathered inside, for which all processes have to come; others are whole."""
    parts = []
    if hasattr(model, "unshard"):
        parts = [module for module in model.modules() if hasattr(module, "unshard")]
    for part in parts:
        part.unshard()
    try:
        yield
    finally:
        for part in parts:
            part.reshard()


class Objective(nn.Module):
    """The losses of a batch as one forward pass of what is trained, which is how gradients of processes are joined."""

    def __init__(self, trained: nn.Module, losses: Callable[[VideoBatch], dict[str, Tensor]]) -> None:
        super().__init__()
        self.trained = trained
        self._losses = losses

    def forward(self, batch: VideoBatch) -> dict[str, Tensor]:
        """The losses, of which `loss` is minimised."""
        return self._losses(batch)

    @contextmanager
    def no_sync(self) -> Iterator[None]:
        """Gradients of the backward passes inside stay in this process. Matters for a sharded model alone."""
        if not hasattr(self.trained, "set_requires_gradient_sync"):
            yield
            return
        self.trained.set_requires_gradient_sync(False)
        try:
            yield
        finally:
            self.trained.set_requires_gradient_sync(True)


def share_gradients(objective: Objective, partial: bool) -> Objective | DistributedDataParallel:
    """The objective whose backward pass averages gradients over all processes; a sharded model does so by itself.

    partial: some of what is trained gets no gradient.
    """
    if n_processes() == 1 or hasattr(objective.trained, "set_requires_gradient_sync"):
        return objective
    # of tensors (1, 1, D), whose strides of the first dimensions mean nothing
    warnings.filterwarnings("ignore", "Grad strides do not match bucket view strides")
    # buffers are constants
    return DistributedDataParallel(
        objective, broadcast_buffers=False, gradient_as_bucket_view=True, find_unused_parameters=partial
    )
