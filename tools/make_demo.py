"""Makes a small labelled set of real videos in the eight classes of VideoEmotion-8, with known emotional courses.

    python tools/make_demo.py

A video is cut into short scenes, most of them neutral; an emotional scene shows the video's emotion in its picture, its
sound or both, and stands in `segments` of the annotation. Subtitles carry affective words, and a known share of them
misleads: `words.json` says which. The videos are rendered here; the ordinary tools take frames and sound from them.

Everything is drawn from the seeds (--seed, class, number of the video): the same flags make the same files. Test videos
are numbered before training videos, so that they stay the same whatever --train_per_class is.
"""

from __future__ import annotations

import argparse
import json
import shutil
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from core.files import PART, FileError, remove_parts, write_text
from datasets.benchmarks import BENCHMARKS
from datasets.errors import DataError
from tools._batch import Source, check_place, command, convert_all, positive
from tools._demo_course import Course, draw_course

TOOL = "make_demo"
EMOTIONS = BENCHMARKS["ve8"].classes
SIZE = (160, 120)  # pixels, width and height
RECIPE = 1  # to be raised with every change of what is rendered: videos of two recipes never mix
MADE = ("videos", "imgs", "mp3", "srt")
PARAMETERS = "demo_parameters.json"
LISTS = {"classes": "classes.txt", "train": "train.txt", "test": "test.txt"}


def annotation_file(root: Path) -> Path:
    """Where training looks for the annotation: <root>/<its name>.json."""
    return root / f"{root.absolute().name}.json"


@dataclass(frozen=True)
class Script:
    """One video to be: its place, its subset and the entropy of its seeds."""

    label: str
    id: str
    subset: str
    entropy: tuple[int, int, int]

    def file(self, root: Path, medium: str, suffix: str) -> Path:
        return root / medium / self.label / f"{self.id}{suffix}"


@dataclass(frozen=True)
class Render:
    """Makes the video of a subtitle file; called in worker processes."""

    scripts: dict[Path, Script]
    parameters: dict[str, float]

    def __call__(self, srt: Path, temporary: Path) -> str:
        from tools._demo_video import write_video  # brings OpenCV and FFmpeg

        course, render_seeds = draw(self.scripts[srt], self.parameters)
        fps, difficulty = self.parameters["fps"], self.parameters["difficulty"]
        write_video(temporary, course, render_seeds, fps=fps, size=SIZE, difficulty=difficulty)
        return ""


def main(argv: Sequence[str] | None = None) -> int:
    """Runs the command; returns its exit status."""
    args = _parse(argv)
    return command(TOOL, lambda: _make(args))


def _parse(argv: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog=f"{TOOL}.py",
        description="Make a small data set of real videos with known emotional courses.",
        formatter_class=argparse.ArgumentDefaultsHelpFormatter,
    )
    parser.add_argument("--root", type=Path, default=Path("data/demo"), help="folder of the data set")
    parser.add_argument("--seed", type=int, default=0, help="another seed, other videos")
    parser.add_argument("--train_per_class", type=positive, default=16, help="training videos a class")
    parser.add_argument("--test_per_class", type=positive, default=20, help="test videos a class")
    parser.add_argument("--seconds", type=_between(3, 600), default=12.0, help="length of a video")
    parser.add_argument("--difficulty", type=_between(0, 1), default=0.5, help="clutter, noise and confusion, 0 to 1")
    parser.add_argument(
        "--misleading", type=_between(0, 1), default=0.4, help="share of the affective words with a wrong emotion"
    )
    parser.add_argument("--fps", type=_between(5, 60), default=12.5, help="frames a second")
    parser.add_argument("--jobs", type=positive, help="worker processes; None is one per core")
    parser.add_argument("--overwrite", action="store_true", help="replace a demo data set made with other flags")
    args = parser.parse_args(argv)
    if args.seed < 0:
        parser.error("--seed: must not be negative")
    return args


def _between(lowest: float, highest: float) -> Callable[[str], float]:
    """argparse type: a number in [lowest, highest]."""

    def number(text: str) -> float:
        try:
            value = float(text)
        except ValueError:
            value = float("nan")
        if not lowest <= value <= highest:
            raise argparse.ArgumentTypeError(f"{text!r} is no number from {lowest} to {highest}")
        return value

    return number


def _make(args: argparse.Namespace) -> int:
    root: Path = args.root
    flags = ("seed", "train_per_class", "test_per_class", "seconds", "difficulty", "misleading", "fps")
    parameters = {"recipe": RECIPE, **{flag: getattr(args, flag) for flag in flags}}
    scripts = list_videos(args.seed, args.train_per_class, args.test_per_class)
    _prepare(root, parameters, args.overwrite)
    if _is_complete(root, scripts):
        print(f"{TOOL}: {root} is already complete, {len(scripts)} videos")
        return 0

    from tools import make_annotations, video2imgs, video2mp3  # heavy, so only where there is work

    _write_texts(root, scripts, parameters)
    by_srt = {script.file(root, "srt", ".srt"): script for script in scripts}
    jobs = [] if args.jobs is None else [f"--jobs={args.jobs}"]
    steps = (
        lambda: convert_all(
            TOOL,
            [Source(srt, script.label, script.id) for srt, script in by_srt.items()],
            root / "videos",
            lambda srt: by_srt[srt.path].file(root, "videos", ".mp4"),
            Render(by_srt, parameters),
            is_done=Path.is_file,
            jobs=args.jobs,
            overwrite=False,
            noted="",
        ),
        lambda: video2imgs.main([str(root / "videos"), str(root / "imgs"), f"--short_side={SIZE[1]}", *jobs]),
        lambda: video2mp3.main([str(root / "videos"), str(root / "mp3"), *jobs]),
        lambda: make_annotations.main(
            [str(annotation_file(root))]
            + [f"--{flag}={root / file}" for flag, file in LISTS.items()]
            + [f"--segments={root / 'segments.json'}"]
        ),
    )
    return next((status for step in steps if (status := step())), 0)


def list_videos(seed: int, n_training: int, n_test: int) -> list[Script]:
    """The videos of all classes; the first `n_test` of a class are its test videos."""
    subsets = ["validation"] * n_test + ["training"] * n_training
    return [
        Script(label, f"{label.lower()}_{number:03d}", subset, (seed, c, number))
        for c, label in enumerate(EMOTIONS)
        for number, subset in enumerate(subsets)
    ]


def _prepare(root: Path, parameters: dict[str, float], overwrite: bool) -> None:
    """Makes `root` a folder of these parameters. Raises DataError where it holds anything else."""
    file = root / PARAMETERS
    if not file.is_file():
        if root.exists() and not (root.is_dir() and all(path.name.startswith(PART) for path in root.iterdir())):
            raise DataError(f"{root} holds something that {TOOL} did not make; give another --root")
    else:
        try:
            there = json.loads(file.read_text(encoding="utf-8"))
        except ValueError:
            there = None
        if there == parameters:
            return
        if not overwrite:
            raise DataError(f"{root} was made with other flags ({PARAMETERS}); give another --root, or --overwrite it")
        annotation_file(root).unlink(missing_ok=True)
        for folder in MADE:
            shutil.rmtree(root / folder, ignore_errors=True)
    try:
        root.mkdir(parents=True, exist_ok=True)
        write_text(file, json.dumps(parameters, indent=1))
    except (OSError, FileError) as error:
        raise DataError(f"{root} cannot be written to ({error}); give another --root") from None


def _is_complete(root: Path, scripts: list[Script]) -> bool:
    """The annotation comes last, so what matters is that nothing was taken away since."""
    files = (("videos", ".mp4"), ("mp3", ".mp3"), ("srt", ".srt"), ("imgs", "/n_frames"))
    made = all(script.file(root, *file).is_file() for script in scripts for file in files)
    return made and annotation_file(root).is_file() and (root / "words.json").is_file()


def draw(script: Script, parameters: dict[str, float]) -> tuple[Course, np.random.SeedSequence]:
    """The course of a video, and the seeds of its picture and sound."""
    course_seeds, render_seeds = np.random.SeedSequence(script.entropy).spawn(2)
    wanted = {name: parameters[name] for name in ("seconds", "fps", "difficulty", "misleading")}
    return draw_course(course_seeds, script.label, EMOTIONS, **wanted), render_seeds


def _write_texts(root: Path, scripts: list[Script], parameters: dict[str, float]) -> None:
    """Subtitles, words.json, and what make_annotations asks for: classes, lists of both subsets and segments."""
    for folder in (root, *root.glob("srt/*")):
        remove_parts(folder)
    segments, words = {}, {}
    for script in scripts:
        course, _ = draw(script, parameters)
        key = f"{script.label}/{script.id}"
        segments[key] = [
            {"start": scene.start, "end": scene.end, "label": scene.emotion, "intensity": scene.intensity}
            for scene in course.scenes
            if scene.emotion
        ]
        words[key] = [
            {"word": word, "start": line.start, "end": line.end, "emotion": emotion, "right": right}
            for line in course.lines
            for word, emotion, right in line.words
        ]
        check_place(script.file(root, "srt", ".srt"), root / "srt")
        script.file(root, "srt", ".srt").parent.mkdir(parents=True, exist_ok=True)
        write_text(
            script.file(root, "srt", ".srt"),
            "\n".join(
                f"{number}\n{_clock(line.start)} --> {_clock(line.end)}\n{line.text}\n"
                for number, line in enumerate(course.lines, 1)
            ),
        )
    write_text(root / "segments.json", json.dumps(segments, indent=1))
    write_text(root / "words.json", json.dumps(words, indent=1))
    write_text(root / "classes.txt", "".join(f"{number} {label}\n" for number, label in enumerate(EMOTIONS, 1)))
    for name, subset in (("train.txt", "training"), ("test.txt", "validation")):
        write_text(root / name, "".join(f"{s.label}/{s.id}.mp4\n" for s in scripts if s.subset == subset))


def _clock(seconds: float) -> str:
    milliseconds = round(seconds * 1000)
    return (
        f"{milliseconds // 3_600_000:02d}:{milliseconds // 60_000 % 60:02d}:"
        f"{milliseconds // 1000 % 60:02d},{milliseconds % 1000:03d}"
    )


if __name__ == "__main__":
    sys.exit(main())
