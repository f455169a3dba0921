"""iemocap: the release, SOURCE/Session1 to Session5, with dialog/avi/DivX, EmoEvaluation and transcriptions.

An utterance is a line `[6.2901 - 8.2357]<tab>Ses01F_impro01_F000<tab>neu<tab>[2.5000, 2.5000, 2.5000]` of
EmoEvaluation: the seconds in the dialog's video, the name, the emotion. ang is Anger, hap and exc (excitement, as is
usual with four classes: 5,531 utterances) are Happy, neu is Neutral, sad is Sadness. Its subtitle is what the line
`Ses01F_impro01_F000 [006.2901-008.2357]: Excuse me.` of transcriptions says. Split k tests on session k.
The picture shows both actors, the one with the markers (whom the dialog's name tells, F or M) on the left, between
black bars: of 720x480 pixels an utterance takes the speaker's 360x240.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path

from datasets.errors import DataError, shown
from datasets.excerpts import Excerpt
from tools._batch import Source
from tools._clips import Clip, Listing, read_lines

CLASSES = {"ang": "Anger", "hap": "Happy", "exc": "Happy", "neu": "Neutral", "sad": "Sadness"}
SESSIONS = range(1, 6)

_NAME = r"Ses0[1-5]([FM])_\w{1,40}_([FM])\w{1,40}"
_UTTERANCE = re.compile(rf"\[(\d+\.?\d*) - (\d+\.?\d*)\]\s+({_NAME})\s+(\w+)\s+\[.*\]")
_TRANSCRIPT = re.compile(rf"({_NAME})\s+\[[\d.]+\s*-\s*[\d.]+\]:\s*(.*)")


def list_clips(source: Path, labels: Sequence[str]) -> Listing:
    """The utterances of the four classes. Raises DataError for a session that is not there, or a line that is wrong."""
    listing = Listing()
    for session in SESSIONS:
        folder = source / f"Session{session}" / "dialog"
        evaluations = [path for path in sorted(folder.glob("EmoEvaluation/*.txt")) if not path.name.startswith(".")]
        if not evaluations:
            raise DataError(f"{folder / 'EmoEvaluation'}: holds no *.txt; SOURCE is the folder of Session1 to Session5")
        subsets = tuple("validation" if split == session else "training" for split in SESSIONS)
        for evaluation in evaluations:
            _add_dialog(listing, folder, evaluation, subsets)
    return listing


def _add_dialog(listing: Listing, folder: Path, evaluation: Path, subsets: tuple[str, ...]) -> None:
    video = folder / "avi" / "DivX" / f"{evaluation.stem}.avi"
    texts = _read_transcripts(folder / "transcriptions" / evaluation.name)
    lines = [(number, line) for number, line in enumerate(read_lines(evaluation), 1) if line.startswith("[")]
    if not lines:
        raise DataError(f"{evaluation}: holds no line [START - END]<tab>NAME<tab>EMOTION<tab>[V, A, D]")
    for number, line in lines:
        match = _UTTERANCE.fullmatch(line.strip())
        if match is None:
            wanted = "[START - END]<tab>NAME<tab>EMOTION<tab>[V, A, D]"
            raise DataError(f"{evaluation}:{number}: {shown(line)} is not {wanted}")
        start, end, name, marked, speaker, emotion = match.groups()
        start, end = float(start), float(end)
        if end <= start:
            raise DataError(f"{evaluation}:{number}: {shown(name)} ends at {end:g} s, before it starts at {start:g} s")
        if emotion not in CLASSES:
            listing.leave_out(f"of another class ({emotion})", name)
        elif not video.is_file():
            listing.leave_out(f"there is no {video.name}", name)
        else:
            left = 0.0 if speaker == marked else 0.5
            excerpt = Excerpt(start, end, left, top=0.25, right=left + 0.5, bottom=0.75)
            listing.clips.append(Clip(Source(video, CLASSES[emotion], name, excerpt), subsets, texts.get(name, "")))


def _read_transcripts(path: Path) -> dict[str, str]:
    """What is said, by the utterance's name; other lines (of what is not an utterance) are passed over."""
    found = [match for line in read_lines(path) if (match := _TRANSCRIPT.fullmatch(line.strip()))]
    if not found:
        raise DataError(f"{path}: holds no line NAME [START-END]: TEXT")
    return {match[1]: match[4] for match in found}
