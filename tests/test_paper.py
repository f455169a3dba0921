"""tools/paper.py and configs/: the published figures, what trains each, its commands, and a real run beside them."""

from __future__ import annotations

import json
import re
import shlex
import shutil
from pathlib import Path

import pytest

import opts
from datasets.annotations import Annotation, Video, write_annotation
from datasets.benchmarks import BENCHMARKS
from tests import tiny
from tests.runs import FakeMain, run_here
from tools import cross_validate, paper
from tools._ablation_tables import tables, words_of
from tools._paper_report import comparison, published
from tools._paper_tables import DIFFERENCES, TABLES, PaperRow, PaperTable
from tools._run_flags import fingerprint

PROJECT = Path(__file__).parents[1]
CONFIGS = sorted((PROJECT / "configs").glob("*.toml"))
ROWS = [(table, row) for table in TABLES.values() for row in table.rows]
DATASETS = {"Ekman-6": "ek6", "VideoEmotion-8": "ve8", "PERR": "perr", "IEMOCAP": "iemocap", "Aff-Wild2": "affwild2"}
# Tab. 1 and 2 of the paper, AccS F1S AccE F1E
BENCHMARK_TABLE = """
| | Ekman-6 | VideoEmotion-8 | PERR | IEMOCAP | Aff-Wild2 |
|---|---|---|---|---|---|
| MBT baseline | 68.23 68.40 48.08 46.97 | 72.22 72.35 43.61 42.96 | 60.32 57.57 56.33 52.56 | 67.02 66.09 65.79 65.71 | 65.54 59.05 63.50 56.74 |
| MART | 79.10 79.24 52.66 52.64 | 73.61 73.58 50.83 48.22 | 61.88 59.25 57.89 54.65 | 67.45 67.25 66.29 66.14 | 68.82 62.91 65.23 59.41 |
"""  # noqa: E501
# its ablations on Ekman-6, AccE
ABLATIONS = {
    "3": {"neither": 48.21, "verification": 51.42, "masking": 52.16, "both": 53.17},
    "4": {"frame": 49.17, "random": 51.42, "tube": 49.07, "attention": 49.67, "emotion": 53.17},
    "5": {"pixel": 48.58, "HOG": 50.20, "CLIP": 50.56, "distribution": 53.17},
}  # fmt: skip

WEIGHTS = ["--visual_weights", "v", "--audio_weights", "a", "--text_weights", "t"]


def figures_of(markdown: str) -> dict[tuple[str, str], list[float]]:
    """(row, dataset) -> its four figures."""
    header, _, *rows = ([cell.strip() for cell in line.strip("|").split("|")] for line in markdown.strip().splitlines())
    return {
        (row[0], DATASETS[name]): [float(text) for text in cell.split()]
        for row in rows
        for name, cell in zip(header[1:], row[1:], strict=True)
    }


def test_the_figures_are_the_published_ones() -> None:
    rows = [row for name in ("1", "2") for row in TABLES[name].rows]
    found = {(row.name, row.dataset): [row.figures[key] for key in ("acc_s", "f1_s", "acc_e", "f1_e")] for row in rows}
    assert found == figures_of(BENCHMARK_TABLE)
    assert {name: {row.name: row.figures["acc_e"] for row in TABLES[name].rows} for name in ABLATIONS} == ABLATIONS
    assert not any(row.figures for row in TABLES["fig5"].rows)


def test_the_readme_has_the_same() -> None:
    readme = (PROJECT / "README.md").read_text(encoding="utf-8")
    table = re.search(r"^\| \| Ekman-6 .*\n(?:\|.*\n)+", readme, re.MULTILINE)
    assert figures_of(table[0]) == figures_of(BENCHMARK_TABLE)


@pytest.mark.parametrize("path", CONFIGS, ids=lambda path: path.stem)
def test_a_config_trains_what_its_comment_says(path: Path) -> None:
    flags = opts.parse(["--config", str(path)])
    opts.check(flags)
    text = path.read_text(encoding="utf-8")
    comment = " ".join(line.lstrip("# ") for line in text.splitlines() if line.startswith("#"))
    rows = [(table, row) for table, row in ROWS if row.config == path.stem]
    assert rows, "no published row"
    for table, row in rows:
        where = table.title.split(":")[0]
        assert f"Paper, {where}, {row.name} on {BENCHMARKS[row.dataset].name}: {published(row)}." in comment
        assert flags.dataset == row.dataset and flags.preset == "base"
        told = {letter for letter, said in DIFFERENCES.items() if said in comment}
        assert told == set(row.differences)
    lines = [line for line in text.splitlines() if not line.startswith("#")]
    base = vars(opts.parse(["--preset", "base"]))
    changed = {name for name, value in vars(flags).items() if base[name] != value} - {"config", "finetune_ted"}
    assert {line.split(" = ")[0] for line in lines} == changed | {"preset", "dataset"}, "only what differs from base"


def test_the_multimodal_table_takes_text_and_says_what_its_clips_are() -> None:
    own = {"perr": {"h"}, "iemocap": {"i"}, "affwild2": {"j"}}
    for table, row in ROWS:
        multimodal = table is TABLES["2"]
        if row.config:
            flags = opts.parse(["--config", str(PROJECT / "configs" / f"{row.config}.toml")])
            assert flags.modalities == ("avt" if multimodal else "av")
        assert ("g" in row.differences) == multimodal
        assert set("hij") & set(row.differences) == own.get(row.dataset, set())


def test_every_row_that_can_be_trained_has_a_config() -> None:
    assert [row.name for _, row in ROWS if not row.config] == ["CLIP"]
    assert {row.config for _, row in ROWS if row.config} == {path.stem for path in CONFIGS}


@pytest.mark.parametrize(
    ("table", "name"), [("3", "components"), ("4", "masking"), ("5", "target"), ("fig5", "verification")]
)
def test_configs_and_ablations_agree(table: str, name: str) -> None:
    """tools/ablate.py --table NAME -- --preset base --dataset ek6 trains the same rows in the same order."""
    common = ["--preset", "base", "--dataset", "ek6"]
    ablation = [fingerprint("", [*common, *words_of(row)]) for row in tables(opts.parse(common))[name].rows]
    configs = [row.config for row in TABLES[table].rows if row.config]
    assert [fingerprint("", ["--config", str(PROJECT / "configs" / f"{each}.toml")]) for each in configs] == ablation


def annotate(root: Path, dataset: str, n_splits: int = 1) -> None:
    """A dataset that consists of its annotation file."""
    subsets = ("training", "validation")
    labels = BENCHMARKS[dataset].classes
    videos = [
        Video(f"v{number}", label, subset, (), (subset,) * n_splits if n_splits > 1 else ())
        for label in labels
        for number, subset in enumerate(subsets)
    ]
    write_annotation(root / dataset / f"{dataset}.json", Annotation(labels, tuple(videos)))


def test_printed_commands_are_those_that_run(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    annotate(tmp_path / "my data", "ek6")
    annotate(tmp_path / "my data", "ve8", n_splits=3)
    words = ["--table", "1", "--root", str(tmp_path / "my data"), "--out", str(tmp_path / "out"), "--seeds", "2"]
    common = ["--", *WEIGHTS]
    assert paper.main([*words, *common], FakeMain()) == 0
    lines = [shlex.split(line, comments=True) for line in capsys.readouterr().out.splitlines()]
    commands = [line for line in lines if line]
    assert [Path(command[1]).name for command in commands] == ["main.py"] * 4 + ["cross_validate.py"] * 2
    assert not (tmp_path / "out").exists()
    fake = FakeMain()
    for command in commands[4:]:
        assert cross_validate.main(command[2:], fake) == 0
    printed = [command[2:] for command in commands[:4]] + [command[2:] for command in fake.commands]
    shutil.rmtree(tmp_path / "out")
    fake = FakeMain()
    assert paper.main([*words, "--run", *common], fake) == 0
    ran = [opts.parse(command[2:]) for command in fake.commands]
    assert sorted(map(str, ran)) == sorted(str(opts.parse(command)) for command in printed)
    assert len(ran) == 2 * (2 + 2 * 3) and {flags.embed_dim for flags in ran} == {768}
    text = (tmp_path / "out" / "table-1.md").read_text()
    assert text in capsys.readouterr().out
    ours = [line for line in text.splitlines() if "| ours |" in line]
    # seeds 0 and 1: 50 and 60; of three splits 55, 56, 57
    assert "| 55.00 ± 7.07 |" in ours[0] and ours[0].endswith("| 2 of 2 | a, b, c, f |")
    assert "| 56.00 ± 1.00 |" in ours[3] and ours[3].endswith("| 6 of 6 | a, b, c, d |")
    again = FakeMain()
    assert paper.main([*words, "--run", *common], again) == 0 and again.commands == []


@pytest.mark.parametrize("name", TABLES)
def test_every_command_is_one_that_main_takes(
    name: str, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(PROJECT)
    assert paper.main(["--table", name, "--root", str(tmp_path)], FakeMain()) == 0
    lines = capsys.readouterr().out.splitlines()
    commands = [line.split() for line in lines if not line.startswith("#")]
    assert len(commands) == sum(bool(row.config) for row in TABLES[name].rows)
    for command in commands:
        assert command[:3] == ["python", "main.py", "--config"]
        assert re.fullmatch(r"configs/[\w-]+\.toml", command[3])
        opts.check(opts.parse(command[2:]))
    assert sum("is not there" in line for line in lines) == len({row.dataset for row in TABLES[name].rows})


def test_equal_rows_run_once_and_missing_data_leave_theirs_empty(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    annotate(tmp_path, "ek6")
    words = ["--root", str(tmp_path), "--out", str(tmp_path / "out"), "--run"]
    words += [word for name in ("1", "3", "4", "5", "fig5", "3") for word in ("--table", name)]
    fake = FakeMain()
    assert paper.main([*words, "--", *WEIGHTS], fake) == 0
    # mbt, mart = both, neither, verification, masking, frame, tube, attention, pixel, HOG, sentiment, emotion
    assert len(fake.commands) == 12
    printed = capsys.readouterr()
    assert printed.err == f"paper: {tmp_path / 've8' / 've8.json'} is not there; its rows stay empty\n"
    text = (tmp_path / "out" / "table-1.md").read_text()
    assert text.count("| no data | ") == 2 and text.count("| 1 of 1 |") == 2
    assert "|  |  | not implemented |  |  |  |" in (tmp_path / "out" / "table-5.md").read_text()


def test_a_comparison_by_hand() -> None:
    table = PaperTable(
        "T", (PaperRow("x", "ek6", "x", {"acc_e": 50.0}, "ab"), PaperRow("y", "ve8", "y", {"acc_e": 49.5}))
    )
    runs = {seed: {"acc_s": 0.9, "f1_s": 0.9, "acc_e": value, "f1_e": 0.9} for seed, value in enumerate((0.5, 0.6))}
    lines = comparison(table, [[runs], []], 3, "python x").splitlines()
    assert lines[:8] == [
        "## T",
        "",
        "| dataset | row | figures | AccE | runs | differs |",
        "|---|---|---|---:|---:|---|",
        "| Ekman-6 | x | published | 50.00 |  |  |",
        "|  |  | ours | 55.00 ± 7.07 | 2 of 3 | a, b |",
        "| VideoEmotion-8 | y | published | 49.50 |  |  |",
        "|  |  | ours |  | no data | a, b, c, d |",
    ]
    assert [line for line in lines if line.startswith("- ")] == [
        f"- {letter}: {DIFFERENCES[letter]}" for letter in "abcd"
    ]


WRONG = {
    "no table": (["--root", "{}"], "--table"),
    "unknown table": (["--table", "9", "--root", "{}"], "'9'"),
    "no root": (["--table", "1"], "--root"),
    "no folder": (["--table", "1", "--root", "{}/none"], "none is no folder"),
    "no data": (["--table", "2", "--root", "{}", "--run"], "perr/perr.json"),
    "no weights": (["--table", "1", "--root", "{}", "--run"], "no visual weights"),
    "another config": (["--table", "1", "--root", "{}", "--", "--config", "x"], "--config cannot be given"),
    "an unknown flag": (["--table", "1", "--root", "{}", "--", "--vrify"], "--vrify"),
}


@pytest.mark.parametrize("name", WRONG)
def test_bad_input_costs_one_line(
    name: str, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(paper, "PRETRAINED_MODELS", tmp_path)
    annotate(tmp_path, "ek6")
    words, expected = WRONG[name]
    fake = FakeMain()
    try:
        status = paper.main([word.format(tmp_path) for word in words], fake)
    except SystemExit as ended:
        status = ended.code
    message = capsys.readouterr().err
    assert status == 2 and fake.commands == []
    assert message.startswith("paper: ") and message.count("\n") == 1 and expected in message


def test_a_real_run_stands_beside_the_published_figures(
    tiny_dataset: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    (baseline,) = (row for row in TABLES["1"].rows if row.config == "mbt-ve8")
    monkeypatch.setattr(paper, "TABLES", {"1": PaperTable("Baseline", (baseline,))})
    root, out = tmp_path / "data", tmp_path / "out"
    root.mkdir()
    (root / "ve8").symlink_to(tiny_dataset)
    words = ["--table", "1", "--root", str(root), "--out", str(out), "--run", "--"]
    words += tiny.arguments(n_epochs=1, pretrain_epochs=None, annotation_path=f"{tiny_dataset.name}.json")
    assert paper.main(words, run_here) == 0, capsys.readouterr().err
    (file,) = out.glob("runs/*/metrics.json")
    flags = json.loads(file.with_name("flags.json").read_text())
    assert (flags["preset"], flags["pretrain_epochs"], flags["embed_dim"]) == ("base", 0, 24)
    assert flags["config"].endswith("configs/mbt-ve8.toml")
    metrics = file.read_text()
    ours = f"| ours | {' | '.join(f'{100 * json.loads(metrics)[key]:.2f}' for key in baseline.figures)} | 1 of 1 |"
    assert ours in capsys.readouterr().out
    file.unlink()
    assert paper.main(words, run_here) == 0, "a run that lacks its metrics is resumed, with the same config"
    assert file.read_text() == metrics and "--resume" not in capsys.readouterr().err
