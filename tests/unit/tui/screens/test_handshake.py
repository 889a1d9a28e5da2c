"""The handshake page, and the headers of a refused attempt, on a narrow terminal."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from tests.support.tui_captures import chat_capture
from tests.support.tui_pilot import opened

pytestmark = pytest.mark.asyncio


@pytest.fixture
def chat(tmp_path: Path) -> Path:
    return chat_capture(tmp_path / "chat.db")


async def test_at_60_columns_the_time_of_a_step_keeps_its_unit(chat):
    async with opened(chat, size=(60, 20)) as screen:
        await screen.press("1", "down", "h")
        lines = [line.rstrip(" │█") for line in screen.pane("handshake")]
        steps = [line for line in lines if re.search(r"\+[0-9.]+ ms  \w", line)]
        assert steps
        assert all(re.search(r"  \+[0-9.]+ (us|ms|s)$", line) for line in steps), steps


async def test_at_60_columns_the_headers_of_a_refused_attempt_continue_below(chat):
    async with opened(chat, size=(60, 40)) as screen:
        screen.main.show_connection(1)
        await screen.until(lambda: screen.selection.connection == 1)
        await screen.press("3")
        text = "\n".join(screen.pane("frames"))
        assert "This attempt never opened" in text
        assert "Request (" in text
        assert "…" not in text


async def test_the_title_says_what_the_marks_mean(chat):
    async with opened(chat, size=(120, 24)) as screen:
        await screen.press("1", "down", "h")
        assert "~ changed  + added  - removed  > moved" in screen.pane("handshake")[0]
        await screen.press("d")
        assert "only differences" in screen.pane("handshake")[0]
        assert "> moved" not in screen.pane("handshake")[0]
