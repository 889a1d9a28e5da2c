"""The overview: marks of what is no frame, zoom and pan."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.support.tui_captures import CaptureBuilder, at, chat_capture
from tests.support.tui_pilot import Screen, opened

pytestmark = pytest.mark.asyncio


def marks(screen: Screen) -> str:
    return screen.pane("overview")[3]


@pytest.fixture
def ended(tmp_path: Path) -> Path:
    """Frames over ten seconds; a connection that ends in the middle without a CLOSE, and why."""
    path = tmp_path / "ended.db"
    with CaptureBuilder(path) as builder:
        builder.connection(1, 0, state="closed", closed_ns=at(5_000), how="rst", js_code=1006, js_was_clean=0)
        builder.connection(2, 0)
        for number in range(101):
            builder.frame(2, number * 100, 1, b"tick")
        builder.finding("WS-DROP-001", "error", 1, None, title="reset")
        builder.insert(
            "fault_event", time_ns=at(2_500), connection_id=2, rule="cut", kind="abort", seed=1, detail="{}"
        )
        builder.finding("WS-FR-003", "warning", 2, 76, title="odd")
    return path


async def test_ends_findings_and_faults_without_frames_are_marked_at_their_time(ended):
    async with opened(ended, size=(106, 36)) as screen:
        await screen.press("3", "g")
        shown = marks(screen)[5:]
        assert 24 <= shown.index("~") <= 26
        assert 49 <= shown.index("x") <= 51
        assert 74 <= shown.index("!") <= 76
        await screen.press("1", "down")
        await screen.until(lambda: screen.selection.connection == 2)
        await screen.press("3", "g")
        assert "x" not in marks(screen)
        assert {"~", "!"} <= set(marks(screen))


async def test_zoom_shows_a_part_and_pan_moves_it(chat):
    async with opened(chat) as screen:
        await screen.press("3", "g", "2")
        whole = screen.line("overview")
        assert "5.100 to 14.503 s" in whole
        await screen.press("plus", "plus")
        zoomed = screen.line("overview")
        assert "zoom 2.351 s" in zoomed
        await screen.press("right", "right")
        assert screen.line("overview") != zoomed
        await screen.press(*["right"] * 40)
        assert "to 14.503 s" in screen.line("overview")
        await screen.press("minus", "minus", "minus")
        assert "5.100 to 14.503 s" in screen.line("overview")
        await screen.press("plus", "0")
        assert screen.line("overview") == whole


@pytest.fixture
def chat(tmp_path: Path) -> Path:
    return chat_capture(tmp_path / "chat.db")
