"""The folder of one run: flags, log, metrics, plots, TensorBoard and checkpoints. Nothing in it is replaced unasked."""

from __future__ import annotations

import json
import logging
import logging.handlers
import sys
from pathlib import Path
from typing import Any

from tqdm import tqdm

from core import distributed
from core.files import PART, leads_out, remove, remove_parts, write_json

FLAGS, METRICS = "flags.json", "metrics.json"
LAST, BEST, PRETRAINED = "last.pt", "best.pt", "pretrained.pt"
WRITTEN = ("log.txt", "plots", "tensorboard")  # into which a continued run writes; other files it replaces
JOB = "job"  # beside the flags: which torchrun it was


class ExperimentError(ValueError):
    """The results folder cannot be used as asked."""


def check_experiment(folder: Path, *, resume: bool, overwrite: bool) -> None:
    """See that a run may use the folder, before anything is read or written. Raises ExperimentError."""
    if resume:
        if not (folder / LAST).is_file() and not (folder / FLAGS).is_file():
            raise ExperimentError(f"{folder}: nothing to resume, {LAST} is not there; leave out --resume to start it")
        for name in WRITTEN:
            if leads_out(folder / name, folder):
                raise ExperimentError(f"{folder / name}: is a link that leads out of the experiment; remove it")
    elif folder.is_symlink() or (folder.exists() and not folder.is_dir()):
        raise ExperimentError(f"{folder}: is no folder of its own; choose another --expr_name")
    elif folder.exists() and not all(path.name.startswith(PART) for path in folder.iterdir()):
        if not overwrite:
            raise ExperimentError(
                f"{folder}: an experiment of this name exists; continue it with --resume, replace it with --overwrite "
                "or choose another --expr_name"
            )
        if not (folder / FLAGS).is_file():
            raise ExperimentError(f"{folder}: not replaced, since it holds no {FLAGS} and is no experiment of ours")


def open_experiment(folder: Path, flags: dict[str, Any], *, resume: bool) -> None:
    """Make the folder and write its flags; what `check_experiment` let pass is replaced.

    Raises ExperimentError and FileError.
    """
    try:
        if not resume and folder.exists():
            for path in sorted(folder.iterdir(), key=lambda path: path.name != LAST):
                if path.name != FLAGS:  # by which what is left can still be replaced, should this be interrupted
                    remove(path)
        folder.mkdir(parents=True, exist_ok=True)
        for place in (folder, folder / "plots"):
            remove_parts(place)
    except OSError as error:
        raise ExperimentError(f"{folder}: cannot be made ({error.strerror}); choose another --result_path") from None
    write_json(folder / FLAGS, flags | {JOB: distributed.job()})


def read_flags(folder: Path) -> dict[str, Any]:
    """What `open_experiment` wrote. Raises ExperimentError."""
    try:
        flags = json.loads((folder / FLAGS).read_text(encoding="utf-8"))
        if not isinstance(flags, dict):
            raise ValueError("it holds no table")
    except (OSError, ValueError, RecursionError) as error:
        raise ExperimentError(f"{folder / FLAGS}: cannot be read ({error}); start again with --overwrite") from None
    return flags


def is_of_this_job(folder: Path) -> bool:
    """Whether the torchrun that started this process began the experiment, or went on with it."""
    return (folder / FLAGS).is_file() and read_flags(folder).get(JOB) == distributed.job()


class _Kept(logging.handlers.MemoryHandler):
    """Keeps records until there is a file for them."""

    def close(self) -> None:
        """Stays open: every run of this process uses it."""


_before_file = _Kept(capacity=10_000, flushLevel=logging.CRITICAL + 1, flushOnClose=False)


class _BarFriendly(logging.StreamHandler):
    """Log lines above a progress bar, not through it."""

    def emit(self, record: logging.LogRecord) -> None:
        encoding = sys.stdout.encoding or "utf-8"
        # names of files may hold what the terminal cannot show
        tqdm.write(self.format(record).encode(encoding, "backslashreplace").decode(encoding), file=sys.stdout)
        sys.stdout.flush()


class _File(logging.FileHandler):
    """A log that goes on in the terminal alone while the disk is full."""

    def __init__(self, path: Path) -> None:
        super().__init__(path, encoding="utf-8")
        self._told = False

    def handleError(self, record: logging.LogRecord) -> None:
        error = sys.exc_info()[1]
        if not isinstance(error, OSError):
            super().handleError(record)
        elif not self._told:
            self._told = True
            print(f"{self.baseFilename}: cannot be written ({error.strerror}); the run goes on", file=sys.stderr)


def start_log(file: Path | None) -> None:
    """Log to the terminal and, with a time stamp, to `file`; what came before there was a file is added to it."""
    terminal = _BarFriendly()
    terminal.setFormatter(logging.Formatter("%(message)s"))
    handlers: list[logging.Handler] = [terminal]
    if file is None:
        handlers.append(_before_file)
    else:
        handlers.append(_File(file))
        handlers[-1].setFormatter(logging.Formatter("%(asctime)s %(levelname)s %(message)s"))
        _before_file.setTarget(handlers[-1])
        _before_file.flush()
        _before_file.setTarget(None)
    level = logging.INFO if distributed.is_first() else logging.ERROR  # what others would say, the first one says
    logging.basicConfig(level=level, handlers=handlers, force=True)
