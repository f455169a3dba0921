"""Writes what scores a video, the averaged weights of a checkpoint, as a file that runs without this project.

    python tools/export.py --checkpoint results/EXPERIMENT/last.pt --out mart.pt2 [--onnx mart.onnx]

mart.pt2 takes PyTorch alone, mart.onnx ONNX Runtime; either takes any number of videos and of segments. What they take
and give, the classes and where the weights come from stand in the file itself, as JSON named `metadata.json`.
"""

from __future__ import annotations

import argparse
import hashlib
import importlib.util
import json
import sys
import warnings
from collections.abc import Sequence
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

import torch
from torch import Tensor, nn

import opts
from core import checkpoint
from core.assembly import ModelError, stored_recogniser
from core.evaluation import temporal_emotion_distribution_of
from core.files import remove_parts, whole
from core.stored_run import load_run
from datasets.audio import MEL_BINS
from datasets.benchmarks import BENCHMARKS
from datasets.errors import DataError
from models.mbt import MBT
from tools._batch import OneLineParser, command

TOOL = "export"
METADATA = "metadata.json"  # of the extra files of a .pt2, of the metadata properties of an .onnx
OPSET = 20  # the first one with GELU
MOST_ONNX_BYTES = 2**31 - 2**24  # of weights; the file format ends at 2 GiB
INPUTS = {"visual": ("frames",), "audio": ("fbank",), "text": ("token_ids", "token_mask")}  # by stream
OUTPUTS = {
    "segment_scores": "float32 (B, S, C), before any softmax",
    "video_scores": "float32 (B, C), before any softmax",
    "distribution": "float32 (B, S, C), the temporal emotion distribution, sums to 1 over S and C",
    "probabilities": "float32 (B, C) of the whole video, sum to 1",
}


class Scorer(nn.Module):
    """MBT with outputs that need no knowledge of it."""

    def __init__(self, mbt: MBT) -> None:
        super().__init__()
        self.mbt = mbt

    def forward(self, *inputs: Tensor) -> dict[str, Tensor]:
        """Tensors (B, S, ...) of the model's INPUTS, in their order, to what OUTPUTS says, in its order."""
        given = dict(zip(input_names(self.mbt), inputs, strict=True))
        for other in inputs[1:]:
            for axis in (0, 1):  # said before they meet, so that no trace rules out videos of a single segment
                torch._check(inputs[0].shape[axis] == other.shape[axis], lambda: "the inputs differ in B or S")
        output = self.mbt({stream: tuple(given[name] for name in INPUTS[stream]) for stream in self.mbt.streams})
        distribution = temporal_emotion_distribution_of(output.segment_scores)
        results = output.segment_scores, output.video_scores, distribution, output.video_scores.softmax(dim=-1)
        return dict(zip(OUTPUTS, results, strict=True))


def input_names(model: MBT) -> list[str]:
    """What a model takes, in the order of an exported one."""
    return [name for stream in model.streams for name in INPUTS[stream]]


def main(argv: Sequence[str] | None = None) -> int:
    """Runs the command; returns its exit status."""
    parser = OneLineParser(prog=f"{TOOL}.py", description="A trained model as a file that runs without this project.")
    parser.add_argument("--checkpoint", type=Path, required=True, help="file that a training run wrote")
    parser.add_argument("--out", type=Path, required=True, metavar="FILE.pt2", help="for torch.export.load")
    parser.add_argument("--onnx", type=Path, metavar="FILE.onnx", help="the same for ONNX Runtime")
    parser.add_argument("--overwrite", action="store_true", help="replace files that are there")
    args = parser.parse_args(argv)
    return command(TOOL, lambda: _export(args))


def _export(args: argparse.Namespace) -> int:
    targets = [path for path in (args.out, args.onnx) if path]
    for path in targets:
        remove_parts(path.parent, path.name)
        if [other.resolve() for other in (args.checkpoint, *targets)].count(path.resolve()) > 1:
            raise DataError(f"{path} is given twice; choose another name for what is written")
        if path.is_dir():
            raise DataError(f"{path} is a folder; give the name of a file")
        if path.exists() and not args.overwrite:
            raise DataError(f"{path} is there already; choose another name or add --overwrite")
    for package in ("onnx", "onnxscript"):
        if args.onnx and importlib.util.find_spec(package) is None:
            remedy = "run `sh run.sh setup` or `pip install onnx onnxscript onnxruntime`"
            raise DataError(f"--onnx needs {package}; {remedy}")
    try:
        stored = load_run(args.checkpoint)
        flags = opts.parse(["--checkpoint", str(args.checkpoint), "--no-compile"], stored["flags"])
        model = stored_recogniser(flags, stored)
    except (checkpoint.CheckpointError, ModelError, opts.UsageError) as error:
        raise DataError(str(error)) from None
    metadata = describe(args.checkpoint, stored, flags, input_names(model))
    weights = sum(value.nbytes for value in model.state_dict().values())
    if args.onnx and weights > MOST_ONNX_BYTES:
        raise DataError(f"{args.checkpoint}: weights of {weights / 2**30:.1f} GiB do not fit ONNX; leave out --onnx")
    program = trace(model, flags)
    with whole(args.out) as path:
        torch.export.save(program, path, extra_files={METADATA: json.dumps(metadata, indent=2)})
    if args.onnx:
        with whole(args.onnx) as path:
            save_onnx(program, input_names(model), metadata, path)
    for path in targets:
        print(f"{path}: {path.stat().st_size / 2**20:.1f} MiB, epoch {stored['epoch']}")
    return 0


def describe(path: Path, stored: dict[str, Any], flags: argparse.Namespace, inputs: Sequence[str]) -> dict[str, Any]:
    """What somebody has to know who has the exported file alone."""
    frames, side, rows, pieces = flags.snippet_duration, flags.sample_size, flags.audio_frames, flags.max_tokens
    known = BENCHMARKS.get(flags.dataset)
    told = {
        "frames": f"uint8 (B, S, 3, {frames}, {side}, {side}), RGB: of each of S equal parts of a video the "
        f"{frames} consecutive frames in its middle, their centre squares resized",
        "fbank": f"float32 (B, S, {rows}, {MEL_BINS}), of the {rows / 100:g} s of sound around the same instant: "
        "log-mel energies by Kaldi's filter bank of mono 16 kHz sound, mean removed, Hanning windows of 25 ms "
        "every 10 ms, no dither, not normalised",
        "token_ids": f"int64 (B, S, {pieces}), word pieces of bert-base-uncased of the subtitles of the same part: "
        "[CLS] ... [SEP], then padding",
        "token_mask": f"bool (B, S, {pieces}), true = no padding",
    }
    checksum = hashlib.sha256()
    with path.open("rb") as file:
        while block := file.read(2**20):
            checksum.update(block)
    return {
        "classes": stored["classes"],
        "polarity": stored.get("polarity", known and known.polarity),  # null: a custom data set's, not stored
        "dataset": flags.dataset,
        "inputs": {name: told[name] for name in inputs},
        "outputs": OUTPUTS,
        "sizes": {"T": frames, "H": side, "W": side, "F": rows, "L": pieces, "C": len(stored["classes"])},
        "segment_seconds": stored.get("segment_seconds"),  # how far the training's segments were apart
        "checkpoint": {"file": path.name, "sha256": checksum.hexdigest(), "epoch": stored["epoch"]},
        "versions": checkpoint.versions(),
    }


def trace(model: MBT, flags: argparse.Namespace) -> torch.export.ExportedProgram:
    """The Scorer of a model with these flags, for any B and S."""
    videos, segments = torch.export.Dim("B", min=1), torch.export.Dim("S", min=1)
    side, pieces = flags.sample_size, (2, 3, flags.max_tokens)
    examples = {
        "frames": torch.zeros(2, 3, 3, flags.snippet_duration, side, side, dtype=torch.uint8),
        "fbank": torch.zeros(2, 3, flags.audio_frames, MEL_BINS),
        "token_ids": torch.ones(pieces, dtype=torch.int64),
        "token_mask": torch.ones(pieces, dtype=torch.bool),
    }
    given = tuple(examples[name] for name in input_names(model))
    dynamic = {"inputs": tuple({0: videos, 1: segments} for _ in given)}
    with torch.no_grad():
        return torch.export.export(Scorer(model).eval(), given, dynamic_shapes=dynamic)


def save_onnx(
    program: torch.export.ExportedProgram, inputs: Sequence[str], metadata: dict[str, Any], path: Path
) -> None:
    """The program as one ONNX file, with its outputs' names and with `metadata`."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", FutureWarning)  # PyTorch's own, of its own
        exported = torch.onnx.export(
            program,
            opset_version=OPSET,
            input_names=list(inputs),
            output_names=list(OUTPUTS),
            # names alone; the program knows the rest
            dynamic_shapes={"inputs": ({0: "B", 1: "S"}, *[None] * (len(inputs) - 1))},
            verbose=False,
        )
    exported.model.metadata_props[METADATA] = json.dumps(metadata, indent=2)
    exported.save(path)


if __name__ == "__main__":
    sys.exit(main())
