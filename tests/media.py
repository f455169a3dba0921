"""Writes small frames, sound and subtitles on disk as datasets/ reads them."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import cv2
import numpy as np
import soundfile

from datasets.audio import audio_file
from datasets.frame_folders import frame_file, frame_folder, open_folder
from datasets.frame_packs import open_pack
from datasets.jpeg import decode_picture, picture_size
from datasets.subtitles import subtitle_file
from datasets.video_emotion import Layout


def layout_in(root: Path) -> Layout:
    """The usual three folders under `root`."""
    return Layout(root / "imgs", root / "mp3", root / "srt")


def write_frames(folder: Path, frames: Sequence[np.ndarray], fps: float | None = None) -> None:
    """RGB frames (H, W, 3) as JPEG, with n_frames and, if known, fps."""
    folder.mkdir(parents=True, exist_ok=True)
    for index, frame in enumerate(frames):
        _, data = cv2.imencode(".jpg", frame[..., ::-1], [cv2.IMWRITE_JPEG_QUALITY, 95])
        data.tofile(frame_file(folder, index))
    (folder / "n_frames").write_text(f"{len(frames)}\n")
    if fps is not None:
        (folder / "fps").write_text(f"{fps}\n")


def read_clip(path: Path, indices: Sequence[int]) -> np.ndarray:
    """Frames `indices` of a folder or a pack, whole, as uint8 (T, H, W, 3) RGB."""
    frames = open_folder(path) if path.is_dir() else open_pack(path)
    contents = frames.contents(indices)
    return np.stack([decode_picture(data, name, picture_size(data, name))[..., ::-1] for name, data in contents])


def write_sound(path: Path, waveform: np.ndarray, rate: int) -> None:
    """Sound (n,) or (n, channels) as mp3."""
    path.parent.mkdir(parents=True, exist_ok=True)
    soundfile.write(str(path), waveform, rate, format="MP3")


def tone(seconds: float, rate: int, hertz: float = 440.0, level: float = 0.5) -> np.ndarray:
    """A sine (n,) of amplitude `level`."""
    return (level * np.sin(2 * np.pi * hertz * np.arange(round(seconds * rate)) / rate)).astype(np.float32)


def write_subtitles(path: Path, cues: Sequence[tuple[str, str, str]]) -> None:
    """Cues (start, end, text), times as SubRip writes them."""
    path.parent.mkdir(parents=True, exist_ok=True)
    blocks = [f"{number}\n{start} --> {end}\n{text}\n" for number, (start, end, text) in enumerate(cues, 1)]
    path.write_text("\n".join(blocks), encoding="utf-8")


def write_video(
    layout: Layout,
    label: str,
    id: str,
    *,
    frames: Sequence[np.ndarray],
    fps: float | None = None,
    waveform: np.ndarray,
    rate: int = 16_000,
    cues: Sequence[tuple[str, str, str]] | None = None,
) -> None:
    """All files of one video; without `cues` it has no subtitle file."""
    write_frames(frame_folder(layout.video_path, label, id), frames, fps)
    write_sound(audio_file(layout.audio_path, label, id), waveform, rate)
    if cues is not None:
        write_subtitles(subtitle_file(layout.srt_path, label, id), cues)
