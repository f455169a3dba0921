from __future__ import annotations

import pytest

from datasets import tokens
from datasets.errors import DataError
from datasets.tokens import encode_texts

# Of bert-base-uncased: [PAD] 0, [CLS] 101, [SEP] 102, i 1045, love 2293, you 2017, so 2061, cafe 7668.


def test_ids_of_the_bert_vocabulary_padded_to_the_length() -> None:
    ids, mask, _ = encode_texts(["I LOVE you", "café", ""], 6)
    assert ids.tolist() == [[101, 1045, 2293, 2017, 102, 0], [101, 7668, 102, 0, 0, 0], [101, 102, 0, 0, 0, 0]]
    assert mask.sum(dim=1).tolist() == [5, 3, 2]
    assert (mask == (ids != 0)).all()


def test_longer_texts_are_cut_before_the_last_mark() -> None:
    ids, mask, _ = encode_texts(["I love you so so so much"], 6)
    assert ids.tolist() == [[101, 1045, 2293, 2017, 2061, 102]]
    assert mask.all()


def test_marks_written_in_a_subtitle_are_text() -> None:
    ids, _, _ = encode_texts(["[SEP] [PAD] [MASK]"], 32)
    assert (ids == 102).sum() == 1
    assert (ids == 103).sum() == 0


def test_no_room_for_a_word() -> None:
    with pytest.raises(DataError, match="max_tokens is 2"):
        encode_texts(["a"], 2)


def test_missing_vocabulary(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tokens, "PACKAGE", "no_such_package_here")
    with pytest.raises(DataError, match=r"not found; run `pip install no-such-package-here`"):
        encode_texts(["a"], 33)
