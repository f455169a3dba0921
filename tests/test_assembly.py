"""Runs start from the weights that are asked for, and say so."""

from __future__ import annotations

import logging
from pathlib import Path

import pytest
import torch

import main as program
import opts
from core import assembly
from core.checkpoint import load_checkpoint
from models.build import build_model
from tests import tiny


@pytest.fixture
def flags(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(assembly, "PRETRAINED_MODELS", tmp_path)
    return opts.parse(["--preset", "base"])


def test_published_weights_are_taken_where_they_are(flags, tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    (tmp_path / "vit_base_patch16_224.pth").touch()
    with caplog.at_level(logging.WARNING):
        assembly.choose_weights(flags)
    assert flags.visual_weights == str(tmp_path / "vit_base_patch16_224.pth")
    assert (flags.audio_weights, flags.text_weights) == ("random", "small")
    assert [record.message.split(" in ")[0] for record in caplog.records] == ["no audio weights", "no text weights"]


def test_what_is_asked_for_is_left_as_it_is(caplog: pytest.LogCaptureFixture) -> None:
    flags = opts.parse(["--preset", "demo", "--visual_weights", "a.pth"])
    assembly.choose_weights(flags)
    assert (flags.visual_weights, flags.audio_weights, flags.text_weights) == ("a.pth", "random", "small")
    assert not caplog.records


def test_a_run_starts_from_the_weights_and_keeps_them(tiny_dataset: Path, tmp_path: Path) -> None:
    """A learning rate of almost nothing leaves the weights of the file in the checkpoint, statistics included."""
    torch.manual_seed(5)
    visual = build_model(tiny.SIZES).visual
    visual.mean.fill_(0.25)
    names = {"cls_token", "pos_embed", "mean", "std", "norm_eps"}
    state = {f"encoder.{name}": value for name, value in visual.state_dict().items() if name not in names}
    torch.save({"model": _authors_names(state)}, tmp_path / "visual.pth")
    words = tiny.arguments(
        root_path=tiny_dataset, result_path=tmp_path, expr_name="run", n_epochs=1, pretrain_epochs=0,
        visual_weights=tmp_path / "visual.pth", learning_rate=1e-9,
    )  # fmt: skip
    assert program.main(words) == 0
    kept = load_checkpoint(tmp_path / "run" / "last.pt")["ema"]
    for name in ("patch_embed.weight", "blocks.1.mlp.fc2.weight", "norm.bias"):
        torch.testing.assert_close(kept[f"visual.{name}"], visual.state_dict()[name], atol=1e-6, rtol=0)
    log = (tmp_path / "run" / "log.txt").read_text()
    assert "visual weights:" in log and "visual.pth" in log
    (tmp_path / "visual.pth").unlink()
    assert program.main(["--eval", "--checkpoint", str(tmp_path / "run" / "last.pt")]) == 0


def _authors_names(state: dict[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    """timm's names as VideoMAE's authors have them: one projection, biases of queries and values apart."""
    renamed = {}
    for name, value in state.items():
        name = name.replace("patch_embed.", "patch_embed.proj.")
        if name.endswith("qkv.bias"):
            query, _, values = value.chunk(3)
            renamed[name.replace("qkv.bias", "q_bias")], renamed[name.replace("qkv.bias", "v_bias")] = query, values
        else:
            renamed[name] = value
    return renamed


@pytest.mark.parametrize("flag", ["visual_weights", "audio_weights", "text_weights"])
def test_wrong_weights_are_one_line_and_leave_no_experiment(
    flag: str, tiny_dataset: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "bad.pth").write_bytes(b"PK cut off")
    words = tiny.arguments(
        root_path=tiny_dataset, result_path=tmp_path, expr_name="run", **{flag: tmp_path / "bad.pth"}
    )
    assert program.main(words) == 2
    error = capsys.readouterr().err.strip().splitlines()
    assert len(error) == 1 and "bad.pth" in error[0]
    assert not (tmp_path / "run").exists()
