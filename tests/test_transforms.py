from __future__ import annotations

import numpy as np
import pytest
import torch

from datasets.transforms import FrameTransform, mask_spectrogram

NOISE = np.random.default_rng(0).integers(0, 256, (1, 32, 32, 3), dtype=np.uint8)


def test_evaluation_crops_the_middle_and_is_deterministic() -> None:
    # Columns 0..63 of value 4 * column; the middle 32 are columns 16..47, and pairs of them are averaged.
    frames = np.broadcast_to(4 * np.arange(64, dtype=np.uint8)[None, None, :, None], (2, 32, 64, 3))
    out = FrameTransform(16)(np.ascontiguousarray(frames))
    assert (out.shape, out.dtype) == ((3, 2, 16, 16), np.uint8)
    np.testing.assert_array_equal(out[2, 1, 5], 66 + 8 * np.arange(16))


def test_upright_video_and_enlarging() -> None:
    frames = np.zeros((1, 40, 8, 3), dtype=np.uint8)
    frames[:, 16:24] = (10, 20, 30)
    out = FrameTransform(16)(frames)
    np.testing.assert_array_equal(out[:, 0], np.broadcast_to(np.array([10, 20, 30])[:, None, None], (3, 16, 16)))


def test_one_draw_for_all_frames() -> None:
    frames = np.repeat(np.random.default_rng(1).integers(0, 256, (1, 48, 64, 3), dtype=np.uint8), 4, axis=0)
    results = set()
    for seed in range(60):
        out = FrameTransform(16)(frames, np.random.default_rng(seed))
        assert (out == out[:, :1]).all()
        results.add(out.tobytes())
    assert len(results) > 25


def test_same_generator_same_result_and_the_callers_frames_stay() -> None:
    frames, before = NOISE.copy(), NOISE.copy()
    first, second = (FrameTransform(24)(frames, np.random.default_rng(5)) for _ in range(2))
    np.testing.assert_array_equal(first, second)
    np.testing.assert_array_equal(frames, before)


@pytest.mark.parametrize(("min_scale", "sides"), [(0.5, {32, 27, 23, 19, 16}), (0.7, {32, 27, 23}), (1.0, {32})])
def test_crops_take_five_scales_and_five_corners(min_scale: float, sides: set[int]) -> None:
    transform, rng = FrameTransform(16, min_scale), np.random.default_rng(0)
    crops = {transform._crop(32, 48, rng) for _ in range(1000)}
    assert {side for _, _, side in crops} == sides
    for side in sides:
        down, right = 32 - side, 48 - side
        corners = {(0, 0), (0, right), (down, 0), (down, right), (down // 2, right // 2)}
        assert {(top, left) for top, left, size in crops if size == side} == corners


def test_three_videos_in_ten_are_augmented_in_one_of_three_ways() -> None:
    rng, plain = np.random.default_rng(0), FrameTransform(32)(NOISE)
    transform = FrameTransform(32, min_scale=1.0)  # a square video has one such crop
    counts = {"none": 0, "flip": 0, "brightness": 0, "rotation": 0}
    for _ in range(2000):
        out = transform(NOISE, rng)
        if (out == plain).all():
            counts["none"] += 1
        elif (out == plain[..., ::-1]).all():
            counts["flip"] += 1
        elif (
            np.corrcoef(out.ravel(), plain.ravel())[0, 1] > 0.9 and out[..., 16, 16].mean() != plain[..., 16, 16].mean()
        ):
            counts["brightness"] += 1
        else:
            counts["rotation"] += 1
    assert counts["none"] == pytest.approx(1400, abs=70)
    assert all(counts[kind] == pytest.approx(200, abs=50) for kind in ("flip", "brightness", "rotation"))


def test_share_of_the_short_side() -> None:
    with pytest.raises(ValueError, match=r"min_scale is 1\.5"):
        FrameTransform(16, min_scale=1.5)


def test_spectrogram_loses_one_band_and_one_stretch_per_segment() -> None:
    fbank = torch.tensor([1.0, 3.0]).repeat(200, 100, 64)  # of mean 2
    masked = mask_spectrogram(fbank, np.random.default_rng(0), frequency=24, time=19)
    assert set(fbank.unique().tolist()) == {1.0, 3.0}
    widths = []
    for segment in masked:
        times, bins = (segment == 2).all(dim=1), (segment == 2).all(dim=0)
        # Nothing but whole rows and whole columns is the mean, and each kind is one run.
        torch.testing.assert_close(segment == 2, times[:, None] | bins[None, :])
        for run in (times, bins):
            assert (run.int().diff().abs().sum() + run[0] + run[-1]) in (0, 2)
        widths.append((int(times.sum()), int(bins.sum())))
    longest = np.max(widths, axis=0)
    assert longest[0] == 18  # the width is below 19, cut to whole frames
    assert longest[1] == 23
    assert np.min(widths, axis=0).tolist() == [0, 0]


def test_spectrogram_shorter_than_its_mask() -> None:
    fbank = torch.tensor([1.0, 3.0]).repeat(50, 4, 64)
    masked = mask_spectrogram(fbank, np.random.default_rng(0), frequency=24, time=19)
    assert masked.shape == (50, 4, 128)
    assert (masked == 3).any(dim=2).any(dim=1).all(), "every segment keeps something"


def test_mask_depends_on_the_generator_alone() -> None:
    torch.manual_seed(0)
    noise = torch.rand(3, 100, 128)
    state = torch.get_rng_state()
    first, second = (mask_spectrogram(noise, np.random.default_rng(7), 24, 19) for _ in range(2))
    torch.testing.assert_close(first, second)
    torch.testing.assert_close(torch.get_rng_state(), state)
