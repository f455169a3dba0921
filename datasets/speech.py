"""The speech of a video as subtitles, one sentence a cue, by faster-whisper. Takes seconds to import."""

from __future__ import annotations

import functools
from collections.abc import Iterable
from pathlib import Path

import numpy as np
from faster_whisper import WhisperModel
from faster_whisper.transcribe import Word
from faster_whisper.utils import download_model

from datasets.errors import DataError
from datasets.subtitles import Subtitle

WHISPER_RATE = 16_000  # of the sound that is recognised
PAUSE = 1.0  # seconds of silence that end a cue
LONGEST = 10.0  # seconds after which a cue ends even within a sentence
SENTENCE_ENDS = (".", "?", "!", "…", "\u3002", "\uff1f", "\uff01")  # the last three as in Chinese and Japanese


def model_folder(model: str, flag: str = "--model") -> Path:
    """The folder of a model given by name or folder, fetched if need be. Raises DataError with the way by hand.

    flag: by which the model was given, for the errors.
    """
    if Path(model).is_dir():
        needed = ("config.json", "model.bin", "tokenizer.json")
        lacking = [name for name in needed if not (Path(model) / name).is_file()]
        if lacking:
            raise DataError(f"{model} has no {' and no '.join(lacking)}; give the folder of a faster-whisper model")
        return Path(model)
    try:
        return Path(download_model(model))
    except ValueError as error:
        raise DataError(f"{flag}: {error}, or a folder") from None
    except Exception as error:  # the hub's client raises whatever its transport does
        raise DataError(
            f"model {model!r} cannot be fetched ({type(error).__name__}); where there is a network, download its"
            " config.json, model.bin, tokenizer.json and vocabulary.* from https://huggingface.co/Systran into one"
            f" folder, and give that as {flag} FOLDER"
        ) from None


@functools.cache
def load_model(folder: Path, device: str = "cpu", compute_type: str = "auto", threads: int = 0) -> WhisperModel:
    """The model of a folder, once in a process. threads: of the CPU, 0 = faster-whisper's choice."""
    return WhisperModel(
        str(folder), device=device, compute_type=compute_type, cpu_threads=threads, local_files_only=True
    )


def recognise(model: WhisperModel, sound: np.ndarray, language: str | None = None, vad: bool = True) -> list[Subtitle]:
    """What is said in a sound float32 (n,) at 16 kHz.

    language: en, de, ..., None to find it out. vad: skip what holds no voice.
    """
    # Without the text before: one misheard piece would otherwise be repeated to the end of the video.
    segments, _ = model.transcribe(
        sound, language=language, vad_filter=vad, word_timestamps=True, condition_on_previous_text=False
    )
    return sentences(word for segment in segments for word in segment.words or ())


def sentences(words: Iterable[Word]) -> list[Subtitle]:
    """Cues of whole sentences; a long pause or a very long sentence also ends a cue."""
    cues: list[Subtitle] = []
    is_open = False
    for word in words:
        if is_open and word.start - cues[-1].end <= PAUSE and word.end - cues[-1].start <= LONGEST:
            cues[-1] = Subtitle(cues[-1].start, word.end, cues[-1].text + word.word)
        else:
            cues.append(Subtitle(word.start, word.end, word.word.lstrip()))
        is_open = not word.word.rstrip().endswith(SENTENCE_ENDS)
    return cues
