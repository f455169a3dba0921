"""Looks for everything that would make training fail or learn from the wrong data: one table, one row per fault.

    python tools/check_dataset.py --root_path data/ve8 --annotation_path ve8.json

A FAULT makes training stop (or leave the video out, with --skip_bad); a note does not, but something is not as it
should be. A few frames of every video are decoded, with --full all of them. Sound and subtitles are always read.
Exit status: 0, or 1 if training would fail, or 2 for wrong arguments.
"""

from __future__ import annotations

import argparse
import sys
import time
from collections import Counter, defaultdict
from collections.abc import Sequence
from functools import partial
from itertools import product
from pathlib import Path

import torch

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from datasets.annotations import SUBSETS, Annotation, Video, read_annotation
from datasets.benchmarks import benchmarks_with
from datasets.errors import DataError
from datasets.video_emotion import Layout
from tools._batch import command, positive
from tools._findings import Finding
from tools._inspection import inspect_video
from tools._workers import Failure, cores, parallel

TOOL = "check_dataset"


def inspect_annotation(annotation: Annotation, path: Path, layout: Layout) -> list[Finding]:
    """Findings about the dataset as a whole: its subsets, repeated ids, and folders that it does not mention."""
    findings, splits = [], range(1, annotation.n_splits + 1)
    for split, subset in product(splits, SUBSETS):
        if not annotation.subset(subset, split):
            detail = subset if len(splits) == 1 else f"{subset} of split {split}"
            remedy = "make the annotation again, with tools/make_annotations.py or tools/prepare.py"
            findings.append(Finding("subset empty", detail, "", "", path, remedy))
    if annotation.polarity is None and not benchmarks_with(annotation.labels):
        remedy = "make the annotation again with --polarity"
        findings.append(Finding("polarity missing", "needed by --dataset custom", "", "", path, remedy))
    unused = [video for video in annotation.videos if video.subset is None and not any(video.subsets)]
    if unused:
        first, detail = unused[0], f"{len(unused)} such videos"
        findings.append(Finding("in no split", detail, first.label, first.id, path, "check that this is meant", True))
    classes: dict[str, list[str]] = defaultdict(list)
    for video in annotation.videos:
        classes[video.id].append(video.label)
    findings += [
        Finding("id in several classes", ", ".join(labels), labels[0], id, path, "check that this is meant", True)
        for id, labels in classes.items()
        if len(labels) > 1
    ]
    if not layout.srt_path.is_dir():
        remedy = "run tools/video2srt.py, or go without words"
        findings.append(Finding("subtitles missing", "for all videos", "", "", layout.srt_path, remedy, True))
    listed = {(video.label, video.id) for video in annotation.videos}
    for folder in sorted(layout.video_path.glob("*")):
        extra = sorted(
            path.name
            for path in folder.glob("*")
            if path.name[0] != "."
            and (path.is_dir() or path.suffix == ".zip")
            and (folder.name, path.name if path.is_dir() else path.stem) not in listed
        )
        if extra:
            where = folder / extra[0]
            detail = f"{len(extra)} such in this class"
            findings.append(Finding("not annotated", detail, folder.name, extra[0], where, "add or delete them", True))
    return findings


def table(findings: Sequence[Finding], root: Path) -> str:
    """The findings as text, faults first; paths below `root` without it."""
    rows = [("", "fault", "label", "id", "path", "what to do")]
    for finding in sorted(findings, key=lambda row: (row.is_note, row.label, row.id, row.fault)):
        path = finding.path.relative_to(root) if finding.path.is_relative_to(root) else finding.path
        fault = f"{finding.fault} ({finding.detail})" if finding.detail else finding.fault
        kind = "note" if finding.is_note else "FAULT"
        rows.append((kind, fault, finding.label, finding.id, str(path), finding.remedy))
    widths = [max(len(row[column]) for row in rows) for column in range(len(rows[0]))]
    lines = ("  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip() for row in rows)
    return "\n".join(lines)


def main(argv: Sequence[str] | None = None) -> int:
    """Runs the command; returns its exit status."""
    parser = argparse.ArgumentParser(
        prog=f"{TOOL}.py", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--root_path", type=Path, required=True, help="folder of the dataset; other paths start there")
    parser.add_argument("--annotation_path", type=Path, help="annotation file (default: <its name>.json)")
    parser.add_argument("--video_path", type=Path, default=Path("imgs"), help="frames (default: imgs)")
    parser.add_argument("--audio_path", type=Path, default=Path("mp3"), help="sound (default: mp3)")
    parser.add_argument("--srt_path", type=Path, default=Path("srt"), help="subtitles (default: srt)")
    parser.add_argument("--full", action="store_true", help="decode every frame")
    parser.add_argument("--samples", type=positive, default=5, help="frames of a video to decode without --full (5)")
    parser.add_argument("--jobs", type=positive, help="worker processes (default: up to one per core)")
    args = parser.parse_args(argv)
    return command(TOOL, lambda: _check(args))


def _check(args: argparse.Namespace) -> int:
    began, root = time.monotonic(), args.root_path
    if not root.is_dir():
        raise DataError(f"{root} is no folder; give the folder of the dataset with --root_path")
    layout = Layout(root / args.video_path, root / args.audio_path, root / args.srt_path)
    for folder, tool in ((layout.video_path, "video2imgs"), (layout.audio_path, "video2mp3")):
        if not folder.is_dir():
            raise DataError(f"{folder} is no folder; make it with tools/{tool}.py")
    path = root / (args.annotation_path or f"{root.absolute().name}.json")
    if not path.is_file():
        raise DataError(f"{path} is no file; make it with tools/make_annotations.py")
    try:
        annotation = read_annotation(path)
    except DataError as error:
        print(f"{TOOL}: {error}", file=sys.stderr)
        return 1

    findings = inspect_annotation(annotation, path, layout)
    videos = annotation.videos
    # Every worker takes seconds to load torch, so a few videos do not get one each.
    jobs = args.jobs or min(cores(), 1 + len(videos) // 20)
    inspection = partial(_inspect_in_worker, layout=layout, samples=None if args.full else args.samples)
    for video, answer in parallel(inspection, videos, jobs, TOOL):
        if isinstance(answer, Failure):
            answer = [Finding("check failed", answer.reason, video.label, video.id, path, "look at its files")]
        findings += answer

    if findings:
        # Names on disk need not be valid text.
        print(table(findings, root).encode(errors="backslashreplace").decode())
    faults = Counter(finding.fault for finding in findings if not finding.is_note)
    notes = Counter(finding.fault for finding in findings if finding.is_note)
    bad = {(finding.label, finding.id) for finding in findings if not finding.is_note and finding.id}
    seconds = time.monotonic() - began
    print(
        f"{TOOL}: {len(videos)} videos, {len(bad)} with faults{_counts(faults)}, "
        f"{notes.total()} notes{_counts(notes)}, {seconds:.0f} s"
    )
    return 1 if faults else 0


def _inspect_in_worker(video: Video, layout: Layout, samples: int | None) -> list[Finding]:
    torch.set_num_threads(1)  # there is one worker per core
    return inspect_video(video, layout, samples)


def _counts(counter: Counter[str]) -> str:
    return f" ({', '.join(f'{count} {fault}' for fault, count in counter.most_common())})" if counter else ""


if __name__ == "__main__":
    sys.exit(main())
