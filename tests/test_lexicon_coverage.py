from __future__ import annotations

from pathlib import Path

import pytest

from tools import lexicon_coverage

SRT = """1
00:00:01,000 --> 00:00:02,000
A joy, a joy!

2
00:00:03,000 --> 00:00:04,000
This is not a terror.

3
00:00:05,000 --> 00:00:06,000
The terror of the hat
"""


@pytest.fixture(autouse=True)
def cache(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))


def test_counts_of_a_folder(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "Joy").mkdir()
    (tmp_path / "Joy/a.srt").write_text(SRT)
    assert lexicon_coverage.main([str(tmp_path), "--lexicon", "nrc", "--benchmark", "ek6"]) == 0
    counts, _, header, rule, row = capsys.readouterr().out.splitlines()
    assert counts == "1 files, 3 subtitles, 14 words"
    assert header.count("|") == rule.count("|") == row.count("|")
    # 3 cues of 14 words in 2 of 3 subtitles, 2 terms, 2 of 3 cues positive; anger ... fear, joy ... surprise
    assert row == "| nrc | 3 | 214 | 67% | 2 | 67% | 0.64 | 0% | 0% | 33% | 67% | 0% | 0% |"


def test_own_file_and_faults(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "a.srt").write_text(SRT)
    (tmp_path / "mine.csv").write_text("hat,0.5,joy\n")
    assert lexicon_coverage.main([str(tmp_path / "a.srt"), "--lexicon", str(tmp_path / "mine.csv")]) == 0
    assert "| 1 | 71 | 33% | 1 | 100% | 0.50 |" in capsys.readouterr().out
    assert lexicon_coverage.main([str(tmp_path / "a.srt"), "--lexicon", "bing"]) == 2
    assert "'bing' is no lexicon" in capsys.readouterr().err
    (tmp_path / "empty").mkdir()
    assert lexicon_coverage.main([str(tmp_path / "empty")]) == 2
    assert "no words; give subtitle files" in capsys.readouterr().err
