"""Targets: what the owners of the benchmarks hand out, as tools/prepare.py reads it."""

from __future__ import annotations

import json
from pathlib import Path

from hypothesis import strategies as st

from datasets.benchmarks import BENCHMARKS
from datasets.errors import DataError
from tests.fuzz.files import as_json, changed
from tests.fuzz.target import target
from tools import _prepare_affwild2, _prepare_iemocap, _prepare_perr, _prepare_tsl300
from tools.prepare import _usable

_SEEDS = {
    "perr.csv": b"video,label,subset,start,end,id,text\na.mp4,Tense,train,1,00:02.5,x,so\nb,mild,test,,,,\n",
    "perr.json": b'[{"video": "a", "label": "Tense", "start": 1, "end": 2.5}, {"video": "b", "label": "Mild"}]',
    "iemocap": b"[6.2 - 8.2]\tSes01F_a_F0\tneu\t[2.5, 2.5, 2.5]\n\0Ses01F_a_F0 [006.2-008.2]: Excuse me.\n",
    "tsl300": b'{"database": {"a": {"subset": "train", "annotations": [{"segment": ["1.5", "2"], "label": "p"}]}}}',
    "affwild2": b"Neutral,Anger,Disgust,Fear,Happiness,Sadness,Surprise,Other\n0\n1\n-1\n7\n",
}
_CELLS = st.sampled_from((
    "a", "a.mp4", "../a", "Tense", "train", "1", "1:2:3", "1e999", "nan", "-1", "9" * 5000, '"', "\0", "x" * 140_000,
    "", "../../x", "1:" * 9000, "\x1b[2J",
))  # fmt: skip
_LINES = st.sampled_from((
    "[1.0 - 2.0]\tSes01F_a_F0\tang\t[1]", "Ses01F_a_F0 [1-2]: x", "Ses01F_" + "_F" * 3000 + "!", "[" + "1" * 9000,
    "[1.0 - 2.0]\tSes01F" + "_F" * 3000 + "\tneu\t" + "[]" * 3000, "9" * 5000, "-9",
    "[2.0 - 1.0]\tSes01F_a_F0\tneu\t[]",
))  # fmt: skip


@st.composite
def _owners(draw: st.DrawFn) -> bytes:
    kind = draw(st.sampled_from(sorted(_SEEDS)))
    if kind == "perr.csv":
        rows = draw(st.lists(st.lists(_CELLS | st.text(max_size=5), max_size=8), max_size=3))
        content = "\n".join([_SEEDS[kind].decode().split("\n")[0], *map(",".join, rows)]).encode(errors="replace")
    elif kind in ("perr.json", "tsl300"):
        document = json.loads(_SEEDS[kind])
        holder = changed(lambda: [document]) if kind == "tsl300" else changed(lambda: [{"rows": document}])
        drawn = draw(holder)
        content = as_json(drawn if kind == "tsl300" else drawn.get("rows"))
    else:
        lines = draw(st.lists(_LINES | st.text(max_size=10), max_size=4))
        content = _SEEDS[kind] + "\n".join(lines).encode(errors="replace")
    return kind.encode() + b"\n" + content


def _seeds() -> list[bytes]:
    return [kind.encode() + b"\n" + content for kind, content in _SEEDS.items()]


@target("owners", _seeds, _owners())
def owners(path: Path) -> None:
    """The lists of one benchmark, whose name stands in the first line, beside two videos."""
    name, _, content = path.read_bytes().partition(b"\n")
    kind, source = name.decode(errors="replace"), path.with_name("source")
    for video in ("a.mp4", "b.mp4"):
        (source / "batch1").mkdir(parents=True, exist_ok=True)
        (source / "batch1" / video).touch()
    if kind == "affwild2":
        path.write_bytes(content)
        _prepare_affwild2.read_classes(path, BENCHMARKS["affwild2"].classes)
        return
    if kind in ("perr.csv", "perr.json"):
        (source / f"train.{kind[5:]}").write_bytes(content)
        listing = _prepare_perr.list_clips(source, BENCHMARKS["perr"].classes)
    elif kind == "tsl300":
        (source / _prepare_tsl300.FILE).write_bytes(content)
        listing = _prepare_tsl300.list_clips(source, _prepare_tsl300.BENCHMARK.classes)
    elif kind == "iemocap":
        for session in _prepare_iemocap.SESSIONS:
            folder = source / f"Session{session}" / "dialog"
            for part, text in zip(("EmoEvaluation", "transcriptions"), (*content.split(b"\0"), b"")[:2], strict=True):
                (folder / part).mkdir(parents=True, exist_ok=True)
                (folder / part / "Ses01F_impro01.txt").write_bytes(text)
        listing = _prepare_iemocap.list_clips(source, BENCHMARKS["iemocap"].classes)
    else:
        raise DataError("no such owner")
    for clip in _usable(listing):
        assert "/" not in clip.source.id and clip.source.id not in ("", ".", "..")
