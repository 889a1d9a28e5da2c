"""Leaving while frames arrive: nothing that is still on its way is an error."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.support.tui_captures import hold_engine_lock, many_frames
from tests.support.tui_pilot import opened
from tests.unit.tui.test_app import many_more

pytestmark = pytest.mark.asyncio


@pytest.fixture(autouse=True)
def private_folders(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("XDG_STATE_HOME", "XDG_CONFIG_HOME"):
        monkeypatch.setenv(name, str(tmp_path / name))


async def test_messages_after_the_panes_have_gone_are_no_errors(tmp_path):
    path = many_frames(tmp_path / "many.db", 100, clean=False)
    lock = hold_engine_lock(path)
    async with opened(path) as screen:
        app = screen.app
        frames, overview = app.frames, app.overview
        many_more(path, 100, 50)
        screens, app._screen_stacks["_default"] = app._screen_stacks["_default"], []
        assert not app.is_whole
        app.on_line_pane_moved(frames.Moved(frames))
        app.on_overview_pane_time_chosen(overview.TimeChosen(0))
        app.on_inspect_app_call(app.Call(app.action_follow, ()))
        app._select()
        app._paint()
        app._slow()
        app._screen_stacks["_default"] = screens
        await screen.until(lambda: app.model.newest_id == 150)
    assert app.failure is None
    lock.release()
