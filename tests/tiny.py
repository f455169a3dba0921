"""Sizes at which a whole run takes seconds, and batches made of nothing but numbers."""

from __future__ import annotations

import torch

from datasets.video_batch import VideoBatch
from models.build import ModelSizes

FLAGS = {
    "seq_len": 2, "val_len": 2, "snippet_duration": 4, "sample_size": 32, "audio_frames": 50, "audio_stride": 16,
    "max_tokens": 8, "embed_dim": 24, "depth": 2, "num_heads": 3, "fusion_depth": 2, "n_bottleneck": 2,
    "pretrain_epochs": 1, "decoder_dim": 16, "decoder_depth": 1, "decoder_heads": 2, "common_dim": 16, "max_cues": 3,
    "visual_weights": "random", "audio_weights": "random", "text_weights": "small",
    "n_epochs": 2, "batch_size": 4, "warmup_epochs": 1, "n_threads": 0, "device": "cpu",
}  # fmt: skip

SIZES = ModelSizes(
    n_classes=8, **{name: FLAGS[name] for name in ModelSizes.__dataclass_fields__ if name in FLAGS}
)  # fmt: skip


def arguments(**changes: object) -> list[str]:
    """Command line of the tiny flags with `changes`; True stands for a flag without value, None leaves one out."""
    words = []
    for name, value in (FLAGS | changes).items():
        if value is not None:
            words += [f"--{name}"] if value is True else [f"--{name}", str(value)]
    return words


def batch(n_videos: int, seed: int = 0, n_segments: int = 2) -> VideoBatch:
    """Noise with labels 0, 1, 2, ... of eight classes."""
    generator = torch.Generator().manual_seed(seed)
    clips = (n_videos, n_segments, 3, 4, 32, 32)
    words = (n_videos, n_segments, 3)
    return VideoBatch(
        frames=torch.randint(0, 256, clips, dtype=torch.uint8, generator=generator),
        fbank=torch.randn(n_videos, n_segments, 50, 128, generator=generator) * 4 - 4,
        token_ids=torch.zeros(n_videos, n_segments, 8, dtype=torch.int64),
        token_mask=torch.ones(n_videos, n_segments, 8, dtype=torch.bool),
        cue_sentiment=torch.randint(0, 2, words, generator=generator, dtype=torch.int8) * 2 - 1,
        cue_emotion=torch.rand(*words, 8, generator=generator).softmax(dim=-1),
        cue_degree=torch.rand(words, generator=generator),
        cue_valid=torch.rand(words, generator=generator) < 0.7,
        cue_pieces=torch.rand(*words, 8, generator=generator) < 0.3,
        given=torch.ones(n_videos, 3, dtype=torch.bool),
        labels=torch.arange(n_videos) % 8,
        blocks=torch.tensor([[2.0 * s, 2.0 * s + 2] for s in range(n_segments)]).repeat(n_videos, 1, 1),
        truth=torch.zeros(n_videos, n_segments, 8),
        keys=[("class", f"video {seed}.{i}") for i in range(n_videos)],
        cue_words=[[[] for _ in range(n_segments)] for _ in range(n_videos)],
        courses=[()] * n_videos,
        skipped=[],
    )
