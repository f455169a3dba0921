"""Temporal affective complementary learning: words look at the patches of their segment (Eq. 4).

Words are queries, the patches of one modality keys and values of a multi-head attention. What a word gathers from the
picture, what it gathers from the sound and the word itself are projected to one space, where Eq. 5 compares them.
"""

from __future__ import annotations

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
    """L2-normalised vectors (B, S, K, E) of every word: itself, and what it gathers from picture and sound."""

    words: Tensor
    visual: Tensor
    audio: Tensor


class TemporalAffectiveComplementaryLearning(nn.Module):
    """Attention of the words over either modality and the projections into the common space of Eq. 5."""

    def __init__(self, word_dim: int, patch_dim: int, num_heads: int, common_dim: int) -> None:
        super().__init__()
        self.visual_attention = WordToPatchAttention(word_dim, patch_dim, num_heads)
        self.audio_attention = WordToPatchAttention(word_dim, patch_dim, num_heads)
        self.word_projection = nn.Linear(word_dim, common_dim)
        self.visual_projection = nn.Linear(patch_dim, common_dim)
        self.audio_projection = nn.Linear(patch_dim, common_dim)

    def forward(self, words: Tensor, visual_patches: Tensor, audio_patches: Tensor) -> WordVectors:
        """words (B, S, K, word_dim), patches (B, S, P, patch_dim) of picture and sound."""
        flat, shape = words.flatten(0, 1), words.shape[:3]
        visual = self.visual_projection(self.visual_attention(flat, visual_patches.flatten(0, 1)))
        audio = self.audio_projection(self.audio_attention(flat, audio_patches.flatten(0, 1)))
        vectors = (self.word_projection(flat), visual, audio)
        return WordVectors(*(F.normalize(x.float(), dim=-1).unflatten(0, shape[:2]) for x in vectors))

    @torch.no_grad()
    def patch_scores(
        self, words: Tensor, verified: Tensor, visual_patches: Tensor, audio_patches: Tensor
    ) -> tuple[Tensor, Tensor]:
        """Mean attention of a segment's verified words (B, S, K bool) to its patches: (B*S, P_v) and (B*S, P_a).

        A segment without verified words scores 0 everywhere.
        """
        flat, counted = words.flatten(0, 1), verified.flatten(0, 1).float()
        share = counted / counted.sum(dim=1, keepdim=True).clamp_min(1)
        visual = self.visual_attention.weights(flat, visual_patches.flatten(0, 1)).float()
        audio = self.audio_attention.weights(flat, audio_patches.flatten(0, 1)).float()
        return (share[..., None] * visual).sum(dim=1), (share[..., None] * audio).sum(dim=1)
