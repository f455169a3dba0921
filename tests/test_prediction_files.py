"""The files of a prediction: what the documentation says is what is written, whatever the names hold."""

from __future__ import annotations

import csv
import json
import os
import re
import subprocess
from pathlib import Path
from typing import Any

import pytest

from core.experiment import ExperimentError
from core.files import write_json
from core.prediction import Prediction, Segment, Word
from core.prediction_files import as_json, check_folder, folder_names, whole_folder, write_csv, write_folder
from core.report import outcome, prediction_line

DOCUMENT = Path(__file__).parents[1] / "docs" / "prediction.md"
EXAMPLE = Prediction(
    file="talk.mp4",
    duration=3.0,
    model={"checkpoint": "results/demo/last.pt", "epoch": 16, "dataset": "custom"},
    classes=("anger", "joy"),
    polarity=(-1, 1),
    segment_seconds=1.5,
    probabilities=(0.25, 0.75),
    segments=(
        Segment(0.0, 1.5, (0.2, 0.8), 0.7, "what a joy", (Word("joy", (7, 10), 1, (0.0, 1.0), 0.9, "degree", True),)),
        Segment(1.5, 3.0, (0.6, 0.4), 0.3),
    ),
    subtitles="talk.srt",
)


def keys(value: Any, before: str = "") -> set[str]:
    """Names of all keys, those inside behind a dot; those of emotions are no names of ours."""
    if isinstance(value, list):
        return set().union(*(keys(item, before) for item in value))
    if not isinstance(value, dict) or set(value) == {"anger", "joy"}:
        return set()
    return {before + name for name in value} | set().union(*(keys(v, f"{before}{k}.") for k, v in value.items()))


def test_the_documented_keys_are_those_that_are_written() -> None:
    text = DOCUMENT.read_text(encoding="utf-8")
    documented = re.findall(r"^\| `([\w.]+)` \|", text, flags=re.MULTILINE)
    assert len(documented) == len(set(documented))
    assert set(documented) == keys(as_json(EXAMPLE))


def test_the_documented_example_is_what_is_written() -> None:
    example = re.search(r"```json\n(.*?)```", DOCUMENT.read_text(encoding="utf-8"), flags=re.DOTALL)[1]
    assert json.loads(example) == json.loads(json.dumps(as_json(EXAMPLE), allow_nan=False))


def test_a_folder_of_files(tmp_path: Path) -> None:
    with whole_folder(tmp_path / "new" / "talk") as folder:
        write_folder(folder, EXAMPLE)
        assert not (tmp_path / "new" / "talk").exists()
    assert sorted(path.name for path in (tmp_path / "new" / "talk").iterdir()) == ["prediction.json", "segments.csv"]
    rows = list(csv.reader((tmp_path / "new" / "talk" / "segments.csv").open(newline="", encoding="utf-8")))
    assert rows == [
        ["file", "start", "end", "emotion", "degree", "p_anger", "p_joy", "text"],
        ["talk.mp4", "0.000", "1.500", "joy", "0.7", "0.2", "0.8", "what a joy"],
        ["talk.mp4", "1.500", "3.000", "anger", "0.3", "0.6", "0.4", ""],
    ]
    with pytest.raises(ExperimentError, match="is there already; add --overwrite"):
        check_folder(tmp_path / "new" / "talk", overwrite=False)
    check_folder(tmp_path / "new" / "talk", overwrite=True)
    check_folder(tmp_path / "none", overwrite=False)
    (tmp_path / "file").touch()
    with pytest.raises(ExperimentError, match="is there already"):
        check_folder(tmp_path / "file", overwrite=True)
    with pytest.raises(ExperimentError, match="cannot be made"), whole_folder(tmp_path / "file" / "talk"):
        pass
    assert [path.name for path in (tmp_path / "new").iterdir()] == ["talk"]


def test_a_folder_is_replaced_but_for_files_of_other_names(tmp_path: Path) -> None:
    (tmp_path / "talk" / "segments.csv").mkdir(parents=True)
    for name in ("prediction.json", "mine.txt"):
        (tmp_path / "talk" / name).write_text("old")
    with whole_folder(tmp_path / "talk") as folder:
        write_folder(folder, EXAMPLE)
        assert (tmp_path / "talk" / "prediction.json").read_text() == "old"
    assert json.loads((tmp_path / "talk" / "prediction.json").read_text())["file"] == "talk.mp4"
    assert (tmp_path / "talk" / "segments.csv").is_file() and (tmp_path / "talk" / "mine.txt").read_text() == "old"


def test_what_others_have_begun_stays(tmp_path: Path) -> None:
    """What a process has left that is no more goes; what one is at, or is of another name, does not."""
    ended = subprocess.Popen(["true"])
    ended.wait()
    parts = [f".part-{ended.pid}-talk", f".part-{os.getppid()}-talk", f".part-{ended.pid}-my-talk", ".part-x-talk"]
    for name in parts:
        (tmp_path / name).mkdir()
    with whole_folder(tmp_path / "talk"):
        assert {path.name for path in tmp_path.iterdir()} == {*parts[1:3], f".part-{os.getpid()}-talk"}


def test_the_longest_names(tmp_path: Path) -> None:
    name = "ä" * 127
    with whole_folder(tmp_path / name) as folder:
        write_json(folder / (name + "a"), {})
    assert [path.name for path in tmp_path.rglob("*")] == [name, name + "a"]


def test_names_of_any_bytes(tmp_path: Path) -> None:
    name = os.fsdecode(b'a\n"b"; \xff.mp4')
    odd = Prediction(**{**vars(EXAMPLE), "file": name})
    write_json(tmp_path / "a.json", as_json(odd))
    found = json.loads((tmp_path / "a.json").read_text(encoding="utf-8"))["file"]
    assert os.fsencode(found) == os.fsencode(name)
    write_csv(tmp_path / "a.csv", [odd, EXAMPLE])
    rows = list(csv.reader((tmp_path / "a.csv").open(newline="", encoding="utf-8")))
    assert [row[0] for row in rows] == ["file", *['a\n"b"; \\udcff.mp4'] * 2, *["talk.mp4"] * 2]
    assert "\n" not in prediction_line(odd) and prediction_line(odd).startswith('a\\n"b"; \\udcff.mp4: joy 75%')


def test_lines_for_the_terminal() -> None:
    assert prediction_line(EXAMPLE) == "talk.mp4: joy 75%, positive; strongest 0.0-1.5 s joy (70%)"
    alone = Prediction(**{**vars(EXAMPLE), "segments": (Segment(0.0, 3.0, (0.2, 0.8), 1.0),), "polarity": (0, 0)})
    assert prediction_line(alone) == "talk.mp4: joy 75%, neutral"
    assert outcome(1, []) == "predicted 1 of 1 videos"
    assert outcome(1, [Path("a\n.mp4"), Path("b")]) == "predicted 1 of 3 videos; failed: a\\n.mp4, b"


def test_every_video_has_a_folder_of_its_own() -> None:
    names = ["x/a.mp4", "y/a.mp4", "a.MKV", "A.mp4", "a-2.mp4", "..mp4", "...mp4", "b.c.mp4"]
    found = folder_names([Path(name) for name in names])
    assert found == ["a", "a-2", "a-3", "A-4", "a-2-2", "_..mp4", "_...mp4", "b.c"]
