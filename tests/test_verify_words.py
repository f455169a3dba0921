"""Verification against known words, by hand and from a checkpoint."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest
import torch

import main as program
from tests import tiny
from tools import verify_words


def test_a_cue_is_right_by_its_word_and_its_time() -> None:
    batch = replace(
        tiny.batch(1),  # segments of 0 to 2 and 2 to 4 seconds
        keys=[("Joy", "v")],
        cue_words=[[["Glee", "gloom"], ["glee"]]],
    )
    said = [
        {"word": "glee", "start": 0.5, "end": 1.5, "right": True},
        {"word": "gloom", "start": 0.5, "end": 1.5, "right": False},
        {"word": "glee", "start": 2.5, "end": 3.5, "right": False},
    ]
    right = verify_words.which_are_right(batch, {"Joy/v": said})
    assert right[0, 0].tolist() == [True, False, False] and not right[0, 1].any()


def test_rates_by_hand() -> None:
    counts = torch.tensor([[6, 10, 6], [5, 7, 6], [3, 4, 6], [0, 0, 6]])
    assert verify_words.rates(counts) == [(0.6, 1.0), (5 / 7, 5 / 6), (0.75, 0.5), (0.0, 0.0)]


@pytest.fixture(scope="module")
def run(tiny_dataset: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("verified")
    words = tiny.arguments(root_path=tiny_dataset, result_path=folder, expr_name="run", n_epochs=1)
    assert program.main(words) == 0
    return folder / "run"


def test_a_checkpoint_is_measured_on_both_splits(
    run: Path, tiny_dataset: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    known = tiny_dataset / "words.json"
    assert verify_words.main([str(run / "last.pt"), "--words", str(known)]) == 0, "a fine-tuned model verifies, too"
    capsys.readouterr()
    assert verify_words.main([str(run / "pretrained.pt"), str(run / "pretrained.pt"), "--words", str(known)]) == 0
    table = capsys.readouterr().out
    assert "| stage, training videos | precision | recall |" in table and "| stage, test videos |" in table
    shares = [entry["right"] for words in json.loads(known.read_text()).values() for entry in words]
    assert table.count("± 0.000 |") == 16, "one checkpoint twice has no spread"
    assert 0 < sum(shares) < len(shares)
    assert table.count("| all words |") == 2 and table.count("| 1.000 ± 0.000 |\n") >= 2, (
        "every right word is among all"
    )


def test_bad_input_is_one_line(
    run: Path, tiny_dataset: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    known = str(tiny_dataset / "words.json")
    assert verify_words.main([str(tmp_path / "none.pt"), "--words", known]) != 0
    assert verify_words.main([str(run / "last.pt"), "--words", str(tmp_path / "none.json")]) != 0
    (tmp_path / "few.json").write_text("{}")
    assert verify_words.main([str(run / "last.pt"), "--words", str(tmp_path / "few.json")]) != 0
    (tmp_path / "other.json").write_text('{"Joy/v": [{"start": 0, "end": 1, "label": "Joy"}]}')
    assert verify_words.main([str(run / "last.pt"), "--words", str(tmp_path / "other.json")]) != 0
    lines = [line for line in capsys.readouterr().err.splitlines() if "verify_words" in line]
    assert (
        len(lines) == 4
        and "other.json" in lines[3]
        and "none.pt" in lines[0]
        and "none.json" in lines[1]
        and "lacks" in lines[2]
    )
