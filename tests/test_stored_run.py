"""A checkpoint as a stranger may write it: what it says of the run is believed only where it can be."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest
import torch

import main
import opts
from core.checkpoint import CheckpointError, load_checkpoint
from core.stored_run import RESUMED, load_run
from tests import models
from tests.fuzz.judge import judge


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "last.pt"


def test_what_training_writes_is_taken(path: Path) -> None:
    stored = load_run(models.write_checkpoint(path))
    assert (stored["epoch"], stored["classes"]) == (3, list(models.CLASSES))
    assert load_run(models.write_checkpoint(path, polarity=None, segment_seconds=None)), "of an older version"


@pytest.mark.parametrize("name", ["flags", "classes", "epoch", "ema"])
def test_what_is_missing_is_named(path: Path, name: str) -> None:
    with pytest.raises(CheckpointError, match=f"{name} is missing; use a checkpoint that training wrote"):
        load_run(models.write_checkpoint(path, **{name: None}))
    with pytest.raises(CheckpointError, match=f"{RESUMED[0]} is missing"):
        load_run(models.write_checkpoint(path), resume=True)


WRONG: dict[str, list[Any]] = {
    "flags": [[1], {"val_len": [1]}, {"val_len": torch.zeros(2)}, {1: 2}, {"device": "cpu\n"}, {"device": "x" * 9999}],
    "classes": ["Joy", [], [1, 2], ["Joy", "Joy"], ["Joy", ""], ["a\x1b[2J", "b"], {"Joy": 1}],
    "polarity": ["+-", [2] * 8, [True] * 8, [0.5] * 8, [[0]] * 8, {0: 1}],
    "segment_seconds": [0, -1.0, 10**400, float("nan"), float("inf"), "2", True, torch.tensor(1.0)],
    "epoch": [-1, 2.0, "3", True, 2**40, torch.tensor(3)],
    "ema": [{}, [1], torch.zeros(3)],
}


@pytest.mark.parametrize(("name", "value"), [(name, value) for name, values in WRONG.items() for value in values])
def test_what_is_wrong_is_named(path: Path, name: str, value: object) -> None:
    with pytest.raises(CheckpointError, match=rf"last\.pt: {name} is not a") as caught:
        load_run(models.write_checkpoint(path, **{name: value}))
    assert str(caught.value).isprintable() and len(str(caught.value)) < 500


def test_polarity_and_weights_that_do_not_fit(path: Path) -> None:
    with pytest.raises(CheckpointError, match="has a polarity for 7 of 8 classes"):
        load_run(models.write_checkpoint(path, polarity=[0] * 7))
    weights = load_checkpoint(models.write_checkpoint(path))["ema"]
    for odd, fault in ((torch.zeros(3).to_sparse(), "no plain tensor"), ("x", "no plain tensor")):
        with pytest.raises(CheckpointError, match=f"bottleneck is {fault}"):
            load_run(models.write_checkpoint(path, ema=weights | {"bottleneck": odd}))


FLAGS: dict[str, tuple[str, object, str]] = {
    "a word for a number": ("val_len", "many", "argument --val_len: 'many' is not a whole number above 0"),
    "a number out of range": ("val_len", -5, "argument --val_len: '-5' is not a whole number above 0"),
    "an unknown choice": ("temporal_pool", "median", "argument --temporal_pool: invalid choice: 'median'"),
    "a truth for a number": ("sample_size", True, "argument --sample_size: expected one argument"),
    "a word for a truth": ("compile", "yes", "argument --compile/--no-compile: ignored explicit argument 'yes'"),
    "a hundred billion layers": ("depth", 10**11, "has 2 layers, --depth says 100000000000"),
    "a width without measure": ("embed_dim", 3 * 10**6, "weights of another model"),
    "more than can be counted": ("embed_dim", 3 * 10**18, "sizes of the model: "),
    "a picture without measure": ("sample_size", 32 * 10**6, "weights of another model|sizes of the model: "),
    "no whole patches": ("sample_size", 33, "sizes of the model: "),
}


@pytest.mark.parametrize("fault", FLAGS)
def test_flags_of_a_stranger_cost_one_line_and_no_memory(path: Path, fault: str) -> None:
    name, value, words = FLAGS[fault]
    stored = load_checkpoint(models.write_checkpoint(path))["flags"]
    models.write_checkpoint(path, flags=stored | {name: value})
    outcome, found = judge(lambda path: main.run(["--predict", str(path), "--checkpoint", str(path)]), path)
    assert outcome == "refused" and re.search(words, found), found


def test_classes_of_another_number_than_the_weights(path: Path) -> None:
    models.write_checkpoint(path, classes=[f"{number}" for number in range(10**5)], polarity=[0] * 10**5)
    outcome, words = judge(lambda path: main.run(["--predict", str(path), "--checkpoint", str(path)]), path)
    assert (outcome, "visual_head.weight has shape" in words) == ("refused", True), words


def test_a_stranger_takes_no_folder_and_no_processes(tmp_path: Path) -> None:
    theirs = opts.to_stored(opts.parse([])) | {
        "result_path": "/etc", "expr_name": "x", "sound_cache": str(tmp_path), "sound_cache_gb": 1e9,
        "n_threads": 10**6, "root_path": "/data", "val_len": 5,
    }  # fmt: skip
    flags = opts.parse(["--eval", "--checkpoint", "x"], theirs)
    assert (flags.root_path, flags.val_len) == (Path("/data"), 5), "what was trained on, and how, is the run's"
    assert flags.n_threads <= 4096 and (flags.result_path, flags.expr_name) == (Path("results"), "")
    assert (flags.sound_cache, flags.sound_cache_gb) == (Path("none"), 20.0), "nothing is written where they say"
    assert opts.parse(["--sound_cache", "mine"], theirs).sound_cache == Path("mine")
    assert opts.parse([], theirs | {"sound_cache": None, "n_threads": 1}).sound_cache is None
    own = opts.parse(["--resume"], theirs, resume=True)
    assert (own.sound_cache, own.n_threads, own.result_path) == (tmp_path, 10**6, Path("/etc"))


@pytest.mark.parametrize("content", ["[" * 100_000, "[]", "{", "3", '{"val_len": [1]}', '{"seed": {}}', "\xff"])
def test_a_run_that_has_only_its_flags_is_read_with_care(
    content: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "x").mkdir()
    (tmp_path / "x" / "flags.json").write_text(content, encoding="latin-1")
    assert main.main(["--resume", "--expr_name", "x", "--result_path", str(tmp_path)]) == 2
    err = capsys.readouterr().err
    assert err.startswith("error: ") and err.count("\n") == 1 and len(err) < 500
