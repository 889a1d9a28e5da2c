"""Finding frames without hiding the others; undo of filters; saved filters; the clock; columns."""

from __future__ import annotations

import time
from pathlib import Path

import pytest

from tests.support.tui_captures import (
    START_NS,
    chat_capture,
    hold_engine_lock,
    many_frames,
    many_more,
)
from tests.support.tui_pilot import Screen, filtered, opened, shown_ids
from wsinspect.tui.settings import read_settings, settings_path

pytestmark = pytest.mark.asyncio


@pytest.fixture
def chat(tmp_path: Path) -> Path:
    return chat_capture(tmp_path / "chat.db")


async def find(screen: Screen, text: str) -> None:
    await screen.press("3", "ctrl+f")
    screen.main.bar.input.value = text
    await screen.press("enter")
    await screen.until(lambda: screen.main.search.is_whole)


def chosen(screen: Screen) -> int | None:
    position = screen.main.frames.selected_position()
    return None if position is None else screen.model.index.columns.ids[position]


async def test_matches_are_gone_through_and_marked_also_in_the_overview(chat):
    async with opened(chat) as screen:
        await screen.press("3", "g")
        await find(screen, "op:ping")
        assert len(shown_ids(screen)) == 13
        assert chosen(screen) == 4
        assert "find op:ping  1 of 2" in screen.pane("frames")[0]
        assert "●" in "\n".join(screen.pane("overview"))
        await screen.press("n")
        assert chosen(screen) == 8
        await screen.press("n")
        assert chosen(screen) == 4
        assert "from the other end again" in screen.line("keys")
        await screen.press("N")
        assert chosen(screen) == 8
        row = screen.main.frames.row(screen.main.frames.cursor, 100)
        assert row[1][1] == "match"
        await screen.press("escape")
        assert not screen.main.search.is_on
        assert "●" not in "\n".join(screen.pane("overview"))


@pytest.mark.parametrize("size", [(80, 24), (120, 40)], ids=str)
async def test_the_footer_leads_through_the_matches_while_there_are_some(chat, size):
    through = "n next match  N previous"
    async with opened(chat, size=size) as screen:
        await screen.press("3", "g")
        before = screen.line("keys")
        assert through not in before
        await find(screen, "op:ping")
        assert through in screen.line("keys")
        assert "n finding" not in screen.line("keys"), "n does one thing at a time"
        assert "? help" in screen.line("keys")
        await screen.press("1")
        assert through not in screen.line("keys"), "the connections have keys of their own"
        await screen.press("4")
        assert through in screen.line("keys")
        await screen.press("3", "escape")
        assert screen.line("keys") == before


async def test_the_footer_leads_through_the_matches_in_a_payload(chat):
    async with opened(chat) as screen:
        await find(screen, "op:text")
        await screen.press("escape")
        await screen.until(lambda: '"op"' in "\n".join(screen.pane("inspector")))
        await screen.press("4", "ctrl+f")
        screen.main.bar.input.value = "op"
        assert "enter find" in screen.line("keys")
        await screen.press("enter")
        assert screen.main.inspector.needle == "op"
        assert "n next match  N previous" in screen.line("keys")
        await screen.press("3")
        assert "next match" not in screen.line("keys"), "n goes to a finding from there"
        await screen.press("4", "escape")
        assert "next match" not in screen.line("keys")


async def test_nothing_found_is_said(chat):
    async with opened(chat) as screen:
        await find(screen, "len>1MiB")
        assert "no frame matches the search" in screen.line("keys")
        await screen.press("n")
        assert "no frame matches the search" in screen.line("keys")


async def test_frames_that_come_are_found_too(tmp_path):
    path = many_frames(tmp_path / "live.db", 50, clean=False)
    lock = hold_engine_lock(path)
    async with opened(path) as screen:
        await find(screen, "dir:s2c")
        assert len(screen.main.search.positions) == 25
        many_more(path, 50, 10)
        await screen.until(lambda: len(screen.main.search.positions) == 35)
    lock.release()


async def test_a_filter_is_undone_as_a_whole_not_letter_by_letter(chat):
    async with opened(chat) as screen:
        await filtered(screen, "op:ctl")
        await filtered(screen, "op:text")
        await screen.press("3", "U")
        assert str(screen.selection.filter) == "op:ctl"
        await screen.press("U")
        assert screen.selection.filter is None
        await screen.press("U")
        assert "no filter to go back to" in screen.line("keys")
        await filtered(screen, "op:ctl")
        await screen.press("escape", "U")
        assert str(screen.selection.filter) == "op:ctl"


async def test_a_saved_filter_is_there_in_the_next_run(chat):
    async with opened(chat) as screen:
        await screen.press("slash")
        screen.main.bar.input.value = "op:ctl"
        await screen.press("ctrl+s", "escape")
        assert read_settings(settings_path()).filters == ["op:ctl"]
    async with opened(chat) as screen:
        await screen.press("slash", "up")
        assert screen.main.bar.input.value == "op:ctl"
        await screen.press("ctrl+s", "escape")
    assert read_settings(settings_path()).filters == []


async def test_times_are_written_as_chosen_everywhere_and_remembered(chat, monkeypatch):
    monkeypatch.setenv("TZ", "UTC")
    time.tzset()
    async with opened(chat, size=(160, 40)) as screen:
        screen.main.going.to_frame(2)
        await screen.press("3", "c")
        assert "Δ t (s)" in screen.pane("frames")[1]
        await screen.press("c", "c")
        day = time.strftime("%H:%M:%S", time.gmtime(START_NS / 1e9 + 12))
        assert f"{day}.000" in "\n".join(screen.pane("frames"))
        assert f"received {day}.000 UTC" in "\n".join(screen.pane("inspector"))
        assert "UTC" in screen.pane("overview")[0]
    assert read_settings(settings_path()).clock == "utc"
    async with opened(chat, size=(160, 40)) as screen:
        assert "UTC" in screen.pane("frames")[1]
        await screen.press("colon")
        day = time.strftime("%H:%M:%S", time.gmtime(START_NS / 1e9 + 14))
        screen.main.bar.input.value = f"t {day}"
        await screen.press("enter")
        assert chosen(screen) == 9
        await screen.press("colon")
        screen.main.bar.input.value = "t -2 s"
        await screen.press("enter")
        assert chosen(screen) == 9
        assert "12.319 s" in screen.line("keys")
        screen.main.going.to_frame(2)
        await screen.press("colon")
        screen.main.bar.input.value = "t +12ms"
        await screen.press("enter")
        assert chosen(screen) == 9


async def test_columns_are_chosen_ordered_and_remembered(chat):
    async with opened(chat, size=(160, 40)) as screen:
        await screen.press("3", "L", "down", "down", "space", "down", "K", "K", "escape")
        header = screen.pane("frames")[1]
        assert "t (s)" not in header
        assert header.index("Δ ms") < header.index("conn")
        await screen.press("L", "greater_than_sign", "escape")
    settings = read_settings(settings_path())
    assert "time" not in settings.columns
    assert settings.widths == {"id": 6}
    async with opened(chat, size=(160, 40)) as screen:
        assert "t (s)" not in screen.pane("frames")[1]
        await screen.press("L", "d", "escape")
        assert "t (s)" in screen.pane("frames")[1]
    assert read_settings(settings_path()).columns == []


async def test_the_theme_is_remembered(chat):
    async with opened(chat) as screen:
        screen.app.theme = "textual-light"
        await screen.press()
    async with opened(chat) as screen:
        assert screen.app.theme == "textual-light"


async def test_the_palette_lists_saved_filters(chat):
    async with opened(chat) as screen:
        screen.app.workspace.settings.save_filter("op:ctl")
        named = {command.title: command for command in screen.app.get_system_commands(screen.main)}
        named["filter: op:ctl"].callback()
        await screen.until(lambda: screen.selection.filter is not None)
        assert str(screen.selection.filter) == "op:ctl"
        screen.app.use_filter("op:nonsense")
        assert "cannot filter by op:nonsense" in screen.line("keys")


async def test_what_is_looked_for_does_not_touch_how_much_was_found(chat):
    async with opened(chat) as screen:
        await find(screen, "op:text")
        await screen.until(lambda: screen.main.search.is_whole)
        line = screen.app.workspace.search_words(screen.main.frames.selected_position())
        assert line[0][0] == "  find op:text  "
        assert line[1] == (line[1][0].strip(), "match")


async def test_the_palette_says_each_verb_once_and_no_page_behind_its_area(chat):
    async with opened(chat) as screen:
        titles = [one.title for one in screen.app.get_system_commands(screen.app.screen)]
        assert "copy: the opening handshake as curl" in titles
        assert "export: all or part of it: HAR, JSONL, pcapng, flows and others" in titles
        assert "fault: add a rule" in titles
        assert "connections: unfold the client's story, or fold it (timeline)" in titles
        words = [title.split(": ", 1) for title in titles]
        assert not [both for both in words if both[1].startswith(f"{both[0]} ")]
