"""Files that are read as a whole: regular ones of a sane size, and no others."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from datasets.annotations import read_annotation
from datasets.audio import read_content
from datasets.benchmarks import BENCHMARKS
from datasets.errors import DataError
from datasets.frame_folders import read_file
from datasets.subtitles import read_subtitles
from datasets.user_lexicon import read_user_lexicon
from datasets.whole_files import read_whole


def test_a_file_and_a_link_to_it(tmp_path: Path) -> None:
    (tmp_path / "a").write_bytes(b"12345")
    (tmp_path / "b").symlink_to("a")
    assert read_whole(tmp_path / "a", 5) == read_whole(tmp_path / "b", 5) == b"12345"
    with pytest.raises(OSError, match="holds 5 bytes, more than such a file can have"):
        read_whole(tmp_path / "b", 4)


@pytest.mark.parametrize(
    "read",
    [read_annotation, read_content, read_file, read_subtitles, lambda path: read_user_lexicon(path, BENCHMARKS["ve8"])],
)
def test_nothing_is_waited_for_and_nothing_is_endless(read, tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    (tmp_path / "zeros").symlink_to("/dev/zero")
    for name, fault in (("pipe", "a pipe"), ("zeros", "a device"), (".", "Is a directory"), ("none", "No such file")):
        with pytest.raises(DataError, match=fault) as caught:
            read(tmp_path / name)
        assert str(caught.value).startswith(str(tmp_path))
