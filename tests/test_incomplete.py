"""Videos that lack a picture, a sound or subtitles, on the disk and in whole runs."""

from __future__ import annotations

import itertools
import json
import shutil
from pathlib import Path

import pytest
import torch

import main
from datasets.annotations import read_annotation
from datasets.audio import audio_file
from datasets.errors import DataError
from datasets.frame_folders import frame_folder
from datasets.subtitles import subtitle_file
from datasets.video_batch import MODALITIES
from datasets.video_emotion import Layout, collate
from tests import tiny
from tests.test_video_emotion import VIDEOS, assert_same, dataset_of, layout

__all__ = ["layout"]
SUBSETS = ["".join(letters) for n in (1, 2) for letters in itertools.combinations("avt", n)]


def take_away(layout: Layout, number: int, letters: str) -> None:
    """The files of one of VIDEOS."""
    video = VIDEOS[number]
    if "v" in letters:
        shutil.rmtree(frame_folder(layout.video_path, video.label, video.id))
    if "a" in letters:
        audio_file(layout.audio_path, video.label, video.id).unlink()
    if "t" in letters:
        subtitle_file(layout.srt_path, video.label, video.id).unlink()


def test_a_test_video_is_read_with_what_it_has(layout: Layout) -> None:
    whole = dataset_of(layout)[1]
    take_away(layout, 0, "a")
    take_away(layout, 2, "v")
    take_away(layout, 3, "av")
    dataset = dataset_of(layout, incomplete=True)
    batch = collate([dataset[i] for i in range(4)])
    assert batch.given.tolist() == [[True, False, True], [True] * 3, [False, True, True], [False, False, True]]
    assert not batch.fbank[0].any() and not batch.frames[2:].any() and not batch.fbank[3].any()
    assert batch.frames[0].any() and batch.fbank[2].any()
    assert_same(dataset[1], whole)
    # 3 s of picture, 3 s of sound less what no window of the spectrogram holds, the end of the last subtitle
    assert batch.blocks[:, -1, 1].tolist() == pytest.approx([3.0, 3.0, 3.0, 2.9], abs=0.03)


def test_training_needs_picture_and_sound_and_a_video_needs_something(layout: Layout) -> None:
    take_away(layout, 0, "a")
    with pytest.raises(DataError, match=r"1 of 4 videos cannot be read; the first: .*a\.mp3"):
        dataset_of(layout, training=True)
    assert len(dataset_of(layout, training=True, modalities=("visual", "text"))) == 4
    take_away(layout, 1, "avt")
    with pytest.raises(DataError, match=r"1 of 4 videos cannot be read; the first: .*fear/b/n_frames"):
        dataset_of(layout, incomplete=True)
    take_away(layout, 2, "t")
    with pytest.raises(DataError, match=r"2 of 4 videos cannot be read; the first: .*b\.srt"):
        dataset_of(layout, training=True, modalities=("text",))


def test_an_empty_sound_is_a_fault_and_not_a_missing_one(layout: Layout) -> None:
    audio_file(layout.audio_path, "joy", "a").write_bytes(b"")
    with pytest.raises(DataError, match=r"a\.mp3: is empty"):
        dataset_of(layout, incomplete=True)


def test_frames_without_a_rate_and_without_a_sound_count_as_25_a_second(layout: Layout) -> None:
    for video in VIDEOS:
        (frame_folder(layout.video_path, video.label, video.id) / "fps").unlink()
    by_sound = dataset_of(layout, modalities=("visual",))[0]
    assert by_sound.blocks[0, -1, 1] == pytest.approx(3.0, abs=0.03) and list(by_sound.media()) == ["visual", "text"]
    shutil.rmtree(layout.audio_path)
    assert dataset_of(layout, incomplete=True)[0].blocks[0, -1, 1] == pytest.approx(30 / 25)
    assert dataset_of(layout, training=True, modalities=("visual",))[0].blocks[0, -1, 1] == pytest.approx(30 / 25)


@pytest.mark.parametrize("training", [True, False])
def test_what_is_not_asked_for_is_neither_read_nor_there(layout: Layout, training: bool) -> None:
    shutil.rmtree(layout.video_path)
    dataset = dataset_of(layout, training=training, modalities=("audio",))
    batch = collate([dataset[0], dataset[1]])
    assert list(batch.media()) == ["audio", "text"] and batch.frames.shape == (2, 3, 3, 0, 16, 16)
    assert batch.given.tolist() == [[False, True, False]] * 2
    assert (batch.fbank.std(dim=(2, 3)) > 0).all() and not torch.equal(batch.fbank[0], batch.fbank[1])


def run(root: Path, results: Path, name: str, **flags: object) -> Path:
    assert main.main(tiny.arguments(root_path=root, result_path=results, expr_name=name, n_epochs=1, **flags)) == 0
    return results / name


def evaluate(checkpoint: Path, *words: str) -> dict:
    target = checkpoint.with_name("again.json")
    assert main.main(["--eval", "--checkpoint", str(checkpoint), "--json", str(target), *words]) == 0
    return json.loads(target.read_text())


@pytest.fixture(scope="module")
def three(tiny_dataset: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A model of three streams."""
    return run(tiny_dataset, tmp_path_factory.mktemp("three"), "run", modalities="avt", modality_dropout=0.5)


@pytest.fixture
def damaged(tiny_dataset: Path, tmp_path: Path) -> Path:
    copy = tmp_path / "demo"
    shutil.copytree(tiny_dataset, copy, ignore=shutil.ignore_patterns("videos"))
    return copy


@pytest.mark.parametrize("dropped", SUBSETS)
def test_a_model_of_three_is_measured_without_one_or_two(three: Path, dropped: str, capsys) -> None:
    found = evaluate(three / "last.pt", "--drop_modality", dropped)
    assert found["lacking"] == {name: 8 * (name[0] in dropped) for name in MODALITIES} and found["n_videos"] == 8
    said = capsys.readouterr().out
    assert ("8 of them scored without sound" in said) == ("a" in dropped)


def test_dropping_a_modality_is_not_having_its_files(three: Path, damaged: Path) -> None:
    test = read_annotation(damaged / "demo.json").subset("validation")
    sounds = [audio_file(damaged / "mp3", video.label, video.id) for video in test]
    for path in sounds[1:]:  # not one sound in all of them is a wrong folder, said below
        path.unlink()
    lacking = evaluate(three / "last.pt", "--root_path", str(damaged))
    assert lacking["lacking"] == {"visual": 0, "audio": 7, "text": 0} and lacking["n_videos"] == 8
    sounds[0].unlink()
    for rate in (damaged / "imgs").glob("*/*/fps"):
        rate.unlink()
    assert evaluate(three / "last.pt", "--root_path", str(damaged), "--drop_modality", "a")["n_videos"] == 8
    for folder in (damaged / "imgs").glob("*/*"):
        shutil.rmtree(folder)
    assert evaluate(three / "last.pt", "--root_path", str(damaged), "--drop_modality", "av")["n_videos"] == 8


def test_not_everything_can_be_dropped(three: Path, capsys) -> None:
    assert main.main(["--eval", "--checkpoint", str(three / "last.pt"), "--drop_modality", "avt"]) == 2
    assert "some, not all, of what the model takes, which is avt" in capsys.readouterr().err


def test_a_modality_that_no_test_video_has_is_told(three: Path, damaged: Path, capsys) -> None:
    shutil.rmtree(damaged / "mp3")
    assert main.main(["--eval", "--checkpoint", str(three / "last.pt"), "--root_path", str(damaged)]) == 2
    said = capsys.readouterr().err
    assert "no video of the test split has sound; --drop_modality a does without" in said and said.count("\n") == 1


@pytest.mark.parametrize("modalities", ["a", "v", "t"])
def test_a_single_stream_is_trained_on_its_own_files(damaged: Path, tmp_path: Path, modalities: str) -> None:
    folders = {"a": "mp3", "v": "imgs", "t": "srt"}
    for letter, folder in folders.items():
        if letter not in modalities and folder != "srt":  # whose words are cues for all
            shutil.rmtree(damaged / folder)
    trained = run(damaged, tmp_path, "run", modalities=modalities, masking="none" if modalities == "t" else "emotion")
    metrics = json.loads((trained / "metrics.json").read_text())
    assert metrics["lacking"] == {next(name for name in MODALITIES if name[0] == modalities): 0}
    assert evaluate(trained / "last.pt") == metrics


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (["--modalities", "x"], "one or several of a, v and t"),
        (["--modalities", "t"], "no patches to mask"),
        (["--modalities", "a", "--modality_dropout", "0.5"], "is one"),
        (["--drop_modality", "a"], "goes with --eval"),
    ],
)
def test_wrong_modalities_cost_one_line(words: list[str], told: str, capsys) -> None:
    try:
        status = main.main(words)
    except SystemExit as ended:
        status = ended.code
    said = capsys.readouterr().err
    assert status == 2 and told in said and said.count("\n") == 1, said
