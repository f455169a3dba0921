from __future__ import annotations

from pathlib import Path

import pytest

from datasets.errors import DataError
from datasets.lexicon import AffectiveLexicon
from datasets.lexicon_sources import SOURCES, Source, normal_term

SENTICNET9 = """# -*- coding: utf-8 -*-
senticnet = {}
senticnet['fear'] = [0, 0, 0, -0.66, '#fear', None, 'negative', -0.66, 'a', 'b', 'c', 'd', 'e']
senticnet["'s_fun"] = [0, 0, 0.9, 0, '#delight', None, 'positive', 0.9, 'a', 'b', 'c', 'd', 'e']
senticnet['hat'] = [0, 0, 0, 0, None, None, 'neutral', 0, 'a', 'b', 'c', 'd', 'e']
senticnet['mad-house'] = [0, -1, -0.8, 0, '#rage', '#loathing', 'negative', -0.9, 'a', 'b', 'c', 'd', 'e']
senticnet[':('] = [-1, 0, 0, 0, '#grief', None, 'negative', -1, 'a', 'b', 'c', 'd', 'e']
"""


def install(folder: Path, package: str, version: str, files: dict[str, str]) -> None:
    """Puts a package with its metadata into a folder of sys.path."""
    metadata = {f"{package}-{version}.dist-info/METADATA": f"Name: {package}\nVersion: {version}\n"}
    for name, text in {f"{package}/__init__.py": "raise ImportError('never imported')", **metadata, **files}.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(text, encoding="utf-8")


@pytest.fixture
def site(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    """A folder of packages that comes first; the cache is elsewhere."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.syspath_prepend(tmp_path / "site")
    return tmp_path / "site"


def test_senticnet9_is_read_without_being_imported(site: Path) -> None:
    install(site, "sentic", "0.0.9", {"sentic/babel/data_en.py": SENTICNET9})
    lexicon = AffectiveLexicon("ve8", "senticnet9")
    assert lexicon.lookup("fear").emotion.tolist() == [0, 0, 0, 1, 0, 0, 0, 0]
    cue = lexicon.lookup("mad house")
    assert (cue.sentiment, cue.degree) == (-1, pytest.approx(0.9))
    assert cue.emotion.tolist() == [0.5, 0, 0.5, 0, 0, 0, 0, 0]
    assert lexicon.lookup("s fun").emotion.tolist() == pytest.approx([0, 0, 0, 0, 1 / 3, 0, 0, 2 / 3])
    assert lexicon.lookup("hat") is None


def test_missing_package(site: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(SOURCES, "nrc", Source(("no-such-package",), SOURCES["nrc"].entries))
    with pytest.raises(DataError, match=r"needs no-such-package, not installed; run `pip install no-such-package`"):
        AffectiveLexicon("ve8", "nrc")


def test_package_without_its_data(site: Path) -> None:
    install(site, "sentic", "0.0.9", {})
    with pytest.raises(DataError, match=r"data_en.py: not found; run `pip install --force-reinstall sentic`"):
        AffectiveLexicon("ve8", "senticnet9")
    install(site, "sentic", "0.0.9", {"sentic/babel/data_en.py": "senticnet = load()\n"})
    with pytest.raises(DataError, match=r"data_en.py: holds no concepts; run"):
        AffectiveLexicon("ve8", "senticnet9")


@pytest.mark.parametrize(
    ("text", "term"),
    [
        ("fall_in_love", "fall in love"),
        ("First-Class", "first class"),
        ("can\u2019t stand", "can't stand"),
        (":-)", ""),
        ("(': x", ""),
        ("8-0", ""),
        ("", ""),
    ],
)
def test_normal_form_of_a_term(text: str, term: str) -> None:
    assert normal_term(text) == term
