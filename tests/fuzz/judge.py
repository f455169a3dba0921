"""What a hostile file may do to the code that reads it: give a value, or the project's own error of one line.

Never another exception, more than a second of processor time, 20 seconds of waiting, a gigabyte of memory, a file
outside the folder of the case, a connection, another program, or code out of a pickle.
"""

from __future__ import annotations

import contextlib
import os
import re
import signal
import sys
import tempfile
import threading
import time
import traceback
import warnings
from collections.abc import Callable, Iterator
from pathlib import Path

from main import USER_ERRORS

MOST_SECONDS = 1.0  # of the processor
MOST_WAIT = 20.0  # by the clock, on which other programs show
MOST_BYTES = 2**30
FORBIDDEN = {
    "subprocess.Popen",
    "os.system",
    "os.exec",
    "os.posix_spawn",
    "os.fork",
    "socket.connect",
    "pickle.find_class",
}
WRITES = {"os.rename", "os.remove", "os.mkdir", "os.rmdir", "os.link", "os.symlink", "os.truncate", "os.chmod"}

_watched: Path | None = None  # the folder of the case that is being judged
_trespasses: list[str] = []


class _WaitsTooLong(BaseException):
    """A case is not at its end after MOST_WAIT."""


def judge(read: Callable[[Path], object], path: Path) -> tuple[str, str]:
    """What came of `read(path)`: ("value" | "refused" | "wrong", in words)."""
    global _watched
    _hook()
    tempfile.tempdir = str(path.parent)
    _trespasses.clear()
    before, began, clock = _reset_peak(), time.process_time(), time.monotonic()
    _watched = path.parent
    try:
        with _ended_after(MOST_WAIT), warnings.catch_warnings():
            warnings.simplefilter("error", RuntimeWarning)  # NumPy says so where a number overflows or is none
            read(path)
        outcome, words = "value", ""
    except USER_ERRORS as error:
        outcome, words = "refused", str(error).replace(f"{path.parent}/", "")
        if not str(error) or not str(error).isprintable() or len(str(error)) > 1000:
            outcome, words = "wrong", f"{type(error).__name__} of more than one line: {str(error)[:300]!r}"
    except Exception as error:
        outcome, words = "wrong", f"{type(error).__name__}: {str(error)[:200]!r} {_place(error)}"
    except KeyboardInterrupt:
        raise
    except BaseException as error:  # a Rust panic and an exit are none of Exception
        outcome, words = "wrong", f"{type(error).__name__} {_place(error)}"
    finally:
        _watched = tempfile.tempdir = None
    seconds, waited, grown = time.process_time() - began, time.monotonic() - clock, _peak() - before
    if waited > MOST_WAIT:
        outcome, words = "wrong", f"waited {waited:.1f} s, {words}"
    if seconds > MOST_SECONDS:
        outcome, words = "wrong", f"took {seconds:.1f} s, {words}"
    if grown > MOST_BYTES:
        outcome, words = "wrong", f"took {grown >> 20} MB, {words}"
    if _trespasses:
        outcome, words = "wrong", f"{_trespasses[0]}, {words}"
    return outcome, words


@contextlib.contextmanager
def _ended_after(seconds: float) -> Iterator[None]:
    """Inside, the main thread is ended after so long, also where it sleeps or waits for a file."""

    def end(*_: object) -> None:
        raise _WaitsTooLong

    number, main = signal.SIGVTALRM, threading.main_thread().ident  # pytest and libFuzzer have others for themselves
    before = signal.signal(number, end)
    timer = threading.Timer(seconds, signal.pthread_kill, (main, number))
    timer.daemon = True
    timer.start()
    try:
        yield
    finally:
        timer.cancel()
        signal.signal(number, before)


def kind(words: str) -> str:
    """The words without what differs from case to case, so that one fault counts once."""
    words = re.sub(r"'[^']*'|\"[^\"]*\"", "'...'", words)
    return re.sub(r"[-+]?\d[\d.,e+]*", "0", words)[:160]


def _place(error: BaseException) -> str:
    """Where in the project it was raised."""
    frames = [frame for frame in traceback.extract_tb(error.__traceback__) if "site-packages" not in frame.filename]
    ours = [frame for frame in frames if not Path(frame.filename).name.startswith("judge")] or frames
    return " < ".join(f"{Path(frame.filename).name}:{frame.name}" for frame in reversed(ours[-3:]))


def _look(event: str, arguments: tuple[object, ...]) -> None:
    if _watched is None:
        return
    if event in FORBIDDEN:
        _trespasses.append(f"{event} {str(arguments)[:100]}")
    elif event == "open":
        name, _, flags = arguments
        if isinstance(flags, int) and flags & (os.O_WRONLY | os.O_RDWR | os.O_CREAT):
            _see_inside("open", name)
    elif event in WRITES and (isinstance(arguments[-1], str) or arguments[-1] == -1):  # not below an open folder
        _see_inside(event, arguments[0])


def _see_inside(event: str, name: object) -> None:
    if isinstance(name, (str, bytes)) and not Path(os.path.realpath(os.fsdecode(name))).is_relative_to(_watched):
        _trespasses.append(f"{event} {name!r} outside its folder")


def _hook() -> None:
    global _hooked
    if not _hooked:
        sys.addaudithook(_look)  # there is no way to take one back
        _hooked = True


_hooked = False


def _reset_peak() -> int:
    """Forgets the peak of this process's memory where the kernel lets us; its size now, in bytes."""
    with contextlib.suppress(OSError):
        Path("/proc/self/clear_refs").write_text("5")
    return _peak()


def _peak() -> int:
    with contextlib.suppress(OSError):
        status = Path("/proc/self/status").read_text()
        return int(re.search(r"VmHWM:\s+(\d+)", status)[1]) * 1024
    return 0


@contextlib.contextmanager
def limited_memory(room: int = 4 * MOST_BYTES) -> Iterator[None]:
    """Nothing may ask for more than `room` bytes beyond what the process has: then a bomb cannot take the machine."""
    import resource

    now = int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()
    before = resource.getrlimit(resource.RLIMIT_AS)
    resource.setrlimit(resource.RLIMIT_AS, (now + room, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_AS, before)
