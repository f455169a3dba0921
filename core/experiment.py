"""The folder of one run: flags, log, metrics, plots, TensorBoard and checkpoints. Nothing in it is replaced unasked."""

from __future__ import annotations

import json
import logging
import shutil
import sys
from pathlib import Path
from typing import Any

from tqdm import tqdm

FLAGS, METRICS, LAST, BEST = "flags.json", "metrics.json", "last.pt", "best.pt"


class ExperimentError(ValueError):
    """The results folder cannot be used as asked."""


def open_experiment(folder: Path, *, resume: bool, overwrite: bool) -> None:
    """Make the folder of a new run, or check that one can be continued. Raises ExperimentError."""
    if resume:
        if not (folder / LAST).is_file():
            raise ExperimentError(f"{folder}: nothing to resume, {LAST} is not there; leave out --resume to start it")
        return
    if folder.exists() and any(folder.iterdir()):
        if not overwrite:
            raise ExperimentError(
                f"{folder}: an experiment of this name exists; continue it with --resume, replace it with --overwrite "
                "or choose another --expr_name"
            )
        if not (folder / FLAGS).is_file():
            raise ExperimentError(f"{folder}: not replaced, since it holds no {FLAGS} and is no experiment of ours")
        shutil.rmtree(folder)
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise ExperimentError(f"{folder}: cannot be made ({error.strerror}); choose another --result_path") from None


def write_json(path: Path, content: dict[str, Any]) -> None:
    """Write beside `path`, then rename. Raises ExperimentError."""
    temporary = path.with_name(f".{path.name}.part")
    try:
        temporary.write_text(json.dumps(content, indent=2, ensure_ascii=False, default=str) + "\n", encoding="utf-8")
        temporary.replace(path)
    except OSError as error:
        raise ExperimentError(f"{path}: cannot be written ({error.strerror})") from None


class _BarFriendly(logging.StreamHandler):
    """Log lines above a progress bar, not through it."""

    def emit(self, record: logging.LogRecord) -> None:
        tqdm.write(self.format(record), file=sys.stdout)
        sys.stdout.flush()


def start_log(file: Path | None) -> None:
    """Log to the terminal and, with a time stamp, to `file`."""
    terminal = _BarFriendly()
    terminal.setFormatter(logging.Formatter("%(message)s"))
    handlers: list[logging.Handler] = [terminal]
    if file is not None:
        handlers.append(logging.FileHandler(file, encoding="utf-8"))
        handlers[-1].setFormatter(logging.Formatter("%(asctime)s %(levelname)s %(message)s"))
    logging.basicConfig(level=logging.INFO, handlers=handlers, force=True)
