from __future__ import annotations

import re

import pytest

from tools.benchmark_reading import main


def test_every_loader_reads_the_video_and_has_its_row(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--seconds", "4", "--samples", "2"]) == 0
    head, _, *rows = capsys.readouterr().out.splitlines()
    assert re.fullmatch(r"120 frames of \d+\.\d kB, with --side 128 \d+\.\d kB; 2 samples", head)
    names = [row.split("|")[1].strip() for row in rows[2:]]
    assert names == ["plain, as released", "folder", "pack", "pack --side 128"]
    figures = [[float(cell) for cell in row.split("|")[2:-1]] for row in rows[2:]]
    assert figures[0][3] == pytest.approx(1.0)
    for _, median, processor, ratio in figures:
        assert 0 < processor < 1.5 * median
        assert ratio == pytest.approx(figures[0][1] / median, abs=0.06 + 0.1 / median * ratio)
