"""The losses against numbers worked out by hand."""

from __future__ import annotations

import math

import pytest
import torch

from core.losses import polarity_consistent_cross_entropy

POLARITY = torch.tensor([-1, 1, 0])  # a negative, a positive and a neutral class


def test_uniform_scores_cost_the_logarithm_of_the_classes() -> None:
    # all scores equal: argmax takes class 0 (negative); the label 0 agrees in sentiment
    loss = polarity_consistent_cross_entropy(torch.zeros(1, 3), torch.tensor([0]), POLARITY, penalty=0.5)
    assert loss.item() == pytest.approx(math.log(3))


def test_opposite_sentiment_costs_more() -> None:
    scores = torch.tensor([[math.log(6), math.log(3), 0.0]])  # probabilities 0.6 0.3 0.1, predicted negative
    loss = polarity_consistent_cross_entropy(scores, torch.tensor([1]), POLARITY, penalty=0.5)
    assert loss.item() == pytest.approx(1.5 * -math.log(0.3))


def test_neutral_is_opposite_to_none() -> None:
    scores = torch.tensor([[math.log(6), math.log(3), 0.0]])
    loss = polarity_consistent_cross_entropy(scores, torch.tensor([2]), POLARITY, penalty=0.5)
    assert loss.item() == pytest.approx(-math.log(0.1))


def test_it_is_a_mean_over_videos() -> None:
    scores = torch.tensor([[math.log(6), math.log(3), 0.0]]).repeat(2, 1)
    loss = polarity_consistent_cross_entropy(scores, torch.tensor([1, 2]), POLARITY, penalty=0.5)
    assert loss.item() == pytest.approx((1.5 * -math.log(0.3) - math.log(0.1)) / 2)


def test_without_penalty_it_is_cross_entropy() -> None:
    scores, labels = torch.randn(20, 3), torch.randint(0, 3, (20,))
    torch.testing.assert_close(
        polarity_consistent_cross_entropy(scores, labels, POLARITY, penalty=0.0),
        torch.nn.functional.cross_entropy(scores, labels),
    )


def test_gradient() -> None:
    scores = torch.randn(5, 3, dtype=torch.float64, requires_grad=True)
    labels = torch.tensor([0, 1, 2, 1, 0])
    assert torch.autograd.gradcheck(lambda s: polarity_consistent_cross_entropy(s, labels, POLARITY, 0.5), scores)


def test_finite_for_extreme_scores_in_bf16() -> None:
    scores = torch.tensor([[1e4, -1e4, 0.0]], dtype=torch.bfloat16)
    loss = polarity_consistent_cross_entropy(scores, torch.tensor([1]), POLARITY, penalty=0.5)
    assert loss.dtype == torch.float32 and loss.isfinite()
