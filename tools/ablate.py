"""Runs a table of an ablation, several variants over several seeds, and writes it with mean and standard deviation.

    python tools/ablate.py --table components --seeds 5 --jobs 2
    python tools/ablate.py --variant "MART:" --variant "mean pooling: --temporal_pool mean" --name pooling --seeds 3
    python tools/ablate.py --table budget --seeds 5 -- --root_path data/demo --n_epochs 4

Flags of main.py after -- hold for every run, those of a variant come on top. Each run is an experiment in OUT/runs,
named after what decides its result: a variant of several tables runs once, and what is finished is not run again.
Stopped or failed runs are taken up by the same command. OUT/NAME.md and OUT/NAME.csv are rewritten after every run.
"""

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

PROJECT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(PROJECT))

from core.experiment import LAST, METRICS
from tools._ablation_report import Measured, read_metrics, write_table
from tools._ablation_tables import Table, fingerprint, parse_flags, table_of, tables, words_of
from tools._batch import OneLineParser, command, exclusive, positive, split_words
from tools._workers import cores

TOOL = "ablate"
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


def main(argv: Sequence[str] | None = None, run: Runner | None = None) -> int:
    """Runs the command; returns its exit status. `run` stands in for child processes."""
    words = list(sys.argv[1:] if argv is None else argv)
    return command(TOOL, lambda: _ablate(words, run))


def _ablate(words: list[str], run: Runner | None) -> int:
    own, common = split_words(words)
    known = tables(parse_flags("the flags after --", common))
    args = _read_arguments(own, list(known))
    if args.variant:
        chosen = {args.name: table_of(args.name, args.variant)}
    else:
        chosen = {name: known[name] for name in (known if "all" in args.table else args.table)}
    folder: Path = args.out / "runs"
    keys, runs = plan(chosen, common, folder, args.seeds)
    if args.dry_run:
        for each in runs:
            if not each.metrics.is_file():
                print(shlex.join(each.command()))
        return 0
    typed = shlex.join(["python", "tools/ablate.py", *words])

    def write_tables() -> list[str]:
        return [
            write_table(args.out, name, table, [_measured(folder, key, args.seeds) for key in keys[name]], typed)
            for name, table in chosen.items()
        ]

    with exclusive(folder) as lock:
        n_failed = _run_all(runs, args.jobs, lock, run, write_tables)
        print("", *write_tables(), sep="\n")
    return 1 if n_failed else 0


def plan(
    chosen: dict[str, Table], common: list[str], folder: Path, n_seeds: int
) -> tuple[dict[str, list[str]], list[Run]]:
    """Fingerprints of every table's rows, and the runs that they need, seed by seed. Raises DataError."""
    keys: dict[str, list[str]] = {}
    variants: dict[str, tuple[str, list[str]]] = {}
    for table_name, table in chosen.items():
        keys[table_name] = []
        for row in table.rows:
            words = [*common, *words_of(row)]
            key = fingerprint(row.name, words)
            keys[table_name].append(key)
            variants.setdefault(key, (row.name, words))
    runs = [
        Run(name, folder / f"{key}-s{seed}", seed, words)
        for seed in range(n_seeds)
        for key, (name, words) in variants.items()
    ]
    return keys, runs


def _measured(folder: Path, key: str, n_seeds: int) -> Measured:
    """Metrics of a variant's finished runs, by seed."""
    files = {seed: folder / f"{key}-s{seed}" / METRICS for seed in range(n_seeds)}
    return {seed: read_metrics(file) for seed, file in files.items() if file.is_file()}


def _read_arguments(words: list[str], names: list[str]) -> argparse.Namespace:
    parser = OneLineParser(
        prog=f"{TOOL}.py",
        usage="ablate.py (--table NAME | --variant 'NAME: FLAGS') ... [flags] [-- flags of main.py]",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,
    )
    group = parser.add_mutually_exclusive_group(required=True)
    group.add_argument("--table", action="append", choices=[*names, "all"], help="a known table; repeatable")
    group.add_argument("--variant", action="append", metavar="'NAME: FLAGS'", help="a row of a new table; repeatable")
    parser.add_argument("--name", default="variants", help="file and title of the table of --variant (variants)")
    parser.add_argument("--seeds", type=positive, default=5, help="runs of a variant, seeds 0, 1, ... (5)")
    parser.add_argument("--out", type=Path, default=Path("results/ablation"), help="folder (results/ablation)")
    parser.add_argument("--jobs", type=positive, default=1, help="runs side by side, which share the cores (1)")
    parser.add_argument("--dry_run", action="store_true", help="print the commands that remain, run nothing")
    args = parser.parse_args(words)
    if args.variant and (args.name in names or not args.name or Path(args.name).name != args.name):
        parser.error(f"--name {args.name!r}: a plain name that is none of {', '.join(names)}")
    return args


def _run_all(runs: list[Run], jobs: int, lock: int, run: Runner | None, after_each: Callable[[], object]) -> int:
    """Runs what is not finished, `jobs` at once, with one line each. Returns how many failed."""
    children = Children(lock)
    environment = os.environ | {"OMP_NUM_THREADS": str(max(1, cores() // jobs))}

    def execute(each: Run) -> tuple[int, int]:
        began = time.monotonic()
        status = (run or children.run)(each.command(), each.output, environment)
        return status, round(time.monotonic() - began)

    todo = [each for each in runs if not each.metrics.is_file()]
    n_done, n_failed = len(runs) - len(todo), 0
    print(f"{TOOL}: {len(runs)} runs, {n_done} of them finished before", flush=True)
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
                accuracy = 100 * read_metrics(each.metrics)["acc_e"]
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


if __name__ == "__main__":
    sys.exit(main())
