"""A benchmark as its owners hand it out becomes what training reads: imgs/, mp3/, srt/ and the annotation file.

    python tools/prepare.py --dataset ve8 --source VideoEmotion8 --root data/ve8

Frames come in packs, imgs/<label>/<id>.zip. ROOT/left_out.json says what is left out, and why. Stopped and started
again, it makes only what is missing. Subtitles come from the owners' transcripts, which IEMOCAP has; for the others
`python tools/video2srt.py ROOT/mp3 ROOT/srt` makes them by speech recognition.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import sys
from collections import Counter
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from types import ModuleType

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from datasets.annotations import SUBSETS, Annotation, Video, write_annotation
from datasets.benchmarks import BENCHMARKS
from datasets.errors import DataError
from datasets.excerpts import WHOLE, Excerpt
from datasets.frame_packs import open_pack, pack_file
from datasets.jpeg import QUALITY
from datasets.media import SHORT_SIDE
from datasets.subtitles import Subtitle, subtitle_file, write_subtitles
from datasets.video_names import may_be_name
from tools import (
    _prepare_affwild2,
    _prepare_iemocap,
    _prepare_lists,
    _prepare_perr,
    _prepare_tsl300,
    pack_frames,
    video2imgs,
    video2mp3,
)
from tools._batch import PART, Source, check_place, command, convert_all, exclusive, positive, remove_leftovers
from tools._clips import Clip, Listing

TOOL = "prepare"
OWNERS: dict[str, ModuleType] = {
    "ve8": _prepare_lists,
    "ek6": _prepare_lists,
    "perr": _prepare_perr,
    "iemocap": _prepare_iemocap,
    "affwild2": _prepare_affwild2,
    "tsl300": _prepare_tsl300,
}
LEFT_OUT = "left_out.json"


def make_pack(path: Path, target: Path, excerpt: Excerpt = WHOLE) -> str:
    """Writes the frames of a video to the pack `target`. Returns what had to be left out. Raises DataError."""
    folder = target.with_name(f"{PART}{os.getpid()}.frames")
    try:
        note = video2imgs.extract(path, folder, short_side=SHORT_SIDE, quality=QUALITY, fps=None, excerpt=excerpt)
        pack_frames.pack(folder, target, side=None)
    finally:
        shutil.rmtree(folder, ignore_errors=True)
    return note


def main(argv: Sequence[str] | None = None) -> int:
    """Runs the command; returns its exit status."""
    assumed = "\n".join(module.__doc__ for module in dict.fromkeys(OWNERS.values()))
    parser = argparse.ArgumentParser(
        prog=f"{TOOL}.py",
        description=__doc__,
        epilog=f"What SOURCE has to hold:\n\n{assumed}",
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--dataset", choices=OWNERS, required=True, help="whose files these are, see below")
    parser.add_argument("--source", type=Path, required=True, metavar="DIR", help="folder that came from the owners")
    parser.add_argument("--root", type=Path, required=True, metavar="OUT", help="folder to write to; made when missing")
    parser.add_argument("--jobs", type=positive, help="worker processes (default: one per core)")
    args = parser.parse_args(argv)
    return command(TOOL, lambda: _prepare(args))


def _prepare(args: argparse.Namespace) -> int:
    root: Path = args.root
    annotation_file = root / f"{root.absolute().name}.json"
    if not args.source.is_dir():
        raise DataError(f"--source {args.source} is no folder; give the one that came from the owners")
    _check_root(root, args.dataset, annotation_file)
    benchmark = BENCHMARKS.get(args.dataset, _prepare_tsl300.BENCHMARK)
    owner = OWNERS[args.dataset]
    opens_videos = {"jobs": args.jobs} if owner is _prepare_affwild2 else {}
    listing: Listing = owner.list_clips(args.source, benchmark.classes, **opens_videos)
    clips = _usable(listing)
    if not clips:
        raise DataError(f"{args.source}: no video is left ({_reasons(listing)}); see python tools/{TOOL}.py --help")
    for subset in SUBSETS:
        if not any(subset in clip.subsets for clip in clips):
            raise DataError(f"{args.source}: no {subset} video is left ({_reasons(listing)}); correct the lists")
    _write_left_out(root, args.dataset, listing)

    clips, sound_status = _convert(clips, listing, root / "mp3", "sound", args.jobs)
    clips, frames_status = _convert(clips, listing, root / "imgs", "frames", args.jobs)
    _write_texts([clip for clip in clips if clip.text], root)
    _write_left_out(root, args.dataset, listing)
    polarity = benchmark.polarity if benchmark.key == "custom" else None
    annotation = Annotation(benchmark.classes, tuple(map(_video, clips)), polarity)
    write_annotation(annotation_file, annotation)

    training, validation = (len(annotation.subset(subset)) for subset in SUBSETS)
    split = f" in split 1 of {annotation.n_splits}" if annotation.n_splits > 1 else ""
    print(f"{TOOL}: {annotation_file}: {training} training and {validation} validation videos{split}")
    print(f"{TOOL}: {root / LEFT_OUT}: left out {_reasons(listing)}")
    return sound_status or frames_status


def _check_root(root: Path, dataset: str, annotation_file: Path) -> None:
    """Raises DataError for a folder in which something else is."""
    try:
        there = json.loads((root / LEFT_OUT).read_text(encoding="utf-8"))["dataset"]
    except OSError:
        if annotation_file.exists():
            raise DataError(f"{annotation_file} was made by something else; give another --root") from None
    except (ValueError, KeyError, TypeError, RecursionError):
        raise DataError(f"{root / LEFT_OUT} was made by something else; give another --root") from None
    else:
        if there != dataset:
            raise DataError(f"{root} holds {there}; give another --root for {dataset}")


def _usable(listing: Listing) -> list[Clip]:
    """The clips whose names can be those of files. Raises DataError for two of one name."""
    clips: dict[tuple[str, str], Clip] = {}
    for clip in listing.clips:
        key = clip.source.label, clip.source.id
        if not may_be_name(clip.source.id):
            listing.leave_out("its name cannot be that of a file", "/".join(key))
        elif clips.setdefault(key, clip) is not clip:
            raise DataError(f"{clip.source.path}: {'/'.join(key)} comes twice, also from {clips[key].source.path}")
    return list(clips.values())


def _convert(clips: list[Clip], listing: Listing, folder: Path, what: str, jobs: int | None) -> tuple[list[Clip], int]:
    """Makes the sound or the frames of all clips; those that have them, and the exit status."""
    from datasets.audio import audio_file  # brings torch, which the worker processes must not wait for

    place, convert, done = {
        "sound": (audio_file, video2mp3.extract, video2mp3.is_done),
        "frames": (pack_file, make_pack, partial(pack_frames.is_done, side=None)),
    }[what]
    failed: dict[Source, str] = {}
    status = convert_all(
        f"{TOOL} {what}",
        [clip.source for clip in clips],
        folder,
        lambda source: place(folder, source.label, source.id),
        convert,
        is_done=done,
        jobs=jobs,
        overwrite=False,
        noted="damaged",
        reasons=failed,
    )
    for source, reason in failed.items():
        listing.leave_out(reason, f"{source.label}/{source.id}")
    return [clip for clip in clips if clip.source not in failed], status


def _write_texts(clips: list[Clip], root: Path) -> None:
    """The subtitles of clips of which it is known what is said, where they lack."""
    if not clips:
        return
    folder = root / "srt"
    with exclusive(folder):
        remove_leftovers(folder)
        for clip in clips:
            path = subtitle_file(folder, clip.source.label, clip.source.id)
            if not path.is_file():
                check_place(path, folder)
                frames = open_pack(pack_file(root / "imgs", clip.source.label, clip.source.id))
                path.parent.mkdir(exist_ok=True)
                temporary = path.with_name(f"{PART}{os.getpid()}.new")
                write_subtitles(temporary, [Subtitle(0.0, frames.n_frames / frames.fps, clip.text)])
                temporary.replace(path)


def _video(clip: Clip) -> Video:
    subsets = clip.subsets if len(clip.subsets) > 1 else ()
    return Video(clip.source.id, clip.source.label, clip.subsets[0], clip.segments, subsets)


def _write_left_out(root: Path, dataset: str, listing: Listing) -> None:
    left_out = {reason: sorted(names) for reason, names in sorted(listing.left_out.items())}
    content = json.dumps({"dataset": dataset, "left_out": left_out}, indent=1, ensure_ascii=False)
    temporary = root / f"{PART}{LEFT_OUT}"
    try:
        root.mkdir(parents=True, exist_ok=True)
        temporary.write_text(content, encoding="utf-8", errors="backslashreplace")
        temporary.replace(root / LEFT_OUT)
    except OSError as error:
        raise DataError(f"{root} cannot be written to ({error.strerror}); give another --root") from None


def _reasons(listing: Listing, most: int = 10) -> str:
    """How many are left out why, the `most` frequent reasons, in one line."""
    counts = Counter({reason: len(names) for reason, names in listing.left_out.items()})
    told = [f"{count} {reason}" for reason, count in counts.most_common(most)]
    rest = [f"{len(counts) - most} other reasons"] if len(counts) > most else []
    return "; ".join([*told, *rest]) or "nothing"


if __name__ == "__main__":
    sys.exit(main())
