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
