"""Predictions as files: JSON (docs/prediction.md describes it), CSV, and a folder for each video."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from core.experiment import ExperimentError
from core.files import leads_out, part_of, remove, remove_parts, write_json, write_text
from core.prediction import SCHEMA_VERSION, SENTIMENTS, Prediction, Segment
from core.report import one_line


def as_json(prediction: Prediction) -> dict[str, Any]:
    """A prediction as plain values."""
    classes = prediction.classes
    return {
        "schema": SCHEMA_VERSION,
        "file": prediction.file,
        "duration": prediction.duration,
        "model": prediction.model,
        "classes": list(classes),
        "polarity": list(prediction.polarity),
        "segment_seconds": prediction.segment_seconds,
        "emotion": prediction.emotion,
        "sentiment": SENTIMENTS[prediction.sentiment],
        "probabilities": _named(classes, prediction.probabilities),
        "sound": prediction.sound,
        "subtitles": prediction.subtitles,
        "notes": list(prediction.notes),
        "segments": [_segment(segment, classes) for segment in prediction.segments],
    }


def write_csv(path: Path, predictions: Sequence[Prediction]) -> None:
    """One line per segment of all predictions, which are of one model. Raises FileError."""
    classes = predictions[0].classes
    table = io.StringIO()
    writer = csv.writer(table, lineterminator="\n")
    writer.writerow(["file", "start", "end", "emotion", "degree", *(f"p_{name}" for name in classes), "text"])
    for prediction in predictions:
        for segment in prediction.segments:
            times = f"{segment.start:.3f}", f"{segment.end:.3f}"
            numbers = (f"{value:.6g}" for value in (segment.degree, *segment.probabilities))
            writer.writerow([prediction.file, *times, segment.emotion(classes), *numbers, segment.text])
    write_text(path, table.getvalue())


def write_folder(folder: Path, prediction: Prediction) -> None:
    """What is kept of one video: prediction.json and segments.csv. Raises FileError."""
    write_json(folder / "prediction.json", as_json(prediction))
    write_csv(folder / "segments.csv", [prediction])


@contextmanager
def whole_folder(folder: Path) -> Iterator[Path]:
    """Where to write what becomes `folder` at the end; what is there by then keeps files of other names.

    Raises ExperimentError.
    """
    temporary = part_of(folder)
    try:
        remove_parts(folder.parent, folder.name)
        temporary.mkdir(parents=True)
    except OSError as error:
        raise ExperimentError(f"{one_line(folder)}: cannot be made ({error.strerror}); choose another --out") from None
    try:
        yield temporary
        if folder.is_dir():
            made = list(temporary.iterdir())
            for path in made:  # first all, so that never a new file lies beside an old one
                remove(folder / path.name)
            for path in made:
                path.replace(folder / path.name)
        else:
            temporary.replace(folder)
    finally:
        remove(temporary)


def check_folder(folder: Path, *, overwrite: bool) -> None:
    """See that a folder is new or empty, or may be written into, and is where it seems. Raises ExperimentError."""
    if leads_out(folder, folder.parent):
        raise ExperimentError(f"{one_line(folder)} is a link that leads elsewhere; remove it, or choose another --out")
    if folder.exists() and not (folder.is_dir() and (overwrite or not any(folder.iterdir()))):
        raise ExperimentError(f"{one_line(folder)} is there already; add --overwrite, or choose another --out")


def folder_names(videos: Sequence[Path]) -> list[str]:
    """A folder for each video, named as the file without its suffix; of several with one name, from the second on with
    a number behind.
    """
    names: list[str] = []
    taken: set[str] = set()
    for video in videos:
        plain = video.stem if video.stem.strip(".") else f"_{video.name}"  # `..` is no folder of its own
        name, number = plain, 1
        while name.casefold() in taken:
            number += 1
            name = f"{plain}-{number}"
        taken.add(name.casefold())
        names.append(name)
    return names


def _segment(segment: Segment, classes: tuple[str, ...]) -> dict[str, Any]:
    return {
        "start": segment.start,
        "end": segment.end,
        "emotion": segment.emotion(classes),
        "probabilities": _named(classes, segment.probabilities),
        "degree": segment.degree,
        "text": segment.text,
        "words": [
            {
                "text": word.text,
                "at": list(word.at),
                "sentiment": word.sentiment,
                "emotion": _named(classes, word.emotion),
                "degree": word.degree,
                "passed": word.passed,
                "verified": word.verified,
            }
            for word in segment.words
        ],
    }


def _named(classes: tuple[str, ...], values: Sequence[float]) -> dict[str, float]:
    return dict(zip(classes, values, strict=True))
