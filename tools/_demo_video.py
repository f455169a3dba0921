"""A course becomes an .mp4 file: H.264 (MPEG-4 where FFmpeg lacks it) and AAC, the same bytes for the same seeds."""

from __future__ import annotations

from collections.abc import Iterator
from fractions import Fraction
from pathlib import Path

import av
import cv2
import numpy as np

from tools import _demo_scenes, _demo_sound
from tools._demo_course import Course
from tools._demo_sound import SAMPLE_RATE

CODECS = {"libx264": {"preset": "ultrafast", "crf": "28"}, "mpeg4": {"qscale": "4"}}
SOUND_BITS = 64_000  # per second


def write_video(
    path: Path, course: Course, seeds: np.random.SeedSequence, *, fps: float, size: tuple[int, int], difficulty: float
) -> None:
    """Renders the scenes and writes them to `path`; size: (W, H) in pixels, even numbers."""
    cv2.setNumThreads(1)  # one process per core renders already
    picture_seeds, sound_seeds = seeds.spawn(2)
    codec = next(name for name in CODECS if name in av.codecs_available)
    with av.open(str(path), "w", format="mp4") as container:
        picture = container.add_stream(codec, Fraction(fps).limit_denominator(1001), options=CODECS[codec])
        picture.width, picture.height, picture.pix_fmt = *size, "yuv420p"
        picture.codec_context.thread_count = 1
        sound = container.add_stream("aac", SAMPLE_RATE, layout="mono", bit_rate=SOUND_BITS)
        for image in _frames(course, picture_seeds, fps, size, difficulty):
            container.mux(picture.encode(av.VideoFrame.from_ndarray(image, format="rgb24")))
        container.mux(picture.encode())
        samples = av.AudioFrame.from_ndarray(_samples(course, sound_seeds, difficulty)[None], "fltp", "mono")
        samples.sample_rate, samples.time_base, samples.pts = SAMPLE_RATE, Fraction(1, SAMPLE_RATE), 0
        container.mux(sound.encode(samples))
        container.mux(sound.encode())


def _frames(
    course: Course, seeds: np.random.SeedSequence, fps: float, size: tuple[int, int], difficulty: float
) -> Iterator[np.ndarray]:
    for scene, seed in zip(course.scenes, seeds.spawn(len(course.scenes)), strict=True):
        n_frames = round(scene.end * fps) - round(scene.start * fps)
        rng, emotion = np.random.default_rng(seed), scene.emotion_in("picture")
        yield from _demo_scenes.render_scene(rng, n_frames, fps, size, emotion, scene.intensity, difficulty)


def _samples(course: Course, seeds: np.random.SeedSequence, difficulty: float) -> np.ndarray:
    scenes = []
    for scene, seed in zip(course.scenes, seeds.spawn(len(course.scenes)), strict=True):
        n_samples = round(scene.end * SAMPLE_RATE) - round(scene.start * SAMPLE_RATE)
        rng, emotion = np.random.default_rng(seed), scene.emotion_in("sound")
        scenes.append(_demo_sound.render_scene(rng, n_samples, emotion, scene.intensity, difficulty))
    return np.concatenate(scenes)
