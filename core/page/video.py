"""The page of a video: it plays above the timeline of its emotions and beside its words."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from core.files import write_text
from core.page.chart import draw_chart, relative_degrees
from core.page.source import as_data_url, place_beside
from core.page.template import render
from core.page.thumbnails import as_style, pictured, tiles
from core.prediction import SENTIMENTS, Prediction, Segment, Word, strongest
from core.timeaxis import clock
from core.verification import STAGES

PAGE = "report.html"
_REJECTED = {  # by the stage that a word failed
    "sentiment": "its sentiment is not the video's here",
    "emotion": "its emotion is not the strongest here",
    "degree": "its degree is far from the video's here",
}


def write_page(
    folder: Path, prediction: Prediction, thumbnails: Mapping[int, bytes], video: Path, *, embed: bool = False
) -> Path:
    """Write `folder`/report.html, with the video beside it or, with `embed`, in it; returns its path.

    thumbnails: JPEG by segment, see thumbnails.py; of what is not `pictured` nothing is shown. Raises ExperimentError
    for a video that is too large to embed or a page that cannot be written, and OSError for an unreadable video.
    """
    folder.mkdir(parents=True, exist_ok=True)
    page = video_page(prediction, thumbnails, as_data_url(video) if embed else place_beside(folder, video))
    write_text(folder / PAGE, page)
    return folder / PAGE


def video_page(prediction: Prediction, thumbnails: Mapping[int, bytes], source: str) -> str:
    """The page itself; `source` is the URL of the video, as seen from the page."""
    segments = prediction.segments
    wanted = set(pictured(len(segments)))
    shown = {segment: jpeg for segment, jpeg in thumbnails.items() if segment in wanted}
    degrees = relative_degrees(segments)
    return render(
        "video",
        n_classes=len(prediction.classes),
        style=as_style(shown),
        prediction=prediction,
        name=Path(prediction.file).name,
        source=source,
        chart=draw_chart(segments, prediction.duration),
        ranking=sorted(enumerate(prediction.probabilities), key=lambda entry: -entry[1]),
        rows=list(zip(segments, degrees, strict=True)),
        has_words=any(segment.words for segment in segments),
        shown=shown,
        tiles=tiles(shown, [segment.start for segment in segments], prediction.duration),
        pieces=pieces,
        says=lambda segment, degree: says(segment, degree, prediction.classes),
        judged=lambda word: judged(word, prediction.classes),
        failed=failed,
        strongest=strongest,
    )


def says(segment: Segment, degree: float, classes: tuple[str, ...]) -> str:
    """A segment in words: its time, its two strongest emotions and `degree`, a multiple of the mean."""
    first, *others = sorted(zip(segment.probabilities, classes, strict=True), key=lambda entry: -entry[0])
    named = ", ".join(f"{name} {100 * share:.0f} %" for share, name in (first, *others[:1]))
    times = f"{clock(segment.start, tenths=True)} to {clock(segment.end, tenths=True)}"
    return f"{times}: {named}; degree {degree:.1f} \u00d7 the mean"


def pieces(segment: Segment) -> list[tuple[str, Word | None]]:
    """The segment's text in parts, each an affective word or what stands between them."""
    parts: list[tuple[str, Word | None]] = []
    at = 0
    for word in sorted(segment.words, key=lambda word: word.at):
        start, end = max(at, word.at[0]), word.at[1]
        if start < end:
            parts += [(segment.text[at:start], None), (segment.text[start:end], word)]
            at = end
    return [(text, word) for text, word in [*parts, (segment.text[at:], None)] if text]


def failed(word: Word) -> str | None:
    """The stage of verification that rejected the word, None for a verified one."""
    return None if word.verified else STAGES[STAGES.index(word.passed) + 1]


def judged(word: Word, classes: tuple[str, ...]) -> str:
    """What the lexicon says of the word, and what came of it."""
    stage = failed(word)
    verdict = f"rejected by {stage}: {_REJECTED[stage]}" if stage else "verified: the video agrees"
    return f"{classes[strongest(word.emotion)]}, {SENTIMENTS[word.sentiment]}, degree {word.degree:.2f}; {verdict}"
