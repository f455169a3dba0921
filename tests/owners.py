"""Small look-alikes of the data sets of tools/prepare.py, in the form in which their owners hand them out."""

from __future__ import annotations

import csv
import json
import shutil
from collections.abc import Sequence
from pathlib import Path
from unicodedata import normalize

import numpy as np

from datasets.benchmarks import BENCHMARKS
from tests.media import tone
from tests.videos import grey, write_video

FPS = 8
HOSTILE = (
    '-it\'s "quoted" 怒',
    "two  words",
    "v1.2 final.",
    "BerguzarKorel^Anticipation.wmv",  # the suffix belongs to the name in the list, and the file has another
    normalize("NFC", "Überraschung é"),
    "$(rm) ; * ? | & <a>",
)


def write_film(path: Path, seconds: float = 2.0, height: int = 48, width: int = 64) -> Path:
    """A video whose picture becomes lighter second by second, with a tone that becomes higher."""
    levels = [20 + 20 * (n // FPS) for n in range(round(FPS * seconds))]
    sound = np.concatenate([tone(1.0, 16_000, 300 + 100 * n) for n in range(int(seconds) + 1)])
    sound = sound[: round(16_000 * seconds), None]
    return write_video(path, grey(levels, height, width), fps=FPS, sound=sound)


def write_lines(path: Path, lines: Sequence[str]) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("\n".join(lines) + "\n", encoding="utf-8")
    return path


def videoemotion8(source: Path) -> Path:
    """Two videos a class with names of every kind, one name in two classes, three of the ten splits."""
    film = write_film(source / "videos" / "Anger" / "a0.mp4")
    names = ["Anger/a0"]
    for label in BENCHMARKS["ve8"].classes:
        ids = ["a1"] if label == "Anger" else ["b0", "b1"]
        names += [f"{label}/{id}" for id in ids]
    names += [f"Joy/{id}" for id in HOSTILE] + ["Disgust/both", "Fear/both"]
    for name in names[1:]:
        copy = source / "videos" / f"{normalize('NFD', name)}.mp4"  # as some systems store accents
        copy.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(film, copy)
    write_lines(
        source / "lists" / "classInd.txt", [f"{n} {label}" for n, label in enumerate(BENCHMARKS["ve8"].classes, 1)]
    )
    for split in range(1, 4):
        for kind, is_test in (("train", False), ("test", True)):
            chosen = [name for n, name in enumerate(names) if ((n + split) % 3 == 0) is is_test]
            write_lines(source / "lists" / f"{kind}list{split:02d}.txt", chosen)
    return source


def ekman6(source: Path) -> Path:
    """Three videos a class in folders with a capital letter, lists with suffixes and the numbers of the classes."""
    film = write_film(source / "Anger" / "1.mp4")
    train, test = [], []
    for number, label in enumerate(BENCHMARKS["ek6"].classes):
        for id in ("1", "2", "3"):
            copy = source / label.capitalize() / f"{id}.mp4"
            copy.parent.mkdir(exist_ok=True)
            if copy != film:
                shutil.copy(film, copy)
            (test if id == "3" else train).append(f"{label}/{id}.mp4 {number}")
    write_lines(source / "Ekman6_train.txt", train)
    write_lines(source / "Ekman6_test.txt", test)
    return source


def erato(source: Path) -> Path:
    """A film out of which clips are cut, and clips that are files; a list as a table and one as JSON."""
    write_film(source / "films" / "A Film (1999).mkv", 8)
    write_film(source / "clips" / "x.mp4")
    labels = BENCHMARKS["perr"].classes
    rows = [
        {"video": "films/A Film (1999).mkv", "start": f"00:00:0{n}", "end": f"00:00:0{n + 2}.5", "label": label.lower()}
        for n, label in enumerate(labels)
    ]
    with (source / "train.csv").open("w", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, [*rows[0], "id", "text"])
        writer.writeheader()
        writer.writerows([*rows, {"video": "x", "label": "Tense", "id": "said", "text": "Now, I am afraid."}])
    others = [{"video": "clips/x.mp4", "label": label, "subset": "test", "pair": [1, 2]} for label in labels]
    others += [{"video": "x.mp4", "label": "Mild", "subset": "val", "id": "of val"}]
    (source / "others.json").write_text(json.dumps(others), encoding="utf-8")
    return source


def iemocap(source: Path) -> Path:
    """One dialog a session, of 7 s and 96x64 pixels, the speaker's part of the picture lighter than the rest."""
    emotions = ("ang", "exc", "neu", "sad", "hap", "fru", "xxx")
    for session in range(1, 6):
        marked = "FM"[session % 2]
        dialog = f"Ses0{session}{marked}_impro01"
        folder = source / f"Session{session}" / "dialog"
        pictures = grey([30] * (7 * FPS), 64, 96)
        for picture in pictures:
            picture[16:48, :48], picture[16:48, 48:] = 120, 220
        sound = np.concatenate([tone(7.0, 16_000)[:, None]] * 2, axis=1)
        write_video(folder / "avi" / "DivX" / f"{dialog}.avi", pictures, fps=FPS, sound=sound)
        (folder / "avi" / "DivX" / f"._{dialog}.avi").write_bytes(b"of another system")
        evaluation, said = ["% [START_TIME - END_TIME] TURN_NAME EMOTION [V, A, D]", ""], []
        for n, emotion in enumerate(emotions):
            name = f"{dialog}_{'FM'[n % 2]}{n:03d}"
            evaluation += [f"[{n}.2500 - {n + 1}.5000]\t{name}\t{emotion}\t[2.5000, 2.5000, 2.5000]"]
            evaluation += ["C-E2:\tNeutral;\t()", "A-E3:\tval 3; act 2; dom  2;\t()", ""]
            said += [f"{name} [{n:03d}.2500-{n + 1:03d}.5000]: I am so happy, number {n}."]
        said += ["F: [LAUGHTER]"]
        write_lines(folder / "EmoEvaluation" / f"{dialog}.txt", evaluation)
        write_lines(folder / "EmoEvaluation" / f"._{dialog}.txt", ["of another system"])
        write_lines(folder / "EmoEvaluation" / "Categorical" / f"{dialog}_e1_cat.txt", ["something else"])
        write_lines(folder / "transcriptions" / f"{dialog}.txt", said[:3] + said[4:])
    return source


def affwild2(source: Path) -> Path:
    """A training video of one person, a validation video of two, runs of every class and of none."""
    labels = (*BENCHMARKS["affwild2"].classes, "Other")
    write_film(source / "batch1" / "7-60-1920x1080.mp4", 10)
    write_film(source / "batch2" / "10-60-1280x720.avi", 6)
    whole = [n // 10 for n in range(8 * 10)]  # runs of ten frames, 1.25 s, of each of the eight
    whole[75:] = [-1] * 5
    left = [4] * 20 + [0] * 3 + [-1] * 5 + [5] * 20
    right = [1] * 24 + [6] * 25  # one line more than frames
    for folder, name, classes in (
        ("Train_Set", "7-60-1920x1080", whole),
        ("Validation_Set", "10-60-1280x720_left", left),
        ("Validation_Set", "10-60-1280x720_right", right),
    ):
        write_lines(
            source / "annotations" / "EXPR_Set" / folder / f"{name}.txt", [",".join(labels), *map(str, classes)]
        )
        write_lines(source / "annotations" / "VA_Set" / folder / f"{name}.txt", ["valence,arousal", "0.1,-5"])
    return source


def tsl300(source: Path) -> Path:
    """Four videos with the owners' annotation, one of them without a segment."""
    names = ("1_Ekman6_disgust_3", "2_Ekman6_joy_1308", "9_CMU_MOSEI_lzVA--tIse0", "71_CMU_MOSEI__gzYkdjNvPc")
    film = write_film(source / "vid" / "train" / f"{names[0]}.mp4", 4)
    courses = (
        [(("0.5", "2.25"), "n"), (("3.0", "3.5"), "p")],
        [(("0.12", "3.5"), "p")],
        [(("1.0", "1.5"), "n"), (("2.0", "3.0"), "p")],
        [],
    )
    database = {}
    for n, (name, course) in enumerate(zip(names, courses, strict=True)):
        subset = "test" if n == 2 else "train"
        copy = source / "vid" / subset / f"{name}.mp4"
        copy.parent.mkdir(exist_ok=True)
        if copy != film:
            shutil.copy(film, copy)
        segments = [{"segment": list(segment), "label": label} for segment, label in course]
        database[name] = {"subset": subset, "annotations": segments}
    (source / "videosenti_gt.json").write_text(json.dumps({"database": database}), encoding="utf-8")
    return source


MAKERS = {
    "ve8": videoemotion8,
    "ek6": ekman6,
    "perr": erato,
    "iemocap": iemocap,
    "affwild2": affwild2,
    "tsl300": tsl300,
}
