"""Fixtures for all tests: a tiny data set of real videos, made once per run."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import settings

from tools import make_demo

settings.register_profile("the same in every run", derandomize=True, deadline=None)
settings.load_profile("the same in every run")


@pytest.fixture(scope="session")
def tiny_dataset(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Root of a demo data set with 2 training videos and 1 test video a class, of 4 s each. Not to be written to."""
    root = tmp_path_factory.mktemp("tiny") / "demo"
    status = make_demo.main([f"--root={root}", "--train_per_class=2", "--test_per_class=1", "--seconds=4"])
    assert status == 0
    return root
