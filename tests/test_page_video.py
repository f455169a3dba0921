"""The page of a video in a real browser: it plays, leads to every moment and shows words as they are."""

from __future__ import annotations

import errno
import os
from dataclasses import replace
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest

from core.experiment import ExperimentError
from core.page import source, video
from core.page.thumbnails import MOST, pictured
from core.page.video import video_page, write_page
from core.prediction import Prediction, Segment, Word
from datasets.jpeg import encode_picture
from tests.browser import browser, until, visit
from tests.predictions import VE8, prediction
from tests.videos import grey, write_video

__all__ = ["browser"]
HOSTILE = '"><script>alert(1)</script><img src=x onerror=alert(2)>#?%20\n.mp4'


@pytest.fixture(scope="module")
def film(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """12 s that become brighter."""
    levels = list(range(20, 140))
    return write_video(tmp_path_factory.mktemp("film") / "film.mp4", grey(levels, 90, 160), fps=10)


def small_pictures(n_segments: int, noisy: bool = False) -> dict[int, bytes]:
    rng = np.random.default_rng(0)
    size = (90, 160, 3)
    frames = {i: rng.integers(0, 256, size, np.uint8) if noisy else np.full(size, 90, np.uint8) for i in range(8)}
    return {i: encode_picture(frames[i % 8]) for i in pictured(n_segments)}


@pytest.fixture(scope="module")
def report(film: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    found = prediction(8, notes=("The video has no sound.",))
    return write_page(tmp_path_factory.mktemp("page"), found, small_pictures(8), film)


def ready(page: Any) -> Any:
    until(page, "video.readyState >= 2")
    return page


def click_at(page: Any, share: float) -> None:
    box = page.locator("#timeline").bounding_box()
    page.mouse.click(box["x"] + share * box["width"], box["y"] + 100)


# In the browser


@pytest.mark.parametrize("embed", [False, True])
def test_a_click_on_the_timeline_seeks(embed: bool, browser: Any, film: Path, tmp_path: Path) -> None:
    path = write_page(tmp_path, prediction(8), small_pictures(8), film, embed=embed)
    assert sorted(p.name for p in tmp_path.iterdir()) == ["report.html"] + ["video.mp4"] * (not embed)
    with visit(browser, path) as seen:
        page = ready(seen.page)
        for share in (0.5, 0.9, 0.1):
            click_at(page, share)
            until(page, "!video.seeking")
            assert page.evaluate("video.currentTime") == pytest.approx(12 * share, abs=0.3)
            assert float(page.locator("#timeline").get_attribute("aria-valuenow")) == pytest.approx(12 * share, abs=0.3)
        assert page.locator("li[aria-current]").get_attribute("data-start") == "0.0"


def test_the_cursor_follows_the_playing_video(browser: Any, report: Path) -> None:
    with visit(browser, report) as seen:
        page = ready(seen.page)
        click_at(page, 0.5)
        until(page, "!video.seeking")
        page.evaluate("video.muted = true")
        page.locator("#timeline").press("Space")
        until(page, "video.currentTime > 7.6")
        page.locator("#timeline").press("Space")
        until(page, "video.paused")
        page.wait_for_timeout(100)
        left, time = page.evaluate("[parseFloat(cursor.style.left), video.currentTime]")
        assert left == pytest.approx(100 * time / 12, abs=1)
        segment = min(7, int(time / 1.5))
        assert float(page.locator("li[aria-current]").get_attribute("data-start")) == 1.5 * segment


def test_keys_go_from_segment_to_segment(browser: Any, report: Path) -> None:
    with visit(browser, report) as seen:
        page = ready(seen.page)
        slider = page.locator("#timeline")
        slider.focus()
        for key, expected in (("ArrowRight", 1.5), ("ArrowRight", 3), ("ArrowLeft", 1.5), ("End", 10.5), ("Home", 0)):
            slider.press(key)
            assert float(slider.get_attribute("aria-valuenow")) == expected
        assert slider.get_attribute("role") == "slider" and "%" in slider.get_attribute("aria-valuetext")
        assert page.evaluate("getComputedStyle(slider).outlineStyle") == "solid", "focus is seen"


def test_rows_and_their_pictures_seek(browser: Any, report: Path) -> None:
    with visit(browser, report) as seen:
        page = ready(seen.page)
        for part, row in ((".picture", 3), ("p", 5), ("button", 2)):
            page.locator("#segments li").nth(row).locator(part).click()
            until(page, "!video.seeking")
            assert page.evaluate("video.currentTime") == pytest.approx(1.5 * row, abs=0.05)


def test_words_show_their_emotion_and_what_rejected_them(browser: Any, report: Path) -> None:
    with visit(browser, report) as seen:
        page = seen.page
        words = {word.text: word for segment in prediction(8).segments for word in segment.words if word.verified}
        assert page.locator("#segments mark").count() >= len(words) > 0
        mark = page.locator("#segments mark").first
        assert "verified" in mark.get_attribute("title") and mark.locator("small").inner_text() in VE8.classes
        for stage in ("sentiment", "emotion", "degree"):
            struck = page.locator(f"#segments .rejected[title*='rejected by {stage}']").first
            assert struck.locator("small").inner_text() == f"✗ {stage}"
            assert "line-through" in struck.locator("s").evaluate("e => getComputedStyle(e).textDecorationLine")
        colours = {e.evaluate("e => getComputedStyle(e).boxShadow") for e in page.locator("#segments mark").all()}
        emotions = {e.locator("small").inner_text() for e in page.locator("#segments mark").all()}
        assert len(colours) == len(emotions)
        assert page.get_by_text("The video has no sound.").is_visible()


def test_hostile_names_and_subtitles_are_text(browser: Any, film: Path, tmp_path: Path) -> None:
    odd = tmp_path / os.fsdecode(HOSTILE.replace("/", "").encode() + b"\xff.mp4")
    os.link(film, odd)
    line = "<script>alert(3)</script><b onclick='alert(4)'>glad</b> &amp; \ud800"
    at = line.index("glad")
    word = Word("glad", (at, at + 4), 1, (0.2, *[0.0] * 6, 0.8), 0.5, "none", False)
    segments = (Segment(0, 12, (0.125,) * 8, 1.0, line, (word,)),)
    classes = ("</style><script>alert(5)</script>", *VE8.classes[1:])
    found = prediction(
        1, seconds=12, file=str(odd), segments=segments, classes=classes, subtitles="<i>", notes=("<script>alert(6)",)
    )
    with visit(browser, write_page(tmp_path / "p", found, {}, odd)) as seen:
        page = ready(seen.page)
        page.wait_for_timeout(200)
        assert "<script>alert(1)" in page.locator("h1").inner_text() and "<script>alert(1)" in page.title()
        assert "<script>alert(3)</script><b onclick='alert(4)'>glad" in page.locator("#segments p").inner_text()
        assert page.locator("script").count() == 1 and page.locator("b[onclick], img").count() == 0
        page.evaluate("document.body.insertAdjacentHTML('beforeend', '<img src=x onerror=alert(7)>')")
        page.wait_for_timeout(200)
        assert any("Content Security Policy" in line for line in seen.complaints), "even what got in would not run"
        assert not any("dialog" in line for line in seen.complaints)
        seen.complaints.clear()


def test_what_cannot_be_played_still_has_a_timeline(browser: Any, tmp_path: Path) -> None:
    film = write_video(tmp_path / "old.avi", grey([50] * 20), fps=10)
    path = write_page(tmp_path / "page", prediction(8), small_pictures(8), film)
    with visit(browser, path) as seen:
        page = seen.page
        page.locator("#unplayable").wait_for()
        click_at(page, 0.5)
        assert float(page.locator("#timeline").get_attribute("aria-valuenow")) == pytest.approx(6, abs=0.1)
        assert "t4" in page.locator("#preview").get_attribute("class") and page.locator("#preview").is_visible()
        seen.complaints.clear()


def test_dark_mode_is_dark_and_light_mode_light(browser: Any, report: Path) -> None:
    brightness = {}
    for scheme in ("light", "dark"):
        with visit(browser, report, color_scheme=scheme) as seen:
            shot = cv2.imdecode(np.frombuffer(seen.page.screenshot(full_page=True), np.uint8), cv2.IMREAD_GRAYSCALE)
            brightness[scheme] = float(np.median(shot))
    assert brightness["dark"] < 50 and brightness["light"] > 225


@pytest.mark.parametrize("n_segments", [1, 8, 400])
def test_a_phone_does_not_scroll_sideways(n_segments: int, browser: Any, film: Path, tmp_path: Path) -> None:
    found = prediction(n_segments, seconds=12 / n_segments, file="a" * 200 + ".mp4")
    with visit(browser, write_page(tmp_path, found, small_pictures(n_segments), film),
               viewport={"width": 360, "height": 740}) as seen:  # fmt: skip
        assert seen.page.evaluate("document.documentElement.scrollWidth") == 360
        shown = seen.page.locator(".strip .picture").evaluate_all("all => all.filter(e => e.offsetWidth).length")
        assert shown == 6


# On the disk


@pytest.mark.parametrize(("minutes", "limit"), [(10, 5e6), (120, 10e6)])
def test_long_videos_make_small_pages(minutes: int, limit: float) -> None:
    n_segments = minutes * 40
    page = video_page(prediction(n_segments), dict.fromkeys(range(n_segments), encode_picture(noise())), "video.mp4")
    assert len(page.encode()) < limit and page.count("data:image/jpeg") == MOST


def noise() -> np.ndarray:
    return np.random.default_rng(0).integers(0, 256, (90, 160, 3), np.uint8)


def test_a_page_takes_no_space_for_its_video(film: Path, tmp_path: Path) -> None:
    write_page(tmp_path, prediction(8), {}, film)
    write_page(tmp_path, prediction(8), {}, film)  # once more is no error
    assert (tmp_path / "video.mp4").samefile(film)


def test_where_no_link_can_be_it_is_a_copy(film: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object) -> None:
        raise OSError(errno.EXDEV, "another device")

    monkeypatch.setattr(source.os, "link", refuse)
    write_page(tmp_path, prediction(8), {}, film)
    copy = tmp_path / "video.mp4"
    assert not copy.samefile(film) and copy.read_bytes() == film.read_bytes()


def test_the_original_is_never_lost(film: Path, tmp_path: Path) -> None:
    original = tmp_path / "video.mp4"
    original.write_bytes(film.read_bytes())
    write_page(tmp_path, prediction(8), {}, original)
    assert original.read_bytes() == film.read_bytes()
    with pytest.raises(FileNotFoundError):
        write_page(tmp_path, prediction(8), {}, tmp_path / "gone.mp4")
    assert original.exists()


def test_a_video_too_large_to_embed_is_said(film: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(source, "MOST_EMBEDDED", 100)
    with pytest.raises(ExperimentError, match="--embed"):
        write_page(tmp_path, prediction(8), {}, film, embed=True)


def test_the_text_is_whole_around_its_words() -> None:
    found = prediction(6)
    for segment in found.segments:
        parts = video.pieces(segment)
        assert "".join(text for text, _ in parts) == segment.text
        assert [word for _, word in parts if word] == sorted(segment.words, key=lambda word: word.at)
    twice = replace(found.segments[0], words=found.segments[0].words * 2)
    assert "".join(text for text, _ in video.pieces(twice)) == twice.text


def test_a_video_without_anything_has_a_page() -> None:
    nothing = (Segment(0, 0.4, (1.0,), 0.0),)
    found = Prediction("x", 0.4, {}, ("Only",), (0,), 0.4, (1.0,), nothing, sound=False)
    assert "neutral" in video_page(found, {}, "video.mp4")
