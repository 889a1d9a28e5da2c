"""Screens as SVG files in the repository, compared with what is drawn now.

`UPDATE_SNAPSHOTS=1` writes them again. A difference is printed as text, line by line; the new picture is put
next to the test's other files.
"""

from __future__ import annotations

import difflib
import html
import os
import re
from pathlib import Path

_FONT = re.compile(r"@font-face \{.*?\}", re.DOTALL)
_UNIQUE = re.compile(r"terminal-\d+-")
_COLOUR = re.compile(r"\.([\w-]+-r\d+) \{ fill: (#[0-9a-f]{6})")
_GROUND = re.compile(
    r'<rect fill="(#[0-9a-f]{6})" x="([\d.]+)" y="([\d.]+)" width="([\d.]+)" height="([\d.]+)"'
)
_PLACED = re.compile(r'<text class="([^"]*)" x="([^"]*)" y="([^"]*)"[^>]*>(.*?)</text>', re.DOTALL)
_TEXT = re.compile(r'<text class="[^"]*" x="([^"]*)" y="([^"]*)"[^>]*>(.*?)</text>', re.DOTALL)


def portable(svg: str) -> str:
    """Without fonts from elsewhere (the reader's own monospace one will do), and without random names."""
    return _UNIQUE.sub("screen-", _FONT.sub("", svg))


def text_of(svg: str) -> list[str]:
    """The lines of a screen, for people to compare."""
    lines: dict[float, list[tuple[float, str]]] = {}
    for x, y, text in _TEXT.findall(svg):
        lines.setdefault(float(y), []).append((float(x), html.unescape(text).replace("\xa0", " ")))
    return ["".join(text for _, text in sorted(lines[y])).rstrip() for y in sorted(lines)]


def faint_words(svg: str, least: float = 4.5) -> list[str]:
    """Words of a screen with less contrast to what they stand on than WCAG 2.2 asks for (1.4.3)."""
    colours = dict(_COLOUR.findall(svg))
    grounds = [(colour, *map(float, place)) for colour, *place in _GROUND.findall(svg)]
    found = []
    for name, x, y, text in _PLACED.findall(svg):
        words = html.unescape(text).replace("\xa0", " ").strip()
        # A text stands on its base line: a little above and to the right is inside its first cell.
        at_x, at_y = float(x) + 3, float(y) - 6
        below = [
            colour
            for colour, left, top, width, height in grounds
            if left <= at_x < left + width and top <= at_y < top + height
        ]
        is_text = name in colours and bool(below) and any(map(str.isalnum, words))
        if is_text and contrast(colours[name], below[-1]) < least:
            found.append(words)
    return found


def contrast(one: str, other: str) -> float:
    """The contrast ratio of two colours, `#rrggbb`, by WCAG 2.2."""
    dark, light = sorted(map(_luminance, (one, other)))
    return (light + 0.05) / (dark + 0.05)


def _luminance(colour: str) -> float:
    parts = [int(colour[at : at + 2], 16) / 255 for at in (1, 3, 5)]
    red, green, blue = (
        part / 12.92 if part <= 0.04045 else ((part + 0.055) / 1.055) ** 2.4 for part in parts
    )
    return 0.2126 * red + 0.7152 * green + 0.0722 * blue


def assert_same_screen(svg: str, known: Path, scratch: Path) -> None:
    """Compare with the file, or write it where that is wanted.

    Raises:
        AssertionError: it differs, or there is none.
    """
    now = portable(svg)
    if os.environ.get("UPDATE_SNAPSHOTS"):
        known.parent.mkdir(parents=True, exist_ok=True)
        known.write_text(now, "utf-8")
        return
    assert known.exists(), f"{known.name} is not there: UPDATE_SNAPSHOTS=1 writes it"
    before = known.read_text("utf-8")
    if before == now:
        return
    new = scratch / known.name
    new.write_text(now, "utf-8")
    difference = "\n".join(
        difflib.unified_diff(text_of(before), text_of(now), "known", "now", lineterm="", n=1)
    )
    raise AssertionError(f"{known.name} differs (now: {new})\n{difference or 'only in its colours'}")
