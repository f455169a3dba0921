"""tools/pack_frames.py: what a pack holds, what it is refused for, stopping and resuming."""

from __future__ import annotations

import contextlib
import io
import zipfile
from pathlib import Path

import cv2
import numpy as np
import pytest
from PIL import Image

from datasets.frame_folders import frame_file, frame_folder, open_folder
from datasets.frame_packs import open_pack, pack_file
from tests.media import read_clip, write_frames
from tools.pack_frames import main


def run(*argv: object) -> tuple[int, str, str]:
    with contextlib.redirect_stdout(io.StringIO()) as out, contextlib.redirect_stderr(io.StringIO()) as err:
        status = main([str(argument) for argument in argv])
    return status, out.getvalue(), err.getvalue()


def smooth(n: int, height: int, width: int) -> list[np.ndarray]:
    cells = np.random.default_rng(n).integers(0, 256, (n, 6, 8, 3), dtype=np.uint8)
    return [cv2.resize(picture, (width, height), interpolation=cv2.INTER_CUBIC) for picture in cells]


@pytest.fixture
def imgs(tmp_path: Path) -> Path:
    """Two videos, one of them of a rate that is not known."""
    root = tmp_path / "imgs"
    write_frames(frame_folder(root, "Joy", "a.v2"), smooth(4, 60, 81), fps=29.97)
    write_frames(frame_folder(root, "Anger", "-b 怒"), smooth(3, 40, 30))
    return root


def test_bytes_are_those_of_the_folder(imgs: Path, tmp_path: Path) -> None:
    status, out, _ = run(imgs, tmp_path / "packed", "--jobs", 1)
    assert status == 0
    assert out.startswith("pack_frames: 2 done, 0 already there, 0 failed")
    for label, id in (("Joy", "a.v2"), ("Anger", "-b 怒")):
        folder, pack = open_folder(frame_folder(imgs, label, id)), open_pack(pack_file(tmp_path / "packed", label, id))
        assert (pack.n_frames, pack.fps) == (folder.n_frames, folder.fps)
        everything = range(folder.n_frames)
        assert [data for _, data in pack.contents(everything)] == [data for _, data in folder.contents(everything)]
        with zipfile.ZipFile(pack.path) as archive:
            assert archive.testzip() is None
            assert {info.compress_type for info in archive.infolist()} == {zipfile.ZIP_STORED}
    assert sorted(path.name for path in (tmp_path / "packed" / "Joy").iterdir()) == ["a.v2.zip"]


def test_beside_the_folders_and_run_again(imgs: Path) -> None:
    assert run(imgs, imgs, "--jobs", 1)[0] == 0
    pack = pack_file(imgs, "Joy", "a.v2")
    before = pack.stat().st_mtime_ns, pack.read_bytes()
    status, out, _ = run(imgs, imgs, "--jobs", 1)
    assert (status, out.split(", ")[:2]) == (0, ["pack_frames: 0 done", "2 already there"])
    assert (pack.stat().st_mtime_ns, pack.read_bytes()) == before
    assert run(imgs, imgs, "--jobs", 1, "--overwrite")[1].startswith("pack_frames: 2 done")
    assert pack.read_bytes() == before[1], "the same frames give the same file"


def test_frames_above_a_side_are_averaged_and_others_stay(imgs: Path, tmp_path: Path) -> None:
    assert run(imgs, tmp_path / "small", "--side", 40, "--jobs", 1)[0] == 0
    pack, folder = pack_file(tmp_path / "small", "Joy", "a.v2"), frame_folder(imgs, "Joy", "a.v2")
    clip = read_clip(pack, range(4))
    assert clip.shape == (4, 40, 54, 3)
    for index in range(4):
        whole = np.asarray(Image.open(frame_file(folder, index)))
        difference = np.abs(clip[index].astype(int) - cv2.resize(whole, (54, 40), interpolation=cv2.INTER_AREA))
        assert difference.mean() < 4  # the colours of a JPEG have half the resolution
    kept = [data for _, data in open_pack(pack_file(tmp_path / "small", "Anger", "-b 怒")).contents(range(3))]
    assert kept == [data for _, data in open_folder(frame_folder(imgs, "Anger", "-b 怒")).contents(range(3))]


@pytest.mark.parametrize(
    ("first", "then"), [([], ["--side", 40]), (["--side", 40], []), (["--side", 40], ["--side", 50])]
)
def test_another_side_is_not_taken_as_done(imgs: Path, first: list, then: list) -> None:
    assert run(imgs, imgs, "--jobs", 1, *first)[0] == 0
    before = pack_file(imgs, "Joy", "a.v2").read_bytes()
    status, out, err = run(imgs, imgs, "--jobs", 1, *then)
    assert status == 1
    assert "0 done, 0 already there, 2 failed" in out
    said = {0: "frames as they were", 2: f"frames of at most {(*first, 0, 0)[1]} pixels a side"}[len(first)]
    (line,) = (line for line in err.splitlines() if "Joy" in line)
    assert f"a.v2.zip holds {said}, not frames " in line
    assert line.endswith("delete it or use --overwrite")
    assert pack_file(imgs, "Joy", "a.v2").read_bytes() == before
    assert run(imgs, imgs, "--jobs", 1, "--overwrite", *then)[0] == 0
    assert pack_file(imgs, "Joy", "a.v2").read_bytes() != before


def cut(folder: Path) -> None:
    path = frame_file(folder, 2)
    path.write_bytes(path.read_bytes()[:-9])


def other_size(folder: Path) -> None:
    elsewhere = folder.parents[2] / "other"
    write_frames(elsewhere, smooth(1, 60, 80))
    frame_file(elsewhere, 0).replace(frame_file(folder, 1))


@pytest.mark.parametrize(
    ("spoil", "said"),
    [
        (cut, "000003.jpg: is cut off or no JPEG"),
        (other_size, "000002.jpg is 80x60, other frames are 81x60"),
        (lambda folder: frame_file(folder, 3).unlink(), "000004.jpg: No such file"),
        (lambda folder: (folder / "n_frames").write_text("3"), "has 1 more frames than n_frames says"),
        (lambda folder: (folder / "n_frames").unlink(), "n_frames: No such file"),
        (lambda folder: (folder / "fps").write_text("fast"), "fps: holds no number"),
    ],
)
@pytest.mark.parametrize("side", [[], ["--side", 40]])
def test_frames_that_training_would_refuse_are_not_packed(imgs: Path, tmp_path: Path, spoil, said: str, side) -> None:
    spoil(frame_folder(imgs, "Joy", "a.v2"))
    status, out, err = run(imgs, tmp_path / "packed", "--jobs", 1, *side)
    assert status == 1
    assert "1 failed" in out
    (line,) = (line for line in err.splitlines() if line.startswith("FAILED") and "a.v2" in line)
    assert said in line
    assert list((tmp_path / "packed" / "Joy").glob("a*")) == []
    assert list(tmp_path.glob("packed/*/.part-*")) == []
    assert pack_file(tmp_path / "packed", "Anger", "-b 怒").is_file()


def test_what_a_killed_run_left_behind_and_foreign_files(imgs: Path) -> None:
    (imgs / "Joy" / ".part-1.new").write_bytes(b"half")
    pack_file(imgs, "Joy", "a.v2").write_bytes(b"not a zip file")
    status, _, err = run(imgs, imgs, "--jobs", 2)
    assert status == 1
    assert "a.v2.zip holds something else, not frames as they were; delete it or use --overwrite" in err
    assert pack_file(imgs, "Anger", "-b 怒").is_file()
    assert not list(imgs.glob("*/.part-*"))


@pytest.mark.parametrize(("what", "said"), [("none", "is no folder"), ("empty", "holds no frames")])
def test_wrong_folder_is_one_line(tmp_path: Path, what: str, said: str) -> None:
    (tmp_path / "empty").mkdir()
    status, out, err = run(tmp_path / what, tmp_path / "packed")
    assert (status, out, err.count("\n")) == (2, "", 1)
    assert said in err
    assert not (tmp_path / "packed").exists()
