"""What can be wrong with the frames, the sound and the subtitles of one video."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np

from datasets.annotations import Video
from datasets.audio import SAMPLE_RATE, audio_file, read_sound
from datasets.errors import DataError
from datasets.frames import frame_file, frame_folder, read_clip, read_fps, read_n_frames
from datasets.subtitles import read_subtitles, subtitle_file
from datasets.video_emotion import Layout

TOLERANCE = 1.0  # seconds between the ends of picture and sound
FRAMES_AGAIN = "delete the folder, run tools/video2imgs.py again"
SOUND_AGAIN = "delete the file, run tools/video2mp3.py again"
WORDS_AGAIN = "delete the file, run tools/video2srt.py again"


@dataclass(frozen=True)
class Finding:
    """One row: what is wrong (`fault`, the same words for the same thing; `detail`), where, and what to do about it."""

    fault: str
    detail: str
    label: str
    id: str
    path: Path
    remedy: str
    is_note: bool = False


def inspect_video(video: Video, layout: Layout, samples: int | None) -> list[Finding]:
    """All findings about the files of one video. `samples` frames are decoded, None for all of them."""
    folder = frame_folder(layout.video_path, video.label, video.id)
    sound_path = audio_file(layout.audio_path, video.label, video.id)
    words_path = subtitle_file(layout.srt_path, video.label, video.id)
    findings, picture_seconds = _inspect_frames(video, folder, samples)

    sound_seconds = None
    if not sound_path.is_file():
        findings.append(_finding(video, "sound missing", "", sound_path, "run tools/video2mp3.py"))
    elif sound_path.stat().st_size == 0:
        findings.append(_finding(video, "sound empty", "", sound_path, SOUND_AGAIN))
    else:
        try:
            sound_seconds = len(read_sound(sound_path)) / SAMPLE_RATE
        except DataError as error:
            findings.append(_finding(video, "sound unreadable", _fault_of(error, sound_path), sound_path, SOUND_AGAIN))
    if picture_seconds and sound_seconds and abs(picture_seconds - sound_seconds) > TOLERANCE:
        detail = f"{picture_seconds:.1f} s of frames, {sound_seconds:.1f} s of sound"
        findings.append(_finding(video, "durations differ", detail, sound_path, "make both from one video again", True))
    if not layout.srt_path.is_dir():
        return findings  # one row for the whole dataset says so
    return findings + _inspect_words(video, words_path, picture_seconds or sound_seconds)


def _inspect_frames(video: Video, folder: Path, samples: int | None) -> tuple[list[Finding], float | None]:
    """Findings, and the duration of the picture in seconds where that is known."""
    if not folder.is_dir():
        return [_finding(video, "frames missing", "", folder, "run tools/video2imgs.py")], None
    findings: list[Finding] = []
    fps = None
    try:
        fps = read_fps(folder)
    except DataError as error:
        path = folder / "fps"
        findings.append(_finding(video, "fps unreadable", _fault_of(error, path), path, FRAMES_AGAIN))
    sizes = {path.name: path.stat().st_size for path in folder.glob("*.jpg")}
    try:
        count = read_n_frames(folder)
    except DataError as error:
        path = folder / "n_frames"
        return [*findings, _finding(video, "n_frames unreadable", _fault_of(error, path), path, FRAMES_AGAIN)], None

    names = [frame_file(folder, index).name for index in range(count)]
    absent = [name for name in names if name not in sizes]
    empty = [name for name in names if sizes.get(name) == 0]
    surplus = sizes.keys() - set(names)
    if absent:
        detail = f"n_frames says {count}, {len(absent)} of them are not there, first {absent[0]}"
        findings.append(_finding(video, "n_frames too high", detail, folder, FRAMES_AGAIN))
    if surplus:
        detail = f"n_frames says {count}, {len(surplus)} more are there, first {min(surplus)}"
        findings.append(_finding(video, "n_frames too low", detail, folder, FRAMES_AGAIN, True))
    if empty:
        findings.append(_finding(video, "frame empty", f"{len(empty)} such", folder / empty[0], FRAMES_AGAIN))

    chosen = range(count) if samples is None else np.unique(np.linspace(0, count - 1, samples).round().astype(int))
    shapes: dict[tuple[int, ...], Path] = {}
    for index in chosen:
        path = frame_file(folder, int(index))
        if sizes.get(path.name):
            try:
                shapes.setdefault(read_clip(folder, [index]).shape[1:3], path)
            except DataError as error:
                findings.append(_finding(video, "frame unreadable", _fault_of(error, path), path, FRAMES_AGAIN))
    if len(shapes) > 1:
        detail = " and ".join(f"{width}x{height}" for height, width in shapes)
        findings.append(_finding(video, "frame sizes differ", detail, list(shapes.values())[1], FRAMES_AGAIN))
    return findings, count / fps if fps else None


def _inspect_words(video: Video, path: Path, seconds: float | None) -> list[Finding]:
    if not path.is_file():
        return [_finding(video, "subtitles missing", "", path, "run tools/video2srt.py, or go without words", True)]
    try:
        cues = read_subtitles(path)
    except DataError as error:
        return [_finding(video, "subtitles unreadable", _fault_of(error, path), path, WORDS_AGAIN)]
    if not cues and path.read_bytes().strip():
        return [_finding(video, "subtitles without times", "read as no words", path, WORDS_AGAIN, True)]
    late = [cue for cue in cues if seconds is not None and cue.start >= seconds]
    if late:
        detail = f"{len(late)} of {len(cues)} start after the end at {seconds:.1f} s, first at {late[0].start:.1f} s"
        return [_finding(video, "subtitles past the end", detail, path, "check that they belong to this video", True)]
    return []


def _finding(video: Video, fault: str, detail: str, path: Path, remedy: str, is_note: bool = False) -> Finding:
    return Finding(fault, detail, video.label, video.id, path, remedy, is_note)


def _fault_of(error: DataError, path: Path) -> str:
    """The error's message without its file and remedy, for which the table has columns."""
    return str(error).removeprefix(f"{path}: ").partition("; `python tools/")[0]
