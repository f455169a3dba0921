"""Metrics over the splits of a dataset as Markdown and CSV: mean, standard deviation and 95 % interval."""

from __future__ import annotations

import csv
import io
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from scipy.stats import t as student

from core.files import write_text
from tools._run_metrics import Measured, Metric, shown, spread, table_line


@dataclass(frozen=True)
class OverSplits:
    """One metric: the mean of the seeds of every split, and over these their mean, spread and t interval."""

    of_split: tuple[float | None, ...]  # None where no run is finished
    mean: float | None
    std: float | None
    interval: tuple[float, float] | None


def over_splits(metric: Metric, splits: Sequence[Measured]) -> OverSplits:
    """A metric of the runs of every split."""
    of_split = tuple(spread(metric.values(runs))[0] for runs in splits)
    means = [mean for mean in of_split if mean is not None]
    mean, std = spread(means)
    if std is None:
        return OverSplits(of_split, mean, std, None)
    reach = float(student.ppf(0.975, len(means) - 1)) * std / len(means) ** 0.5
    return OverSplits(of_split, mean, std, (mean - reach, mean + reach))


def markdown(title: str, splits: Sequence[Measured], n_seeds: int, command: str) -> str:
    """The table, in per cent but for KL (nats), cosine and intersection, and what its figures are."""
    n_splits = len(splits)
    header = ["metric", "mean", "standard deviation", "95 % interval"]
    header += [f"split {number}" for number in range(1, n_splits + 1)]
    lines = [f"## {title}", "", table_line(header), "|---|" + "---:|" * (len(header) - 1)]
    for metric in shown(splits):
        found = over_splits(metric, splits)
        low_high = [f"{end:.{metric.decimals}f}" for end in found.interval or ()]
        figures = [
            "" if value is None else f"{value:.{metric.decimals}f}"
            for value in (found.mean, found.std, *found.of_split)
        ]
        lines.append(table_line([metric.name, *figures[:2], " to ".join(low_high), *figures[2:]]))
    n_runs, n_finished = sum(map(len, splits)), sum(map(bool, splits))
    how = (
        f"Mean, sample standard deviation and interval are over the {n_finished} splits that have one; the interval is "
        f"Student's, mean ± t(0.975, {n_finished} - 1) x standard deviation / sqrt({n_finished}). Splits that share "
        "training videos are not independent, so it is rather too narrow."
        if n_finished > 1
        else "Standard deviation and interval need two splits that have one."
    )
    lines += ["", f"{n_runs} of {n_splits * n_seeds} runs. A split's figure is the mean over its seeds. {how}"]
    return "\n".join([*lines, "", "```", command, "```", ""])


def csv_text(splits: Sequence[Measured]) -> str:
    """The same figures as plain numbers, a line per metric."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    names = [f"split_{number}" for number in range(1, len(splits) + 1)]
    writer.writerow(["metric", "mean", "std", "low", "high", *names, "n_runs"])
    for metric in shown(splits):
        found = over_splits(metric, splits)
        figures = (found.mean, found.std, *(found.interval or (None, None)), *found.of_split)
        rounded = ["" if figure is None else round(figure, 6) for figure in figures]
        writer.writerow([metric.name, *rounded, sum(map(len, splits))])
    return text.getvalue()


def write_report(folder: Path, name: str, splits: Sequence[Measured], n_seeds: int, command: str) -> str:
    """Writes <name>.md and <name>.csv; each replaces the last at once. Returns the Markdown."""
    text = markdown(name, splits, n_seeds, command)
    write_text(folder / f"{name}.md", text)
    write_text(folder / f"{name}.csv", csv_text(splits))
    return text
