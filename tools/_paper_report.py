"""A published table beside our own figures, as Markdown."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from core.files import write_text
from datasets.benchmarks import BENCHMARKS
from tools._paper_tables import DIFFERENCES, PaperRow, PaperTable
from tools._run_metrics import METRICS, Measured, Metric, spread, table_line
from tools._split_report import over_splits

SHOWN = METRICS[:4]  # AccS, F1S, AccE, F1E


def published(row: PaperRow) -> str:
    """Its figures in one line."""
    told = ", ".join(f"{metric.name} {row.figures[metric.key]:.2f}" for metric in SHOWN if metric.key in row.figures)
    return told or "a chart, whose values are not here"


def comparison(table: PaperTable, rows: Sequence[Sequence[Measured]], n_seeds: int, command: str) -> str:
    """Two lines for each row, the published figures and ours, and what differs.

    rows: of each row the runs of every split; nothing where its data are not there or it cannot be trained.
    """
    columns = [metric for metric in SHOWN if any(metric.key in row.figures for row in table.rows)]
    columns = columns or [metric for metric in SHOWN if metric.key == "acc_e"]
    lines = [f"## {table.title}", ""]
    lines.append(table_line(["dataset", "row", "figures", *(metric.name for metric in columns), "runs", "differs"]))
    lines.append("|---|---|---|" + "---:|" * len(columns) + "---:|---|")
    for row, splits in zip(table.rows, rows, strict=True):
        figures = [f"{row.figures[metric.key]:.2f}" if metric.key in row.figures else "" for metric in columns]
        lines.append(table_line([BENCHMARKS[row.dataset].name, row.name, "published", *figures, "", ""]))
        ours = [_ours(metric, splits) for metric in columns]
        n_runs = f"{sum(map(len, splits))} of {len(splits) * n_seeds}" if splits else "no data"
        lines.append(
            table_line(["", "", "ours", *ours, n_runs, ", ".join(row.differences)])
            if row.config
            else table_line(["", "", "not implemented", *ours, "", ""])
        )
    lines += [
        "",
        "± is the sample standard deviation: over the splits, where there are several and the seeds of each are",
    ]
    lines += ["averaged first, else over the seeds. What differs from the paper:", ""]
    letters = sorted({letter for row in table.rows for letter in row.differences})
    lines += [f"- {letter}: {DIFFERENCES[letter]}" for letter in letters]
    return "\n".join([*lines, "", "```", command, "```", ""])


def _ours(metric: Metric, splits: Sequence[Measured]) -> str:
    if len(splits) > 1:
        found = over_splits(metric, splits)
        mean, std = found.mean, found.std
    else:
        mean, std = spread([value for runs in splits for value in metric.values(runs)])
    if mean is None:
        return ""
    return f"{mean:.2f}" if std is None else f"{mean:.2f} ± {std:.2f}"


def write_comparison(
    folder: Path, name: str, table: PaperTable, rows: Sequence[Sequence[Measured]], n_seeds: int, command: str
) -> str:
    """Writes <name>.md, which replaces the last at once. Returns the text."""
    text = comparison(table, rows, n_seeds, command)
    write_text(folder / f"{name}.md", text)
    return text
