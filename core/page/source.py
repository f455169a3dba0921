"""Where a page finds its video: a file beside it, or its own text."""

from __future__ import annotations

import base64
import contextlib
import mimetypes
import os
import re
import shutil
from pathlib import Path

from core.experiment import ExperimentError

MOST_EMBEDDED = 256 * 2**20  # bytes; browsers refuse data URLs not far above


def place_beside(folder: Path, video: Path) -> str:
    """Put the video into `folder` as video.<suffix> and return that name, which needs no quoting in a URL.

    It is a hard link to the original file, which takes no space, or a copy where the file system or its rules allow no
    link. Like this the page finds it from file://, also when its folder is moved or packed. Who edits the original in
    place edits the link; who deletes or replaces it keeps the link. A file of that name is replaced, unless it is the
    original. Raises OSError.
    """
    target = folder / f"video{_suffix(video)}"
    if target.exists() and target.samefile(video):
        return target.name
    target.unlink(missing_ok=True)
    original = video.resolve()  # a link to a symbolic link would be one, too
    with contextlib.suppress(OSError):
        os.link(original, target)
        return target.name
    shutil.copyfile(original, target)
    return target.name


def as_data_url(video: Path) -> str:
    """The video as text. Raises ExperimentError for more than MOST_EMBEDDED bytes, and OSError."""
    check_embeddable(video)
    kind = mimetypes.guess_type(f"video{_suffix(video)}")[0] or "video/mp4"
    return f"data:{kind};base64,{base64.b64encode(video.read_bytes()).decode()}"


def check_embeddable(video: Path) -> None:
    """See that a page can hold the video. Raises ExperimentError, and OSError."""
    size = video.stat().st_size
    if size > MOST_EMBEDDED:
        raise ExperimentError(
            f"{video}: {size / 2**20:.0f} MB are too many for --embed, {MOST_EMBEDDED >> 20} MB at most; leave it out"
        )


def _suffix(video: Path) -> str:
    return video.suffix.lower() if re.fullmatch(r"\.[A-Za-z0-9]{1,8}", video.suffix) else ""
