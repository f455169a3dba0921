from __future__ import annotations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st
from numpy.testing import assert_allclose, assert_array_equal

from datasets.annotations import AnnotatedSegment
from datasets.segments import blocks, clip_centres, clip_frames, course_distribution


def test_blocks_cover_the_video_without_gap() -> None:
    assert_allclose(blocks(10.0, 4), [[0, 2.5], [2.5, 5], [5, 7.5], [7.5, 10]])


def test_evaluation_takes_the_middle_of_every_block() -> None:
    # Blocks of 10 frames, clips of 4: frames 3..6 of each.
    assert_array_equal(clip_frames(40, 4, 4)[:, 0], [3, 13, 23, 33])
    assert_array_equal(clip_frames(40, 4, 4)[1], [13, 14, 15, 16])


def test_clips_longer_than_a_block_keep_its_middle_and_stay_inside_the_video() -> None:
    # Blocks of 2.5 frames have their middles at 1.25, 3.75, 6.25, 8.75; clips of 4 start 2 earlier, within 0..6.
    expected = [0, 1, 4, 6]
    assert_array_equal(clip_frames(10, 4, 4)[:, 0], expected)
    assert_array_equal(clip_frames(10, 4, 4, np.random.default_rng(0))[:, 0], expected)


def test_a_video_shorter_than_a_clip_is_repeated() -> None:
    assert_array_equal(clip_frames(3, 2, 8), [[0, 1, 2, 0, 1, 2, 0, 1]] * 2)


def test_training_reaches_every_place_of_a_block_and_no_other() -> None:
    rng = np.random.default_rng(0)
    starts = np.array([clip_frames(40, 4, 4, rng)[:, 0] for _ in range(300)])
    assert [sorted(set(column)) for column in starts.T] == [list(range(first, first + 7)) for first in (0, 10, 20, 30)]


@given(
    n_frames=st.integers(1, 400),
    n_segments=st.integers(1, 40),
    length=st.integers(1, 40),
    seed=st.none() | st.integers(0, 99),
)
def test_clips_are_consecutive_frames(n_frames: int, n_segments: int, length: int, seed: int | None) -> None:
    rng = None if seed is None else np.random.default_rng(seed)
    indices = clip_frames(n_frames, n_segments, length, rng)
    assert indices.shape == (n_segments, length)
    assert indices.min() >= 0
    assert indices.max() < n_frames
    steps = np.diff(indices, axis=1) % n_frames if n_frames > 1 else np.ones((n_segments, length - 1))
    assert (steps == 1).all()
    if n_frames >= length:
        assert (np.diff(indices, axis=1) == 1).all()
    if n_frames // n_segments >= length:
        edges = np.arange(n_segments + 1) * n_frames // n_segments
        assert (indices[:, 0] >= edges[:-1]).all()
        assert (indices[:, -1] < edges[1:]).all()


def test_centre_of_a_clip_lies_between_its_first_and_last_frame() -> None:
    # Frames 3..6 at 10 fps are shown from 0.3 to 0.7 s. Three frames repeated span 0 to 0.3 s.
    assert_allclose(clip_centres(np.array([[3, 4, 5, 6], [0, 1, 2, 0]]), 10.0), [0.5, 0.15])


def test_course_is_overlap_times_intensity() -> None:
    course = [
        AnnotatedSegment(1.0, 5.0, "joy", 0.5),  # 1 s of block 0 and 2 s of block 1: 0.5 and 1.0; 1 s of block 2: 0.5
        AnnotatedSegment(3.0, 4.0, "fear", 1.0),  # 1 s of block 1: 1.0
    ]
    expected = np.array([[0, 0.5], [1.0, 1.0], [0, 0.5]]) / 3.0
    found = course_distribution(course, blocks(6.0, 3), ("fear", "joy"))
    assert found.dtype == np.float32
    assert_allclose(found, expected, rtol=1e-6)


def test_course_is_zero_without_segments_or_past_the_end() -> None:
    late = [AnnotatedSegment(7.0, 8.0, "joy")]
    for course in ([], late):
        assert not course_distribution(course, blocks(6.0, 3), ("fear", "joy")).any()
