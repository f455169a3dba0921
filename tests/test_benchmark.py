"""The benchmark: every part on tiny sizes, its counter of operations against a count by hand, and wrong input."""

from __future__ import annotations

import json
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from dataclasses import fields
from pathlib import Path
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

import opts
from datasets.opening import read_splits
from tests import tiny
from tools import _benchmark_parts as parts
from tools import benchmark
from tools._benchmark_meters import forget_peak_memory, operation_counter, peak_memory
from tools._benchmark_noise import noise_batch

ONE_LAYER = {"depth": 1, "fusion_depth": 1, "pretrain_epochs": 0, "precision": "fp32"}
ON_CUDA = (pytest.mark.gpu, pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device"))


@pytest.fixture(autouse=True)
def small_products(monkeypatch: pytest.MonkeyPatch) -> None:
    """The peak of small matrices is found at once."""
    monkeypatch.setattr(parts, "PEAK_SIZES", {"cpu": (64, 256), "cuda": (64, 256)})


def run(
    tmp_path: Path, *words: str, measure: Callable[..., dict] | None = parts.measure, **flags: object
) -> dict[str, Any]:
    """JSON of a benchmark with tiny flags, in this process unless `measure` says otherwise."""
    target = tmp_path / "figures.json"
    assert benchmark.main(["--json", str(target), *words, "--", *tiny.arguments(**flags)], measure) == 0
    return json.loads(target.read_text())


def test_all_parts_are_measured(tiny_dataset: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    words = ("--steps", "2", "--batches", "2")
    found = run(tmp_path, *words, root_path=tiny_dataset, mask_start=0.25, mask_end=0.75)
    assert list(found) == ["machine", "flags", "peak", "data", "pretrain", "finetune", "train", "left_out"]
    assert set(found["machine"]) == {"device", "dtype", "dtype_reason", "threads", "torch"}
    assert found["flags"]["preset"] == "demo" and found["flags"]["changed"]["embed_dim"] == tiny.FLAGS["embed_dim"]
    assert "ema_decay" not in found["flags"]["changed"] and found["left_out"] == {}

    assert set(found["peak"]) == {"flop_per_second", "size", "flop_per_second_by_size"}
    assert found["peak"]["flop_per_second"] == max(found["peak"]["flop_per_second_by_size"].values()) > 1e6
    assert found["data"].pop("reading_processes") == 0 and found["data"]["videos"] == 8
    assert set(found["data"]) == {
        "videos",
        "first_pass_videos_per_second",
        "second_pass_videos_per_second",
        "one_process_seconds_per_video",
    }
    for part in ("pretrain", "finetune"):
        figures = found[part]
        assert figures["videos_per_step"] == 4 and figures["steps"] == 2
        assert figures["videos_per_second"] == pytest.approx(4 / figures["seconds_per_step"])
        assert figures["flop_per_second"] == pytest.approx(figures["flop_per_step"] / figures["seconds_per_step"])
        assert 0 < figures["share_of_peak"] < 1.5
        # in this process, which may give back meanwhile what tests before it have left
        assert 1e7 < figures["memory_before_model_bytes"] < 1.1 * figures["peak_memory_bytes"]
    assert found["pretrain"].pop("mask_ratio") == 0.5, "the middle of the phase"
    assert set(found["pretrain"]) == set(found["finetune"])
    assert set(found["train"]) == {"pretrain", "finetune"}
    for figures in found["train"].values():
        assert figures["steps"] == 2 and 0 < figures["share_of_time_waiting_for_data"] < 1
    numbers = [*found["data"].values(), *found["pretrain"].values(), *found["finetune"].values()]
    assert all(number > 0 for number in [*numbers, *(f["videos_per_second"] for f in found["train"].values())])

    table = capsys.readouterr().out
    assert f"torch {torch.__version__}" in table and found["machine"]["dtype_reason"] in table
    assert "--embed_dim 24" in table and "% of the peak meanwhile" in table and "waiting for data" in table


def test_operations_of_a_one_layer_model_by_hand(tmp_path: Path) -> None:
    """As a user runs it: in a child process."""
    found = run(tmp_path, "--steps", "1", "--parts", "finetune", measure=None, **ONE_LAYER)["finetune"]
    segments, dim = 4 * tiny.FLAGS["seq_len"], tiny.FLAGS["embed_dim"]
    expected = 0.0
    # picture: 2x2x2 tubelets of 2x16x16 pixels of 3 colours, a class token and 2 bottleneck tokens;
    # sound: 8x3 patches of 16x16, 2 special tokens and 2 bottleneck tokens
    for patches, values, tokens in ((8, 3 * 2 * 16 * 16, 8 + 1 + 2), (24, 16 * 16, 24 + 2 + 2)):
        embedding = 2 * segments * patches * values * dim  # and as much for its weights' gradient; pixels have none
        linear = 2 * segments * tokens * (3 + 1 + 4 + 4) * dim**2  # twice as much backwards
        products = 2 * segments * tokens**2 * dim  # scores and sum of values; backwards five such
        expected += 2 * embedding + 3 * linear + (2 + 5) * products
    assert found["flop_per_step"] == pytest.approx(expected, rel=0.05)
    assert found["share_of_peak"] == pytest.approx(found["flop_per_second"] / found["peak_flop_per_second_meanwhile"])
    assert 1e8 < found["peak_memory_bytes"] < 5e9


def test_steps_are_compared_with_plain_ones(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    taken: list[tuple[Any, ...]] = []
    measure_steps = parts.measure_steps

    def watched(flags: Any, part: str, n_steps: int) -> dict[str, Any]:
        fused = torch.backends.cuda.flash_sdp_enabled()
        taken.append((flags.batch_size, flags.accu_step, flags.precision, flags.recompute, fused))
        return measure_steps(flags, part, n_steps)

    monkeypatch.setattr(parts, "measure_steps", watched)
    words = ("--reference", "--parts", "peak,finetune", "--steps", "1")
    found = run(tmp_path, *words, **ONE_LAYER | {"precision": "bf16", "accu_step": 2, "recompute": "cheap"})
    assert taken == [(4, 2, "bf16", "cheap", True), (1, 8, "fp32", "none", False)]
    figures = found["finetune"]
    ratio = figures["reference_seconds_per_step"] / figures["seconds_per_step"]
    assert figures["times_as_fast_as_reference"] == pytest.approx(ratio) and ratio > 0
    assert f"{ratio:.2f} times" in capsys.readouterr().out and "reference_seconds_per_step" not in found["peak"]


def test_a_step_is_all_of_its_batches() -> None:
    flags = [opts.parse(tiny.arguments(**ONE_LAYER, accu_step=n)) for n in (1, 3)]
    one, three = (parts.measure("finetune", each, 1, 0) for each in flags)
    assert (one["videos_per_step"], three["videos_per_step"]) == (4, 12)
    assert three["flop_per_step"] == 3 * one["flop_per_step"]


def attention_operations(attend: Callable[[Tensor, Tensor, Tensor], Tensor], device: str) -> tuple[int, int]:
    """Counted forwards and backwards, 3 heads of 8 over 5 queries and 7 keys, 2 at once."""
    query, key, value = (
        torch.randn(2, 3, length, 8, dtype=torch.bfloat16, device=device, requires_grad=True) for length in (5, 7, 7)
    )
    with operation_counter() as counter:
        output = attend(query, key, value)
        forward = counter.get_total_flops()
        output.backward(torch.ones_like(output))
    return forward, counter.get_total_flops() - forward


@pytest.mark.parametrize("device", ["cpu", pytest.param("cuda", marks=ON_CUDA)])
def test_attention_is_counted(device: str) -> None:
    product = 2 * (2 * 3) * 5 * 7 * 8
    assert attention_operations(F.scaled_dot_product_attention, device) == (2 * product, 5 * product)


@pytest.mark.parametrize("kernel", ["flash", "efficient", "cudnn"])
def test_attention_of_cuda_is_counted(kernel: str) -> None:
    """On tensors without values, so that no GPU is needed."""
    operation = getattr(torch.ops.aten, f"_scaled_dot_product_{kernel}_attention")
    more = () if kernel == "flash" else (None, True)
    product = 2 * (2 * 3) * 5 * 7 * 8
    counted = attention_operations(lambda *tensors: operation(*tensors, *more)[0], "meta")
    assert counted == (2 * product, 5 * product)


@pytest.mark.skipif(not Path("/proc/self/clear_refs").exists(), reason="only Linux forgets the peak of a process")
def test_the_peak_of_memory_begins_anew() -> None:
    device = torch.device("cpu")
    held = torch.ones(2**27)  # 512 MB
    high = peak_memory(device)
    del held
    forget_peak_memory(device)
    assert peak_memory(device) < high - 4e8


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_the_peak_is_positive(dtype: torch.dtype) -> None:
    found = parts.measure_peak(torch.device("cpu"), dtype, (32, 128))
    assert found["size"] in (32, 128) and set(found["flop_per_second_by_size"]) == {32, 128}
    assert 0 < found["flop_per_second"] < 1e15


def test_sizes_that_would_take_long_are_left_out(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(parts, "LONGEST_PRODUCT", 0.0)
    found = parts.measure_peak(torch.device("cpu"), torch.float32, (64, 10**6))
    assert found["size"] == 64


def test_parts_can_be_chosen_and_go_without_data(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    nowhere = tmp_path / "nowhere"
    chosen = "train,data,pretrain,finetune,peak"
    found = run(tmp_path, "--steps", "1", "--parts", chosen, root_path=nowhere, **ONE_LAYER)
    measured = [name for name in found if name in parts.PARTS]
    assert measured == ["peak", "finetune"] and 0 < found["finetune"]["share_of_peak"] < 1.5
    assert set(found["left_out"]) == {"data", "train", "pretrain"}
    assert str(nowhere) in found["left_out"]["data"] and "pretrain_epochs" in found["left_out"]["pretrain"]
    lines = [line for line in capsys.readouterr().out.splitlines() if "left out" in line]
    assert len(lines) == 3 and str(nowhere) in lines[0]
    assert "mask_ratio" not in found["finetune"]


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device")
def test_a_gpu_is_measured(tmp_path: Path) -> None:
    found = run(tmp_path, "--steps", "3", "--parts", "peak,pretrain,finetune", device="cuda")
    assert found["machine"]["device"].startswith("cuda") and found["peak"]["flop_per_second"] > 0
    for part in ("pretrain", "finetune"):
        assert 0 < found[part]["share_of_peak"] < 1.5 and found[part]["seconds_per_step"] > 0
        assert found[part]["memory_before_model_bytes"] < found[part]["peak_memory_bytes"]


def test_noise_has_the_shapes_of_data(tiny_dataset: Path) -> None:
    flags = opts.parse(tiny.arguments(root_path=tiny_dataset))
    benchmark_, loader = parts.open_training_split(flags, flags.batch_size)
    real, noise = next(iter(loader)), noise_batch(flags, len(benchmark_.classes))
    for field in fields(real):
        expected, found = getattr(real, field.name), getattr(noise, field.name)
        if isinstance(expected, Tensor):
            assert (found.shape, found.dtype) == (expected.shape, expected.dtype), field.name
        elif field.name != "skipped":
            assert len(found) == len(expected) == 4, field.name
    valid = noise.cue_valid
    assert 0 < valid.float().mean() < 1 and bool((noise.cue_sentiment.abs() == valid).all())
    torch.testing.assert_close(noise.cue_emotion.sum(dim=-1), valid.float())
    assert bool((noise.cue_pieces.any(dim=-1) == valid).all()) and not noise.cue_pieces[..., 0].any()


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["--parts", "speed"], "speed"),
        (["--steps", "0"], "--steps"),
        (["--reference", "--parts", "peak,data"], "--reference"),
        (["--json", "none/figures.json"], "none/figures.json"),
        (["--preset", "base"], "--preset"),
        (["--", "--nonsense"], "--nonsense"),
        (["--", "--device", "tpu"], "--device tpu"),
        (["--", "--resume", "--expr_name", "a"], "--resume"),
        (["--", "--patience", "3"], "--patience"),
        (["--parts", "data", "--", "--root_path", "none"], "none is no folder"),
        (["--parts", "peak,train", "--", "--root_path", "."], "json"),
        (["--parts", "finetune", "--", *tiny.arguments(embed_dim=25)], "embed_dim 25"),
        (["--parts", "finetune", "--", *tiny.arguments(dataset="custom", root_path=".")], "json"),
    ],
)
def test_bad_input_is_one_line(
    words: list[str], said: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    try:
        status = benchmark.main(words, parts.measure)
    except SystemExit as ended:
        status = ended.code
    shown = capsys.readouterr()
    lines = shown.err.splitlines()
    assert status == 2 and len(lines) == 1 and said in lines[0]
    assert "| peak " not in shown.out, "nothing is measured in vain"


def test_a_child_that_dies_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    class Dying(ThreadPoolExecutor):
        def __init__(self, n: int, **_: object) -> None:
            super().__init__(n)

    def die(*_: object) -> None:
        raise BrokenProcessPool

    monkeypatch.setattr(benchmark, "ProcessPoolExecutor", Dying)
    monkeypatch.setattr(benchmark, "measure", die)
    with pytest.raises(benchmark.DataError, match=r"pretrain died.*batch_size"):
        benchmark.measure_in_child("pretrain", opts.parse([]), 1, 0)


def test_training_reads_epoch_after_epoch_and_each_word_once(tiny_dataset: Path) -> None:
    flags = opts.parse(tiny.arguments(root_path=tiny_dataset, batch_size=16))
    benchmark_, loader = parts.open_training_split(flags)
    batches = parts._epoch_after_epoch(loader)
    first, second = next(batches), next(batches)
    assert len(first) == len(second) == 16 and first.keys == second.keys and len(set(first.keys)) == 16
    assert not torch.equal(first.labels, second.labels), "another epoch has another order"
    assert read_splits(flags)[0] == benchmark_
