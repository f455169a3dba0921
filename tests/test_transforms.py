from __future__ import annotations

import numpy as np
import pytest
import torch

from datasets.transforms import FrameTransform, mask_spectrogram

NOISE = np.random.default_rng(0).integers(0, 256, (1, 32, 32, 3), dtype=np.uint8)


def reduced(frame: np.ndarray, factor: int) -> np.ndarray:
    """A frame (H, W, 3) as the decoder gives it at 1/factor: means of squares, those at the end of what there is.

    Of whole numbers, whole numbers again.
    """
    height, width = frame.shape[:2]
    rows = np.stack([frame[top : top + factor].mean(axis=0) for top in range(0, height, factor)])
    means = np.stack([rows[:, left : left + factor].mean(axis=1) for left in range(0, width, factor)], axis=1)
    return (means.round() if frame.dtype == np.uint8 else means).astype(frame.dtype)


def transformed(transform: FrameTransform, frames: np.ndarray, rng: np.random.Generator | None = None) -> np.ndarray:
    """Frames (T, H, W, 3) with one draw, as (3, T, size, size)."""
    draw = transform.draw(*frames.shape[1:3], rng)
    return np.stack([draw.apply(reduced(frame, draw.reduction)) for frame in frames]).transpose(3, 0, 1, 2)


def test_evaluation_crops_the_middle_and_is_deterministic() -> None:
    # Columns 0..63 of value 4 * column; the middle 32 are columns 16..47, and pairs of them are averaged.
    frames = np.broadcast_to(4 * np.arange(64, dtype=np.uint8)[None, None, :, None], (2, 32, 64, 3))
    out = transformed(FrameTransform(16), np.ascontiguousarray(frames))
    assert (out.shape, out.dtype) == ((3, 2, 16, 16), np.uint8)
    np.testing.assert_array_equal(out[2, 1, 5], 66 + 8 * np.arange(16))


def test_upright_video_and_enlarging() -> None:
    frames = np.zeros((1, 40, 8, 3), dtype=np.uint8)
    frames[:, 16:24] = (10, 20, 30)
    out = transformed(FrameTransform(16), frames)
    np.testing.assert_array_equal(out[:, 0], np.broadcast_to(np.array([10, 20, 30])[:, None, None], (3, 16, 16)))


def test_one_draw_for_all_frames() -> None:
    frames = np.repeat(np.random.default_rng(1).integers(0, 256, (1, 48, 64, 3), dtype=np.uint8), 4, axis=0)
    results = set()
    for seed in range(60):
        out = transformed(FrameTransform(16), frames, np.random.default_rng(seed))
        assert (out == out[:, :1]).all()
        results.add(out.tobytes())
    assert len(results) > 25


def test_same_generator_same_result_and_the_callers_frames_stay() -> None:
    frames, before = NOISE.copy(), NOISE.copy()
    first, second = (transformed(FrameTransform(24), frames, np.random.default_rng(5)) for _ in range(2))
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


@pytest.mark.parametrize(
    ("short", "size", "reduction"),
    [
        (112, 112, 1),
        (223, 112, 1),
        (224, 112, 2),
        (447, 112, 2),
        (448, 112, 4),
        (896, 112, 8),
        (4000, 112, 8),
        (50, 112, 1),
    ],
)
def test_frames_are_decoded_as_small_as_leaves_the_crop_its_pixels(short: int, size: int, reduction: int) -> None:
    assert FrameTransform(size).draw(short, short + 7).reduction == reduction


@pytest.mark.parametrize("seed", range(40))
@pytest.mark.parametrize("axis", [0, 1])
def test_a_pixel_shows_its_place_in_the_crop_at_every_scale(
    seed: int, axis: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("datasets.transforms.AUGMENTATION_PROBABILITY", 0.0)
    rng = np.random.default_rng(seed)
    shape = tuple(rng.integers(100, 250, 2))
    line = np.arange(shape[axis], dtype=np.float32)
    ramp = np.broadcast_to(line.reshape((-1, 1, 1) if axis == 0 else (1, -1, 1)), (*shape, 3))
    draw = FrameTransform(24).draw(*shape, rng)
    assert draw.reduction in (2, 4, 8)
    out = draw.apply(reduced(ramp, draw.reduction))
    expected = (draw.top, draw.left)[axis] + (np.arange(24) + 0.5) * draw.side / 24 - 0.5  # of every pixel's centre
    # OpenCV knows 32 places between two pixels. Beyond the centre of the last one there is nothing to interpolate.
    difference = np.abs((out[:, 5, 0] if axis == 0 else out[5, :, 0]) - expected)
    assert difference[1:-1].max() <= draw.reduction / 32
    assert difference.max() <= draw.reduction / 2


def test_draws_come_in_the_order_in_which_they_always_came() -> None:
    names = set()
    for seed in range(100):
        draw = FrameTransform(16).draw(48, 65, np.random.default_rng(seed))
        rng = np.random.default_rng(seed)
        side = round(48 * rng.choice([1, 2**-0.25, 2**-0.5, 2**-0.75, 0.5]))
        corner = [((48 - side) // 2, (65 - side) // 2), (0, 0), (0, 65 - side), (48 - side, 0), (48 - side, 65 - side)]
        assert (draw.top, draw.left, draw.side) == (*corner[rng.integers(5)], side)
        kind = rng.choice(["flip", "rotation", "brightness"]) if rng.random() < 0.3 else "none"
        level = draw.augment(np.full((16, 16, 3), 100, np.uint8))[8, 8, 0]
        expected = 100 * rng.uniform(0.6, 1.4) if kind == "brightness" else 100
        assert level == pytest.approx(expected, abs=0.51)
        names.add(kind)
    assert names == {"none", "flip", "rotation", "brightness"}


def test_three_videos_in_ten_are_augmented_in_one_of_three_ways() -> None:
    rng, plain = np.random.default_rng(0), transformed(FrameTransform(32), NOISE)
    transform = FrameTransform(32, min_scale=1.0)  # a square video has one such crop
    counts = {"none": 0, "flip": 0, "brightness": 0, "rotation": 0}
    for _ in range(2000):
        out = transformed(transform, NOISE, rng)
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
