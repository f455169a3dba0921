"""Augmentation: of frames, with one draw for a whole video, and of spectrograms (SpecAugment, Park et al., 2019).

Every draw comes from the generator that is passed in. None stands for evaluation, which changes nothing at random.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property

import cv2
import numpy as np
from torch import Tensor

from datasets.jpeg import REDUCTIONS

CROP_SCALES = tuple(2 ** (-step / 4) for step in range(5))  # 1, 0.841, 0.707, 0.595, 0.5
AUGMENTATION_PROBABILITY = 0.3
MAX_ROTATION = 20.0  # degrees
BRIGHTNESS = (0.6, 1.4)


@dataclass(frozen=True)
class FrameDraw:
    """What FrameTransform does to every frame of a video: one crop, resized to `size` pixels, and one augmentation."""

    top: int  # of the crop, as the two below in pixels of the whole frame
    left: int
    side: int
    size: int
    augment: Callable[[np.ndarray], np.ndarray]

    @cached_property
    def reduction(self) -> int:
        """The largest f of 1, 2, 4 and 8 so that of a frame decoded at 1/f the crop still has `size` pixels a side."""
        return max(factor for factor in REDUCTIONS if factor == 1 or self.side >= factor * self.size)

    def apply(self, frame: np.ndarray) -> np.ndarray:
        """A frame uint8 (ceil(H / reduction), ceil(W / reduction), 3) -> uint8 (size, size, 3)."""
        exact = [pixels / self.reduction for pixels in (self.top, self.left, self.side)]
        whole = [round(pixels) for pixels in exact]
        shape = self.size, self.size
        # Linear interpolation takes two pixels of a line for one, so that shrinking further needs the area average.
        shrinks = exact[2] > 2 * self.size
        if shrinks or whole == exact:
            top, left, side = whole
            crop = frame[top : top + side, left : left + side]
            return self.augment(cv2.resize(crop, shape, interpolation=cv2.INTER_AREA if shrinks else cv2.INTER_LINEAR))
        # A crop that begins or ends within a pixel of the smaller frame; a pixel's centre is at its number.
        top, left, side = exact
        step = side / self.size
        places = np.array([[step, 0, left + (step - 1) / 2], [0, step, top + (step - 1) / 2]])
        flags = cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP
        return self.augment(cv2.warpAffine(frame, places, shape, flags=flags, borderMode=cv2.BORDER_REPLICATE))


@dataclass(frozen=True)
class FrameTransform:
    """Square crop and resize to `size` pixels; in training the crop is one of five corners and five scales of the short
    side, not below `min_scale`, and three videos in ten are flipped, rotated or made brighter or darker.
    """

    size: int
    min_scale: float = 0.5

    def __post_init__(self) -> None:
        if not 0 <= self.min_scale <= 1:
            raise ValueError(f"min_scale is {self.min_scale}, not a share of the short side")

    def draw(self, height: int, width: int, rng: np.random.Generator | None = None) -> FrameDraw:
        """One draw for frames of this size in pixels; the centre crop without `rng`."""
        crop = self._crop(height, width, rng)
        return FrameDraw(*crop, self.size, self._augmentation(rng))

    def _crop(self, height: int, width: int, rng: np.random.Generator | None) -> tuple[int, int, int]:
        """Top, left and side of the crop, in pixels."""
        short = min(height, width)
        if rng is None:
            return (height - short) // 2, (width - short) // 2, short
        scales = [scale for scale in CROP_SCALES if scale >= self.min_scale]
        side = max(1, round(short * rng.choice(scales)))
        bottom, right = height - side, width - side
        corners = [(bottom // 2, right // 2), (0, 0), (0, right), (bottom, 0), (bottom, right)]
        return *corners[rng.integers(len(corners))], side

    def _augmentation(self, rng: np.random.Generator | None) -> Callable[[np.ndarray], np.ndarray]:
        if rng is None or rng.random() >= AUGMENTATION_PROBABILITY:
            return lambda frame: frame
        kind = rng.choice(["flip", "rotation", "brightness"])
        if kind == "flip":
            return lambda frame: frame[:, ::-1]
        if kind == "brightness":
            factor = rng.uniform(*BRIGHTNESS)
            return lambda frame: cv2.convertScaleAbs(frame, alpha=factor)
        middle = (self.size - 1) / 2
        turn = cv2.getRotationMatrix2D((middle, middle), rng.uniform(-MAX_ROTATION, MAX_ROTATION), 1.0)
        # Mirrored borders, because black corners would tell the model which videos were turned.
        return lambda frame: cv2.warpAffine(frame, turn, (self.size, self.size), borderMode=cv2.BORDER_REFLECT_101)


def mask_spectrogram(fbank: Tensor, rng: np.random.Generator, frequency: int, time: int) -> Tensor:
    """A copy of `fbank` (S, F, 128) with one band of mel bins and one of frames set to its mean in every segment.

    The bands' widths are uniform below `frequency` bins and `time` frames. Zero, which AST fills in, is a loud sound in
    log-mel energies, and drowns what is left.
    """
    mean = float(fbank.numpy().mean())  # of torch.mean the last digits depend on the number of threads
    masked = fbank.clone()
    for segment in masked:
        for bins, limit in ((segment.T, frequency), (segment, time)):
            width = rng.uniform(0, min(limit, len(bins)))
            start = int(rng.uniform(0, len(bins) - width))
            bins[start : start + int(width)] = mean
    return masked
