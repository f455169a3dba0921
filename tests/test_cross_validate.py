"""tools/cross_validate.py: its figures by hand, the splits that it runs or draws, and a real run over two of them."""

from __future__ import annotations

import json
import shlex
import shutil
from pathlib import Path

import pytest
from scipy import stats

import opts
from datasets.annotations import Annotation, Video, read_annotation, write_annotation
from tests import tiny
from tests.runs import FakeMain, rows_of, run_here
from tools import cross_validate
from tools._run_metrics import ACC_E
from tools._split_report import csv_text, markdown, over_splits


def measured(*acc_e: float) -> dict[int, dict]:
    return {seed: {"acc_s": 0.5, "f1_s": 0.5, "acc_e": value, "f1_e": 0.5} for seed, value in enumerate(acc_e)}


THREE = [measured(0.40, 0.50), measured(0.50), measured(0.60, 0.70)]


def test_seeds_are_averaged_before_splits() -> None:
    found = over_splits(ACC_E, [*THREE, {}])
    # 45, 50, 65: mean 53.33, squares of the deviations 69.44, 11.11, 136.11, sum 216.67, half of it 108.33
    assert found.of_split == pytest.approx((45, 50, 65, None))
    assert (found.mean, found.std) == pytest.approx((160 / 3, (650 / 6) ** 0.5))
    # t(0.975, 2) = 4.303 of any table
    reach = 4.303 * (650 / 6) ** 0.5 / 3**0.5
    assert found.interval == pytest.approx((160 / 3 - reach, 160 / 3 + reach), rel=1e-4)
    expected = stats.ttest_1samp([45, 50, 65], 0).confidence_interval(0.95)
    assert found.interval == pytest.approx(list(expected))


def test_too_few_splits_have_no_interval() -> None:
    found = over_splits(ACC_E, [measured(0.4), {}])
    assert (found.mean, found.std, found.interval) == (40, None, None)
    found = over_splits(ACC_E, [{}, {}])
    assert (found.of_split, found.mean, found.interval) == ((None, None), None, None)


def test_the_table_by_hand() -> None:
    lines = markdown("ve8", THREE, 2, "python x").splitlines()
    assert lines[2] == "| metric | mean | standard deviation | 95 % interval | split 1 | split 2 | split 3 |"
    assert lines[6] == "| AccE | 53.33 | 10.41 | 27.48 to 79.19 | 45.00 | 50.00 | 65.00 |"
    assert len(lines) == 14 and lines[9].startswith("5 of 6 runs. A split's figure is the mean over its seeds.")
    header, *rows = csv_text(THREE).splitlines()
    assert header == "metric,mean,std,low,high,split_1,split_2,split_3,n_runs"
    assert rows[2].startswith("AccE,53.333333,10.40833,27.47") and rows[2].endswith(",45.0,50.0,65.0,5")
    assert csv_text([measured(0.4), {}]).splitlines()[3] == "AccE,40.0,,,,40.0,,1"


def annotated(root: Path, n_splits: int) -> Path:
    """A dataset that consists of its annotation file."""
    subsets = [("training", "validation")[number % 2] for number in range(12)]
    videos = [
        Video(f"v{number}", label, subset, subsets=(subset,) * n_splits if n_splits > 1 else ())
        for number, subset in enumerate(subsets)
        for label in ("Joy", "Fear")
    ]
    videos.append(Video("unused", "Joy", None, subsets=(None,) * n_splits))
    root.mkdir(parents=True)
    annotation = Annotation(("Joy", "Fear"), tuple(videos if n_splits > 1 else videos[:-1]), (1, -1))
    write_annotation(root / f"{root.name}.json", annotation)
    return root


def test_every_split_of_the_annotation_runs_seed_by_seed(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    root = annotated(tmp_path / "data", 3)
    words = ["--seeds", "2", "--out", str(tmp_path / "out"), "--", "--dataset", "custom", "--root_path", str(root)]
    fake = FakeMain()
    assert cross_validate.main(words, fake) == 0
    assert fake.seen("split") == [(split, seed) for seed in (0, 1) for split in (1, 2, 3)]
    assert len(list((tmp_path / "out" / "runs").glob("*-s?"))) == 6
    row = rows_of(tmp_path / "out" / "custom.csv")[2]
    # seeds 50 and 60 per cent, one more a split
    assert [row[name] for name in ("metric", "split_1", "split_3", "mean", "std")] == [
        "AccE",
        "55.0",
        "57.0",
        "56.0",
        "1.0",
    ]
    text = (tmp_path / "out" / "custom.md").read_text()
    assert text in capsys.readouterr().out
    assert text.endswith(f"{shlex.join(['python', 'tools/cross_validate.py', *words])}\n```\n")
    again = FakeMain()
    assert cross_validate.main(words, again) == 0 and again.commands == []


def test_a_failing_split_is_told_and_taken_up(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    root = annotated(tmp_path / "data", 3)
    words = ["--seeds", "1", "--name", "n", "--out", str(tmp_path / "out"), "--"]
    words += ["--dataset", "custom", "--root_path", str(root)]
    assert cross_validate.main(words, FakeMain(lambda command: 3 * (opts.parse(command[2:]).split == 2))) == 1
    assert "split 2, seed 0: FAILED" in capsys.readouterr().err
    row = rows_of(tmp_path / "out" / "n.csv")[2]
    assert (row["split_2"], row["mean"], row["n_runs"]) == ("", "51.0", "2")
    fake = FakeMain()
    assert cross_validate.main(words, fake) == 0 and fake.seen("split") == [(2, 0)]
    assert rows_of(tmp_path / "out" / "n.csv")[2]["mean"] == "51.0"


def test_folds_are_drawn_into_the_output_folder(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    root, out = annotated(tmp_path / "data", 1), tmp_path / "out"
    before = (root / "data.json").read_bytes()
    words = ["--folds", "4", "--seeds", "1", "--out", str(out), "--", "--dataset", "custom", "--root_path", str(root)]
    fake = FakeMain()
    assert cross_validate.main(words, fake) == 0
    (file,) = {opts.parse(command[2:]).annotation_path for command in fake.commands}
    assert file == out / "data-4-folds-0.json" and (root / "data.json").read_bytes() == before
    drawn = read_annotation(file)
    assert (drawn.n_splits, drawn.polarity, len(drawn.videos)) == (4, (1, -1), 24)
    assert [len(drawn.subset("validation", split)) for split in (1, 2, 3, 4)] == [6, 6, 6, 6]
    assert fake.seen("split") == [(1, 0), (2, 0), (3, 0), (4, 0)]
    again = FakeMain()
    assert cross_validate.main(words, again) == 0 and again.commands == []
    annotation = read_annotation(root / "data.json")
    write_annotation(root / "data.json", Annotation(annotation.labels, annotation.videos[1:], (1, -1)))
    assert cross_validate.main(words, again) == 2
    message = capsys.readouterr().err
    assert message.count("\n") == 1 and f"{file}: holds other folds" in message and "--out" in message
    assert read_annotation(file) == drawn


def test_a_dry_run_prints_what_remains(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    root = annotated(tmp_path / "my data", 2)
    words = ["--dry_run", "--out", str(tmp_path / "out"), "--", "--dataset", "custom", "--root_path", str(root)]
    assert cross_validate.main(words, FakeMain()) == 0
    lines = [shlex.split(line) for line in capsys.readouterr().out.splitlines()]
    assert len(lines) == 6 and not (tmp_path / "out").exists()
    assert [opts.parse(line[2:]).split for line in lines] == [1, 2] * 3


WRONG = {
    "one split": ([], [], "holds one split; draw several with --folds K"),
    "too many folds": (["--folds", "25"], [], "choose 2 to 24"),
    "no folder": ([], ["--root_path", "/no/such"], "/no/such/such.json"),
    "another dataset": ([], ["--dataset", "ek6"], "labels are not those of Ekman-6"),
    "a split of its own": ([], ["--split", "2"], "--split cannot be given"),
    "a path for a name": (["--name", "a/b"], [], "a/b"),
    "an unknown flag": ([], ["--vrify"], "--vrify"),
}


@pytest.mark.parametrize("name", WRONG)
def test_bad_input_costs_one_line(name: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    own, common, expected = WRONG[name]
    root, fake = annotated(tmp_path / "data", 1), FakeMain()
    words = ["--out", str(tmp_path / "out"), *own, "--", "--dataset", "custom", "--root_path", str(root), *common]
    try:
        status = cross_validate.main(words, fake)
    except SystemExit as ended:
        status = ended.code
    message = capsys.readouterr().err
    assert status == 2 and fake.commands == [] and not (tmp_path / "out").exists()
    assert message.startswith("cross_validate: ") and message.count("\n") == 1 and expected in message


def test_folds_of_several_splits_are_refused(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    root = annotated(tmp_path / "data", 3)
    words = ["--folds", "2", "--out", str(tmp_path / "out"), "--", "--dataset", "custom", "--root_path", str(root)]
    assert cross_validate.main(words, FakeMain()) == 2
    assert "holds 3 splits; leave out --folds" in capsys.readouterr().err


def test_real_runs_over_two_splits(tiny_dataset: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    common = tiny.arguments(root_path=tiny_dataset, n_epochs=1, pretrain_epochs=0)
    words = ["--folds", "2", "--seeds", "1", "--out", str(tmp_path), "--", *common]
    assert cross_validate.main(words, run_here) == 0, capsys.readouterr().err
    drawn = read_annotation(tmp_path / f"{tiny_dataset.name}-2-folds-0.json")
    files = sorted((tmp_path / "runs").glob("*/metrics.json"))
    flags = [json.loads(file.with_name("flags.json").read_text()) for file in files]
    accuracies = {}
    for file, stored in zip(files, flags, strict=True):
        metrics = json.loads(file.read_text())
        accuracies[stored["split"]] = 100 * metrics["acc_e"]
        assert metrics["n_videos"] == len(drawn.subset("validation", stored["split"])) == 12
    row = next(row for row in rows_of(tmp_path / "ve8.csv") if row["metric"] == "AccE")
    assert [float(row["split_1"]), float(row["split_2"])] == pytest.approx([accuracies[1], accuracies[2]])
    assert float(row["mean"]) == pytest.approx((accuracies[1] + accuracies[2]) / 2)
    shutil.rmtree(files[0].parent)
    assert cross_validate.main([*words[: -len(common) - 1], "--dry_run", "--", *common]) == 0
    assert capsys.readouterr().out.splitlines()[-1].count("main.py") == 1
