"""Where the user's files live that can be made again: $XDG_CACHE_HOME/mart, by default ~/.cache/mart."""

from __future__ import annotations

import os
from pathlib import Path

STALE = 3600.0  # seconds after which a file that is still being written has lost its writer


def user_cache() -> Path | None:
    """The folder, which need not be there yet; None for a user without a home."""
    try:
        return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "mart"
    except RuntimeError:
        return None


def sound_cache(asked: Path | None) -> Path | None:
    """The folder of spectrograms that --sound_cache means, None for nowhere."""
    if asked is not None:
        return None if asked == Path("none") else asked
    cache = user_cache()
    return cache and cache / "sound"
