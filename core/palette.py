"""The colours of the emotions in every picture and page, and what can be read on them."""

from __future__ import annotations

import numpy as np
from matplotlib import colormaps
from matplotlib.colors import to_hex, to_rgb

# Okabe and Ito's colours, safe for the colour-blind, in an order that suits the emotions of VideoEmotion-8.
_PALETTE = ("#d55e00", "#e69f00", "#009e73", "#000000", "#f0e442", "#0072b2", "#cc79a7", "#56b4e9")


def emotion_colours(n_classes: int) -> tuple[str, ...]:
    """A colour #rrggbb per class, all different up to 20."""
    many = tuple(to_hex(colormaps["tab20"](i % 20)) for i in range(n_classes))
    return _PALETTE[:n_classes] if n_classes <= len(_PALETTE) else many


def is_light(colour: str) -> bool:
    """Black is easier to read on it than white (WCAG 2: where the relative luminance is above 0.18)."""
    return bool(np.dot(np.asarray(to_rgb(colour)) ** 2.2, (0.2126, 0.7152, 0.0722)) > 0.18)
