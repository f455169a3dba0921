"""MART: the baseline, the words, and what pre-training adds - word-to-patch attention and the recovery of patches."""

from __future__ import annotations

import math
from collections.abc import Hashable, Mapping, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from models.decoder import HOG_BINS, PatchDecoder, hog, spectrogram_patches, video_patches
from models.layers import gather_tokens
from models.mbt import MBT, PATCHED, MBTOutput, Media, Present, SegmentTokens, of_segments, segments_of
from models.tacl import TemporalAffectiveComplementaryLearning, WordVectors
from models.text import TextEncoder

MOST_KNOWN_VALUES = 2**29  # of word features, 1 GiB on the device


@dataclass
class MARTOutput:
    """What one student pass gives: scores, vectors of the words, recovered patches (N = B*S segments)."""

    scores: MBTOutput
    words: WordVectors | None  # where there are patches for them to look at
    recovered: dict[str, Tensor]  # (N, M, P) values of all patches, by stream


class MART(nn.Module):
    """The whole model.

    Args:
        mbt: encoders, fusion and heads; alone it is the baseline and what is evaluated.
        text: encoder of the subtitles' words; where they are a stream of `mbt`, that of the stream.
        decoder: width, depth and heads of each decoder.
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
        self.mbt = mbt
        if "text" not in mbt.streams:
            self.text = text
        self.hog_target = target == "hog"
        self.mask_at = mask_at
        self.patched = tuple(name for name in PATCHED if name in mbt.streams)
        if self.patched:
            self.tacl = TemporalAffectiveComplementaryLearning(
                text.embed_dim, mbt.embed_dim, num_heads, common_dim, self.patched
            )
        width, depth, heads = decoder
        for name in self.patched:
            encoder = mbt.encoder(name)
            raw = math.prod(encoder.patch_embed.kernel_size) * encoder.patch_embed.in_channels
            size = 4 * HOG_BINS if self.hog_target else raw
            self.add_module(
                f"{name}_decoder", PatchDecoder(mbt.embed_dim, encoder.num_patches, size, width, depth, heads)
            )

    @property
    def word_encoder(self) -> TextEncoder:
        """What reads the subtitles."""
        return self.mbt.text.encoder if "text" in self.mbt.streams else self.text

    def word_features(
        self, token_ids: Tensor, token_mask: Tensor, pieces: Tensor, keys: Sequence[Hashable] = ()
    ) -> Tensor:
        """Features (B, S, K, W) of the cues' words: the mean of their word pieces in the context of the segment's text.

        token_ids, token_mask (B, S, L); pieces (B, S, K, L) bool, which word pieces a cue consists of. keys: names of
        the B videos, each of which always comes with the same text; a frozen encoder then reads it only once.
        """
        if not keys or not self.word_encoder.frozen:
            return self._read_words(token_ids, token_mask, pieces)
        known = self.word_encoder.known_words
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
        words = torch.zeros(*pieces.shape[:3], self.word_encoder.embed_dim, device=pieces.device)
        if not read.any():
            return words
        ids, mask, chosen = token_ids[read], token_mask[read], pieces[read].float()
        longest = int(mask.sum(dim=1).max())
        features = self.word_encoder(ids[:, :longest], mask[:, :longest])
        share = chosen / chosen.sum(dim=-1, keepdim=True).clamp_min(1)
        words[read] = (share[..., :longest] @ features).float()
        return words

    def forward(
        self, media: Media, words: Tensor, visible: Mapping[str, Tensor] | None, present: Present | None = None
    ) -> MARTOutput:
        """The student's pass.

        media of B videos with S segments (B, S, ...), words (B, S, K, W), visible: by stream int64 (B*S, n) places of
        the patches that are not masked, or None to see everything and recover nothing. present: as MBT takes it.
        """
        n_videos, n_segments = words.shape[:2]
        early = visible if self.mask_at == "encoder" else None
        tokens = self.mbt.encode(segments_of(media), of_segments(present, n_segments), early)
        return MARTOutput(
            scores=self.mbt.score(tokens, n_videos, present),
            words=self.tacl(words, tokens.patches) if self.patched else None,
            recovered={} if visible is None else self._recover(tokens, visible, encoded_all=early is None),
        )

    def _recover(self, tokens: SegmentTokens, visible: Mapping[str, Tensor], encoded_all: bool) -> dict[str, Tensor]:
        shown = tokens.patches
        if encoded_all:
            shown = {name: gather_tokens(patches, visible[name]) for name, patches in shown.items()}
        decoders = {name: self.get_submodule(f"{name}_decoder") for name in shown}
        return {name: decoders[name](patches, visible[name]) for name, patches in shown.items()}

    def end_pretraining(self) -> None:
        """Let go of what fine-tuning does not use: words that are no stream, their attention, the decoders."""
        for name in ("text", "tacl", *(f"{stream}_decoder" for stream in self.patched)):
            if hasattr(self, name):
                delattr(self, name)

    @torch.no_grad()
    def patch_targets(self, media: Media) -> dict[str, Tensor]:
        """What the decoders should recover of media (B, S, ...): (B*S, M, P) of each stream."""
        targets = {}
        for name in self.patched:
            encoder, (values,) = self.mbt.encoder(name), segments_of({name: media[name]})[name]
            side, stride = encoder.patch_embed.kernel_size[-1], encoder.patch_embed.stride[-1]
            if name == "visual":
                tubelet = encoder.patch_embed.kernel_size[0]
                targets[name] = video_patches(encoder.normalise(values), tubelet, side)
                if self.hog_target:
                    grey = targets[name].unflatten(-1, (tubelet, side, side, 3)).mean(dim=(-1, -4))
                    targets[name] = hog(grey)
            else:
                targets[name] = spectrogram_patches(encoder.normalise(values), side, stride)
                if self.hog_target:
                    targets[name] = hog(targets[name].unflatten(-1, (side, side)))
        return targets

    def attention_to_patches(self, tokens: SegmentTokens, words: Tensor, verified: Tensor) -> dict[str, Tensor]:
        """Eq. 6: mean attention of the verified words (B, S, K) of a segment to its patches, (B*S, P) by stream."""
        return self.tacl.patch_scores(words, verified, tokens.patches)
