"""Two processes of torchrun on CPUs do what one process does, evaluate every video once and leave one set of files."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from argparse import Namespace
from copy import deepcopy
from functools import partial
from pathlib import Path

import pytest
import torch
import torch.distributed as dist
from timm.utils import ModelEmaV3
from torch import Tensor

import main
from core import checkpoint, distributed, experiment
from core.assembly import divide
from core.checkpoint import load_checkpoint
from core.engine import StepSettings, TrainState, train_one_epoch
from core.losses import classification_losses
from core.optimizer import OptimizerSettings, build_optimizer
from datasets.benchmarks import BENCHMARKS
from datasets.video_batch import VideoBatch, collate
from models.build import build_model
from models.mbt import MBT
from tests import tiny
from tests.children import PROJECT, Moment, eventually, start, start_two

# 16 videos in steps of 14: in the last step of an epoch one process has two and the other one none
FLAGS = {"batch_size": 7, "precision": "fp32", "warmup_epochs": 0, "n_epochs": 1, "pretrain_epochs": 1}
# The bias of a key changes no attention: its gradient is rounding, which Adam blows up to a tenth of the rate.
FLAGS["learning_rate"] = 1e-4
POLARITY = torch.tensor(BENCHMARKS["ve8"].polarity)


def torchrun(words: list[str]) -> subprocess.CompletedProcess[str]:
    """The program in two processes."""
    command = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc_per_node=2"]
    environment = os.environ | {"OMP_NUM_THREADS": "1"}
    return subprocess.run(
        [*command, str(PROJECT / "main.py"), *words], capture_output=True, text=True, env=environment, check=False
    )


@pytest.fixture(scope="module")
def results(tiny_dataset: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Runs `one`, of one process that accumulates two batches a step, and `two` and `sharded`, of two processes."""
    folder = tmp_path_factory.mktemp("results")
    common = FLAGS | {"root_path": tiny_dataset, "result_path": folder}
    assert main.main(tiny.arguments(**common, expr_name="one", accu_step=2)) == 0
    for name, flags in (("two", {}), ("sharded", {"fsdp": True})):
        done = torchrun(tiny.arguments(**common, **flags, expr_name=name, accu_step=1))
        assert done.returncode == 0, done.stderr
    return folder


@pytest.mark.parametrize("name", ["two", "sharded"])
def test_two_processes_give_the_weights_of_one(results: Path, name: str) -> None:
    before = load_checkpoint(results / "one" / "pretrained.pt")["model"]
    one, other = (load_checkpoint(results / run / "last.pt") for run in ("one", name))
    assert (one["step"], one["epoch"]) == (other["step"], other["epoch"]) == (4, 2)
    for part in ("model", "ema"):
        assert one[part].keys() == other[part].keys()
        for key, weight in one[part].items():
            torch.testing.assert_close(other[part][key], weight, atol=1e-5, rtol=0, msg=f"{part} {key}")
    assert (one["model"]["mbt.visual_head.weight"] - before["mbt.visual_head.weight"]).abs().max() > 1e-4


@pytest.mark.parametrize("name", ["two", "sharded"])
def test_two_processes_score_every_video_once_and_leave_one_set_of_files(results: Path, name: str) -> None:
    one, other = (json.loads((results / run / "metrics.json").read_text()) for run in ("one", name))
    assert other["n_videos"] == 8 == sum(map(sum, other["confusion_matrix"]))
    rounded = ("loss", "temporal", "intervals")
    assert {k: v for k, v in other.items() if k not in rounded} == {k: v for k, v in one.items() if k not in rounded}
    assert other["loss"] == pytest.approx(one["loss"], rel=1e-5)
    assert other["temporal"] == pytest.approx(one["temporal"], rel=1e-5)
    for metric, interval in one["intervals"].items():
        assert other["intervals"][metric] == pytest.approx(interval, rel=1e-5), metric
    assert len(list((results / name / "tensorboard").iterdir())) == 1
    log = (results / name / "log.txt").read_text()
    assert log.count("pre-training 1/2") == log.count("plots:") == 1


def test_a_checkpoint_is_evaluated_by_two_processes(results: Path, tmp_path: Path) -> None:
    path = results / "two" / "last.pt"
    done = torchrun(["--eval", "--checkpoint", str(path), "--json", str(tmp_path / "m.json"), "--batch_size", "3"])
    assert done.returncode == 0, done.stderr
    assert done.stdout.count("test, averaged weights") == 1
    found, expected = (json.loads(p.read_text()) for p in (tmp_path / "m.json", path.with_name("metrics.json")))
    assert (found["confusion_matrix"], found["n_videos"]) == (expected["confusion_matrix"], 8)


def test_a_run_goes_on_in_two_processes_and_back(tiny_dataset: Path, tmp_path: Path) -> None:
    """Each time in the middle of an epoch; in two processes one alone gets the signal. Masks are drawn at random."""
    flags = FLAGS | {"root_path": tiny_dataset, "result_path": tmp_path, "batch_size": 2, "masking": "random"}
    words = tiny.arguments(**flags, log_every=1, accu_step=2, expr_name="moved")
    again = ["--resume", "--expr_name", "moved", "--result_path", str(tmp_path)]
    stored = []
    first = start(words, tmp_path / "a.txt", signal_at=(signal.SIGTERM, Moment("torch.optim:AdamW.step", 2)))
    assert first.wait() == 143, first.log.read_text()
    stored.append(load_checkpoint(tmp_path / "moved" / "last.pt"))
    pair = start_two(
        [*again, "--accu_step", "1"],
        tmp_path / "b.txt",
        signal_at=(signal.SIGTERM, Moment("torch.optim:AdamW.step", 4)),
    )
    assert [each.wait() for each in pair] == [143, 143], pair[0].log.read_text()
    stored.append(load_checkpoint(tmp_path / "moved" / "last.pt"))
    last = start([*again, "--accu_step", "2"], tmp_path / "c.txt")
    assert last.wait() == 0, last.log.read_text()
    assert [(s["epoch"], s["begun"]["batches"], s["step"]) for s in stored] == [(0, 4, 2), (1, 4, 6)]
    unbroken = start([*words, "--expr_name", "unbroken"], tmp_path / "d.txt")
    assert unbroken.wait() == 0
    moved, expected = (load_checkpoint(tmp_path / name / "last.pt") for name in ("moved", "unbroken"))
    for part in ("model", "ema"):
        for key, weight in expected[part].items():
            torch.testing.assert_close(moved[part][key], weight, atol=1e-5, rtol=0, msg=f"{part} {key}")
    line = "pre-training 1/2: loss"
    losses = [(tmp_path / name / "log.txt").read_text().partition(line)[2][:10] for name in ("moved", "unbroken")]
    assert float(losses[0].split(",")[0]) == pytest.approx(float(losses[1].split(",")[0]), abs=2e-4), "of all steps"


def test_who_is_left_says_that_the_others_are_lost(tiny_dataset: Path, tmp_path: Path) -> None:
    flags = FLAGS | {"root_path": tiny_dataset, "result_path": tmp_path, "n_epochs": 50}
    pair = start_two(
        tiny.arguments(**flags, expr_name="r"),
        tmp_path / "log.txt",
        signal_at=(signal.SIGKILL, Moment("torch.optim:AdamW.step", 3)),
    )
    assert pair[1].wait() == -9
    assert pair[0].wait(60) == 2
    line = pair[0].log.read_text().splitlines()[-1]
    assert line.startswith("error: process 0 has lost the others: one has ended") and "Traceback" not in line
    assert load_checkpoint(tmp_path / "r" / "last.pt")["epoch"] == 1


def test_torchrun_starts_a_run_again_which_goes_on(results: Path, tiny_dataset: Path, tmp_path: Path) -> None:
    """Twice a process is killed, and one restart is allowed. Then one process ends what two have begun."""
    words = tiny.arguments(**FLAGS, root_path=tiny_dataset, result_path=tmp_path, accu_step=1, expr_name="again")
    command = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc_per_node=2", "--max-restarts=1"]
    environment = os.environ | {"OMP_NUM_THREADS": "1"}
    with (tmp_path / "log.txt").open("wb") as file:
        process = subprocess.Popen(
            [*command, str(PROJECT / "main.py"), *words], stdout=file, stderr=file, env=environment
        )
    printed = (tmp_path / "log.txt").read_text
    eventually((tmp_path / "again" / "last.pt").exists)
    kill_one_of(process.pid)
    eventually(lambda: "resumed after epoch 1, step 2" in printed())
    kill_one_of(process.pid)
    begun = time.monotonic()
    assert process.wait(60) != 0 and time.monotonic() < begun + 60
    assert "Signal 9 (SIGKILL) received" in printed()
    assert not (tmp_path / "again" / "metrics.json").exists()
    last = start(
        ["--resume", "--expr_name", "again", "--result_path", str(tmp_path), "--accu_step", "2"], tmp_path / "last.txt"
    )
    assert last.wait() == 0, last.log.read_text()
    one, again = (load_checkpoint(folder / "last.pt") for folder in (results / "one", tmp_path / "again"))
    for key, weight in one["model"].items():
        torch.testing.assert_close(again["model"][key], weight, atol=1e-5, rtol=0, msg=key)


def kill_one_of(torchrun: int) -> None:
    """The last process that it has started."""
    children = [int(pid) for task in Path(f"/proc/{torchrun}/task").iterdir() for pid in words_of(task / "children")]
    programs = [pid for pid in children if str(PROJECT / "main.py") in Path(f"/proc/{pid}/cmdline").read_text()]
    assert len(programs) == 2
    os.kill(max(programs), signal.SIGKILL)


def words_of(file: Path) -> list[str]:
    return file.read_text().split()


def test_a_restart_has_to_find_its_experiment(
    tiny_dataset: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture
) -> None:
    monkeypatch.setenv("TORCHELASTIC_MAX_RESTARTS", "3")
    assert main.main(tiny.arguments(root_path=tiny_dataset, result_path=tmp_path)) == 2
    assert "--max-restarts of torchrun needs --expr_name" in capsys.readouterr().err


def test_a_restart_goes_on_with_what_its_own_torchrun_has_begun(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TORCHELASTIC_RUN_ID", "17")
    experiment.open_experiment(tmp_path / "mine", {"seed": 0}, resume=False)
    assert experiment.is_of_this_job(tmp_path / "mine") and not experiment.is_of_this_job(tmp_path / "none")
    monkeypatch.setenv("TORCHELASTIC_RUN_ID", "18")
    assert not experiment.is_of_this_job(tmp_path / "mine")
    monkeypatch.setenv("TORCHELASTIC_RUN_ID", "none")  # as it is called without --rdzv_id
    assert not experiment.is_of_this_job(tmp_path / "mine")
    experiment.open_experiment(tmp_path / "mine", {"seed": 0}, resume=True)
    assert experiment.is_of_this_job(tmp_path / "mine")


def test_a_sharded_run_needs_torchrun(tiny_dataset: Path, tmp_path: Path, capsys: pytest.CaptureFixture) -> None:
    assert main.main(tiny.arguments(root_path=tiny_dataset, result_path=tmp_path, fsdp=True)) == 2
    assert "torchrun --nproc_per_node N main.py" in capsys.readouterr().err


def test_a_stand_in_for_no_video_has_finite_losses() -> None:
    batch = tiny.batch(0).stand_in()
    assert len(batch) == 1 and batch.frames.shape == tiny.batch(1).frames.shape
    torch.manual_seed(0)
    model = build_model(tiny.SIZES)
    losses_of(model, batch)["loss"].backward()
    assert all(bool(p.grad.isfinite().all()) for p in model.parameters() if p.grad is not None)


def losses_of(model: MBT, batch: VideoBatch) -> dict[str, Tensor]:
    return classification_losses(model(batch.media(), batch.present()), batch.labels, POLARITY, 0.5)


def in_two_processes(work: str, folder: Path) -> None:
    """Calls a function of this file, which may assert, in two processes that know each other."""
    torch.multiprocessing.start_processes(_join, args=(work, str(folder / "meeting")), nprocs=2, start_method="spawn")


def _join(rank: int, work: str, meeting: str) -> None:
    torch.set_num_threads(1)
    dist.init_process_group("gloo", init_method=f"file://{meeting}", rank=rank, world_size=2)
    globals()[work]()
    dist.destroy_process_group()


def test_gradients_travel_once_a_step(tmp_path: Path) -> None:
    in_two_processes("accumulate", tmp_path)


def accumulate() -> None:
    torch.manual_seed(0)
    model = build_model(tiny.SIZES)
    state = TrainState(model, ModelEmaV3(model, decay=0.9))
    state.begin_phase(model, OptimizerSettings(1e-3, 0.0, 0), 10)
    objective = distributed.share_gradients(
        distributed.Objective(model, lambda batch: losses_of(model, batch)), partial=False
    )
    journeys: list[int] = []

    def hook(_, bucket):  # PyTorch refuses annotations that are text, as all of this file are
        journeys.append(state.step)
        sent = dist.all_reduce(bucket.buffer().div_(2), async_op=True)
        return sent.get_future().then(lambda future: future.value()[0])

    objective.register_comm_hook(None, hook)
    settings = StepSettings(torch.device("cpu"), torch.float32, POLARITY, accu_step=3)
    batches = [tiny.batch(2, seed=10 * distributed.rank() + number) for number in range(6)]
    seen: list[int] = []
    means, _ = train_one_epoch(
        state, batches, settings, objective=objective, n_batches=6, on_step=lambda step, _: seen.append(step)
    )
    assert journeys == [0, 1] and seen == [1, 2]
    assert distributed.gathered(means["loss"])[0] == means["loss"]
    weights = torch.cat([p.detach().flatten() for p in model.parameters()])
    assert all(torch.equal(other, weights) for other in distributed.gathered(weights))


def test_two_processes_give_the_gradients_of_one(tmp_path: Path) -> None:
    in_two_processes("compare_gradients", tmp_path)


def compare_gradients() -> None:
    """Of two accumulated batches a process, the last one without a video, with those of all videos in one batch."""
    torch.manual_seed(0)
    whole = build_model(tiny.SIZES)
    copies = {fsdp: deepcopy(whole) for fsdp in (False, True)}
    batches = [tiny.batch(3, seed=0), tiny.batch(2, seed=1)], [tiny.batch(1, seed=2), tiny.batch(0, seed=3)]
    losses_of(whole, collate([*batches[0], *batches[1]]))["loss"].backward()
    expected = gradients_of(whole)
    largest = max(gradient.abs().max().item() for gradient in expected.values())
    settings = StepSettings(torch.device("cpu"), torch.float32, POLARITY, accu_step=2, clip_grad=0.0)
    for fsdp, model in copies.items():
        state, found = TrainState(model, ModelEmaV3(model, decay=0.9)), []
        divide(Namespace(fsdp=fsdp), model, state.ema)
        state.begin_phase(model, OptimizerSettings(1e-3, 0.0, 0), 10)
        state.optimizer.register_step_pre_hook(partial(lambda m, seen, *_: seen.append(gradients_of(m)), model, found))
        objective = distributed.Objective(model, partial(losses_of, model))
        train_one_epoch(
            state, batches[distributed.rank()], settings,
            objective=distributed.share_gradients(objective, partial=False), n_batches=4, on_step=lambda *_: None,
        )  # fmt: skip
        (gradients,) = found
        assert gradients.keys() == expected.keys()
        for name, value in expected.items():
            torch.testing.assert_close(gradients[name], value, atol=1e-5 * largest, rtol=0, msg=f"{fsdp} {name}")


def gradients_of(model: MBT) -> dict[str, Tensor]:
    named = ((name, parameter.grad) for name, parameter in model.named_parameters() if parameter.grad is not None)
    return {name: distributed.undivided(gradient).clone() for name, gradient in named}


def test_the_state_of_a_sharded_model_is_whole_in_a_checkpoint(tmp_path: Path) -> None:
    in_two_processes("shard_and_restore", tmp_path)


def shard_and_restore() -> None:
    from core import sharding

    torch.manual_seed(0)
    whole, data = build_model(tiny.SIZES), tiny.batch(4)
    fresh, divided = deepcopy(whole), deepcopy(whole)
    sharding.shard(divided, teacher=False)
    rates = OptimizerSettings(1e-3, 0.01, 0)
    optimizers = {model: build_optimizer(model, rates) for model in (whole, divided)}

    def step(model: MBT) -> None:
        losses_of(model, data)["loss"].backward()
        optimizers[model].step()
        optimizers[model].zero_grad()

    def assert_same(one: MBT, other: MBT) -> None:
        weights = checkpoint.trained_weights(other)
        for name, value in checkpoint.trained_weights(one).items():
            torch.testing.assert_close(weights[name], value, atol=1e-6, rtol=0, msg=name)

    for model in (whole, divided):
        step(model)
        step(model)
    assert_same(whole, divided)
    states = [checkpoint.optimizer_state(optimizers[model])["state"] for model in (whole, divided)]
    for number, kept in states[0].items():
        for name, value in kept.items():
            torch.testing.assert_close(states[1][number][name], value, atol=1e-6, rtol=1e-4)

    # what one process saved goes on in two
    sharding.shard(fresh, teacher=False)
    optimizers[fresh] = build_optimizer(fresh, rates)
    checkpoint.load_weights(fresh, checkpoint.trained_weights(whole), Path("last.pt"))
    checkpoint.load_optimizer(optimizers[fresh], deepcopy(checkpoint.optimizer_state(optimizers[whole])))
    step(whole)
    step(fresh)
    assert_same(whole, fresh)
    with distributed.whole(fresh):
        assert not hasattr(fresh.visual.blocks[0].attn.qkv.weight, "full_tensor")
    assert hasattr(fresh.visual.blocks[0].attn.qkv.weight, "full_tensor")
