"""What can be wrong with the frames, the sound and the subtitles of one video."""

from __future__ import annotations

from pathlib import Path

from datasets.annotations import Video
from datasets.audio import SAMPLE_RATE, audio_file, read_sound
from datasets.errors import DataError
from datasets.subtitles import read_subtitles, subtitle_file
from datasets.video_emotion import Layout
from tools._findings import Finding, fault_of, finding
from tools._inspection_frames import inspect_frames

TOLERANCE = 1.0  # seconds between the ends of picture and sound
NO_SOUND = "run tools/video2mp3.py; has the video none, train with --skip_bad or --modalities v"
SOUND_AGAIN = "delete the file, run tools/video2mp3.py again"
WORDS_AGAIN = "delete the file, run tools/video2srt.py again"


def inspect_video(video: Video, layout: Layout, samples: int | None) -> list[Finding]:
    """All findings about the files of one video. `samples` frames are decoded, None for all of them."""
    sound_path = audio_file(layout.audio_path, video.label, video.id)
    words_path = subtitle_file(layout.srt_path, video.label, video.id)
    findings, picture_seconds = inspect_frames(video, layout.video_path, samples)

    sound_seconds = None
    if not sound_path.is_file():
        findings.append(finding(video, "sound missing", "", sound_path, NO_SOUND))
    elif sound_path.stat().st_size == 0:
        findings.append(finding(video, "sound empty", "", sound_path, SOUND_AGAIN))
    else:
        try:
            sound_seconds = len(read_sound(sound_path)) / SAMPLE_RATE
        except DataError as error:
            findings.append(finding(video, "sound unreadable", fault_of(error, sound_path), sound_path, SOUND_AGAIN))
    if picture_seconds and sound_seconds and abs(picture_seconds - sound_seconds) > TOLERANCE:
        detail = f"{picture_seconds:.1f} s of frames, {sound_seconds:.1f} s of sound"
        findings.append(finding(video, "durations differ", detail, sound_path, "make both from one video again", True))
    if not layout.srt_path.is_dir():
        return findings  # one row for the whole dataset says so
    return findings + _inspect_words(video, words_path, picture_seconds or sound_seconds)


def _inspect_words(video: Video, path: Path, seconds: float | None) -> list[Finding]:
    if not path.is_file():
        return [finding(video, "subtitles missing", "", path, "run tools/video2srt.py, or go without words", True)]
    try:
        cues = read_subtitles(path)
    except DataError as error:
        return [finding(video, "subtitles unreadable", fault_of(error, path), path, WORDS_AGAIN)]
    if not cues and path.read_bytes().strip():
        return [finding(video, "subtitles without times", "read as no words", path, WORDS_AGAIN, True)]
    late = [cue for cue in cues if seconds is not None and cue.start >= seconds]
    if late:
        detail = f"{len(late)} of {len(cues)} start after the end at {seconds:.1f} s, first at {late[0].start:.1f} s"
        return [finding(video, "subtitles past the end", detail, path, "check that they belong to this video", True)]
    return []
