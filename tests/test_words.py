from __future__ import annotations

import logging
import pickle
from pathlib import Path

import pytest
import torch

from datasets import words
from datasets.annotations import Video
from datasets.errors import DataError
from datasets.lexicon import AffectiveLexicon
from datasets.segments import blocks
from datasets.subtitles import subtitle_file
from datasets.words import WordReader
from tests.media import write_subtitles

VIDEO, WORDLESS = Video("a", "joy", "training"), Video("b", "joy", "training")
BOUNDS = blocks(3.0, 3)


@pytest.fixture
def reader(tmp_path: Path) -> WordReader:
    cues = [("00:00:00,200", "00:00:00,900", "I love you"), ("00:00:02,200", "00:00:02,900", "no")]
    write_subtitles(subtitle_file(tmp_path, "joy", "a"), cues)
    return WordReader([VIDEO, WORDLESS], tmp_path, AffectiveLexicon("ek6"), 8, 4)


def test_pieces_and_cues_of_every_block(reader: WordReader) -> None:
    found = reader.read(VIDEO, BOUNDS)
    assert found.token_ids.tolist() == [
        [101, 1045, 2293, 2017, 102, 0, 0, 0],
        [101, 102, 0, 0, 0, 0, 0, 0],
        [101, 2053, 102, 0, 0, 0, 0, 0],
    ]
    assert found.token_mask.sum(dim=1).tolist() == [5, 2, 3]
    assert found.cues.words == [["I love"], [], []]
    assert found.cues.pieces[0, 0].tolist() == [False, True, True, False, False, False, False, False]


def test_a_file_is_read_and_looked_up_once(reader: WordReader, monkeypatch: pytest.MonkeyPatch) -> None:
    read = []
    original = words.read_subtitles
    monkeypatch.setattr(words, "read_subtitles", lambda path: read.append(path) or original(path))
    first = reader.read(VIDEO, BOUNDS)
    assert reader.read(VIDEO, BOUNDS.copy()) is first
    assert len(read) == 1
    halves = reader.read(VIDEO, blocks(3.0, 2))
    assert halves.token_ids.shape == (2, 8)
    assert len(read) == 2


def test_no_file_is_no_words_and_is_told_once(reader: WordReader, caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.WARNING):
        again = WordReader([VIDEO, WORDLESS], reader.srt_path, reader.lexicon, 8, 4)
        assert not again.read(WORDLESS, BOUNDS).cues.valid.any()
        again.read(WORDLESS, BOUNDS)
    (record,) = caplog.records
    assert record.getMessage().startswith("1 of 2 videos have no subtitle file in ")
    subtitle_file(reader.srt_path, "joy", "a").unlink()
    with pytest.raises(DataError, match=r"a\.srt: No such file"):
        again.read(VIDEO, BOUNDS)


def test_a_copy_in_another_process_gives_the_same(reader: WordReader) -> None:
    copy = pickle.loads(pickle.dumps(reader))
    assert torch.equal(copy.read(VIDEO, BOUNDS).token_ids, reader.read(VIDEO, BOUNDS).token_ids)


def test_what_is_kept_of_a_video_is_as_small_as_stated(tmp_path: Path) -> None:
    reader = WordReader([WORDLESS], tmp_path, AffectiveLexicon("ve8"), 32, 8)
    found = reader.read(WORDLESS, blocks(100.0, 12))
    values = [*vars(found).values(), *vars(found.cues).values()]
    assert 7_000 < sum(value.nbytes for value in values if isinstance(value, torch.Tensor)) < 8_200
