"""A checkpoint as a training run writes it, of tiny random weights, without the training."""

from __future__ import annotations

from pathlib import Path

import torch

import opts
from core.assembly import new_model
from core.checkpoint import save_checkpoint
from datasets.benchmarks import BENCHMARKS
from tests import tiny

CLASSES, POLARITY = BENCHMARKS["ve8"].classes, BENCHMARKS["ve8"].polarity


def write_checkpoint(path: Path, **changes: object) -> Path:
    """The baseline of 0.5 s a segment; `changes` replace what is stored, None leaves it out."""
    flags = opts.parse(tiny.arguments(pretrain_epochs=0, val_len=5, precision="fp32"))
    torch.manual_seed(0)
    model = new_model(flags, len(CLASSES))
    for head in (model.visual_head, model.audio_head):
        torch.nn.init.normal_(head.weight, std=1.0)  # so that the scores are far from alike
    content = {
        "ema": model.state_dict(), "epoch": 3, "flags": opts.to_stored(flags), "classes": list(CLASSES),
        "polarity": list(POLARITY), "segment_seconds": 0.5,
    }  # fmt: skip
    save_checkpoint(path, {name: value for name, value in (content | changes).items() if value is not None})
    return path
