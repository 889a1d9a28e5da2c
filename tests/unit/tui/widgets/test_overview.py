"""The overview: marks of what is no frame, zoom and pan."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.support.tui_captures import CaptureBuilder, at, chat_capture
from tests.support.tui_pilot import Screen, opened
from wsinspect.present.clock import Clock
from wsinspect.tui.histogram import MARK_CLOSE as CLOSE
from wsinspect.tui.histogram import MARK_FAULT as FAULT
from wsinspect.tui.histogram import MARK_FINDING as FINDING
from wsinspect.tui.histogram import MARK_GAP as GAP
from wsinspect.tui.histogram import MARK_MATCH as MATCH
from wsinspect.tui.histogram import MARK_PING as PING
from wsinspect.tui.histogram import RANKED, side_by_side


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


@pytest.mark.asyncio
async def test_ends_findings_and_faults_without_frames_are_marked_at_their_time(ended):
    async with opened(ended, size=(106, 36)) as screen:
        await screen.press("3", "g")
        shown = marks(screen)[5:]
        assert 24 <= shown.index("~") <= 26
        assert 49 <= shown.index("x") <= 51
        assert "!" in shown[shown.index("x") - 1 :][:3], "why it ended stands next to where it ended"
        assert 74 <= shown.rindex("!") <= 76
        await screen.press("1", "down")
        await screen.until(lambda: screen.selection.connection == 2)
        await screen.press("3", "g")
        assert "x" not in marks(screen)
        assert {"~", "!"} <= set(marks(screen))


@pytest.mark.asyncio
async def test_an_end_after_a_minute_of_silence_is_in_the_overview(tmp_path):
    """An idle timeout is the usual question: its silence is most of what is drawn."""
    path = tmp_path / "idle.db"
    with CaptureBuilder(path) as builder:
        builder.connection(1, 0, state="closed", closed_ns=at(62_000), how="fin", ended_by="server")
        for number in range(20):
            builder.frame(1, number * 100, 1, b"tick")
        builder.finding("WS-DROP-001", "error", 1, None, title="idle")
    async with opened(path, size=(106, 36)) as screen:
        await screen.press("1", "down")
        await screen.until(lambda: screen.selection.connection == 1)
        shown = marks(screen)[5:]
        assert "x" in shown[-4:]
        assert "!" in shown[-4:]
        assert 45 <= shown.index(":") <= 55, "the silence before the end"
        assert "0.000 to 62.000 s" in screen.line("overview")
        bars = screen.pane("overview")[2][5:]
        assert set(bars[10:].strip()) <= set(screen.app.workspace.glyphs.bars[0] + " ")
        await screen.press("1", "up")
        await screen.until(lambda: screen.selection.connection is None)
        assert "x" in marks(screen)[-6:]


SIGNS = {0: " ", CLOSE: "x", FINDING: "!", FAULT: "~", PING: "p", GAP: ":", MATCH: "o"}


@pytest.mark.parametrize(
    ("cells", "shown", "several"),
    [
        ([CLOSE | PING, 0, 0], "xp ", []),
        ([0, CLOSE | PING], "px", []),
        ([PING, CLOSE | PING, PING], "pxp", []),
        ([FAULT, CLOSE | PING, GAP], "~x:", [1]),
        ([CLOSE | FINDING | PING, 0], "!x", [0]),
        ([0, CLOSE | FINDING | PING, 0], "p!x", []),
        ([CLOSE | PING, FAULT | PING], "x~", [0, 1]),
        ([CLOSE | PING, 0, CLOSE | PING, 0], "xpx ", []),
        ([MATCH | PING, 0], "op", []),
        ([CLOSE, PING, 0], "xp ", []),
        ([CLOSE | PING] * 6, "xpxpxp", []),
        ([CLOSE | PING] * 3 + [CLOSE | PING | FINDING] + [CLOSE | PING] * 2, "xpx!xp", [3]),
        ([CLOSE | PING | FAULT] * 4, "x~x~", [0, 1, 2, 3]),
        ([FINDING] * 3, "!!!", []),
    ],
)
def test_a_dense_row_still_tells_kinds_apart(cells, shown, several):
    drawn = side_by_side(cells)
    assert "".join(SIGNS[mark] for mark, _ in drawn) == shown
    assert [at for at, (_, has_more) in enumerate(drawn) if has_more] == several


@given(st.lists(st.integers(0, 63), max_size=12))
def test_every_mark_is_told_in_its_cell_or_next_to_it(cells):
    drawn = side_by_side(cells)
    for place, marks in enumerate(cells):
        told = {drawn[one][0] for one in (place - 1, place, place + 1) if 0 <= one < len(cells)}
        own = [mark for mark in RANKED if marks & mark]
        assert own[:1] <= [mark for mark in own if mark in told], "what matters most is hidden by nothing"
        assert set(own) <= told or drawn[place][1]
        if own:
            assert drawn[place][0] in own, "a cell with marks shows one of its own"


@pytest.mark.asyncio
@pytest.mark.parametrize("width", [80, 100, 120, 200])
@pytest.mark.parametrize("clock", ["relative", "local", "utc"])
async def test_the_legend_names_every_mark_that_is_drawn(ended, width, clock):
    """And no other; where it is zoomed, too."""
    async with opened(ended, size=(width, 36)) as screen:
        screen.app.workspace.clock = Clock(clock)
        await screen.press("2")
        for keys in ([], ["plus"] * 3):
            await screen.press(*keys)
            drawn = set(marks(screen)[5:]) - {" ", "▴"}
            legend = screen.line("overview").split("─ ")[-1].split("━ ")[-1]
            named = {one for one in "p~!:x" if f"{one} " in legend}
            assert drawn == named, (legend, drawn)


@pytest.mark.asyncio
async def test_zoom_shows_a_part_and_pan_moves_it(chat):
    async with opened(chat) as screen:
        await screen.press("3", "g", "2")
        whole = screen.line("overview")
        assert "5.100 to 15.000 s" in whole
        await screen.press("plus", "plus")
        zoomed = screen.line("overview")
        assert "zoom 2.475 s" in zoomed
        await screen.press("right", "right")
        assert screen.line("overview") != zoomed
        await screen.press(*["right"] * 40)
        assert "to 15.000 s" in screen.line("overview")
        await screen.press("minus", "minus", "minus")
        assert "5.100 to 15.000 s" in screen.line("overview")
        await screen.press("plus", "0")
        assert screen.line("overview") == whole


@pytest.fixture
def chat(tmp_path: Path) -> Path:
    return chat_capture(tmp_path / "chat.db")
