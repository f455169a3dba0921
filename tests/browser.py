"""A headless Chromium for the tests of the pages."""

from __future__ import annotations

import shutil
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
_FLAGS = [
    "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking",
    "--disable-component-update", "--disable-sync", "--autoplay-policy=no-user-gesture-required",
]  # fmt: skip


@dataclass
class Visit:
    """A page that is open, and everything that it complained of."""

    page: Any
    complaints: list[str] = field(default_factory=list)


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    """Chromium, driven by Playwright."""
    if CHROMIUM is None:
        pytest.skip("no Chromium: apt-get install chromium")
    playwright = pytest.importorskip("playwright.sync_api", reason="Playwright is not installed")
    with playwright.sync_playwright() as play:
        chromium = play.chromium.launch(executable_path=CHROMIUM, args=_FLAGS)
        yield chromium
        chromium.close()


@contextmanager
def visit(browser: Any, path: Path, **settings: Any) -> Iterator[Visit]:
    """Open a page from file://; `settings` are those of Playwright's new_context. Fails if the page complains."""
    context = browser.new_context(**({"viewport": {"width": 1200, "height": 800}} | settings))
    seen = Visit(context.new_page())
    seen.page.on("console", lambda message: seen.complaints.append(message.text))
    seen.page.on("pageerror", lambda error: seen.complaints.append(str(error)))
    seen.page.on("requestfailed", lambda request: seen.complaints.append(f"failed: {request.url[:80]}"))
    seen.page.on("dialog", lambda dialog: (seen.complaints.append("dialog"), dialog.dismiss()))
    seen.page.goto(path.resolve().as_uri())
    yield seen
    context.close()
    assert seen.complaints == []


def until(page: Any, holds: str, seconds: float = 20) -> None:
    """Wait for a JavaScript expression to hold. Playwright's own waiting evaluates text, which the pages forbid."""
    deadline = time.monotonic() + seconds
    while not page.evaluate(holds):
        assert time.monotonic() < deadline, f"never came true: {holds}"
        page.wait_for_timeout(30)
