"""The page of an evaluation: its numbers are the metrics', its links lead there and back, and names stay text."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from matplotlib import pyplot as plt

from core.courses import annotated_course, prediction_of
from core.evaluation import Predictions, all_metrics
from core.page.evaluation import find_mistakes, write_evaluation
from core.timeline import draw_timeline
from tests.browser import browser, visit
from tests.predictions import VE8, prediction

__all__ = ["browser"]
ABOUT = {"Checkpoint": "</dd><script>alert(1)</script>", "Epoch": 16}


def some_predictions(n_videos: int = 60, n_segments: int = 8) -> Predictions:
    """Two of three videos are recognised; every second one has an annotated course, silent in its first segment."""
    rng = np.random.default_rng(0)

    def course(seed: int) -> np.ndarray:
        segments = prediction(n_segments, seed=seed).segments
        return np.array([[segment.degree * share for share in segment.probabilities] for segment in segments])

    labels = np.arange(n_videos) % 8
    scores = rng.normal(size=(n_videos, 8))
    scores[np.arange(n_videos), np.where(np.arange(n_videos) % 3, labels, (labels + 1) % 8)] += 6
    truth = np.stack([course(i + 1000) for i in range(n_videos)])
    truth[:, 0], truth[1::2] = 0, 0
    times = 1.5 * np.arange(n_segments)
    return Predictions(
        keys=[("<b>class</b>", f'"><script>alert({i})</script>') for i in range(n_videos)],
        labels=labels,
        scores=scores,
        temporal=np.stack([course(i) for i in range(n_videos)]),
        truth=truth / np.maximum(truth.sum(axis=(1, 2), keepdims=True), 1e-9),
        blocks=np.tile(np.stack([times, times + 1.5], axis=1), (n_videos, 1, 1)),
        courses=[
            () if i % 2 else (SimpleNamespace(start=1.5, end=6.0, label=VE8.classes[labels[i]]),)
            for i in range(n_videos)
        ],
        given=np.arange(3) != np.where(np.arange(n_videos) == 0, 1, 3)[:, None],  # the first one has no sound
        streams=("visual", "audio"),
        loss=1.25,
        left_out=["<i>broken</i>: no frames"],
    )


@pytest.fixture(scope="module")
def found() -> Predictions:
    return some_predictions()


@pytest.fixture(scope="module")
def report(found: Predictions, tmp_path_factory: pytest.TempPathFactory) -> Path:
    metrics = all_metrics(found, VE8.classes, VE8.polarity)
    return write_evaluation(tmp_path_factory.mktemp("r"), found, metrics, VE8.classes, VE8.polarity, ABOUT)


def test_the_numbers_are_the_metrics(browser: Any, found: Predictions, report: Path) -> None:
    metrics = all_metrics(found, VE8.classes, VE8.polarity)
    with visit(browser, report) as seen:
        rows = seen.page.locator(".confusion tbody tr").all()
        counts = [[int(cell.inner_text()) for cell in row.locator("td:not(.sum)").all()] for row in rows]
        assert counts == metrics["confusion_matrix"]
        assert f"{100 * metrics['acc_e']:.1f}" in seen.page.locator(".headline").inner_text()
        low, high = metrics["intervals"]["f1_e"]
        assert f"95 %: {100 * low:.1f} to {100 * high:.1f}" in seen.page.locator(".headline").inner_text()
        text = seen.page.locator("main").inner_text()
        assert "without sound\n1\n" in seen.page.locator(".about").inner_text().lower()
        assert f"{metrics['temporal']['kl']:.3f} 95 %: {metrics['intervals']['kl'][0]:.3f} to " in text
        bars = seen.page.locator(".bars tbody tr").all()
        assert [bar.locator("th").inner_text() for bar in bars] == list(VE8.classes)
        wide = [
            bar.locator("rect").bounding_box()["width"] / bar.locator("svg").bounding_box()["width"] for bar in bars
        ]
        assert wide == pytest.approx([metrics["per_class"][name] for name in VE8.classes], abs=0.02)


def test_links_lead_from_cells_to_mistakes_and_back(browser: Any, report: Path) -> None:
    with visit(browser, report) as seen:
        page = seen.page
        broken = page.evaluate(
            "[...document.links].filter(a => !document.querySelector(a.getAttribute('href'))).length"
        )
        assert broken == 0 and page.locator(".confusion a").count() > 0
        cell = page.locator(".confusion a").first
        target, count = cell.get_attribute("href"), int(cell.inner_text())
        cell.click()
        group = page.locator(target)
        assert page.url.endswith(target) and group.locator("tr").count() == 1 + count
        assert group.evaluate("e => e === document.querySelector(':target')")
        group.locator("th a").click()
        assert page.url.endswith(target.replace("mistakes", "cell"))
        page.get_by_label("Timeline of").first.click()
        assert "#video-" in page.url and page.locator(".cards li").count() == 12


def test_names_are_text_on_a_phone_too(browser: Any, report: Path) -> None:
    for width, scheme in ((360, "dark"), (1200, "light")):
        with visit(browser, report, viewport={"width": width, "height": 740}, color_scheme=scheme) as seen:
            text = seen.page.locator("main").inner_text()
            assert '<b>class</b>/"><script>alert(0)' in text and "<i>broken</i>" in text and ABOUT["Checkpoint"] in text
            assert seen.page.locator("script").count() == 0
            assert seen.page.evaluate("document.documentElement.scrollWidth") == width


def test_the_most_confident_mistakes_come_first(found: Predictions) -> None:
    mistakes = find_mistakes(found, VE8.classes, VE8.polarity)
    confidence = [mistake.probabilities[mistake.taken] for mistake in mistakes]
    assert confidence == sorted(confidence, reverse=True) and all(m.label != m.taken for m in mistakes)
    assert [mistake.number for mistake in mistakes[:13]] == [*range(1, 13), None]
    assert len(mistakes) == (found.scores.argmax(axis=1) != found.labels).sum()


def test_a_perfect_model_has_a_page(tmp_path: Path) -> None:
    perfect = some_predictions(8)
    perfect.scores = np.eye(8)
    perfect.truth[:] = 0
    metrics = all_metrics(perfect, VE8.classes, VE8.polarity)
    text = write_evaluation(tmp_path, perfect, metrics, VE8.classes, VE8.polarity, {}).read_text()
    assert "every video is recognised" in text and "Temporal emotion" not in text and "95 %" in text
    single = some_predictions(1)
    metrics = all_metrics(single, VE8.classes, VE8.polarity)
    assert "95 %" not in write_evaluation(tmp_path, single, metrics, VE8.classes, VE8.polarity, {}).read_text()


# Single videos of it


def test_a_video_is_as_the_model_and_the_annotation_say(found: Predictions) -> None:
    video = prediction_of(found, 4, VE8.classes, VE8.polarity)
    assert (
        video.file.startswith("<b>class</b>/") and video.duration == 12 and sum(video.probabilities) == pytest.approx(1)
    )
    rebuilt = [[segment.degree * share for share in segment.probabilities] for segment in video.segments]
    np.testing.assert_allclose(rebuilt, found.temporal[4], atol=1e-7)
    course = annotated_course(found, 4)
    assert not any(course[0].probabilities) and sum(segment.degree for segment in course) == pytest.approx(1)
    assert annotated_course(found, 5) == ()


@pytest.mark.parametrize("n_segments", [1, 8, 400])
@pytest.mark.filterwarnings("error")
def test_the_timeline_as_a_picture(n_segments: int) -> None:
    video = prediction(n_segments, file="$a_{b\n\u611b.mp4")
    figure = draw_timeline(video, video.segments)
    labels = [axes.get_label() for axes in figure.axes]
    assert labels == ["emotions", "degree", "annotated emotions", "annotated degree"]
    assert len(draw_timeline(video).axes) == 2 and plt.get_fignums() == []
    figure.canvas.draw()
    steps = [patch.get_data() for patch in figure.axes[0].patches]
    heights = np.array([np.asarray(step.values) - step.baseline for step in steps]).T
    np.testing.assert_allclose(heights, [segment.probabilities for segment in video.segments], atol=1e-9)
    legend = figure.legends[0].get_window_extent()
    assert legend.y1 < figure.axes[-1].get_tightbbox().y0
