"""Memory and open files of the program and of its reading process stay as they are, however long a run is."""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from functools import partial
from itertools import groupby
from pathlib import Path

import pytest

from tests import tiny
from tests.children import start

PAGE = os.sysconf("SC_PAGE_SIZE")
MOST = 1.05  # times what it was


def resident(pid: int) -> int:
    """Bytes in memory."""
    return int(Path(f"/proc/{pid}/statm").read_text().split()[1]) * PAGE


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
                "program": resident(os.getpid()),
                "reader": resident(int(reader)),
                "files": len(list((place / "fd").iterdir())),
                "reader_files": len(list(Path(f"/proc/{reader}/fd").iterdir())),
            }
            with file.open("a") as lines:
                lines.write(json.dumps(figures) + "\n")
        return reading

    engine._step = step


def run(root: Path, results: Path, epochs: int, every: int, *, pictures: bool) -> dict[str, list[dict[str, int]]]:
    """Figures of both phases, of `epochs` epochs of 16 steps each."""
    flags = {"pretrain_epochs": epochs, "n_epochs": epochs, "batch_size": 1, "n_threads": 1, "skip_bad": True}
    words = tiny.arguments(**flags, root_path=root, result_path=results, expr_name="long")
    change: Callable[[], None] = partial(watch, results / "figures", every)
    child = start(words, results / "log.txt", change=change, pictures=pictures)
    assert child.wait(2400) == 0, child.log.read_text()
    figures = [json.loads(line) for line in (results / "figures").read_text().splitlines()]
    found = {
        "pre-training" if early else "fine-tuning": list(rows)
        for early, rows in groupby(figures, lambda row: row["epoch"] < epochs)
    }
    events = sum(file.stat().st_size for file in (results / "long" / "tensorboard").iterdir())
    print(f"{32 * epochs} steps: TensorBoard {events:,} bytes, log {(results / 'long' / 'log.txt').stat().st_size:,}")
    for phase, rows in found.items():
        for row in (rows[0], rows[len(rows) // 2], rows[-1]):
            print(phase, {name: f"{value:,}" for name, value in row.items()})
    return found


def assert_flat(rows: list[dict[str, int]]) -> None:
    """What the last row has is not much above what the first one has."""
    first, last = rows[0], rows[-1]
    for name in ("program", "reader"):
        assert last[name] < MOST * first[name], (name, first, last)
    for name in ("files", "reader_files"):
        assert last[name] <= first[name], (name, first, last)


def test_200_steps_take_no_more_memory_than_the_first_ones(tiny_dataset: Path, tmp_path: Path) -> None:
    for rows in run(tiny_dataset, tmp_path, 7, 16, pictures=False).values():
        assert_flat(rows[1:])  # what an epoch needs is there after the first one


@pytest.mark.slow
@pytest.mark.timeout(3000)
def test_2000_steps_take_no_more_memory_than_the_first_ones(tiny_dataset: Path, tmp_path: Path) -> None:
    """With all pictures that TensorBoard gets."""
    for rows in run(tiny_dataset, tmp_path, 63, 16, pictures=True).values():
        assert_flat(rows[3:])
