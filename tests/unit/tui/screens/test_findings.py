"""The findings page: the chosen one in full, and findings that are taken back while one looks on."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.support.tui_captures import CaptureBuilder, connect, hold_engine_lock
from tests.support.tui_pilot import opened
from wsinspect.tui.screens.findings import FindingsPane

pytestmark = pytest.mark.asyncio
FIX = "proxy_set_header Upgrade $http_upgrade; " * 6


def found(path: Path, *, clean: bool = True) -> Path:
    builder = CaptureBuilder(path)
    builder.connection(1)
    builder.frame(1, 10, 1, b"x")
    facts = {
        "title": "a title",
        "meaning": "what it means, at length. " * 12,
        "evidence": [f"evidence {number}" for number in range(20)],
        "fixes": [{"for": "nginx", "text": FIX}],
    }
    builder.finding("WS-HS-101", "error", 1, None, **facts)
    builder.finding("WS-CL-001", "note", 1, None, title="a note")
    builder.finding("WS-FR-003", "warning", 1, 1, title="another title")
    builder.close(clean=clean)
    return path


async def test_all_of_a_long_finding_can_be_read_at_80x24(tmp_path):
    async with opened(found(tmp_path / "found.db"), size=(80, 24)) as screen:
        await screen.press("i")
        assert "Findings  1 error, 1 warning, 1 note " in screen.pane("findings")[0]
        seen: set[str] = set()
        for _ in range(6):
            seen |= {line.strip() for line in screen.pane("findings")}
            await screen.press("pagedown")
        text = " ".join(sorted(seen))
        assert all(f"evidence {number}" in text for number in range(20))
        assert sum(line.count("$http_upgrade;") for line in seen) >= 1
        assert "pgdn" not in "".join(screen.pane("findings"))
        await screen.press(*["pageup"] * 6)
        assert "more lines" in "".join(screen.pane("findings"))
        assert any("what it means" in line for line in screen.pane("findings"))
        await screen.press("down")
        assert "another title" in "".join(screen.pane("findings"))


async def test_what_is_taken_back_for_something_better_goes_from_every_screen(tmp_path):
    path = found(tmp_path / "found.db", clean=False)
    lock = hold_engine_lock(path)
    async with opened(path) as screen:
        assert "3 findings" in screen.line("header")
        database = connect(path)
        database.execute("DELETE FROM finding WHERE rule = 'WS-FR-003'")
        database.close()
        await screen.until(lambda: "2 findings" in screen.line("header"))
        assert not screen.model.index.finding_frames
        await screen.press("i")
        assert "another title" not in "".join(screen.pane("findings"))
        database = connect(path)
        database.execute('UPDATE finding SET detail = \'{"title": "a better one"}\'')
        database.close()
        await screen.until(lambda: "a better one" in "".join(screen.pane("findings")))
        assert len(screen.model.findings) == 2
    lock.release()


async def test_each_finding_names_its_connection_and_its_frame_where_both_fit(tmp_path):
    path = tmp_path / "found.db"
    with CaptureBuilder(path) as builder:
        builder.connection(13)
        builder.frame(13, 10, 1, b"x")
        builder.frame(13, 20, 1, b"x", id=1_234_567)
        builder.finding("WS-FR-003", "error", 13, 1, title="at a frame")
        builder.finding("WS-FR-004", "error", 13, 1_234_567, title="at a late frame")
        builder.finding("WS-CL-011", "error", 13, None, title="at no frame")
    async with opened(path, size=(80, 24)) as screen:
        await screen.press("i")
        rows = {line.split("  at ")[1]: line for line in screen.pane("findings")[1:4]}
        assert "WS-FR-003    conn 13 #1 " in rows["a frame"]
        assert "WS-FR-004    conn 13  " in rows["a late frame"]
        assert "WS-CL-011    conn 13  " in rows["no frame"]


def often(path: Path) -> Path:
    """Of one limit five, of another one, of another rule two."""
    with CaptureBuilder(path) as builder:
        for number in range(1, 9):
            builder.connection(number)
        for number, silence in enumerate(("7 s", "6.8 s", "6.78 s", "7 s", "6.9 s"), 1):
            builder.finding("WS-DROP-101", "error", number, None, title=f"closed after {silence} of silence")
        builder.finding("WS-DROP-101", "error", 6, None, title="closed after 60 s of silence")
        for number in (7, 8):
            builder.finding("WS-HS-101", "error", number, None, title="removed")
    return path


async def test_what_says_the_same_often_is_one_row_that_unfolds(tmp_path):
    async with opened(often(tmp_path / "often.db"), size=(100, 40)) as screen:
        await screen.press("i")
        pane = screen.widget("findings", FindingsPane)
        assert "8 errors" in screen.pane("findings")[0]
        assert [len(ones) for ones in pane.rows()] == [5, 1, 1, 1]
        text = screen.pane("findings")
        assert "WS-DROP-101  5 times" in text[1]
        assert "WS-DROP-101  conn 6" in text[2]
        details = "\n".join(text[5:])
        assert "closed after 6.78 to 7 s of silence" in details
        assert "5 connections (1, 2, 3, 4, 5)" in details
        await screen.press("space")
        assert [len(ones) for ones in pane.rows()] == [1] * 8
        assert pane.cursor == 0
        await screen.press("down", "down", "space")
        assert (pane.cursor, len(pane.rows())) == (0, 4)
        await screen.press("end", "space")
        assert "nothing else says the same" in screen.line("keys")


async def test_a_finding_that_is_gone_to_is_unfolded_where_it_is_not_the_first(tmp_path):
    async with opened(often(tmp_path / "often.db"), size=(100, 40)) as screen:
        await screen.press("i")
        pane = screen.widget("findings", FindingsPane)
        wanted = next(one for one in screen.model.findings if one.connection_id == 4)
        pane.choose(wanted)
        assert pane.chosen() == wanted
        await screen.press("enter")
        await screen.until(lambda: screen.selection.connection == 4)


async def test_the_footer_has_the_keys_that_do_something_with_the_chosen_one(tmp_path):
    path = tmp_path / "found.db"
    with CaptureBuilder(path) as builder:
        for number in range(1, 5):
            builder.refused(number, number)
            builder.finding("WS-CL-001", "error", number, None, title="the same")
        builder.finding("WS-FR-003", "warning", 1, None, title="alone")
    async with opened(path, size=(120, 24)) as screen:
        await screen.press("i")
        assert "space unfold" in screen.line("keys")
        assert "r read configuration" not in screen.line("keys")
        await screen.press("down")
        assert "y copy" in screen.line("keys")
        assert "unfold" not in screen.line("keys")
        await screen.press("up", "space", "down")
        assert "space unfold" in screen.line("keys")  # folds them again
