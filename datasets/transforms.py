"""Augmentation: of frames, with one draw for a whole video, and of spectrograms (SpecAugment, Park et al., 2019).

Every draw comes from the generator that is passed in. None stands for evaluation, which changes nothing at random.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import cv2
import numpy as np
from torch import Tensor

CROP_SCALES = tuple(2 ** (-step / 4) for step in range(5))  # 1, 0.841, 0.707, 0.595, 0.5
AUGMENTATION_PROBABILITY = 0.3
MAX_ROTATION = 20.0  # degrees
BRIGHTNESS = (0.6, 1.4)


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

    def __call__(self, frames: np.ndarray, rng: np.random.Generator | None = None) -> np.ndarray:
        """Frames uint8 (T, H, W, 3) -> uint8 (3, T, size, size), all with the same draw; centre crop without `rng`."""
        top, left, side = self._crop(*frames.shape[1:3], rng)
        augment = self._augmentation(rng)
        # The area average when shrinking, because linear interpolation would skip pixels.
        interpolation = cv2.INTER_AREA if side > self.size else cv2.INTER_LINEAR
        out = np.empty((3, len(frames), self.size, self.size), dtype=np.uint8)
        for index, frame in enumerate(frames[:, top : top + side, left : left + side]):
            resized = cv2.resize(frame, (self.size, self.size), interpolation=interpolation)
            out[:, index] = augment(resized).transpose(2, 0, 1)
        return out

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
