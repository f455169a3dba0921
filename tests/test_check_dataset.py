"""tools/check_dataset.py: every planted fault is found and nothing else, and the exit status is training's."""

from __future__ import annotations

import contextlib
import io
import re
import shutil
import struct
import time
import zipfile
from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import pytest

from datasets.annotations import Annotation, Video, write_annotation
from datasets.frame_folders import frame_file
from datasets.frame_packs import pack_file
from datasets.video_emotion import Layout
from tests import media
from tools._inspection import inspect_video
from tools.check_dataset import main
from tools.pack_frames import main as pack_main

LABELS = ("Anger", "Joy")
SIGNS = (0,) * len(LABELS)
CUES = [("00:00:00,500", "00:00:01,500", "so happy")]


def write_whole(layout: Layout, label: str, id: str) -> Video:
    """A video of 2 s without any fault."""
    frames = [np.full((24, 32, 3), 20 * n, np.uint8) for n in range(8)]
    media.write_video(layout, label, id, frames=frames, fps=4.0, waveform=media.tone(2.0, 16_000), cues=CUES)
    return Video(id, label, "training")


def pack_frames(imgs: Path) -> int:
    return pack_main([str(imgs), str(imgs), "--jobs", "1"])


def run(*argv: object) -> tuple[int, str, str]:
    with contextlib.redirect_stdout(io.StringIO()) as out, contextlib.redirect_stderr(io.StringIO()) as err:
        status = main([str(argument) for argument in argv])
    return status, out.getvalue(), err.getvalue()


@pytest.fixture
def layout(tmp_path: Path) -> Layout:
    return media.layout_in(tmp_path)


@pytest.fixture
def video(layout: Layout) -> Video:
    return write_whole(layout, "Joy", "a")


@pytest.fixture
def files(layout: Layout, video: Video) -> dict[str, Path]:
    return {
        "frames": layout.video_path / "Joy" / "a",
        "mp3": layout.audio_path / "Joy" / "a.mp3",
        "srt": layout.srt_path / "Joy" / "a.srt",
    }


def truncate(path: Path, share: float) -> None:
    path.write_bytes(path.read_bytes()[: int(path.stat().st_size * share)])


def shrink(path: Path) -> None:
    path.write_bytes(cv2.imencode(".jpg", np.zeros((12, 32, 3), np.uint8))[1].tobytes())


FAULTS = {  # what is done to the files: the fault, a part of the row, whether it is a note
    "frames gone": (lambda f: f["frames"].rename(f["frames"].with_name("b")), "frames missing", "", False),
    "n_frames gone": (lambda f: (f["frames"] / "n_frames").unlink(), "n_frames unreadable", "No such file", False),
    "n_frames odd": (lambda f: (f["frames"] / "n_frames").write_text("x"), "n_frames unreadable", "number", False),
    "n_frames high": (lambda f: (f["frames"] / "n_frames").write_text("9"), "n_frames too high", "000009.jpg", False),
    "n_frames low": (lambda f: (f["frames"] / "n_frames").write_text("6"), "n_frames too low", "000007.jpg", True),
    "fps odd": (lambda f: (f["frames"] / "fps").write_text("fast"), "fps unreadable", "number", False),
    "frame gone": (lambda f: frame_file(f["frames"], 3).unlink(), "n_frames too high", "000004.jpg", False),
    "frame empty": (lambda f: frame_file(f["frames"], 3).write_bytes(b""), "frame empty", "000004.jpg", False),
    "frame cut": (lambda f: truncate(frame_file(f["frames"], 3), 0.6), "frame unreadable", "cut off", False),
    "frame no jpg": (lambda f: frame_file(f["frames"], 0).write_bytes(b"x" * 99), "frame unreadable", "no JPEG", False),
    "frame small": (lambda f: shrink(frame_file(f["frames"], 7)), "frame sizes differ", "32x24 and 32x12", False),
    "mp3 gone": (lambda f: f["mp3"].unlink(), "sound missing", "", False),
    "mp3 empty": (lambda f: f["mp3"].write_bytes(b""), "sound empty", "", False),
    "mp3 noise": (lambda f: f["mp3"].write_bytes(b"noise" * 99), "sound unreadable", "", False),
    "mp3 cut": (lambda f: truncate(f["mp3"], 0.3), "sound unreadable", "cut off", False),
    "mp3 of an instant": (
        lambda f: media.write_sound(f["mp3"], media.tone(0.01, 16_000), 16_000),
        "sound unreadable",
        "holds 0.010 s",
        False,
    ),
    "mp3 short": (
        lambda f: media.write_sound(f["mp3"], media.tone(0.8, 16_000), 16_000),
        "durations differ",
        "2.0 s of frames",
        True,
    ),
    "srt gone": (lambda f: f["srt"].unlink(), "subtitles missing", "", True),
    "srt binary": (lambda f: f["srt"].write_bytes(bytes(range(256)) * 9), "subtitles unreadable", "not text", False),
    "srt prose": (lambda f: f["srt"].write_text("no times here"), "subtitles without times", "", True),
    "srt late": (
        lambda f: media.write_subtitles(f["srt"], [*CUES, ("00:00:02,500", "00:00:03,000", "late")]),
        "subtitles past the end",
        "1 of 2 start after the end at 2.0 s, first at 2.5 s",
        True,
    ),
}


def test_a_whole_video_has_no_findings(layout, video):
    assert inspect_video(video, layout, None) == []


@pytest.mark.parametrize("name", FAULTS)
def test_fault(layout, video, files, name):
    spoil, fault, part, is_note = FAULTS[name]
    spoil(files)
    (finding,) = inspect_video(video, layout, None)
    assert (finding.fault, finding.label, finding.id, finding.is_note) == (fault, "Joy", "a", is_note)
    assert part in f"{finding.detail} {finding.path}"
    assert finding.remedy
    # What the other columns say, and the advice to run this very tool, are not repeated.
    assert "check_dataset" not in finding.detail
    assert str(finding.path) not in finding.detail


def repacked(pack: Path, change: dict[str, bytes | None]) -> None:
    """The pack with some of its files changed, added, or taken out."""
    with zipfile.ZipFile(pack) as archive:
        files = {info.filename: archive.read(info) for info in archive.infolist()} | change
    with zipfile.ZipFile(pack, "w") as archive:
        for name, content in files.items():
            if content is not None:
                archive.writestr(name, content)


def alter(pack: Path) -> None:
    """Another bit in the third frame, which JPEG decoders do not notice."""
    with zipfile.ZipFile(pack) as archive:
        info = archive.getinfo("000003.jpg")
    data = bytearray(pack.read_bytes())
    data[info.header_offset + 40 + info.file_size - 3] ^= 1
    pack.write_bytes(data)


BLACK = cv2.imencode(".jpg", np.zeros((12, 32, 3), np.uint8))[1].tobytes()
PACK_FAULTS = {  # what is done to the pack: the fault, a part of the row, whether it is a note
    "cut": (lambda pack: truncate(pack, 0.6), "pack unreadable", "cut off or no zip", False),
    "foreign": (lambda pack: repacked(pack, {"sh": b"x"}), "pack unreadable", "holds 'sh'", False),
    "n_frames gone": (lambda pack: repacked(pack, {"n_frames": None}), "n_frames unreadable", "No such file", False),
    "n_frames odd": (lambda pack: repacked(pack, {"n_frames": b"x"}), "n_frames unreadable", "number", False),
    "frame gone": (lambda pack: repacked(pack, {"000004.jpg": None}), "n_frames too high", "000004.jpg", False),
    "frame more": (lambda pack: repacked(pack, {"000009.jpg": BLACK}), "n_frames too low", "000009.jpg", False),
    "fps odd": (lambda pack: repacked(pack, {"fps": b"fast"}), "fps unreadable", "number", False),
    "frame empty": (lambda pack: repacked(pack, {"000004.jpg": b""}), "frame empty", "000004.jpg", False),
    "frame cut": (lambda pack: repacked(pack, {"000004.jpg": BLACK[:99]}), "frame unreadable", "cut off", False),
    "frame small": (lambda pack: repacked(pack, {"000008.jpg": BLACK}), "frame sizes differ", "32x24 and 32x12", False),
    "altered": (alter, "pack altered", "000003.jpg", False),
    "fewer": (
        lambda pack: repacked(pack, {"n_frames": b"7", "000008.jpg": None}),
        "pack and folder differ",
        "another n_frames",
        True,
    ),
}


@pytest.mark.parametrize("name", PACK_FAULTS)
def test_fault_of_a_pack(layout, video, files, name):
    spoil, fault, part, is_note = PACK_FAULTS[name]
    assert pack_frames(layout.video_path) == 0
    frame_file(files["frames"], 1).write_bytes(b"not read")
    assert inspect_video(video, layout, None) == []
    spoil(pack_file(layout.video_path, "Joy", "a"))
    (finding,) = inspect_video(video, layout, None)
    assert (finding.fault, finding.label, finding.id, finding.is_note) == (fault, "Joy", "a", is_note)
    assert part in f"{finding.detail} {finding.path}"
    assert "check_dataset" not in finding.detail
    assert finding.remedy == "run tools/pack_frames.py --overwrite, or delete the pack"


def test_a_pack_alone_is_enough(layout, video, files):
    assert pack_frames(layout.video_path) == 0
    shutil.rmtree(files["frames"])
    assert inspect_video(video, layout, 3) == []


def test_packs_that_nobody_listed_are_noted(layout, video, tmp_path):
    assert pack_frames(layout.video_path) == 0
    shutil.copy(pack_file(layout.video_path, "Joy", "a"), pack_file(layout.video_path, "Joy", "more"))
    write_annotation(
        tmp_path / "x.json", Annotation(LABELS, (video, replace(video, id="b", subset="validation")), SIGNS)
    )
    write_whole(layout, "Joy", "b")
    status, out, _ = run("--root_path", tmp_path, "--annotation_path", "x.json", "--jobs", 1)
    assert status == 0
    assert re.search(r"not annotated \(1 such in this class\) +Joy +more.zip +imgs/Joy/more.zip", out)


def test_an_empty_subtitle_file_is_a_video_without_speech(layout, video, files):
    files["srt"].write_bytes(b"")
    assert inspect_video(video, layout, None) == []


def test_samples_and_full(layout, video, files):
    truncate(frame_file(files["frames"], 5), 0.6)
    assert inspect_video(video, layout, 3) == []  # frames 0, 4 and 7
    assert len(inspect_video(video, layout, None)) == 1


@pytest.fixture(scope="module")
def spoilt(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A dataset with one fault or note of several kinds, and odd names."""
    root = tmp_path_factory.mktemp("data set")
    layout = media.layout_in(root)
    keys = ("Joy", "whole"), ("Joy", '-it\'s "é"'), ("Joy", "both"), ("Anger", "both"), ("Anger", "gone")
    videos = [write_whole(layout, label, id) for label, id in keys]
    for path in (layout.video_path / "Anger" / "gone").iterdir():
        path.unlink()
    (layout.video_path / "Anger" / "gone").rmdir()
    truncate(layout.audio_path / "Joy" / '-it\'s "é".mp3', 0.3)
    (layout.srt_path / "Joy" / "both.srt").unlink()
    (layout.video_path / "Joy" / "extra").mkdir()
    (layout.video_path / "Joy" / ".part-1.new").mkdir()
    write_annotation(root / f"{root.name}.json", Annotation(LABELS, tuple(videos), SIGNS))
    return root


def test_table_summary_and_status(spoilt):
    status, out, err = run("--root_path", spoilt, "--jobs", 1)
    assert status == 1
    *rows, summary = out.splitlines()
    assert rows[0].split() == ["fault", "label", "id", "path", "what", "to", "do"]
    faults = [row for row in rows if row.startswith("FAULT")]
    notes = [row for row in rows if row.startswith("note")]
    assert len(faults) == 3
    assert any("subset empty (validation)" in row for row in faults)
    assert any(re.search(r"frames missing +Anger +gone +imgs/Anger/gone +run tools/", row) for row in faults)
    assert any(re.search(r"sound unreadable \(.*\) +Joy +-it's \"é\" +mp3/Joy/-it's \"é\".mp3", row) for row in faults)
    assert len(notes) == 3
    assert any(re.search(r"id in several classes \(Joy, Anger\) +Joy +both", row) for row in notes)
    assert any(re.search(r"not annotated \(1 such in this class\) +Joy +extra +imgs/Joy/extra", row) for row in notes)
    assert any(re.search(r"subtitles missing +Joy +both +srt/Joy/both.srt", row) for row in notes)
    assert summary.startswith("check_dataset: 5 videos, 2 with faults (")
    assert "3 notes (" in summary
    assert "100%" in err  # the progress bar


def test_notes_alone_do_not_fail(layout, tmp_path):
    videos = [write_whole(layout, "Joy", "a"), Video("b", "Anger", "validation")]
    write_whole(layout, "Anger", "b")
    for path in (layout.srt_path / "Joy", layout.srt_path / "Anger"):
        for file in path.iterdir():
            file.unlink()
        path.rmdir()
    layout.srt_path.rmdir()
    write_annotation(tmp_path / "x.json", Annotation(LABELS, tuple(videos), SIGNS))
    status, out, _ = run("--root_path", tmp_path, "--annotation_path", "x.json", "--full")
    assert status == 0
    assert out.count("note") == 2  # one row for all the subtitles, and the summary
    assert "subtitles missing (for all videos)" in out
    assert "check_dataset: 2 videos, 0 with faults, 1 notes (1 subtitles missing)" in out


def test_every_split_is_looked_at(layout, video, tmp_path):
    both = replace(video, subsets=("training", "training")), Video("b", "Joy", "validation", (), ("validation", None))
    never = Video("c", "Joy", None, (), (None, None))
    for each in (both[1], never):
        write_whole(layout, each.label, each.id)
    write_annotation(tmp_path / "x.json", Annotation(LABELS, (*both, never), SIGNS))
    status, out, _ = run("--root_path", tmp_path, "--annotation_path", "x.json", "--jobs", 1)
    assert status == 1
    assert out.count("FAULT") == 1 and "subset empty (validation of split 2)" in out
    assert re.search(r"note +in no split \(1 such videos\) +Joy +c +x.json", out)
    assert "check_dataset: 3 videos" in out


def test_broken_annotation_fails(layout, video, tmp_path):
    (tmp_path / "x.json").write_text('{"labels": []}')
    status, out, err = run("--root_path", tmp_path, "--annotation_path", "x.json")
    assert (status, out, err.count("\n")) == (1, "", 1)
    assert "x.json" in err


@pytest.mark.parametrize(
    ("flags", "said"),
    [
        (["--root_path", "{}/none"], "none is no folder"),
        (["--root_path", "{}"], "is no file; make it with tools/make_annotations.py"),
        (["--root_path", "{}", "--video_path", "frames"], "frames is no folder; make it with tools/video2imgs.py"),
    ],
)
def test_wrong_arguments_are_one_line(layout, video, tmp_path, flags, said):
    status, out, err = run(*(flag.format(tmp_path) for flag in flags))
    assert (status, out, err.count("\n")) == (2, "", 1)
    assert said in err


def test_a_number_of_frames_without_measure_takes_no_time(layout: Layout, video: Video) -> None:
    (layout.video_path / "Joy" / "a" / "n_frames").write_text("100000000")
    began = time.process_time()
    faults = {found.fault: found.detail for found in inspect_video(video, layout, samples=None)}
    detail = "n_frames says 100000000, 99999992 of them are not there, first 000009.jpg"
    assert faults == {"n_frames too high": detail, "durations differ": faults["durations differ"]}
    assert time.process_time() - began < 1


def test_headers_that_are_no_text_are_an_altered_pack(layout: Layout, video: Video) -> None:
    pack_frames(layout.video_path)
    path = pack_file(layout.video_path, "Joy", "a")
    content = bytearray(path.read_bytes())
    content[6:8], content[30] = struct.pack("<H", 0x800), 0xFF  # the first name is UTF-8, it says
    path.write_bytes(content)
    assert "pack altered" in {found.fault for found in inspect_video(video, layout, samples=None)}
