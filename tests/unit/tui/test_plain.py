"""`--plain`: every page in lines of words, and the terminal's cursor on the line that is chosen."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from tests.support.tui_captures import CaptureBuilder, chat_capture
from tests.support.tui_pilot import opened
from wsinspect.tui.widgets.base import LinePane

pytestmark = pytest.mark.asyncio
#: Lines of a box or a rule, blocks, and rules made of ASCII.
DRAWN = re.compile(r"[\u2500-\u25ff]|-{4}|={4}|#{4}|\|-")


@pytest.fixture
def chat(tmp_path: Path) -> Path:
    return chat_capture(tmp_path / "chat.db")


@pytest.mark.parametrize("size", [(80, 24), pytest.param((120, 36), marks=pytest.mark.slow)])
async def test_nothing_is_drawn_on_any_page(chat, size):
    async with opened(chat, size=size, is_plain=True) as screen:
        for keys in ("3", "t", "i", "h", "W", "S", "f"):
            await screen.press(keys)
            for pane in screen.app.page.query(LinePane):
                if pane.is_on_screen:
                    text = "\n".join(pane.text())
                    assert not DRAWN.search(text.replace("ws://", "")), (keys, text)
                    assert text.strip()


async def test_lanes_and_activity_are_words(chat):
    async with opened(chat, is_plain=True) as screen:
        await screen.press("3", "g")
        text = screen.text()
        assert "client to server TEXT" in text
        assert "server to client PING" in text
        assert "client to server: 6 frames, most of them around" in text
        await screen.press("t")
        assert "closed 10.000 s to 15.000 s" in "\n".join(screen.pane("timeline"))


async def test_activity_in_words_counts_each_frame_once(tmp_path):
    """Of a long time the 60 stretches have common bins at their ends."""
    path = tmp_path / "long.db"
    with CaptureBuilder(path) as builder:
        builder.connection(1, 0)
        for number in range(1_000):
            builder.frame(1, number * 37, 1, b"tick", s2c=bool(number % 2))
    async with opened(path, is_plain=True) as screen:
        text = "\n".join(screen.pane("overview"))
        assert "client to server: 500 frames, most" in text
        assert "server to client: 500 frames, most" in text


async def test_the_terminals_cursor_is_on_the_chosen_line(chat):
    async with opened(chat, is_plain=True) as screen:
        await screen.press("3", "g", "down", "down")
        frames = screen.main.frames
        await screen.until(lambda: screen.app.cursor_position == frames.cursor_place())
        y = screen.app.cursor_position.y - frames.region.y
        assert frames.render_line(y).text.split()[0] == "3"
        await screen.press("i")
        pane = screen.app.page.pane
        await screen.until(lambda: screen.app.cursor_position == pane.cursor_place())
        assert "WS-FR-003" in pane.render_line(pane.cursor_place().y - pane.region.y).text
