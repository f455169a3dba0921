"""The tables that tools/ablate.py knows, as plain data, and what the flags of a row come to.

"Paper" is Zhang et al., CVPR 2024.
"""

from __future__ import annotations

import argparse
import shlex
from collections.abc import Sequence
from dataclasses import dataclass

from datasets.errors import DataError

BASELINE = "--pretrain_epochs 0"


@dataclass(frozen=True)
class Row:
    """One variant: its name in messages, what stands in the label columns, and its flags of main.py in one string."""

    name: str
    cells: tuple[str, ...]
    flags: str


@dataclass(frozen=True)
class Table:
    """Rows and the names of their label columns.

    reference: name of the row whose differences in AccE to all others are told under the table.
    picture: the table is saved as a bar chart, too.
    """

    title: str
    columns: tuple[str, ...]
    rows: tuple[Row, ...]
    reference: str = ""
    picture: bool = False


def named(rows: dict[str, str]) -> tuple[Row, ...]:
    """Rows of one label column, name -> flags."""
    return tuple(Row(name, (name,), flags) for name, flags in rows.items())


def tables(common: argparse.Namespace) -> dict[str, Table]:
    """All tables by name. `common` are the flags of all runs: their numbers of epochs are those that rows share out."""
    epochs, finetuning = common.pretrain_epochs + common.n_epochs, common.n_epochs
    return {
        "budget": Table(
            "MART and the baseline",
            ("model",),
            named(
                {
                    "baseline, same fine-tuning": f"{BASELINE} --n_epochs {finetuning}",
                    "baseline, same epochs in all": f"{BASELINE} --n_epochs {epochs}",
                    "MART": "",
                }
            ),
            reference="MART",
        ),
        "components": Table(
            "Verification and masking (Tab. 3 of the paper)",
            ("verification", "masking"),
            (
                Row("neither", ("", ""), "--verify none --masking random"),
                Row("verification only", ("x", ""), "--masking random"),
                Row("masking only", ("", "x"), "--verify none"),
                Row("both", ("x", "x"), ""),
            ),
        ),
        "masking": Table(
            "Which patches are hidden (Tab. 4 of the paper)",
            ("masking",),
            named({name: f"--masking {name}" for name in ("frame", "random", "tube", "attention", "emotion")}),
        ),
        "target": Table(
            "What is recovered (Tab. 5 of the paper)",
            ("target",),
            named(
                {
                    "pixel": "--target pixel",
                    "HOG": "--target hog",
                    "temporal distribution": "",
                }
            ),
        ),
        "verification": Table(
            "Last stage of verification (Fig. 5 of the paper)",
            ("verification",),
            named({name: f"--verify {name}" for name in ("none", "sentiment", "emotion", "degree")}),
            picture=True,
        ),
        "parts": Table(
            "Each part switched off",
            ("model",),
            named(
                {
                    "everything on": "",
                    "no verification": "--verify none",
                    "no masking": "--masking none",
                    "no contrast": "--weight_tacl 0",
                    "no distribution": "--weight_ted 0 --finetune_ted 0",
                    "no patches": "--weight_patch 0",
                    "no words in the target": "--cue_mix 0",
                    "distribution not kept in fine-tuning": "--finetune_ted 0",
                }
            ),
        ),
        "labels": Table(
            "Labelled videos a class; 4 and 8 of 16 take as many steps as all",
            ("videos a class", "model"),
            tuple(
                Row(f"{model}, {n or 'all'} videos a class", (str(n or "all"), model), f"{flags} --train_per_class {n}")
                for n, times in ((4, 4), (8, 2), (0, 1))
                for model, flags in (
                    ("baseline", f"{BASELINE} --n_epochs {epochs * times}"),
                    ("MART", f"--pretrain_epochs {common.pretrain_epochs * times} --n_epochs {finetuning * times}"),
                )
            ),
        ),
    }


def table_of(title: str, variants: Sequence[str]) -> Table:
    """The table of variants "NAME: FLAGS". Raises DataError."""
    rows: dict[str, str] = {}
    for text in variants:
        name, colon, flags = (part.strip() for part in text.partition(":"))
        if not name or not colon:
            raise DataError(f"--variant {text!r}: a name, a colon and flags of main.py, like 'no words: --cue_mix 0'")
        if name in rows:
            raise DataError(f"--variant {text!r}: there is another one of this name")
        rows[name] = flags
    return Table(title, ("variant",), named(rows))


def words_of(row: Row) -> list[str]:
    """The row's flags as arguments. Raises DataError."""
    try:
        return shlex.split(row.flags)
    except ValueError as error:
        raise DataError(f"{row.name}: {row.flags}: {error}") from None
