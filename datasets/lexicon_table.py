"""A lexicon as a compact, sorted table, built once and memory-mapped from the user's cache by all who need it.

The terms themselves are not stored, only 64 bits of their hash: that an unknown term is taken for one of 300,000 known
ones has a chance of 2e-14. A row is 16 bytes.
"""

from __future__ import annotations

import os
import struct
import subprocess
import sys
import tempfile
import time
import zlib
from bisect import bisect_left
from collections.abc import Iterable, Sequence
from contextlib import suppress
from functools import lru_cache
from hashlib import blake2b
from pathlib import Path

import numpy as np

from datasets.affect_tags import TAGS
from datasets.cache import STALE, user_cache
from datasets.lexicon_sources import SOURCES, Entry

BEGINS_PHRASE = 1 << 31  # mark of rows that are the first words of a longer term
MAX_TAGS = 31
_RECIPE = ("affect_tags.py", "lexicon_sources.py", "lexicon_table.py", "word_forms.py")
_HEADER = struct.Struct("<8sQLxxxx")  # magic, rows, checksum of the rows
_MAGIC = b"MARTLEX\n"


class LexiconTable:
    """The rows of a lexicon, found by term.

    keys uint64 (n,), sorted; marks uint32 (n,), bit t for tag t, and BEGINS_PHRASE; polarity float32 (n,), 0 for rows
    that only begin a phrase.
    """

    def __init__(self, keys: np.ndarray, marks: np.ndarray, polarity: np.ndarray) -> None:
        self.keys, self.marks, self.polarity = keys, marks, polarity
        self._sorted_keys = memoryview(keys)

    def __len__(self) -> int:
        return len(self.keys)

    def row(self, term: str) -> int | None:
        """The row of a term (words in lower case joined by single spaces)."""
        key = _key(term)
        row = bisect_left(self._sorted_keys, key)
        return row if row < len(self._sorted_keys) and self._sorted_keys[row] == key else None


def pack(entries: Iterable[Entry], tags: Sequence[str]) -> LexiconTable:
    """The table of entries whose tags are among `tags` (at most MAX_TAGS); neutral ones are left out.

    Of a term that occurs more than once the first entry counts.
    """
    bits = {tag: 1 << place for place, tag in enumerate(tags[:MAX_TAGS])}
    rows: dict[int, tuple[float, int]] = {}
    beginnings: set[int] = set()
    for term, polarity, names in entries:
        key = _key(term)
        if polarity and key not in rows:
            rows[key] = polarity, sum(bits[name] for name in set(names))
            beginnings.update(_key(term[:place]) for place, letter in enumerate(term) if letter == " ")
    keys = sorted(rows.keys() | beginnings)
    values = [rows.get(key, (0.0, 0)) for key in keys]
    marks = [mark | BEGINS_PHRASE * (key in beginnings) for key, (_, mark) in zip(keys, values, strict=True)]
    return LexiconTable(
        np.array(keys, dtype="<u8"),
        np.array(marks, dtype="<u4"),
        np.array([polarity for polarity, _ in values], dtype="<f4"),
    )


def load_table(source: str) -> LexiconTable:
    """The table of one of SOURCES with the tags of affect_tags.TAGS, built first if the cache has no sound one.

    The cache is that of datasets/cache.py; where it cannot be written to, the table is built by each process
    for itself. Raises DataError if a package is missing.
    """
    versions = SOURCES[source].versions()
    folder = user_cache()
    if folder is None:
        return pack(SOURCES[source].entries(), TAGS)
    path = folder / f"lexicon-{source}-{versions}-{_recipe():08x}.bin"
    try:
        return _read(path)
    except (OSError, ValueError):
        build_elsewhere(source, path)
    try:
        return _read(path)
    except (OSError, ValueError):
        return pack(SOURCES[source].entries(), TAGS)


def build(source: str, path: Path) -> None:
    """Write the table of a source to `path`. Raises OSError where that is impossible."""
    path.parent.mkdir(parents=True, exist_ok=True)
    _write(path, pack(SOURCES[source].entries(), TAGS))


def build_elsewhere(source: str, path: Path) -> None:
    """`build` in a process of its own, so that what the source takes while it is read is given back."""
    words = [sys.executable, "-m", "datasets.lexicon_table", source, str(path)]
    subprocess.run(words, cwd=Path(__file__).parents[1], capture_output=True, check=False)


@lru_cache(maxsize=1)
def _recipe() -> int:
    """Checksum of the code that decides what a table holds, so that no table of other code is ever read."""
    return zlib.crc32(b"".join((Path(__file__).parent / name).read_bytes() for name in _RECIPE))


def _read(path: Path) -> LexiconTable:
    """Memory-maps a table. Raises OSError or ValueError if there is none or it is damaged."""
    data = np.memmap(path, np.uint8, mode="r")
    if len(data) < _HEADER.size:
        raise ValueError(f"{path}: cut off")
    magic, rows, checksum = _HEADER.unpack(data[: _HEADER.size].tobytes())
    body = data[_HEADER.size :]
    if magic != _MAGIC or len(body) != 16 * rows or zlib.crc32(body) != checksum:
        raise ValueError(f"{path}: damaged")
    keys, marks, polarity = np.split(body, (8 * rows, 12 * rows))
    table = LexiconTable(keys.view("<u8"), marks.view("<u4"), polarity.view("<f4"))
    if not (np.abs(table.polarity) <= 1).all():
        raise ValueError(f"{path}: damaged")
    return table


def _write(path: Path, table: LexiconTable) -> None:
    """Several processes may do this at once: each writes a file of its own and renames it when it is whole."""
    for left in path.parent.glob(f".{path.name}-*"):  # by killed processes
        with suppress(FileNotFoundError):
            if left.stat().st_mtime < time.time() - STALE:
                left.unlink()
    body = table.keys.tobytes() + table.marks.tobytes() + table.polarity.tobytes()
    handle, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}-")
    temporary = Path(name)
    try:
        with os.fdopen(handle, "wb") as file:
            file.write(_HEADER.pack(_MAGIC, len(table), zlib.crc32(body)) + body)
        temporary.replace(path)
    finally:
        temporary.unlink(missing_ok=True)


def _key(term: str) -> int:
    return int.from_bytes(blake2b(term.encode(errors="surrogatepass"), digest_size=8).digest(), "little")


if __name__ == "__main__":
    build(sys.argv[1], Path(sys.argv[2]))
