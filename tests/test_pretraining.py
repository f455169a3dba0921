"""Pre-training on noise: every switch does what it says, nothing masked is seen, every parameter is trained."""

from __future__ import annotations

from copy import deepcopy
from dataclasses import replace

import pytest
import torch

from core.pretraining import PretrainSettings, choose_masks, finetune_losses, pretrain_losses, read_words, teach
from datasets.benchmarks import BENCHMARKS
from models.build import PretrainingSizes, add_pretraining, build_model
from models.mart import MART
from models.masking import visible_indices
from tests import tiny
from tests.test_text import tiny_encoder

POLARITY = torch.tensor(BENCHMARKS["ve8"].polarity)
SETTINGS = PretrainSettings(polarity=POLARITY)
SIZES = PretrainingSizes(common_dim=16, decoder_dim=16, decoder_depth=1, decoder_heads=2)


def new_model(**changes: str) -> MART:
    torch.manual_seed(0)
    return add_pretraining(build_model(tiny.SIZES), tiny_encoder(), replace(SIZES, **changes))


@pytest.fixture
def model() -> MART:
    return new_model()


def test_every_trainable_parameter_receives_gradient(model: MART) -> None:
    batch = tiny.batch(4)
    losses = pretrain_losses(model, deepcopy(model), batch, replace(SETTINGS, verify="none"), progress=0.5)
    losses["loss"].backward()
    without = [n for n, p in model.named_parameters() if p.requires_grad and (p.grad is None or not p.grad.any())]
    assert without == []


def test_all_parts_are_finite_and_the_loss_is_their_weighted_sum(model: MART) -> None:
    losses = pretrain_losses(model, deepcopy(model), tiny.batch(4), SETTINGS, progress=0.2)
    assert all(value.isfinite() for value in losses.values())
    total = losses["classification"] + losses["contrast"] + losses["distribution"] + 0.05 * losses["patches"]
    torch.testing.assert_close(losses["loss"], total)
    torch.testing.assert_close(losses["distribution"], losses["distribution_degree"] + losses["distribution_emotion"])


@pytest.mark.parametrize("part", range(4))
def test_each_weight_weighs_its_loss(model: MART, part: int) -> None:
    weights = tuple(float(i == part) for i in range(4))
    losses = pretrain_losses(
        model, deepcopy(model), tiny.batch(4), replace(SETTINGS, verify="none", weights=weights), progress=0.5
    )
    name = ("classification", "contrast", "distribution", "patches")[part]
    torch.testing.assert_close(losses["loss"], losses[name])
    assert losses[name] > 0


@pytest.mark.parametrize("part", ["classification", "distribution", "patches"])
def test_each_loss_alone_is_learnt_on_one_batch(model: MART, part: str) -> None:
    batch, teacher = tiny.batch(4), deepcopy(model)
    weights = tuple(float(name == part) for name in ("classification", "contrast", "distribution", "patches"))
    settings = replace(SETTINGS, verify="none", masking="attention", weights=weights)
    optimizer = torch.optim.AdamW([p for p in model.parameters() if p.requires_grad], lr=3e-3)
    history = []
    for _ in range(60):
        loss = pretrain_losses(model, teacher, batch, settings, progress=0.5)["loss"]
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        history.append(loss.item())
    assert history[-1] < 0.7 * history[0]


def test_masked_patches_are_not_seen(model: MART) -> None:
    """What is masked before the encoder cannot leak: changing those pixels changes nothing but the target."""
    batch = tiny.batch(1)
    mask_visual = torch.zeros(2, model.mbt.visual.num_patches, dtype=torch.bool)
    mask_visual[:, 0] = True  # the first tubelet: frames 0, 1, rows and columns 0 to 15
    mask_audio = torch.zeros(2, model.mbt.audio.num_patches, dtype=torch.bool)
    words = model.word_features(batch.token_ids, batch.token_mask, batch.cue_pieces)
    changed = batch.frames.clone()
    changed[..., 0:2, 0:16, 0:16] = 255 - changed[..., 0:2, 0:16, 0:16]
    visible = {"visual": visible_indices(mask_visual, 1), "audio": visible_indices(mask_audio, 0)}
    media = [{"visual": (frames,), "audio": (batch.fbank,)} for frames in (batch.frames, changed)]
    hidden, seen = (model.eval()(each, words, visible) for each in media)
    torch.testing.assert_close(hidden.scores.segment_scores, seen.scores.segment_scores, rtol=0, atol=0)
    torch.testing.assert_close(hidden.recovered["visual"], seen.recovered["visual"], rtol=0, atol=0)
    whole = (model(each, words, None).scores.segment_scores for each in media)
    assert not torch.allclose(*whole, atol=1e-5)


def test_masking_at_the_decoder_encodes_everything() -> None:
    model, batch = new_model(mask_at="decoder").eval(), tiny.batch(1)
    words = read_words(model, batch)
    masks = choose_masks(model, teach(model, batch, SETTINGS, 0.5), words, replace(SETTINGS, masking="random"), 0.5)
    hidden, whole = (model(batch.media(), words, visible) for visible in (masks.visible, None))
    torch.testing.assert_close(hidden.scores.segment_scores, whole.scores.segment_scores)
    assert hidden.recovered["visual"].shape == (2, model.mbt.visual.num_patches, 3 * 2 * 16 * 16)


@pytest.mark.parametrize("masking", ["emotion", "attention", "random", "tube", "frame"])
def test_each_masking_hides_the_ratio(model: MART, masking: str) -> None:
    chosen = replace(SETTINGS, masking=masking, verify="none")
    batch = tiny.batch(2)
    masks = choose_masks(model, teach(model, batch, chosen, 0.5), read_words(model, batch), chosen, ratio=0.5)
    for name, mask in masks.hidden.items():
        part = model.mbt.encoder(name)
        assert mask.shape == (4, part.num_patches)
        assert mask.float().mean(dim=1).tolist() == pytest.approx([0.5] * 4, abs=1 / min(part.grid))
        visible = masks.visible[name]
        assert not mask.gather(1, visible).any() and mask[0].sum() + visible.shape[1] == mask.shape[1]
    times = masks.hidden["visual"].unflatten(1, (model.mbt.visual.grid[0], -1))
    moments = masks.hidden["audio"].unflatten(1, model.mbt.audio.grid)
    assert (masking == "tube") == bool((times == times[:, :1]).all() and (moments == moments[:, :, :1]).all())
    assert (masking == "frame") == bool((times == times[:, :, :1]).all() and (moments == moments[:, :1]).all())


def test_no_masking_recovers_nothing(model: MART) -> None:
    losses = pretrain_losses(model, deepcopy(model), tiny.batch(2), replace(SETTINGS, masking="none"), 0.5)
    assert losses["patches"] == 0 and losses["mask_ratio"] == 0 and losses["distribution"] > 0


def test_words_decide_the_emotion_mask_where_they_passed(model: MART) -> None:
    batch = tiny.batch(2)
    taught, words = teach(model, batch, replace(SETTINGS, verify="none"), 0.5), read_words(model, batch)
    taught.verified[0, 0] = False  # segment 0 has no verified word and falls back to the class token
    settings = (replace(SETTINGS, masking=masking) for masking in ("emotion", "attention"))
    by_words, own = (choose_masks(model, taught, words, chosen, 0.5).hidden for chosen in settings)
    assert all(torch.equal(by_words[name][0], own[name][0]) for name in ("visual", "audio"))
    has_words = taught.verified.flatten(0, 1).any(dim=1)
    assert has_words.any() and not torch.equal(by_words["audio"][has_words], own["audio"][has_words])


@pytest.mark.parametrize(("target", "values"), [("distribution", 256), ("pixel", 256), ("hog", 36)])
def test_each_target_recovers_what_it_says(target: str, values: int) -> None:
    model = new_model(target=target)
    settings = replace(SETTINGS, distribution=target == "distribution", weights=(0.0, 0.0, 1.0, 0.0))
    losses = pretrain_losses(model, deepcopy(model), tiny.batch(2), settings, 0.5)
    assert (losses["loss"] > 0) == (target == "distribution")
    assert model.patch_targets(tiny.batch(1).media())["audio"].shape[-1] == values


def test_the_label_is_believed_at_first_and_not_without_labels(model: MART) -> None:
    batch = tiny.batch(4)
    certain = teach(model, batch, SETTINGS, progress=0.0).scores
    others = certain.clone()
    others[torch.arange(4), :, batch.labels] = 0
    assert others.abs().max() < 1e-6, "at first the label is the only emotion of the video"
    alone = teach(model, batch, replace(SETTINGS, label_share=0.0), progress=1.0).scores
    torch.testing.assert_close(alone, teach(model, batch, replace(SETTINGS, unlabelled=True), progress=0.0).scores)
    losses = pretrain_losses(model, deepcopy(model), batch, replace(SETTINGS, unlabelled=True), 0.0)
    assert losses["classification"] == 0 and losses["distribution"] > 0


def test_the_mask_grows() -> None:
    assert [SETTINGS.ratio(progress) for progress in (0, 0.5, 1)] == pytest.approx([0.1, 0.3, 0.5])


def test_fine_tuning_keeps_the_distribution_when_asked(model: MART) -> None:
    batch = tiny.batch(2)
    plain = finetune_losses(model, model, batch, SETTINGS, weight=0.0)
    kept = finetune_losses(model, model, batch, SETTINGS, weight=2.0)
    torch.testing.assert_close(kept["loss"], plain["loss"] + 2 * kept["distribution"])
    torch.testing.assert_close(plain["loss"], plain["visual"] + plain["audio"])
    baseline = finetune_losses(model.mbt, model.mbt, batch, SETTINGS, weight=0.0)
    torch.testing.assert_close(baseline["loss"], plain["loss"])


def test_a_common_shift_of_all_scores_teaches_the_same(model: MART) -> None:
    """No loss fixes the zero of the scores, so nothing may depend on it."""
    batch = tiny.batch(3)
    before = teach(model, batch, SETTINGS, 0.5)
    with torch.no_grad():
        model.mbt.visual_head.bias += 5
    after = teach(model, batch, SETTINGS, 0.5)
    torch.testing.assert_close(after.scores, before.scores, atol=1e-5, rtol=1e-4)
    torch.testing.assert_close(after.target, before.target, atol=1e-5, rtol=1e-4)
    assert (before.scores >= 0).all()


def test_the_share_of_the_label_falls_to_what_is_asked(model: MART) -> None:
    batch = tiny.batch(4)
    at_end, in_between = (
        teach(model, batch, replace(SETTINGS, label_share=share), progress).scores
        for share, progress in ((0.6, 1.0), (0.2, 0.5))
    )
    torch.testing.assert_close(at_end, in_between)  # 1 - 0.4 = 1 - 0.8 / 2
    assert not torch.allclose(at_end, teach(model, batch, SETTINGS, 1.0).scores)


def test_a_frozen_text_encoder_reads_a_video_once(model: MART, monkeypatch: pytest.MonkeyPatch) -> None:
    batch, read = tiny.batch(3), []
    forward = type(model.text).forward
    monkeypatch.setattr(type(model.text), "forward", lambda self, *args: read.append(1) or forward(self, *args))
    text = batch.token_ids, batch.token_mask, batch.cue_pieces
    plain = model.word_features(*text)
    first, second = model.word_features(*text, batch.keys), model.word_features(*text, batch.keys)
    assert len(read) == 2 and torch.equal(first, second)
    torch.testing.assert_close(first, plain, atol=2e-3, rtol=2e-3)
    other = tiny.batch(2, seed=1)
    mixed = model.word_features(
        *(
            torch.cat([a[:1], b])
            for a, b in zip(text, (other.token_ids, other.token_mask, other.cue_pieces), strict=True)
        ),
        batch.keys[:1] + other.keys,
    )
    assert len(read) == 3 and torch.equal(mixed[0], first[0])
    model.text.frozen = False
    model.word_features(*text, batch.keys)
    assert len(read) == 4, "an encoder that learns is asked every time"
