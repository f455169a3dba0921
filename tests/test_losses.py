"""The losses against numbers worked out by hand."""

from __future__ import annotations

import math

import pytest
import torch

from core.losses import (
    complementary_contrast,
    patch_recovery,
    polarity_consistent_cross_entropy,
    temporal_distribution_kl,
)

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


def kl(target: list, scores: list) -> list[float]:
    return [part.item() for part in temporal_distribution_kl(torch.tensor([target]), torch.tensor([scores]))]


def test_divergence_by_hand() -> None:
    # over time (1/2, 1/2) against (1/4, 3/4); within segment 1 certain against a coin, within segment 2 equal
    scores = [[0.0, 0.0], [math.log(3), math.log(3)]]
    degree = 0.5 * math.log(2) + 0.5 * math.log(2 / 3)
    emotion = 0.5 * math.log(2)
    assert kl([[0.5, 0.0], [0.25, 0.25]], scores) == pytest.approx([degree + emotion, degree, emotion], rel=1e-5)


def test_divergence_of_one_segment_and_of_one_emotion() -> None:
    assert kl([[0.5, 0.5]], [[math.log(3), 0.0]]) == pytest.approx(
        [0.5 * math.log(2 / 3) + 0.5 * math.log(2), 0.0, 0.5 * math.log(4 / 3)], abs=1e-6
    )
    total, degree, emotion = kl([[0.5], [0.5]], [[math.log(3)], [0.0]])
    assert degree == pytest.approx(0.5 * math.log(4 / 3)) == total and emotion == pytest.approx(0.0, abs=1e-7)


@pytest.mark.parametrize("seed", range(3))
def test_equal_distributions_do_not_diverge_and_parts_add_up(seed: int) -> None:
    torch.manual_seed(seed)
    scores = torch.randn(4, 6, 3) * 5
    target = scores.double().flatten(1).softmax(dim=1).reshape(scores.shape)
    assert all(abs(part.item()) < 1e-12 for part in temporal_distribution_kl(target, scores))
    total, degree, emotion = temporal_distribution_kl(target, torch.randn(4, 6, 3))
    assert abs(total - degree - emotion) < 1e-6 and degree > 0 and emotion > 0


def test_divergence_is_finite_for_extreme_scores_in_bf16() -> None:
    scores = torch.full((1, 4, 4), -1e4, dtype=torch.bfloat16)
    scores[0, 0, 0] = 1e4
    assert all(part.isfinite() for part in temporal_distribution_kl(torch.full((1, 4, 4), 1 / 16), scores))


def test_divergence_gradient() -> None:
    target = torch.rand(2, 3, 4, dtype=torch.float64).flatten(1).softmax(1).reshape(2, 3, 4)
    target[:, 0] = 0  # a segment without emotion
    target = target / target.sum(dim=(1, 2), keepdim=True)
    scores = torch.randn(2, 3, 4, dtype=torch.float64, requires_grad=True)
    assert torch.autograd.gradcheck(lambda s: temporal_distribution_kl(target, s), scores)


UP, RIGHT = [0.0, 1.0], [1.0, 0.0]


def contrast(anchor: list, words: list, other: list, valid: list, temperature: float = 1.0) -> float:
    vectors = (torch.tensor([x]) for x in (anchor, words, other))
    return complementary_contrast(*vectors, torch.tensor([valid]), temperature).item()


def test_contrast_by_hand() -> None:
    # two segments of one word; anchors on their words, the other modality's vectors of the other segment orthogonal
    loss = contrast([[UP], [RIGHT]], [[UP], [RIGHT]], [[UP], [RIGHT]], [[True], [True]])
    assert loss == pytest.approx(-math.log(math.e / (math.e + 1)))


def test_contrast_pushes_from_other_segments_only() -> None:
    # the other modality of the same segment equals the anchor and does not count; that of the other segment does
    same = contrast([[UP], [UP]], [[UP], [UP]], [[UP], [UP]], [[True], [True]])
    assert same == pytest.approx(math.log(2))
    alone = contrast([[UP, RIGHT]], [[UP, RIGHT]], [[RIGHT, UP]], [[True, True]])
    assert alone == pytest.approx(0.0), "one segment has nothing to be pushed from"


def test_contrast_ignores_words_that_did_not_pass() -> None:
    one = contrast([[UP], [RIGHT]], [[UP], [RIGHT]], [[UP], [RIGHT]], [[True], [False]])
    assert one == pytest.approx(0.0), "the only other word is no negative"
    assert contrast([[UP], [RIGHT]], [[UP], [RIGHT]], [[UP], [RIGHT]], [[False], [False]]) == 0.0


def test_contrast_temperature_and_mean_over_words() -> None:
    # segment 1: positive 1, negative 0; segment 2: positive 0, negative 1; temperature 1/2 doubles both
    loss = contrast([[UP], [UP]], [[UP], [RIGHT]], [[UP], [RIGHT]], [[True], [True]], temperature=0.5)
    expected = (math.log(1 + math.exp(-2)) + math.log(1 + math.exp(2))) / 2
    assert loss == pytest.approx(expected)


def test_contrast_trained_alone_draws_pairs_together() -> None:
    torch.manual_seed(0)
    words = torch.nn.functional.normalize(torch.randn(2, 3, 2, 8), dim=-1)
    free = torch.randn(2, 3, 2, 8, requires_grad=True)
    other = torch.nn.functional.normalize(torch.randn(2, 3, 2, 8), dim=-1)
    optimizer = torch.optim.Adam([free], lr=0.05)
    before = torch.cosine_similarity(free, words, dim=-1).mean()
    for _ in range(100):
        loss = complementary_contrast(
            torch.nn.functional.normalize(free, dim=-1), words, other, torch.ones(2, 3, 2, dtype=torch.bool), 0.1
        )
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    assert torch.cosine_similarity(free, words, dim=-1).mean() > before + 0.5


def test_contrast_gradient() -> None:
    anchor, words, other = (torch.randn(2, 3, 2, 4, dtype=torch.float64, requires_grad=True) for _ in range(3))
    valid = torch.tensor([[[True, False], [True, True], [False, False]], [[False, False]] * 3])
    assert torch.autograd.gradcheck(lambda a, w, o: complementary_contrast(a, w, o, valid, 0.5), (anchor, words, other))


def test_patch_recovery_by_hand() -> None:
    patches = torch.tensor([[[1.0, 3.0], [5.0, 5.0]]])
    # (1, 3) has mean 2 and deviation sqrt 2: normalised (-.7071, .7071); an even patch is (0, 0)
    recovered = torch.zeros(1, 2, 2)
    first, second = torch.tensor([[True, False]]), torch.tensor([[False, True]])
    assert patch_recovery(recovered, patches, first).item() == pytest.approx(0.5, rel=1e-4)
    assert patch_recovery(recovered + 1, patches, second).item() == pytest.approx(1.0)
    assert patch_recovery(recovered, patches, first & second).item() == 0.0


def test_patch_recovery_gradient() -> None:
    recovered = torch.randn(2, 3, 4, dtype=torch.float64, requires_grad=True)
    patches, masked = torch.randn(2, 3, 4, dtype=torch.float64), torch.tensor([[True, False, True]] * 2)
    assert torch.autograd.gradcheck(lambda r: patch_recovery(r, patches, masked), recovered)
