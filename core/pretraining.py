"""One step of MART's pre-training: the teacher verifies words and sets the target, the student recovers what is hidden.

The EMA teacher sees the whole video, without gradient. Its temporal scores (Eq. 3) verify the cues and give the target
distribution Q; its attention chooses what to mask. One pass of the student over the visible patches gives every loss.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from core.losses import (
    classification_losses,
    complementary_contrast,
    patch_recovery,
    temporal_distribution_kl,
)
from core.verification import STAGES, content_scores, temporal_emotion_distribution, verify_cues
from datasets.video_batch import VideoBatch
from models.mart import MART
from models.masking import (
    Masks,
    count_hidden,
    emotion_oriented_mask,
    frame_mask,
    masked_count,
    random_mask,
    tube_mask,
    visible_indices,
)
from models.mbt import MBT, SegmentTokens


@dataclass(frozen=True)
class PretrainSettings:
    """What the pre-training does; defaults are the method's."""

    polarity: Tensor  # (C,) in {-1, 0, +1}
    lambda_0: float = 0.5
    verify: str = "degree"  # the last stage of verification
    threshold: float = 0.5  # of E3
    mix: float = 0.5  # share of the cues in the target
    label_share: float = 1.0  # of the label in what the teacher believes about a video, at the end; it begins at 1
    teacher_temperature: float = 2.0
    contrast_temperature: float = 0.1
    masking: str = "emotion"
    mask_ratio: tuple[float, float] = (0.1, 0.5)  # at the beginning and at the end
    reveal: float = 0.1  # most attended patches that stay as hints, share of the masked ones
    distribution: bool = True  # recover the temporal emotion distribution
    unlabelled: bool = False
    # of classification, contrast, distribution and patches
    weights: tuple[float, float, float, float] = (1.0, 1.0, 1.0, 0.05)

    def ratio(self, progress: float) -> float:
        """Share of masked patches at `progress` 0..1 of the pre-training."""
        low, high = self.mask_ratio
        return low + (high - low) * progress


@dataclass
class Teaching:
    """What the teacher says of a batch."""

    scores: Tensor  # temporal scores (B, S, C)
    verified: Tensor  # bool (B, S, K)
    target: Tensor  # Q (B, S, C)
    tokens: SegmentTokens
    words: Tensor  # (B, S, K, W)


@torch.no_grad()
def teach(teacher: MART, batch: VideoBatch, settings: PretrainSettings, progress: float) -> Teaching:
    """Temporal scores, verified cues and target of a batch at `progress` 0..1 of the pre-training.

    The label is mixed into the teacher's belief about the video, with a share that goes from 1 to `label_share`.
    """
    tokens = teacher.mbt.encode(batch.frames.flatten(0, 1), batch.fbank.flatten(0, 1))
    output = teacher.mbt.score(tokens, len(batch))
    belief = output.video_scores.softmax(dim=-1)
    prior = 0.0 if settings.unlabelled else 1 - (1 - settings.label_share) * progress
    if prior > 0:
        belief = (1 - prior) * belief + prior * torch.eye(belief.shape[1], device=belief.device)[batch.labels]
    scores = content_scores(output.segment_scores, belief)
    verified = passing(scores, batch, settings, settings.verify)
    target = temporal_emotion_distribution(
        scores, batch.cue_emotion, batch.cue_degree, verified, settings.mix, settings.teacher_temperature
    )
    words = teacher.word_features(batch.token_ids, batch.token_mask, batch.cue_pieces, batch.keys)
    return Teaching(scores, verified, target, tokens, words)


def passing(scores: Tensor, batch: VideoBatch, settings: PretrainSettings, stage: str) -> Tensor:
    """Cues, bool (B, S, K), that pass verification up to `stage` against temporal scores (B, S, C)."""
    return verify_cues(
        scores, batch.cue_sentiment, batch.cue_emotion, batch.cue_degree, batch.cue_valid, settings.polarity,
        settings.threshold, stage,
    )  # fmt: skip


@torch.no_grad()
def choose_masks(teacher: MART, taught: Teaching, settings: PretrainSettings, ratio: float) -> Masks | None:
    """Masks of the N = B*S segments of a batch; None where nothing is masked."""
    if settings.masking == "none":
        return None
    n_segments, device = len(taught.tokens.visual), taught.tokens.visual.device
    visual, audio = teacher.mbt.visual, teacher.mbt.audio
    # (times, places) of both grids; the sound's patches run over time within a frequency band
    bands, steps = audio.grid
    grids = (visual.grid[0], visual.grid[1] * visual.grid[2]), (steps, bands)
    reveals = [0, 0]
    if settings.masking == "random":
        hidden = tuple(random_mask(n_segments, part.num_patches, ratio, device) for part in (visual, audio))
    elif settings.masking in ("tube", "frame"):  # the same places, or the same bands, at all times; whole moments
        draw = tube_mask if settings.masking == "tube" else frame_mask
        seen, heard = (draw(n_segments, grid, ratio, device) for grid in grids)
        hidden = seen, heard.unflatten(1, (steps, bands)).transpose(1, 2).flatten(1)
    else:
        attention = teacher.mbt.class_attention(taught.tokens)
        if settings.masking == "emotion":
            by_words = teacher.attention_to_patches(taught.tokens, taught.words, taught.verified)
            has_words = taught.verified.any(dim=-1).reshape(-1, 1)
            attention = tuple(
                torch.where(has_words, words, own) for words, own in zip(by_words, attention, strict=True)
            )
        reveals = [round(settings.reveal * masked_count(ratio, scores.shape[1])) for scores in attention]
        hidden = tuple(
            emotion_oriented_mask(scores, ratio, reveal) for scores, reveal in zip(attention, reveals, strict=True)
        )
    counts = (count_hidden(settings.masking, grid, ratio, n) for grid, n in zip(grids, reveals, strict=True))
    return Masks(hidden, tuple(visible_indices(mask, n) for mask, n in zip(hidden, counts, strict=True)))


def pretrain_losses(
    student: MART, teacher: MART, batch: VideoBatch, settings: PretrainSettings, progress: float
) -> dict[str, Tensor]:
    """All losses of a batch and their weighted sum `loss`, with what a researcher watches: shares of cues and masks."""
    taught = teach(teacher, batch, settings, progress)
    ratio = settings.ratio(progress)
    masks = choose_masks(teacher, taught, settings, ratio)
    output = student(batch.frames, batch.fbank, taught.words, masks and masks.visible)
    scores, vectors = output.scores, output.words
    zero = scores.video_scores.new_zeros(())

    classification = zero
    if not settings.unlabelled:
        classification = classification_losses(scores, batch.labels, settings.polarity, settings.lambda_0)["loss"]
    contrast = sum(
        complementary_contrast(anchor, vectors.words, other, taught.verified, settings.contrast_temperature)
        for anchor, other in ((vectors.visual, vectors.audio), (vectors.audio, vectors.visual))
    )
    distribution, degree, emotion = temporal_distribution_kl(taught.target, scores.segment_scores)
    patches = zero
    if masks is not None:
        wanted = student.patch_targets(batch.frames, batch.fbank)
        patches = sum(
            patch_recovery(found, true, mask)
            for found, true, mask in zip(output.recovered, wanted, masks.hidden, strict=True)
        )
    parts = (classification, contrast, distribution if settings.distribution else zero, patches)
    total = sum(weight * part for weight, part in zip(settings.weights, parts, strict=True))
    watched = {"mask_ratio": zero + (0.0 if masks is None else masks.hidden[0].float().mean())}
    watched |= _watch(taught, batch, settings)
    return {
        "loss": total,
        "classification": classification,
        "contrast": contrast,
        "distribution": distribution,
        "distribution_degree": degree,
        "distribution_emotion": emotion,
        "patches": patches,
        **watched,
    }


def finetune_losses(
    student: MART | MBT, teacher: MART | MBT, batch: VideoBatch, settings: PretrainSettings, weight: float
) -> dict[str, Tensor]:
    """Classification on the whole video; with a `weight` also the KL of the temporal distribution, to keep it.

    The baseline, a bare MBT, has no words to make a target of, so that its `weight` is 0.
    """
    mbt = student.mbt if isinstance(student, MART) else student
    scores = mbt(batch.frames, batch.fbank)
    losses = classification_losses(scores, batch.labels, settings.polarity, settings.lambda_0)
    if weight:
        target = teach(teacher, batch, settings, progress=1.0).target
        losses["distribution"] = temporal_distribution_kl(target, scores.segment_scores)[0]
        losses["loss"] = losses["loss"] + weight * losses["distribution"]
    return losses


@torch.no_grad()
def _watch(taught: Teaching, batch: VideoBatch, settings: PretrainSettings) -> dict[str, Tensor]:
    n_cues = batch.cue_valid.sum().clamp_min(1)
    passed = {
        f"cues_passing_{stage}": passing(taught.scores, batch, settings, stage).sum() / n_cues for stage in STAGES[1:]
    }
    content = taught.scores.flatten(1).softmax(dim=1)
    return {
        "segments_with_cues": batch.cue_valid.any(dim=-1).float().mean(),
        **passed,
        "teacher_entropy": torch.special.entr(content).sum(dim=1).mean(),
    }
