"""The one exception of datasets/, and how its messages are made."""

from __future__ import annotations

import reprlib
from pathlib import Path

_REMEDY = "; `python tools/check_dataset.py --root_path DATA` lists all such, --skip_bad leaves them out"
_SHORT = reprlib.Repr()
_SHORT.maxstring = _SHORT.maxother = 80


class DataError(ValueError):
    """A file or an annotation cannot be used. One line: which file, what is wrong, what to do."""

    def __init__(self, message: str) -> None:
        # A DataLoader re-raises a worker's exception with the whole traceback as its message; the last line is ours.
        last_line = (message.strip().splitlines() or [""])[-1]
        super().__init__(last_line.removeprefix(f"{__name__}.DataError: "))


def shown(value: object) -> str:
    """A value that stands in a file, for a message: one short line, whatever it is."""
    return _SHORT.repr(value)


def bad_file(path: Path | str, fault: str) -> DataError:
    """The error for a media file of the dataset, to be raised by the caller."""
    return DataError(f"{path}: {fault}{_REMEDY}")


def without_remedy(error: DataError) -> str:
    """The message of an error, of `bad_file`'s but for what helps in a dataset."""
    return str(error).removesuffix(_REMEDY)
