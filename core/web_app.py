"""A web page on this computer alone that takes a video and shows its emotions over time. Needs gradio, not network."""

from __future__ import annotations

import base64
import json
import os
from collections.abc import Callable, Sequence
from dataclasses import replace
from html import escape
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any

from core.prediction import Prediction

if TYPE_CHECKING:
    from gradio import Blocks

Read = Callable[[Path, Path | None], tuple[Prediction, list[bytes]]]
Page = Callable[[Prediction, list[bytes], Path], str]
AsJson = Callable[[Prediction], dict[str, Any]]
Errors = tuple[type[Exception], ...]

LARGEST_UPLOAD = 200 * 2**20  # bytes; the result's page holds the video as text, a third larger
MOST_WAITING = 16  # predictions that may be asked for while one is made
KEPT = 6 * 3600  # seconds that an uploaded file stays on the disk


class WebAppError(ValueError):
    """The page cannot be shown."""


def build_app(
    read: Read, page: Page, as_json: AsJson, errors: Errors, examples: Sequence[Path], title: str, folder: Path
) -> Blocks:
    """The app, which puts uploaded files into `folder`. Raises WebAppError without gradio.

    read: what a model finds in a video file, with subtitles or without, and thumbnails.
    page: one self-contained HTML page of both and of the video; its scripts run, but cannot reach the app.
    errors: of these, from either, the user sees the message; of others, that something went wrong.
    """
    os.environ |= {"GRADIO_ANALYTICS_ENABLED": "False", "GRADIO_TEMP_DIR": str(folder)}
    try:
        import gradio
    except ImportError:
        raise WebAppError("--serve needs gradio; run `sh run.sh setup` or `pip install gradio`") from None

    def show(video: str | None, subtitles: str | None) -> str:
        if video is None:
            raise gradio.Error("Choose a video first", title="No video", print_exception=False)
        path = Path(video)
        try:
            found, thumbnails = read(path, Path(subtitles) if subtitles else None)
            found = replace(found, file=path.name)  # the folder is the app's own
            return result(page(found, thumbnails, path), as_json(found), f"{path.stem}.json")
        except errors as error:
            message = escape(str(error).replace(str(path), path.name))
            raise gradio.Error(message, title="Not readable", print_exception=False) from None

    with gradio.Blocks(title=title, analytics_enabled=False, delete_cache=(KEPT // 6, KEPT)) as app:
        gradio.Markdown(f"# {title}")
        with gradio.Row():
            video = gradio.File(label="Video", height=140)
            subtitles = gradio.File(label="Subtitles (.srt), if there are any", file_types=[".srt"], height=140)
        button = gradio.Button("Show the emotions", variant="primary")
        if examples:
            gradio.Examples([[str(path)] for path in examples], [video], cache_examples=False)
        output = gradio.HTML(label="Emotions over time")
        button.click(show, [video, subtitles], output, api_name="predict", concurrency_limit=1)
    return app.queue(max_size=MOST_WAITING)


def result(page: str, content: dict[str, Any], name: str) -> str:
    """HTML of a link that saves `content` under `name`, above the page, which is shut off from what surrounds it."""
    data = base64.b64encode(json.dumps(content, indent=2, ensure_ascii=False).encode()).decode()
    return (
        f'<a download="{escape(name)}" href="data:application/json;base64,{data}">{escape(name)}</a>'
        '<iframe title="Emotions over time" sandbox="allow-scripts" allow="fullscreen" '
        f'style="width: 100%; height: 90vh; border: 0" srcdoc="{escape(page)}"></iframe>'
    )


def start(app: Blocks, port: int) -> str:
    """Open the app to this computer alone; gives its address. Raises WebAppError where the port is taken."""
    from gradio.themes import Base

    try:
        _, address, _ = app.launch(
            server_name="127.0.0.1",
            server_port=port,
            share=False,
            prevent_thread_lock=True,
            quiet=True,
            theme=Base(),  # its fonts come with gradio
            footer_links=[],
            max_file_size=LARGEST_UPLOAD,
            ssr_mode=False,
            mcp_server=False,
            run_history=False,
            enable_monitoring=False,
        )
    except OSError:
        raise WebAppError(f"--port {port}: cannot be used, perhaps another program does; choose another") from None
    return address


def serve(
    read: Read, page: Page, as_json: AsJson, errors: Errors, examples: Sequence[Path], title: str, port: int
) -> None:
    """Build the app, open it and keep it open until Ctrl-C; then nothing is left of what was uploaded."""
    with TemporaryDirectory(prefix="mart-") as folder:
        app = build_app(read, page, as_json, errors, examples, title, Path(folder))
        print(f"open {start(app, port)} in a browser; Ctrl-C ends it", flush=True)
        app.block_thread()
