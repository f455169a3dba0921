"""tools/make_demo.py: the drawn courses, what they look, sound and read like, and the files on disk."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
import sys
from collections import Counter
from itertools import combinations
from pathlib import Path

import av
import numpy as np
import pytest

from datasets.annotations import read_annotation
from datasets.audio import read_sound
from datasets.subtitles import read_subtitles
from tools import _demo_scenes, _demo_sound, _demo_words, make_demo
from tools._demo_course import Course, draw_course
from tools._demo_video import _samples

ROOT = Path(__file__).resolve().parents[1]
FLAGS = ["--train_per_class=2", "--test_per_class=1", "--seconds=4"]
EMOTIONS = make_demo.EMOTIONS
FRAME = 1 / 12.5


def courses(n: int, difficulty: float = 0.5, misleading: float = 0.4) -> list[tuple[str, Course]]:
    """n courses of every emotion."""
    options = {"seconds": 12.0, "fps": 12.5, "difficulty": difficulty, "misleading": misleading}
    return [
        (emotion, draw_course(np.random.SeedSequence((3, c, number)), emotion, EMOTIONS, **options))
        for c, emotion in enumerate(EMOTIONS)
        for number in range(n)
    ]


# The course


def test_scenes_fill_the_video_without_gaps() -> None:
    for _, course in courses(5):
        edges = [scene.start for scene in course.scenes] + [course.scenes[-1].end]
        assert [scene.end for scene in course.scenes] == edges[1:]
        assert (edges[0], edges[-1]) == (0.0, 12.0)
        lengths = np.diff(edges)
        assert lengths.min() > 1.2 - FRAME
        assert lengths.max() < 2.5 + FRAME


def test_share_of_emotion_and_media() -> None:
    shares, media = [], Counter()
    for emotion, course in courses(25):
        own = [scene for scene in course.scenes if scene.emotion == emotion]
        shares.append(sum(scene.end - scene.start for scene in own) / 12)
        media.update(scene.shown_in for scene in own)
        assert all(any(scene.emotion_in(medium) for scene in own) for medium in ("picture", "sound"))
        assert all(0.5 <= scene.intensity <= 1 for scene in own)
    assert 0.35 < np.mean(shares) < 0.40
    assert all(0.28 < count / media.total() < 0.39 for count in media.values())
    assert len(media) == 3


@pytest.mark.parametrize(("difficulty", "distractors"), [(0.0, 0), (1.0, 1)])
def test_distractors_come_with_difficulty(difficulty: float, distractors: int) -> None:
    for emotion, course in courses(3, difficulty):
        others = [scene for scene in course.scenes if scene.emotion not in (None, emotion)]
        assert len(others) == distractors
        assert all(scene.intensity < 0.5 for scene in others)


@pytest.mark.parametrize("misleading", [0.0, 0.4, 0.8, 1.0])
def test_share_of_misleading_words(misleading: float) -> None:
    lines = [line for _, course in courses(75, misleading=misleading) for line in course.lines]
    right = [right for line in lines for *_, right in line.words]
    assert len(right) > 1000
    assert np.mean(right) == pytest.approx(1 - misleading, abs=0.03)


def test_words_are_right_exactly_where_the_scene_has_their_emotion() -> None:
    for _, course in courses(5):
        for line in course.lines:
            (scene,) = [scene for scene in course.scenes if scene.start < line.start < line.end < scene.end]
            for word, emotion, right in line.words:
                assert word in _demo_words.NOUNS[emotion] + _demo_words.ADJECTIVES[emotion]
                assert re.search(rf"\b{word}\b", line.text)
                assert right == (emotion == scene.emotion)


def test_four_of_five_scenes_have_a_subtitle() -> None:
    drawn = [course for _, course in courses(25)]
    assert sum(len(c.lines) for c in drawn) / sum(len(c.scenes) for c in drawn) == pytest.approx(0.8, abs=0.03)


# The words


def test_every_emotion_has_twelve_words_of_its_own() -> None:
    tables = (_demo_words.NOUNS, _demo_words.ADJECTIVES)
    assert all(set(table) == set(EMOTIONS) for table in tables)
    words = [word for emotion in EMOTIONS for table in tables for word in table[emotion]]
    assert len(words) == len(set(words)) == 12 * 8
    assert all(word.isalpha() for word in words)


def test_templates_neither_negate_nor_use_affective_words() -> None:
    templates = " ".join(
        template
        for name in ("NOUN", "ADJECTIVE", "NOUN_PAIR", "ADJECTIVE_PAIR", "NEUTRAL")
        for template in getattr(_demo_words, f"{name}_TEMPLATES")
    )
    spoken = set(re.findall(r"[a-z']+", templates.lower()))
    tables = (_demo_words.NOUNS, _demo_words.ADJECTIVES)
    affective = [word for table in tables for words in table.values() for word in words]
    assert not spoken & {*affective, "not", "no", "never", "nothing", "without", "hardly"}
    assert not any("'" in word for word in spoken)


def test_strong_scenes_get_strong_words() -> None:
    def mean_place(intensity: float) -> float:
        rng, places = np.random.default_rng(0), []
        for _ in range(200):
            _, said = _demo_words.draw_affective(rng, "Joy", EMOTIONS, 0.0, intensity)
            lists = _demo_words.NOUNS["Joy"], _demo_words.ADJECTIVES["Joy"]
            places += [words.index(word) for word, _ in said for words in lists if word in words]
        return float(np.mean(places))

    assert mean_place(0.2) < 2 < 3 < mean_place(0.9)


# Picture and sound


@pytest.mark.parametrize("table", [_demo_scenes.LOOKS, _demo_sound.VOICES])
def test_no_attribute_decides_alone(table: dict[str, tuple[str, ...]]) -> None:
    assert tuple(table) == EMOTIONS
    for attribute in zip(*table.values(), strict=True):
        assert len(set(attribute)) < len(EMOTIONS)
    for one, other in combinations(table.values(), 2):
        assert sum(a == b for a, b in zip(one, other, strict=True)) <= len(one) / 2


def frames(emotion: str | None, intensity: float, difficulty: float = 0.0, seed: int = 0) -> np.ndarray:
    rng = np.random.default_rng(seed)
    return np.stack(list(_demo_scenes.render_scene(rng, 12, 12.5, (160, 120), emotion, intensity, difficulty)))


def test_frames_depend_on_their_seed_alone() -> None:
    assert frames("Joy", 0.8, 0.5).shape == (12, 120, 160, 3)
    assert frames("Joy", 0.8, 0.5).dtype == np.uint8
    assert np.array_equal(frames("Joy", 0.8, 0.5), frames("Joy", 0.8, 0.5))
    assert not np.array_equal(frames("Joy", 0.8, 0.5), frames("Joy", 0.8, 0.5, seed=1))


@pytest.mark.parametrize("emotion", EMOTIONS)
def test_intensity_is_colour_and_motion(emotion: str) -> None:
    def colour(clip: np.ndarray) -> float:
        return float(np.ptp(clip.astype(float), axis=-1).mean())

    def motion(clip: np.ndarray) -> float:
        return float(np.abs(np.diff(clip.mean(-1), axis=0)).mean())

    neutral, weak, strong = (
        np.concatenate([frames(emotion if m else None, m, seed=s)[None] for s in range(6)]) for m in (0.0, 0.5, 1.0)
    )
    assert 2 * colour(neutral) < colour(weak) < colour(strong)
    assert sum(map(motion, neutral)) < sum(map(motion, weak)) < sum(map(motion, strong))


@pytest.mark.parametrize("emotion", EMOTIONS)
def test_intensity_is_loudness(emotion: str) -> None:
    def power(emotion: str | None, intensity: float) -> float:
        sound = _demo_sound.render_scene(np.random.default_rng(0), 32_000, emotion, intensity, 0.0)
        assert np.isfinite(sound).all()
        assert np.abs(sound).max() <= 1
        return float(sound.std())

    assert 1.5 * power(None, 0.0) < power(emotion, 0.5) < power(emotion, 1.0)


def test_registers_are_heard() -> None:
    def lowest_peak(emotion: str) -> float:
        sound = _demo_sound.render_scene(np.random.default_rng(0), 32_000, emotion, 1.0, 0.0)
        spectrum = np.abs(np.fft.rfft(sound))
        return float(np.fft.rfftfreq(32_000, 1 / 16_000)[np.argmax(spectrum > 0.3 * spectrum.max())])

    assert lowest_peak("Disgust") < 150 < lowest_peak("Sadness") < 400 < lowest_peak("Joy")


# The data set on disk


def test_videos_hold_picture_and_sound_of_the_asked_length(tiny_dataset: Path) -> None:
    paths = sorted((tiny_dataset / "videos").glob("*/*.mp4"))
    assert [path.parent.name for path in paths] == [emotion for emotion in EMOTIONS for _ in range(3)]
    with av.open(str(paths[0])) as video:
        picture, sound = video.streams.video[0], video.streams.audio[0]
        assert (picture.width, picture.height, float(picture.average_rate)) == (160, 120, 12.5)
        assert picture.codec_context.name in ("h264", "mpeg4")
        assert sound.codec_context.name == "aac"
        assert len(list(video.decode(picture))) == 50


def test_annotation_has_split_and_course(tiny_dataset: Path) -> None:
    annotation = read_annotation(tiny_dataset / "demo.json")
    assert annotation.labels == EMOTIONS
    assert (len(annotation.subset("training")), len(annotation.subset("validation"))) == (16, 8)
    for video in annotation.videos:
        assert any(segment.label == video.label and segment.intensity >= 0.5 for segment in video.segments)
        assert all(0 <= segment.start < segment.end <= 4 for segment in video.segments)


def test_subtitles_carry_the_words_of_words_json(tiny_dataset: Path) -> None:
    words = json.loads((tiny_dataset / "words.json").read_text())
    assert len(words) == 24
    for key, said in words.items():
        lines = read_subtitles(tiny_dataset / "srt" / f"{key}.srt")
        for word in said:
            (line,) = [line for line in lines if line.start == pytest.approx(word["start"], abs=1e-3)]
            assert word["word"] in line.text
            assert line.end == pytest.approx(word["end"], abs=1e-3)


def test_sound_stays_in_time_with_the_picture(tiny_dataset: Path) -> None:
    parameters = json.loads((tiny_dataset / "demo_parameters.json").read_text())
    script = make_demo.list_videos(seed=0, n_training=2, n_test=1)[4]
    course, seeds = make_demo.draw(script, parameters)
    drawn = _samples(course, seeds.spawn(2)[1], parameters["difficulty"])
    heard = read_sound(script.file(tiny_dataset, "mp3", ".mp3"))[: len(drawn)]
    n = 2 * len(drawn)
    correlation = np.fft.irfft(np.fft.rfft(heard, n) * np.conj(np.fft.rfft(drawn, n)))
    lag = int(np.argmax(correlation))
    assert abs(lag - n if lag > n / 2 else lag) / 16_000 < 0.005


def test_test_videos_do_not_depend_on_the_number_of_training_videos() -> None:
    few, many = make_demo.list_videos(0, 2, 3), make_demo.list_videos(0, 16, 3)
    assert [video for video in few if video.subset == "validation"] == [v for v in many if v.subset == "validation"]
    assert len({video.entropy for video in many}) == len(many) == 8 * 19


def test_second_run_is_over_before_anything_heavy_is_imported(tiny_dataset: Path) -> None:
    code = (
        "import sys; from tools import make_demo; status = make_demo.main(sys.argv[1:])\n"
        "sys.exit(status or bool({'torch', 'cv2', 'av'} & set(sys.modules)))"
    )
    command = [sys.executable, "-c", code, f"--root={tiny_dataset}", *FLAGS]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True)
    assert (done.returncode, done.stderr) == (0, "")
    assert "already complete, 24 videos" in done.stdout


def test_other_flags_need_overwrite(tiny_dataset: Path, capsys: pytest.CaptureFixture) -> None:
    before = {path: path.stat().st_mtime_ns for path in tiny_dataset.rglob("*")}
    assert make_demo.main([f"--root={tiny_dataset}", *FLAGS, "--difficulty=0.6"]) == 2
    assert "was made with other flags" in capsys.readouterr().err
    assert {path: path.stat().st_mtime_ns for path in tiny_dataset.rglob("*")} == before


def test_foreign_folder_is_left_alone(tmp_path: Path, capsys: pytest.CaptureFixture) -> None:
    (tmp_path / "thesis.txt").write_text("mine")
    assert make_demo.main([f"--root={tmp_path}", "--overwrite"]) == 2
    assert "did not make" in capsys.readouterr().err
    assert [path.name for path in tmp_path.iterdir()] == ["thesis.txt"]


def test_a_start_that_was_killed_is_no_foreign_folder(tmp_path: Path) -> None:
    left = tmp_path / f".part-77-{make_demo.PARAMETERS}"
    left.write_text("{")
    make_demo._prepare(tmp_path, {"recipe": 1.0}, overwrite=False)
    assert (tmp_path / make_demo.PARAMETERS).is_file()
    make_demo._write_texts(tmp_path, [], {})
    assert not left.exists()


def test_what_is_missing_is_made_again_the_same(tiny_dataset: Path, tmp_path: Path) -> None:
    root = tmp_path / "demo"
    shutil.copytree(tiny_dataset, root)
    gone = ["videos/Joy/joy_001.mp4", "mp3/Joy/joy_001.mp3", "srt/Fear/fear_000.srt"]
    for name in gone:
        (root / name).unlink()
    shutil.rmtree(root / "imgs" / "Joy" / "joy_001")
    kept = (root / "videos/Joy/joy_000.mp4").stat().st_mtime_ns
    assert make_demo.main([f"--root={root}", *FLAGS, "--jobs=1"]) == 0
    assert (root / "videos/Joy/joy_000.mp4").stat().st_mtime_ns == kept
    for path in tiny_dataset.rglob("*"):
        if path.is_file():
            assert path.read_bytes() == (root / path.relative_to(tiny_dataset)).read_bytes(), path


def test_overwrite_leaves_nothing_of_the_old_videos(tiny_dataset: Path, tmp_path: Path) -> None:
    root = tmp_path / "demo"
    shutil.copytree(tiny_dataset, root)
    flags = ["--train_per_class=1", "--test_per_class=1", "--seconds=3", "--overwrite"]
    assert make_demo.main([f"--root={root}", *flags]) == 0
    assert len(list((root / "videos").glob("*/*"))) == len(list((root / "imgs").glob("*/*"))) == 16
    assert (root / "imgs/Joy/joy_000/n_frames").read_text().strip() == "38"


@pytest.mark.parametrize("flag", ["--difficulty=1.5", "--misleading=x", "--seconds=1", "--fps=0", "--seed=-1"])
def test_flags_out_of_range_are_refused(flag: str, tmp_path: Path, capsys: pytest.CaptureFixture) -> None:
    with pytest.raises(SystemExit) as refusal:
        make_demo.main([f"--root={tmp_path / 'demo'}", flag])
    assert refusal.value.code == 2
    assert flag.split("=")[0] in capsys.readouterr().err
