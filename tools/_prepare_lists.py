"""ve8, ek6: videos in folders of their classes, and for every split a list of its training and one of its test videos.

SOURCE holds, at any depth, <class>/<id>.<extension> and text files whose names say `train` or `test`, and the number of
the split where there are several: trainlist01.txt, testlist01.txt, ... (VideoEmotion-8 comes with ten), or train.txt
and test.txt. A line is Anger/ID or Anger/ID.mp4; the number of the class may follow. Capital letters of classes do not
matter. Assumed of Ekman-6: that its list has such lines, too.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path

from datasets.errors import DataError
from datasets.video_names import find_videos
from tools._batch import Source
from tools._clips import Clip, Listing, bare_name
from tools.make_annotations import read_lists

_NUMBERED = re.compile(r"(.*\S)\s+\d{1,9}")
_LIST = re.compile(r".*(train|test)[^0-9]*([0-9]*)[^0-9]*\.txt", re.IGNORECASE)


def list_clips(source: Path, labels: Sequence[str]) -> Listing:
    """The videos of all lists. Raises DataError where there is no list, or one is wrong."""
    spelling = {label.casefold(): label for label in labels}
    listing = Listing()
    videos: dict[tuple[str, str], Path] = {}
    for path in find_videos([source]):
        label = spelling.get(path.parent.name.casefold())
        if label is None:
            listing.leave_out("not in a folder of a class", str(path))
        elif videos.setdefault((label, bare_name(path)), path) != path:
            listing.leave_out("another video of its class has the same name", str(path))

    train, test = _find_lists(source)
    spellings = {name for label in labels for name in (label, label.lower(), label.upper(), label.capitalize())}
    classes = {name: labels.index(spelling[name.casefold()]) + 1 for name in sorted(spellings)}
    for video in read_lists(train, test, classes):
        label, id = spelling[video.label.casefold()], bare_name(video.id)
        number = _NUMBERED.fullmatch(video.id)
        if (label, id) not in videos and number:  # of a class, in an order of the owners
            id = bare_name(number[1])
        path = videos.pop((label, id), None)
        if path is None:
            listing.leave_out("in a list, but there is no such video", f"{label}/{id}")
        else:
            listing.clips.append(Clip(Source(path, label, id), video.subsets or (video.subset,)))
    listing.leave_out("in no list", *map(str, videos.values()))
    return listing


def _find_lists(source: Path) -> tuple[list[Path], list[Path]]:
    """The lists of training and of test videos, those of the first split first."""
    found: dict[str, dict[int, Path]] = {"train": {}, "test": {}}
    for path in sorted(source.rglob("*.txt")):
        match = None if path.name.startswith(".") else _LIST.fullmatch(path.name)
        if match:
            other = found[match[1].lower()].setdefault(int(match[2] or 1), path)
            if other != path:
                raise DataError(f"{path}: {other} is another list of the same split; move one of the two away")
    for number in sorted(found["train"].keys() ^ found["test"].keys()):
        there, lacking = ("train", "test") if number in found["train"] else ("test", "train")
        raise DataError(f"{found[there][number]}: there is no {lacking} list of that split; put it beside this one")
    if not found["train"]:
        names = ", ".join(f"{name}list01.txt" for name in ("train", "test"))
        raise DataError(f"{source}: holds no lists of the splits ({names}, ...); put there those of the owners")
    return tuple([found[kind][number] for number in sorted(found[kind])] for kind in ("train", "test"))
