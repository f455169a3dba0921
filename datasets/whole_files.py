"""Files that are read as a whole, of which none may be endless or wait for somebody to write it."""

from __future__ import annotations

import errno
import os
import stat
from pathlib import Path


def read_whole(path: Path | str, most: int) -> bytes:
    """Content of a regular file of at most `most` bytes, or of a link to one. Raises OSError, for any other too."""
    with open(path, "rb", opener=_open_at_once) as file:
        status = os.fstat(file.fileno())
        if not stat.S_ISREG(status.st_mode):
            raise OSError(errno.EINVAL, "is a device, a pipe or a socket, no file of data")
        if status.st_size > most:
            raise OSError(errno.EFBIG, f"holds {status.st_size:,} bytes, more than such a file can have ({most:,})")
        return file.read()


def _open_at_once(path: str, flags: int) -> int:
    return os.open(path, flags | getattr(os, "O_NONBLOCK", 0))  # a pipe that nobody writes to would be waited for
