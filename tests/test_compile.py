"""Compiled layers: the same losses, gradients and names, and one compilation whatever the mask ratio."""

from __future__ import annotations

import json
from copy import deepcopy
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from torch import Tensor
from torch._dynamo.testing import CompileCounterWithBackend

import main as program
import opts
from core import device
from core.assembly import new_model as model_of
from core.device import DeviceError, check_compiler
from core.pretraining import finetune_losses, pretrain_losses
from models import layers
from models.layers import TransformerLayer, set_layers
from tests import tiny
from tests.test_pretraining import SETTINGS, new_model


def has_compiler() -> bool:
    try:
        check_compiler(torch.device("cpu"))
    except DeviceError:
        return False
    return True


@pytest.fixture
def counter(monkeypatch: pytest.MonkeyPatch) -> CompileCounterWithBackend:
    """Counts graphs and compiles them without C++."""
    torch._dynamo.reset()
    counted = CompileCounterWithBackend("aot_eager")
    compiled = torch.compile(layers._run, dynamic=True, backend=counted)
    monkeypatch.setattr(layers, "_compiled_run", lambda: compiled)
    return counted


def losses_and_gradients(recompute: str, compiled: bool, progress: float) -> dict[str, Tensor]:
    """Of both phases, on one batch with random masks."""
    student, batch = new_model(), tiny.batch(2)
    set_layers(student, recompute, compiled)
    teacher = deepcopy(student)
    torch.manual_seed(1)
    found = pretrain_losses(student, teacher, batch, replace(SETTINGS, masking="random", verify="none"), progress)
    found |= {f"fine-tuning {n}": loss for n, loss in finetune_losses(student, teacher, batch, SETTINGS, 1.0).items()}
    (found["loss"] + found["fine-tuning loss"]).backward()
    return found | {name: p.grad for name, p in student.named_parameters() if p.grad is not None}


@pytest.mark.parametrize("recompute", ["none", "cheap", "all"])
def test_a_growing_mask_compiles_nothing_again(recompute: str, counter: CompileCounterWithBackend) -> None:
    compiled = []
    for progress in (0.0, 0.3, 0.6, 1.0):
        wanted = losses_and_gradients(recompute, False, progress)
        found = losses_and_gradients(recompute, True, progress)
        compiled.append(counter.frame_count)
        for name, value in wanted.items():
            scale = value.abs().max().item()
            torch.testing.assert_close(found[name], value, rtol=1e-5, atol=1e-5 * scale, msg=name)
    # the encoders' layer with and without gradients and the decoders', of which one may take two attempts
    assert 3 <= compiled[0] <= 4 and len(set(compiled)) == 1


def test_a_whole_run_and_its_evaluation(
    counter: CompileCounterWithBackend, tiny_dataset: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Both phases, scoring, and scoring again from the checkpoint are the same as without."""
    monkeypatch.setattr(device, "check_compiler", lambda _: None)
    metrics = []
    for name, words in (("plain", []), ("compiled", ["--compile"])):
        run = tiny.arguments(root_path=tiny_dataset, result_path=tmp_path, expr_name=name, n_epochs=1)
        assert program.main([*run, *words]) == 0
        metrics.append(json.loads((tmp_path / name / "metrics.json").read_text()))
        assert (counter.frame_count > 0) == (name == "compiled")
    assert metrics[1]["loss"] == pytest.approx(metrics[0]["loss"], rel=1e-3)
    again = tmp_path / "again.json"
    assert program.main(["--eval", "--checkpoint", str(tmp_path / "compiled" / "last.pt"), "--json", str(again)]) == 0
    assert json.loads(again.read_text()) == metrics[1]


@pytest.mark.skipif(not has_compiler(), reason="no C++ compiler")
def test_a_layer_compiled_to_machine_code() -> None:
    torch._dynamo.reset()
    torch.manual_seed(0)
    layer = TransformerLayer(16, 2)
    layer.recompute = "cheap"
    for length in (5, 9):
        tokens, found = torch.randn(2, length, 16), []
        for layer.compiled in (False, True):
            layer.zero_grad()
            output = layer(tokens)
            output.square().sum().backward()
            found.append({"output": output} | {name: p.grad.clone() for name, p in layer.named_parameters()})
        for name, value in found[0].items():
            scale = value.abs().max().item()
            torch.testing.assert_close(found[1][name], value, rtol=1e-5, atol=1e-5 * scale, msg=name)


def test_names_and_the_averaged_model_stay() -> None:
    plain, compiled = (model_of(opts.parse(tiny.arguments(compile=how)), n_classes=8) for how in (None, True))
    assert list(plain.state_dict()) == list(compiled.state_dict())
    averaged = [layer.compiled for layer in deepcopy(compiled).modules() if isinstance(layer, TransformerLayer)]
    assert averaged == [True] * 6 and not any(getattr(layer, "compiled", False) for layer in plain.modules())


def test_a_machine_without_compiler_is_one_line(
    tiny_dataset: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("torch._inductor.config.cpp.cxx", (None, str(tmp_path / "no-compiler")))
    words = tiny.arguments(root_path=tiny_dataset, result_path=tmp_path, expr_name="run", compile=True)
    assert program.main(words) == 2
    error = capsys.readouterr().err.strip().splitlines()
    assert len(error) == 1 and "--compile" in error[0] and "install g++" in error[0]
    assert not (tmp_path / "run").exists()
