"""The processes that read data: what each one reads, in case it dies or falls silent, and what signals do to it.

So does the main process before training starts, where nobody waits for it but a thread of its own.
"""

from __future__ import annotations

import ctypes
import multiprocessing
import os
import re
import signal
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from multiprocessing.sharedctypes import RawArray
from weakref import WeakSet

from datasets.errors import DataError


class _Desk(ctypes.Structure):
    """What one process is at, in memory that it shares with the main one."""

    _fields_ = (("pid", ctypes.c_int64), ("since", ctypes.c_double), ("video", ctypes.c_char * 256))


class Readers:
    """The reading processes of one loader, whose `worker_init_fn` is `begin`."""

    def __init__(self, count: int) -> None:
        self.desks = RawArray(_Desk, count)
        _all.add(self)

    def begin(self, number: int) -> None:
        """Called first in a new process.

        Ctrl-C and SIGTERM, which terminals and clusters send to all processes, are for the main one to act on; it may
        need more data until then.
        """
        global _own
        _own = self.desks[number]
        _own.pid = os.getpid()
        signal.signal(signal.SIGINT, signal.SIG_IGN)
        if hasattr(signal, "sigtimedwait"):
            signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGTERM})
            threading.Thread(target=_end_with_parent, daemon=True).start()


_all: WeakSet[Readers] = WeakSet()  # of the main process
_own: _Desk | None = None  # of a reading process, or of the main one where it is watched


@contextmanager
def watched(timeout: float) -> Iterator[None]:
    """Inside, this process ends, with exit status 2, where it reads one video for `timeout` seconds; 0 = for ever."""
    global _own
    if not timeout:
        yield
        return
    _own, ended = _Desk(), threading.Event()

    def watch(desk: _Desk) -> None:
        while not ended.wait(0.2):
            video, seconds = desk.video, time.monotonic() - desk.since
            if video and seconds > timeout:
                print(f"error: {_silent([f'{os.fsdecode(video)} for {seconds:.0f} s'])}", file=sys.stderr, flush=True)
                os._exit(2)  # an error would have to wait for the read

    threading.Thread(target=watch, args=[_own], daemon=True).start()
    try:
        yield
    finally:
        ended.set()
        _own = None


def _silent(videos: list[str]) -> str:
    at = ", ".join(videos) or "nothing"
    return f"no data came within --read_timeout; being read: {at}; see that the storage answers, or allow more time"


def _end_with_parent() -> None:
    """Ends this process when the main one says so or is gone, also in the middle of a read that hangs."""
    parent, above = multiprocessing.parent_process(), os.getppid()  # which a server of forks may be
    while os.getppid() == above and parent.is_alive():
        told = signal.sigtimedwait({signal.SIGTERM}, 1.0)
        if told is not None and told.si_pid == parent.pid:
            break
    os._exit(0)


@contextmanager
def reading(video: str) -> Iterator[None]:
    """What goes wrong inside bears the name of the video. Raises DataError for what nobody has thought of."""
    if _own is not None:
        _own.since, _own.video = time.monotonic(), os.fsencode(video)[:255]
    try:
        yield
    except DataError:
        raise
    except MemoryError:
        remedy = "use fewer --n_threads or a smaller --batch_size"
        raise DataError(f"{video}: memory ran out while it was read; {remedy}") from None
    except Exception as error:
        text = " ".join(f"{type(error).__name__}: {error}".split())
        raise DataError(f"{video}: cannot be read ({text}); --n_threads 0 --debug shows where") from error
    finally:
        if _own is not None:
            _own.video = b""


def explain(error: BaseException) -> str | None:
    """One line about a reading process that was killed or fell silent, for what PyTorch raises then; else None."""
    said = str(error)
    if not said.startswith("DataLoader"):
        return None
    alive = {process.pid for process in multiprocessing.active_children()}
    desks = [desk for readers in _all for desk in readers.desks if desk.pid]
    if "timed out" in said:
        now = time.monotonic()
        videos = [f"{os.fsdecode(desk.video)} for {now - desk.since:.0f} s" for desk in desks if desk.video]
        return _silent(videos)
    said = f"{said} {error.__cause__}"  # where it says how, if it was found out by a wait for data
    videos = [os.fsdecode(desk.video) for desk in desks if desk.pid not in alive and desk.video]
    how = re.search(r"is (killed by signal: [\w ]+)", said)
    remedy = "if memory ran out, use fewer --n_threads or a smaller --batch_size"
    if "shared memory" in said:
        remedy = "give more shared memory (/dev/shm), or use fewer --n_threads"
    what = f"was {how[1]}" if how else "ended"
    return f"a reading process {what} while it read {', '.join(videos) or 'no video'}; {remedy}"
