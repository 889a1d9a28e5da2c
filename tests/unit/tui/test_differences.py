"""Behind a slow line: what is left of a paint draws the same screen."""

from __future__ import annotations

import random
import re

import pytest
from rich.cells import cell_len

from wsinspect.tui.differences import Shown

SIZE = (20, 4)
STYLES = ("", "1", "38;5;9", "1;38;5;9;48;5;0", "38;2;1;2;3", "38;5;9;48;5;0", "4;7", "31", "91;40", "90;100")


class Terminal:
    """As much of a terminal as paints need: each cell's text and style."""

    def __init__(self) -> None:
        self.cells: dict[tuple[int, int], tuple[str, frozenset[str]]] = {}
        self.x = self.y = 1
        self.style: dict[str, str] = {}

    def write(self, data: str) -> None:
        for token in re.findall(r"\x1b\[[\d;]*[mH]|\n|[^\x1b\n]", data):
            if token.endswith("H") and token[0] == "\x1b":
                self.y, self.x = (int(part) for part in token[2:-1].split(";"))
            elif token.endswith("m") and token[0] == "\x1b":
                self._styled(token[2:-1])
            elif token != "\n":
                for at in range(cell_len(token)):
                    self.cells[self.y, self.x + at] = (
                        token if at == 0 else "",
                        frozenset(self.style.values()),
                    )
                self.x += cell_len(token)

    def _styled(self, codes: str) -> None:
        for code in re.findall(r"[34]8;5;\d+|[34]8;2;\d+;\d+;\d+|\d+", codes or "0"):
            if code == "0":
                self.style.clear()
            else:
                colour = re.match(r"(?:([349])8;|([349]|10)\d$)", code)
                kind = (colour[1] or colour[2]) if colour else code
                self.style[{"9": "3", "10": "4"}.get(kind, kind)] = code


def paint(chance: random.Random) -> str:
    """Some spans of some lines, as Textual writes them."""
    parts = []
    for _ in range(chance.randint(1, 4)):
        x, y = chance.randint(1, 8), chance.randint(1, SIZE[1])
        content = ""
        for _ in range(chance.randint(1, 4)):
            style, text = chance.choice(STYLES), chance.choice(("a", "bb", "世", "─ ", "e\u0301"))
            content += f"\x1b[{style}m{text}\x1b[0m" if style else text
        parts.append(f"\x1b[{y};{x}H{content}")
    return "\n".join(parts) + "\x1b[1;1H"


@pytest.mark.parametrize("seed", range(60))
def test_the_screen_is_the_same_with_fewer_bytes(seed):
    chance = random.Random(seed)
    whole, less, shown = Terminal(), Terminal(), Shown()
    for _ in range(12):
        data = paint(chance)
        whole.write(data)
        less.write(shown.changes(data, SIZE))
        assert less.cells == whole.cells
        assert (less.x, less.y, less.style) == (whole.x, whole.y, {}) or not less.cells
        assert (
            shown.changes(data, SIZE) == "" or data.count("H") > 2
        )  # spans that overlap draw each other again


def test_what_is_there_is_not_written_again_and_what_differs_alone_is():
    shown = Shown()
    first = "\x1b[1;1H\x1b[1mLIVE\x1b[0m 10 frames\x1b[1;1H"
    assert shown.changes(first, SIZE).endswith("\x1b[1;1H")
    assert shown.changes(first, SIZE) == ""
    assert shown.changes(first.replace("10", "11"), SIZE) == "\x1b[1;5H 11 frames\x1b[1;1H"


@pytest.mark.parametrize("other", ["\x1b[?1049h", "\x1b]52;c;YQ==\x07", "text"])
def test_what_is_no_paint_passes(other):
    assert Shown().changes(other, SIZE) == other


def test_another_size_and_what_was_forgotten_are_drawn_again():
    shown, data = Shown(), "\x1b[1;1Hab\x1b[1;1H"
    shown.changes(data, SIZE)
    assert "ab" in shown.changes(data, (21, 4))
    shown.forget()
    assert "ab" in shown.changes(data, (21, 4))


def test_a_line_with_more_than_text_and_styles_is_written_as_it_is():
    link = "\x1b[1;1H\x1b]8;;http://x\x1b\\here\x1b]8;;\x1b\\"
    shown = Shown()
    assert shown.changes(link, SIZE) == link
    assert shown.changes(link, SIZE) == link
