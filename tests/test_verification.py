"""Eq. 3, the three stages and the target distribution, by hand. Emotions: anger (-), joy (+), calm (0)."""

from __future__ import annotations

import math

import pytest
import torch
from torch import Tensor

from core.verification import (
    STAGES,
    content_scores,
    last_stage,
    temporal_emotion_distribution,
    temporal_scores,
    verify_cues,
)

POLARITY = torch.tensor([-1, 1, 0])
ANGRY, JOYFUL, CALM = [4.0, 0.0, 0.0], [0.0, 4.0, 0.0], [0.0, 0.0, 4.0]


def verified(scores: list, cues: list[list[tuple]], stage: str, threshold: float = 0.5) -> list:
    """Verify the cues (sentiment, emotion, degree) of each segment of one video."""
    sentiment = torch.tensor([[[cue[0] for cue in segment] for segment in cues]])
    emotion = torch.tensor([[[cue[1] for cue in segment] for segment in cues]])
    degree = torch.tensor([[[cue[2] for cue in segment] for segment in cues]])
    valid = torch.ones_like(sentiment, dtype=torch.bool)
    return verify_cues(torch.tensor([scores]), sentiment, emotion, degree, valid, POLARITY, threshold, stage)[
        0
    ].tolist()


@pytest.mark.parametrize(
    ("segment", "video", "expected"),
    [
        ([1.0, 2.0, 3.0], [0.0, 0.0, 0.0], [1 / 3, 2 / 3, 1.0]),
        ([1.0, 1.0, -2.0], [math.log(2), math.log(1), math.log(1)], [0.5, 0.25, -0.5]),
        ([5.0, -5.0, 0.0], [100.0, 0.0, 0.0], [5.0, 0.0, 0.0]),
    ],
)
def test_temporal_scores(segment: list[float], video: list[float], expected: list[float]) -> None:
    found = temporal_scores(torch.tensor([[segment]]), torch.tensor([video]))
    torch.testing.assert_close(found, torch.tensor([[expected]]))


def test_content_scores_begin_at_the_lowest_of_the_video() -> None:
    found = content_scores(torch.tensor([[[1.0, 3.0], [2.0, 1.0]]]), torch.tensor([[0.25, 0.75]]))
    torch.testing.assert_close(found, torch.tensor([[[0.0, 1.5], [0.25, 0.0]]]))


def test_the_last_stage_of_each_word() -> None:
    sentiment = torch.tensor([[[1, 1, 1, -1, 0]]])
    emotion = torch.tensor([[[[0.0, 1, 0], [0, 1, 0], [0, 0, 1], [1, 0, 0], [0, 0, 0]]]])
    degree = torch.tensor([[[0.1, 0.9, 0.1, 0.1, 0.0]]])  # of one segment, whose own is 0
    found = last_stage(torch.tensor([[JOYFUL]]), sentiment, emotion, degree, sentiment != 0, POLARITY, 0.5)
    names = [STAGES[place] if place >= 0 else "padding" for place in found[0, 0].tolist()]
    assert names == ["degree", "emotion", "sentiment", "none", "padding"]


def test_sentiment_is_the_sign_of_the_expected_polarity() -> None:
    cues = [[(1, [0, 1, 0], 0.9), (-1, [1, 0, 0], 0.9)]]
    assert verified([JOYFUL], cues, "sentiment") == [[True, False]]
    assert verified([ANGRY], cues, "sentiment") == [[False, True]]
    assert verified([CALM], cues, "sentiment") == [[False, False]], "as much positive as negative: no sign, none agrees"


def test_emotion_needs_the_strongest_and_counts_ties() -> None:
    cues = [[(1, [0.0, 1.0, 0.0], 0.9), (1, [0.0, 0.5, 0.5], 0.9), (1, [0.0, 0.4, 0.6], 0.9), (-1, [0, 1, 0], 0.9)]]
    assert verified([JOYFUL], cues, "emotion") == [[True, True, False, False]], "the last has the wrong sentiment"
    tied = verified([[1.0, 3.0, 3.0]], cues, "emotion")
    assert tied == [[True, True, False, False]], "of equally strong emotions the first is the strongest"


def test_degree_is_compared_with_the_emotion_over_time() -> None:
    # joy over time 0, 2, 4: scaled 0, .5, 1; the first segment is angry, whose own course 4, 0, 0 is scaled 1, 0, 0
    scores = [ANGRY, [0.0, 2.0, 0.0], JOYFUL]
    joy = [(1, [0.0, 1.0, 0.0], 0.9), (1, [0.0, 1.0, 0.0], 0.3)]
    anger = [(-1, [1.0, 0.0, 0.0], 0.9), (-1, [1.0, 0.0, 0.0], 0.3)]
    assert verified(scores, [anger, joy, joy], "degree") == [[True, False], [True, True], [True, False]]
    strict = verified(scores, [anger, joy, joy], "degree", threshold=0.15)
    assert strict == [[True, False], [False, False], [True, False]]


def test_the_threshold_itself_does_not_pass() -> None:
    scores = [[0.0, 1.0, 0.0], JOYFUL]
    cue = [(1, [0.0, 1.0, 0.0], 0.5)]
    assert verified(scores, [cue, cue], "degree", threshold=0.5) == [[False], [False]], "scaled to 0 and 1"


def test_one_segment_has_degree_zero() -> None:
    assert verified([JOYFUL], [[(1, [0, 1, 0], 0.3), (1, [0, 1, 0], 0.9)]], "degree") == [[True, False]]


def test_stage_none_keeps_every_valid_cue_and_padding_never_passes() -> None:
    arguments = (torch.tensor([[JOYFUL]]), torch.tensor([[[-1, -1]]]), torch.rand(1, 1, 2, 3), torch.rand(1, 1, 2))
    valid = torch.tensor([[[True, False]]])
    assert verify_cues(*arguments, valid, POLARITY, 0.5, "none").tolist() == [[[True, False]]]
    for stage in ("sentiment", "emotion", "degree"):
        assert not verify_cues(*arguments, valid, POLARITY, 0.5, stage).any(), "all words wrong"
    with pytest.raises(ValueError, match="stage is one of"):
        verify_cues(*arguments, valid, POLARITY, 0.5, "all")


def distribution(scores: list, cues: list, mix: float, temperature: float = 1.0) -> Tensor:
    """Target of one video from (emotion, degree, verified) cues of each segment."""
    emotion = torch.tensor([[[cue[0] for cue in segment] for segment in cues]])
    degree = torch.tensor([[[cue[1] for cue in segment] for segment in cues]])
    kept = torch.tensor([[[cue[2] for cue in segment] for segment in cues]])
    return temporal_emotion_distribution(torch.tensor([scores]), emotion, degree, kept, mix, temperature)[0]


def test_target_mixes_content_and_verified_cues() -> None:
    cues = [[([0.0, 1.0], 0.6, True), ([1.0, 0.0], 0.9, False)], [([0.5, 0.5], 0.2, True), ([1.0, 0.0], 0.9, False)]]
    # content: uniform over four entries; cues: .6 on (0, joy), .1 on each of segment 1, of .8 in all
    found = distribution([[0.0, 0.0], [0.0, 0.0]], cues, mix=0.5)
    torch.testing.assert_close(found, torch.tensor([[0.125, 0.5], [0.1875, 0.1875]]))


def test_target_without_verified_cues_is_the_content() -> None:
    cues = [[([0.0, 1.0], 0.6, False)], [([1.0, 0.0], 0.9, False)]]
    found = distribution([[math.log(5), 0.0], [0.0, 0.0]], cues, mix=0.5)
    torch.testing.assert_close(found, torch.tensor([[0.625, 0.125], [0.125, 0.125]]))
    powerless = distribution([[0.0, 0.0], [0.0, 0.0]], [[([0.0, 1.0], 0.0, True)], [([0.0, 1.0], 0.0, True)]], mix=0.5)
    torch.testing.assert_close(powerless, torch.full((2, 2), 0.25))


def test_temperature_sharpens_and_a_full_mix_is_the_cues_alone() -> None:
    cues = [[([0.0, 1.0], 0.6, True)]]
    sharp = distribution([[math.log(3), 0.0]], [[([0.0, 1.0], 0.6, False)]], mix=0.5, temperature=0.5)
    torch.testing.assert_close(sharp, torch.tensor([[0.9, 0.1]]))
    torch.testing.assert_close(distribution([[9.0, 0.0]], cues, mix=1.0), torch.tensor([[0.0, 1.0]]))


def test_target_always_sums_to_one() -> None:
    torch.manual_seed(0)
    scores, emotion = torch.randn(5, 4, 3) * 9, torch.rand(5, 4, 6, 3).softmax(-1)
    kept = torch.rand(5, 4, 6) < 0.3
    found = temporal_emotion_distribution(scores, emotion, torch.rand(5, 4, 6), kept, 0.5, 1.0)
    torch.testing.assert_close(found.sum(dim=(1, 2)), torch.ones(5))
    assert (found >= 0).all()
