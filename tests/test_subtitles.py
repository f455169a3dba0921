from __future__ import annotations

import codecs
import time
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from datasets.errors import DataError
from datasets.subtitles import MOST_TEXT, Subtitle, read_subtitles, subtitle_file, text_between, write_subtitles

PLAIN = """1
00:00:01,000 --> 00:00:02,500
I love you

2
00:01:03,040 --> 01:00:04,000
So much
of it
"""
PLAIN_CUES = [Subtitle(1.0, 2.5, "I love you"), Subtitle(63.04, 3604.0, "So much of it")]


def cues_of(tmp_path: Path, content: str | bytes) -> list[Subtitle]:
    path = tmp_path / "a.srt"
    path.write_bytes(content.encode() if isinstance(content, str) else content)
    return read_subtitles(path)


def texts_of(tmp_path: Path, content: str | bytes) -> list[str]:
    return [cue.text for cue in cues_of(tmp_path, content)]


@pytest.mark.parametrize(
    "data",
    [
        PLAIN.encode(),
        PLAIN.rstrip().encode(),
        PLAIN.replace("\n", "\r\n").encode(),
        PLAIN.replace("\n", "\r").encode(),
        PLAIN.replace("\n", "\r\r\n").encode(),
        PLAIN.replace("\n", "\n\n").encode(),
        PLAIN.replace("\n\n", "\n").encode(),
        PLAIN.replace("1\n00", "00").replace("2\n00", "00").encode(),
        PLAIN.replace("1\n00", "7\n00").replace("2\n00", "7\n00").encode(),
        PLAIN.replace(",", ".").encode(),
        PLAIN.replace(" --> ", "-->").encode(),
        PLAIN.replace(",500", ",500 X1:10 X2:20").encode(),
        b"WEBVTT\n\n" + PLAIN.encode(),
        codecs.BOM_UTF8 + PLAIN.encode(),
        PLAIN.encode() + bytes(64),
        PLAIN.encode("utf-16"),
        codecs.BOM_UTF16_BE + PLAIN.encode("utf-16-be"),
        PLAIN.encode("utf-16-le"),
        PLAIN.encode("utf-16-be"),
        PLAIN.encode("utf-32"),
    ],
    ids=[
        "plain", "no last newline", "CRLF", "CR", "CRCRLF", "double spaced", "no blank lines", "no indices",
        "same indices", "decimal points", "no spaces", "position", "WebVTT", "UTF-8 mark", "trailing zeros",
        "UTF-16 mark", "UTF-16 BE mark", "UTF-16 LE", "UTF-16 BE", "UTF-32",
    ],
)  # fmt: skip
def test_however_a_file_is_written_its_cues_are_the_same(tmp_path: Path, data: bytes) -> None:
    assert cues_of(tmp_path, data) == PLAIN_CUES


@pytest.mark.parametrize(
    ("encoding", "text"),
    [
        ("cp1252", "\u201cI\u2019m so happy\u201d \u2013 at the café…"),
        ("latin-1", "¿Qué tal? Mañana será otro día"),
        ("gb2312", "我很高兴见到你 今天天气很好 我们去公园玩吧"),
        ("cp1251", "Привет, как дела?"),
        ("utf-8", "I\u2019m at the café"),
    ],
)
def test_other_encodings(tmp_path: Path, encoding: str, text: str) -> None:
    data = "".join(f"{i}\n00:00:0{i},000 --> 00:00:0{i},900\n{text}\n\n" for i in range(1, 6)).encode(encoding)
    assert texts_of(tmp_path, data) == [text] * 5


def test_a_character_cut_in_two_at_the_end_does_not_change_the_encoding(tmp_path: Path) -> None:
    data = "1\n00:00:01,000 --> 00:00:02,000\nI\u2019m at the café".encode()
    assert texts_of(tmp_path, data[:-1]) == ["I\u2019m at the caf"]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("<i>Hello</i> <font color='#fff'>you</font>", "Hello you"),
        ("{\\an8}Up {\\b1}there{\\b0}", "Up there"),
        ("Tom &amp; Jerry&nbsp;&lt;3", "Tom & Jerry <3"),
        ("1 < 2 and 3 > 2, I <3 you", "1 < 2 and 3 > 2, I <3 you"),
        ("two\\Nlines", "two lines"),
        ("{laughs}  a \t b", "{laughs} a b"),
    ],
)
def test_markup_is_taken_out(tmp_path: Path, text: str, expected: str) -> None:
    assert texts_of(tmp_path, f"1\n00:00:01,000 --> 00:00:02,000\n{text}\n") == [expected]


@pytest.mark.parametrize(
    ("times", "expected"),
    [
        ("00:00:05,000 --> 00:00:02,000", (2.0, 5.0)),
        ("-00:00:05,000 --> 00:00:02,000", (0.0, 2.0)),
        ("-00:00:05,000 --> -00:00:02,000", None),
        ("-00:00:02,000 --> 00:00:00,000", None),
        ("00:00:02,000 --> 00:00:02,000", (2.0, 2.0)),
        ("01:02.5 --> 01:03.25", (62.5, 63.25)),
        ("00:00:02 --> 00:00:03", (2.0, 3.0)),
        ("00:00:02:500 --> 00:00:03:000", (2.5, 3.0)),
        ("0:0:2,5 --> 0:0:3,5", (2.5, 3.5)),
        ("00:00:02,000 --> ", None),
        ("--> 00:00:02,000", None),
        ("aa:bb:cc --> 00:00:02,000", None),
    ],
)
def test_times(tmp_path: Path, times: str, expected: tuple[float, float] | None) -> None:
    found = [(cue.start, cue.end) for cue in cues_of(tmp_path, f"1\n{times}\nHello\n")]
    assert found == ([] if expected is None else [expected])


@pytest.mark.parametrize(
    ("content", "texts"),
    [
        ("", []),
        ("\n\n \n", []),
        ("\ufeff", []),
        ("no cue here", []),
        ("1\n00:00:01,000 --> 00:00:02,000\n", []),
        ("1\n00:00:01,000 --> 00:00:02,000\n<i></i>\n\n2\n00:00:03,000 --> 00:00:04,000\nHi", ["Hi"]),
        ("1\n00:00:01,000 --> 00:00:02,000\nHi\n\n2\n00:00:0", ["Hi 2 00:00:0"]),
        ("1\n00:00:01,000 --> 00:00:02,000\nHi\n\nthere\n\n2\n00:00:03,000 --> 00:00:04,000\nyou", ["Hi there", "you"]),
    ],
)
def test_empty_incomplete_and_cut_off_files(tmp_path: Path, content: str, texts: list[str]) -> None:
    assert texts_of(tmp_path, content) == texts


def test_what_is_written_is_read_back(tmp_path: Path) -> None:
    cues = [Subtitle(0.0, 1.25, "Où est-il ? 怒"), Subtitle(59.9996, 3601.5, "25")]
    write_subtitles(tmp_path / "a.srt", cues)
    assert read_subtitles(tmp_path / "a.srt") == [cues[0], Subtitle(60.0, 3601.5, "25")]
    write_subtitles(tmp_path / "a.srt", [])
    assert (tmp_path / "a.srt").read_bytes() == b""


def test_cues_are_sorted_and_may_overlap(tmp_path: Path) -> None:
    content = "1\n00:00:05,000 --> 00:00:09,000\nlate\n\n2\n00:00:01,000 --> 00:00:06,000\nearly\n"
    assert cues_of(tmp_path, content) == [Subtitle(1.0, 6.0, "early"), Subtitle(5.0, 9.0, "late")]


@pytest.mark.parametrize("data", [bytes(range(256)) * 8, b"\x00\x00\x00\x18ftypmp42" * 50], ids=["bytes", "mp4"])
def test_a_file_that_is_no_text(tmp_path: Path, data: bytes) -> None:
    with pytest.raises(DataError, match=r"a\.srt: is not text in any known encoding.*check_dataset"):
        cues_of(tmp_path, data)


def test_a_missing_file(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"fear.x\.srt: No such file"):
        read_subtitles(subtitle_file(tmp_path, "fear", "x"))


TIMES = "00:00:01,000 --> 00:00:02,500"
LINES = st.sampled_from(
    ["", "1", "99999999999999999999", TIMES, TIMES[:16], "-" + TIMES, "<i>é", "{\\an8", "我", "&#99999999999;"]
)
TEXTS = st.lists(LINES | st.text(max_size=8), max_size=8).map("\n".join)
ENCODED = st.tuples(
    TEXTS, st.sampled_from(["utf-8", "utf-16", "utf-32", "utf-16-le", "cp1252", "gb18030"]), st.integers(0, 9)
)


@settings(deadline=None, max_examples=150)
@given(data=st.binary(max_size=200) | ENCODED.map(lambda t: t[0].encode(t[1], errors="replace")[t[2] :]))
def test_any_bytes_give_ordered_cues_or_the_one_error(tmp_path_factory: pytest.TempPathFactory, data: bytes) -> None:
    path = tmp_path_factory.getbasetemp() / "any.srt"
    path.write_bytes(data)
    try:
        cues = read_subtitles(path)
    except DataError:
        return
    assert all(0 <= cue.start <= cue.end and cue.text for cue in cues)
    assert [cue.start for cue in cues] == sorted(cue.start for cue in cues)


def test_text_between_takes_every_overlapping_cue_once() -> None:
    cues = [Subtitle(0, 2, "a"), Subtitle(1, 5, "b"), Subtitle(2, 2, "c"), Subtitle(2, 3, "a"), Subtitle(4, 6, "d")]
    assert text_between(cues, 0, 1) == "a"
    assert text_between(cues, 0, 2) == "a b"
    assert text_between(cues, 2, 4) == "b c a"
    assert text_between(cues, 0, 4) == "a b c"
    assert text_between(cues, 6, 9) == ""
    assert text_between([], 0, 9) == ""


GAP = " " * 50_000


@pytest.mark.parametrize(
    "line",
    [GAP + "-", "1:" + GAP + "1", "1:1" + GAP + "," + GAP, "<a" * 50_000, "{\\" * 50_000],
)
def test_no_line_takes_long(tmp_path: Path, line: str) -> None:
    began = time.process_time()
    assert [cue.start for cue in cues_of(tmp_path, f"{TIMES}\njoy\n{line}".encode())] == [1.0]
    assert time.process_time() - began < 0.5


def test_a_reference_to_a_character_of_thousands_of_digits_stays_as_it_is(tmp_path: Path) -> None:
    (cue,) = cues_of(tmp_path, f"{TIMES}\njoy &#{'1' * 5000};".encode())
    assert cue.text == f"joy &#{'1' * 5000};"


def test_what_is_no_subtitle_file_by_its_size_or_kind(tmp_path: Path) -> None:
    path = tmp_path / "a.srt"
    with path.open("wb") as file:
        file.truncate(2**40)
    with pytest.raises(DataError, match=r"a\.srt: holds 1,099,511,627,776 bytes, more than such a file can have"):
        read_subtitles(path)


def test_words_of_a_segment_are_limited() -> None:
    everywhere = [Subtitle(0, 1e6, f"{number} joy") for number in range(10_000)]
    assert len(text_between(everywhere, 5, 6)) == MOST_TEXT
    assert text_between(everywhere, 5, 6).startswith("0 joy 1 joy 2 joy")
