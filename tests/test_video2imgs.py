"""tools/video2imgs.py on real videos: which picture is shown when, what damaged files give, stopping and resuming."""

from __future__ import annotations

import contextlib
import fcntl
import io
import os
import re
import shutil
import signal
import subprocess
import sys
import time
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path

import av
import cv2
import numpy as np
import pytest

from datasets.frame_folders import read_fps, read_n_frames
from datasets.media import display_size
from tests.media import read_clip
from tests.videos import grey, write_video
from tools._batch import Source, convert_all
from tools._workers import Failure, parallel
from tools.video2imgs import extract, is_done, main

TOOL = Path(__file__).parents[1] / "tools" / "video2imgs.py"
LEVELS = list(range(20, 220, 20))  # ten pictures


@dataclass
class Run:
    status: int
    out: str
    err: str


def run(*argv: object) -> Run:
    with contextlib.redirect_stdout(io.StringIO()) as out, contextlib.redirect_stderr(io.StringIO()) as err:
        status = main([str(argument) for argument in argv])
    return Run(status, out.getvalue(), err.getvalue())


def levels(folder: Path) -> list[int]:
    """The frames of a folder by the grey levels of `LEVELS` that they are nearest to."""
    means = read_clip(folder, range(read_n_frames(folder))).mean(axis=(1, 2, 3))
    distance = np.abs(means[:, None] - LEVELS)
    assert distance.min(axis=1).max() < 6
    return np.array(LEVELS)[distance.argmin(axis=1)].tolist()


@pytest.fixture(scope="module")
def videos(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("videos")
    pictures = grey(LEVELS)
    for suffix in (".mp4", ".mkv", ".avi", ".webm"):
        write_video(root / "Anger" / f"plain {suffix[1:]}{suffix}", pictures)
    write_video(root / "Anger" / '-it\'s "Wütend" 怒.v2.mp4', pictures[:5], times=[0, 0.1, 0.2, 0.6, 0.7])
    write_video(root / "Joy" / "damaged.webm", pictures, broken_pictures=[4])
    whole = write_video(root / "Joy" / "cut.mkv", pictures * 10)
    whole.write_bytes(whole.read_bytes()[: whole.stat().st_size * 2 // 3])
    write_video(root / "Joy" / "jump.mkv", pictures[:3], times=[0, 0.1, 3600])
    coding = write_video(root / "Joy" / "coding.mp4", pictures)
    coding.write_bytes(coding.read_bytes().replace(b"avc1", b"zzzz"))
    (root / "Joy" / "empty.mp4").touch()
    (root / "Joy" / "garbage.mp4").write_bytes(np.random.default_rng(0).bytes(20_000))
    write_video(root / "Joy" / "twice.mkv", pictures)
    shutil.copy(root / "Joy" / "twice.mkv", root / "Joy" / "twice.avi")
    (root / "Joy" / "notes.txt").write_text("not a video")
    return root


@pytest.fixture(scope="module")
def made(videos: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[Run, Path]:
    imgs = tmp_path_factory.mktemp("imgs")
    return run(videos, imgs, "--fps", 10, "--jobs", 2), imgs


@pytest.mark.parametrize("id", ["plain mp4", "plain mkv", "plain avi", "plain webm"])
def test_every_container_gives_each_picture_once(made, id):
    folder = made[1] / "Anger" / id
    assert levels(folder) == LEVELS
    frames = [f"{number:06d}.jpg" for number in range(1, 11)]
    assert sorted(path.name for path in folder.iterdir()) == [*frames, "fps", "n_frames"]
    assert read_n_frames(folder) == 10
    assert read_fps(folder) == 10.0


def test_variable_rate_is_resampled_by_the_time_stamps(made):
    # On the screen at 0.05, 0.15, ... 0.75 s, when the pictures appear at 0, 0.1, 0.2, 0.6 and 0.7 s.
    assert levels(made[1] / "Anger" / '-it\'s "Wütend" 怒.v2') == [20, 40, 60, 60, 60, 60, 80, 100]


def test_mean_rate_is_the_default(videos, tmp_path):
    folder = tmp_path / "x"
    extract(videos / "Anger" / '-it\'s "Wütend" 怒.v2.mp4', folder, short_side=240, quality=90, fps=None)
    # Five pictures in 0.8 s by the container's own account, four intervals in 0.7 s by the stamps: within 10 %.
    assert read_fps(folder) == pytest.approx(6.25)
    assert levels(folder) == [20, 60, 60, 60, 100]  # at 0.08, 0.24, 0.40, 0.56 and 0.72 s


def test_lower_rate_takes_the_picture_in_the_middle_of_each_interval(videos, tmp_path):
    extract(videos / "Anger" / "plain mkv.mkv", tmp_path / "x", short_side=240, quality=90, fps=5.0)
    assert levels(tmp_path / "x") == [40, 80, 120, 160, 200]  # pictures 1, 3, 5, 7, 9 appear at 0.1, 0.3, ... s


def test_a_damaged_picture_leaves_the_times_of_the_others(made):
    run, imgs = made
    assert levels(imgs / "Joy" / "damaged") == [*LEVELS[:4], LEVELS[3], *LEVELS[5:]]  # the one before stays
    assert re.search(r"note .*damaged\.webm: damaged packets skipped: 1", run.err)


def test_a_cut_off_file_gives_what_is_there(made):
    folder = made[1] / "Joy" / "cut"
    assert 40 < read_n_frames(folder) < 90
    got = levels(folder)
    assert got == (LEVELS * 10)[: len(got)]


def test_unusable_files_are_one_line_each_and_fail_the_run(made):
    run, imgs = made
    failed = [line.split("FAILED ")[1] for line in run.err.splitlines() if "FAILED" in line]
    assert len(failed) == 5
    for name, reason in (
        ("empty.mp4", "is no readable video file"),
        ("garbage.mp4", "is no readable video file"),
        ("coding.mp4", "its picture is in an unknown coding"),
        ("jump.mkv", "its time stamps jump by 3600 s"),
        ("twice.mkv", "has the same id as twice.avi"),
    ):
        assert any(f"{name}: {reason}" in line for line in failed)
    assert run.status == 1
    assert re.fullmatch(r"video2imgs: 8 done \(1 damaged\), 0 already there, 5 failed, \d+ s\n", run.out)
    assert not (imgs / "Joy" / "empty").exists()


def test_the_next_run_does_nothing_twice(videos, made):
    _, imgs = made
    before = {path: path.stat().st_mtime_ns for path in imgs.rglob("*")}
    (imgs / "Joy" / ".part-12345.new").mkdir()
    again = run(videos, imgs, "--fps", 10, "--jobs", 1)
    assert re.fullmatch(r"video2imgs: 0 done, 8 already there, 5 failed, \d+ s\n", again.out)
    assert again.status == 1
    after = {path: path.stat().st_mtime_ns for path in imgs.rglob("*")}  # the leftover is gone, too
    assert {path for path in before.keys() | after.keys() if before.get(path) != after.get(path)} <= {imgs / "Joy"}


def test_a_folder_of_unknown_origin_is_kept_unless_overwritten(tmp_path):
    write_video(tmp_path / "videos" / "Joy" / "a.mp4", grey(LEVELS))
    foreign = tmp_path / "imgs" / "Joy" / "a" / "mine.jpg"
    foreign.parent.mkdir(parents=True)
    foreign.touch()
    refused = run(tmp_path / "videos", tmp_path / "imgs", "--jobs", 1)
    assert (refused.status, foreign.exists()) == (1, True)
    assert "has files but no n_frames" in refused.err
    replaced = run(tmp_path / "videos", tmp_path / "imgs", "--jobs", 1, "--overwrite")
    assert (replaced.status, foreign.exists()) == (0, False)
    assert levels(foreign.parent) == LEVELS
    assert [path.name for path in (tmp_path / "imgs" / "Joy").iterdir()] == ["a"]


def test_display_rotation(tmp_path):
    picture = np.zeros((32, 64, 3), np.uint8)
    picture[:, :32] = 255
    video = write_video(tmp_path / "a.mp4", [picture] * 3, turned=90)
    extract(video, tmp_path / "x", short_side=240, quality=95, fps=None)
    frame = read_clip(tmp_path / "x", [0])[0].astype(int)
    assert frame.shape == (64, 32, 3)
    assert frame[:28].max() < 40  # a quarter turn counter-clockwise brings the left half down
    assert frame[36:].min() > 215
    shown = cv2.VideoCapture(str(video)).read()[1]  # OpenCV's own reading of the same file
    assert np.abs(shown.astype(int) - frame).mean() < 3


@pytest.mark.parametrize(("short_side", "shape"), [(24, (24, 32)), (240, (48, 64))])
def test_size(videos, tmp_path, short_side, shape):
    extract(videos / "Anger" / "plain mp4.mp4", tmp_path / "x", short_side=short_side, quality=90, fps=None)
    assert read_clip(tmp_path / "x", [0, 9]).shape[1:3] == shape


def test_pixels_that_are_not_square():
    # 720x576 in widescreen: 720 * 16 / 11 = 1047.3 wide, so 436.4 when 240 high.
    assert display_size(av.VideoFrame(720, 576), Fraction(16, 11), 240) == (436, 240)


@pytest.fixture(scope="module")
def long_videos(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("long")
    first = write_video(root / "Joy" / "a.mp4", grey(LEVELS * 40, 240, 320), fps=25)
    for id in "bcd":
        shutil.copy(first, first.with_stem(id))
    return root


def start(videos: Path, imgs: Path) -> subprocess.Popen:
    """Starts the tool and waits until it is in the middle of its second pair of videos."""
    command = [sys.executable, str(TOOL), str(videos), str(imgs), "--jobs", "2"]
    # A shell starts background jobs, such as the tests themselves, with Ctrl-C ignored, and children inherit that.
    before = signal.signal(signal.SIGINT, signal.SIG_DFL)
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    signal.signal(signal.SIGINT, before)
    deadline = time.monotonic() + 60
    while time.monotonic() < deadline:
        finished = {path.parent.name for path in imgs.glob("Joy/[a-d]/n_frames")}
        if finished and any(imgs.glob("Joy/.part-*/000020.jpg")):
            return process
        assert process.poll() is None, process.communicate()
        time.sleep(0.002)
    process.kill()
    raise AssertionError("the tool did not come to its second video")


def contents(imgs: Path) -> dict[str, bytes]:
    return {str(path.relative_to(imgs)): path.read_bytes() for path in imgs.rglob("*") if path.is_file()}


def test_killed_and_run_again_equals_an_undisturbed_run(long_videos, tmp_path):
    assert run(long_videos, tmp_path / "undisturbed", "--jobs", 2).status == 0
    process = start(long_videos, tmp_path / "killed")
    process.kill()
    process.wait()
    assert len(list((tmp_path / "killed" / "Joy").glob("[a-d]"))) < 4
    again = run(long_videos, tmp_path / "killed", "--jobs", 2)
    assert again.status == 0
    assert re.search(r" [1-3] done, [1-3] already there, 0 failed", again.out)
    undisturbed = contents(tmp_path / "undisturbed")
    assert len(undisturbed) == 4 * 402
    assert contents(tmp_path / "killed") == undisturbed


def test_a_packed_video_is_not_taken_apart_again(tmp_path):
    pack = tmp_path / "Joy" / "twice.zip"
    pack.parent.mkdir()
    pack.touch()
    assert is_done(tmp_path / "Joy" / "twice")
    assert not is_done(tmp_path / "Joy" / "other")


@pytest.mark.parametrize(("number", "status"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_a_signal_leaves_only_finished_folders(number, status, long_videos, tmp_path):
    process = start(long_videos, tmp_path)
    process.send_signal(number)
    out, err = process.communicate(timeout=30)
    assert process.returncode == status
    done = re.fullmatch(r"video2imgs: ([0-3]) done, 0 already there, 0 failed, \d+ s\n", out)
    assert "run it again to go on" in err
    assert "Traceback" not in err
    left = list((tmp_path / "Joy").iterdir())
    assert max(1, int(done[1])) <= len(left) < 4  # a worker may have finished what it has not yet reported
    assert all(read_n_frames(folder) == len(list(folder.glob("*.jpg"))) == 400 for folder in left)


def die_on_two(number: int) -> int:
    if number == 2:
        os.kill(os.getpid(), signal.SIGKILL)
    return 10 * number


@pytest.mark.parametrize("jobs", [1, 3])
def test_a_killed_worker_costs_its_own_file_only(jobs):
    answers = dict(parallel(die_on_two, range(5), jobs, "test"))
    assert isinstance(answers[2], Failure)
    assert "killed by signal 9" in answers.pop(2).reason
    assert answers == {0: 0, 1: 10, 3: 30, 4: 40}


def write_half_then_fail(source: Path, target: Path) -> str:
    target.write_text("half")
    raise ValueError("two\nlines")


def test_a_failed_conversion_leaves_nothing(tmp_path, capsys):
    source = tmp_path / "a.mp4"
    source.touch()
    target = tmp_path / "out" / "Joy" / "a"
    status = convert_all(
        "tool",
        [Source(source, "Joy", "a")],
        tmp_path / "out",
        lambda video: target,
        write_half_then_fail,
        is_done=Path.exists,
        jobs=1,
        overwrite=False,
        noted="",
    )
    assert status == 1
    assert f"FAILED {source}: ValueError: two lines\n" in capsys.readouterr().err
    assert list(target.parent.iterdir()) == []


@pytest.mark.parametrize("what", ["missing", "no class folders"])
def test_wrong_folder_is_one_line(tmp_path, what):
    (tmp_path / "a.mp4").touch()
    result = run(tmp_path / what if what == "missing" else tmp_path, tmp_path / "imgs")
    assert (result.status, result.out, result.err.count("\n")) == (2, "", 1)
    assert not (tmp_path / "imgs").exists()


@pytest.mark.parametrize("flags", [["--jobs", "0"], ["--fps", "fast"], ["--short_side", "-3"]])
def test_wrong_flags(flags):
    with pytest.raises(SystemExit) as stopped:
        run("videos", "imgs", *flags)
    assert stopped.value.code == 2


def test_two_runs_do_not_work_in_one_folder(videos, tmp_path):
    handle = os.open(tmp_path, os.O_RDONLY)
    fcntl.flock(handle, fcntl.LOCK_EX)
    try:
        result = run(videos, tmp_path)
    finally:
        os.close(handle)
    assert result.status == 2
    assert "is being written to by another run" in result.err
