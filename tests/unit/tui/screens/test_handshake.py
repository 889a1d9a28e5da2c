"""The handshake page, and the headers of a refused attempt, on a narrow terminal."""

from __future__ import annotations

import inspect
import re
from pathlib import Path

import pytest

from tests.support.tui_captures import CaptureBuilder, chat_capture
from tests.support.tui_pilot import opened
from wsinspect.handshake import negotiation
from wsinspect.present.handshakes import BROKEN_RULES

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


async def test_header_blocks_and_body_stand_apart(tmp_path):
    with CaptureBuilder(tmp_path / "refused.db") as builder:
        builder.refused(1, 0)
        builder.database.execute("""UPDATE handshake SET body = X'6e6f', problems = '["version", "odd"]'""")
    async with opened(tmp_path / "refused.db", size=(120, 50)) as screen:
        screen.main.show_connection(1)
        await screen.until(lambda: screen.selection.connection == 1)
        await screen.press("h")
        shown = [line.strip() for line in screen.pane("handshake")]
        assert "Body (2 bytes kept)" in shown, shown
        for title in ("Request (", "Response (", "Body ("):
            at = next(at for at, line in enumerate(shown) if line.startswith(title))
            assert shown[at - 1] == "", title
        at = shown.index("broken        request: Sec-WebSocket-Version is not 13")
        assert shown[at + 1] == "odd"


async def test_every_broken_rule_has_words():
    """The codes that are documented with the attribute."""
    documented = inspect.getdoc(negotiation.Negotiation) or ""
    codes = re.findall(r"`([a-z0-9-]+)`", documented.partition("problems: ")[2])
    assert set(codes) == set(BROKEN_RULES)


async def test_names_of_columns_stand_above_something(chat):
    async with opened(chat, size=(120, 60)) as screen:
        await screen.press("1", "down", "h")
        text = "\n".join(screen.pane("handshake"))
        assert "CLIENT to PROXY" in text
        assert "SERVER to PROXY" in text
        await screen.press("d")
        text = "\n".join(screen.pane("handshake"))
        assert "CLIENT to PROXY" in text
        assert "Response (unchanged)" in text
        assert "SERVER to PROXY" not in text
