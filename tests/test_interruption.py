"""Signals and kill -9 at chosen moments of a run: nothing half is left, and what goes on ends as an unbroken run."""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import pytest
import torch

from core import interruption
from core.checkpoint import load_checkpoint
from core.files import PART
from tests import tiny
from tests.children import Moment, start

# 8 videos in 4 batches, 2 steps an epoch: one of pre-training and two of fine-tuning, which are scored on 8 others
FLAGS = {"n_epochs": 2, "val_fraction": 0.5, "batch_size": 2, "accu_step": 2, "warmup_epochs": 0, "precision": "fp32"}
MOMENTS = {
    "loading": Moment("main:new_model"),
    "a step of pre-training": Moment("torch.optim:AdamW.step", 1),
    "a step of fine-tuning": Moment("torch.optim:AdamW.step", 3),
    "between accumulated batches": Moment("core.engine:_draw", 10),
    "evaluation": Moment("core.evaluation:classification_losses", 2),
    "the last evaluation": Moment("core.evaluation:classification_losses", 11),
    "a checkpoint that is begun": Moment("torch:save", 1),
    "a checkpoint without its name": Moment("os:fsync", 3),
    "a spectrogram": Moment("datasets.spectrograms:SpectrogramCache._make_room", 3),
    "the metrics": Moment("core.files:write_json", 1),
}
STATUS = {signal.SIGKILL: -9, signal.SIGTERM: 143, signal.SIGINT: 130}
CASES = [(number, name) for name in MOMENTS for number in STATUS]


Result = tuple[str, dict[str, torch.Tensor]]  # metrics.json, and the weights of all checkpoints by name


@dataclass
class Ended:
    """A run that a signal met, and what became of it."""

    status: int
    output: str
    left: list[str]  # unfinished files, when it had ended
    result: Result  # of what went on from there
    left_at_last: list[str]


def result_of(folder: Path) -> Result:
    """What a finished run has made."""
    weights = {}
    for file in ("pretrained.pt", "best.pt", "last.pt"):
        if (folder / file).is_file():
            stored = load_checkpoint(folder / file)
            weights |= {f"{file} {part} {n}": v for part in ("model", "ema") for n, v in stored[part].items()}
    return (folder / "metrics.json").read_text(), weights


def assert_same(found: Result, expected: Result) -> None:
    """Bit for bit."""
    assert found[1].keys() == expected[1].keys()
    assert [name for name, value in expected[1].items() if not torch.equal(found[1][name], value)] == []
    assert found[0] == expected[0]


def interrupt(root: Path, results: Path, number: int, moment: Moment) -> Ended:
    name = f"{int(number)}-{moment.call.rpartition('.')[2]}-{moment.count}".replace(":", "-")
    folder, cache, log = results / name, results / f"{name}-cache", results / f"{name}.txt"
    words = tiny.arguments(**FLAGS, root_path=root, result_path=results, sound_cache=cache, expr_name=name)
    status = start(words, log, signal_at=(number, moment)).wait()
    output = log.read_text()
    left = [path.name for path in folder.rglob(f"{PART}*")]
    left += [path.name for path in cache.glob(".*")]
    for path in folder.glob("[!.]*.pt"):  # what has its name is whole
        load_checkpoint(path)
    again = (
        ["--resume", "--expr_name", name, "--result_path", str(results)] if (folder / "flags.json").exists() else words
    )
    assert start(again, log).wait() == 0, log.read_text()
    return Ended(status, output, left, result_of(folder), [path.name for path in folder.rglob(f"{PART}*")])


@pytest.fixture(scope="module")
def unbroken(tiny_dataset: Path, tmp_path_factory: pytest.TempPathFactory) -> Result:
    results = tmp_path_factory.mktemp("unbroken")
    words = tiny.arguments(**FLAGS, root_path=tiny_dataset, result_path=results, expr_name="run")
    assert start(words, results / "log.txt").wait() == 0
    return result_of(results / "run")


@pytest.fixture(scope="module")
def ended(
    tiny_dataset: Path, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[dict[tuple[int, str], Future[Ended]]]:
    """All cases, two at a time."""
    results = tmp_path_factory.mktemp("broken")
    pool = ThreadPoolExecutor(2)
    yield {case: pool.submit(interrupt, tiny_dataset, results, case[0], MOMENTS[case[1]]) for case in CASES}
    pool.shutdown(cancel_futures=True)


@pytest.mark.parametrize(("number", "name"), CASES, ids=lambda value: getattr(value, "name", value))
def test_whatever_a_run_meets_it_ends_as_an_unbroken_one(
    number: signal.Signals,
    name: str,
    ended: dict[tuple[int, str], Future[Ended]],
    unbroken: Result,
) -> None:
    found = ended[number, name].result()
    assert found.status == STATUS[number], found.output
    if number != signal.SIGKILL:
        assert found.left == [] and "Traceback" not in found.output and "--resume" in found.output
    assert found.left_at_last == []
    assert_same(found.result, unbroken)


def test_a_deferred_signal_waits_and_raises_at_the_end() -> None:
    behind = False
    with pytest.raises(interruption.Terminated), interruption.deferred() as signalled:
        assert signalled() == 0
        os.kill(os.getpid(), signal.SIGTERM)
        os.kill(os.getpid(), signal.SIGTERM)  # as from torchrun and from the cluster
        assert signalled() == signal.SIGTERM
        behind = True
    assert behind and signal.getsignal(signal.SIGTERM) == signal.SIG_DFL


def test_a_second_ctrl_c_does_not_wait(monkeypatch: pytest.MonkeyPatch, ctrl_c: None) -> None:
    behind = []
    with pytest.raises(KeyboardInterrupt), interruption.deferred() as signalled:
        os.kill(os.getpid(), signal.SIGINT)
        os.kill(os.getpid(), signal.SIGINT)  # torchrun passes on the first
        behind.append(signalled())
        monkeypatch.setattr(interruption, "AGAIN", 0.0)
        os.kill(os.getpid(), signal.SIGINT)
        behind.append("not reached")
    assert behind == [signal.SIGINT]


def test_within_what_waits_something_may_be_ended_at_once(ctrl_c: None) -> None:
    with pytest.raises(KeyboardInterrupt), interruption.deferred() as signalled:
        with pytest.raises(interruption.Terminated), interruption.at_once():
            os.kill(os.getpid(), signal.SIGTERM)
        assert signalled() == 0
        os.kill(os.getpid(), signal.SIGINT)
        assert signalled() == signal.SIGINT


def test_an_error_is_not_hidden_by_a_signal() -> None:
    with pytest.raises(ValueError, match="first"), interruption.deferred():
        os.kill(os.getpid(), signal.SIGTERM)
        raise ValueError("first")


@pytest.fixture
def ctrl_c() -> Iterator[None]:
    """Not ignored, as it is where the tests run in the background."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)
