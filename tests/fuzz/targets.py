"""All targets by name."""

from tests.fuzz import media, models, owners, texts  # noqa: F401, they enter themselves
from tests.fuzz.target import TARGETS

__all__ = ["TARGETS"]
