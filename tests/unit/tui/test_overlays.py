"""Whatever lies over a page and goes again under traffic: the page lives on below it and after it."""

from __future__ import annotations

import asyncio
import random
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from textual import events
from textual.command import DiscoveryHit, Hit
from textual.system_commands import SystemCommandsProvider

from tests.support.control_lab import control_lab
from tests.support.svg import contrast, faint_words, text_of
from tests.support.tui_captures import CaptureBuilder, chat_capture, hold_engine_lock, many_frames, many_more
from tests.support.tui_pilot import Screen, opened
from wsinspect.tui.command_palette import PaletteScreen
from wsinspect.tui.dialogs.sheet import Question, Reply

pytestmark = pytest.mark.asyncio
#: Keys that put something over a page, and what it is for (`X` and `x` need an engine).
OVERLAYS = {
    "help": ("question_mark",),
    "palette": ("ctrl+p",),
    "jump": ("ctrl+o",),
    "export": ("e",),
    "end": ("X",),
    "end, asked": ("X", "enter"),
    "inject": ("x",),
    "handshake": ("h",),
    "timeline": ("t",),
    "findings": ("i",),
    "faults": ("f",),
    "help on a page": ("t", "question_mark"),
    "filter": ("slash",),
    "go": ("colon",),
    "find": ("ctrl+f",),
    "find in a payload": ("4", "ctrl+f"),
    "columns": ("L",),
    "copy as": ("ctrl+y",),
    "statistics": ("S",),
    "sandwich": ("W",),
    "help on another page": ("S", "question_mark"),
}


def shown(screen: Screen) -> str:
    """What is on the terminal, by all that lies on top of one another."""
    return "\n".join(text_of(screen.app.export_screenshot()))


def inspected(screen: Screen) -> int | None:
    record = screen.main.inspector.record
    return None if record is None else record.frame.id


async def until_inspected(screen: Screen, frame: int) -> None:
    await screen.until(lambda: inspected(screen) == frame)


async def until_position(screen: Screen, position: int | None) -> None:
    await screen.until(lambda: screen.main.inspector.position == position)


async def leave_all(screen: Screen) -> None:
    """Escape until the main page is alone."""
    while screen.app.screen is not screen.main or screen.main.bar.is_open:
        await screen.pilot.press("escape")
        await screen.pilot.pause()


def live_chat(path: Path) -> Path:
    """Frames of one open connection, still recorded."""
    return many_frames(path, 50, clean=False)


@pytest.mark.parametrize("seed", [0, *(pytest.param(seed, marks=pytest.mark.slow) for seed in (1, 2, 3))])
async def test_the_inspector_follows_after_any_overlay_under_traffic(tmp_path, seed):
    path = live_chat(tmp_path / "live.db")
    lock = hold_engine_lock(path)
    chosen = random.Random(seed)
    count = 50
    with control_lab(path) as lab:
        lab.engine.open = {1}
        async with opened(path) as screen:
            await screen.press("3", "end")
            await screen.until(lambda: inspected(screen) == 50)
            for name in chosen.choices(list(OVERLAYS), k=8):
                for key in OVERLAYS[name]:
                    await screen.pilot.press(key)
                    count = many_more(path, count, chosen.randrange(1, 4))
                for _ in range(chosen.randrange(3)):  # left before, while, or after frames were drawn
                    await screen.pilot.pause(0.03)
                count = many_more(path, count, 2)
                await leave_all(screen)
                count = many_more(path, count, 1)
                await until_inspected(screen, count)
                assert f" {count} " in screen.pane("frames")[-1], name
                assert screen.app.focused in (screen.main.frames, screen.main.inspector), name
                await screen.press("up")
                last = screen.main.frames.selected_position()
                await until_position(screen, last)
                await screen.press("end")
    lock.release()


@pytest.mark.parametrize(
    "name",
    [
        "palette",
        "export",
        "end, asked",
        *(
            pytest.param(name, marks=pytest.mark.slow)
            for name in ("help", "end", "inject", "columns", "copy as")
        ),
    ],
)
async def test_below_an_overlay_the_page_continues(tmp_path, name):
    path = live_chat(tmp_path / "live.db")
    lock = hold_engine_lock(path)
    with control_lab(path) as lab:
        lab.engine.open = {1}
        async with opened(path, size=(200, 50)) as screen:
            for key in OVERLAYS[name]:
                await screen.press(key)
            await screen.pilot.pause()
            assert screen.app.screen is not screen.main
            many_more(path, 50, 30)
            await screen.until(lambda: "80 frames" in shown(screen))
    lock.release()


@pytest.mark.parametrize(
    "page",
    [
        "timeline",
        *(pytest.param(page, marks=pytest.mark.slow) for page in ("handshake", "findings", "faults")),
    ],
)
async def test_keys_of_the_main_page_work_on_the_others_and_lead_there(tmp_path, page):
    async with opened(chat_capture(tmp_path / "chat.db")) as screen:
        for keys in (("1",), ("slash",), ("colon",), ("n",), ("s",), ("T",), ("tab",), ("escape",)):
            await screen.app.action_page(page)
            assert screen.app.page.page == page
            await screen.press(*keys)
            assert screen.app.page is screen.main, keys
            await leave_all(screen)
            if screen.app.workspace.playback is not None:
                await screen.press("escape")


async def test_a_key_for_another_page_does_nothing_under_a_dialog(tmp_path):
    async with opened(chat_capture(tmp_path / "chat.db")) as screen:
        await screen.press("e")
        dialog = screen.app.screen
        await screen.app.action_page("timeline")
        assert screen.app.screen is dialog
        assert screen.app.page is screen.main


async def test_pages_keep_where_one_was(tmp_path):
    with CaptureBuilder(tmp_path / "two.db") as builder:
        for number in (1, 2, 3):
            builder.connection(number, number * 10, client=f"127.0.0.1:{number}")
    async with opened(tmp_path / "two.db") as screen:
        await screen.press("t", "down", "down", "t")
        assert screen.app.page is screen.main
        await screen.press("t")
        assert screen.app.page.pane.cursor == 2


@pytest.mark.slow
async def test_keys_in_one_stroke_leave_what_is_on_top_once(tmp_path):
    """Several keys are there before the first one is handled, as a busy terminal gives them."""
    async with opened(chat_capture(tmp_path / "chat.db")) as screen:
        await screen.settle()
        for over in ("question_mark", "ctrl+p", "ctrl+o", "e", "L", "ctrl+y"):
            for stroke in (["escape"] * 4, ["escape", over, "escape", "escape"], ["escape", "w", "escape"]):
                await screen.press(over)
                for key in stroke:
                    screen.app.post_message(events.Key(key, None))
                await screen.pilot.pause()
                await leave_all(screen)
                assert screen.app.screen_stack == [screen.main], (over, stroke)


@pytest.mark.slow
async def test_a_question_is_answered_once(tmp_path):
    async with opened(chat_capture(tmp_path / "chat.db")) as screen:
        await screen.settle()
        answers: list[str | None] = []
        question = Question(screen.app.workspace, "Sure", "Is it?", [Reply(("y",), "y", "yes", "yes")])
        screen.app.push_screen(question, answers.append)
        await screen.pilot.pause()
        for key in ("y", "y", "escape"):
            question.post_message(events.Key(key, None))
        await screen.pilot.pause()
        assert answers == ["yes"]
        assert screen.app.screen is screen.main


@pytest.mark.parametrize("theme", ["textual-light", "textual-dark"])
async def test_every_word_of_the_palette_can_be_read(tmp_path, theme):
    """What it covers is dim on purpose, and not asked about."""
    async with opened(chat_capture(tmp_path / "chat.db"), size=(80, 24)) as screen:
        screen.app.theme = theme
        await screen.press("ctrl+p")
        await screen.until(lambda: "key " in "\n".join(text_of(screen.app.export_screenshot())))
        shown = screen.app.export_screenshot()
        assert "earch for commands" in "\n".join(text_of(shown))
        own = [words for words in faint_words(shown) if words.startswith(("key ", "earch", "the selected"))]
        assert not own
        bar = screen.app.screen.query_one("CommandList").styles
        assert contrast(bar.scrollbar_color.hex.lower(), bar.scrollbar_background.hex.lower()) >= 3


async def test_enter_right_behind_the_palettes_text_waits_for_what_it_finds(tmp_path, monkeypatch):
    """The list is still that of another text: Enter takes neither that nor nothing."""
    gate, search = asyncio.Event(), SystemCommandsProvider.search

    async def slow(self: SystemCommandsProvider, query: str) -> AsyncIterator[Hit | DiscoveryHit]:
        await gate.wait()
        async for hit in search(self, query):
            yield hit

    monkeypatch.setattr(SystemCommandsProvider, "search", slow)
    async with opened(chat_capture(tmp_path / "chat.db"), size=(80, 24)) as screen:
        assert screen.app.theme == "textual-dark"
        await screen.press("ctrl+p")
        palette = screen.app.screen
        assert isinstance(palette, PaletteScreen)
        await screen.until(lambda: "key " in "\n".join(text_of(screen.app.export_screenshot())))
        for character in "textual-light":
            screen.app.post_message(events.Key(character, character))
        screen.app.post_message(events.Key("enter", None))
        await screen.until(lambda: palette.is_chosen)
        assert screen.app.screen_stack[-1:] == [palette]
        gate.set()
        await screen.until(lambda: screen.app.theme == "textual-light")
        assert screen.app.screen is screen.main


async def test_enter_takes_nothing_where_the_palette_found_nothing_or_is_typed_into_again(tmp_path):
    async with opened(chat_capture(tmp_path / "chat.db"), size=(80, 24)) as screen:
        await screen.press("ctrl+p")
        palette = screen.app.screen
        assert isinstance(palette, PaletteScreen)
        for keys in (["q", "x", "q", "x", "enter"], [*["backspace"] * 4, "t", "h", "enter", "e"]):
            for key in keys:
                screen.app.post_message(events.Key(key, key if len(key) == 1 else None))
            await screen.pilot.pause()
            await screen.until(lambda: not palette.is_searching)
            assert screen.app.screen_stack[-1:] == [palette]
            assert not palette.is_chosen
        assert screen.app.theme == "textual-dark"
