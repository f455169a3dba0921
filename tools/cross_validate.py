"""Trains on every split of a dataset, over several seeds, and writes the mean over splits with its 95 % interval.

    python tools/cross_validate.py --seeds 3 -- --preset base --dataset ve8 --root_path data/ve8
    python tools/cross_validate.py --folds 5 -- --preset base --dataset custom --root_path data/mine

The splits are those of the annotation file: ten of VideoEmotion-8, one per session of IEMOCAP. Where it holds one,
--folds K draws K, stratified, of all its videos, and writes them to OUT, with --dry_run as well; the annotation itself
stays as it is.

Flags of main.py after -- hold for every run. Each run is an experiment in OUT/runs, named after what decides its
result; what is finished is not run again, and stopped or failed runs are taken up by the same command. OUT/NAME.md and
OUT/NAME.csv are rewritten after every run.
"""

from __future__ import annotations

import argparse
import shlex
import sys
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from datasets.annotations import Annotation, benchmark_of, read_annotation, write_annotation
from datasets.errors import DataError
from datasets.opening import annotation_file
from tools._batch import OneLineParser, command, split_words
from tools._folds import with_folds
from tools._run_flags import parse_flags
from tools._runs import Runner, add_run_arguments, carry_out, measured, on_every_split, plan, print_commands
from tools._split_report import write_report

TOOL = "cross_validate"


def main(argv: Sequence[str] | None = None, run: Runner | None = None) -> int:
    """Runs the command; returns its exit status. `run` stands in for child processes."""
    words = list(sys.argv[1:] if argv is None else argv)
    return command(TOOL, lambda: _cross_validate(words, run))


def _cross_validate(words: list[str], run: Runner | None) -> int:
    own, common = split_words(words)
    args = _read_arguments(own)
    flags = parse_flags("the flags after --", common, reserved=["split"])
    file = annotation_file(flags)
    annotation = read_annotation(file)
    benchmark_of(annotation, flags.dataset)
    if args.folds is not None:
        drawn = _draw(annotation, file, args.folds, args.fold_seed)
        path = (args.out / f"{file.stem}-{args.folds}-folds-{args.fold_seed}.json").absolute()
        _write_once(drawn, path, file)
        annotation, common = drawn, [*common, "--annotation_path", str(path)]
    elif annotation.n_splits == 1:
        raise DataError(f"{file}: holds one split; draw several with --folds K")
    keys, runs = plan(on_every_split(common, annotation.n_splits), args.out, args.seeds)
    if args.dry_run:
        return print_commands(runs)
    name = args.name or flags.dataset
    typed = shlex.join(["python", "tools/cross_validate.py", *words])

    def write_table() -> list[str]:
        splits = [measured(args.out, key, args.seeds) for key in keys]
        return [write_report(args.out, name, splits, args.seeds, typed)]

    return carry_out(TOOL, runs, args, run, write_table)


def _draw(annotation: Annotation, file: Path, n_folds: int, seed: int) -> Annotation:
    if annotation.n_splits > 1:
        raise DataError(f"{file}: holds {annotation.n_splits} splits; leave out --folds, which draws others")
    used = [video for video in annotation.videos if video.subset is not None]
    return replace(annotation, videos=tuple(with_folds(used, n_folds, seed)))


def _write_once(drawn: Annotation, path: Path, file: Path) -> None:
    """The drawn splits at `path`, which the runs made so far have read."""
    if not path.exists():
        write_annotation(path, drawn)
    elif read_annotation(path) != drawn:
        raise DataError(f"{path}: holds other folds than {file} gives now; give another --out")


def _read_arguments(words: list[str]) -> argparse.Namespace:
    parser = OneLineParser(
        prog=f"{TOOL}.py",
        usage="cross_validate.py [flags] [-- flags of main.py]",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,
    )
    parser.add_argument("--folds", type=int, metavar="K", help="draw K splits, of an annotation that holds one")
    parser.add_argument("--fold_seed", type=int, default=0, help="of that draw (0)")
    parser.add_argument("--name", default="", help="file and title of the table (that of --dataset)")
    add_run_arguments(parser, n_seeds=3, out="results/cross_validation")
    parser.add_argument("--dry_run", action="store_true", help="print the commands that remain, run nothing")
    args = parser.parse_args(words)
    if args.name and Path(args.name).name != args.name:
        parser.error(f"--name {args.name!r}: a plain name")
    return args


if __name__ == "__main__":
    sys.exit(main())
