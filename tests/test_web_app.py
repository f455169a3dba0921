"""The web app around a model and a page that are stand-ins: what it shows, what it refuses, whom it listens to."""

from __future__ import annotations

import base64
import json
import os
import re
import shutil
import signal
import socket
import subprocess
import sys
import threading
import time
import urllib.request
from collections.abc import Iterator
from html import unescape
from pathlib import Path
from typing import Any

import pytest

from core import web_app
from core.prediction import Prediction, Segment
from tests.browser import browser

__all__ = ["browser"]
MOST = 2 * 2**20  # bytes of an upload here
HOSTILE = "a \"><img src=x onerror='alert(1)'> $(id) é.mp4"
busy, busiest = threading.Semaphore(1), []


def read(video: Path, subtitles: Path | None) -> tuple[Prediction, list[bytes]]:
    alone = busy.acquire(blocking=False)
    busiest.append(alone)
    time.sleep(0.2)
    if alone:
        busy.release()
    if video.read_bytes()[4:8] != b"ftyp":
        raise ValueError(f"{video}: is <b>no</b> video")
    source = subtitles and subtitles.read_text()
    segments = tuple(Segment(2.0 * s, 2.0 * s + 2, (0.5, 0.5), 0.5) for s in range(2))
    found = Prediction(str(video), 4.0, {}, ("Joy", "Fear"), (1, -1), 2.0, (0.75, 0.25), segments, source)
    return found, [b"thumbnail"] * 2


def page(prediction: Prediction, thumbnails: list[bytes], video: Path) -> str:
    return f'<!doctype html><p title="\'">{prediction.emotion} {len(thumbnails)} {video.stat().st_size} &amp;</p>'


def as_json(prediction: Prediction) -> dict[str, Any]:
    return {"file": prediction.file, "subtitles": prediction.subtitles, "emotion": prediction.emotion}


def free_port() -> int:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        return free.getsockname()[1]


@pytest.fixture(scope="module")
def port() -> int:
    return free_port()


@pytest.fixture(scope="module")
def video(tiny_dataset: Path) -> Path:
    return next((tiny_dataset / "videos").glob("*/*.mp4"))


@pytest.fixture(scope="module")
def address(port: int, video: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """Of the running app."""
    pytest.importorskip("gradio", reason="gradio is not installed")
    with pytest.MonkeyPatch.context() as patch:
        for name in ("GRADIO_ANALYTICS_ENABLED", "GRADIO_TEMP_DIR"):
            patch.setenv(name, "")  # to be undone
        patch.setattr(web_app, "LARGEST_UPLOAD", MOST)
        folder = tmp_path_factory.mktemp("uploads")
        app = web_app.build_app(read, page, as_json, (ValueError,), [video], "Emotions", folder)
        yield web_app.start(app, port)
        app.close(verbose=False)


@pytest.fixture(scope="module")
def client(address: str) -> Any:
    from gradio_client import Client

    return Client(address, verbose=False)


def ask(client: Any, video: Path, subtitles: Path | None = None) -> str:
    from gradio_client import handle_file

    return client.predict(handle_file(video), subtitles and handle_file(subtitles), api_name="/predict")


def test_a_person_chooses_a_file_and_sees_its_page(browser: Any, address: str, video: Path, tmp_path: Path) -> None:
    """As with the mouse: upload, button, page; then the example, and a file that is no video."""
    subtitles, broken = tmp_path / "words.srt", tmp_path / "broken.mp4"
    subtitles.write_text("what is said")
    broken.write_bytes(b"nothing of a video")
    tab = browser.new_page(viewport={"width": 1200, "height": 900})
    tab.goto(address)
    files = tab.locator("input[type=file]")
    files.first.set_input_files(video)
    tab.get_by_text(" KB").first.wait_for()
    files.first.set_input_files(subtitles)  # the chosen video has taken the place of its own field
    tab.get_by_text("words").first.wait_for()
    tab.get_by_role("button", name="Show the emotions").click()
    shown = tab.frame_locator("iframe[title='Emotions over time']")
    shown.get_by_text(f"Joy 2 {video.stat().st_size} &").wait_for(timeout=60_000)
    assert tab.get_by_role("link", name=f"{video.stem}.json").get_attribute("download") == f"{video.stem}.json"
    tab.reload()
    files.first.set_input_files(broken)
    tab.get_by_text("broken").first.wait_for()
    tab.get_by_role("button", name="Show the emotions").click()
    tab.get_by_text("is <b>no</b> video").wait_for(timeout=60_000)
    tab.close()


def test_a_video_gives_its_page_and_its_json(client: Any, video: Path, tmp_path: Path) -> None:
    subtitles = tmp_path / "words.srt"
    subtitles.write_text("what is said")
    html = ask(client, video, subtitles)
    found = re.fullmatch(
        r'<a download="(.*)" href="data:application/json;base64,(.*)">.*</a><iframe (.*)></iframe>', html
    )
    name, data, frame = found.groups()
    assert name == f"{video.stem}.json"
    assert json.loads(base64.b64decode(data)) == {"file": video.name, "subtitles": "what is said", "emotion": "Joy"}
    sandbox, shown = re.fullmatch(r'.*sandbox="(.*?)" .*srcdoc="([^"]*)"', frame).groups()
    assert sandbox == "allow-scripts", "the page cannot reach the app, whatever it holds"
    assert unescape(shown) == f'<!doctype html><p title="\'">Joy 2 {video.stat().st_size} &amp;</p>'


def test_an_unreadable_file_costs_one_line_without_markup(client: Any, tmp_path: Path) -> None:
    wrong = tmp_path / HOSTILE
    wrong.write_text("no video")
    with pytest.raises(Exception, match="is &lt;b&gt;no&lt;/b&gt; video") as caught:
        ask(client, wrong)
    message = str(caught.value)
    assert "\n" not in message and "<" not in message and "gradio" not in message and "/" not in message.split(":")[0]
    with pytest.raises(Exception, match="Choose a video first"):
        client.predict(None, None, api_name="/predict")


def test_a_hostile_name_stays_text(client: Any, video: Path, tmp_path: Path) -> None:
    shutil.copy(video, tmp_path / HOSTILE)
    html = ask(client, tmp_path / HOSTILE)
    assert "<img" not in html and html.startswith('<a download="a ') and html.count("<") == 4


def test_one_prediction_at_a_time(client: Any, video: Path) -> None:
    from gradio_client import handle_file

    busiest.clear()
    jobs = [client.submit(handle_file(video), None, api_name="/predict") for _ in range(3)]
    assert all("Joy" in job.result(timeout=120) for job in jobs)
    assert busiest == [True] * 3


def test_a_file_that_is_too_large_is_refused(client: Any, tmp_path: Path) -> None:
    large = tmp_path / "large.mp4"
    large.write_bytes(b"\0\0\0\0ftyp" + bytes(MOST))
    with pytest.raises(Exception, match=r"413|exceed|Payload|large"):
        ask(client, large)


def test_only_this_computer_is_listened_to(address: str, port: int) -> None:
    assert address == f"http://127.0.0.1:{port}/"
    socket.create_connection(("127.0.0.1", port), timeout=10).close()
    with pytest.raises(ConnectionRefusedError):  # which an app that listens to all addresses takes
        socket.create_connection(("127.0.0.2", port), timeout=10)


def test_nothing_is_loaded_from_elsewhere(address: str) -> None:
    def fetch(path: str) -> str:
        with urllib.request.urlopen(address + path, timeout=60) as answer:
            return answer.read().decode()

    start = fetch("")
    assert re.findall(r'<(?:script|link|img)[^>]*(?:src|href)="(?:https?:)?//[^"]*"', start) == []
    config = json.loads(fetch("config"))
    assert config["stylesheets"] == [] and not config["analytics_enabled"] and config["title"] == "Emotions"
    assert re.findall(r"@import|url\(['\"]?(?:https?:)?//", fetch("theme.css")) == []


def test_a_taken_port_is_said(address: str, port: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GRADIO_TEMP_DIR", "")
    app = web_app.build_app(read, page, as_json, (ValueError,), [], "Emotions", tmp_path)
    with pytest.raises(web_app.WebAppError, match=f"--port {port}"):
        web_app.start(app, port)


def test_without_gradio_it_says_what_to_install(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("GRADIO_ANALYTICS_ENABLED", "GRADIO_TEMP_DIR"):
        monkeypatch.setenv(name, "")
    monkeypatch.setitem(sys.modules, "gradio", None)
    with pytest.raises(web_app.WebAppError, match="pip install gradio"):
        web_app.build_app(read, page, as_json, (ValueError,), [], "Emotions", tmp_path)


SERVED = """
import signal, sys
from tests.test_web_app import as_json, page, read
from core import web_app
signal.signal(signal.SIGINT, signal.default_int_handler)
web_app.serve(read, page, as_json, (ValueError,), [], "Emotions", int(sys.argv[1]))
"""


def test_nothing_is_left_after_the_end(video: Path, tmp_path: Path) -> None:
    pytest.importorskip("gradio", reason="gradio is not installed")
    from gradio_client import Client

    port = free_port()
    process = subprocess.Popen(
        [sys.executable, "-c", SERVED, str(port)],
        cwd=Path(__file__).parents[1],
        env=os.environ | {"TMPDIR": str(tmp_path)},
        stdout=subprocess.PIPE,
        text=True,
    )
    try:
        assert f"http://127.0.0.1:{port}/" in process.stdout.readline()
        ask(Client(f"http://127.0.0.1:{port}", verbose=False), video)
        assert len(list(tmp_path.glob(f"mart-*/*/{video.name}"))) == 1
        process.send_signal(signal.SIGINT)
        assert process.wait(timeout=60) == 0
    finally:
        process.kill()
    assert list(tmp_path.glob("mart-*")) == []
