"""tools/_ablation_report.py: the figures of a table, worked by hand."""

from __future__ import annotations

import csv
from pathlib import Path

import pytest
from PIL import Image

import opts
from tools._ablation_report import csv_text, differences, markdown, write_table
from tools._ablation_tables import Table, named, tables
from tools._run_metrics import spread


def measured(acc_e: float, **temporal: float) -> dict:
    """The part of a metrics.json that tables show."""
    metrics = {"acc_s": 0.9, "f1_s": 0.8, "acc_e": acc_e, "f1_e": 0.25, "n_videos": 160}
    return metrics | ({"temporal": temporal} if temporal else {})


def test_mean_and_sample_standard_deviation() -> None:
    assert spread([50.0, 60.0, 70.0]) == (60.0, 10.0)
    assert spread([50.0]) == (50.0, None)
    assert spread([]) == (None, None)


BUDGET = Table("Two", ("model",), named({"base | line": "--n_epochs 3", "MART": "", "never run": ""}), reference="MART")
RUNS = [
    {0: measured(0.5), 1: measured(0.6), 2: measured(0.7), 3: measured(0.1)},
    {0: measured(0.6, kl=2.5, cosine=0.4, intersection=0.3, map=0.325), 1: measured(0.8), 2: measured(0.75)},
    {},
]


def test_markdown_by_hand() -> None:
    lines = markdown(BUDGET, RUNS, "python tools/ablate.py --table budget").splitlines()
    assert lines == [
        "## Two",
        "",
        "| model | AccS | F1S | AccE | F1E | KL | cosine | intersection | mAP | n |",
        "|---|---:|---:|---:|---:|---:|---:|---:|---:|---:|",
        # (50, 60, 70, 10): deviations 2.5, 12.5, 22.5, -37.5, squares 2075 in all, / 3, root
        "| base \\| line | **90.00** ± 0.00 | **80.00** ± 0.00 | 47.50 ± 26.30 | **25.00** ± 0.00 |  |  |  |  | 4 |",
        "| MART | **90.00** ± 0.00 | **80.00** ± 0.00 | **71.67** ± 10.41 | **25.00** ± 0.00 "
        "| **2.500** | **0.400** | **0.300** | **32.50** | 3 |",
        "| never run |  |  |  |  |  |  |  |  | 0 |",
        "",
        "Difference in AccE, paired by seed:",
        "",
        # 10, 20, 5: mean 11.67, standard deviation 7.64, by root 3
        "- MART - base | line: +11.67 ± 4.41 (standard error, 3 seeds)",
        "",
        "```",
        "python tools/ablate.py --table budget",
        "```",
    ]


def test_the_lowest_kl_is_the_best_and_temporal_columns_need_values() -> None:
    table = Table("t", ("x",), named({"a": "", "b": ""}))
    both = [{0: measured(0.5, kl=kl, cosine=0.1, intersection=0.1, map=0.1)} for kl in (2.0, 2.5)]
    text = markdown(table, both, "")
    assert "**2.000**" in text and " 2.500 " in text
    assert "KL" not in markdown(table, [{0: measured(0.5)}, {}], "") and "paired" not in text


def test_csv_by_hand() -> None:
    header, first, second, third = csv.reader(csv_text(BUDGET, RUNS).splitlines())
    assert header[:5] == ["model", "AccS_mean", "AccS_std", "F1S_mean", "F1S_std"] and header[-2:] == ["n", "flags"]
    values = dict(zip(header, first, strict=True))
    assert (values["model"], values["n"], values["flags"], values["KL_mean"]) == (
        "base | line",
        "4",
        "--n_epochs 3",
        "",
    )
    assert float(values["AccE_mean"]) == pytest.approx(47.5)
    assert float(values["AccE_std"]) == pytest.approx((2075 / 3) ** 0.5, abs=1e-6)
    values = dict(zip(header, second, strict=True))
    assert (values["KL_mean"], values["KL_std"], values["mAP_mean"], values["flags"]) == ("2.5", "", "32.5", "")
    assert third == ["never run", *[""] * 16, "0", ""]


def test_differences_pair_the_seeds_that_both_have() -> None:
    assert differences(BUDGET, [{1: measured(0.75), 7: measured(0)}, {0: measured(0), 1: measured(0.5)}, {}]) == [
        "MART - base | line: -25.00 (1 seed)"
    ]
    assert differences(BUDGET, [{}, {0: measured(0.5)}, {}]) == []


def test_the_picture_is_drawn_from_what_is_there(tmp_path: Path) -> None:
    table = tables(opts.parse([]))["verification"]
    write_table(tmp_path, "verification", table, [{}] * 4, "")
    assert not (tmp_path / "verification.png").exists()
    write_table(tmp_path, "verification", table, [{0: measured(0.5), 1: measured(0.6)}, {0: measured(0.4)}, {}, {}], "")
    assert Image.open(tmp_path / "verification.png").width > 300
    assert sorted(p.name for p in tmp_path.iterdir()) == [f"verification.{e}" for e in ("csv", "md", "png")]
