"""Computing again instead of keeping: the same losses and gradients from less memory; no operation counts twice."""

from __future__ import annotations

from copy import deepcopy
from dataclasses import replace
from typing import Any

import pytest
import torch
from torch import Tensor
from torch.multiprocessing.reductions import StorageWeakRef
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves
from torch.utils.flop_counter import FlopCounterMode

import opts
from core.assembly import new_model as model_of
from core.pretraining import finetune_losses, pretrain_losses
from models.layers import TransformerLayer, set_layers
from tests import tiny
from tests.test_pretraining import SETTINGS, new_model
from tools._benchmark_meters import operation_counter


def losses_and_gradients(phase: str, recompute: str, precision: torch.dtype = torch.float32) -> dict[str, Tensor]:
    """Of one batch with random masks; all draws begin with the same seed."""
    student, batch = new_model(), tiny.batch(2)
    teacher = deepcopy(student)
    set_layers(student, recompute, compiled=False)
    torch.manual_seed(1)
    with torch.autocast("cpu", precision, enabled=precision != torch.float32):
        if phase == "pretrain":
            chosen = replace(SETTINGS, masking="random", verify="none")
            losses = pretrain_losses(student, teacher, batch, chosen, progress=0.5)
        else:
            losses = finetune_losses(student, teacher, batch, SETTINGS, weight=1.0)
    losses["loss"].backward()
    return losses | {name: p.grad for name, p in student.named_parameters() if p.grad is not None}


@pytest.mark.parametrize("phase", ["pretrain", "finetune"])
@pytest.mark.parametrize("recompute", ["cheap", "all"])
@pytest.mark.parametrize("precision", [torch.float32, torch.bfloat16])
def test_losses_and_gradients_stay(phase: str, recompute: str, precision: torch.dtype) -> None:
    wanted = losses_and_gradients(phase, "none", precision)
    found = losses_and_gradients(phase, recompute, precision)
    assert wanted.keys() == found.keys() and sum("blocks" in name for name in wanted) > 40
    for name, value in wanted.items():
        torch.testing.assert_close(found[name], value, rtol=1e-6, atol=1e-6 * value.abs().max().item(), msg=name)


class Made(TorchDispatchMode):
    """Remembers the memory of every tensor that is made, without holding it."""

    def __init__(self) -> None:
        super().__init__()
        self.storages: dict[StorageWeakRef, int] = {}

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        result = func(*args, **(kwargs or {}))
        for tensor in tree_leaves(result):
            if isinstance(tensor, Tensor):
                storage = tensor.untyped_storage()
                self.storages[StorageWeakRef(storage)] = storage.nbytes()
        return result

    def still_held(self) -> int:
        """Bytes."""
        return sum(n for storage, n in self.storages.items() if not storage.expired())


def test_less_is_kept() -> None:
    """Between the passes, in bytes per value of the input, a layer under autocast."""
    held = {}
    for recompute in ("none", "cheap", "all"):
        layer, tokens = TransformerLayer(32, 4), torch.randn(8, 50, 32, requires_grad=True)
        layer.recompute = recompute
        with Made() as made, torch.autocast("cpu", torch.bfloat16):
            output = layer(tokens)
        held[recompute] = (made.still_held() - output.untyped_storage().nbytes()) / tokens.numel()
    # cheap: queries, keys and values, the projection's output and the wide layer in bfloat16, attention in float32
    assert held["cheap"] == pytest.approx((3 + 1 + 4) * 2 + 4, rel=0.15)
    # besides: both norms' outputs, attention's inputs in float32, its output in bfloat16, the sum, the wide activations
    assert held["none"] > 2 * held["cheap"] and held["all"] < 0.1 * held["cheap"]


@pytest.mark.parametrize("recompute", ["none", "cheap", "all"])
def test_operations_count_once(recompute: str) -> None:
    """One layer forwards, and twice as much backwards but for attention's five products after two."""
    layer, tokens = TransformerLayer(24, 3), torch.randn(2, 7, 24, requires_grad=True)
    layer.recompute = recompute
    with operation_counter() as counter:
        layer(tokens).sum().backward()
    linear, product = 2 * 2 * 7 * 12 * 24**2, 2 * 2 * 7 * 7 * 24
    assert counter.get_total_flops() == 3 * linear + (2 + 5) * product


def test_cheap_repeats_no_dear_operation() -> None:
    layer, tokens = TransformerLayer(24, 3), torch.randn(2, 7, 24, requires_grad=True)
    counted = {}
    for layer.recompute in ("none", "cheap", "all"):
        with FlopCounterMode(display=False) as counter:
            layer(tokens).sum().backward()
        counted[layer.recompute] = counter.get_total_flops()
    assert counted["cheap"] == counted["none"] < counted["all"]


def test_nothing_is_kept_without_gradients() -> None:
    layer, calls = TransformerLayer(24, 3), []
    layer.recompute = "all"
    layer.norm1.register_forward_hook(lambda *_: calls.append(1))
    with torch.no_grad():
        assert layer(torch.randn(1, 5, 24)).grad_fn is None
    layer(torch.randn(1, 5, 24)).sum().backward()
    assert len(calls) == 3, "once without, twice with a backward pass"


def test_the_flag_reaches_every_layer_and_no_name() -> None:
    plain, recomputing = (
        model_of(opts.parse(tiny.arguments(recompute=how, pretrain_epochs=1)), n_classes=8) for how in ("none", "cheap")
    )
    layers = [layer for layer in recomputing.modules() if isinstance(layer, TransformerLayer)]
    assert len(layers) == 2 * 2 + 2 and {layer.recompute for layer in layers} == {"cheap"}
    assert {layer.recompute for layer in deepcopy(layers)} == {"cheap"}, "as the averaged model is made"
    assert list(plain.state_dict()) == list(recomputing.state_dict())
    assert opts.parse(["--preset", "base"]).recompute == "cheap" and opts.parse([]).recompute == "none"
