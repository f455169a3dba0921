"""The folder of one run: flags, log, metrics, plots, TensorBoard and checkpoints. Nothing in it is replaced unasked."""

from __future__ import annotations

import json
import logging
import logging.handlers
import shutil
import sys
from pathlib import Path
from typing import Any

from tqdm import tqdm

from core import distributed

FLAGS, METRICS = "flags.json", "metrics.json"
LAST, BEST, PRETRAINED = "last.pt", "best.pt", "pretrained.pt"


class ExperimentError(ValueError):
    """The results folder cannot be used as asked."""


def check_experiment(folder: Path, *, resume: bool, overwrite: bool) -> None:
    """See that a run may use the folder, before anything is read or written. Raises ExperimentError."""
    if resume:
        if not (folder / LAST).is_file():
            raise ExperimentError(f"{folder}: nothing to resume, {LAST} is not there; leave out --resume to start it")
    elif folder.is_symlink() or (folder.exists() and not folder.is_dir()):
        raise ExperimentError(f"{folder}: is no folder of its own; choose another --expr_name")
    elif folder.exists() and any(folder.iterdir()):
        if not overwrite:
            raise ExperimentError(
                f"{folder}: an experiment of this name exists; continue it with --resume, replace it with --overwrite "
                "or choose another --expr_name"
            )
        if not (folder / FLAGS).is_file():
            raise ExperimentError(f"{folder}: not replaced, since it holds no {FLAGS} and is no experiment of ours")


def open_experiment(folder: Path, flags: dict[str, Any], *, resume: bool) -> None:
    """Make the folder and write its flags; what `check_experiment` let pass is replaced. Raises ExperimentError."""
    try:
        if not resume and folder.exists():
            shutil.rmtree(folder)
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise ExperimentError(f"{folder}: cannot be made ({error.strerror}); choose another --result_path") from None
    write_json(folder / FLAGS, flags)


def write_json(path: Path, content: dict[str, Any] | list[dict[str, Any]]) -> None:
    """As `write_text` does. Raises ExperimentError."""
    write_text(path, json.dumps(content, indent=2, ensure_ascii=False, default=str) + "\n")


def write_text(path: Path, text: str) -> None:
    """Write beside `path`, then rename. Raises ExperimentError."""
    temporary = path.with_name(f".{path.name}.part")
    try:
        # a file name may hold bytes that are no UTF-8, which Python knows as code points and JSON as \udcNN
        temporary.write_text(text, encoding="utf-8", errors="backslashreplace")
        temporary.replace(path)
    except OSError as error:
        raise ExperimentError(f"{path}: cannot be written ({error.strerror})") from None


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


def start_log(file: Path | None) -> None:
    """Log to the terminal and, with a time stamp, to `file`; what came before there was a file is added to it."""
    terminal = _BarFriendly()
    terminal.setFormatter(logging.Formatter("%(message)s"))
    handlers: list[logging.Handler] = [terminal]
    if file is None:
        handlers.append(_before_file)
    else:
        handlers.append(logging.FileHandler(file, encoding="utf-8"))
        handlers[-1].setFormatter(logging.Formatter("%(asctime)s %(levelname)s %(message)s"))
        _before_file.setTarget(handlers[-1])
        _before_file.flush()
        _before_file.setTarget(None)
    level = logging.INFO if distributed.is_first() else logging.ERROR  # what others would say, the first one says
    logging.basicConfig(level=level, handlers=handlers, force=True)
