"""MART: the baseline, the words, and what pre-training adds - word-to-patch attention and the recovery of patches."""

from __future__ import annotations

import math
from collections.abc import Hashable, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from models.decoder import HOG_BINS, PatchDecoder, hog, spectrogram_patches, video_patches
from models.layers import gather_tokens
from models.mbt import MBT, MBTOutput, SegmentTokens
from models.tacl import TemporalAffectiveComplementaryLearning, WordVectors
from models.text import TextEncoder

Pair = tuple[Tensor, Tensor]  # of the visual and of the audio patches
PRETRAINING_ALONE = ("tacl", "visual_decoder", "audio_decoder")
MOST_KNOWN_VALUES = 2**29  # of word features, 1 GiB on the device


@dataclass
class MARTOutput:
    """What one student pass gives: scores, vectors of the words, recovered patches (N = B*S segments)."""

    scores: MBTOutput
    words: WordVectors
    recovered: Pair  # (N, M, P) values of all patches


class MART(nn.Module):
    """The whole model.

    Args:
        mbt: encoders, fusion and heads; alone it is the baseline and what is evaluated.
        text: encoder of the subtitles' words.
        decoder: width, depth and heads of either decoder.
        target: `pixel` or `hog`, the values of a patch that the decoders recover.
        mask_at: `encoder` drops masked patches before it, `decoder` encodes all and hides them from the decoder.
    """

    def __init__(
        self,
        mbt: MBT,
        text: TextEncoder,
        *,
        num_heads: int,
        common_dim: int,
        decoder: tuple[int, int, int],
        target: str,
        mask_at: str,
    ) -> None:
        super().__init__()
        self.mbt, self.text = mbt, text
        self.hog_target = target == "hog"
        self.mask_at = mask_at
        dim = mbt.visual.embed_dim
        self.tacl = TemporalAffectiveComplementaryLearning(text.embed_dim, dim, num_heads, common_dim)
        width, depth, heads = decoder
        raw = 3 * math.prod(mbt.visual.patch_embed.kernel_size), math.prod(mbt.audio.patch_embed.kernel_size)
        sizes = (4 * HOG_BINS, 4 * HOG_BINS) if self.hog_target else raw
        self.visual_decoder = PatchDecoder(dim, mbt.visual.num_patches, sizes[0], width, depth, heads)
        self.audio_decoder = PatchDecoder(dim, mbt.audio.num_patches, sizes[1], width, depth, heads)

    def word_features(
        self, token_ids: Tensor, token_mask: Tensor, pieces: Tensor, keys: Sequence[Hashable] = ()
    ) -> Tensor:
        """Features (B, S, K, W) of the cues' words: the mean of their word pieces in the context of the segment's text.

        token_ids, token_mask (B, S, L); pieces (B, S, K, L) bool, which word pieces a cue consists of. keys: names of
        the B videos, each of which always comes with the same text; a frozen encoder then reads it only once.
        """
        if not keys or not self.text.frozen:
            return self._read_words(token_ids, token_mask, pieces)
        known = self.text.known_words
        new = [i for i, key in enumerate(keys) if key not in known]
        found: dict[Hashable, Tensor] = {}
        if new:  # half precision, also the first time, so that a video's words are the same whenever it comes
            read = self._read_words(token_ids[new], token_mask[new], pieces[new]).half()
            found = dict(zip((keys[i] for i in new), read, strict=True))
            if (len(known) + len(new)) * read[0].numel() <= MOST_KNOWN_VALUES:
                known.update(found)
        return torch.stack([(found[key] if key in found else known[key]).float() for key in keys])

    def _read_words(self, token_ids: Tensor, token_mask: Tensor, pieces: Tensor) -> Tensor:
        read = pieces.any(dim=-1).any(dim=-1)  # (B, S) segments with a cue; the others' text is of no use
        words = torch.zeros(*pieces.shape[:3], self.text.embed_dim, device=pieces.device)
        if not read.any():
            return words
        ids, mask, chosen = token_ids[read], token_mask[read], pieces[read].float()
        longest = int(mask.sum(dim=1).max())
        features = self.text(ids[:, :longest], mask[:, :longest])
        share = chosen / chosen.sum(dim=-1, keepdim=True).clamp_min(1)
        words[read] = (share[..., :longest] @ features).float()
        return words

    def forward(self, frames: Tensor, fbank: Tensor, words: Tensor, visible: Pair | None) -> MARTOutput:
        """The student's pass.

        frames uint8 (B, S, 3, T, H, W), fbank (B, S, F, 128), words (B, S, K, W), visible: int64 (B*S, n) places of
        the visual and of the audio patches that are not masked, or None to see everything and recover nothing.
        """
        shape = frames.shape[:2]
        early = visible if self.mask_at == "encoder" else None
        tokens = self.mbt.encode(frames.flatten(0, 1), fbank.flatten(0, 1), early)
        vectors = self.tacl(words, *(patches.unflatten(0, shape) for patches in tokens.patches))
        recovered = () if visible is None else self._recover(tokens, visible, encoded_all=early is None)
        return MARTOutput(self.mbt.score(tokens, shape[0]), vectors, recovered)

    def _recover(self, tokens: SegmentTokens, visible: Pair, encoded_all: bool) -> Pair:
        decoders = (self.visual_decoder, self.audio_decoder)
        shown = tokens.patches
        if encoded_all:
            shown = tuple(gather_tokens(patches, index) for patches, index in zip(shown, visible, strict=True))
        return tuple(decode(patches, index) for decode, patches, index in zip(decoders, shown, visible, strict=True))

    def end_pretraining(self) -> None:
        """Let go of what fine-tuning does not use, the attention of the words and the decoders."""
        for name in PRETRAINING_ALONE:
            if hasattr(self, name):
                delattr(self, name)

    @torch.no_grad()
    def patch_targets(self, frames: Tensor, fbank: Tensor) -> Pair:
        """What the decoders should recover of frames (B, S, 3, T, H, W) and fbank (B, S, F, 128): (B*S, M, P) each."""
        visual, audio = self.mbt.visual, self.mbt.audio
        tubelet, side, _ = visual.patch_embed.kernel_size
        audio_side, stride = audio.patch_embed.kernel_size[0], audio.patch_embed.stride[0]
        pixels = video_patches(visual.normalise(frames.flatten(0, 1)), tubelet, side)
        energies = spectrogram_patches(audio.normalise(fbank.flatten(0, 1)), audio_side, stride)
        if not self.hog_target:
            return pixels, energies
        grey = pixels.unflatten(-1, (tubelet, side, side, 3)).mean(dim=(-1, -4))
        return hog(grey), hog(energies.unflatten(-1, (audio_side, audio_side)))

    def attention_to_patches(self, tokens: SegmentTokens, words: Tensor, verified: Tensor) -> Pair:
        """Eq. 6: mean attention of the verified words (B, S, K) of a segment to its patches: (B*S, P_v), (B*S, P_a)."""
        patches = (patches.unflatten(0, words.shape[:2]) for patches in tokens.patches)
        return self.tacl.patch_scores(words, verified, *patches)
