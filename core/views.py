"""What pre-training does with single videos: where it masks, which words pass, what it aims at and what it recovers."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace

import torch
from torch import Tensor, nn

from core.evaluation import temporal_emotion_distribution_of
from core.pretraining import PretrainSettings, choose_masks, read_words, teach
from core.verification import STAGES, last_stage
from datasets.video_batch import VideoBatch
from models.mart import MART


@dataclass(frozen=True)
class VideoView:
    """Everything of one video that its picture shows, on the CPU: S segments, K cues per segment, C emotions."""

    key: tuple[str, str]  # (label, id)
    frames: Tensor  # uint8 (S, 3, H, W), the middle frame of every clip
    fbank: Tensor  # (S, F, 128) log-mel
    visual_mask: Tensor | None  # bool (S, h, w), patches masked at the middle frame's tubelet
    audio_mask: Tensor | None  # bool (S, bands, steps), low frequencies first
    words: list[list[str]]  # cues of each segment
    verified: Tensor  # bool (S, K)
    passed: list[list[str]]  # the last stage of verification, one of STAGES, that each of `words` passed
    cue_emotion: Tensor  # (S, K, C)
    target: Tensor  # Q (S, C)
    recovered: Tensor  # P (S, C), of the student's masked pass
    truth: Tensor  # (S, C) annotated distribution, zeros without
    blocks: Tensor  # (S, 2) start and end in seconds


def view_videos(
    student: MART, teacher: MART, batch: VideoBatch, settings: PretrainSettings, progress: float
) -> list[VideoView]:
    """What teacher and student make of a batch on their device at `progress` 0..1 of the pre-training.

    Both look in evaluation mode and leave no trace: their modes and torch's random generators are afterwards as before.
    """
    if not len(batch):
        return []
    with _untouched((student, teacher), batch.frames.device):
        unnamed = replace(batch, keys=[])  # the teacher keeps the words of videos that it knows by name
        taught = teach(teacher, unnamed, settings, progress)
        features = read_words(teacher, unnamed)
        masks = choose_masks(teacher, taught, features, settings, settings.ratio(progress))
        output = student(batch.media(), features, masks and masks.visible, batch.present())
        scores = output.scores.segment_scores
        last = last_stage(
            taught.scores, batch.cue_sentiment, batch.cue_emotion, batch.cue_degree, batch.cue_valid,
            settings.polarity, settings.threshold,
        ).tolist()  # fmt: skip
    recovered = temporal_emotion_distribution_of(scores.double()).float()
    (n_videos, n_segments), middle = batch.frames.shape[:2], batch.frames.shape[3] // 2
    visual_mask = audio_mask = [None] * n_videos
    hidden = {} if masks is None else masks.hidden
    if "visual" in hidden:
        visual = student.mbt.visual
        tubelet = middle // visual.patch_embed.kernel_size[0]
        visual_mask = hidden["visual"].reshape(n_videos, n_segments, *visual.grid)[:, :, tubelet].cpu()
    if "audio" in hidden:
        audio_mask = hidden["audio"].reshape(n_videos, n_segments, *student.mbt.audio.grid).cpu()
    return [
        VideoView(
            key=batch.keys[i],
            frames=batch.frames[i, :, :, middle].cpu(),
            fbank=batch.fbank[i].cpu(),
            visual_mask=visual_mask[i],
            audio_mask=audio_mask[i],
            words=words,
            verified=taught.verified[i].cpu(),
            passed=[[STAGES[k] for k in stages[: len(cues)]] for stages, cues in zip(last[i], words, strict=True)],
            cue_emotion=batch.cue_emotion[i].cpu(),
            target=taught.target[i].float().cpu(),
            recovered=recovered[i].cpu(),
            truth=batch.truth[i].cpu(),
            blocks=batch.blocks[i].cpu(),
        )
        for i, words in enumerate(batch.cue_words)
    ]


@contextmanager
def _untouched(models: Sequence[nn.Module], device: torch.device) -> Iterator[None]:
    """Evaluation mode without gradient, and everything put back behind it."""
    modes = [(module, module.training) for model in models for module in model.modules()]
    with torch.no_grad(), torch.random.fork_rng([device] if device.type == "cuda" else []):
        try:
            for model in models:
                model.eval()
            yield
        finally:
            for module, training in modes:
                module.training = training
