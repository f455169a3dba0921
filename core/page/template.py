"""From a template of this folder to a whole page: everything is escaped, and nothing runs but the page's own script."""

from __future__ import annotations

import base64
import hashlib
from functools import cache
from pathlib import Path

from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markupsafe import Markup

from core.palette import emotion_colours, is_light
from core.prediction import SENTIMENTS
from core.timeaxis import clock

_FOLDER = Path(__file__).parent
_ON_DARK = {"#000000": "#d8dbe0"}  # colours of the palette that a dark page would hide


def render(name: str, /, *, n_classes: int, style: str = "", **values: object) -> str:
    """The page `name`.html with `name`.css and `name`.js, where there are such files.

    style: CSS of this page alone. An element of class e<i> has the colour of emotion i of `n_classes` as var(--e).
    """
    style = _asset("page.css") + _asset(f"{name}.css") + _palette(n_classes) + style
    script = _asset(f"{name}.js")
    policy = (
        f"default-src 'none'; style-src {_digest(style)}; script-src {_digest(script)}; "
        "img-src data:; media-src 'self' file: data:; base-uri 'none'; form-action 'none'"
    )
    template = _environment().get_template(f"{name}.html")
    page = template.render(values, policy=policy, style=Markup(style), script=Markup(script))
    return page.encode("utf-8", "replace").decode()  # half characters, of file names that are no UTF-8


def _asset(name: str) -> str:
    path = _FOLDER / name
    return path.read_text(encoding="utf-8") if path.exists() else ""


def _palette(n_classes: int) -> str:
    rules, dark = [], []
    for i, colour in enumerate(emotion_colours(n_classes)):
        rules.append(_rule(i, colour))
        if colour in _ON_DARK:
            dark.append(_rule(i, _ON_DARK[colour]))
    return f"{''.join(rules)}@media (prefers-color-scheme: dark) {{{''.join(dark)}}}\n"


def _rule(emotion: int, colour: str) -> str:
    return f".e{emotion}{{--e:{colour};--on:{'#000' if is_light(colour) else '#fff'}}}\n"


def _digest(text: str) -> str:
    """As a Content-Security-Policy names an inline style or script."""
    return f"'sha256-{base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()}'"


@cache
def _environment() -> Environment:
    environment = Environment(
        loader=FileSystemLoader(_FOLDER), autoescape=True, undefined=StrictUndefined, trim_blocks=True,
        lstrip_blocks=True,
    )  # fmt: skip
    environment.filters |= {"clock": clock, "percent": lambda share: f"{100 * share:.0f} %"}
    environment.globals["sentiments"] = SENTIMENTS
    return environment
