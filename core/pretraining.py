"""One step of MART's pre-training: the teacher verifies words and sets the target, the student recovers what is hidden.

The EMA teacher sees the whole video, without gradient. Its temporal scores (Eq. 3) verify the cues and give the target
distribution Q; its attention chooses what to mask. One pass of the student over the visible patches gives every loss.
"""

from __future__ import annotations

import math
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
from models.mbt import MBT, SegmentTokens, of_segments, segments_of


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
    streams: tuple[str, ...] = ("visual", "audio")  # of the model
    modality_dropout: float = 0.0  # share of the videos of which the student sees only some streams
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


@torch.no_grad()
def teach(teacher: MART, batch: VideoBatch, settings: PretrainSettings, progress: float) -> Teaching:
    """Temporal scores, verified cues and target of a batch at `progress` 0..1 of the pre-training.

    The label is mixed into the teacher's belief about the video, with a share that goes from 1 to `label_share`.
    """
    present = batch.present()
    tokens = teacher.mbt.encode(segments_of(batch.media()), of_segments(present, batch.blocks.shape[1]))
    output = teacher.mbt.score(tokens, len(batch), present)
    belief = output.video_scores.softmax(dim=-1)
    prior = 0.0 if settings.unlabelled else 1 - (1 - settings.label_share) * progress
    if prior > 0:
        belief = (1 - prior) * belief + prior * torch.eye(belief.shape[1], device=belief.device)[batch.labels]
    scores = content_scores(output.segment_scores, belief)
    verified = passing(scores, batch, settings, settings.verify)
    target = temporal_emotion_distribution(
        scores, batch.cue_emotion, batch.cue_degree, verified, settings.mix, settings.teacher_temperature
    )
    return Teaching(scores, verified, target, tokens)


def read_words(teacher: MART, batch: VideoBatch) -> Tensor:
    """Features (B, S, K, W) of the cues' words."""
    return teacher.word_features(batch.token_ids, batch.token_mask, batch.cue_pieces, batch.keys)


def passing(scores: Tensor, batch: VideoBatch, settings: PretrainSettings, stage: str) -> Tensor:
    """Cues, bool (B, S, K), that pass verification up to `stage` against temporal scores (B, S, C)."""
    return verify_cues(
        scores, batch.cue_sentiment, batch.cue_emotion, batch.cue_degree, batch.cue_valid, settings.polarity,
        settings.threshold, stage,
    )  # fmt: skip


@torch.no_grad()
def choose_masks(
    teacher: MART, taught: Teaching, words: Tensor, settings: PretrainSettings, ratio: float
) -> Masks | None:
    """Masks of the N = B*S segments of a batch with the cues' `words` (B, S, K, W); None where nothing is masked."""
    if settings.masking == "none":
        return None
    attention = {}  # to the patches, where it decides
    if settings.masking in ("emotion", "attention"):
        attention = teacher.mbt.class_attention(taught.tokens)
    if settings.masking == "emotion":
        by_words = teacher.attention_to_patches(taught.tokens, words, taught.verified)
        has_words = taught.verified.any(dim=-1).reshape(-1, 1)
        attention = {name: torch.where(has_words, by_words[name], own) for name, own in attention.items()}
    n_segments, device = taught.verified.shape[0] * taught.verified.shape[1], taught.verified.device
    hidden, visible = {}, {}
    for name in teacher.patched:
        grid = times_and_places(name, teacher.mbt.encoder(name).grid)
        reveal = 0
        if name in attention:
            reveal = round(settings.reveal * masked_count(ratio, attention[name].shape[1]))
            hidden[name] = emotion_oriented_mask(attention[name], ratio, reveal)
        elif settings.masking == "random":
            hidden[name] = random_mask(n_segments, math.prod(grid), ratio, device)
        else:  # the same places, or the same bands, at all times; whole moments
            draw = tube_mask if settings.masking == "tube" else frame_mask
            hidden[name] = draw(n_segments, grid, ratio, device)
            if name == "audio":  # the sound's patches run over time within a band
                hidden[name] = hidden[name].unflatten(1, grid).transpose(1, 2).flatten(1)
        visible[name] = visible_indices(hidden[name], count_hidden(settings.masking, grid, ratio, reveal))
    return Masks(hidden, visible)


def times_and_places(stream: str, grid: tuple[int, ...]) -> tuple[int, int]:
    """Instants of a grid of patches, (time, height, width) or (frequency, time), and patches at each of them."""
    return (grid[0], grid[1] * grid[2]) if stream == "visual" else (grid[1], grid[0])


def pretrain_losses(
    student: MART, teacher: MART, batch: VideoBatch, settings: PretrainSettings, progress: float
) -> dict[str, Tensor]:
    """All losses of a batch and their weighted sum `loss`, with what a researcher watches: shares of cues and masks."""
    taught = teach(teacher, batch, settings, progress)
    ratio = settings.ratio(progress)
    words = read_words(teacher, batch)
    masks = choose_masks(teacher, taught, words, settings, ratio)
    output = student(batch.media(), words, masks and masks.visible, student_present(batch, settings))
    scores, vectors = output.scores, output.words
    zero = scores.video_scores.new_zeros(())

    classification = zero
    if not settings.unlabelled:
        classification = classification_losses(scores, batch.labels, settings.polarity, settings.lambda_0)["loss"]
    contrast = zero
    for name in student.patched:  # against the other stream, or where there is none against the same one
        other = next((other for other in student.patched if other != name), name)
        contrast = contrast + complementary_contrast(
            vectors.gathered[name], vectors.words, vectors.gathered[other], taught.verified,
            settings.contrast_temperature,
        )  # fmt: skip
    distribution, degree, emotion = temporal_distribution_kl(taught.target, scores.segment_scores)
    patches = zero
    if masks is not None:
        wanted = student.patch_targets(batch.media())
        patches = sum(patch_recovery(output.recovered[name], wanted[name], masks.hidden[name]) for name in wanted)
    parts = (classification, contrast, distribution if settings.distribution else zero, patches)
    total = sum(weight * part for weight, part in zip(settings.weights, parts, strict=True))
    masked = 0.0 if masks is None else masks.hidden[student.patched[0]].float().mean()
    watched = {"mask_ratio": zero + masked}
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
    scores = mbt(batch.media(), student_present(batch, settings))
    losses = classification_losses(scores, batch.labels, settings.polarity, settings.lambda_0)
    if weight:
        target = teach(teacher, batch, settings, progress=1.0).target
        losses["distribution"] = temporal_distribution_kl(target, scores.segment_scores)[0]
        losses["loss"] = losses["loss"] + weight * losses["distribution"]
    return losses


def student_present(batch: VideoBatch, settings: PretrainSettings) -> dict[str, Tensor]:
    """What the student has of each video: of `modality_dropout` of them each stream with chance 1/2, one at least."""
    present = batch.present()
    if not settings.modality_dropout:
        return present
    names = [name for name in present if name in settings.streams]
    has = torch.stack([present[name] for name in names])  # (streams, B)
    draw = torch.rand(has.shape, device=has.device).masked_fill(~has, -1.0)
    stays = draw >= draw.amax(dim=0).clamp_max(0.5)
    whole = torch.rand(has.shape[1], device=has.device) >= settings.modality_dropout
    return present | dict(zip(names, has & (stays | whole), strict=True))


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
