"""One to three streams: each alone, all together, and what of them a video lacks."""

from __future__ import annotations

import itertools
from copy import deepcopy
from dataclasses import replace

import pytest
import torch
from torch import Tensor

from core.losses import classification_losses
from core.pretraining import finetune_losses, pretrain_losses, student_present
from datasets.video_batch import MODALITIES, VideoBatch
from models.build import add_pretraining, build_model
from models.mart import MART
from models.mbt import MBT, STREAMS, mean_of_present, sum_of_present
from models.text import TextEncoder
from tests import tiny
from tests.test_pretraining import POLARITY, SETTINGS, SIZES
from tests.test_text import tiny_encoder

SUBSETS = ["".join(letters) for n in (1, 2, 3) for letters in itertools.combinations("avt", n)]


def new_model(modalities: str) -> MART:
    torch.manual_seed(0)
    text = tiny_encoder()
    return add_pretraining(build_model(replace(tiny.SIZES, modalities=modalities), text), text, SIZES)


def names_of(letters: str) -> list[str]:
    return [name for name in STREAMS if name[0] in letters]


def words_batch(n_videos: int, seed: int = 0) -> VideoBatch:
    """Noise with words of two to eight pieces."""
    batch = tiny.batch(n_videos, seed)
    generator = torch.Generator().manual_seed(seed)
    length = torch.randint(2, 9, (n_videos, 2, 1), generator=generator)
    mask = torch.arange(8) < length
    ids = torch.randint(1, 50, mask.shape, generator=generator) * mask
    return replace(batch, token_ids=ids, token_mask=mask)


def part_of(batch: VideoBatch, video: int, letters: str) -> dict[str, tuple[Tensor, ...]]:
    """Media of one video, as if nobody had ever heard of the others' streams."""
    media = batch.media()
    return {name: tuple(each[video : video + 1] for each in media[name]) for name in names_of(letters)}


def test_models_and_data_mean_the_same_streams() -> None:
    assert STREAMS == MODALITIES


def test_sums_and_means_by_hand() -> None:
    parts = {"visual": torch.tensor([[1.0], [2.0], [3.0]]), "audio": torch.tensor([[10.0], [20.0], [30.0]])}
    has = {"visual": torch.tensor([True, False, True]), "audio": torch.tensor([True, True, False])}
    assert sum_of_present(parts, has).flatten().tolist() == [11, 20, 3]
    assert mean_of_present(parts, has).flatten().tolist() == [5.5, 20, 3]
    assert mean_of_present(parts, None).flatten().tolist() == [5.5, 11, 16.5]


def test_each_video_is_scored_by_what_it_has() -> None:
    """Seven videos in one batch, each with another subset, against a batch of each alone with no other streams."""
    model, batch = new_model("avt").mbt.eval(), words_batch(7)
    given = torch.tensor([[name in names_of(letters) for name in MODALITIES] for letters in SUBSETS])
    together = model(batch.media(), replace(batch, given=given).present())
    for video, letters in enumerate(SUBSETS):
        alone = model(part_of(batch, video, letters))
        torch.testing.assert_close(together.video_scores[video : video + 1], alone.video_scores, rtol=1e-4, atol=1e-5)
        torch.testing.assert_close(
            together.segment_scores[video : video + 1], alone.segment_scores, rtol=1e-4, atol=1e-5
        )
    assert len({tuple(scores) for scores in together.video_scores.tolist()}) == 7


def test_padding_of_the_text_changes_nothing() -> None:
    model, batch = new_model("avt").mbt.eval(), words_batch(2)
    other = torch.where(batch.token_mask, batch.token_ids, 7)
    first, second = (model(replace(batch, token_ids=ids).media()).video_scores for ids in (batch.token_ids, other))
    torch.testing.assert_close(first, second, rtol=1e-4, atol=1e-6)
    seen = torch.where(batch.token_mask, 7, batch.token_ids)
    assert not torch.allclose(first, model(replace(batch, token_ids=seen).media()).video_scores, atol=1e-5)


def test_words_reach_the_picture_through_the_bottleneck() -> None:
    model, batch = new_model("vt").mbt.eval(), words_batch(1)
    other = replace(batch, token_ids=batch.token_ids.flip(1))
    one, two = (model(each.media()).features["visual"] for each in (batch, other))
    assert not torch.allclose(one, two, atol=1e-6)


def test_what_a_video_lacks_adds_nothing_to_the_loss_of_its_head() -> None:
    model, batch = new_model("avt").mbt.eval(), words_batch(2)
    given = torch.tensor([[True, True, True], [True, False, True]])
    both = classification_losses(model(batch.media(), replace(batch, given=given).present()), batch.labels, POLARITY, 0)
    first = classification_losses(model(part_of(batch, 0, "avt")), batch.labels[:1], POLARITY, 0)
    second = classification_losses(model(part_of(batch, 1, "vt")), batch.labels[1:], POLARITY, 0)
    for name in STREAMS:
        torch.testing.assert_close(both[name], (first[name] + second.get(name, 0.0)) / 2, rtol=1e-4, atol=1e-5)
    torch.testing.assert_close(both["loss"], sum(both[name] for name in STREAMS))


@pytest.mark.parametrize("modalities", SUBSETS)
def test_every_parameter_of_every_combination_is_trained(modalities: str) -> None:
    model, batch = new_model(modalities), words_batch(4)
    masking = "none" if modalities == "t" else "emotion"
    settings = replace(SETTINGS, verify="none", masking=masking, streams=tuple(names_of(modalities)))
    losses = pretrain_losses(model, deepcopy(model), batch, settings, progress=0.5)
    losses["loss"].backward()
    assert all(value.isfinite() for value in losses.values())
    assert (losses["contrast"] > 0) == (modalities != "t") and losses["distribution"] > 0
    without = [n for n, p in model.named_parameters() if p.requires_grad and (p.grad is None or not p.grad.any())]
    assert without == []
    model.zero_grad()
    model.end_pretraining()
    assert any(isinstance(module, TextEncoder) for module in model.modules()) == ("t" in modalities)
    finetune_losses(model, model, batch, settings, weight=1.0)["loss"].backward()
    without = [n for n, p in model.named_parameters() if p.requires_grad and (p.grad is None or not p.grad.any())]
    assert without == []


def test_dropout_leaves_some_of_what_there_is() -> None:
    batch = tiny.batch(1600)
    given = torch.tensor([[True, True, True], [True, True, False], [True, False, False], [False, True, True]])
    batch = replace(batch, given=given.repeat(400, 1))
    settings = replace(SETTINGS, streams=STREAMS, modality_dropout=1.0)
    torch.manual_seed(0)
    left = torch.stack(list(student_present(batch, settings).values()), dim=1)
    assert not (left & ~batch.given).any() and left.any(dim=1).all()
    kinds, counts = left[0::4].unique(dim=0, return_counts=True)
    assert len(kinds) == 7 and counts.min() > 30, "every subset of three comes up"
    # of three none, one, two or all are drawn with 1/8, 3/8, 3/8 and 1/8, where instead of none one stays: 13/8
    assert left[0::4].sum(dim=1).float().mean().item() == pytest.approx(1.625, abs=0.1)
    assert left[1::4].sum(dim=1).float().mean().item() == pytest.approx(1.25, abs=0.08)
    half = torch.stack(list(student_present(batch, replace(settings, modality_dropout=0.5)).values()), dim=1)
    assert (half == batch.given)[1::4].all(dim=1).float().mean().item() == pytest.approx(0.5 + 0.5 * 0.25, abs=0.08)
    untouched = student_present(batch, replace(settings, modality_dropout=0.0))
    assert all(torch.equal(untouched[name], batch.present()[name]) for name in STREAMS)


def labelled_batch(n_videos: int, seed: int) -> VideoBatch:
    """Each stream shows the class by itself: a colour, a loudness, a word."""
    batch = words_batch(n_videos, seed)
    generator = torch.Generator().manual_seed(seed)
    labels = torch.randint(0, 4, (n_videos,), generator=generator)
    colours = labels[:, None] // torch.tensor([1, 2, 1]) % 2  # (B, 3), each channel dark or bright
    frames = batch.frames // 4 + (180 * colours).to(torch.uint8)[:, None, :, None, None, None]
    fbank = batch.fbank / 4 + 8.0 * labels[:, None, None, None] - 28.0
    ids = batch.token_ids.clone()
    ids[:, :, 1] = 10 + labels[:, None]
    return replace(batch, frames=frames, fbank=fbank, token_ids=ids, labels=labels)


def accuracy(model: MBT, batch: VideoBatch, letters: str) -> float:
    media = {name: each for name, each in batch.media().items() if name in names_of(letters)}
    with torch.no_grad():
        return (model(media).video_scores.argmax(dim=1) == batch.labels).float().mean().item()


def test_three_streams_do_without_any_two_of_them() -> None:
    """Trained with dropout of modalities on classes that each stream shows, no subset loses more than 0.1."""
    model, test = new_model("avt").mbt, labelled_batch(64, seed=1000)
    settings = replace(SETTINGS, streams=STREAMS, modality_dropout=0.5)
    optimizer = torch.optim.AdamW([p for p in model.parameters() if p.requires_grad], lr=3e-3)
    decay = torch.optim.lr_scheduler.LinearLR(optimizer, 1.0, 0.0, total_iters=120)
    for step in range(120):
        loss = finetune_losses(model.train(), model, labelled_batch(16, seed=step), settings, weight=0.0)["loss"]
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        decay.step()
    found = {letters: accuracy(model.eval(), test, letters) for letters in SUBSETS}
    assert found["avt"] >= 0.95, found
    assert min(found.values()) >= found["avt"] - 0.1, found
