"""Trainings by main.py, each an experiment of its own, several side by side, taken up again where they stopped."""

from __future__ import annotations

import argparse
import os
import shlex
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor, as_completed
from dataclasses import dataclass
from pathlib import Path

from core.experiment import LAST, METRICS
from tools._batch import exclusive, positive
from tools._run_flags import fingerprint
from tools._run_metrics import ACC_E, Measured, read_metrics
from tools._workers import cores

PROJECT = Path(__file__).resolve().parents[1]
RUNS = "runs"  # their folder in a tool's --out
Runner = Callable[[list[str], Path, dict[str, str]], int]  # (command, file for its output, environment) -> exit status


@dataclass(frozen=True)
class Run:
    """One variant with one seed; `folder` is its experiment, `words` are its flags."""

    name: str
    folder: Path
    seed: int
    words: list[str]

    @property
    def metrics(self) -> Path:
        return self.folder / METRICS

    @property
    def output(self) -> Path:
        return self.folder.with_name(f"{self.folder.name}.txt")

    def command(self) -> list[str]:
        """From the beginning, or from where the folder shows that it stopped."""
        place = ["--seed", str(self.seed), "--result_path", str(self.folder.parent), "--expr_name", self.folder.name]
        if (self.folder / LAST).is_file():
            place.append("--resume")
        elif self.folder.exists():
            place.append("--overwrite")
        return [sys.executable, str(PROJECT / "main.py"), *self.words, *place]


def plan(variants: Sequence[tuple[str, list[str]]], out: Path, n_seeds: int) -> tuple[list[str], list[Run]]:
    """Fingerprint of each variant (name, flags), and the runs that they need, seed by seed; equal ones run once.

    Each run is an experiment in `out`/runs. Raises DataError.
    """
    keys = [fingerprint(name, words) for name, words in variants]
    first: dict[str, tuple[str, list[str]]] = {}
    for key, variant in zip(keys, variants, strict=True):
        first.setdefault(key, variant)
    runs = [
        Run(name, _experiment(out, key, seed), seed, words)
        for seed in range(n_seeds)
        for key, (name, words) in first.items()
    ]
    return keys, runs


def on_every_split(common: list[str], n_splits: int) -> list[tuple[str, list[str]]]:
    """Variants, name and flags, that differ in --split."""
    return [(f"split {split}", [*common, "--split", str(split)]) for split in range(1, n_splits + 1)]


def measured(out: Path, key: str, n_seeds: int) -> Measured:
    """Metrics of a variant's finished runs, by seed."""
    files = {seed: _experiment(out, key, seed) / METRICS for seed in range(n_seeds)}
    return {seed: read_metrics(file) for seed, file in files.items() if file.is_file()}


def _experiment(out: Path, key: str, seed: int) -> Path:
    return out / RUNS / f"{key}-s{seed}"


class Children:
    """Child processes of several threads, all ended by `stop`.

    folder: lock of the folder that they write to, which they keep if this process is killed.
    """

    def __init__(self, folder: int) -> None:
        self._folder = folder
        self._running: set[subprocess.Popen] = set()
        self._stopped = False
        self._lock = threading.Lock()

    def run(self, words: list[str], output: Path, environment: dict[str, str]) -> int:
        """Exit status of the command; negative if a signal ended it, or if it came after `stop` and never began."""
        with self._lock, output.open("wb") as file:
            if self._stopped:
                return -signal.SIGTERM
            child = subprocess.Popen(
                words, stdin=subprocess.DEVNULL, stdout=file, stderr=subprocess.STDOUT, env=environment,
                pass_fds=[self._folder],
            )  # fmt: skip
            self._running.add(child)
        status = child.wait()
        with self._lock:
            self._running.remove(child)
        return status

    def stop(self) -> None:
        with self._lock:
            self._stopped = True
            for child in self._running:
                child.terminate()


def add_run_arguments(parser: argparse.ArgumentParser, n_seeds: int, out: str) -> None:
    """--seeds, --out and --jobs, with these defaults."""
    parser.add_argument("--seeds", type=positive, default=n_seeds, help=f"runs of each, seeds 0, 1, ... ({n_seeds})")
    parser.add_argument("--out", type=Path, default=Path(out), help=f"folder ({out})")
    parser.add_argument("--jobs", type=positive, default=1, help="runs side by side, which share the cores (1)")


def print_commands(runs: list[Run]) -> int:
    """Those that remain; returns the exit status."""
    for each in runs:
        if not each.metrics.is_file():
            print(shlex.join(each.command()))
    return 0


def carry_out(
    tool: str, runs: list[Run], args: argparse.Namespace, run: Runner | None, write_tables: Callable[[], list[str]]
) -> int:
    """Runs them as `add_run_arguments` says, with the tables at the end; returns the exit status.

    run: in place of child processes. write_tables: writes what there is so far, and gives it as text.
    """
    with exclusive(args.out / RUNS) as lock:
        n_failed = _run_all(tool, runs, args.jobs, lock, run, write_tables)
        print("", *write_tables(), sep="\n")
    return 1 if n_failed else 0


def _run_all(
    tool: str, runs: list[Run], jobs: int, lock: int, run: Runner | None, after_each: Callable[[], object]
) -> int:
    """Runs what is not finished, `jobs` at once, with one line each. Returns how many failed."""
    children = Children(lock)
    environment = os.environ | {"OMP_NUM_THREADS": str(max(1, cores() // jobs))}

    def execute(each: Run) -> tuple[int, int]:
        began = time.monotonic()
        status = (run or children.run)(each.command(), each.output, environment)
        return status, round(time.monotonic() - began)

    todo = [each for each in runs if not each.metrics.is_file()]
    n_done, n_failed = len(runs) - len(todo), 0
    print(f"{tool}: {len(runs)} runs, {n_done} of them finished before", flush=True)
    pool = ThreadPoolExecutor(jobs)
    try:
        futures = {pool.submit(execute, each): each for each in todo}
        for future in as_completed(futures):
            each, (status, seconds) = futures[future], future.result()
            n_done += 1
            line = f"[{n_done}/{len(runs)}] {each.name}, seed {each.seed}"
            if status or not each.metrics.is_file():
                n_failed += 1
                print(
                    f"{line}: FAILED with status {status}: {_last_line(each.output)} (all of it: {each.output})",
                    file=sys.stderr,
                    flush=True,
                )
            else:
                (accuracy,) = ACC_E.values({each.seed: read_metrics(each.metrics)})
                print(f"{line}: AccE {accuracy:.2f} ({seconds // 60} min {seconds % 60} s)", flush=True)
                after_each()
    finally:
        children.stop()
        pool.shutdown(cancel_futures=True)
    return n_failed


def _last_line(file: Path) -> str:
    text = file.read_text(encoding="utf-8", errors="replace") if file.is_file() else ""
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    return lines[-1] if lines else "no output"
