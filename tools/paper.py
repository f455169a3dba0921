"""The commands behind the published tables, and with --run our figures beside the published ones.

    python tools/paper.py --table 1 --root DATA
    python tools/paper.py --table 3 --table 4 --root DATA --run --seeds 3
    python tools/paper.py --table fig5 --root DATA --run -- --batch_size 12 --accu_step 3

--root holds a folder for each dataset, DATA/ek6, DATA/ve8, DATA/perr, DATA/iemocap and DATA/affwild2, with its
annotation file of the same name, DATA/ek6/ek6.json. A dataset that is not there leaves its rows empty. Where an
annotation holds several splits, all of them are trained on, as tools/cross_validate.py does.

Flags of main.py after -- hold for every run. Each run is an experiment in OUT/runs, named after what decides its
result: rows of equal flags run once, and what is finished is not run again. Stopped or failed runs are taken up by the
same command. OUT/table-NAME.md is rewritten after every run.
"""

from __future__ import annotations

import argparse
import shlex
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import chain, islice
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from core.assembly import PRETRAINED_MODELS
from datasets.annotations import read_annotation
from datasets.benchmarks import BENCHMARKS
from datasets.errors import DataError
from datasets.opening import annotation_file
from models.pretrained import find_default
from tools._batch import OneLineParser, command, split_words
from tools._paper_report import published, write_comparison
from tools._paper_tables import TABLES, PaperRow
from tools._run_flags import parse_flags
from tools._runs import PROJECT, Runner, add_run_arguments, carry_out, measured, on_every_split, plan

TOOL = "paper"


@dataclass(frozen=True)
class Setting:
    """What trains one row: flags of main.py, its annotation file, and how many splits that holds, 0 where it is not."""

    row: PaperRow
    words: list[str]
    file: Path
    n_splits: int

    @property
    def name(self) -> str:
        return f"{self.row.name} on {BENCHMARKS[self.row.dataset].name}"

    def variants(self) -> list[tuple[str, list[str]]]:
        """Name and flags of its runs but for the seeds; none where there are no data."""
        if self.n_splits > 1:
            return [(f"{self.name}, {split}", words) for split, words in on_every_split(self.words, self.n_splits)]
        return [(self.name, self.words)] * self.n_splits


def main(argv: Sequence[str] | None = None, run: Runner | None = None) -> int:
    """Runs the command; returns its exit status. `run` stands in for child processes."""
    words = list(sys.argv[1:] if argv is None else argv)
    return command(TOOL, lambda: _paper(words, run))


def _paper(words: list[str], run: Runner | None) -> int:
    own, common = split_words(words)
    args = _read_arguments(own)
    if not args.root.is_dir():
        raise DataError(f"--root {args.root} is no folder; give the one of the datasets' folders")
    parse_flags("the flags after --", common, reserved=["config", "dataset", "root_path", "split"])
    chosen = {name: [_setting(row, args.root, common) for row in TABLES[name].rows] for name in args.table}
    if not args.run:
        print("\n".join(chain(*(_commands(name, settings, args) for name, settings in chosen.items()))))
        return 0
    _check(list(chain(*chosen.values())))
    keys, runs = plan([each for s in chain(*chosen.values()) for each in s.variants()], args.out, args.seeds)
    typed = shlex.join(["python", "tools/paper.py", *words])

    def write_tables() -> list[str]:
        found = iter([measured(args.out, key, args.seeds) for key in keys])
        texts = []
        for name, settings in chosen.items():
            rows = [list(islice(found, each.n_splits)) for each in settings]
            texts.append(write_comparison(args.out, f"table-{name}", TABLES[name], rows, args.seeds, typed))
        return texts

    return carry_out(TOOL, runs, args, run, write_tables)


def _setting(row: PaperRow, root: Path, common: list[str]) -> Setting:
    words = ["--root_path", str(root / row.dataset), *common]
    if row.config:
        words = ["--config", _near(PROJECT / "configs" / f"{row.config}.toml"), *words]
    file = annotation_file(parse_flags(row.name, words))
    n_splits = read_annotation(file).n_splits if row.config and file.is_file() else 0
    return Setting(row, words, file, n_splits)


def _commands(name: str, settings: list[Setting], args: argparse.Namespace) -> list[str]:
    """A table as lines for a shell: a comment and the commands of each row."""
    lines = [f"# {TABLES[name].title}"]
    for file in _absent(settings):
        lines.append(f"# {file} is not there; of several splits its rows would be those of tools/cross_validate.py")
    for each in settings:
        lines.append(f"# {each.name}: {published(each.row)}")
        if not each.row.config:
            lines.append("# not implemented here")
        elif each.n_splits > 1:
            tool = ["python", _near(PROJECT / "tools" / "cross_validate.py"), "--name", each.row.config]
            tool += ["--seeds", str(args.seeds), "--out", str(args.out)]
            lines.append(shlex.join([*tool, "--", *each.words]))
        else:
            _, runs = plan([(each.name, each.words)], args.out, args.seeds)
            lines += [shlex.join(["python", _near(PROJECT / "main.py"), *run.command()[2:]]) for run in runs]
    return lines


def _absent(settings: list[Setting]) -> list[Path]:
    """Annotation files that are not there."""
    return list(dict.fromkeys(each.file for each in settings if each.row.config and not each.n_splits))


def _check(settings: list[Setting]) -> None:
    """Says which datasets are not there. Raises DataError if all of them or published weights are missing."""
    runnable, absent = [each for each in settings if each.n_splits], _absent(settings)
    if not runnable:
        raise DataError(f"{', '.join(map(str, absent))} not there; --root is the folder of the datasets' folders")
    for each in runnable:
        flags = parse_flags(each.name, each.words)
        for kind in ("visual", "audio", *(["text"] if flags.pretrain_epochs or "t" in flags.modalities else [])):
            if getattr(flags, f"{kind}_weights") is None and find_default(kind, PRETRAINED_MODELS) is None:
                raise DataError(
                    f"no {kind} weights in pretrained_models/: python tools/get_pretrained.py, or -- --{kind}_weights"
                )
    for file in absent:
        print(f"{TOOL}: {file} is not there; its rows stay empty", file=sys.stderr)


def _near(path: Path) -> str:
    """As one would type it here."""
    return str(path.relative_to(Path.cwd()) if path.is_relative_to(Path.cwd()) else path)


def _read_arguments(words: list[str]) -> argparse.Namespace:
    parser = OneLineParser(
        prog=f"{TOOL}.py",
        usage="paper.py --table NAME ... --root FOLDER [--run] [flags] [-- flags of main.py]",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,
    )
    parser.add_argument("--table", action="append", choices=list(TABLES), required=True, help="repeatable")
    parser.add_argument("--root", type=Path, required=True, metavar="FOLDER", help="the datasets' folders lie in it")
    parser.add_argument("--run", action="store_true", help="run the commands and compare, instead of printing them")
    add_run_arguments(parser, n_seeds=1, out="results/paper")
    args = parser.parse_args(words)
    args.table = list(dict.fromkeys(args.table))
    return args


if __name__ == "__main__":
    sys.exit(main())
