"""Hostile files for hypothesis to draw: damaged copies of sound ones, absurd values in well-formed ones."""

from __future__ import annotations

import json
import re
import struct
from collections.abc import Callable, Sequence

from hypothesis import strategies as st

EXTREMES = (
    b"\0",
    b"\xff" * 8,
    b"\0" * 8,
    b"\x7f\xff\xff\xff",
    b"\xff\xff\xff\x7f",
    b"\x01\0\0\0",
    b"\n",
    b"../",
    b"PK\1\2",
)
# What json.dumps cannot write, and what it writes instead.
RAW = {
    "@inf": "1e999",
    "@huge": "9" * 5000,
    "@digits": "9" * 4000,
    "@deep": "[" * 900 + "]" * 900,
    "@deeper": "[" * 100_000 + "]" * 100_000,
    "@table": '{"a":' * 800 + "0" + "}" * 800,
}
TEXTS = st.one_of(
    st.sampled_from((
        "", ".", "..", "../x", "/etc/passwd", "a/b", "a\\b", "a\nb", "\x1b[2J", "\0", "\ud800", "x" * 300, "\u202e",
        "Joy", "Fear", "-", "C:", "~", "%s", "{0}", "nan", "1e999", "0", "-1",
    )),
    st.text(max_size=8),
)  # fmt: skip
NUMBERS = st.one_of(
    st.sampled_from((0, 1, -1, 2, 10**9, 2**31, 2**63, 2**64, 10**30, 10**400, 0.5, -0.0, 1e-300, 1e300)),
    st.integers(-3, 300),
    st.floats(allow_nan=True),
)
PLAIN = st.one_of(st.none(), st.booleans(), NUMBERS, TEXTS)
VALUES = st.one_of(
    PLAIN,
    st.sampled_from(tuple(RAW)),
    st.recursive(
        PLAIN, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(TEXTS, inner, max_size=3), max_leaves=5
    ),
)


def as_json(document: object) -> bytes:
    """The document as JSON, with what no document holds where RAW names it."""
    text = json.dumps(document)
    return re.sub(r'"(@\w+)"', lambda match: RAW.get(match[1], match[0]), text).encode()


@st.composite
def damaged(draw: st.DrawFn, seeds: Callable[[], Sequence[bytes]]) -> bytes:
    """A sound file with a few bytes overwritten, left out, repeated or put in, or cut off."""
    content = bytearray(draw(st.sampled_from(seeds())))
    for _ in range(draw(st.integers(1, 5))):
        start = draw(st.integers(0, len(content)))
        length = draw(st.sampled_from((0, 1, 2, 4, 8, 100, 10**6)))
        source = draw(st.integers(0, len(content)))
        new = draw(
            st.one_of(
                st.binary(max_size=8), st.sampled_from(EXTREMES), st.just(bytes(content[source : source + length]))
            )
        )
        content[start : start + length] = new
    return bytes(content)


@st.composite
def changed(draw: st.DrawFn, documents: Callable[[], Sequence[dict]]) -> object:
    """A sound document with a few of its values, wherever they stand, replaced, left out or added."""
    document = json.loads(json.dumps(draw(st.sampled_from(documents()))))
    for _ in range(draw(st.integers(1, 4))):
        place = document
        while True:
            keys = list(place) if isinstance(place, dict) else list(range(len(place)))
            if not keys:
                break
            key = draw(st.sampled_from(keys))
            if isinstance(place[key], (dict, list)) and place[key] and draw(st.booleans()):
                place = place[key]
                continue
            change = draw(st.sampled_from(("replace", "replace", "remove", "add")))
            if change == "remove":
                del place[key]
            elif change == "replace":
                place[key] = draw(VALUES)
            elif isinstance(place, dict):
                place[draw(TEXTS)] = draw(st.one_of(st.just(place[key]), VALUES))
            else:
                place.append(draw(st.one_of(st.just(place[key]), VALUES)))
            break
    return document


@st.composite
def patched(draw: st.DrawFn, seeds: Callable[[], Sequence[bytes]], marks: dict[bytes, int]) -> bytes:
    """A sound file with fields of 2, 4 or 8 bytes set to telling numbers, each behind one of `marks`.

    marks: where a header begins, and how many bytes it has.
    """
    content = bytearray(draw(st.sampled_from(seeds())))
    for _ in range(draw(st.integers(1, 3))):
        mark = draw(st.sampled_from(sorted(marks)))
        places = [match.start() for match in re.finditer(re.escape(mark), bytes(content))]
        if places:
            at = draw(st.sampled_from(places)) + draw(st.integers(len(mark), marks[mark] - 1))
            form = draw(st.sampled_from(("<H", "<L", "<Q", ">H", ">L", ">Q")))
            size = struct.calcsize(form)
            number = draw(
                st.one_of(
                    st.sampled_from((0, 1, 2, 8, 0x7FFF, 0xFFFF, 2**31 - 1, 2**32 - 1, 2**40, 2**63, 2**64 - 1)),
                    st.integers(0, len(content)),
                )
            )
            content[at : at + size] = struct.pack(form, number & (256**size - 1))
    return bytes(content)
