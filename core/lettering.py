"""Users' words in matplotlib pictures: whatever characters they hold, as they are and within their place."""

from __future__ import annotations

from functools import cache

from matplotlib.font_manager import FontProperties, findfont, fontManager, get_font
from matplotlib.text import Text

# For scripts that matplotlib's own font lacks, where one of these is installed.
_OTHER_FONTS = ("Noto Sans CJK SC", "Noto Sans CJK JP", "WenQuanYi Zen Hei", "Microsoft YaHei", "PingFang SC")
_NO_GLYPH = "\u25a1"


def plain(words: str, longest: int = 80) -> str:
    """One line of characters that can be drawn: what no font has becomes a box."""
    words = " ".join("".join(char if char.isprintable() else " " for char in words).split())
    words = words if len(words) <= longest else words[: longest - 1] + "\u2026"
    return "".join(char if ord(char) in _fonts()[1] else _NO_GLYPH for char in words)


def write(text: Text, words: str, points: float = float("inf"), ending: str = "") -> None:
    """Let `text` say `words` and then `ending`, as they are, with as many of the words' letters as fit in `points`."""
    text.set(text=words + ending, parse_math=False, fontfamily=_fonts()[0])
    figure = text.get_figure()
    limit = points * figure.dpi / 72
    while words and (width := text.get_window_extent(figure.canvas.get_renderer()).width) > limit:
        words = words[: min(len(words) - 1, int(len(words) * limit / width))]
        text.set_text(f"{words}\u2026{ending}")


@cache
def _fonts() -> tuple[list[str], frozenset[int]]:
    """Families to draw users' words with, and the characters that one of them has in both weights."""
    installed = set(fontManager.get_font_names())
    families = ["DejaVu Sans", *(name for name in _OTHER_FONTS if name in installed)]
    characters: set[int] = set()
    for family in families:
        files = {findfont(FontProperties(family=family, weight=weight)) for weight in ("normal", "bold")}
        characters |= set.intersection(*(set(get_font(file).get_charmap()) for file in files))
    return families, frozenset(characters)
