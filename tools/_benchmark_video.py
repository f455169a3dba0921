"""The video that reading is measured on: moving textures at 30 frames a second, sound, and subtitles of real words."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import soundfile

from datasets.audio import audio_file
from datasets.frame_folders import frame_file, frame_folder
from datasets.subtitles import subtitle_file
from datasets.video_emotion import Layout

LABEL, VIDEO_ID = "Joy", "measured"
FPS, SIZE, QUALITY = 30, (320, 240), 90
OCTAVES = ((5, 60.0), (20, 30.0), (60, 10.0), (160, 2.0))  # cells across the picture, and strength
SENTENCES = (
    "I never thought that we would be so happy here.",
    "The storm destroyed everything, and nobody came to help.",
    "What a wonderful surprise! Thank you all for coming.",
    "He was angry about the way they treated his friend.",
    "It is three miles from the station to the old bridge.",
)


def write_sample_video(layout: Layout, seconds: int) -> None:
    """All files of one video in `layout`."""
    rng = np.random.default_rng(0)
    _write_frames(frame_folder(layout.video_path, LABEL, VIDEO_ID), seconds * FPS, rng)
    sound = audio_file(layout.audio_path, LABEL, VIDEO_ID)
    sound.parent.mkdir(parents=True)
    times = np.arange(44_100 * seconds) / 44_100
    speech = np.sin(2 * np.pi * (200 + 40 * np.sin(3 * times)) * times) * np.abs(np.sin(2 * times))
    stereo = 0.3 * speech[:, None] + rng.normal(0, 0.02, (len(times), 2))
    soundfile.write(sound, stereo.astype(np.float32), 44_100, format="MP3")
    words = subtitle_file(layout.srt_path, LABEL, VIDEO_ID)
    words.parent.mkdir(parents=True)
    cues = (
        f"{n + 1}\n{_clock(3 * n)} --> {_clock(3 * n + 2)}\n{SENTENCES[n % len(SENTENCES)]}\n"
        for n in range(seconds // 3)
    )
    words.write_text("\n".join(cues), encoding="utf-8")


def _write_frames(folder: Path, n_frames: int, rng: np.random.Generator) -> None:
    width, height = SIZE
    canvas = np.full((2 * height, 2 * width, 3), 118.0)
    for cells, strength in OCTAVES:
        noise = rng.normal(0, strength, (2 * cells * height // width, 2 * cells, 3))
        canvas += cv2.resize(noise, (2 * width, 2 * height), interpolation=cv2.INTER_CUBIC)
    canvas = np.clip(canvas, 0, 255).astype(np.uint8)
    folder.mkdir(parents=True)
    for index in range(n_frames):
        top, left = (round(room * (0.5 + 0.5 * np.sin(index / pace))) for room, pace in ((height, 41), (width, 67)))
        frame = canvas[top : top + height, left : left + width]
        cv2.imencode(".jpg", frame, [cv2.IMWRITE_JPEG_QUALITY, QUALITY])[1].tofile(frame_file(folder, index))
    (folder / "n_frames").write_text(f"{n_frames}\n")
    (folder / "fps").write_text(f"{FPS}\n")


def _clock(seconds: int) -> str:
    return f"{seconds // 3600:02d}:{seconds // 60 % 60:02d}:{seconds % 60:02d},000"
