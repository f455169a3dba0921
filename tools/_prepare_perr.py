"""perr: ERATO, clips of films and series. How its owners hand it out is not public, so this is an assumption of ours.

SOURCE holds the videos, at any depth, and lists *.csv (with a header) or *.json (a list of objects) of the columns
    video   file below SOURCE, or its name alone, with or without the suffix
    label   Neutral, Mild, Intimate, Tense or Hostile, in any case
    subset  train, val or test; without this column the list's own name says it: train.csv, val.csv, test.csv
    start, end   optional: seconds or [HH:]MM:SS[.mmm] of the clip in the video; without them it is the whole file
    id      optional: name of the clip; otherwise the video's name, with the times of an excerpt
    text    optional: what is said in it
Other columns are passed over. Training is on train, the test on test, or on val where nothing is in test; otherwise
val is left out, as --val_fraction of main.py holds out a part of train.
"""

from __future__ import annotations

import csv
import io
import json
import math
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from datasets.errors import DataError, shown
from datasets.excerpts import WHOLE, Excerpt
from tools._batch import Source
from tools._clips import Clip, Listing, Videos, bare_name, read_lines

SUBSETS = ("train", "val", "test")


def list_clips(source: Path, labels: Sequence[str]) -> Listing:
    """The clips of all lists. Raises DataError naming the row that is wrong."""
    listing = Listing()
    videos = Videos(source)
    spelling = {label.casefold(): label for label in labels}
    lists = sorted(path for suffix in ("csv", "json") for path in source.glob(f"*.{suffix}") if path.name[0] != ".")
    if not lists:
        raise DataError(f"{source}: holds no list of the clips, *.csv or *.json; see python tools/prepare.py --help")
    found: list[tuple[str, Clip]] = []
    seen: dict[tuple[str, str], str] = {}
    for path in lists:
        for where, row in _rows(path):
            label = spelling.get(_column(row, "label", where).casefold())
            subset = (row.get("subset") or path.stem).lower()
            if label is None:
                raise DataError(f"{where}: label {shown(row['label'])} is none of {', '.join(labels)}")
            if subset not in SUBSETS:
                raise DataError(f"{where}: subset {shown(subset)} is none of {', '.join(SUBSETS)}")
            name = _column(row, "video", where)
            video = videos.find(name)
            excerpt = _excerpt(row, where)
            times = "" if excerpt == WHOLE else f"_{excerpt.start:.2f}to{excerpt.end:.2f}"
            id = row.get("id") or f"{bare_name(name)}{times}"
            if seen.setdefault((label, id), where) != where:
                raise DataError(f"{where}: {shown(f'{label}/{id}')} is in {seen[label, id]} already")
            if video is None:
                listing.leave_out("there is no such video", id)
            else:
                found.append((subset, Clip(Source(video, label, id, excerpt), (), row.get("text", ""))))
    tested = "test" if any(subset == "test" for subset, _ in found) else "val"
    for subset, clip in found:
        if subset in ("train", tested):
            into = "training" if subset == "train" else "validation"
            listing.clips.append(Clip(clip.source, (into,), clip.text))
        else:
            listing.leave_out("of val, as there is a test", clip.source.id)
    return listing


def _rows(path: Path) -> Iterator[tuple[str, dict[str, str]]]:
    """Where each row stands, and its columns; "" for what is not there."""
    for where, row in _rows_of_csv(path) if path.suffix == ".csv" else _rows_of_json(path):
        yield where, {str(name): "" if value is None else str(value).strip() for name, value in row.items()}


def _rows_of_csv(path: Path) -> Iterator[tuple[str, dict[str, Any]]]:
    reader = csv.DictReader(io.StringIO("\n".join(read_lines(path))), skipinitialspace=True)
    try:
        for row in reader:
            yield f"{path}:{reader.line_num}", row
    except csv.Error as error:
        raise DataError(f"{path}:{reader.line_num}: {error}") from None


def _rows_of_json(path: Path) -> Iterator[tuple[str, dict[str, Any]]]:
    text = "\n".join(read_lines(path))
    try:
        rows = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise DataError(f"{path}: no JSON ({error})") from None
    if not isinstance(rows, list) or not all(isinstance(row, dict) for row in rows):
        raise DataError(f'{path}: is not a list of objects, [{{"video": ..., "label": ...}}, ...]')
    yield from ((f"{path}, entry {number}", row) for number, row in enumerate(rows, 1))


def _column(row: dict[str, str], name: str, where: str) -> str:
    if not row.get(name):
        raise DataError(f"{where}: has no {name!r}; its columns are {shown(', '.join(row))}")
    return row[name]


def _excerpt(row: dict[str, str], where: str) -> Excerpt:
    given = [row[name] for name in ("start", "end") if row.get(name)]
    if not given:
        return WHOLE
    if len(given) < 2:
        raise DataError(f"{where}: has only one of 'start' and 'end'")
    start, end = (_seconds(time, where) for time in given)
    if not start < end:
        raise DataError(f"{where}: ends at {end:g} s, not after its start at {start:g} s")
    return Excerpt(start, end)


def _seconds(time: str, where: str) -> float:
    try:
        parts = [float(part) for part in time.split(":")]
    except ValueError:
        parts = [math.nan]
    seconds = sum(part * 60**power for power, part in enumerate(reversed(parts)))
    if len(parts) > 3 or not 0 <= seconds < math.inf:
        raise DataError(f"{where}: {shown(time)} is no time, 83.5 or 00:01:23.5")
    return seconds
