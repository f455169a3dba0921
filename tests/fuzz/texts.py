"""Targets: subtitles, annotations and the lists that they are made of, lexicons."""

from __future__ import annotations

import contextlib
import functools
import io
import os
import struct
import zlib
from pathlib import Path

from hypothesis import strategies as st

import opts
from datasets.annotations import Annotation, Video, benchmark_of, read_annotation, write_annotation
from datasets.benchmarks import BENCHMARKS
from datasets.cues import find_cues
from datasets.errors import DataError
from datasets.lexicon import AffectiveLexicon
from datasets.lexicon_sources import Entry
from datasets.lexicon_table import _read, _write, pack
from datasets.segments import blocks
from datasets.subtitles import read_subtitles, text_between
from datasets.tokens import encode_texts
from tests.fuzz.files import as_json, changed
from tests.fuzz.target import made, target
from tools.make_annotations import add_segments, parse_polarity, read_classes, read_list

VE8 = BENCHMARKS["ve8"]
_LINES = st.one_of(
    st.sampled_from((
        "1", "", "00:00:01,000 --> 00:00:02,500", "00:01.5 --> 0:2", "-00:00:01,0 --> 00:00:01", "what a joy",
        "not happy, <i>sad</i>", "{\\an8}fear", "<font", "&#" + "1" * 5000 + ";", "&#x110000;&amp;", " " * 20_000 + "-",
        "1:" + " " * 20_000 + "1", "9999:999:999,999999999 --> 0:0", "\u0661:\u0662 --> \u0663:\u0664", "<a" * 9000,
        "0:0 --> 9999:0:0", "joy " * 8000, "{\\" * 9000, "'" * 9000, "a'" * 9000, "x" * 30_000,
    )),
    st.text(max_size=30),
)  # fmt: skip


@st.composite
def _subtitles(draw: st.DrawFn) -> bytes:
    lines = draw(st.sampled_from(("\n", "\r\n", "\r", "\0"))).join(draw(st.lists(_LINES, max_size=12)))
    codings = ("utf-8", "utf-8-sig", "utf-16", "utf-16-be", "utf-32", "cp1252", "cp1251", "gb18030", "utf-7")
    return lines.encode(draw(st.sampled_from(codings)), errors="replace")


@functools.cache
def _lexicon() -> AffectiveLexicon:
    return AffectiveLexicon(VE8)


def _srt() -> list[bytes]:
    _lexicon()  # built once, before anything is measured
    text = "1\n00:00:00,100 --> 00:00:01,500\nwhat a joy\n\n2\n00:00:02,000 --> 00:00:03,000\nn\u00fc not sad\n"
    return [text.encode(coding) for coding in ("utf-8", "utf-16", "cp1252")]


@target("a.srt", _srt, _subtitles())
def subtitles(path: Path) -> None:
    found = read_subtitles(path)
    assert all(0 <= cue.start <= cue.end < float("inf") and cue.text.strip() for cue in found)
    assert [(cue.start, cue.end) for cue in found] == sorted((cue.start, cue.end) for cue in found)
    texts = [text_between(found, start, end) for start, end in blocks(8.0, 4)]
    ids, _, places = encode_texts(texts, 32)
    assert ids.shape == (4, 32)
    assert find_cues(texts, places, _lexicon(), 8).emotion.isfinite().all()
    _lexicon().find(texts[0])  # all of it, as a prediction does


def _annotations() -> list[dict]:
    segments = [{"start": 0.5, "end": 2, "label": "Joy", "intensity": 0.5}, {"start": 2, "end": 3, "label": "Fear"}]
    entry = {"subset": "training", "annotations": {"label": "Joy", "segments": segments}}
    other = {"subset": "validation", "annotations": {"label": "Fear"}}
    return [{"labels": ["Joy", "Fear"], "polarity": [1, -1], "database": {"a": entry, "Fear/b": other, "Joy/b": entry}}]


@target("data.json", lambda: [as_json(document) for document in _annotations()], changed(_annotations).map(as_json))
def annotations(path: Path) -> None:
    found = read_annotation(path)
    for video in found.videos:
        for place in (path.parent / video.label / video.id, path.parent / video.label / f"{video.id}.zip"):
            inside = Path(os.path.relpath(os.path.normpath(place), path.parent)).parts
            assert len(inside) == 2 and ".." not in inside, place
            place.is_file()
    try:
        benchmark_of(found, "custom")
    except DataError:
        assert found.polarity is None
    write_annotation(path, found)
    assert read_annotation(path) == found


_SEGMENTS = {"Joy/a": [{"start": 0, "end": 1, "label": "Joy", "intensity": 0.5}]}


@st.composite
def _config(draw: st.DrawFn) -> bytes:
    keys = st.sampled_from((
        *vars(opts.parse([])), "root_path.a", '"\\u0000"', "no_flag", "'a b'", "[root_path]", "[[seed]]",
    ))  # fmt: skip
    values = st.sampled_from((
        "1", "-1", "1.5", "1e999", "-inf", "nan", "true", "false", '""', '"av"', '"text"', "'''\na'''", "[" * 3000,
        "{a = 1}", "[1]", "1" * 5000, '"' + "x" * 9000 + '"', "1979-05-27", "0x10", "1_0", '"\\u0000"', '"--eval"',
        '"../../x"',
    ))  # fmt: skip
    lines = draw(st.lists(st.tuples(keys, values), max_size=5))
    return "\n".join(f"{key} = {value}" for key, value in lines).encode()


@target(
    "flags.toml",
    lambda: [b'preset = "base"\nlearning_rate = 1e-4\nroot_path = "data"\nunlabelled = true\n'],
    _config(),
)
def config(path: Path) -> None:
    told = io.StringIO()
    try:
        with contextlib.redirect_stderr(told):
            flags = opts.parse(["--config", str(path)])
    except SystemExit as ended:
        assert ended.code == 2
        raise opts.UsageError(told.getvalue().removesuffix("\n")) from None
    assert not (flags.eval or flags.resume or flags.overwrite) and flags.checkpoint is None


@st.composite
def _lists(draw: st.DrawFn) -> bytes:
    lines = st.sampled_from((
        "1 Anger", "2 Joy", "Joy", "Joy/a", "Joy/a 2", "Joy/a b.mp4", "Anger/../x", "Joy/x/y", "9" * 5000 + " Joy",
        "Joy/a " + "9" * 5000, "Joy/" + " " * 20_000 + "x", "1" + "," * 20_000,
    ))  # fmt: skip
    parts = draw(st.lists(st.lists(lines | st.text(max_size=10), max_size=4), min_size=4, max_size=4))
    return "\0".join("\n".join(part) for part in parts).encode(errors="surrogatepass")


@target(
    "lists",
    lambda: [b"1 Anger\n2 Joy\n\0Joy/a.mp4 2\nAnger/b 1\n\0" + as_json(_SEGMENTS) + b"\0Anger=-,Joy=+"],
    _lists(),
    changed(lambda: [_SEGMENTS]).map(lambda document: b"Anger\nJoy\0Joy/a\0" + as_json(document)),
)
def lists(path: Path) -> None:
    """Class index, list, segments and polarity of one dataset, with a zero byte between them."""
    classes_text, list_text, segments_text, signs = [*path.read_bytes().split(b"\0"), b"", b"", b""][:4]
    places = [path.with_name(name) for name in ("classes.txt", "list.txt", "segments.json")]
    for place, text in zip(places, (classes_text, list_text, segments_text), strict=True):
        place.write_bytes(text)
    classes = read_classes(places[0])
    videos = [Video(id, label, "training") for label, id in read_list(places[1], classes)]
    if segments_text:
        videos = add_segments(places[2], videos)
    polarity = parse_polarity(signs.decode(errors="replace"), list(classes)) if signs else None
    write_annotation(path, Annotation(tuple(classes), tuple(videos), polarity))
    read_annotation(path)


@st.composite
def _words(draw: st.DrawFn) -> bytes:
    cells = st.one_of(
        st.sampled_from((
            "joy", "Fear", "1", "-0.5", "nan", "1e999", '"a,b"', '"', "", "calm", "a" * 100_000 + "!", "1" * 5000,
            "x" * 140_000, "in love", "sadness",
        )),
        st.text(max_size=8),
    )  # fmt: skip
    rows = draw(st.lists(st.lists(cells, max_size=5), max_size=6))
    return "\n".join(",".join(row) for row in rows).encode(errors="surrogatepass")


@target(
    "words.csv",
    lambda: [b"word,polarity,emotion\nhappy,0.8,joy\nin love,1,joy,trust\n# comment\nbad,-0.5,fear\n"],
    _words(),
)
def lexicon(path: Path) -> None:
    found = AffectiveLexicon(VE8, str(path))
    for text in ("happy in love", "not bad", "joy x calm"):
        for cue in found.find(text):
            assert abs(cue.cue.emotion.sum() - 1) < 1e-5 and 0 < cue.cue.degree <= 1


def _tables() -> list[bytes]:
    entries = [Entry("happy", 0.5, ("joy",)), Entry("in love", 1.0, ("joy",)), Entry("bad", -0.3, ("fear",))]
    return [made(lambda path: _write(path, pack(entries, ["joy", "fear"])))]


def _with_checksum(rows: bytes) -> bytes:
    rows = rows[: len(rows) // 16 * 16]
    return struct.pack("<8sQLxxxx", b"MARTLEX\n", len(rows) // 16, zlib.crc32(rows)) + rows


@target("a.bin", _tables, st.binary(max_size=64).map(_with_checksum))
def lexicon_table(path: Path) -> None:
    try:
        table = _read(path)
    except (OSError, ValueError) as error:  # by which load_table knows that it has to be built again
        raise DataError(str(error)) from None
    for term in ("happy", "in love", "x"):
        row = table.row(term)
        assert row is None or abs(table.polarity[row]) <= 1
    assert (abs(table.polarity) <= 1).all()
