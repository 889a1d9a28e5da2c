"""Messages that come late: after the panes have gone, or after the key that is about what they bring."""

from __future__ import annotations

import pytest

from tests.support.tui_captures import hold_engine_lock, many_frames, many_more
from tests.support.tui_pilot import opened

pytestmark = pytest.mark.asyncio


async def test_messages_after_the_panes_have_gone_are_not_errors(tmp_path):
    path = many_frames(tmp_path / "many.db", 100, clean=False)
    lock = hold_engine_lock(path)
    async with opened(path) as screen:
        app = screen.app
        frames, overview = app.main.frames, app.main.overview
        many_more(path, 100, 50)
        screens, app._screen_stacks["_default"] = app._screen_stacks["_default"], []
        assert not app.is_whole
        screen.main.on_line_pane_moved(frames.Moved(frames))
        screen.main.on_overview_pane_time_chosen(overview.TimeChosen(0))
        app.on_inspect_app_call(app.Call(screen.main.action_follow, ()))
        app._paint()
        app._slow()
        app._screen_stacks["_default"] = screens
        await screen.until(lambda: app.workspace.model.newest_id == 150)
    assert app.failure is None
    lock.release()


async def test_a_key_right_behind_another_is_about_the_frame_that_was_reached(tmp_path):
    async with opened(many_frames(tmp_path / "many.db", 100)) as screen:
        await screen.press("3", "end")
        app = screen.app
        # The cursor has moved, and the message that says so has not been handled yet.
        app.main.frames.cursor = 0
        app.main.action_next_view()
        assert app.main.inspector.record is not None
        assert app.main.inspector.record.frame.id == 1
        assert app.main.inspector._shown_view == "json"


async def test_a_key_right_behind_a_pane_s_is_that_pane_s(tmp_path):
    async with opened(many_frames(tmp_path / "many.db", 100)) as screen:
        app = screen.app
        await screen.press("1")
        await app.action_focus_pane(3)
        reached = [app.focused]
        await app.action_page("timeline")
        reached.append(app.focused)
        assert reached == [screen.main.frames, app.page.pane]
