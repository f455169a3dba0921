"""The subtitles of a video, <srt_path>/<label>/<id>.srt, as they are found in the wild.

Encoding: byte order mark, else UTF-8, else UTF-16 where there are zero bytes, else what charset-normalizer finds.
Structure: only the lines with two times count. A cue's text reaches to the next such line, so that indices may be
wrong, repeated or absent, blank lines missing or too many, and the file cut off anywhere. Hours may be left out, as in
WebVTT. Reversed times are swapped. What lies before the video's start is dropped, and so are cues without text.
"""

from __future__ import annotations

import codecs
import html
import re
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

import charset_normalizer
import pysrt

from datasets.errors import bad_file
from datasets.whole_files import read_whole


@dataclass(frozen=True)
class Subtitle:
    """A line of text shown from `start` to `end`, in seconds."""

    start: float
    end: float
    text: str


MOST_BYTES = 2**23  # of a file; 40 hours of speech are two million
MOST_TEXT = 20_000  # characters of one answer; 20 minutes of speech

_BOMS = (  # UTF-32 before UTF-16, whose mark begins in the same way
    (codecs.BOM_UTF32_LE, "utf-32"),
    (codecs.BOM_UTF32_BE, "utf-32"),
    (codecs.BOM_UTF16_LE, "utf-16"),
    (codecs.BOM_UTF16_BE, "utf-16"),
    (codecs.BOM_UTF8, "utf-8-sig"),
)
_TIME = r"(?:(-)\s*)?(?:(\d{1,4})\s*:\s*)?(\d{1,3})\s*:\s*(\d{1,3})(?:\s*[,.:]\s*(\d{1,9}))?"
_TIMES = re.compile(rf"\s*{_TIME}\s*-->\s*{_TIME}")
_MARKUP = re.compile(r"</?[A-Za-z][^<>]*>|\{\\[^{}]*\}")
_ASS_BREAK = re.compile(r"\\[Nnh]")


def subtitle_file(srt_path: Path | str, label: str, id: str) -> Path:
    """Where the subtitles of a video lie."""
    return Path(srt_path) / label / f"{id}.srt"


def write_subtitles(path: Path | str, subtitles: Sequence[Subtitle]) -> None:
    """Writes cues as SubRip in UTF-8, times in milliseconds; an empty file for none."""
    items = [
        pysrt.SubRipItem(number, _subrip_time(cue.start), _subrip_time(cue.end), cue.text)
        for number, cue in enumerate(subtitles, 1)
    ]
    pysrt.SubRipFile(items).save(str(path), encoding="utf-8")


def read_subtitles(path: Path | str) -> list[Subtitle]:
    """The cues of a file in order of time, without markup; none for an empty file or one without times.

    Raises DataError if the file cannot be opened or is not text.
    """
    try:
        data = read_whole(path, MOST_BYTES)
    except OSError as error:
        raise bad_file(path, error.strerror or str(error)) from error
    text = _decode(data)
    if text is None:
        raise bad_file(path, "is not text in any known encoding")
    cues: list[tuple[re.Match[str], list[str]]] = []
    for line in re.split(r"[\r\n\0]+", text):  # zeros pad what was not written to its end
        times = _TIMES.match(line)
        if times:
            if cues and cues[-1][1] and cues[-1][1][-1].strip().isdigit():
                cues[-1][1].pop()  # the index of this cue, not text of the one before
            cues.append((times, []))
        elif cues and line.strip():
            cues[-1][1].append(line)
    subtitles = []
    for times, lines in cues:
        start, end = sorted((_seconds(*times.groups()[:5]), _seconds(*times.groups()[5:])))
        text = _plain(" ".join(lines))
        if text and end > 0:
            subtitles.append(Subtitle(max(start, 0.0), end, text))
    return sorted(subtitles, key=lambda subtitle: (subtitle.start, subtitle.end))


def text_between(subtitles: Sequence[Subtitle], start: float, end: float) -> str:
    """The texts of all cues that overlap [start, end) seconds, joined by a space, in order; a repeated text once.

    What is beyond MOST_TEXT characters is left out: a file in which all cues cover all of the video would otherwise
    multiply its length by the number of segments.
    """
    texts = (
        subtitle.text
        for subtitle in subtitles
        if subtitle.start < end and (subtitle.end > start or subtitle.start >= start)
    )
    return " ".join(dict.fromkeys(texts))[:MOST_TEXT]


def _subrip_time(seconds: float) -> pysrt.SubRipTime:
    return pysrt.SubRipTime.from_ordinal(round(1000 * seconds))


def _decode(data: bytes) -> str | None:
    for mark, encoding in _BOMS:
        if data.startswith(mark):
            return data.decode(encoding, errors="replace")
    if b"\0" in data.rstrip(b"\0"):
        big_endian = data[0::2].count(0) > data[1::2].count(0)
        text = data.decode("utf-16-be" if big_endian else "utf-16-le", errors="replace")
        return text if "-->" in text else None
    try:
        decoder = codecs.getincrementaldecoder("utf-8")()
        text = decoder.decode(data)
        # A character cut in two at the end of the file is no reason to doubt UTF-8, unless it would be the only one.
        if not decoder.getstate()[0] or not text.isascii():
            return text
    except UnicodeDecodeError:
        pass
    guess = charset_normalizer.from_bytes(data).best()
    return None if guess is None else str(guess)


def _seconds(sign: str | None, hours: str | None, minutes: str, seconds: str, fraction: str | None) -> float:
    value = int(hours or 0) * 3600 + int(minutes) * 60 + int(seconds) + float(f"0.{fraction or 0}")
    return -value if sign else value


def _plain(text: str) -> str:
    text = _ASS_BREAK.sub(" ", _MARKUP.sub("", text))
    with suppress(ValueError):  # a reference to a character by a number of thousands of digits
        text = html.unescape(text)
    return " ".join(text.split())
