"""Cues of a text as tensors: which word pieces they consist of, padding, and what does not fit."""

from __future__ import annotations

import torch

from datasets.cues import find_cues
from datasets.lexicon import AffectiveLexicon
from datasets.tokens import encode_texts

TEXTS = ["I was furious. What joy!", "Nothing here.", ""]


def test_words_pieces_and_padding() -> None:
    lexicon = AffectiveLexicon("ve8", "nrc")
    ids, _, places = encode_texts(TEXTS, 12)
    cues = find_cues(TEXTS, places, lexicon, max_cues=3)
    assert cues.words == [["furious", "joy"], [], []]
    assert cues.valid.tolist() == [[True, True, False], [False] * 3, [False] * 3]
    assert cues.sentiment[0].tolist() == [-1, 1, 0]
    # [CLS] i was furious . what joy ! [SEP]
    assert cues.pieces[0].nonzero().tolist() == [[0, 3], [1, 6]]
    furious, joy = lexicon.lookup("furious"), lexicon.lookup("joy")
    torch.testing.assert_close(cues.emotion[0, 0], torch.tensor(furious.emotion))
    torch.testing.assert_close(cues.degree[0], torch.tensor([furious.degree, joy.degree, 0.0]))
    assert ids.shape == (3, 12)


def test_a_word_of_several_pieces_has_them_all() -> None:
    _, _, places = encode_texts(["exhilaration"], 8)
    cues = find_cues(["exhilaration"], places, AffectiveLexicon("ve8", "senticnet"), max_cues=1)
    n_pieces = int((places[0, :, 1] > 0).sum())
    assert cues.words == [["exhilaration"]] and cues.pieces.sum() == n_pieces > 1


def test_more_than_fit_are_left_out() -> None:
    lexicon = AffectiveLexicon("ve8", "nrc")
    text = ["furious joy"]
    assert find_cues(text, encode_texts(text, 8)[2], lexicon, max_cues=1).words == [["furious"]]
    cut = find_cues(text, encode_texts(text, 3)[2], lexicon, max_cues=3)  # [CLS] furious [SEP]
    assert cut.words == [["furious"]]
