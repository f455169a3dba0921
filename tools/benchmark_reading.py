"""Measures what reading one training sample costs: a plain loader of the released recipe against this one.

    python tools/benchmark_reading.py

Makes a video of moving textures with sound and subtitles in a temporary folder and reads random samples of it at the
sizes of --preset base, in one process with one thread and with warm caches. The plain loader opens and resizes every
frame at its full size with PIL, decodes the mp3 twice, computes the spectrogram of all of it, and parses the subtitles,
each for every sample. All loaders take turns, so that another program's load falls on all alike; the processor's time
does not contain it.
"""

from __future__ import annotations

import argparse
import statistics
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

import cv2
import torch

import opts
from datasets.annotations import Video
from datasets.audio import audio_file
from datasets.benchmarks import BENCHMARKS
from datasets.frame_folders import frame_folder
from datasets.frame_packs import pack_file
from datasets.opening import new_dataset
from datasets.subtitles import subtitle_file
from datasets.video_emotion import Layout, VideoEmotionDataset
from tools._batch import command, positive
from tools._benchmark_video import LABEL, VIDEO_ID, write_sample_video
from tools._plain_loader import PlainLoader
from tools.pack_frames import pack

TOOL = "benchmark_reading"
PACKED_SIDE = 128


def main(argv: Sequence[str] | None = None) -> int:
    """Runs the command; returns its exit status."""
    parser = argparse.ArgumentParser(
        prog=f"{TOOL}.py", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--seconds", type=positive, default=100, help="length of the video (100)")
    parser.add_argument("--samples", type=positive, default=15, help="samples that are timed of every loader (15)")
    args = parser.parse_args(argv)
    return command(TOOL, lambda: _benchmark(args.seconds, args.samples))


def _benchmark(seconds: int, samples: int) -> int:
    threads = torch.get_num_threads(), cv2.getNumThreads()
    torch.set_num_threads(1)
    cv2.setNumThreads(1)
    try:
        with tempfile.TemporaryDirectory() as folder:
            times = measure(Path(folder), seconds, samples)
    finally:
        torch.set_num_threads(threads[0])
        cv2.setNumThreads(threads[1])
    print("| loader | first sample, ms | median, ms | of the processor, ms | times as fast as the plain one |")
    print("|---|---:|---:|---:|---:|")
    plain = None
    for name, (first, *others) in times.items():
        median, processor = (statistics.median(clock) for clock in zip(*others, strict=True))
        plain = plain or median
        print(
            f"| {name} | {1000 * first[0]:.1f} | {1000 * median:.1f} | {1000 * processor:.1f} | {plain / median:.1f} |"
        )
    return 0


def measure(root: Path, seconds: int, samples: int) -> dict[str, list[tuple[float, float]]]:
    """Seconds of every sample, on the clock and of the processor, by the loader's name, the plain one first.

    The first sample of each warms its caches.
    """
    layout = Layout(root / "imgs", root / "mp3", root / "srt")
    write_sample_video(layout, seconds)
    packed, small = root / "packed", root / "small"
    folder = frame_folder(layout.video_path, LABEL, VIDEO_ID)
    for target, side in ((packed, None), (small, PACKED_SIDE)):
        path = pack_file(target, LABEL, VIDEO_ID)
        path.parent.mkdir(parents=True)
        pack(folder, path, side=side)
    sizes = [path.stat().st_size for path in folder.glob("*.jpg")]
    print(f"{len(sizes)} frames of {statistics.mean(sizes) / 1000:.1f} kB, with --side {PACKED_SIDE} ", end="")
    print(f"{pack_file(small, LABEL, VIDEO_ID).stat().st_size / len(sizes) / 1000:.1f} kB; {samples} samples\n")

    flags = opts.parse(["--preset", "base", "--sound_cache", str(root / "sound")])
    sound, words = audio_file(layout.audio_path, LABEL, VIDEO_ID), subtitle_file(layout.srt_path, LABEL, VIDEO_ID)
    plain = PlainLoader(folder, sound, words, flags)
    loaders: dict[str, Callable[[int], object]] = {"plain, as released": plain.read}
    for name, video_path in (
        ("folder", layout.video_path),
        ("pack", packed),
        (f"pack --side {PACKED_SIDE}", small),
    ):
        where = Layout(video_path, layout.audio_path, layout.srt_path)
        dataset = new_dataset(flags, BENCHMARKS["ve8"], [Video(VIDEO_ID, LABEL, "training")], where, training=True)
        loaders[name] = partial(_read, dataset)
    times: dict[str, list[tuple[float, float]]] = {name: [] for name in loaders}
    for epoch in range(1 + samples):
        for name, read in loaders.items():
            begun, worked = time.perf_counter(), time.process_time()
            read(epoch)
            times[name].append((time.perf_counter() - begun, time.process_time() - worked))
    return times


def _read(dataset: VideoEmotionDataset, epoch: int) -> object:
    return dataset[epoch, 0]


if __name__ == "__main__":
    sys.exit(main())
