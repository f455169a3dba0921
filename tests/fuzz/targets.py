"""All targets by name."""

from tests.fuzz import media, models, texts  # noqa: F401, they enter themselves
from tests.fuzz.target import TARGETS

__all__ = ["TARGETS"]
