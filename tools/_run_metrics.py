"""What the runs of a tool measured: its columns, means and spreads, and how they are written."""

from __future__ import annotations

import json
import statistics
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from datasets.errors import DataError

Measured = dict[int, dict[str, Any]]  # of one row: seed -> content of the run's metrics.json


@dataclass(frozen=True)
class Metric:
    """A column: `key` in metrics.json, or in its part `temporal`, times `scale`; `best` chooses among means."""

    name: str
    key: str
    scale: int = 100
    decimals: int = 2
    temporal: bool = False
    best: Callable[..., float | None] = max

    def values(self, runs: Measured) -> list[float]:
        """Of all runs that hold it."""
        parts = (metrics.get("temporal", {}) if self.temporal else metrics for metrics in runs.values())
        return [self.scale * part[self.key] for part in parts if self.key in part]


ACC_E = Metric("AccE", "acc_e")
METRICS = (
    Metric("AccS", "acc_s"),
    Metric("F1S", "f1_s"),
    ACC_E,
    Metric("F1E", "f1_e"),
    Metric("KL", "kl", scale=1, decimals=3, temporal=True, best=min),
    Metric("cosine", "cosine", scale=1, decimals=3, temporal=True),
    Metric("intersection", "intersection", scale=1, decimals=3, temporal=True),
    Metric("mAP", "map", temporal=True),
)


def read_metrics(file: Path) -> dict[str, Any]:
    """Content of a metrics.json. Raises DataError."""
    try:
        return json.loads(file.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        raise DataError(f"{file} cannot be read; remove its folder, and the same command makes it again") from None


def spread(values: Sequence[float]) -> tuple[float | None, float | None]:
    """Mean and sample standard deviation, None where there are too few values."""
    return (
        statistics.fmean(values) if values else None,
        statistics.stdev(values) if len(values) > 1 else None,
    )


def shown(rows: Sequence[Measured]) -> list[Metric]:
    """The columns of a table: those of `temporal` only where a run holds them."""
    return [metric for metric in METRICS if not metric.temporal or any(map(metric.values, rows))]


def table_line(cells: Sequence[str]) -> str:
    """A row of a Markdown table."""
    return f"| {' | '.join(cell.replace('|', chr(92) + '|') for cell in cells)} |"
