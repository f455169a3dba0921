"""The two signals that ask the program to end: Ctrl-C, and SIGTERM, as a cluster sends it before it takes a machine.

They end it at once, so that what is half done is removed on the way out, or `deferred` where that would lose something.
"""

from __future__ import annotations

import os
import signal
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from types import FrameType
from typing import NoReturn

AGAIN = 1.0  # seconds; torchrun passes on what the terminal has sent already, so that two within this time are one


class Terminated(BaseException):
    """SIGTERM, as KeyboardInterrupt is SIGINT."""


def end(number: int) -> NoReturn:
    """Raises what the signal stands for: KeyboardInterrupt or Terminated."""
    raise KeyboardInterrupt if number == signal.SIGINT else Terminated


def status(raised: BaseException) -> int:
    """Exit status of a program that this has ended."""
    return 128 + (signal.SIGINT if isinstance(raised, KeyboardInterrupt) else signal.SIGTERM)


def at_once() -> AbstractContextManager[None]:
    """Inside, a signal raises where the program is just then."""
    return _handling(lambda number, _: end(number))


@contextmanager
def deferred() -> Iterator[Callable[[], int]]:
    """Inside, a signal waits and raises at the end; what this gives says its number, or 0. A second Ctrl-C raises."""
    first, since = 0, 0.0

    def note(number: int, _: FrameType | None) -> None:
        nonlocal first, since
        if not first:
            first, since = number, time.monotonic()
            if os.environ.get("RANK", "0") == "0":  # of several processes
                os.write(2, b"\nends after this step, when all is saved; Ctrl-C again ends at once\n")
        elif number == signal.SIGINT and time.monotonic() > since + AGAIN:
            end(number)

    with _handling(note):
        yield lambda: first
    if first:
        end(first)


@contextmanager
def _handling(handler: Callable[[int, FrameType | None], None]) -> Iterator[None]:
    """Both signals go to the handler; in another than the main thread, and where one is ignored, nothing is changed."""
    before = {}
    if threading.current_thread() is threading.main_thread():
        for number in (signal.SIGINT, signal.SIGTERM):
            if signal.getsignal(number) is not signal.SIG_IGN:
                before[number] = signal.signal(number, handler)
    try:
        yield
    finally:
        for number, old in before.items():
            signal.signal(number, old)
