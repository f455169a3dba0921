from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import numpy as np
import pytest

from datasets import lexicon_table
from datasets.affect_tags import TAGS
from datasets.lexicon_sources import SOURCES, Entry, Source
from datasets.lexicon_table import BEGINS_PHRASE, load_table, pack

ROOT = Path(__file__).resolve().parents[1]


def here(source: str, path: Path) -> None:
    """Builds in this process, which knows the made-up source."""
    with suppress(OSError):
        lexicon_table.build(source, path)


@pytest.fixture
def built(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> list[int]:
    """One element for each time that the entries of the lexicon `vader` were read; the cache is tmp_path."""
    times: list[int] = []

    def entries() -> Iterator[Entry]:
        times.append(1)
        yield from (Entry("love", 0.5, ("joy",)), Entry("in love", -0.25, ("grief", "joy")))

    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    monkeypatch.setitem(SOURCES, "vader", Source(("vadersentiment",), entries))
    monkeypatch.setattr(lexicon_table, "build_elsewhere", here)
    return times


def test_rows_hold_what_was_packed() -> None:
    table = pack([Entry("b c", 0.5, ("x", "y")), Entry("a", -1, ()), Entry("b", 0, ("x",)), Entry("a", 1, ())], "xy")
    assert len(table) == 3
    assert (np.diff(table.keys.astype(object)) > 0).all()
    row = table.row("b c")
    assert (table.polarity[row], table.marks[row]) == (0.5, 0b11)
    assert table.polarity[table.row("a")] == -1  # the first entry of a term counts
    assert (table.polarity[table.row("b")], table.marks[table.row("b")]) == (0, BEGINS_PHRASE)
    assert table.row("c") is None
    assert pack([], "xy").row("a") is None


def test_built_once_then_mapped_from_the_cache(built: list[int], tmp_path: Path) -> None:
    tables = [load_table("vader") for _ in range(3)]
    assert len(built) == 1
    (file,) = (tmp_path / "mart").iterdir()
    assert file.name.startswith("lexicon-vader-vadersentiment3.")
    for table in tables:
        assert isinstance(table.keys.base, np.memmap)
        row = table.row("in love")
        assert table.polarity[row] == -0.25
        assert table.marks[row] == 1 << TAGS.index("joy") | 1 << TAGS.index("grief")


@pytest.mark.parametrize("damage", ["empty", "cut off", "changed", "other file"])
def test_damaged_cache_is_built_again(built: list[int], tmp_path: Path, damage: str) -> None:
    load_table("vader")
    (file,) = (tmp_path / "mart").iterdir()
    data = file.read_bytes()
    file.write_bytes({
        "empty": b"", "cut off": data[:-1], "changed": data[:-1] + bytes([data[-1] ^ 1]), "other file": b"x" * 1000,
    }[damage])  # fmt: skip
    assert load_table("vader").row("love") is not None
    assert len(built) == 2
    assert file.read_bytes() == data
    load_table("vader")
    assert len(built) == 2


def test_another_version_of_a_package_is_built_anew(built: list[int], monkeypatch: pytest.MonkeyPatch) -> None:
    load_table("vader")
    monkeypatch.setattr("importlib.metadata.version", lambda package: "99")
    load_table("vader")
    assert len(built) == 2


KILLED = """
import os, signal, sys
from pathlib import Path
from datasets import lexicon_table
Path.replace = lambda *_: os.kill(os.getpid(), signal.SIGKILL)
lexicon_table.build("vader", Path(sys.argv[1]))
"""


def test_what_a_killed_process_has_written_is_not_read_and_is_removed_later(tmp_path: Path) -> None:
    path = tmp_path / "table.bin"
    done = subprocess.run([sys.executable, "-c", KILLED, str(path)], cwd=ROOT, check=False)
    assert done.returncode == -9
    (left,) = tmp_path.iterdir()
    lexicon_table.build("vader", path)
    assert set(tmp_path.iterdir()) == {left, path}, "somebody may still be writing to it"
    os.utime(left, (0, 0))
    lexicon_table.build("vader", path)
    assert list(tmp_path.iterdir()) == [path]


def test_without_a_cache_it_is_built_each_time(
    built: list[int], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    (tmp_path / "file").touch()
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "file"))
    assert load_table("vader").row("love") is not None
    monkeypatch.delenv("XDG_CACHE_HOME")
    monkeypatch.setattr(Path, "home", lambda: (_ for _ in ()).throw(RuntimeError("no home")))
    assert load_table("vader").row("love") is not None
    assert len(built) == 2


def test_two_processes_build_at_once(tmp_path: Path) -> None:
    code = (
        "import sys, time; from datasets.lexicon import AffectiveLexicon\n"
        "print('ready', flush=True); sys.stdin.readline()\n"
        "print(AffectiveLexicon('ve8', 'nrc').lookup('terror').term)"
    )
    processes = [
        subprocess.Popen(
            [sys.executable, "-c", code], cwd=ROOT, env={**os.environ, "XDG_CACHE_HOME": str(tmp_path)}, text=True,
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
        ) for _ in range(2)
    ]  # fmt: skip
    assert [process.stdout.readline() for process in processes] == ["ready\n"] * 2
    for process in processes:
        process.stdin.write("go\n")
        process.stdin.flush()
    assert [process.communicate(timeout=60) for process in processes] == [("terror\n", "")] * 2
    assert len(list((tmp_path / "mart").iterdir())) == 1


def test_built_in_a_process_of_its_own(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    monkeypatch.setattr(lexicon_table, "pack", None)  # would fail here
    assert len(load_table("vader")) > 5_000
    assert len(list((tmp_path / "mart").iterdir())) == 1


def test_a_polarity_without_measure_is_damage(tmp_path: Path) -> None:
    table = lexicon_table.pack([Entry("happy", 0.5, ())], ())
    for polarity in (1.5, np.nan, -np.inf):
        table.polarity[0] = polarity
        lexicon_table._write(tmp_path / "a.bin", table)
        with pytest.raises(ValueError, match="damaged"):
            lexicon_table._read(tmp_path / "a.bin")
