"""Flags of main.py in the hands of a tool that trains: read, checked, and summed up in a name."""

from __future__ import annotations

import argparse
import contextlib
import hashlib
import io
import json
from collections.abc import Sequence

import opts
from datasets.errors import DataError

# What every run is given by the tool, or what would make it something else than a training from beginning to end.
RESERVED = ("seed", "result_path", "expr_name", "eval", "checkpoint", "json", "resume", "overwrite", "debug")
# Machine flags that nevertheless say which data are learnt.
DATA_FLAGS = {"root_path", "annotation_path", "video_path", "audio_path", "srt_path", "skip_bad"} | {
    f"{kind}_weights" for kind in ("visual", "audio", "text")
}


def parse_flags(name: str, words: list[str], reserved: Sequence[str] = ()) -> argparse.Namespace:
    """Flags of main.py. Raises DataError that says by `name` whose they are, where a run cannot have them.

    reserved: flags that this tool gives its runs, besides those that every one does.
    """
    refused = [word for word in words if word.split("=")[0] in {f"--{flag}" for flag in (*RESERVED, *reserved)}]
    if refused:
        raise DataError(f"{name}: {', '.join(refused)} cannot be given to the runs")
    message = io.StringIO()
    try:
        with contextlib.redirect_stderr(message):
            return opts.parse(words)
    except SystemExit as ended:
        if not ended.code:  # --help
            raise
        raise DataError(f"{name}: {message.getvalue().strip().removeprefix('error: ')}") from None


def fingerprint(name: str, words: list[str]) -> str:
    """Eight hexadecimal digits of what decides the result, but for the seed. Raises DataError naming the variant."""
    flags = parse_flags(name, words)
    try:
        opts.check(flags)
    except opts.UsageError as error:
        raise DataError(f"{name}: {error}") from None
    # a preset and a config only fill in other flags
    ignored = (opts.MACHINE_FLAGS - DATA_FLAGS) | opts.COMMAND_FLAGS | {"preset", *RESERVED}
    deciding = {flag: value for flag, value in opts.to_stored(flags).items() if flag not in ignored}
    return hashlib.sha256(json.dumps(deciding, sort_keys=True).encode()).hexdigest()[:8]
