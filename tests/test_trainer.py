"""What a phase of training shows."""

from __future__ import annotations

import pytest
from torch import nn

from core.trainer import MOST_SHOWN, Phase


@pytest.mark.parametrize("n_epochs", [1, 8, 25, 26, 60, 100, 150, 1000])
def test_figures_come_from_few_epochs_and_from_the_last(n_epochs: int) -> None:
    phase = Phase("fine-tuning", 7, 7 + n_epochs, nn.Identity(), lambda *_: {})
    shown = [epoch for epoch in range(8, 8 + n_epochs) if phase.shows_after(epoch)]
    assert shown[-1] == phase.end and len(shown) <= MOST_SHOWN
    assert len(shown) > MOST_SHOWN / 2 or len(shown) == n_epochs
