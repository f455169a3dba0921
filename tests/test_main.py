"""Whole runs of the program on the tiny dataset: train, evaluate, break off, continue, and every wrong start."""

from __future__ import annotations

import itertools
import json
import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
import torch
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

import main
from core import pretraining
from core.checkpoint import load_checkpoint
from tests import tiny

PROJECT = Path(__file__).parents[1]


@pytest.fixture(scope="module")
def trained(tiny_dataset: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Results of one finished run."""
    results = tmp_path_factory.mktemp("results")
    assert main.main(tiny.arguments(root_path=tiny_dataset, result_path=results, expr_name="run")) == 0
    return results / "run"


@pytest.fixture
def broken_dataset(tiny_dataset: Path, tmp_path: Path) -> Path:
    """A copy that a test may damage."""
    copy = tmp_path / "dataset"
    shutil.copytree(tiny_dataset, copy, ignore=shutil.ignore_patterns("videos"))
    shutil.copy(tiny_dataset / f"{tiny_dataset.name}.json", copy / "dataset.json")
    return copy


def evaluate(checkpoint: Path, target: Path, **flags: object) -> dict:
    words = [word for name, value in flags.items() for word in (f"--{name}", str(value))]
    assert main.main(["--eval", "--checkpoint", str(checkpoint), "--json", str(target), *words]) == 0
    return json.loads(target.read_text())


def test_a_run_leaves_everything_behind(trained: Path) -> None:
    files = {str(p.relative_to(trained)) for p in trained.rglob("*") if p.is_file()}
    expected = {"flags.json", "log.txt", "metrics.json", "last.pt", "plots/confusion_matrix.png", "plots/per_class.png"}
    assert expected <= files and any(name.startswith("tensorboard/events") for name in files)
    metrics = json.loads((trained / "metrics.json").read_text())
    assert {"acc_e", "f1_e", "acc_s", "f1_s", "per_class", "confusion_matrix", "n_videos"} <= set(metrics)
    assert metrics["n_videos"] == 8 == sum(map(sum, metrics["confusion_matrix"]))
    assert {"kl", "chebyshev", "clark", "canberra", "cosine", "intersection", "map"} <= set(metrics["temporal"])
    assert json.loads((trained / "flags.json").read_text())["embed_dim"] == 24
    pretrained, last = (set(load_checkpoint(trained / f"{name}.pt")["ema"]) for name in ("pretrained", "last"))
    assert {name.split(".")[0] for name in pretrained - last} == {"tacl", "visual_decoder", "audio_decoder"}
    board = EventAccumulator(str(trained / "tensorboard")).Reload()
    assert [event.step for event in board.Scalars("step/loss")] == [10], "of 12 steps"
    log = (trained / "log.txt").read_text()
    expected = ("pre-training 1/3", "fine-tuning 3/3", "AccE", "videos/s", "waiting for data")
    assert [words for words in expected if words not in log] == []


def test_evaluation_repeats_the_numbers_of_training(trained: Path, tmp_path: Path) -> None:
    metrics = json.loads((trained / "metrics.json").read_text())
    assert evaluate(trained / "last.pt", tmp_path / "a.json") == metrics
    assert evaluate(trained / "last.pt", tmp_path / "b.json", n_threads=2) == metrics
    other = evaluate(trained / "last.pt", tmp_path / "c.json", batch_size=3)
    assert other["confusion_matrix"] == metrics["confusion_matrix"]
    assert other["loss"] == pytest.approx(metrics["loss"], rel=1e-3)


def test_evaluation_writes_a_page_and_replaces_none_unasked(
    trained: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    copy = tmp_path / "last.pt"
    shutil.copy(trained / "last.pt", copy)
    words = ["--eval", "--checkpoint", str(copy), "--report"]
    assert main.main(words) == 0
    page = tmp_path / "report" / "report.html"
    assert f"report: {page}" in capsys.readouterr().out and "Evaluation" in page.read_text()
    page.write_text("mine")
    assert main.main(words) == 2
    message = capsys.readouterr().err
    assert message.count("\n") == 1 and "--overwrite" in message and page.read_text() == "mine"
    assert main.main([*words, "--overwrite"]) == 0 and page.read_text() != "mine"
    assert main.main([*words, "--out", str(tmp_path / "other")]) == 0
    assert (tmp_path / "other" / "report.html").exists()


def test_an_experiment_is_never_replaced_unasked(
    trained: Path, tiny_dataset: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    before = (trained / "last.pt").stat()
    words = tiny.arguments(root_path=tiny_dataset, result_path=trained.parent, expr_name="run")
    assert main.main(words) == 2
    assert "--resume" in capsys.readouterr().err
    assert (trained / "last.pt").stat() == before


def test_overwrite_replaces_experiments_only(tiny_dataset: Path, tmp_path: Path) -> None:
    mine = tmp_path / "thesis"
    mine.mkdir()
    (mine / "chapter.txt").write_text("years of work")
    words = tiny.arguments(root_path=tiny_dataset, result_path=tmp_path, expr_name="thesis", overwrite=True)
    assert main.main(words) == 2
    assert (mine / "chapter.txt").read_text() == "years of work"
    (mine / "flags.json").write_text("{}")
    assert main.main([*words, "--debug"]) == 0
    assert not (mine / "chapter.txt").exists() and (mine / "last.pt").exists()


def test_killed_and_resumed_equals_unbroken(tiny_dataset: Path, tmp_path: Path) -> None:
    flags = {"root_path": tiny_dataset, "result_path": tmp_path, "n_epochs": 6, "n_threads": 2}
    words = tiny.arguments(**flags, expr_name="broken")
    environment = os.environ | {"OMP_NUM_THREADS": str(torch.get_num_threads())}
    process = subprocess.Popen(
        [sys.executable, "main.py", *words],
        cwd=PROJECT,
        env=environment,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    last = tmp_path / "broken" / "last.pt"
    deadline = time.monotonic() + 120
    while not last.exists() and time.monotonic() < deadline and process.poll() is None:
        time.sleep(0.005)
    time.sleep(0.1)  # into the next epoch
    process.send_signal(signal.SIGKILL)
    process.wait()
    assert last.exists() and not (tmp_path / "broken" / "metrics.json").exists(), "killed too early or too late"
    assert 1 <= load_checkpoint(last)["epoch"] < 6
    assert main.main(["--resume", "--expr_name", "broken", "--result_path", str(tmp_path)]) == 0
    assert main.main(tiny.arguments(**flags, expr_name="unbroken")) == 0
    broken, unbroken = (load_checkpoint(tmp_path / name / "last.pt") for name in ("broken", "unbroken"))
    for part in ("model", "ema"):
        different = [n for n, value in unbroken[part].items() if not torch.equal(value, broken[part][n])]
        assert different == []
    texts = [(tmp_path / name / "metrics.json").read_text() for name in ("broken", "unbroken")]
    assert texts[0] == texts[1]


def test_a_finished_run_resumed_only_evaluates(trained: Path, capsys: pytest.CaptureFixture[str]) -> None:
    before = (trained / "metrics.json").read_text()
    assert main.main(["--resume", "--expr_name", "run", "--result_path", str(trained.parent)]) == 0
    assert "videos/s" not in capsys.readouterr().out
    assert (trained / "metrics.json").read_text() == before


def test_a_resumed_run_takes_steps_of_as_many_videos(trained: Path, capsys: pytest.CaptureFixture[str]) -> None:
    words = ["--resume", "--expr_name", "run", "--result_path", str(trained.parent), "--accu_step", "3"]
    assert main.main(words) == 2
    message = capsys.readouterr().err
    assert message.count("\n") == 1 and "steps are of 4 videos" in message and "1 processes are 12" in message


def test_a_loss_that_is_no_number_ends_training_or_is_skipped(
    tiny_dataset: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    losses, steps = pretraining.classification_losses, itertools.count(1)

    def sometimes_wrong(*arguments: object) -> dict[str, torch.Tensor]:
        factor = float("nan") if next(steps) % 8 == 6 else 1.0
        return {name: factor * value for name, value in losses(*arguments).items()}

    monkeypatch.setattr(pretraining, "classification_losses", sometimes_wrong)
    words = tiny.arguments(root_path=tiny_dataset, result_path=tmp_path, expr_name="nan", pretrain_epochs=0)
    assert main.main(words) == 3
    line = capsys.readouterr().err.splitlines()[-1]
    assert line.startswith("error: step 6: the loss is not finite on ") and line.count("/") == 4
    assert "(loss nan, visual nan, audio nan, gradient_norm nan)" in line and "--skip_nonfinite 1" in line
    stored = load_checkpoint(tmp_path / "nan" / "last.pt")
    assert stored["epoch"] == 1 and all(bool(value.isfinite().all()) for value in stored["ema"].values())
    steps = itertools.count(5)
    again = ["--resume", "--expr_name", "nan", "--result_path", str(tmp_path), "--skip_nonfinite", "1"]
    assert main.main(again) == 0
    assert "step 6: the loss is not finite" in (tmp_path / "nan" / "log.txt").read_text()
    stored = load_checkpoint(tmp_path / "nan" / "last.pt")
    assert (stored["step"], stored["begun"]["nonfinite"]) == (8, 1)
    assert all(bool(value.isfinite().all()) for value in stored["model"].values())


def test_weights_that_are_no_numbers_are_not_saved(
    tiny_dataset: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    flags = {"batch_size": 16, "pretrain_epochs": 0, "learning_rate": 1e39, "warmup_epochs": 0}
    assert main.main(tiny.arguments(root_path=tiny_dataset, result_path=tmp_path, expr_name="inf", **flags)) == 3
    assert "weights are not finite at step 1" in capsys.readouterr().err.splitlines()[-1]
    assert not list((tmp_path / "inf").glob("*.pt"))


MEMORY = {
    "a GPU's": (
        torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB. GPU 0 has"),
        "allocate 2.00 GiB",
    ),
    "Python's": (MemoryError(), "of the machine ran out:"),
    "PyTorch's": (None, "tried to allocate 4503599627370496 bytes"),
}


@pytest.mark.parametrize("name", MEMORY)
def test_too_little_memory_says_which_flags_help(
    name: str,
    tiny_dataset: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    error, expected = MEMORY[name]

    def run_out(*_: object) -> None:
        if error is None:
            torch.empty(2**50)
        raise error

    monkeypatch.setattr(main, "new_model", run_out)
    assert main.main(tiny.arguments(root_path=tiny_dataset, result_path=tmp_path)) == 2
    message = capsys.readouterr().err
    assert message.startswith("error: memory o") and message.count("\n") == 1 and expected in message
    assert all(flag in message for flag in ("--batch_size", "--accu_step", "--recompute all", "--fsdp"))


def test_a_resumed_run_cannot_become_another(trained: Path, capsys: pytest.CaptureFixture[str]) -> None:
    words = ["--resume", "--expr_name", "run", "--result_path", str(trained.parent), "--learning_rate", "1"]
    assert main.main(words) == 2
    assert "--learning_rate 1.0" in capsys.readouterr().err


def test_the_best_epoch_is_chosen_on_held_out_training_videos(tiny_dataset: Path, tmp_path: Path) -> None:
    words = tiny.arguments(
        root_path=tiny_dataset,
        result_path=tmp_path,
        expr_name="v",
        val_fraction=0.5,
        patience=1,
        n_epochs=30,
        learning_rate=1e-12,
    )
    assert main.main(words) == 0
    best, last = (load_checkpoint(tmp_path / "v" / name) for name in ("best.pt", "last.pt"))
    assert best["epoch"] == 2 and last["epoch"] == 3, "nothing is learnt, so the second one is no better"
    log = (tmp_path / "v" / "log.txt").read_text()
    assert "held-out AccE" in log and "averaged weights of epoch 2" in log


def test_a_corrupt_file_is_named_or_left_out_and_counted(
    broken_dataset: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    victim = next((broken_dataset / "mp3" / "Joy").iterdir())
    victim.write_bytes(b"\0" * 1000)
    frame = next((broken_dataset / "imgs" / "Fear").iterdir()) / "n_frames"
    words = tiny.arguments(root_path=broken_dataset, result_path=tmp_path, n_threads=2)
    assert main.main([*words, "--expr_name", "a"]) == 2
    message = capsys.readouterr().err.splitlines()[-1]
    assert message.startswith("error: ") and str(victim) in message and "check_dataset" in message
    frame.unlink()
    assert main.main([*words, "--expr_name", "b", "--skip_bad"]) == 0
    log = (tmp_path / "b" / "log.txt").read_text()
    assert str(victim) in log and str(frame) in log


def test_a_split_of_several(broken_dataset: Path, tmp_path: Path) -> None:
    file = broken_dataset / "dataset.json"
    document = json.loads(file.read_text())
    swapped = {"training": "validation", "validation": "training"}
    for number, entry in enumerate(document["database"].values()):
        other = swapped[entry["subset"]] if number else None
        entry["subsets"] = [entry["subset"], other]
    file.write_text(json.dumps(document))
    words = tiny.arguments(root_path=broken_dataset, result_path=tmp_path, expr_name="s", split=2, n_epochs=1)
    assert main.main(words) == 0
    metrics = json.loads((tmp_path / "s" / "metrics.json").read_text())
    assert metrics["n_videos"] == 2 * 8 - (next(iter(document["database"].values()))["subset"] == "training")
    assert evaluate(tmp_path / "s" / "last.pt", tmp_path / "a.json") == metrics, "a stored run keeps its split"


def test_debug_is_two_batches(tiny_dataset: Path, tmp_path: Path) -> None:
    words = tiny.arguments(root_path=tiny_dataset, result_path=tmp_path, expr_name="d", debug=True, n_epochs=90)
    assert main.main(words) == 0
    stored = load_checkpoint(tmp_path / "d" / "last.pt")
    assert (stored["step"], stored["epoch"]) == (4, 2), "two batches in either phase"


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device")
def test_a_gpu_trains_and_scores_like_the_cpu(trained: Path, tiny_dataset: Path, tmp_path: Path) -> None:
    words = tiny.arguments(root_path=tiny_dataset, result_path=tmp_path, expr_name="gpu", device="cuda")
    assert main.main(words) == 0
    there = evaluate(tmp_path / "gpu" / "last.pt", tmp_path / "cuda.json", device="cuda")
    here = evaluate(tmp_path / "gpu" / "last.pt", tmp_path / "cpu.json", device="cpu")
    assert here["loss"] == pytest.approx(there["loss"], rel=0.02), "bf16 rounds differently on the two"


WRONG_STARTS = {
    "no such folder": ({"root_path": "/no/such/folder"}, "/no/such/folder"),
    "no root path": ({"root_path": None, "preset": "base"}, "--root_path"),
    "unknown dataset": ({"dataset": "ve9"}, "ve9"),
    "another benchmark": ({"dataset": "ek6"}, "Anticipation"),
    "no annotation": ({"annotation_path": "none.json"}, "none.json"),
    "no such split": ({"split": 2}, "demo.json: there is no --split 2, its splits are 1 to 1"),
    "no such device": ({"device": "cuda:63"}, "cuda:63"),
    "not a device": ({"device": "potato"}, "potato"),
    "heads do not divide": ({"num_heads": 5}, "num_heads 5"),
    "patches do not divide": ({"sample_size": 40}, "multiples"),
    "sound too short": ({"audio_frames": 9}, "128x9"),
    "a path for a name": ({"expr_name": "a/b"}, "--expr_name"),
    "no reading process": ({"read_timeout": 5, "n_threads": 0}, "--n_threads 1"),
    "nothing to resume": ({"resume": True, "expr_name": "never"}, "never"),
    "resume what": ({"resume": True}, "--expr_name"),
    "a page of what": ({"report": True}, "--report"),
    "evaluate what": ({"eval": True}, "--checkpoint"),
    "no checkpoint": ({"eval": True, "checkpoint": "none.pt"}, "none.pt"),
}


@pytest.mark.parametrize("name", WRONG_STARTS)
def test_a_wrong_start_costs_one_line(
    name: str, tiny_dataset: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    flags, expected = WRONG_STARTS[name]
    assert main.main(tiny.arguments(**({"root_path": tiny_dataset, "result_path": tmp_path} | flags))) == 2
    message = capsys.readouterr().err
    assert message.startswith("error: ") and message.count("\n") == 1 and expected in message


def test_a_checkpoint_of_other_sizes_is_refused(trained: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main.main(["--eval", "--checkpoint", str(trained / "last.pt"), "--embed_dim", "48"]) == 2
    message = capsys.readouterr().err
    assert message.count("\n") == 1 and "bottleneck" in message and "(1, 2, 48)" in message


def test_an_unwritable_results_folder_is_said(tiny_dataset: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main.main(tiny.arguments(root_path=tiny_dataset, result_path="/proc/results")) == 2
    assert "--result_path" in capsys.readouterr().err


def test_an_interpreter_without_pytorch_is_told_of_the_other_one() -> None:
    command = [sys.executable, "-S", str(Path(main.__file__)), "--eval", "--checkpoint", "x"]  # without its packages
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 2
    assert done.stderr == f"error: {sys.executable} has no PyTorch: use .venv/bin/python, which sh run.sh makes\n"
