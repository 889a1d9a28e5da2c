"""The filter as it is typed, applied, judged in words, stopped and cleared."""

from __future__ import annotations

import re
from functools import partial
from pathlib import Path

import pytest

from tests.support.tui_captures import CaptureBuilder, chat_capture, hold_engine_lock, many_frames, many_more
from tests.support.tui_pilot import Screen, filtered, opened, shown_ids

pytestmark = pytest.mark.asyncio


@pytest.fixture
def chat(tmp_path: Path) -> Path:
    return chat_capture(tmp_path / "chat.db")


def is_open(screen: Screen) -> bool:
    return screen.main.bar.is_open


def is_shown(screen: Screen, ids: list[int]) -> bool:
    return shown_ids(screen) == ids


def hints(screen: Screen) -> str:
    pane = screen.main.bar.hints
    return "\n".join(pane.render_line(y).text.rstrip() for y in range(pane.size.height))


async def test_a_filter_shows_what_passes_and_says_how_many(chat):
    async with opened(chat) as screen:
        await filtered(screen, "op:ping,pong")
        await screen.until(lambda: shown_ids(screen) == [4, 6, 8])
        assert "op:ping,pong  ✓ 3 of 13" in screen.line("frames")
        await screen.press("escape")
        assert screen.selection.filter is None
        assert len(shown_ids(screen)) == 13


async def test_the_language_is_that_of_show(chat):
    found = {
        "dir:s2c op:text": [3],
        "len>20": [2, 10],
        "reserved": [11],
        "rtt>1ms": [4, 6],
        "json:$.op=sub": [2],
        "op:0x3": [11],
        "sev:error": [11],
        "fault:drop_c2s": [10],
        "conn:2": [1],
        "op:close | op:bin": [1, 10, 12, 13],
    }
    async with opened(chat) as screen:
        for text, ids in found.items():
            await filtered(screen, text)
            await screen.until(partial(is_shown, screen, ids))


async def test_what_is_wrong_is_said_in_words_while_typing(chat):
    async with opened(chat) as screen:
        await filtered(screen, "op:text")
        before = shown_ids(screen)
        await screen.press("slash")
        screen.main.bar.input.value = "op:nonsense"
        await screen.pilot.pause()
        assert "✗" in hints(screen)
        assert "column" in hints(screen)
        assert shown_ids(screen) == before
        await screen.press("enter")
        assert is_open(screen)
        await screen.press("escape")
        assert not is_open(screen)
        assert shown_ids(screen) == before


async def test_what_is_half_typed_is_no_fault_before_enter(chat):
    async with opened(chat, size=(80, 24)) as screen:
        await screen.press("slash", "o", "p", "colon")
        assert "✗" not in hints(screen)
        assert "ping" in hints(screen)
        assert screen.main.bar.hints.size.height == 1
        await screen.press("enter")
        assert is_open(screen)
        assert "✗" in hints(screen)
        await screen.press("p")
        assert "✗" not in hints(screen)
        await screen.press(*"ong2")
        assert "✗" in hints(screen)


async def test_escape_closes_a_line_that_has_lost_the_focus(chat):
    async with opened(chat) as screen:
        await screen.press("slash", *"op:")
        await screen.pilot.click("#overview", offset=(20, 0))
        assert screen.app.focused is screen.main.overview
        assert is_open(screen)
        await screen.press("escape")
        assert not is_open(screen)


@pytest.mark.parametrize(("key", "kind", "value"), [("slash", "filter", "op:x"), ("colon", "go", "")])
async def test_its_key_comes_back_to_a_line_that_has_lost_the_focus(chat, key, kind, value):
    async with opened(chat) as screen:
        await screen.press("slash", *"op:")
        await screen.pilot.click("#overview", offset=(20, 0))
        await screen.press(key)
        bar = screen.main.bar
        assert screen.app.focused is bar.input
        assert (bar.input.kind, bar.input.value + "x" * (kind == "filter")) == (kind, value)
        await screen.press("slash")  # a character again
        assert bar.input.value.endswith("/")


async def test_it_is_applied_without_enter_a_moment_after_it_is_typed(chat):
    async with opened(chat) as screen:
        await screen.press("slash", "o", "p", "colon", "b", "i", "n")
        await screen.until(lambda: shown_ids(screen) == [1, 10])


def chosen_id(screen: Screen) -> int | None:
    position = screen.main.frames.selected_position()
    return None if position is None else screen.model.index.columns.ids[position]


async def test_what_a_filter_begins_with_does_not_move_the_cursor_for_good(chat):
    """Typed letter by letter it is another filter at first: `o` shows what has one in its payload."""
    async with opened(chat) as screen:
        await screen.press("3", "g", "down", "down")
        assert chosen_id(screen) == 3
        await screen.press("slash", *"reserved")
        await screen.until(lambda: shown_ids(screen) == [11])
        for _ in "reserved":
            await screen.press("backspace")
        await screen.until(lambda: len(shown_ids(screen)) == 13)
        assert chosen_id(screen) == 3
        await screen.press(*"reserved")
        await screen.until(lambda: shown_ids(screen) == [11])
        screen.main.bar.input.value = "dir:s2c"
        await screen.until(lambda: {3, 11} <= {*shown_ids(screen)} and 2 not in shown_ids(screen))
        assert chosen_id(screen) == 3
        await screen.press("enter")
        assert chosen_id(screen) == 3


async def test_a_frame_that_is_chosen_while_a_filter_is_typed_stays_chosen(chat):
    async with opened(chat) as screen:
        await screen.press("3", "g", "slash")
        screen.main.bar.input.value = "dir:s2c"
        await screen.until(lambda: {3, 11} <= {*shown_ids(screen)} and 2 not in shown_ids(screen))
        screen.main.going.to_frame(11)
        screen.main.bar.input.value = "dir:s2c | json:$.op=sub"
        await screen.until(lambda: 2 in shown_ids(screen))
        assert chosen_id(screen) == 11


async def test_tab_completes_and_up_brings_back(chat):
    async with opened(chat) as screen:
        await screen.press("slash", "o")
        assert "op" in hints(screen)
        await screen.press("tab")
        assert screen.main.bar.input.value.startswith("op")
        screen.main.bar.input.value = "op:ping"
        await screen.press("enter", "slash")
        screen.main.bar.input.value = ""
        await screen.press("up")
        assert screen.main.bar.input.value == "op:ping"
        await screen.press("down")
        assert screen.main.bar.input.value == ""
        await screen.press("escape")


async def test_nothing_that_passes_says_what_is_hidden(chat):
    async with opened(chat) as screen:
        await filtered(screen, "op:0xF")
        await screen.until(lambda: "13 frames are hidden. esc clears" in "\n".join(screen.pane("frames")))


async def test_a_filter_stays_when_another_connection_is_chosen(chat):
    async with opened(chat) as screen:
        await filtered(screen, "dir:s2c")
        await screen.press("1", "down")
        await screen.until(lambda: shown_ids(screen) == [3, 4, 5, 7, 11, 12])
        assert "✓ 6 of 12" in screen.line("frames")


async def test_a_filter_about_connections_chooses_them_too(chat):
    async with opened(chat) as screen:
        await filtered(screen, "path:/admin")
        await screen.until(lambda: "1 of 3" in screen.line("connections"))
        text = "\n".join(screen.pane("connections"))
        assert "/admin" in text
        assert "/feed" not in text


async def test_frames_that_come_are_asked_about(tmp_path):
    path = many_frames(tmp_path / "many.db", 100, clean=False)
    lock = hold_engine_lock(path)
    async with opened(path) as screen:
        await filtered(screen, "len:2")
        assert shown_ids(screen) == []
        many_more(path, 100, 5)
        await screen.until(lambda: shown_ids(screen) == [101, 102, 103, 104, 105])
    lock.release()


async def test_the_newest_come_first_where_they_are_followed(tmp_path):
    path = many_frames(tmp_path / "many.db", 60_000, clean=False)
    lock = hold_engine_lock(path)
    async with opened(path) as screen:
        await filtered(screen, "op:ping")
        await screen.until(lambda: len(shown_ids(screen)) == 60)
        assert screen.main.frames.is_following
        # The table takes the lines that the bar gives back a layout later.
        await screen.until(lambda: " 60000 " in screen.pane("frames")[-1])
    lock.release()


async def test_a_damaged_file_ends_a_scan_in_words(tmp_path):
    path = tmp_path / "gone.db"
    with CaptureBuilder(path) as builder:
        builder.connection(1)
        builder.frame(1, 0, 1, b"x")
    async with opened(path) as screen:
        path.rename(tmp_path / "moved.db")
        await screen.press("slash")
        screen.main.bar.input.value = "op:text"
        await screen.press("enter")
        await screen.until(lambda: "there is no capture" in screen.line("keys"))


async def test_what_is_typed_at_once_after_the_key_is_typed_into_the_bar(chat):
    async with opened(chat) as screen:
        await screen.pilot.press("slash", "o", "p", "colon", "p", "i", "n", "g", "enter")
        await screen.until(lambda: shown_ids(screen) == [4, 8])
        await screen.pilot.press("colon", "1", "2", "enter")
        await screen.press("escape")
        assert not screen.main.bar.is_open


@pytest.mark.parametrize(
    ("key", "enter", "has_completion"),
    [("slash", "apply", True), ("ctrl+f", "find", True), ("colon", "go", False)],
    ids=str,
)
@pytest.mark.parametrize("size", [(80, 24), (60, 20)], ids=str)
async def test_the_footer_has_the_keys_of_the_line_that_is_typed_into(chat, key, enter, has_completion, size):
    async with opened(chat, size=size) as screen:
        before = screen.line("keys")
        await screen.press(key)
        shown = screen.line("keys")
        assert f"enter {enter}  esc cancel" in shown
        assert "up earlier" in shown
        assert ("tab complete" in shown) == has_completion
        assert ("ctrl+s save" in shown) == (has_completion and size[0] >= 80)
        assert "help" not in shown, "? is a character here"
        await screen.press("escape")
        assert screen.line("keys") == before


async def test_a_click_on_the_footer_does_what_the_key_does_in_the_line(chat):
    async with opened(chat) as screen:
        await screen.press("slash")
        await screen.type("op:tex")
        await screen.pilot.click("#keys", offset=(screen.line("keys").index("tab"), 0))
        await screen.until(lambda: screen.main.bar.input.value == "op:text")
        await screen.pilot.click("#keys", offset=(screen.line("keys").index("esc"), 0))
        await screen.until(lambda: not is_open(screen))


@pytest.mark.parametrize("width", [60, 80, 120, 200])
@pytest.mark.parametrize("page", ["f", "B", "i", "h", "1"])
async def test_help_and_quit_are_in_the_footer_at_any_width_and_no_key_touches_the_next(chat, width, page):
    async with opened(chat, size=(width, 24)) as screen:
        await screen.press(page)
        shown = screen.line("keys")
        assert "? help" in shown
        assert shown.endswith("q quit")
        assert not re.search(r"\) ?\S", shown.replace(")  ", "")), shown
