from __future__ import annotations

import time
from pathlib import Path

import pytest

from datasets.errors import DataError
from datasets.lexicon import AffectiveLexicon


def lexicon_of(tmp_path: Path, text: str | bytes, benchmark: str = "ve8") -> AffectiveLexicon:
    path = tmp_path / "mine.csv"
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    return AffectiveLexicon(benchmark, path)


@pytest.mark.parametrize("header", ["", "word,polarity,emotion\n", "\ufeffWord,Polarity,emotion,emotion\r\n"])
def test_words_with_and_without_a_header(tmp_path: Path, header: str) -> None:
    lexicon = lexicon_of(tmp_path, header + '# mine\n\n"knock_out", -0.5 ,anger,FEAR\nyippee,1,Joy\nhat,0,joy\n')
    cue = lexicon.lookup("knocked out")
    assert (cue.sentiment, cue.degree, cue.term) == (-1, 0.5, "knock out")
    assert cue.emotion.tolist() == [0.5, 0, 0, 0.5, 0, 0, 0, 0]
    assert [hit.cue.term for hit in lexicon.find("Yippee! A hat.")] == ["yippee"]


def test_emotions_are_classes_or_plutchiks(tmp_path: Path) -> None:
    lexicon = lexicon_of(tmp_path, "grr,-1,Hostile\nhm,-0.2,fear\nah,0.3,trust,Mild\nhuh,0.5,surprise\n", "perr")
    assert lexicon.lookup("grr").emotion.tolist() == [0, 0, 0, 0, 1]
    assert lexicon.lookup("hm").emotion.tolist() == [0, 0, 0, 1, 0]
    assert lexicon.lookup("ah").emotion.tolist() == [0, 0.75, 0.25, 0, 0]  # trust is mild or intimate
    assert lexicon.lookup("huh") is None  # no class fits


@pytest.mark.parametrize(
    ("text", "fault"),
    [
        ("", r"mine.csv: holds no word; write lines"),
        ("word,polarity,emotion\n", r"mine.csv: holds no word"),
        ("a,1,joy\nb,1\n", r"mine.csv, line 2: 'b,1' has no emotion; write word,polarity,emotion"),
        ("a,1,\n", r"line 1: 'a,1,' has no emotion"),
        ("a;1;joy\n", r"line 1: 'a;1;joy' has no emotion"),
        ("a,high,joy\n", r"line 1: 'high' is no polarity; write a number from -1 to 1"),
        ("a,1.5,joy\n", r"line 1: '1.5' is no polarity"),
        ("a,nan,joy\n", r"line 1: 'nan' is no polarity"),
        (":-),1,joy\n", r"line 1: ':-\)' is no word"),
        ("a,1,joy,jealousy\n", r"line 1: 'jealousy' is no emotion here; write one of anger, anticipation"),
        ("a,1,joy\n\nA,1,trust\n", r"line 3: 'a' stands in line 1 already"),
        ("a,1,fear,anger\n", r"line 1: 'a' is positive, but all of its emotions are negative"),
        ('a,1,"joy\n', r"line 1: unexpected end of data; put quotes"),
        (b"caf\xe9,1,joy\n", r"mine.csv: is not UTF-8; save it as UTF-8"),
    ],
)
def test_faults_are_one_line_with_the_place(tmp_path: Path, text: str | bytes, fault: str) -> None:
    with pytest.raises(DataError, match=fault) as caught:
        lexicon_of(tmp_path, text)
    assert "\n" not in str(caught.value)


def test_missing_file(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"none.csv: No such file or directory; give a csv file"):
        AffectiveLexicon("ve8", tmp_path / "none.csv")


def test_no_cell_takes_long(tmp_path: Path) -> None:
    began = time.process_time()
    with pytest.raises(DataError, match=r"line 1: 'a{10,}.*' is no word") as caught:
        lexicon_of(tmp_path, "a" * 100_000 + "!,1,joy\n")
    assert time.process_time() - began < 0.5 and len(str(caught.value)) < 500
