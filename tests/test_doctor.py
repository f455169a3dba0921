"""--doctor: every line is there, what is broken is said and never a traceback, and nothing of the user is told."""

from __future__ import annotations

import importlib
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

import main
import opts
from core import doctor, installation
from datasets.annotations import read_annotation
from models.weight_source import WeightSource, hashes, read_source, write_source

PROJECT = Path(__file__).parents[1]
TITLES = [
    "project", "python", "packages", "extras", "imports", "device", "FFmpeg", "pictures", "sound", "weights", "lexicon",
    "dataset", "caches", "disk",
]  # fmt: skip


@pytest.fixture
def broken_dataset(tiny_dataset: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(tiny_dataset, tmp_path / "demo"))


def examined(capsys: pytest.CaptureFixture[str], *words: object) -> tuple[int, dict[str, str]]:
    """Exit status, and the text of each title."""
    status = main.main(["--doctor", *map(str, words)])
    found: dict[str, str] = {}
    for line in capsys.readouterr().out.splitlines():
        found[line[:10].strip()] = found.get(line[:10].strip(), "") + line[11:] + "\n"
    return status, found


def test_the_command(tiny_dataset: Path, tmp_path: Path) -> None:
    """All lines, from a process of its own, of which the user's home, name and secrets are kept."""
    home = tmp_path / "home of alice"
    home.mkdir()
    (home / "data").symlink_to(tiny_dataset)
    secrets = {"USER": "alice-in-person", "LOGNAME": "alice-in-person", "HF_TOKEN": "hf_0123456789", "HOME": str(home)}
    done = subprocess.run(
        [sys.executable, str(PROJECT / "main.py"), "--doctor", "--root_path", str(home / "data"), "--annotation_path",
         "demo.json", "--n_threads", "0"],
        capture_output=True, text=True, cwd=tmp_path, env=os.environ | secrets,
    )  # fmt: skip
    assert (done.returncode, done.stderr) == (0, "")
    assert list(dict.fromkeys(line[:10].strip() for line in done.stdout.splitlines())) == TITLES
    assert "~/data: VideoEmotion-8, 8 classes: Anger, Anticipation" in done.stdout
    assert "training: 16 videos, 0 without subtitles" in done.stdout and "test: 8 videos" in done.stdout
    assert all(secret not in done.stdout for secret in secrets.values()) and "BROKEN" not in done.stdout


def test_it_needs_no_dataset(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    status, found = examined(capsys)
    assert (status, found["dataset"]) == (0, "data/demo is not there\n"), "of --preset demo"
    assert "cores" in found["python"] and "torch 2." in found["packages"] and "mp3, aac" in found["FFmpeg"]
    assert (
        "rows" in found["lexicon"] and "JPEG of OpenCV" in found["pictures"] and found["sound"].endswith("with mp3\n")
    )
    assert "free of" in found["disk"] and "threads), matrix products in torch." in found["device"]
    status, found = examined(capsys, "--root_path", "nowhere")
    assert (status, found["dataset"]) == (1, "BROKEN: nowhere is not there\n")
    assert list(tmp_path.iterdir()) == [], "nothing is written"


def test_a_broken_dataset_and_lexicon(broken_dataset: Path, capsys: pytest.CaptureFixture[str]) -> None:
    lost = next(
        video for video in read_annotation(broken_dataset / "demo.json").subset("training") if video.label == "Joy"
    )
    (broken_dataset / "mp3" / "Joy" / f"{lost.id}.mp3").unlink()
    shutil.rmtree(broken_dataset / "srt" / "Fear")
    (broken_dataset / "mine.csv").write_text("joy,5,joy\n")
    flags = ["--root_path", broken_dataset, "--lexicon", broken_dataset / "mine.csv"]
    status, found = examined(capsys, *flags)
    assert status == 1
    assert (
        "BROKEN: training: 1 videos cannot be read; the first: " in found["dataset"]
        and f"{lost.id}.mp3" in found["dataset"]
    )
    assert "training: 16 videos, 2 without subtitles" in found["dataset"]
    assert found["lexicon"].startswith("BROKEN: DataError: ") and "line 1: '5' is no polarity" in found["lexicon"]
    (broken_dataset / "mine.csv").write_text("joy,1,joy\n")
    status, found = examined(capsys, *flags, "--skip_bad")
    assert status == 0 and "1 videos cannot be read" in found["dataset"] and "BROKEN" not in found["dataset"]
    (broken_dataset / "demo.json").write_text("{")
    status, found = examined(capsys, *flags)
    assert status == 1 and found["dataset"].startswith("BROKEN: DataError: ") and "not JSON" in found["dataset"]


def test_weights_and_whether_they_are_the_published_ones(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    folder = tmp_path / "videomae-base"
    folder.mkdir()
    (folder / "model.safetensors").write_bytes(b"weights")
    (tmp_path / "audioset_10_10_0.4593.pth").write_bytes(b"of the authors")
    sha256 = hashes(folder / "model.safetensors")[0]
    write_source(folder / "SOURCE.txt", WeightSource("a/b", "0123456789abcdef", {"model.safetensors": sha256}))
    assert doctor.examine(doctor.weights(tmp_path, [None, "random", "x/y"])) == 0
    lines = capsys.readouterr().out.splitlines()
    assert (
        f"videomae-base/model.safetensors, 7 B, SHA-256 {sha256}, as published: a/b at commit 0123456789ab" in lines[0]
    )
    assert "audio: " in lines[1] and "14 B" in lines[1] and lines[1].endswith("of unknown origin")
    assert "text: none of the published ones" in lines[2] and lines[3].endswith("asked for: x/y, no file here")
    (folder / "model.safetensors").write_bytes(b"others!")
    assert doctor.examine(doctor.weights(tmp_path, [])) == 1
    line = capsys.readouterr().out.splitlines()[0]
    assert "BROKEN: visual: " in line and line.endswith("not what its SOURCE.txt says")
    (folder / "model.safetensors").unlink()
    assert doctor.examine(doctor.weights(tmp_path, [])) == 1 and "holds no weights" in capsys.readouterr().out


@pytest.mark.parametrize(
    "text", ["", "x", "# repository: a/b\n# commit: ../x\n", "# repository: a\n# commit: 1\n00  ../x\n"]
)
def test_a_source_that_is_damaged_says_nothing(tmp_path: Path, text: str) -> None:
    (tmp_path / "SOURCE.txt").write_text(text)
    assert read_source(tmp_path) == WeightSource()


def test_what_cannot_be_imported_is_one_line(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def broken(name: str) -> object:
        if name == "av":
            raise OSError("libavcodec.so.62: cannot open shared object file\nmore")
        return real(name)

    real = importlib.import_module
    monkeypatch.setattr(importlib, "import_module", broken)
    monkeypatch.setattr(
        installation,
        "_requirements",
        lambda section: ["no-such-package>=1", "numpy>=99", "torch", "tomli; python_version < '3'"],
    )
    checks = dict(installation.checks("auto", "cpu"))
    assert doctor.examine([(title, checks[title]) for title in ("imports", "packages", "extras")]) == 1
    out = capsys.readouterr().out
    assert (
        "BROKEN: import av: OSError: libavcodec.so.62: cannot open shared object file; run `sh run.sh setup`\n" in out
    )
    assert "BROKEN: no-such-package is not installed" in out and "is not >=99" in out and "more" not in out
    assert "no-such-package is not installed, numpy" in out


def test_a_line_that_fails_says_why_and_the_others_follow(capsys: pytest.CaptureFixture[str]) -> None:
    def failing() -> Iterator[tuple[str, bool]]:
        yield "first", False
        raise RuntimeError(f"{Path.home()}/x:\x1b[2J of {Path.home()}s\nsecond line")

    assert doctor.examine([("a", failing), ("b", lambda: [("third", False)])]) == 1
    lines = capsys.readouterr().out.splitlines()
    assert lines[0].split() == ["a", "first"] and lines[2].split() == ["b", "third"]
    assert lines[1] == rf"a          BROKEN: RuntimeError: ~/x:\x1b[2J of {Path.home()}s"


def test_a_reader_who_has_had_enough(tmp_path: Path) -> None:
    words = f"'{sys.executable}' '{PROJECT / 'main.py'}' --doctor | head -1"
    done = subprocess.run(["sh", "-c", words], capture_output=True, text=True, cwd=tmp_path)
    assert done.stdout.startswith("project ") and done.stderr == ""


def test_a_stored_run_does_not_ask_for_it() -> None:
    assert not opts.parse([], opts.to_stored(opts.parse(["--doctor"]))).doctor
