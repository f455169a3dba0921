"""95 % intervals of one run's metrics: the percentile bootstrap over its videos (Efron and Tibshirani 1993).

A resample draws as many videos as there are, with replacement. The intervals say how the metrics of this model vary
with the videos that it is tested on, and nothing of how they vary from seed to seed.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

N_RESAMPLES = 1000
_AT_ONCE = 100  # a row per resample and a column per detection of a class, which are many
_PERCENT = (2.5, 97.5)
_SEED = 0


def bootstrap_intervals(
    statistics: Callable[[np.ndarray], dict[str, np.ndarray]], n_videos: int
) -> dict[str, list[float]]:
    """Lower and upper end for each statistic; {} for fewer than two videos, which vary in nothing.

    statistics: `drawn` (R, n_videos), how often a resample holds each video -> values (R,) by name, NaN where a
    resample has none.
    """
    if n_videos < 2:
        return {}
    rng = np.random.default_rng(_SEED)
    shares = np.full(n_videos, 1 / n_videos)
    parts = [
        statistics(rng.multinomial(n_videos, shares, size=_AT_ONCE).astype(np.float64))
        for _ in range(N_RESAMPLES // _AT_ONCE)
    ]
    values = {name: np.concatenate([part[name] for part in parts]) for name in parts[0]}
    return {name: np.nanpercentile(column, _PERCENT).tolist() for name, column in values.items()}


def drawn_mean(values: np.ndarray, drawn: np.ndarray) -> np.ndarray:
    """Mean of each resample (R,) over the videos (N,) that have a value; NaN where it draws none of them."""
    held = ~np.isnan(values)
    with np.errstate(invalid="ignore"):
        return drawn[:, held] @ values[held] / drawn[:, held].sum(axis=1)
