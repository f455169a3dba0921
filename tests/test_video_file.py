"""A video file read straight from its container is the video that the dataset reads, taken apart by the tools."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import pytest
import soundfile
import torch

from datasets.annotations import Video
from datasets.audio import audio_file
from datasets.benchmarks import BENCHMARKS
from datasets.errors import DataError
from datasets.frame_folders import frame_folder
from datasets.lexicon import AffectiveLexicon
from datasets.subtitles import Subtitle
from datasets.video_emotion import VideoEmotionDataset
from datasets.video_file import Clip, VideoFile
from tests.media import layout_in, tone
from tests.videos import grey, write_video
from tools import video2imgs, video2mp3

SIZES = {"snippet_duration": 4, "sample_size": 32, "audio_frames": 50}
LEVELS = list(range(10, 250, 10))  # 24 pictures, 2.4 s


def open_video(path: Path, segment_seconds: float = 0.5, **changes: int) -> VideoFile:
    return VideoFile(path, segment_seconds=segment_seconds, **SIZES | changes)


def levels(clip: Clip) -> list[int]:
    """The mean grey of each frame, rounded to tens."""
    return [round(level / 10) * 10 for level in clip.frames.float().mean(dim=(0, 2, 3)).tolist()]


def textured(count: int, height: int, width: int) -> list[np.ndarray]:
    """Different pictures with detail at every scale."""
    rng = np.random.default_rng(0)
    coarse = [rng.integers(0, 255, (6, 8, 3), dtype=np.uint8) for _ in range(count)]
    return [cv2.resize(picture, (width, height), interpolation=cv2.INTER_CUBIC) for picture in coarse]


@pytest.mark.parametrize(
    ("name", "size", "sound_rate"),
    [("a.mp4", (96, 128), 16_000), ("a.mkv", (270, 360), 44_100), ("a.webm", (64, 48), 48_000)],
)
def test_it_gives_what_the_dataset_gives(tmp_path: Path, name: str, size: tuple[int, int], sound_rate: int) -> None:
    sound = (tone(2.4, sound_rate, 300) + tone(2.4, sound_rate, 5000, 0.1))[:, None]
    path = write_video(tmp_path / name, textured(24, *size), sound=sound, sound_rate=sound_rate)
    layout, video = layout_in(tmp_path), Video("a", "Joy", "validation", ())
    folder = frame_folder(layout.video_path, "Joy", "a")
    mp3 = audio_file(layout.audio_path, "Joy", "a")
    for parent in (folder.parent, mp3.parent):
        parent.mkdir(parents=True)
    video2imgs.extract(path, folder, short_side=240, quality=90, fps=None)
    video2mp3.extract(path, mp3)
    dataset = VideoEmotionDataset([video], BENCHMARKS["ve8"], layout, n_segments=5, training=False, **SIZES)
    wanted = dataset[0]
    found = open_video(path)
    clips = list(found.clips())
    assert torch.equal(torch.stack([clip.frames for clip in clips]), wanted.frames[0])
    torch.testing.assert_close(torch.stack([clip.fbank for clip in clips]), wanted.fbank[0], atol=0.01, rtol=0)
    torch.testing.assert_close(torch.from_numpy(found.blocks).float(), wanted.blocks[0])
    assert found.notes == ()


@pytest.mark.parametrize("suffix", ["mp4", "mkv", "webm", "avi"])
def test_every_segment_has_the_frames_in_its_middle(tmp_path: Path, suffix: str) -> None:
    video = open_video(write_video(tmp_path / f"a.{suffix}", grey(LEVELS)))
    assert video.blocks.round(2).tolist() == [[0, 0.48], [0.48, 0.96], [0.96, 1.44], [1.44, 1.92], [1.92, 2.4]]
    # of 4.8 frames a segment, four: those from 0.4, 5.2, 10, 14.8 and 19.6 on
    expected = [LEVELS[first : first + 4] for first in (0, 5, 10, 14, 19)]
    assert [levels(clip) for clip in video.clips()] == expected


def test_clips_that_overlap_and_segments_longer_than_the_video(tmp_path: Path) -> None:
    path = write_video(tmp_path / "a.mp4", grey(LEVELS))
    assert [levels(clip) for clip in open_video(path, 60).clips()] == [LEVELS[10:14]]
    narrow = list(open_video(path, 0.1).clips())  # 24 segments of a frame each
    # a clip begins 1.5 frames before the middle of its frame, rounded down, but inside the video
    assert [levels(clip)[0] for clip in narrow] == [LEVELS[min(max(first - 2, 0), 20)] for first in range(24)]
    with pytest.raises(DataError, match="give a longer --segment_seconds"):
        open_video(path, 1e-6)


def test_one_picture_is_a_clip(tmp_path: Path) -> None:
    video = open_video(write_video(tmp_path / "a.mp4", grey([90])))
    assert [levels(clip) for clip in video.clips()] == [[90] * 4]


def test_display_rotation_and_thumbnail(tmp_path: Path) -> None:
    picture = np.zeros((120, 400, 3), np.uint8)
    picture[:, :200] = 255  # the left half, which a quarter turn counter-clockwise brings down
    clip = next(open_video(write_video(tmp_path / "a.mp4", [picture] * 4, turned=90)).clips())
    assert clip.frames[:, :, :14].max() < 40 and clip.frames[:, :, 18:].min() > 215
    thumbnail = cv2.imdecode(np.frombuffer(clip.thumbnail, np.uint8), cv2.IMREAD_COLOR)
    assert thumbnail.shape == (400, 120, 3), "whole, and never enlarged"
    wide = next(open_video(write_video(tmp_path / "b.mp4", [picture] * 4)).clips())
    assert cv2.imdecode(np.frombuffer(wide.thumbnail, np.uint8), cv2.IMREAD_COLOR).shape == (48, 160, 3)


def test_without_sound(tmp_path: Path) -> None:
    video = open_video(write_video(tmp_path / "a.mp4", grey(LEVELS)))
    assert video.sound is None and [clip.fbank for clip in video.clips()] == [None] * 5
    assert video.notes == ("No sound track: it was scored without.",)


def test_a_sound_that_cannot_be_decoded_is_left_out_with_the_reason(tmp_path: Path) -> None:
    sound = tone(2.4, 16_000)[:, None]
    path = write_video(tmp_path / "a.mkv", grey(LEVELS), sound=sound)
    path.write_bytes(path.read_bytes().replace(b"A_FLAC", b"A_ZZZZ"))
    video = open_video(path)
    assert video.sound is None and len(list(video.clips())) == 5
    assert video.notes == (
        "The sound was left out (its sound is in an unknown coding; convert it): it was scored without.",
    )


def test_damage_is_noted(tmp_path: Path) -> None:
    sound = tone(2.4, 16_000)[:, None]
    for path in (
        write_video(tmp_path / "sound.mp4", grey(LEVELS), sound=sound, broken_sound=[9]),
        write_video(tmp_path / "picture.webm", grey(LEVELS), sound=sound, sound_rate=48_000, broken_pictures=[5]),
    ):
        video = open_video(path)
        clips = list(video.clips())
        assert len(clips) == 5 and all(clip.fbank is not None for clip in clips)
        assert video.notes == (f"{path.stem.capitalize()}: damaged packets skipped: 1.",)
    path = write_video(tmp_path / "cut.mkv", grey(LEVELS * 5))
    path.write_bytes(path.read_bytes()[: path.stat().st_size * 2 // 3])
    cut = open_video(path)
    assert len(list(cut.clips())) == len(cut.blocks) < 24
    assert cut.duration < 11


def test_files_that_are_no_video(tmp_path: Path) -> None:
    (tmp_path / "empty.mp4").touch()
    (tmp_path / "garbage.mp4").write_bytes(np.random.default_rng(0).bytes(20_000))
    soundfile.write(tmp_path / "sound.mp3", tone(1, 16_000), 16_000)
    (tmp_path / "sound.mp3").rename(tmp_path / "sound.mp4")
    for name, said in (
        ("empty", "is no readable video file"),
        ("garbage", "is no readable video file"),
        ("sound", "has no picture"),
        ("missing", "is no readable video file"),
    ):
        with pytest.raises(DataError, match=said):
            open_video(tmp_path / f"{name}.mp4")


def test_words_belong_to_the_segments_in_which_they_are_shown(tmp_path: Path) -> None:
    video = open_video(write_video(tmp_path / "a.mp4", grey(LEVELS)), 1.2)
    lines = [Subtitle(0.2, 0.8, "what a joy"), Subtitle(1.1, 1.4, "I hate it")]
    video.add_subtitles("a.srt", lines, AffectiveLexicon("ve8"))
    assert video.texts == ["what a joy I hate it", "I hate it"]
    words = [[text[cue.start : cue.end] for cue in cues] for text, cues in zip(video.texts, video.cues, strict=True)]
    assert words == [["joy", "I hate"], ["I hate"]]
