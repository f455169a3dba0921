"""The published configuration builds, runs forward and backward on a CPU, and is as large as the README says."""

from __future__ import annotations

import dataclasses
import re
from pathlib import Path

import torch

import opts
from core.device import choose_precision
from models.build import ModelSizes, build_model, count_parameters
from models.text import TextEncoder


def published() -> ModelSizes:
    flags = vars(opts.parse(["--preset", "base"]))
    names = {field.name for field in dataclasses.fields(ModelSizes)} - {"n_classes"}
    return ModelSizes(8, **{name: flags[name] for name in names})


def test_one_video_forward_and_backward() -> None:
    torch.manual_seed(0)
    model = build_model(published())
    segments = opts.parse(["--preset", "base"]).seq_len
    frames = torch.randint(0, 256, (1, segments, 3, 16, 112, 112), dtype=torch.uint8)
    precision, _ = choose_precision("auto", torch.device("cpu"))
    with torch.autocast("cpu", precision, enabled=precision != torch.float32):
        output = model({"visual": (frames,), "audio": (torch.randn(1, segments, 100, 128) * 4 - 4,)})
    assert output.segment_scores.shape == (1, 12, 8) and output.video_scores.isfinite().all()
    output.video_scores.logsumexp(dim=1).sum().backward()
    assert all(p.grad is not None and p.grad.isfinite().all() for p in model.parameters())


def test_parameters_are_those_of_the_readme() -> None:
    from transformers import BertConfig

    with torch.device("meta"):
        counted = count_parameters(build_model(published()))
        counted["text"] = sum(p.numel() for p in TextEncoder(BertConfig()).parameters())
    readme = (Path(__file__).parents[1] / "README.md").read_text(encoding="utf-8")
    section = readme[readme.index("## The model") : readme.index("## Affective lexicons")]
    rows = re.findall(r"^\| `(\w+)` \|[^|]*\| ([\d,]+) \|", section, re.MULTILINE)
    stated = {part: int(number.replace(",", "")) for part, number in rows}
    assert stated == counted
