"""What is said of a video, with numbers worked out by hand: windows, degrees, stages; and without sound."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from torch import Tensor

from core.engine import StepSettings
from core.predicting import PredictionError, Predictor, windows
from core.prediction import Prediction
from models.build import build_model
from tests import tiny

POLARITY = (-1, +1, 0)


@dataclass
class FakeVideo:
    """Two-second segments whose clips hold their features, and words (start, end, sentiment, emotion, degree)."""

    features: list[list[float]]
    words: list[list[tuple]] = field(default_factory=list)
    sound: np.ndarray | None = None
    path: Path = Path("a\n.mp4")
    segment_seconds: float = 2.0
    subtitles: str | None = None
    notes: tuple[str, ...] = ("Odd.",)

    @property
    def duration(self) -> float:
        return 2.0 * len(self.features)

    @property
    def blocks(self) -> np.ndarray:
        return np.array([[2.0 * s, 2.0 * s + 2] for s in range(len(self.features))])

    @property
    def texts(self) -> list[str]:
        return ["so it goes"] * len(self.features)

    @property
    def cues(self) -> list[list[SimpleNamespace]]:
        rows = self.words or [[]] * len(self.features)
        return [
            [
                SimpleNamespace(
                    start=start, end=end,
                    cue=SimpleNamespace(sentiment=sign, emotion=np.array(emotion, np.float32), degree=degree),
                )
                for start, end, sign, emotion, degree in row
            ]
            for row in rows
        ]  # fmt: skip

    def clips(self) -> Iterator[SimpleNamespace]:
        for s, values in enumerate(self.features):
            fbank = None if self.sound is None else torch.tensor(values)
            yield SimpleNamespace(frames=torch.tensor(values), fbank=fbank, thumbnail=bytes([s]))


class Identity(torch.nn.Module):
    """A model whose features are its input and whose scores are the features; the video's are their maxima."""

    streams = ("visual", "audio")

    def encode(self, media: dict[str, tuple[Tensor]]) -> SimpleNamespace:
        assert all(len(values) <= 8 for (values,) in media.values())
        return SimpleNamespace(features={name: values for name, (values,) in media.items()})

    def classify(self, features: dict[str, Tensor]) -> SimpleNamespace:
        scores = sum(features.values())
        return SimpleNamespace(segment_scores=scores, video_scores=scores.amax(dim=1))


def settings(polarity: tuple[int, ...] = POLARITY) -> StepSettings:
    return StepSettings(torch.device("cpu"), torch.float32, torch.tensor(polarity), 0.5, 1, 1.0, 1)


def predict(video: FakeVideo, window: int = 16, verify: str = "degree") -> Prediction:
    about = {"checkpoint": "last.pt", "epoch": 1, "dataset": "custom"}
    predictor = Predictor(Identity(), settings(), ("anger", "joy", "calm"), about, window, verify, threshold=0.5)
    prediction, thumbnails = predictor(video)
    assert thumbnails == [bytes([s]) for s in range(len(video.features))]
    return prediction


def test_windows_are_few_and_even() -> None:
    assert windows(1, 16) == [(0, 1)]
    assert windows(16, 16) == [(0, 16)]
    assert windows(17, 16) == [(0, 8), (8, 17)]
    assert windows(10, 4) == [(0, 3), (3, 6), (6, 10)]
    for n in range(1, 100):
        lengths = [end - start for start, end in windows(n, 7)]
        assert sum(lengths) == n and max(lengths) <= 7 and max(lengths) - min(lengths) <= 1


def test_degree_and_emotions_are_the_distribution_over_time() -> None:
    ln = math.log
    found = predict(FakeVideo([[ln(1), ln(2), ln(1)], [ln(6), ln(3), ln(3)]]))
    # exp of the scores: 1 2 1 and 6 3 3, sixteen in all
    assert [segment.degree for segment in found.segments] == pytest.approx([4 / 16, 12 / 16])
    assert found.segments[0].probabilities == pytest.approx((1 / 4, 2 / 4, 1 / 4))
    assert found.segments[1].probabilities == pytest.approx((6 / 12, 3 / 12, 3 / 12))
    assert found.probabilities == pytest.approx((6 / 12, 3 / 12, 3 / 12))  # of the maxima 6, 3, 3
    assert (found.emotion, found.sentiment, found.duration, found.file) == ("anger", -1, 4.0, "a\n.mp4")
    assert [(segment.start, segment.end) for segment in found.segments] == [(0, 2), (2, 4)]
    assert (found.sound, found.subtitles, found.notes) == (False, None, ("Odd.",))


def test_a_long_video_is_pooled_in_windows() -> None:
    ln = math.log
    rows = [[ln(8), 0.0, 0.0], [0.0, 0.0, 0.0], [0.0, ln(2), 0.0], [0.0, 0.0, 0.0]]
    # windows of two: maxima 8 1 1 and 1 2 1
    expected = [(8 / 10 + 1 / 4) / 2, (1 / 10 + 2 / 4) / 2, (1 / 10 + 1 / 4) / 2]
    assert predict(FakeVideo(rows), window=2).probabilities == pytest.approx(expected)
    assert predict(FakeVideo(rows), window=3).probabilities == pytest.approx(expected)
    assert predict(FakeVideo(rows), window=4).probabilities == pytest.approx([8 / 11, 2 / 11, 1 / 11])


def test_more_segments_than_go_at_once() -> None:
    found = predict(FakeVideo([[float(s), 0.0, 0.0] for s in range(21)]))
    assert len(found.segments) == 21 and found.segments[20].degree == max(s.degree for s in found.segments)
    assert sum(segment.degree for segment in found.segments) == pytest.approx(1)


def test_words_pass_stages() -> None:
    joy, anger = [0.0, 1.0, 0.0], [1.0, 0.0, 0.0]
    words = [
        [(0, 2, +1, joy, 0.9), (3, 5, -1, anger, 0.9), (6, 10, +1, [0.0, 0.4, 0.6], 0.9), (0, 2, +1, joy, 0.2)],
        [(0, 2, +1, joy, 0.1)],
    ]
    # The video's joy is certain, so that temporal scores of joy are 9 and 0: scaled over time 1 and 0
    video = FakeVideo([[0.0, 9.0, 0.0], [0.0, 0.0, 0.0]], words, subtitles="a.srt")
    found = predict(video)
    passed = [[word.passed for word in segment.words] for segment in found.segments]
    assert passed == [["degree", "none", "sentiment", "emotion"], ["none"]], "no scores, no sentiment"
    verified = [word.verified for word in found.segments[0].words]
    assert verified == [True, False, False, False]
    assert [w.verified for w in predict(video, verify="sentiment").segments[0].words] == [True, False, True, True]
    assert all(w.verified for s in predict(video, verify="none").segments for w in s.words)
    word = found.segments[0].words[2]
    assert (word.text, word.at, word.sentiment, word.degree) == ("goes", (6, 10), 1, 0.9)
    assert word.emotion == pytest.approx((0, 0.4, 0.6))
    assert found.segments[0].text[slice(*word.at)] == word.text


def test_scores_that_are_no_numbers_are_refused() -> None:
    with pytest.raises(PredictionError, match="not numbers"):
        predict(FakeVideo([[0.0, math.nan, 0.0]]))
    extreme = predict(FakeVideo([[5000.0, 0.0, 0.0], [0.0, 4000.0, 0.0]]))
    assert [segment.degree for segment in extreme.segments] == [1.0, 0.0]
    assert extreme.segments[1].probabilities == (0.0, 1.0, 0.0), "though nothing is left of it in the whole"


def test_a_model_scores_with_and_without_sound() -> None:
    torch.manual_seed(0)
    model, batch = build_model(tiny.SIZES).eval(), tiny.batch(1, n_segments=3)
    for sound in (np.zeros(1), None):
        video = FakeVideo([[0.0]] * 3, sound=sound)
        clips = [SimpleNamespace(frames=batch.frames[0, s], fbank=batch.fbank[0, s], thumbnail=b"") for s in range(3)]
        video.clips = lambda clips=clips: iter(clips)
        classes = tuple("abcdefgh")
        found, _ = Predictor(model, settings((0,) * 8), classes, {}, 16, "degree", 0.5)(video)
        output = model({name: media for name, media in batch.media().items() if name == "visual" or sound is not None})
        assert found.probabilities == pytest.approx(output.video_scores[0].softmax(dim=0).tolist(), abs=1e-5)
        assert found.sound == (sound is not None)
