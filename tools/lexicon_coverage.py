"""How many words of subtitles each lexicon knows: a Markdown table, one row per lexicon.

    python tools/lexicon_coverage.py data/ve8/srt
    python tools/lexicon_coverage.py film.srt --benchmark ek6 --lexicon combined --lexicon my_words.csv

Files are read as they are given; of a folder all *.srt in it and below. Cues are counted as training finds them:
phrases once, negated words not at all. A lexicon whose package is not installed is left out with a note.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from datasets.benchmarks import BENCHMARKS
from datasets.errors import DataError
from datasets.lexicon import AffectiveLexicon
from datasets.lexicon_sources import SOURCES
from datasets.subtitles import read_subtitles
from datasets.word_forms import split_words
from tools._batch import command

TOOL = "lexicon_coverage"


@dataclass(frozen=True)
class Coverage:
    """What a lexicon finds: cues, different terms, texts with a cue, positive cues, mean degree, emotions (C,)."""

    cues: int
    terms: int
    texts: int
    positive: int
    degree: float
    emotions: np.ndarray


def measure(lexicon: AffectiveLexicon, texts: Sequence[str]) -> Coverage:
    """Finds the cues of all texts; `emotions` is the sum of their distributions."""
    found = [[hit.cue for hit in lexicon.find(text)] for text in texts]
    cues = [cue for hits in found for cue in hits]
    return Coverage(
        len(cues),
        len({cue.term for cue in cues}),
        sum(map(bool, found)),
        sum(cue.sentiment > 0 for cue in cues),
        sum(cue.degree for cue in cues) / max(len(cues), 1),
        sum((cue.emotion for cue in cues), np.zeros(len(lexicon.benchmark.classes))),
    )


def row(name: str, coverage: Coverage, n_words: int, n_texts: int) -> str:
    """A line of the table."""
    cues = max(coverage.cues, 1)
    cells = [
        name, f"{coverage.cues:,}", f"{1000 * coverage.cues / n_words:.0f}", f"{coverage.texts / n_texts:.0%}",
        f"{coverage.terms:,}", f"{coverage.positive / cues:.0%}", f"{coverage.degree:.2f}",
        *(f"{share:.0%}" for share in coverage.emotions / cues),
    ]  # fmt: skip
    return f"| {' | '.join(cells)} |"


def main(argv: Sequence[str] | None = None) -> int:
    """Runs the command; returns its exit status."""
    parser = argparse.ArgumentParser(
        prog=f"{TOOL}.py", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("paths", type=Path, nargs="+", metavar="PATH", help="a subtitle file, or a folder of *.srt")
    parser.add_argument("--benchmark", choices=BENCHMARKS, default="ve8", help="whose emotions to count (ve8)")
    parser.add_argument(
        "--lexicon", action="append", metavar="NAME", help=f"{', '.join(SOURCES)} or a csv file; repeatable (all)"
    )
    args = parser.parse_args(argv)
    return command(TOOL, lambda: _table(args))


def _table(args: argparse.Namespace) -> int:
    files = [file for path in args.paths for file in (sorted(path.rglob("*.srt")) if path.is_dir() else [path])]
    texts = [subtitle.text for file in files for subtitle in read_subtitles(file)]
    n_words = sum(len(split_words(text)) for text in texts)
    if not n_words:
        raise DataError(f"{', '.join(map(str, args.paths))}: no words; give subtitle files or a folder that holds some")
    print(f"{len(files):,} files, {len(texts):,} subtitles, {n_words:,} words\n")
    columns = ["lexicon", "cues", "per 1,000 words", "subtitles with a cue", "terms", "positive", "degree"]
    columns += BENCHMARKS[args.benchmark].classes
    print(f"| {' | '.join(columns)} |\n|{'---|' * len(columns)}")
    for name in args.lexicon or SOURCES:
        try:
            lexicon = AffectiveLexicon(args.benchmark, name)
        except DataError as error:
            if args.lexicon:
                raise
            print(f"{TOOL}: {name} left out: {error}", file=sys.stderr)
            continue
        print(row(name, measure(lexicon, texts), n_words, len(texts)))
    return 0


if __name__ == "__main__":
    sys.exit(main())
