"""Measures verification against known truth: how many of the words that pass are right, how many right ones pass.

    python tools/verify_words.py results/EXPERIMENT/pretrained.pt [MORE CHECKPOINTS] --words data/demo/words.json

The file of known words is {"label/id": [{"word": ..., "start": s, "end": s, "right": true | false}]}, as make_demo.py
writes it. Training videos are judged as pre-training sees them at its end, with their labels; test videos without.
"""

from __future__ import annotations

import argparse
import json
import statistics
import sys
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

import torch
from torch import Tensor
from torch.utils.data import DataLoader

import opts
from core import checkpoint
from core.assembly import new_model, pretrain_settings, step_settings
from core.engine import StepSettings
from core.pretraining import PretrainSettings, passing, teach
from core.stored_run import load_run
from core.verification import STAGES
from datasets.errors import DataError
from datasets.loading import make_loader, still
from datasets.opening import open_loader, read_splits
from datasets.video_batch import VideoBatch
from models.mart import MART
from tools._batch import command

TOOL = "verify_words"
STAGE_NAMES = ("all words", "E1 sentiment", "E2 emotion", "E3 degree")
FIELDS = ("word", "start", "end", "right")
Known = dict[str, list[dict[str, Any]]]


def main(argv: Sequence[str] | None = None) -> int:
    """Runs the command; returns its exit status."""
    parser = argparse.ArgumentParser(prog=f"{TOOL}.py", description="Precision and recall of word verification.")
    parser.add_argument("checkpoints", nargs="+", type=Path, help="pretrained.pt of one or several runs")
    parser.add_argument(
        "--words",
        type=Path,
        required=True,
        help="JSON of the words that are known to be right or wrong, as make_demo.py writes <root>/words.json",
    )
    parser.add_argument("--root_path", type=Path, help="folder of the dataset; default: that of the run")
    args = parser.parse_args(argv)
    return command(TOOL, lambda: _measure(args))


def _measure(args: argparse.Namespace) -> int:
    known = _read_words(args.words)
    rows: dict[str, list[list[tuple[float, float]]]] = {"training": [], "test": []}
    for path in args.checkpoints:
        for split, counts in count_words(path, known, args.root_path).items():
            rows[split].append(rates(counts))
    for split, of_runs in rows.items():
        print(f"\n| stage, {split} videos | precision | recall |\n|---|---|---|")
        for stage, name in enumerate(STAGE_NAMES):
            cells = (_cell([run[stage][i] for run in of_runs]) for i in (0, 1))
            print(f"| {name} | {' | '.join(cells)} |")
    return 0


def _cell(values: list[float]) -> str:
    spread = f" ± {statistics.stdev(values):.3f}" if len(values) > 1 else ""
    return f"{statistics.mean(values):.3f}{spread}"


def _read_words(path: Path) -> Known:
    try:
        known = json.loads(path.read_text(encoding="utf-8"))
        lacking = next((key for words in known.values() for word in words for key in FIELDS if key not in word), None)
    except (OSError, ValueError, AttributeError, TypeError, RecursionError) as error:
        raise DataError(f"{path}: no file of known words ({error}); make_demo.py writes one as words.json") from None
    if lacking is not None:
        raise DataError(
            f"{path}: no file of known words, a word lacks {lacking!r}; make_demo.py writes one as words.json"
        )
    return known


def count_words(path: Path, known: Known, root: Path | None) -> dict[str, Tensor]:
    """int64 (4, 3) of a checkpoint by split: after each stage the words that are right, that pass, that would be."""
    try:
        stored = load_run(path)
        flags = opts.parse([] if root is None else ["--root_path", str(root)], stored["flags"])
    except (checkpoint.CheckpointError, opts.UsageError) as error:
        raise DataError(str(error)) from None
    benchmark, training, test = read_splits(flags)
    model = new_model(flags, len(benchmark.classes), stored)
    if not isinstance(model, MART):
        raise DataError(f"{path}: a baseline verifies no words; give the pretrained.pt of a run with --pretrain_epochs")
    checkpoint.load_weights(model, stored["ema"], path)
    step = step_settings(flags, benchmark.polarity)
    method = pretrain_settings(flags, step)
    model.to(step.device).eval()
    counts = {}
    for split, videos in (("training", training), ("test", test)):
        dataset = still(open_loader(flags, benchmark, videos, split, training=split == "training").dataset)
        loader = make_loader(dataset, batch_size=flags.batch_size, n_threads=flags.n_threads, shuffle=False, seed=0)
        counts[split] = _count(
            model, loader, step, replace(method, unlabelled=method.unlabelled or split == "test"), known
        )
    return counts


@torch.no_grad()
def _count(model: MART, loader: DataLoader, step: StepSettings, method: PretrainSettings, known: Known) -> Tensor:
    counts = torch.zeros(len(STAGES), 3, dtype=torch.int64)
    for batch in loader:
        right = which_are_right(batch, known)
        batch = batch.to(step.device)
        with step.autocast():
            scores = teach(model, batch, method, progress=1.0).scores
        for stage, name in enumerate(STAGES):
            passed = passing(scores, batch, method, name).cpu()
            counts[stage] += torch.stack([(passed & right).sum(), passed.sum(), right.sum()])
    return counts


def which_are_right(batch: VideoBatch, known: Known) -> Tensor:
    """Bool (B, S, K): the cues that the file calls right, by their word and a time that overlaps their segment's."""
    right = torch.zeros_like(batch.cue_valid)
    for video, key in enumerate(batch.keys):
        said = known.get("/".join(key))
        if said is None:
            raise DataError(f"the file of known words lacks {'/'.join(key)}")
        for segment, words in enumerate(batch.cue_words[video]):
            start, end = batch.blocks[video, segment].tolist()
            there = [entry for entry in said if entry["start"] < end and entry["end"] > start]
            for k, word in enumerate(words):
                same = (entry["right"] for entry in there if entry["word"].lower() == word.lower())
                right[video, segment, k] = next(same, False)
    return right


def rates(counts: Tensor) -> list[tuple[float, float]]:
    """Precision and recall of each stage."""
    return [(right / max(passed, 1), right / max(wanted, 1)) for right, passed, wanted in counts.tolist()]


if __name__ == "__main__":
    sys.exit(main())
