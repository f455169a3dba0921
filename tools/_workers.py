"""Work on many files in worker processes, under a progress bar. A worker that dies costs one file, not the run."""

from __future__ import annotations

import contextlib
import multiprocessing
import os
import signal
import sys
import threading
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from multiprocessing.connection import Connection, wait
from typing import Any

from tqdm import tqdm

from datasets.errors import DataError


@dataclass(frozen=True)
class Failure:
    """Why an item came to nothing, in one line."""

    reason: str


def cores() -> int:
    """Number of processor cores that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def parallel(function: Callable[[Any], Any], items: Sequence[Any], jobs: int, title: str) -> Iterator[tuple[Any, Any]]:
    """Yields (item, function(item)) in order of completion, under a progress bar.

    `function` and the items must be picklable. An exception becomes a Failure, and so does the death of the worker
    process (out of memory), which is replaced. Worker processes end with the generator and with this process.
    """
    waiting = deque(items)
    workers: dict[Connection, multiprocessing.process.BaseProcess] = {}
    held: dict[Connection, Any] = {}
    tqdm.set_lock(threading.RLock())  # its default is a semaphore that would outlive a killed process
    every = 0.2 if sys.stderr.isatty() else 10.0

    def hand_out(connection: Connection) -> None:
        held[connection] = waiting.popleft()
        with contextlib.suppress(BrokenPipeError):  # it died while idle: the next recv says so
            connection.send(held[connection])

    with tqdm(total=len(waiting), desc=title, unit="file", mininterval=every, maxinterval=every) as bar:
        try:
            for _ in range(min(jobs, len(waiting))):
                hand_out(_start_worker(function, workers))
            while held:
                for connection in wait(list(held)):
                    item = held.pop(connection)
                    try:
                        answer = connection.recv()
                        free = connection
                    except (EOFError, OSError):
                        workers[connection].join()
                        answer = Failure(_death(workers.pop(connection).exitcode))
                        free = _start_worker(function, workers) if waiting else None
                    if waiting and free is not None:
                        hand_out(free)
                    bar.update()
                    yield item, answer
        finally:
            for process in workers.values():
                process.kill()
            for process in workers.values():
                process.join()


def _start_worker(function: Callable, workers: dict) -> Connection:
    # Spawned, not forked: a fork would copy locks that threads of OpenCV, FFmpeg or torch hold at that moment.
    context = multiprocessing.get_context("spawn")
    ours, theirs = context.Pipe()
    process = context.Process(target=_serve, args=(theirs, function), daemon=True)
    in_main_thread = threading.current_thread() is threading.main_thread()
    # Ctrl-C reaches the whole process group; only this process shall act on it, and workers inherit what is ignored.
    before = signal.signal(signal.SIGINT, signal.SIG_IGN) if in_main_thread else None
    try:
        process.start()
    finally:
        if in_main_thread:
            signal.signal(signal.SIGINT, before)
    workers[ours] = process
    theirs.close()
    return ours


def _serve(connection: Connection, function: Callable) -> None:
    tqdm.set_lock(threading.RLock())
    threading.Thread(target=end_with_parent, daemon=True).start()
    while True:
        try:
            item = connection.recv()
        except EOFError:
            return
        try:
            answer = function(item)
        except Exception as error:  # whatever a damaged file provokes belongs to that file alone
            text = " ".join(str(error).split())
            answer = Failure(text if isinstance(error, DataError) else f"{type(error).__name__}: {text}")
        connection.send(answer)


def end_with_parent() -> None:
    """Ends this child process when its parent has ended."""
    parent = multiprocessing.parent_process()
    if parent is not None:
        wait([parent.sentinel])
        os._exit(1)


def _death(status: int | None) -> str:
    if status is not None and status < 0:
        return f"the worker process was killed by signal {-status}; if memory ran out, use fewer --jobs"
    return f"the worker process ended with status {status}"
