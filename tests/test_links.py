"""Who may lead where: links of the user's own are followed, what stands in a file leads nowhere, and no tool writes out
of the folder that it was given.
"""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest

import main
from core.experiment import WRITTEN, ExperimentError, check_experiment
from datasets.annotations import Annotation, Video, read_annotation, write_annotation
from datasets.errors import DataError
from datasets.opening import open_loader, read_splits
from tests import media, models, tiny
from tests.videos import grey, write_video
from tools import make_demo, pack_frames, video2imgs, video2mp3

SOUND = media.tone(1.0, 16_000)[:, None]


@pytest.fixture
def elsewhere(tmp_path: Path) -> Path:
    (tmp_path / "elsewhere").mkdir()
    return tmp_path / "elsewhere"


def linked(path: Path, place: Path) -> None:
    """Moves a file or folder elsewhere and leaves a link in its place."""
    shutil.move(path, place / path.name)
    path.symlink_to(place / path.name)


@pytest.mark.parametrize("level", ["imgs", "mp3", "srt", "imgs/Joy", "mp3/Joy", "srt/Joy", "a video", "its files"])
def test_links_of_the_users_own_are_followed(level: str, tiny_dataset: Path, elsewhere: Path) -> None:
    root = Path(shutil.copytree(tiny_dataset, elsewhere.parent / "demo"))
    id = next(video.id for video in read_annotation(root / "demo.json").videos if video.label == "Joy")
    files = [root / "imgs" / "Joy" / id, root / "mp3" / "Joy" / f"{id}.mp3", root / "srt" / "Joy" / f"{id}.srt"]
    for path in {"a video": files[:1], "its files": files[1:]}.get(level, [root / level]):
        linked(path, elsewhere)
    flags = main.opts.parse(tiny.arguments(root_path=root, sound_cache="none"))
    benchmark, training, test = read_splits(flags)
    loader = open_loader(flags, benchmark, training + test, "training")
    assert sum(len(batch.keys) for batch in loader) == 24


@pytest.mark.parametrize("name", ["../x", "/etc/passwd", "a/b", "..", ".", "", "a\\b", "a\0b", "a\nb", "x" * 300])
@pytest.mark.parametrize("place", ["id", "label", "labels"])
def test_what_stands_in_an_annotation_leads_nowhere(name: str, place: str, tmp_path: Path) -> None:
    document = {"labels": ["Joy"], "database": {"a": {"subset": "training", "annotations": {"label": "Joy"}}}}
    if place == "id":
        document["database"] = {f"Joy/{name}": document["database"]["a"]}
    else:
        document["labels"] = ["Joy", name] if place == "labels" else ["Joy"]
        document["database"]["a"]["annotations"]["label"] = name if place == "label" else "Joy"
    (tmp_path / "d.json").write_text(json.dumps(document))
    with pytest.raises(DataError, match=r"cannot be a file name|the part before the slash|is not in \"labels\""):
        read_annotation(tmp_path / "d.json")
    label, id = (name, "a") if place != "id" else ("Joy", name)
    with pytest.raises(DataError, match=r"cannot be a file name|the part before the slash"):
        write_annotation(tmp_path / "new.json", Annotation((label,), (Video(id, label, "training"),)))
    assert not (tmp_path / "new.json").exists()


@pytest.fixture
def videos(tmp_path: Path) -> Path:
    for label in ("Joy", "Fear"):
        write_video(tmp_path / "videos" / label / "a.mp4", grey(range(0, 200, 20)), sound=SOUND)
    return tmp_path / "videos"


@pytest.mark.parametrize("tool", ["video2imgs", "video2mp3", "pack_frames"])
def test_no_tool_writes_through_a_link_out_of_its_output(
    tool: str, videos: Path, elsewhere: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """A folder that came from somebody else: its class Joy is a link to a folder of the user's."""
    output = videos.parent / "output"
    output.mkdir()
    (elsewhere / ".part-1.new").write_text("the user's")
    (output / "Joy").symlink_to(elsewhere)
    source, command = videos, {"video2imgs": video2imgs.main, "video2mp3": video2mp3.main}.get(tool, pack_frames.main)
    if tool == "pack_frames":
        source = videos.parent / "imgs"
        assert video2imgs.main([str(videos), str(source), "--jobs", "1"]) == 0
    assert command([str(source), str(output), "--jobs", "1"]) == 1
    err = capsys.readouterr().err
    assert f"{output}/Joy is a link that leads out of {output}; remove it, or write to where it leads" in err
    assert [path.name for path in elsewhere.iterdir()] == [".part-1.new"], "nothing was written or removed"
    assert len(list((output / "Fear").iterdir())) == 1, "the others are made"


def test_an_output_that_is_a_link_itself_is_the_users(videos: Path, elsewhere: Path) -> None:
    output = videos.parent / "output"
    output.symlink_to(elsewhere)
    (elsewhere / "on another disk").mkdir()
    (elsewhere / "Joy").symlink_to("on another disk")
    assert video2mp3.main([str(videos), str(output), "--jobs", "1"]) == 0
    assert (elsewhere / "on another disk" / "a.mp3").is_file(), "which lies in it"


def test_the_demo_is_not_written_through_a_link(
    tiny_dataset: Path, elsewhere: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    root = Path(shutil.copytree(tiny_dataset, elsewhere.parent / "demo"))
    shutil.rmtree(root / "srt" / "Anger")
    (root / "srt" / "Anger").symlink_to(elsewhere)
    assert make_demo.main([f"--root={root}", "--train_per_class=2", "--test_per_class=1", "--seconds=4"]) == 2
    assert "srt/Anger is a link that leads out of" in capsys.readouterr().err and not any(elsewhere.iterdir())


@pytest.mark.parametrize("name", WRITTEN)
def test_a_continued_run_does_not_write_through_a_link(name: str, tmp_path: Path, elsewhere: Path) -> None:
    folder = tmp_path / "run"
    folder.mkdir()
    (folder / "last.pt").touch()
    check_experiment(folder, resume=True, overwrite=False)
    (folder / name).symlink_to(elsewhere / "x")
    with pytest.raises(ExperimentError, match=f"run/{name}: is a link that leads out of the experiment"):
        check_experiment(folder, resume=True, overwrite=False)


def test_a_report_is_not_written_through_a_link_that_came_with_the_checkpoint(
    tiny_dataset: Path, tmp_path: Path, elsewhere: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    checkpoint = models.write_checkpoint(tmp_path / "run" / "last.pt")
    (tmp_path / "run" / "report").symlink_to(elsewhere)
    words = ["--eval", "--report", "--checkpoint", str(checkpoint), "--root_path", str(tiny_dataset)]
    assert main.main(words) == 2
    assert "report is a link that leads elsewhere" in capsys.readouterr().err and not any(elsewhere.iterdir())
    (tmp_path / "mine").symlink_to(elsewhere)
    assert main.main([*words, "--out", str(tmp_path / "mine"), "--n_threads", "0"]) == 0
    assert (elsewhere / "report.html").is_file(), "that was asked for"


def test_a_prediction_is_not_written_through_a_link(
    tmp_path: Path, elsewhere: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    checkpoint = models.write_checkpoint(tmp_path / "last.pt")
    video = write_video(tmp_path / "talk.mp4", grey(range(0, 200, 20)))
    (tmp_path / "o").mkdir()
    (tmp_path / "o" / "talk").symlink_to(elsewhere)
    words = ["--predict", str(video), "--checkpoint", str(checkpoint), "--out", str(tmp_path / "o"), "--overwrite"]
    assert main.main(words) == 2
    assert "talk is a link that leads elsewhere" in capsys.readouterr().out and not any(elsewhere.iterdir())
