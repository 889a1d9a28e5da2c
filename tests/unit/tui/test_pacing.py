"""A slow terminal: keys are answered, paints are dropped, and what is shown last is what there is."""

from __future__ import annotations

import asyncio

import pytest

from tests.support.tui_captures import chat_capture
from tests.support.tui_pilot import Screen, opened
from wsinspect.tui import pacing as module
from wsinspect.tui.dialogs.help import HelpScreen

pytestmark = pytest.mark.asyncio


def drawn(screen: Screen, monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Notes when something is painted."""
    seen: list[str] = []

    def painted() -> None:
        if not screen.app.pacing.is_holding:
            seen.append("paint")

    monkeypatch.setattr(screen.app, "post_display_hook", painted)
    return seen


async def holds(pacing: module.Pacing) -> bool:
    """Whether it does; asked behind whatever waits for the event loop."""
    await asyncio.sleep(0)
    return pacing.is_holding


async def test_while_a_paint_is_under_way_nothing_is_painted_and_all_keys_work(tmp_path, monkeypatch):
    monkeypatch.setattr(module, "_FIRST_SECONDS", 60.0)
    async with opened(chat_capture(tmp_path / "chat.db")) as screen:
        pacing, app = screen.app.pacing, screen.app
        await screen.press("3", "g")
        pacing.asked(5_000)
        assert pacing.is_holding
        paints, before = drawn(screen, monkeypatch), screen.main.frames.cursor
        for key in ("down", "down", "down"):
            await screen.pilot.press(key)
        assert screen.main.frames.cursor > before
        await screen.pilot.press("question_mark")
        assert isinstance(app.screen, HelpScreen)
        assert not paints
        assert pacing.answered()
        await screen.until(lambda: bool(paints))
        assert not pacing.is_holding


async def test_dialogs_dim_the_page_below_unless_that_takes_seconds(tmp_path, monkeypatch):
    monkeypatch.setattr(module, "_FIRST_SECONDS", 60.0)
    async with opened(chat_capture(tmp_path / "chat.db")) as screen:
        await screen.press("question_mark")
        assert screen.app.screen.styles.background.a > 0
        await screen.press("escape")
        screen.app.pacing.asked(5_000)
        await screen.pilot.press("question_mark")
        assert isinstance(screen.app.screen, HelpScreen)
        assert screen.app.screen.styles.background.a == 0


async def test_a_terminal_that_says_nothing_is_given_everything(tmp_path, monkeypatch):
    monkeypatch.setattr(module, "_FIRST_SECONDS", 0.02)
    async with opened(chat_capture(tmp_path / "chat.db")) as screen:
        pacing = screen.app.pacing
        pacing.asked(5_000)
        await screen.until(lambda: not pacing.is_holding)
        assert not pacing.is_slow
        assert pacing.is_silent
        for _ in range(3):
            pacing.asked(5_000)
        assert not pacing.is_holding
        paints = drawn(screen, monkeypatch)
        await screen.press("3", "g", "down")
        assert paints
        # Its answer, should one come after all, is no key.
        assert pacing.answered()
        assert not pacing.answered()
        assert not pacing.is_silent


async def test_a_fast_terminal_gets_the_next_paint_before_it_has_drawn_the_last(tmp_path, monkeypatch):
    monkeypatch.setattr(module, "_SLOW_SECONDS", 60.0)
    async with opened(chat_capture(tmp_path / "chat.db")) as screen:
        pacing = screen.app.pacing
        pacing.asked(5_000)
        pacing.answered()
        await asyncio.sleep(0)
        assert not pacing.is_slow
        await screen.until(lambda: not pacing.is_holding)
        for _ in range(module._AHEAD - 1):
            pacing.asked(5_000)
        assert not pacing.is_holding
        assert pacing.may_grow()
        assert pacing.may_grow()
        pacing.asked(50)
        assert await holds(pacing)
        pacing.answered()
        await screen.until(lambda: not pacing.is_holding)


async def test_behind_a_slow_line_what_arrives_leaves_time_for_keys(tmp_path, monkeypatch):
    monkeypatch.setattr(module, "_SLOW_SECONDS", -1.0)
    monkeypatch.setattr(module, "_SHARE", 1e9)
    async with opened(chat_capture(tmp_path / "chat.db")) as screen:
        pacing = screen.app.pacing
        pacing.asked(5_000)
        pacing.answered()
        assert pacing.is_slow
        assert pacing.may_grow()
        assert not pacing.may_grow()


async def test_the_few_bytes_of_the_start_hold_nothing_up(tmp_path, monkeypatch):
    monkeypatch.setattr(module, "_FIRST_SECONDS", 60.0)
    async with opened(chat_capture(tmp_path / "chat.db")) as screen:
        pacing = screen.app.pacing
        pacing.asked(150)
        assert not await holds(pacing)
        pacing.asked(5_000)
        assert await holds(pacing)
        assert pacing.answered()
        assert await holds(pacing)  # the start's answer says nothing of the paint
        assert pacing.answered()
        await screen.until(lambda: not pacing.is_holding)
