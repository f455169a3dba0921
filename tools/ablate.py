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
import shlex
import sys
from collections.abc import Sequence
from itertools import islice
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from tools._ablation_report import write_table
from tools._ablation_tables import table_of, tables, words_of
from tools._batch import OneLineParser, command, split_words
from tools._run_flags import parse_flags
from tools._runs import Runner, add_run_arguments, carry_out, measured, plan, print_commands

TOOL = "ablate"


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
    variants = [(row.name, [*common, *words_of(row)]) for table in chosen.values() for row in table.rows]
    keys, runs = plan(variants, args.out, args.seeds)
    if args.dry_run:
        return print_commands(runs)
    typed = shlex.join(["python", "tools/ablate.py", *words])

    def write_tables() -> list[str]:
        rows = iter([measured(args.out, key, args.seeds) for key in keys])
        return [
            write_table(args.out, name, table, list(islice(rows, len(table.rows))), typed)
            for name, table in chosen.items()
        ]

    return carry_out(TOOL, runs, args, run, write_tables)


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
    add_run_arguments(parser, n_seeds=5, out="results/ablation")
    parser.add_argument("--dry_run", action="store_true", help="print the commands that remain, run nothing")
    args = parser.parse_args(words)
    if args.variant and (args.name in names or not args.name or Path(args.name).name != args.name):
        parser.error(f"--name {args.name!r}: a plain name that is none of {', '.join(names)}")
    return args


if __name__ == "__main__":
    sys.exit(main())
