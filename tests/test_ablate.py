"""tools/ablate.py: its tables, what is run, what is taken up again, and real runs."""

from __future__ import annotations

import json
import os
import shlex
import sys
import threading
import time
from pathlib import Path

import pytest

import opts
from datasets.errors import DataError
from tests import tiny
from tests.runs import FakeMain, rows_of
from tools import _runs, ablate
from tools._ablation_tables import Row, table_of, tables, words_of
from tools._batch import exclusive
from tools._run_flags import fingerprint

PROJECT = Path(__file__).parents[1]
PAIR = ["--variant", "MART:", "--variant", "mean pooling: --temporal_pool mean", "--name", "pooling"]


@pytest.mark.parametrize("name", tables(opts.parse([])))
@pytest.mark.parametrize("preset", opts.PRESETS)
def test_every_row_is_something_that_can_be_trained(preset: str, name: str) -> None:
    common = ["--preset", preset]
    table = tables(opts.parse(common))[name]
    for row in table.rows:
        opts.check(opts.parse([*common, *words_of(row)]))
        assert len(row.cells) == len(table.columns)
    assert table.reference in {"", *(row.name for row in table.rows)}


def test_epochs_are_shared_out() -> None:
    known = tables(opts.parse(["--pretrain_epochs", "3", "--n_epochs", "5"]))
    off = "--pretrain_epochs 0"
    assert [row.flags for row in known["budget"].rows] == [f"{off} --n_epochs 5", f"{off} --n_epochs 8", ""]
    assert known["labels"].rows[:3] == (
        Row("baseline, 4 videos a class", ("4", "baseline"), f"{off} --n_epochs 32 --train_per_class 4"),
        Row("MART, 4 videos a class", ("4", "MART"), "--pretrain_epochs 12 --n_epochs 20 --train_per_class 4"),
        Row("baseline, 8 videos a class", ("8", "baseline"), f"{off} --n_epochs 16 --train_per_class 8"),
    )
    assert known["labels"].rows[-1].flags == "--pretrain_epochs 3 --n_epochs 5 --train_per_class 0"


def test_only_what_decides_the_result_tells_runs_apart() -> None:
    def of(words: str) -> str:
        return fingerprint("x", words.split())

    same = ["", "--masking emotion", "--device cpu --n_threads 0 --save_every 3", "--preset demo --root_path data/demo"]
    assert len({of(words) for words in same}) == 1 and len(of("")) == 8
    others = ["", "--masking random", "--root_path elsewhere", "--annotation_path a.json", "--precision fp32"]
    assert len({of(words) for words in others}) == len(others)


def test_tables_share_runs_which_go_seed_by_seed(tmp_path: Path) -> None:
    fake = FakeMain()
    words = ["--table", "components", "--table", "masking", "--seeds", "2", "--out", str(tmp_path)]
    assert ablate.main(words, fake) == 0
    # components: none/random, degree/random, none/emotion, degree/emotion; masking: degree and five, of which two again
    assert len(fake.commands) == 2 * 7
    assert [opts.parse(command[2:]).seed for command in fake.commands] == [0] * 7 + [1] * 7
    assert len(list((tmp_path / "runs").glob("*-s?"))) == 14
    assert [row["n"] for name in ("components", "masking") for row in rows_of(tmp_path / f"{name}.csv")] == ["2"] * 9


def test_a_command_is_whole(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    words = [*PAIR, "--seeds", "1", "--out", str(tmp_path / "a b"), "--dry_run", "--", "--root_path", "my data"]
    fake = FakeMain()
    assert ablate.main(words, fake) == 0
    assert fake.commands == [] and not (tmp_path / "a b").exists()
    commands = [shlex.split(line) for line in capsys.readouterr().out.splitlines()]
    assert len(commands) == 2
    name = fingerprint("", ["--root_path", "my data", "--temporal_pool", "mean"]) + "-s0"
    flags = ["--root_path", "my data", "--temporal_pool", "mean"]
    place = ["--seed", "0", "--result_path", str(tmp_path / "a b" / "runs"), "--expr_name", name]
    assert commands[1] == [sys.executable, str(PROJECT / "main.py"), *flags, *place]


def test_what_is_finished_stays_and_the_rest_is_taken_up(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(_runs, "cores", lambda: 5)
    words = [*PAIR, "--seeds", "2", "--out", str(tmp_path), "--jobs", "2"]
    assert ablate.main(words, FakeMain()) == 0
    finished, unfinished, broken, missing = sorted((tmp_path / "runs").glob("*-s?"))
    (unfinished / "metrics.json").rename(unfinished / "last.pt")
    (broken / "metrics.json").rename(broken / "flags.json")
    (missing / "metrics.json").unlink()
    missing.rmdir()
    before = (finished / "metrics.json").stat()
    capsys.readouterr()
    fake = FakeMain()
    assert ablate.main(words, fake) == 0
    by_name = {opts.parse(command[2:]).expr_name: command[-1] for command in fake.commands}
    assert by_name == {unfinished.name: "--resume", broken.name: "--overwrite", missing.name: missing.name}
    assert (finished / "metrics.json").stat() == before
    assert {environment["OMP_NUM_THREADS"] for environment in fake.environments} == {"2"}
    out = capsys.readouterr().out
    assert "4 runs, 1 of them finished before" in out and "[4/4] " in out and "| MART | " in out


def test_a_failing_run_is_told_and_the_others_go_on(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    fake = FakeMain(lambda command: 3 if "mean" in command and "1" in command else 0)
    words = [*PAIR, "--seeds", "3", "--out", str(tmp_path)]
    assert ablate.main(words, fake) == 1
    assert fake.seen("temporal_pool") == [(pool, seed) for seed in range(3) for pool in ("max", "mean")]
    printed = capsys.readouterr()
    (failure,) = printed.err.splitlines()
    file = tmp_path / "runs" / f"{fingerprint('', ['--temporal_pool', 'mean'])}-s1.txt"
    assert failure.startswith("[4/6] mean pooling, seed 1: FAILED") and "error: the disk is full" in failure
    assert str(file) in failure and file.is_file()
    assert "[3/6] MART, seed 1: AccE 60.00 (0 min 0 s)" in printed.out
    assert [row["n"] for row in rows_of(tmp_path / "pooling.csv")] == ["3", "2"]
    assert (tmp_path / "pooling.md").read_text().endswith(f"{shlex.join(['python', 'tools/ablate.py', *words])}\n```\n")


def test_a_run_without_metrics_has_failed(tmp_path: Path) -> None:
    assert ablate.main([*PAIR, "--seeds", "1", "--out", str(tmp_path)], lambda *_: 0) == 1


def test_the_files_are_rewritten_after_every_run(tmp_path: Path) -> None:
    counts = []

    def run(command: list[str], output: Path, environment: dict[str, str]) -> int:
        file = tmp_path / "pooling.csv"
        counts.append([row["n"] for row in rows_of(file)] if file.is_file() else None)
        return FakeMain()(command, output, environment)

    assert ablate.main([*PAIR, "--seeds", "3", "--out", str(tmp_path)], run) == 0
    # the next runs start while the files are written, so that a count may be behind
    totals = [sum(map(int, count or [])) for count in counts]
    assert totals == sorted(totals) and totals[0] == 0 < totals[-1] < 6
    assert [row["n"] for row in rows_of(tmp_path / "pooling.csv")] == ["3", "3"]


def test_ctrl_c_stops(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    def run(command: list[str], output: Path, environment: dict[str, str]) -> int:
        raise KeyboardInterrupt

    assert ablate.main([*PAIR, "--out", str(tmp_path)], run) == 130
    assert capsys.readouterr().err == "ablate: stopped; run it again to go on\n"


def test_children_end_when_they_are_stopped(tmp_path: Path) -> None:
    lock = os.open(tmp_path, os.O_RDONLY)
    children, status = _runs.Children(lock), []
    file = tmp_path / "a.txt"
    sleeper = [sys.executable, "-c", "import time; print('up', flush=True); time.sleep(100)"]
    thread = threading.Thread(target=lambda: status.append(children.run(sleeper, file, {})))
    thread.start()
    while not file.is_file() or not file.read_text():
        time.sleep(0.02)
    children.stop()
    thread.join(20)
    assert status == [-15]
    assert children.run(sleeper, file, {}) < 0, "none is started any more"


def test_children_of_a_killed_ablation_keep_their_folder(tmp_path: Path) -> None:
    file = tmp_path / "a.txt"
    sleeper = [sys.executable, "-c", "import time; print('up', flush=True); time.sleep(100)"]
    with exclusive(tmp_path) as lock:
        children = _runs.Children(lock)
        thread = threading.Thread(target=lambda: children.run(sleeper, file, {}))
        thread.start()
        while not file.is_file() or not file.read_text():
            time.sleep(0.02)
    with pytest.raises(DataError, match="being written to by another run"), exclusive(tmp_path):
        pass
    children.stop()
    thread.join(20)
    with exclusive(tmp_path):
        pass


WRONG = {
    "nothing": ([], "--table"),
    "unknown table": (["--table", "tab9"], "tab9"),
    "no colon": (["--variant", "MART"], "colon"),
    "the same name twice": (["--variant", "a:", "--variant", "a: --verify none"], "name"),
    "no seeds": (["--table", "masking", "--seeds", "0"], "--seeds"),
    "a path for a name": ([*PAIR[:-1], "a/b"], "a/b"),
    "the name of a table": ([*PAIR[:-1], "masking"], "masking"),
    "a quotation without end": (["--variant", "a: --lexicon 'b"], "quotation"),
    "an unknown flag": (["--variant", "odd one: --vrify none"], "odd one: unrecognized arguments: --vrify"),
    "an unknown common flag": (["--table", "masking", "--", "--vrify"], "--vrify"),
    "a seed of its own": (["--table", "masking", "--", "--seed=3"], "--seed=3"),
    "a contradiction": (["--table", "parts", "--", "--target", "pixel"], "no masking: --masking none"),
}


@pytest.mark.parametrize("name", WRONG)
def test_bad_input_costs_one_line(name: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    words, expected = WRONG[name]
    fake = FakeMain()
    try:
        status = ablate.main(["--out", str(tmp_path / "out"), *words], fake)
    except SystemExit as ended:
        status = ended.code
    message = capsys.readouterr().err
    assert status == 2 and fake.commands == [] and not (tmp_path / "out").exists()
    assert message.startswith("ablate: ") and message.count("\n") == 1 and expected in message


def test_variants_may_hold_colons_and_quotes() -> None:
    table = table_of("t", ["a:--lexicon 'my words.csv' --device cuda:1"])
    assert table.rows[0].name == "a"
    assert words_of(table.rows[0]) == ["--lexicon", "my words.csv", "--device", "cuda:1"]


def test_real_runs_end_in_a_table(tiny_dataset: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    common = tiny.arguments(root_path=tiny_dataset, n_epochs=1, pretrain_epochs=0)
    words = [*PAIR, "--seeds", "2", "--jobs", "2", "--out", str(tmp_path), "--", *common]
    assert ablate.main(words) == 0, capsys.readouterr().err
    rows = rows_of(tmp_path / "pooling.csv")
    assert [(row["variant"], row["n"], row["flags"]) for row in rows] == [
        ("MART", "2", ""),
        ("mean pooling", "2", "--temporal_pool mean"),
    ]
    key = fingerprint("", [*common, "--temporal_pool", "mean"])
    files = [tmp_path / "runs" / f"{key}-s{seed}" / "metrics.json" for seed in range(2)]
    metrics = [json.loads(file.read_text()) for file in files]
    assert float(rows[1]["AccE_mean"]) == pytest.approx(50 * (metrics[0]["acc_e"] + metrics[1]["acc_e"]))
    kl = [each["temporal"]["kl"] for each in metrics]
    assert kl[0] != kl[1] and float(rows[1]["KL_std"]) == pytest.approx(abs(kl[0] - kl[1]) / 2**0.5, abs=1e-6)
    table = (tmp_path / "pooling.md").read_text(encoding="utf-8")
    assert (
        table.startswith("## pooling\n\n| variant | AccS | F1S | AccE | F1E | KL |")
        and table in capsys.readouterr().out
    )
    started = [file.stat().st_mtime_ns for file in files]
    assert ablate.main(words) == 0
    assert [file.stat().st_mtime_ns for file in files] == started
