"""A batch of noise in the shapes that the flags ask for, so that training can be timed without any data."""

from __future__ import annotations

import argparse

import torch

from datasets.audio import MEL_BINS
from datasets.video_batch import VideoBatch

CLS, SEP = 101, 102  # of bert-base-uncased
FIRST_WORD, LAST_WORD = 1996, 29_612  # the word pieces between them are whole words and parts of words
MOST_CUES = 3  # of a segment; a few seconds of speech hold hardly more


def noise_batch(flags: argparse.Namespace, n_classes: int) -> VideoBatch:
    """`batch_size` training videos of noise: every segment is full of words, of which none to MOST_CUES are cues."""
    n_videos, side = flags.batch_size, flags.sample_size
    segments, words = (n_videos, flags.seq_len), (n_videos, flags.seq_len, flags.max_cues)
    generator = torch.Generator().manual_seed(flags.seed)
    number = torch.arange(flags.max_cues)
    valid = number < torch.randint(0, MOST_CUES + 1, (*segments, 1), generator=generator)
    sentiment = torch.randint(0, 2, words, generator=generator, dtype=torch.int8) * 2 - 1
    # a cue is one word piece behind [CLS]
    place = (1 + number).clamp_max(flags.max_tokens - 2)
    pieces = place[:, None] == torch.arange(flags.max_tokens)
    ids = torch.randint(FIRST_WORD, LAST_WORD, (*segments, flags.max_tokens), generator=generator)
    ids[..., 0], ids[..., -1] = CLS, SEP
    start = torch.arange(flags.seq_len).float() * 2
    return VideoBatch(
        frames=torch.randint(
            0, 256, (*segments, 3, flags.snippet_duration, side, side), dtype=torch.uint8, generator=generator
        ),
        fbank=torch.randn(*segments, flags.audio_frames, MEL_BINS, generator=generator) * 4 - 4,
        token_ids=ids,
        token_mask=torch.ones_like(ids, dtype=torch.bool),
        cue_sentiment=sentiment * valid,
        cue_emotion=torch.rand(*words, n_classes, generator=generator).softmax(dim=-1) * valid[..., None],
        cue_degree=torch.rand(words, generator=generator) * valid,
        cue_valid=valid,
        cue_pieces=pieces & valid[..., None],
        given=torch.ones(n_videos, 3, dtype=torch.bool),
        labels=torch.arange(n_videos) % n_classes,
        blocks=torch.stack([start, start + 2], dim=-1).repeat(n_videos, 1, 1),
        truth=torch.zeros(*segments, n_classes),
        keys=[("noise", str(i)) for i in range(n_videos)],
        cue_words=[[[] for _ in range(flags.seq_len)] for _ in range(n_videos)],
        courses=[()] * n_videos,
        skipped=[],
    )
