"""Hostile files for everything that parses one: those that were found before, and new ones, the same in every run.

`python -m tests.fuzz` looks for more of them.
"""

from __future__ import annotations

import os
import pickle
import re
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
import pytest
import torch
from hypothesis import HealthCheck, Phase, given, settings

from datasets.errors import DataError
from tests.fuzz.__main__ import KEPT, ROOM
from tests.fuzz.judge import judge
from tests.fuzz.targets import TARGETS

EXAMPLES = {"subtitles": 100, "video": 100, "checkpoint": 100, "run": 150, "weight_folder": 150}  # others: 300


def outcome_of(name: str, content: bytes) -> tuple[str, str]:
    with TemporaryDirectory(dir=ROOM) as folder:
        path = Path(folder) / TARGETS[name].name
        path.write_bytes(content)
        return judge(TARGETS[name].read, path)


@pytest.fixture(scope="module", params=TARGETS)
def target(request: pytest.FixtureRequest) -> Iterator[str]:
    """A target whose sound files have been read, and with them all that is loaded or built once."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)  # what several would wait for each other counts as time of the processor
    for content in TARGETS[request.param].seeds():
        outcome_of(request.param, content)
    yield request.param
    torch.set_num_threads(threads)


def test_sound_files_are_read(target: str) -> None:
    outcomes = [outcome_of(target, content) for content in TARGETS[target].seeds()]
    assert ("value", "") in outcomes
    assert {outcome for outcome, _ in outcomes} <= {"value", "refused"}


def test_kept_files_do_no_harm(target: str) -> None:
    paths = sorted((KEPT / target).iterdir())
    assert len(paths) >= 3
    outcomes = {path.name: outcome_of(target, path.read_bytes()) for path in paths}
    assert {name: words for name, (outcome, words) in outcomes.items() if outcome == "wrong"} == {}


def test_drawn_files_do_no_harm(target: str) -> None:
    @settings(
        max_examples=EXAMPLES.get(target, 300), derandomize=True, database=None, deadline=None,
        phases=(Phase.generate, Phase.shrink), suppress_health_check=list(HealthCheck),
    )  # fmt: skip
    @given(TARGETS[target].cases)
    def check(content: bytes) -> None:
        outcome, words = outcome_of(target, content)
        assert outcome != "wrong", words

    check()


def test_every_kept_folder_is_of_a_target() -> None:
    assert {path.name for path in KEPT.iterdir()} == set(TARGETS)


class Payload:
    """Unpickling this would run code."""

    def __reduce__(self) -> tuple:
        return (Path("pwned").write_text, ("pwned",))


def refuse(path: Path) -> None:
    raise DataError("one\x1b[2J line")


def waste(path: Path) -> None:
    began = time.process_time()
    while time.process_time() < began + 1.1:
        pass


HARMFUL: dict[str, tuple[Callable[[Path], object], str]] = {
    "another exception": (lambda path: {}["x"], "KeyError"),
    "an exit": (lambda path: sys.exit(2), "SystemExit"),
    "a message of more than one line": (refuse, "DataError of more than one line"),
    "a second": (waste, r"took 1\.\d s"),
    "a gigabyte": (lambda path: np.ones(5 * 2**26, np.float32).sum(), r"took 1\d\d\d MB"),
    "a file elsewhere": (
        lambda path: (path.parent.parent / "elsewhere").write_text("x"),
        "open '.*' outside its folder",
    ),
    "another program": (lambda path: subprocess.run([sys.executable, "-V"], capture_output=True), "subprocess.Popen"),
    "code of a pickle": (lambda path: pickle.loads(pickle.dumps(Payload())), "pickle.find_class"),
    "a number that overflows": (lambda path: np.float32(1e38) * np.float32(1e38), "RuntimeWarning"),
}


@pytest.mark.parametrize("harm", HARMFUL)
def test_the_judge_sees_what_no_file_may_do(harm: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    path = tmp_path / "case" / "file"
    path.parent.mkdir()
    read, words = HARMFUL[harm]
    outcome, found = judge(read, path)
    assert outcome == "wrong" and re.search(words, found), found


def test_the_judge_lets_pass_what_a_file_may_do(tmp_path: Path) -> None:
    assert judge(lambda path: path.write_text("x"), tmp_path / "file") == ("value", "")
    assert judge(lambda path: Path(path.parent, "a").mkdir(), tmp_path / "file") == ("value", "")
    message = f"{tmp_path}/file: is no file"
    assert judge(lambda path: _raise(DataError(message)), tmp_path / "file") == ("refused", "file: is no file")


def _raise(error: Exception) -> None:
    raise error


def test_the_judge_ends_what_waits(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """As for a pipe that nobody writes to, which takes no time of the processor."""
    monkeypatch.setattr("tests.fuzz.judge.MOST_WAIT", 0.2)
    outcome, words = judge(lambda path: os.mkfifo(path) or path.read_text(), tmp_path / "file")
    assert outcome == "wrong" and words.startswith("waited 0.2 s")
