"""Which files of a folder are predicted, and what videos may be called in a dataset."""

from __future__ import annotations

from pathlib import Path

import pytest

from datasets.errors import DataError
from datasets.video_names import find_videos, may_be_name


def test_files_and_folders_in_order_each_once(tmp_path: Path) -> None:
    for name in ("b/x.MP4", "b/notes.txt", "b/.hidden.mp4", "a/deep/y.webm", ".git/z.mp4", "odd.bin"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).touch()
    places = [tmp_path / "odd.bin", tmp_path, tmp_path / "b" / "x.MP4"]
    found = [str(path.relative_to(tmp_path)) for path in find_videos(places)]
    assert found == ["odd.bin", "a/deep/y.webm", "b/x.MP4"]
    (tmp_path / "a" / "deep" / "y.webm").unlink()
    for place, said in ((tmp_path / "a", "holds no video"), (tmp_path / "none", "no such file or folder")):
        with pytest.raises(DataError, match=said):
            find_videos([place])


def test_which_texts_can_be_names_of_files() -> None:
    assert all(may_be_name(text) for text in ("a", '-it\'s "é" 怒.', "...", "a" * 251))
    assert not any(may_be_name(text) for text in ("", ".", "..", "a/b", "a\\b", "a\nb", "\udc80", "é" * 126))
