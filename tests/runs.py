"""Runners for the tools that train: one that stands in for main.py, and main.py itself without a new process."""

from __future__ import annotations

import csv
from collections.abc import Callable
from pathlib import Path

import main
import opts
from core.experiment import METRICS, write_json


class FakeMain:
    """Keeps the commands, and leaves of a run what a finished one leaves: AccE 50 + 10 seed + (split - 1) per cent."""

    def __init__(self, status: Callable[[list[str]], int] = lambda command: 0) -> None:
        self.commands: list[list[str]] = []
        self.environments: list[dict[str, str]] = []
        self.status = status

    def __call__(self, command: list[str], output: Path, environment: dict[str, str]) -> int:
        self.commands.append(command)
        self.environments.append(environment)
        flags = opts.parse(command[2:])
        output.write_text("loading\nerror: the disk is full\n\n")
        folder = flags.result_path / flags.expr_name
        folder.mkdir(exist_ok=True)
        if status := self.status(command):
            return status
        acc_e = 0.5 + flags.seed / 10 + (flags.split - 1) / 100
        write_json(folder / METRICS, {"acc_s": 0.9, "f1_s": 0.8, "acc_e": acc_e, "f1_e": 0.25})
        return 0

    def seen(self, flag: str) -> list[tuple[object, int]]:
        """The flag's value and the seed of every run."""
        return [(getattr(flags, flag), flags.seed) for flags in (opts.parse(command[2:]) for command in self.commands)]


def run_here(command: list[str], output: Path, environment: dict[str, str]) -> int:
    """Runs the command in this process."""
    return main.main(command[2:])


def rows_of(path: Path) -> list[dict[str, str]]:
    with path.open(encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))
