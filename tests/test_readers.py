"""Reading processes that die, hang or fail: the video is named, nothing waits for ever, signals leave them alone."""

from __future__ import annotations

import os
import signal
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from torch.utils.data import DataLoader

import opts
from datasets import frame_folders, readers
from datasets.errors import DataError
from datasets.opening import open_loader, read_splits
from datasets.video_emotion import VideoEmotionDataset
from tests import tiny
from tests.children import eventually, start


def read_forever(path: Path) -> bytes:
    """In place of read_file: storage that does not answer when it is asked for a picture."""
    if path.suffix == ".jpg":
        time.sleep(3600)
    return path.read_bytes()


def fall_silent() -> None:
    """In a process of the program."""
    frame_folders.read_file = read_forever


@pytest.fixture
def silent(monkeypatch: pytest.MonkeyPatch) -> None:
    """In this process, and in those that it forks."""
    monkeypatch.setattr(frame_folders, "read_file", read_forever)


def flags_of(root: Path, **changes: object) -> object:
    return opts.parse(tiny.arguments(**{"root_path": root, "n_threads": 1, "batch_size": 1} | changes))


def loader_of(root: Path, **changes: object) -> DataLoader:
    flags = flags_of(root, **changes)
    benchmark, videos, _ = read_splits(flags)
    return open_loader(flags, benchmark, videos[:1], "training")


@pytest.fixture
def hanging(silent: None, tiny_dataset: Path) -> Iterator[tuple[str, DataLoader, readers._Desk]]:
    """The name of a video, a loader whose one process hangs in it, and its desk."""
    loader = loader_of(tiny_dataset)
    video = loader.dataset.videos[0]
    iterator = iter(loader)
    desk = loader.worker_init_fn.__self__.desks[0]
    eventually(lambda: desk.video, 30)
    yield f"{video.label}/{video.id}", loader, desk
    iterator._shutdown_workers()


def gone(pid: int, seconds: float) -> bool:
    """Whether a child process ends within this time."""
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        if not Path(f"/proc/{pid}").exists() or "Z" in Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2][:3]:
            return True
        time.sleep(0.02)
    return False


def test_a_killed_process_names_its_video(hanging: tuple[str, DataLoader, readers._Desk]) -> None:
    name, loader, desk = hanging
    os.kill(desk.pid, signal.SIGKILL)
    with pytest.raises(RuntimeError) as caught:
        next(loader._iterator)
    line = readers.explain(caught.value)
    assert line.startswith(f"a reading process was killed by signal: Killed while it read {name}; if memory ran out")


def test_signals_that_go_to_all_processes_leave_it_alone(hanging: tuple[str, DataLoader, readers._Desk]) -> None:
    _, loader, desk = hanging
    for name in ("INT", "TERM"):
        subprocess.run(["kill", f"-{name}", str(desk.pid)], check=True)
    os.kill(desk.pid, signal.SIGINT)
    assert not gone(desk.pid, 0.5)
    begun = time.monotonic()
    loader._iterator._workers[0].terminate()
    assert gone(desk.pid, 5) and time.monotonic() < begun + 2, "the main process ends it, also while it hangs"


def test_it_ends_with_the_main_process(tiny_dataset: Path, tmp_path: Path) -> None:
    flags = {"root_path": tiny_dataset, "n_threads": 1, "batch_size": 16, "pretrain_epochs": 0, "result_path": tmp_path}
    child = start(tiny.arguments(**flags, expr_name="r"), tmp_path / "log.txt", change=fall_silent)
    try:
        reader = eventually(lambda: children_of(child.process.pid))[0]
        time.sleep(1)
    finally:
        child.send(signal.SIGKILL)
    assert gone(reader, 10)


def children_of(pid: int) -> list[int]:
    return [int(each) for each in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]


@pytest.mark.parametrize("pretrain_epochs", [0, 1])
def test_a_silent_storage_ends_the_run_with_the_name_of_the_video(
    pretrain_epochs: int, tiny_dataset: Path, tmp_path: Path
) -> None:
    """In a process that reads for the training, or in the main one, which first reads what pre-training shows."""
    place = {"root_path": tiny_dataset, "result_path": tmp_path, "expr_name": "r"}
    flags = {"n_threads": 1, "batch_size": 1, "read_timeout": 1, "pretrain_epochs": pretrain_epochs, **place}
    names = {f"{video.label}/{video.id}" for video in read_splits(flags_of(tiny_dataset))[1]}
    child = start(tiny.arguments(**flags), tmp_path / "log.txt", change=fall_silent)
    assert child.wait(60) == 2
    line = child.log.read_text().splitlines()[-1]
    assert line.startswith("error: no data came within --read_timeout") and any(name in line for name in names)


@pytest.mark.parametrize("n_threads", [0, 1])
def test_an_error_that_nobody_has_thought_of_names_the_video(
    n_threads: int, tiny_dataset: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_: object) -> None:
        raise KeyError("no such\nthing")

    monkeypatch.setattr(VideoEmotionDataset, "_read", fail)
    loader = loader_of(tiny_dataset, n_threads=n_threads, skip_bad=True)
    video = loader.dataset.videos[0]
    with pytest.raises(DataError) as caught:
        next(iter(loader))
    assert str(caught.value).startswith(
        f"{video.label}/{video.id}: cannot be read (KeyError: 'no such\\nthing'); --n_th"
    )


@pytest.mark.parametrize("n_threads", [0, 1])
def test_a_video_that_needs_too_much_memory_is_named(
    n_threads: int, tiny_dataset: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(VideoEmotionDataset, "_read", lambda *_: np.zeros(2**48))
    loader = loader_of(tiny_dataset, n_threads=n_threads)
    with pytest.raises(DataError, match=r"^\w+/\w+: memory ran out while it was read; use fewer --n_threads"):
        next(iter(loader))


def test_a_process_that_dies_between_videos_is_no_videos_fault(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(readers, "_all", [])
    assert readers.explain(ValueError("something else")) is None
    line = readers.explain(RuntimeError("DataLoader worker (pid(s) 12) exited unexpectedly"))
    assert line.startswith("a reading process ended while it read no video")
