"""Temporal affective complementary learning: words look at the patches of their segment (Eq. 4).

Words are queries, the patches of one stream keys and values of a multi-head attention. What a word gathers from the
picture, what it gathers from the sound and the word itself are projected to one space, where Eq. 5 compares them.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from models.layers import attend


class WordToPatchAttention(nn.Module):
    """Multi-head attention of words (N, K, word_dim) over patches (N, P, patch_dim)."""

    def __init__(self, word_dim: int, patch_dim: int, num_heads: int) -> None:
        super().__init__()
        self.num_heads = num_heads
        self.word_norm, self.patch_norm = nn.LayerNorm(word_dim), nn.LayerNorm(patch_dim)
        self.query = nn.Linear(word_dim, patch_dim)
        self.key_value = nn.Linear(patch_dim, 2 * patch_dim)
        self.output = nn.Linear(patch_dim, patch_dim)

    def forward(self, words: Tensor, patches: Tensor) -> Tensor:
        """What each word gathers: (N, K, patch_dim)."""
        query, key, value = self._heads(words, patches)
        gathered = attend(query, key, value)
        return self.output(gathered.transpose(1, 2).flatten(2))

    def weights(self, words: Tensor, patches: Tensor) -> Tensor:
        """Eq. 6: attention (N, K, P) of the words to the patches, mean over heads, sums to 1 over the patches."""
        query, key, _ = self._heads(words, patches)
        return (query @ key.transpose(-1, -2) / query.shape[-1] ** 0.5).softmax(dim=-1).mean(dim=1)

    def _heads(self, words: Tensor, patches: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        key, value = self.key_value(self.patch_norm(patches)).chunk(2, dim=-1)
        query, key, value = (
            x.unflatten(-1, (self.num_heads, -1)).transpose(1, 2)
            for x in (self.query(self.word_norm(words)), key, value)
        )
        return query, key, value


@dataclass
class WordVectors:
    """L2-normalised vectors (B, S, K, E) of every word: itself, and what it gathers from each stream of patches."""

    words: Tensor
    gathered: dict[str, Tensor]


class TemporalAffectiveComplementaryLearning(nn.Module):
    """Attention of the words over each stream of patches and the projections into the common space of Eq. 5."""

    def __init__(self, word_dim: int, patch_dim: int, num_heads: int, common_dim: int, streams: Sequence[str]) -> None:
        super().__init__()
        for name in streams:
            self.add_module(f"{name}_attention", WordToPatchAttention(word_dim, patch_dim, num_heads))
        self.word_projection = nn.Linear(word_dim, common_dim)
        for name in streams:
            self.add_module(f"{name}_projection", nn.Linear(patch_dim, common_dim))

    def forward(self, words: Tensor, patches: Mapping[str, Tensor]) -> WordVectors:
        """words (B, S, K, word_dim), patches (B*S, P, patch_dim) of each stream."""
        flat, n_videos = words.flatten(0, 1), len(words)

        def vectors(projected: Tensor) -> Tensor:
            return F.normalize(projected.float(), dim=-1).unflatten(0, (n_videos, -1))

        gathered = {}
        for name, each in patches.items():
            attention, projection = (self.get_submodule(f"{name}_{part}") for part in ("attention", "projection"))
            gathered[name] = vectors(projection(attention(flat, each)))
        return WordVectors(vectors(self.word_projection(flat)), gathered)

    @torch.no_grad()
    def patch_scores(self, words: Tensor, verified: Tensor, patches: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """Mean attention of a segment's verified words (B, S, K bool) to its patches: (B*S, P) of each stream.

        A segment without verified words scores 0 everywhere.
        """
        flat, counted = words.flatten(0, 1), verified.flatten(0, 1).float()
        share = counted / counted.sum(dim=1, keepdim=True).clamp_min(1)
        scores = {}
        for name, each in patches.items():
            weights = self.get_submodule(f"{name}_attention").weights(flat, each).float()
            scores[name] = (share[..., None] * weights).sum(dim=1)
        return scores
