"""The program in processes that are forked from one which has imported everything: a start costs next to nothing.

They compute with one thread, and may send themselves a signal at a chosen call.
"""

from __future__ import annotations

import importlib
import multiprocessing
import os
import signal
import socket
import sys
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from multiprocessing.context import ForkServerContext
from multiprocessing.process import BaseProcess
from pathlib import Path
from typing import Any

PROJECT = Path(__file__).parents[1]
_starting = threading.Lock()


@dataclass(frozen=True)
class Moment:
    """The `count`-th call of a function or method, "module:name" or "module:Class.name", before it does anything."""

    call: str
    count: int = 1


@dataclass
class Child:
    """A process of the program; what it prints is in `log`."""

    process: BaseProcess
    log: Path

    def send(self, number: int) -> None:
        """A signal."""
        os.kill(self.process.pid, number)

    def status(self, seconds: float) -> int | None:
        """Its exit status, negative for a signal that killed it; None if it still runs after so long."""
        self.process.join(seconds)
        return self.process.exitcode

    def wait(self, seconds: float = 120.0) -> int:
        """Its exit status. Fails if it runs for longer."""
        status = self.status(seconds)
        if status is None:
            self.process.kill()
            raise AssertionError(f"still running after {seconds} s:\n{self.log.read_text()}")
        return status


def _context() -> ForkServerContext:
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(["tests.preloaded"])
    return context


def start(
    words: Sequence[str],
    log: Path,
    *,
    signal_at: tuple[int, Moment] | None = None,
    environment: dict[str, str] | None = None,
    change: Callable[[], Any] | None = None,
    pictures: bool = False,
) -> Child:
    """Begins `main.main(words)`.

    signal_at: what it sends itself and when. change: called in it before. pictures: it draws some.
    """
    with _starting:
        before = os.environ.get("PYTHONPATH")
        os.environ["PYTHONPATH"] = str(PROJECT)  # for the process that the others are forked from
        details = list(words), log, signal_at, environment or {}, change, pictures
        process = _context().Process(target=_run, args=details)
        process.start()
        os.environ.pop("PYTHONPATH")
        if before is not None:
            os.environ["PYTHONPATH"] = before
    return Child(process, log)


def start_two(words: Sequence[str], log: Path, *, signal_at: tuple[int, Moment] | None = None) -> list[Child]:
    """Two processes of a run that know each other, as torchrun starts them; the second one sends itself the signal."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    common = {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(port), "WORLD_SIZE": "2", "TORCHELASTIC_RUN_ID": "test"}
    return [
        start(
            words,
            log.with_name(f"{log.name}-{rank}"),
            environment=common | {"RANK": str(rank), "LOCAL_RANK": str(rank)},
            signal_at=signal_at if rank else None,
        )
        for rank in (0, 1)
    ]


def eventually(look: Callable[[], Any], seconds: float = 60.0) -> Any:
    """What it finds at last."""
    deadline = time.monotonic() + seconds
    while not (found := look()):
        assert time.monotonic() < deadline, "not in time"
        time.sleep(0.01)
    return found


def _run(
    words: list[str],
    log: Path,
    signal_at: tuple[int, Moment] | None,
    environment: dict[str, str],
    change: Callable[[], Any] | None,
    pictures: bool,
) -> None:
    file = os.open(log, os.O_WRONLY | os.O_CREAT | os.O_APPEND)
    for stream in (1, 2):
        os.dup2(file, stream)
    signal.signal(signal.SIGINT, signal.default_int_handler)  # ignored where the tests run in the background
    multiprocessing.set_start_method("fork", force=True)  # of reading processes
    os.environ.update(environment)
    from core.board import Board
    from tests.preloaded import main, torch

    torch.set_num_threads(1)
    if not pictures:  # which take longer than all the rest
        main.draw_view = main.timelines = main.report.figures = Board.figures = lambda *_, **__: {}
    if signal_at is not None:
        _signal_at(*signal_at)
    if change is not None:
        change()
    sys.exit(main.main(words))


def _signal_at(number: int, moment: Moment) -> None:
    module, _, path = moment.call.partition(":")
    owner: Any = importlib.import_module(module)
    *owners, name = path.split(".")
    for each in owners:
        owner = getattr(owner, each)
    original, calls = getattr(owner, name), 0

    def called(*args: Any, **kwargs: Any) -> Any:
        nonlocal calls
        calls += 1
        if calls == moment.count:
            os.kill(os.getpid(), number)
        return original(*args, **kwargs)

    setattr(owner, name, called)
