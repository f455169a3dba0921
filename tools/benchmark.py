"""Measures where the time of training goes: the peak of this machine, reading, the steps of each phase, both together.

    python tools/benchmark.py
    python tools/benchmark.py --json FILE --parts peak,pretrain,finetune -- --preset base --device cuda --accu_step 1

Flags of main.py after -- choose model, data and device. Times are medians of whole optimiser steps, those of `pretrain`
and `finetune` on noise that lies on the device. The share of the peak compares the operations of matrix products,
convolutions and attention in a step with matrix products of the same number format, timed between the steps. The
first pass of `data` is only a cold one where nothing has read these videos shortly before. Every part runs in a process
of its own, so that the memory of one is not counted in another's.
"""

from __future__ import annotations

import argparse
import multiprocessing
import shlex
import sys
import threading
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

import torch

import opts
from core.device import choose_device, choose_precision, describe_device
from core.files import write_json
from core.interruption import Terminated
from datasets.errors import DataError
from datasets.opening import read_splits
from tools._batch import OneLineParser, command, positive, split_words
from tools._benchmark_parts import NEED_DATA, PARTS, PHASES, measure, one_line_errors
from tools._workers import end_with_parent

TOOL = "benchmark"
WIDTHS = 8, 60  # of the table's first columns
Measure = Callable[..., dict[str, Any]]  # of `measure`


def main(argv: Sequence[str] | None = None, run: Measure | None = None) -> int:
    """Runs the command; returns its exit status. `run` stands in for child processes."""
    words = list(sys.argv[1:] if argv is None else argv)
    return command(TOOL, lambda: _benchmark(words, run or measure_in_child))


def _benchmark(words: list[str], run: Measure) -> int:
    own, for_main = split_words(words)
    args = _read_arguments(own)
    with one_line_errors():
        flags = _read_flags(for_main)
        found = {"machine": _machine(flags), "flags": _chosen(flags)}
        reasons = {part: reason for part in args.parts if (reason := _why_not(part, flags))}
        if len(reasons) == len(args.parts):
            raise DataError(f"nothing to measure: {'; '.join(dict.fromkeys(reasons.values()))}")
        if any(part in NEED_DATA and part not in reasons for part in args.parts):
            read_splits(flags)  # what is wrong with it is said before anything is measured
        print(_head(found))
        for part in args.parts:
            if part in reasons:
                print(_row(part, "left out", reasons[part]), flush=True)
                continue
            found[part] = run(part, flags, args.steps, args.batches)
            if args.reference and part in PHASES.values():
                plain = run(part, flags, args.steps, args.batches, True)["seconds_per_step"]
                found[part]["reference_seconds_per_step"] = plain
                found[part]["times_as_fast_as_reference"] = plain / found[part]["seconds_per_step"]
            for what, figure in _figures(part, found[part]):
                print(_row(part, what, figure), flush=True)
        if args.json:
            write_json(args.json, found | {"left_out": reasons})
    return 0


def measure_in_child(
    part: str, flags: argparse.Namespace, steps: int, batches: int, reference: bool = False
) -> dict[str, Any]:
    """`measure` in a new process. Raises DataError."""
    context = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(1, mp_context=context, initializer=_tie_to_parent) as pool:
        try:
            return pool.submit(measure, part, flags, steps, batches, reference).result()
        except BrokenProcessPool:
            raise DataError(f"the process of {part} died; if memory ran out, choose a smaller --batch_size") from None
        except (KeyboardInterrupt, Terminated):
            for process in multiprocessing.active_children():  # the pool would wait for it
                process.kill()
            raise


def _tie_to_parent() -> None:
    threading.Thread(target=end_with_parent, daemon=True).start()


def _read_arguments(words: list[str]) -> argparse.Namespace:
    parser = OneLineParser(
        prog=f"{TOOL}.py",
        usage="benchmark.py [--json FILE] [--parts P,..] [--steps N] [--batches N] [--reference] [-- flags of main.py]",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,
    )
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the figures here, too; units are in the names")
    parser.add_argument("--parts", type=_parts, default=list(PARTS), help=f"some of {','.join(PARTS)} (all)")
    parser.add_argument("--steps", type=positive, default=10, help="optimiser steps that are timed (10)")
    parser.add_argument("--batches", type=positive, default=0, help="batches that `data` reads (an epoch)")
    parser.add_argument(
        "--reference",
        action="store_true",
        help="take the steps once more in float32, a video at a time and without fused attention",
    )
    args = parser.parse_args(words)
    if args.reference and not set(args.parts) & set(PHASES.values()):
        parser.error(f"--reference is of the parts {' and '.join(PHASES.values())}; add one to --parts")
    if args.json and not args.json.absolute().parent.is_dir():
        parser.error(f"--json {args.json}: its folder is not there; make it first")
    return args


def _parts(text: str) -> list[str]:
    chosen = text.split(",")
    if unknown := [part for part in chosen if part not in PARTS]:
        raise argparse.ArgumentTypeError(f"{unknown[0]!r} is none of {', '.join(PARTS)}")
    return [part for part in PARTS if part in chosen]


def _read_flags(words: list[str]) -> argparse.Namespace:
    flags = opts.parse(words)
    if flags.eval or flags.resume or flags.debug:
        raise DataError("the flags after --: --eval, --resume and --debug are no runs to measure; leave them out")
    opts.check(flags)
    return flags


def _machine(flags: argparse.Namespace) -> dict[str, Any]:
    device = choose_device(flags.device)
    dtype, reason = choose_precision(flags.precision, device)
    return {
        "device": describe_device(device),
        "dtype": str(dtype).removeprefix("torch."),
        "dtype_reason": reason,
        "threads": torch.get_num_threads(),
        "torch": torch.__version__,
    }


def _chosen(flags: argparse.Namespace) -> dict[str, Any]:
    """The preset, and the flags that differ from it."""
    before, now = opts.to_stored(opts.parse(["--preset", flags.preset])), opts.to_stored(flags)
    return {"preset": flags.preset, "changed": {name: now[name] for name in now if now[name] != before[name]}}


def _why_not(part: str, flags: argparse.Namespace) -> str:
    """Why the part cannot be measured; empty if it can."""
    if part in NEED_DATA and flags.root_path is None:
        return "no data: give --root_path"
    if part in NEED_DATA and not flags.root_path.is_dir():
        return f"no data: --root_path {flags.root_path} is no folder"
    return "--pretrain_epochs is 0" if part == "pretrain" and not flags.pretrain_epochs else ""


def _head(found: dict[str, Any]) -> str:
    machine, flags = found["machine"], found["flags"]
    changed: list[str] = []
    for name, value in flags["changed"].items():
        changed += [f"--{name}"] if value is True else [f"--{name}", str(value)]
    return "\n".join(
        [
            f"device: {machine['device']}; CPU threads: {machine['threads']}; torch {machine['torch']}",
            f"matrix products in {machine['dtype']}: {machine['dtype_reason']}",
            f"flags: {shlex.join(['--preset', flags['preset'], *changed])}",
            "",
            _row("part", "measured", "figure"),
            "|-" + "-|-".join("-" * width for width in WIDTHS) + "-|---|",
        ]
    )


def _row(part: str, what: str, figure: str) -> str:
    return f"| {part:<{WIDTHS[0]}} | {what:<{WIDTHS[1]}} | {figure} |"


def _figures(part: str, found: dict[str, Any]) -> Iterator[tuple[str, str]]:
    """The rows of a part: what was measured and the figure with its unit."""
    if part == "peak":
        yield f"matrix products, the best size is {found['size']}", _speed(found["flop_per_second"])
    elif part == "data":
        yield (
            f"first pass, {found['videos']} videos, --n_threads {found['reading_processes']}",
            f"{found['first_pass_videos_per_second']:.1f} videos/s",
        )
        yield "second pass, the same videos", f"{found['second_pass_videos_per_second']:.1f} videos/s"
        yield (
            "one process with one thread, median",
            f"{1000 * found['one_process_seconds_per_video']:.1f} ms a video",
        )
    elif part == "train":
        for phase, values in found.items():
            yield f"{phase} with reading, {values['steps']} steps", f"{values['videos_per_second']:.1f} videos/s"
            yield f"{phase}, waiting for data", f"{values['share_of_time_waiting_for_data']:.1%} of the time"
    else:
        mask = f", {found['mask_ratio']:.0%} masked" if "mask_ratio" in found else ""
        step = f"step of {found['videos_per_step']} videos{mask}, median of {found['steps']}"
        yield step, f"{found['seconds_per_step']:.4g} s"
        yield "videos", f"{found['videos_per_second']:.1f} videos/s"
        memory, before = (f"{found[name] / 1e9:.2f} GB" for name in ("peak_memory_bytes", "memory_before_model_bytes"))
        yield "most memory, and before there was a model", f"{memory}, {before}"
        yield "operations of a step", f"{found['flop_per_step'] / 1e9:,.1f} GFLOP"
        yield (
            "achieved",
            f"{_speed(found['flop_per_second'])}, {found['share_of_peak']:.1%} of the peak meanwhile",
        )
        if "reference_seconds_per_step" in found:
            yield "the same step, plain float32", f"{found['reference_seconds_per_step']:.4g} s"
            yield "this one is faster", f"{found['times_as_fast_as_reference']:.2f} times"


def _speed(flop_per_second: float) -> str:
    return f"{flop_per_second / 1e9:,.1f} GFLOP/s"


if __name__ == "__main__":
    sys.exit(main())
