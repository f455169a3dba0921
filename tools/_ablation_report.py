"""A table of an ablation as Markdown, CSV and bar chart, from the metrics of every row's runs."""

from __future__ import annotations

import csv
import io
from collections.abc import Sequence
from pathlib import Path

from core.files import whole, write_text
from tools._ablation_tables import Table
from tools._run_metrics import ACC_E, Measured, shown, spread, table_line


def markdown(table: Table, rows: Sequence[Measured], command: str) -> str:
    """The table in per cent but for KL (nats), cosine and intersection; the best mean of each column is bold."""
    columns = []
    for metric in shown(rows):
        spreads = [spread(metric.values(runs)) for runs in rows]
        # as they are printed, so that equal figures are equally bold
        means = [None if mean is None else round(mean, metric.decimals) for mean, _ in spreads]
        best = metric.best([mean for mean in means if mean is not None], default=None)
        columns.append(
            [
                _cell(mean, std, metric.decimals, bold=rounded == best)
                for (mean, std), rounded in zip(spreads, means, strict=True)
            ]
        )
    header = [*table.columns, *(metric.name for metric in shown(rows)), "n"]
    lines = [f"## {table.title}", "", table_line(header)]
    lines.append("|" + "---|" * len(table.columns) + "---:|" * (len(header) - len(table.columns)))
    for i, (row, runs) in enumerate(zip(table.rows, rows, strict=True)):
        lines.append(table_line([*row.cells, *(column[i] for column in columns), str(len(runs))]))
    if told := differences(table, rows):
        lines += ["", "Difference in AccE, paired by seed:", "", *(f"- {line}" for line in told)]
    return "\n".join([*lines, "", "```", command, "```", ""])


def _cell(mean: float | None, std: float | None, decimals: int, bold: bool) -> str:
    if mean is None:
        return ""
    text = f"**{mean:.{decimals}f}**" if bold else f"{mean:.{decimals}f}"
    return text if std is None else f"{text} ± {std:.{decimals}f}"


def differences(table: Table, rows: Sequence[Measured]) -> list[str]:
    """AccE of the reference minus that of every other row, over the seeds that both have; one line each."""
    by_name = {row.name: runs for row, runs in zip(table.rows, rows, strict=True)}
    reference = by_name.pop(table.reference, {})
    lines = []
    for name, runs in by_name.items():
        seeds = sorted(reference.keys() & runs.keys())
        mean, std = spread(
            [ACC_E.values({seed: reference[seed]})[0] - ACC_E.values({seed: runs[seed]})[0] for seed in seeds]
        )
        if mean is None:
            continue
        line = f"{table.reference} - {name}: {mean:+.2f}"
        if std is None:
            lines.append(f"{line} (1 seed)")
        else:
            lines.append(f"{line} ± {std / len(seeds) ** 0.5:.2f} (standard error, {len(seeds)} seeds)")
    return lines


def csv_text(table: Table, rows: Sequence[Measured]) -> str:
    """The same figures as plain numbers, each mean and standard deviation in a column of its own."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    names = [f"{metric.name}_{part}" for metric in shown(rows) for part in ("mean", "std")]
    writer.writerow([*table.columns, *names, "n", "flags"])
    for row, runs in zip(table.rows, rows, strict=True):
        figures = [figure for metric in shown(rows) for figure in spread(metric.values(runs))]
        rounded = ["" if figure is None else round(figure, 6) for figure in figures]
        writer.writerow([*row.cells, *rounded, len(runs), row.flags])
    return text.getvalue()


def save_picture(table: Table, rows: Sequence[Measured], path: Path) -> None:
    """PNG: bars of AccE with its standard deviation, of the rows that have runs."""
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot as plt

    found = {row.name: spread(ACC_E.values(runs)) for row, runs in zip(table.rows, rows, strict=True) if runs}
    means = [mean for mean, _ in found.values()]
    figure, axes = plt.subplots(figsize=(1.5 + 1.1 * len(table.rows), 3.4), layout="constrained")
    bars = axes.bar(list(found), means, yerr=[std or 0.0 for _, std in found.values()], capsize=4, color="#4878a8")
    axes.bar_label(bars, fmt="%.2f", padding=2)
    axes.set(xlabel=table.columns[0], ylabel="AccE, %", ylim=(0, 108))
    axes.spines[["top", "right"]].set_visible(False)
    figure.savefig(path, dpi=130, format="png")
    plt.close(figure)


def write_table(folder: Path, name: str, table: Table, rows: Sequence[Measured], command: str) -> str:
    """Writes <name>.md, <name>.csv and, if the table wants one, <name>.png; each replaces the last at once.

    Returns the Markdown.
    """
    text = markdown(table, rows, command)
    write_text(folder / f"{name}.md", text)
    write_text(folder / f"{name}.csv", csv_text(table, rows))
    if table.picture and any(rows):
        with whole(folder / f"{name}.png") as picture:
            save_picture(table, rows, picture)
    return text
