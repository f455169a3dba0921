"""A step never waits for the device, and never holds a whole attention map: what the CPU's operators tell of a GPU."""

from __future__ import annotations

from collections.abc import Callable
from copy import deepcopy
from dataclasses import replace
from typing import Any

import pytest
import torch
from timm.utils import ModelEmaV3
from torch import Tensor
from torch.optim import adam
from torch.overrides import TorchFunctionMode
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

from core.engine import StepSettings, TrainState, _step
from core.optimizer import OptimizerSettings
from core.pretraining import finetune_losses, pretrain_losses, read_words, teach
from datasets.video_batch import VideoBatch
from models.layers import TransformerLayer, special_attention
from models.mart import MART
from tests import test_modalities, tiny
from tests.test_pretraining import SETTINGS, new_model

ATEN = torch.ops.aten
WAITING = {  # the host needs a value, or the number of values, before it can go on
    ATEN._local_scalar_dense,
    ATEN.item,
    ATEN.is_nonzero,
    ATEN.equal,
    ATEN.nonzero,
    ATEN.masked_select,
    ATEN.unique_consecutive,
    ATEN.unique_dim,
    ATEN._unique,
    ATEN._unique2,
    ATEN.bincount,
    ATEN.histc,
    ATEN.repeat_interleave,  # of a tensor of counts
}
FETCHING = {Tensor.cpu, Tensor.numpy, Tensor.tolist, Tensor.cuda}  # on a CPU no operator runs for these
META = torch.device("meta")  # has no values: whatever the host would wait for is an error there


class Watch(TorchDispatchMode):
    """Lists operators that would wait, and the largest tensor that was made."""

    def __init__(self) -> None:
        super().__init__()
        self.waited: list[str] = []
        self.largest = 0

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        kwargs = kwargs or {}
        indexed = func.overloadpacket in (ATEN.index, ATEN.index_put, ATEN.index_put_, ATEN._index_put_impl_)
        by_mask = indexed and any(i is not None and i.dtype in (torch.bool, torch.uint8) for i in args[1])
        if func.overloadpacket in WAITING or by_mask:
            self.waited.append(str(func))
        result = func(*args, **kwargs)
        for tensor in tree_leaves(result):
            if isinstance(tensor, Tensor):
                self.largest = max(self.largest, tensor.untyped_storage().nbytes() // tensor.element_size())
        return result


class Calls(TorchFunctionMode):
    """Lists calls that take a tensor to another device or to Python, and wait until it is there."""

    def __init__(self) -> None:
        super().__init__()
        self.fetched: list[str] = []

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        kwargs = kwargs or {}
        moved = func is Tensor.to and not isinstance((*args, *kwargs.values())[1], torch.dtype)
        moved = moved and not kwargs.get("non_blocking") and not args[0].is_meta
        made = func in (torch.tensor, torch.as_tensor) and torch.device(kwargs.get("device") or "cpu").type != "cpu"
        if func in FETCHING or moved or made:
            self.fetched.append(str(func))
        return func(*args, **kwargs)


def waits_of(step: Callable[[], Any]) -> list[str]:
    """What would wait in it."""
    with Watch() as watch, Calls() as calls:
        step()
    return watch.waited + calls.fetched


@pytest.fixture(scope="module")
def model() -> MART:
    return new_model()


@pytest.mark.parametrize(
    "wait",
    [
        lambda x: x.sum().item(),
        lambda x: bool((x > 0).all()),
        lambda x: x[x > 0],
        lambda x: torch.where(x > 0),
        lambda x: torch.equal(x, x + 1),
        lambda x: x.unique(),
        lambda x: x.masked_select(x > 0),
        lambda x: x.cpu(),
        lambda x: x.to("cpu"),
        lambda x: x.to(device=x.device),
        lambda x: x.tolist(),
        lambda x: x.index_put_((x > 0,), x.new_ones(())),
        lambda x: x.to(META),
        lambda x: torch.tensor([1.0], device=META),
    ],
)
def test_the_watch_sees_what_waits(wait: Any) -> None:
    assert waits_of(lambda: wait(torch.randn(3, 3)))


@pytest.mark.parametrize(
    "wait",
    [
        lambda x: x.sum().item(),
        lambda x: bool((x > 0).all()),
        lambda x: x[x > 0],
        lambda x: x.cpu(),
        lambda x: x.to("cpu", non_blocking=True),
        lambda x: x.tolist(),
    ],
)
def test_a_device_without_values_refuses_what_waits(wait: Any) -> None:
    with pytest.raises((RuntimeError, NotImplementedError)):
        wait(torch.randn(3, 3, device=META))


@pytest.mark.parametrize(
    ("masking", "target"),
    [
        *((masking, "distribution") for masking in ("emotion", "attention", "random", "tube", "frame", "none")),
        ("random", "hog"),
    ],
)
def test_a_pretraining_step_never_waits(masking: str, target: str) -> None:
    """But for the frozen text encoder, which reads the words of a video when it first sees it."""
    student, batch = new_model(target=target), tiny.batch(2)
    teacher = deepcopy(student)
    teacher.word_features(batch.token_ids, batch.token_mask, batch.cue_pieces, batch.keys)
    chosen = replace(SETTINGS, masking=masking, label_share=0.5)
    assert waits_of(lambda: pretrain_losses(student, teacher, batch, chosen, 0.5)["loss"].backward()) == []


@pytest.mark.parametrize("weight", [0.0, 1.0])
def test_a_fine_tuning_step_never_waits(model: MART, weight: float) -> None:
    batch = tiny.batch(2)
    model.word_features(batch.token_ids, batch.token_mask, batch.cue_pieces, batch.keys)
    assert waits_of(lambda: finetune_losses(model, model, batch, SETTINGS, weight)["loss"].backward()) == []


def whole_step(modalities: str, phase: str, device: torch.device) -> Callable[[], Any]:
    """A step of the optimiser with two accumulated batches, of which some streams are dropped; all words are known."""
    model, batches = test_modalities.new_model(modalities), [test_modalities.words_batch(2, seed) for seed in (0, 1)]
    ema = ModelEmaV3(model, decay=0.9)
    for batch in batches:
        ema.module.word_features(batch.token_ids, batch.token_mask, batch.cue_pieces, batch.keys)
    known = ema.module.word_encoder.known_words
    known |= {key: words.to(device) for key, words in known.items()}
    state = TrainState(model.to(device), ema.to(device))
    state.begin_phase(model, OptimizerSettings(1e-3, 0.01, 2), 10)
    chosen = replace(
        SETTINGS, polarity=SETTINGS.polarity.to(device), label_share=0.5, modality_dropout=0.5,
        streams=model.mbt.streams,
    )  # fmt: skip

    def objective(batch: VideoBatch) -> dict[str, Tensor]:
        if phase == "pre-training":
            return pretrain_losses(model, ema.module, batch, chosen, 0.5)
        return finetune_losses(model, ema.module, batch, chosen, 1.0)

    settings = StepSettings(device, torch.float32, chosen.polarity, accu_step=2)
    return lambda: _step(state, batches, settings, objective)


@pytest.mark.parametrize("modalities", ["av", "avt"])
@pytest.mark.parametrize("phase", ["pre-training", "fine-tuning"])
def test_a_whole_step_never_waits(modalities: str, phase: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """From the transfer of the batches over the losses, clipping, optimiser and schedule to the averaged weights."""
    monkeypatch.setattr(adam, "_device_dtype_check_for_fused", lambda _: None)  # names real devices
    step = whole_step(modalities, phase, META)
    for _ in range(2):  # the first one makes the optimiser's state
        assert waits_of(step) == []


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device")
@pytest.mark.parametrize("modalities", ["av", "avt"])
@pytest.mark.parametrize("phase", ["pre-training", "fine-tuning"])
def test_a_whole_step_never_waits_for_a_gpu(modalities: str, phase: str) -> None:
    step = whole_step(modalities, phase, torch.device("cuda"))
    step()  # loads what is loaded once
    torch.cuda.set_sync_debug_mode("error")
    try:
        step()
    finally:
        torch.cuda.set_sync_debug_mode("default")


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device")
def test_a_gpu_is_never_waited_for(model: MART) -> None:
    student = deepcopy(model).cuda()
    teacher, batch = deepcopy(student), tiny.batch(2).to(torch.device("cuda"))
    settings = replace(SETTINGS, polarity=SETTINGS.polarity.cuda())
    pretrain_losses(student, teacher, batch, settings, 0.5)["loss"].backward()  # reads the words
    torch.cuda.set_sync_debug_mode("error")
    try:
        pretrain_losses(student, teacher, batch, settings, 0.5)["loss"].backward()
        finetune_losses(student, teacher, batch, settings, 1.0)["loss"].backward()
    finally:
        torch.cuda.set_sync_debug_mode("default")


def test_the_rows_that_masking_needs_are_the_only_ones() -> None:
    """More tokens than four widths, so that no tensor of tokens is as large as a map."""
    layer, tokens = TransformerLayer(8, 2), torch.randn(3, 300, 8)
    with Watch() as watch, torch.no_grad():
        special_attention(layer, tokens, n_special=2, n_patches=298)
    assert 3 * 300 * 3 * 8 <= watch.largest < 3 * 300 * 300, "queries, keys and values, and no map of even one head"


@pytest.mark.parametrize("masking", ["emotion", "attention"])
def test_choosing_a_mask_holds_no_map(masking: str) -> None:
    student, batch = new_model(), tiny.batch(2)
    chosen = replace(SETTINGS, masking=masking, verify="none")
    taught, words = teach(student, batch, chosen, 0.5), read_words(student, batch)
    taught.tokens.tokens = {"visual": torch.randn(4, 301, 24), "audio": torch.randn(4, 302, 24)}
    taught.tokens.last_inputs = {"visual": torch.randn(4, 303, 24), "audio": torch.randn(4, 304, 24)}
    with Watch() as watch:
        if masking == "attention":
            student.mbt.class_attention(taught.tokens)
        else:
            student.attention_to_patches(taught.tokens, words, taught.verified)
    assert 4 * 300 * 24 <= watch.largest < 4 * 300 * 300
