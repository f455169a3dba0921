"""affwild2: videos (.mp4, .avi) and, of the expression challenge, a text file for every video or person in it.

SOURCE holds, at any depth, the videos (batch1, batch2, ...) and one folder named *EXPR* (EXPR_Set,
EXPR_Classification_Challenge, ...) with Train_Set/*.txt and Validation_Set/*.txt. The first line of such a file is
Neutral,Anger,Disgust,Fear,Happiness,Sadness,Surprise,Other (Other may lack), line k + 1 the class of frame k by its
place there, -1 (any negative number) where there is none. A clip is a run of one class of at least 1 second, named
<file>_<first frame>to<last frame>, frames counted from 1; Other, frames without class and shorter runs are left out.
Of X_left.txt and X_right.txt, persons in X.mp4, clips show that half of the picture (assumed: as the viewer sees it).
A file whose number of lines is not about that of the video's frames belongs to another video and is left out.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import groupby
from pathlib import Path

import numpy as np

from datasets.errors import DataError, shown
from datasets.excerpts import Excerpt
from datasets.media import picture_times
from tools._batch import Source
from tools._clips import Clip, Listing, Videos, read_lines
from tools._workers import Failure, cores, parallel

SHORTEST = 1.0  # seconds of a clip, the sound of one segment
SETS = {"Train_Set": "training", "Validation_Set": "validation"}
OTHER = "Other"

_HALVES = {"_left": (0.0, 0.5), "_right": (0.5, 1.0)}


@dataclass(frozen=True)
class _Annotated:
    """A file of the challenge: name, subset, edges of the half that shows the person, class of every frame."""

    name: str
    subset: str
    half: tuple[float, float]
    classes: list[str]


def list_clips(source: Path, labels: Sequence[str], jobs: int | None = None) -> Listing:
    """The runs of all files. Raises DataError where the files are not as described.

    jobs: worker processes, one per core without.
    """
    listing = Listing()
    videos = Videos(source)
    annotated: dict[Path, list[_Annotated]] = {}
    for folder, subset in SETS.items():
        for path in _annotation_files(source, folder):
            side = next((side for side in _HALVES if path.stem.endswith(side)), "")
            video = videos.find(path.stem.removesuffix(side))
            if video is None:
                listing.leave_out("there is no such video", path.stem)
            else:
                person = _Annotated(path.stem, subset, _HALVES.get(side, (0.0, 1.0)), read_classes(path, labels))
                annotated.setdefault(video, []).append(person)

    for video, times in parallel(picture_times, list(annotated), jobs or cores(), "prepare: times of frames"):
        for person in annotated[video]:
            n_lines, n_frames = len(person.classes), 0 if isinstance(times, Failure) else len(times) - 1
            if isinstance(times, Failure):
                listing.leave_out(times.reason, person.name)
            elif abs(n_lines - n_frames) > 10 + 0.02 * n_frames:
                listing.leave_out(f"{n_lines} lines for {n_frames} frames", person.name)
            else:
                _add_runs(listing, video, person, times, labels)
    listing.clips.sort(key=lambda clip: (str(clip.source.path), clip.source.id))
    return listing


def read_classes(path: Path, labels: Sequence[str]) -> list[str]:
    """The class of every frame, "" where there is none. Raises DataError naming the line that is wrong."""
    head, *lines = "\n".join(read_lines(path)).rstrip().split("\n")
    names = [name.strip() for name in head.split(",")]
    if names not in ([*labels], [*labels, OTHER]):
        raise DataError(f"{path}:1: {head[:80]!r} is not {','.join([*labels, OTHER])}")
    classes = []
    for number, line in enumerate(lines, 2):
        try:
            place = int(line)
            classes.append("" if place < 0 else names[place])
        except (ValueError, IndexError):
            raise DataError(f"{path}:{number}: {shown(line)} is no number of a class, -1 to {len(names) - 1}") from None
    return classes


def _annotation_files(source: Path, folder: str) -> list[Path]:
    folders = sorted(path for path in source.rglob(folder) if path.is_dir() and "EXPR" in path.parent.name.upper())
    if len(folders) != 1:
        found = ", ".join(map(str, folders)) or "none"
        raise DataError(f"{source}: should hold one folder *EXPR*/{folder}, but there are {len(folders)} ({found})")
    files = sorted(path for path in folders[0].glob("*.txt") if not path.name.startswith("."))
    if not files:
        raise DataError(f"{folders[0]}: holds no *.txt")
    return files


def _add_runs(listing: Listing, video: Path, person: _Annotated, times: np.ndarray, labels: Sequence[str]) -> None:
    end = 0
    for label, members in groupby(person.classes[: len(times) - 1]):
        begin, end = end, end + sum(1 for _ in members)
        name = f"{person.name}_{begin + 1}to{end}"
        if label not in labels:
            listing.leave_out("another class (Other)" if label == OTHER else "without class", name)
        elif times[end] - times[begin] < SHORTEST:
            listing.leave_out(f"shorter than {SHORTEST:g} s", name)
        else:
            left, right = person.half
            excerpt = Excerpt(float(times[begin]), float(times[end]), left=left, right=right)
            listing.clips.append(Clip(Source(video, label, name, excerpt), (person.subset,)))
