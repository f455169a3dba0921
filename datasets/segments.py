"""Which part of a video belongs to segment s: its block of time, its clip of frames, its share of the annotated course.

S equal blocks cover the video; from each comes one clip of T consecutive frames (`snippet_duration`).
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from datasets.annotations import AnnotatedSegment


def blocks(duration: float, n_segments: int) -> np.ndarray:
    """Start and end in seconds, float64 (S, 2), of equal blocks that cover `duration` seconds."""
    edges = np.linspace(0.0, duration, n_segments + 1)
    return np.stack([edges[:-1], edges[1:]], axis=1)


def clip_frames(
    n_frames: int, n_segments: int, snippet_duration: int, rng: np.random.Generator | None = None
) -> np.ndarray:
    """Frames of every block's clip, int64 (S, T), counted from 0: consecutive, anywhere in the block, or in its middle
    without `rng`.

    A clip longer than its block stays in the block's middle and reaches into the neighbours, shifted until it lies
    inside the video. A video shorter than a clip is repeated from its start.
    """
    steps = np.arange(snippet_duration)
    if n_frames < snippet_duration:
        return np.tile(steps % n_frames, (n_segments, 1))
    edges = np.arange(n_segments + 1) * n_frames // n_segments
    segment = np.arange(n_segments)
    middle = ((2 * segment + 1) * n_frames - n_segments * snippet_duration) // (2 * n_segments)
    start = np.clip(middle, 0, n_frames - snippet_duration)
    if rng is not None:
        first, last = edges[:-1], edges[1:] - snippet_duration
        fits = first <= last
        start = rng.integers(np.where(fits, first, start), np.where(fits, last, start) + 1)
    return start[:, None] + steps


def clip_centres(indices: np.ndarray, fps: float) -> np.ndarray:
    """The middle of every clip in seconds, float64 (S,), for frames (S, T); frame i is shown from i / fps on."""
    return (indices.min(axis=1) + indices.max(axis=1) + 1) / (2 * fps)


def course_distribution(segments: Sequence[AnnotatedSegment], blocks: np.ndarray, classes: Sequence[str]) -> np.ndarray:
    """Q*: float32 (S, C), overlap of block s (S, 2) with the segments of emotion c in seconds, times their intensity,
    normalised to 1 over S and C. Zeros where no segment overlaps a block.
    """
    mass = np.zeros((len(blocks), len(classes)))
    for segment in segments:
        overlap = np.minimum(blocks[:, 1], segment.end) - np.maximum(blocks[:, 0], segment.start)
        mass[:, classes.index(segment.label)] += np.maximum(overlap, 0.0) * segment.intensity
    total = mass.sum()
    return (mass / total if total > 0 else mass).astype(np.float32)
