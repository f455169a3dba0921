"""What the conversion tools share: many files in worker processes, safely stopped and taken up again.

Every output is made under a temporary name (`.part-...`) in the folder where it belongs and renamed when it is whole,
so whatever carries its final name is finished. One run at a time works in an output folder (the folder is locked);
it begins by removing the temporary outputs that a killed run left behind.
"""

from __future__ import annotations

import argparse
import contextlib
import fcntl
import os
import sys
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import NoReturn

from tqdm import tqdm

from core import interruption
from core.files import PART, FileError, leads_out, remove
from datasets.errors import DataError
from datasets.excerpts import WHOLE, Excerpt
from datasets.video_names import VIDEO_SUFFIXES, is_video
from tools._workers import Failure, cores, parallel


@dataclass(frozen=True)
class Source:
    """What becomes one video of the dataset: a file <videos>/<label>/<id>.<extension>, or an excerpt of one."""

    path: Path
    label: str
    id: str
    excerpt: Excerpt = WHOLE

    def __str__(self) -> str:
        return str(self.path) if self.excerpt == WHOLE else f"{self.path} ({self.label}/{self.id})"


@dataclass(frozen=True)
class Task:
    """One file to make: `target` from `source`."""

    source: Source
    target: Path


class OneLineParser(argparse.ArgumentParser):
    """Says what is wrong in one line, not after a page of usage. `prog` is the name of the tool's file."""

    def error(self, message: str) -> NoReturn:
        self.exit(2, f"{self.prog.removesuffix('.py')}: {message}; see python tools/{self.prog} --help\n")


def split_words(words: Sequence[str]) -> tuple[list[str], list[str]]:
    """A command line at its first --: the words of the tool and those of main.py."""
    end = words.index("--") if "--" in words else len(words)
    return list(words[:end]), list(words[end + 1 :])


def positive(text: str) -> int:
    """argparse type: a whole number of at least 1."""
    if not text.isdecimal() or int(text) < 1:
        raise argparse.ArgumentTypeError(f"{text!r} is not a whole number of at least 1")
    return int(text)


def conversion_parser(tool: str, description: str, output: str, jobs: str = "one per core") -> argparse.ArgumentParser:
    """The arguments that every conversion of a folder of videos takes; `jobs` says what is the default of --jobs."""
    parser = argparse.ArgumentParser(prog=f"{tool}.py", description=description)
    parser.add_argument("videos", type=Path, metavar="VIDEOS", help="folder with <label>/<id>.mp4 (or .mkv, .avi, ...)")
    parser.add_argument("output", type=Path, metavar=output.upper(), help="folder to write to; made when missing")
    parser.add_argument("--jobs", type=positive, help=f"worker processes (default: {jobs})")
    parser.add_argument("--overwrite", action="store_true", help="make again what is already there")
    return parser


def command(tool: str, work: Callable[[], int]) -> int:
    """Runs `work`; returns its exit status. A DataError or FileError is one line and status 2, a signal 130 or 143."""
    try:
        with interruption.at_once():
            return work()
    except (DataError, FileError) as error:
        print(f"{tool}: {error}", file=sys.stderr)
        return 2
    except (KeyboardInterrupt, interruption.Terminated) as signalled:
        print(f"{tool}: stopped; run it again to go on", file=sys.stderr)
        return interruption.status(signalled)


def find_videos(folder: Path, suffixes: Sequence[str] = VIDEO_SUFFIXES) -> list[Source]:
    """The videos <folder>/<label>/<id>.<extension>, sorted. Raises DataError when there are none."""
    if not folder.is_dir():
        raise DataError(f"{folder} is no folder; give the folder that holds <label>/<id>.mp4")
    found = [
        Source(path, path.parent.name, path.stem)
        for path in sorted(folder.glob("*/*"))
        if is_video(path, suffixes) and not path.parent.name.startswith(".")
    ]
    if not found:
        raise DataError(f"{folder} holds no video in a class folder; videos must lie at {folder}/<label>/<id>.mp4")
    return found


def convert_all(
    tool: str,
    sources: Iterable[Source],
    output: Path,
    target_of: Callable[[Source], Path],
    convert: Callable[..., str],
    *,
    is_done: Callable[[Path], bool],
    jobs: int | None,
    overwrite: bool,
    noted: str,
    reasons: dict[Source, str] | None = None,
) -> int:
    """Makes target_of(source) for every source that lacks it; prints failures, notes and a one-line summary.

    `convert(path, temporary)`, of an excerpt `convert(path, temporary, excerpt=excerpt)`, writes the file or folder
    `temporary`, returns a note ("" for none) and raises on failure; it must be picklable. `noted` says in the summary
    what the files with a note have in common. `is_done(target)` may raise DataError. `reasons`, an empty dict, takes
    why each source failed. Returns the exit status: 0, or 1 when anything failed.
    """
    began = time.monotonic()
    there, noticed, done = 0, 0, 0
    failed: dict[Source, str] = {} if reasons is None else reasons
    owners: dict[Path, Path] = {}
    todo: list[Task] = []
    with exclusive(output):
        remove_leftovers(output)
        for source in sources:
            try:
                target = target_of(source)
                check_place(target, output)
                if owners.setdefault(target, source.path) != source.path:
                    raise DataError(f"has the same id as {owners[target].name}; rename one of the two")
                if not overwrite and is_done(target):
                    there += 1
                else:
                    todo.append(Task(source, target))
            except DataError as error:
                failed[source] = str(error)
                print(f"FAILED {source}: {error}", file=sys.stderr)
        # The longest first, so that no core is left alone with a long file at the end.
        todo.sort(key=lambda task: task.source.path.stat().st_size, reverse=True)
        try:
            with contextlib.closing(parallel(_Conversion(convert), todo, jobs or cores(), tool)) as answers:
                for task, answer in answers:
                    if isinstance(answer, Failure):
                        failed[task.source] = answer.reason
                        tqdm.write(f"FAILED {task.source}: {answer.reason}", file=sys.stderr)
                    else:
                        done += 1
                        if answer:
                            noticed += 1
                            tqdm.write(f"note {task.source}: {answer}", file=sys.stderr)
        finally:
            remove_leftovers(output)
            with_note = f" ({noticed} {noted})" if noticed else ""
            seconds = time.monotonic() - began
            print(f"{tool}: {done} done{with_note}, {there} already there, {len(failed)} failed, {seconds:.0f} s")
    return 1 if failed else 0


@dataclass(frozen=True)
class _Conversion:
    convert: Callable[..., str]

    def __call__(self, task: Task) -> str:
        folder = task.target.parent
        folder.mkdir(parents=True, exist_ok=True)
        temporary, replaced = folder / f"{PART}{os.getpid()}.new", folder / f"{PART}{os.getpid()}.old"
        try:
            part = {} if task.source.excerpt == WHOLE else {"excerpt": task.source.excerpt}
            note = self.convert(task.source.path, temporary, **part)
            if temporary.is_dir() and task.target.is_dir():
                task.target.rename(replaced)  # a folder cannot be renamed over one that holds files
            temporary.replace(task.target)
        finally:
            remove(temporary)
            remove(replaced)
        return note


def check_place(target: Path, output: Path) -> None:
    """Raises DataError where the folder of what is to be made lies outside of `output`, because it is a link."""
    if leads_out(target.parent, output):
        raise DataError(f"{target.parent} is a link that leads out of {output}; remove it, or write to where it leads")


def remove_leftovers(output: Path) -> None:
    """Removes the temporary outputs in the folders of `output`, which has to be held by `exclusive`."""
    for leftover in output.glob(f"*/{PART}*"):
        if not leads_out(leftover.parent, output):
            remove(leftover)


@contextlib.contextmanager
def exclusive(folder: Path) -> Iterator[int]:
    """Holds a folder, made when missing, against other runs. Raises DataError where one holds it.

    Gives the lock, which a process that is handed it keeps.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
        handle = os.open(folder, os.O_RDONLY)
    except OSError as error:
        raise DataError(f"{folder} cannot be written to ({error.strerror}); give another folder") from None
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        os.close(handle)
        raise DataError(f"{folder} is being written to by another run; wait for its end") from None
    except OSError:
        pass  # a network file system without locks
    try:
        yield handle
    finally:
        os.close(handle)
