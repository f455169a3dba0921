"""Checkpoints: whole or not there, read without running code, filled strictly."""

from __future__ import annotations

from importlib.metadata import version
from pathlib import Path

import pytest
import torch

from core import checkpoint


class Payload:
    """Unpickling this would run code."""

    def __reduce__(self) -> tuple:
        return (Path("pwned").write_text, ("pwned",))


def test_what_is_saved_comes_back(tmp_path: Path) -> None:
    weights = {"w": torch.arange(4.0)}
    checkpoint.save_checkpoint(tmp_path / "a" / "last.pt", {"model": weights, "flags": {"x": 1}})
    content = checkpoint.load_checkpoint(tmp_path / "a" / "last.pt")
    torch.testing.assert_close(content["model"], weights)
    assert content["flags"] == {"x": 1} and content["versions"]["torch"] == version("torch")
    assert [p.name for p in (tmp_path / "a").iterdir()] == ["last.pt"]


def test_a_failed_write_leaves_the_old_one(tmp_path: Path) -> None:
    path = tmp_path / "last.pt"
    checkpoint.save_checkpoint(path, {"step": 1})
    with pytest.raises(Exception, match="pickle"):
        checkpoint.save_checkpoint(path, {"step": 2, "bad": lambda: None})
    assert checkpoint.load_checkpoint(path)["step"] == 1
    assert [p.name for p in tmp_path.iterdir()] == ["last.pt"]


def test_code_in_a_file_is_not_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    torch.save({"format": 1, "x": Payload()}, "evil.pt")
    with pytest.raises(checkpoint.CheckpointError, match=r"evil\.pt: holds more than tensors"):
        checkpoint.load_checkpoint(Path("evil.pt"))
    assert not Path("pwned").exists()


@pytest.mark.parametrize("keep", [0, 10, 400])
def test_a_cut_off_file_is_refused(tmp_path: Path, keep: int) -> None:
    path = tmp_path / "last.pt"
    checkpoint.save_checkpoint(path, {"model": {"w": torch.zeros(100)}})
    path.write_bytes(path.read_bytes()[:keep])
    with pytest.raises(checkpoint.CheckpointError, match=r"last\.pt"):
        checkpoint.load_checkpoint(path)


def test_missing_and_foreign_files_are_refused(tmp_path: Path) -> None:
    with pytest.raises(checkpoint.CheckpointError, match="no such checkpoint"):
        checkpoint.load_checkpoint(tmp_path / "none.pt")
    torch.save({"state_dict": {}}, tmp_path / "other.pt")
    with pytest.raises(checkpoint.CheckpointError, match="not a checkpoint of this program"):
        checkpoint.load_checkpoint(tmp_path / "other.pt")


def test_weights_of_another_model_are_named() -> None:
    model = torch.nn.Linear(2, 3)
    with pytest.raises(checkpoint.CheckpointError, match=r"bias is missing; extra is unknown; weight has"):
        checkpoint.load_weights(model, {"weight": torch.zeros(3, 4), "extra": torch.zeros(1)}, Path("x.pt"))
