"""The sound of videos as mp3/<label>/<id>.mp3: second t of the mp3 is second t of the picture.

    python tools/video2mp3.py VIDEOS MP3

Keeps mono and stereo, and the sampling rate where mp3 knows it. A damaged packet becomes silence of its length.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import soundfile

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from datasets.excerpts import WHOLE, Excerpt
from datasets.media import MP3_RATES, SoundTrack
from tools._batch import Source, command, conversion_parser, convert_all, find_videos

TOOL = "video2mp3"


def extract(source: Path, target: Path, excerpt: Excerpt = WHOLE) -> str:
    """Writes the sound of the video `source` to the mp3 file `target`. Returns what had to be left out.

    Raises DataError when the video has no sound track or none that can be decoded.
    """
    track = SoundTrack(source, MP3_RATES, excerpt=excerpt)
    with soundfile.SoundFile(target, "w", track.rate, track.channels, format="MP3") as file:
        for block in track.blocks():
            file.write(np.clip(block, -1.0, 1.0))
    return str(track.damage)


def is_done(target: Path) -> bool:
    """True for an mp3 file with something in it."""
    return target.is_file() and target.stat().st_size > 0


def main(argv: Sequence[str] | None = None) -> int:
    """Runs the command; returns its exit status."""
    parser = conversion_parser(TOOL, "Extract the sound of videos as mp3, on the picture's clock.", "mp3")
    args = parser.parse_args(argv)
    from datasets.audio import audio_file  # brings torch, which the worker processes must not wait for

    def target_of(video: Source) -> Path:
        return audio_file(args.output, video.label, video.id)

    return command(
        TOOL,
        lambda: convert_all(
            TOOL,
            find_videos(args.videos),
            args.output,
            target_of,
            extract,
            is_done=is_done,
            jobs=args.jobs,
            overwrite=args.overwrite,
            noted="damaged",
        ),
    )


if __name__ == "__main__":
    sys.exit(main())
