"""Memory and open files of the program and of its reading process stay as they are, however long a run is."""

from __future__ import annotations

import json
import os
import re
from collections.abc import Callable
from functools import partial
from itertools import groupby
from pathlib import Path

import pytest

from core.trainer import MOST_SHOWN
from main import N_SHOWN
from tests import tiny
from tests.children import start

MOST = 1.05  # times what it was
MOST_DRAWING = 1.10  # matplotlib keeps what it has once needed: of 827 MB 860 in 300 steps, and 872 in 1000
LOG_LINE = 300  # bytes: one for each epoch
SCALAR, SCALARS = 100, 20  # bytes of a value in TensorBoard, and the most values of a step or an epoch
PICTURE = 120_000  # bytes, where they have 85,000


def peak(pid: int) -> int:
    """Most bytes that a process has had in memory since this was last asked."""
    place = Path(f"/proc/{pid}")
    found = int(re.search(r"VmHWM:\s+(\d+)", (place / "status").read_text())[1]) * 1024
    (place / "clear_refs").write_text("5")
    return found


def watch(file: Path, every: int) -> None:
    """Writes a line of figures behind every so many steps of the run."""
    from core import engine

    take, place = engine._step, Path("/proc/self")

    def step(state: engine.TrainState, *arguments: object) -> object:
        reading = take(state, *arguments)
        if state.step % every == 0:
            (reader,) = (place / f"task/{os.getpid()}/children").read_text().split()[:1]
            figures = {
                "step": state.step,
                "epoch": state.epoch,
                "program": peak(os.getpid()),
                "reader": peak(int(reader)),
                "files": len(list((place / "fd").iterdir())),
                "reader_files": len(list(Path(f"/proc/{reader}/fd").iterdir())),
            }
            with file.open("a") as lines:
                lines.write(json.dumps(figures) + "\n")
        return reading

    engine._step = step


def assert_bounded(folder: Path, epochs: int, *, pictures: bool) -> None:
    """Log and TensorBoard hold what is said of each epoch and of every tenth step, and no more pictures than some."""
    log = (folder / "log.txt").stat().st_size
    events = sum(file.stat().st_size for file in (folder / "tensorboard").iterdir())
    print(f"{epochs} epochs: TensorBoard {events:,} bytes, log {log:,}")
    readings = epochs + 16 * epochs // 10
    n_pictures = N_SHOWN * (MOST_SHOWN + 1) + 10 if pictures else 0  # of pre-training, and of the test split
    assert log < 5000 + LOG_LINE * epochs
    assert events < 5000 + readings * SCALARS * SCALAR + n_pictures * PICTURE


def run(root: Path, results: Path, epochs: int, every: int, *, pictures: bool) -> dict[str, list[dict[str, int]]]:
    """Figures of both phases, of `epochs` epochs of 16 steps each.

    In float32: with bfloat16 on a CPU, PyTorch keeps a compiled product for each shape, and masks change the shapes.
    """
    flags = {"pretrain_epochs": epochs, "n_epochs": epochs, "batch_size": 1, "n_threads": 1, "precision": "fp32"}
    words = tiny.arguments(**flags, root_path=root, result_path=results, expr_name="long")
    change: Callable[[], None] = partial(watch, results / "figures", every)
    child = start(words, results / "log.txt", change=change, pictures=pictures)
    assert child.wait(2400) == 0, child.log.read_text()
    figures = [json.loads(line) for line in (results / "figures").read_text().splitlines()]
    found = {
        "pre-training" if early else "fine-tuning": list(rows)
        for early, rows in groupby(figures, lambda row: row["epoch"] < epochs)
    }
    assert_bounded(results / "long", 2 * epochs, pictures=pictures)
    for phase, rows in found.items():
        for row in (rows[0], rows[len(rows) // 2], rows[-1]):
            print(phase, {name: f"{value:,}" for name, value in row.items()})
    return found


def assert_flat(rows: list[dict[str, int]], *, drawing: bool = False) -> None:
    """No row has much more than the first one. drawing: the program draws pictures all along."""
    for name, most in (("program", MOST_DRAWING if drawing else MOST), ("reader", MOST)):
        assert max(row[name] for row in rows) < most * rows[0][name], (name, [row[name] for row in rows])
    for name in ("files", "reader_files"):
        assert max(row[name] for row in rows) <= rows[0][name], (name, [row[name] for row in rows])


def test_200_steps_take_no_more_memory_than_the_first_ones(tiny_dataset: Path, tmp_path: Path) -> None:
    for rows in run(tiny_dataset, tmp_path, 7, 16, pictures=False).values():
        assert_flat(rows[1:])  # what an epoch needs is there after the first one


@pytest.mark.slow
@pytest.mark.timeout(3000)
def test_2000_steps_take_no_more_memory_than_the_first_ones(tiny_dataset: Path, tmp_path: Path) -> None:
    """With all pictures that TensorBoard gets, which are of pre-training."""
    for phase, rows in run(tiny_dataset, tmp_path, 63, 16, pictures=True).items():
        assert_flat(rows[3:], drawing=phase == "pre-training")
