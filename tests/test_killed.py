"""kill -9 and SIGTERM at 30 random moments of a run: what goes on from there ends with the same weights and metrics."""

from __future__ import annotations

import os
import random
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path

import pytest

from core.files import PART
from tests import tiny
from tests.children import PROJECT, Child, start
from tests.test_interruption import FLAGS, STATUS, assert_same, result_of

N_KILLS = 30
Start = Callable[[list[str], Path], Child]


class RealChild(Child):
    """`python main.py`, which imports everything for itself."""

    def __init__(self, words: list[str], log: Path) -> None:
        environment = os.environ | {"OMP_NUM_THREADS": "1"}
        command = [sys.executable, "main.py", *words]
        with log.open("ab") as file:
            super().__init__(subprocess.Popen(command, cwd=PROJECT, stdout=file, stderr=file, env=environment), log)

    def status(self, seconds: float) -> int | None:
        with suppress(subprocess.TimeoutExpired):
            self.process.wait(seconds)
        return self.process.returncode


def break_off(words: list[str], folder: Path, draw: random.Random, longest: float, most: int, start: Start) -> int:
    """A run that is ended up to `most` times at random moments, and goes on each time. Says how often."""
    kills = 0
    while True:
        again = ["--resume", "--expr_name", folder.name, "--result_path", str(folder.parent)]
        child = start(again if (folder / "flags.json").exists() else words, folder.with_suffix(".txt"))
        moment, number = draw.uniform(0, longest), draw.choice((signal.SIGKILL, signal.SIGTERM))
        status = child.status(moment) if kills < most else child.wait()
        if status is None:
            child.send(number)
            status = child.wait()
            print(f"{folder.name}: {signal.Signals(number).name} after {moment:.3f} s, status {status}")
            kills += status != 0
        if status == 0:
            return kills
        assert status in (STATUS[number], -number), child.log.read_text()  # before the program listens, it is killed


def test_30_random_moments(tiny_dataset: Path, tmp_path: Path) -> None:
    """In forked processes, each run ended again and again."""
    check(tiny_dataset, tmp_path, 0, most=N_KILLS, start=start)


@pytest.mark.slow
@pytest.mark.timeout(3000)
def test_30_random_moments_of_real_processes(tiny_dataset: Path, tmp_path: Path) -> None:
    """Each run is ended once."""
    check(tiny_dataset, tmp_path, 1, most=1, start=RealChild)


def check(root: Path, results: Path, seed: int, *, most: int, start: Start) -> None:
    def arguments(name: str) -> list[str]:
        flags = FLAGS | {"precision": "auto", "n_threads": 1}
        return tiny.arguments(**flags, root_path=root, result_path=results, expr_name=name)

    begun = time.monotonic()
    assert start(arguments("unbroken"), results / "unbroken.txt").wait() == 0
    longest, unbroken = time.monotonic() - begun, result_of(results / "unbroken")

    def work(number: int) -> int:
        draw, kills, runs = random.Random(f"{seed} {number}"), 0, 0
        while kills < N_KILLS / 2:
            folder = results / f"broken-{number}-{runs}"
            kills += break_off(arguments(folder.name), folder, draw, longest, min(most, N_KILLS // 2 - kills), start)
            assert_same(result_of(folder), unbroken)
            assert list(folder.rglob(f"{PART}*")) == []
            runs += 1
        return kills

    print(f"seed {seed}, an unbroken run takes {longest:.1f} s")
    with ThreadPoolExecutor(2) as pool:
        assert sum(pool.map(work, range(2))) >= N_KILLS
