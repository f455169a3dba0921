"""A disk that is full or may not be written: one line, exit status 2, and what was saved before is as it was."""

from __future__ import annotations

import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch

import main
from core import checkpoint
from core.board import Board
from core.checkpoint import CheckpointError, load_checkpoint, save_checkpoint
from core.experiment import start_log
from core.files import FileError, whole, write_text
from tests import tiny
from tests.test_interruption import assert_same, result_of


class Disk:
    """A small one in memory."""

    def __init__(self, root: Path) -> None:
        self.root = root

    def mount(self, *options: str) -> None:
        """With these options of mount(8)."""
        done = subprocess.run(["mount", "-t", "tmpfs", "-o", ",".join(options), "mart", self.root], capture_output=True)
        if done.returncode:
            pytest.skip("mounting needs a privilege that is not there")

    def remount(self, option: str) -> None:
        """With another size, or `ro` or `rw`."""
        subprocess.run(["mount", "-o", f"remount,{option}", self.root], check=True)

    def fill(self) -> None:
        """To the last byte."""
        with (self.root / "ballast").open("wb", buffering=0) as file:
            for size in (2**20, 2**12, 1):
                try:
                    while True:
                        file.write(b"\0" * size)
                except OSError:
                    pass


@pytest.fixture
def disk(tmp_path: Path) -> Iterator[Disk]:
    """4 MB."""
    made = Disk(tmp_path / "disk")
    made.root.mkdir()
    made.mount("size=4m")
    yield made
    subprocess.run(["umount", "--lazy", made.root], check=True)


def test_a_full_disk_leaves_the_checkpoint_of_before(disk: Disk) -> None:
    path, weights = disk.root / "last.pt", {"w": torch.randn(2**19)}  # 2 MB
    save_checkpoint(path, {"model": weights, "step": 1})
    with pytest.raises(CheckpointError, match=r"last\.pt: cannot be written \(No space left on device\)"):
        save_checkpoint(path, {"model": {"w": torch.randn(2**20)}, "step": 2})
    assert load_checkpoint(path)["step"] == 1
    torch.testing.assert_close(load_checkpoint(path)["model"], weights)
    assert [file.name for file in disk.root.iterdir()] == ["last.pt"]


def test_a_run_on_a_disk_that_fills_up_goes_on_when_there_is_room(
    disk: Disk, tiny_dataset: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    flags = {"root_path": tiny_dataset, "pretrain_epochs": 0, "n_epochs": 3}
    save = checkpoint.save_checkpoint

    def fill_before_the_second(path: Path, content: dict) -> None:
        if path.exists():
            disk.fill()
        save(path, content)

    with monkeypatch.context() as patch:
        patch.setattr(checkpoint, "save_checkpoint", fill_before_the_second)
        assert main.main(tiny.arguments(**flags, result_path=disk.root, expr_name="r")) == 2
    printed = capsys.readouterr()
    lines = [line for line in printed.err.splitlines() if line and "batch/s" not in line and "epoch" not in line]
    assert lines[-1].startswith("error: ") and "last.pt: cannot be written (No space left on device)" in lines[-1]
    assert "Traceback" not in printed.err + printed.out
    assert load_checkpoint(disk.root / "r" / "last.pt")["epoch"] == 1
    (disk.root / "ballast").unlink()
    disk.remount("size=64m")
    assert main.main(["--resume", "--expr_name", "r", "--result_path", str(disk.root)]) == 0
    assert main.main(tiny.arguments(**flags, result_path=tmp_path, expr_name="unbroken")) == 0
    assert_same(result_of(disk.root / "r"), result_of(tmp_path / "unbroken"))


def test_a_folder_that_may_not_be_written_is_said(
    disk: Disk, tiny_dataset: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    words = tiny.arguments(root_path=tiny_dataset, result_path=disk.root, expr_name="r", pretrain_epochs=0)
    disk.remount("ro")
    assert main.main(words) == 2
    message = capsys.readouterr().err
    assert message.count("\n") == 1 and "Read-only file system" in message and "--result_path" in message
    disk.remount("rw")
    disk.remount("size=64m")
    assert main.main(words) == 0
    start_log(None)  # which lets go of the file
    disk.remount("ro")
    before = (disk.root / "r" / "last.pt").read_bytes()
    capsys.readouterr()
    assert main.main(["--resume", "--expr_name", "r", "--result_path", str(disk.root)]) == 2
    message = capsys.readouterr().err
    assert message.count("\n") == 1 and "Read-only file system" in message
    assert (disk.root / "r" / "last.pt").read_bytes() == before


def test_tensorboard_is_given_up_once(
    disk: Disk, caplog: pytest.LogCaptureFixture, capfd: pytest.CaptureFixture
) -> None:
    board = Board(disk.root / "tensorboard", 1)
    board.scalars("step", {"loss": 1.0}, 1)
    board.flush()
    disk.fill()
    for step in range(2000):
        board.scalars("step", {"loss": 1.0}, step)
    board.flush()
    board.close()
    (line,) = caplog.messages
    assert line.endswith(
        "tensorboard: cannot be written (No space left on device); the run goes on without TensorBoard"
    )
    assert "Traceback" not in capfd.readouterr().err


def test_tensorboard_may_not_even_begin(disk: Disk, caplog: pytest.LogCaptureFixture) -> None:
    disk.fill()
    board = Board(disk.root / "tensorboard", 1)
    board.scalars("step", {"loss": 1.0}, 1)
    board.flush()
    assert len(caplog.messages) == 1


def test_the_log_goes_on_in_the_terminal(disk: Disk, capsys: pytest.CaptureFixture[str]) -> None:
    start_log(disk.root / "log.txt")
    main.log.info("first")
    disk.fill()
    for _ in range(1000):
        main.log.info("a line of the log, " * 10)
    printed = capsys.readouterr()
    assert printed.err.count("\n") == 1 and "log.txt: cannot be written (No space left on device)" in printed.err
    assert printed.out.count("\n") == 1001
    (disk.root / "ballast").unlink()
    main.log.info("last")
    assert (disk.root / "log.txt").read_text().endswith("INFO last\n")
    start_log(None)


def test_a_text_is_replaced_whole_or_not(disk: Disk) -> None:
    path = disk.root / "metrics.json"
    write_text(path, "before")
    disk.fill()
    with pytest.raises(FileError, match=r"metrics\.json: cannot be written \(No space left on device\)"):
        write_text(path, "after" * 10_000)
    assert path.read_text() == "before" and len(list(disk.root.iterdir())) == 2


def test_an_error_while_a_file_is_written_leaves_none(tmp_path: Path) -> None:
    with pytest.raises(KeyboardInterrupt), whole(tmp_path / "a") as temporary:
        temporary.write_text("half")
        assert temporary.parent == tmp_path and list(tmp_path.iterdir()) == [temporary]
        raise KeyboardInterrupt
    assert list(tmp_path.iterdir()) == []


def test_a_checkpoint_that_somebody_deletes_is_named(
    tiny_dataset: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    run = main.Trainer.run

    def and_delete(self: main.Trainer, *arguments: object) -> None:
        run(self, *arguments)
        (self.folder / "best.pt").unlink()

    monkeypatch.setattr(main.Trainer, "run", and_delete)
    flags = {"root_path": tiny_dataset, "result_path": tmp_path, "pretrain_epochs": 0, "val_fraction": 0.5}
    assert main.main(tiny.arguments(**flags, expr_name="r")) == 2
    line = capsys.readouterr().err.splitlines()[-1]
    assert line.startswith("error: ") and "best.pt: no such checkpoint" in line
    assert load_checkpoint(tmp_path / "r" / "last.pt")["epoch"] == 2


def test_a_run_writes_the_next_checkpoint_where_somebody_deletes_one(
    tiny_dataset: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The one of the first of two epochs, before the second one begins."""
    save, found = checkpoint.save_checkpoint, []

    def and_delete(path: Path, content: dict) -> None:
        found.append((path.name, content["epoch"], path.exists()))
        save(path, content)
        if content["epoch"] == 1:
            path.unlink()

    words = tiny.arguments(root_path=tiny_dataset, result_path=tmp_path, pretrain_epochs=0)
    with monkeypatch.context() as patch:
        patch.setattr(checkpoint, "save_checkpoint", and_delete)
        assert main.main([*words, "--expr_name", "r"]) == 0
    assert found == [("last.pt", 1, False), ("last.pt", 2, False)]
    assert main.main([*words, "--expr_name", "unbroken"]) == 0
    assert_same(result_of(tmp_path / "r"), result_of(tmp_path / "unbroken"))
