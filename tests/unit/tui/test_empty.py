"""Keys that the footer offers do something, where there is nothing to do it to as well."""

from __future__ import annotations

import pytest

from tests.support.svg import text_of
from tests.support.tui_pilot import Screen, opened
from tests.support.tui_states import ENGINES, empty_capture
from wsinspect.tui.keys import BY_ID, FOOTER, PANE_BY_ID
from wsinspect.tui.widgets.lines import KeyLine

PAGES = {
    "handshake": "h",
    "timeline": "t",
    "findings": "i",
    "faults": "f",
    "intercept": "B",
    "statistics": "S",
    "sandwich": "W",
}
PANES = {"connections": "1", "overview": "2", "frames": "3", "inspector": "4"}


def offered(screen: Screen) -> list[str]:
    """The keys in the footer that is shown, by id; but not the way out of the program."""
    line = screen.widget("keys", KeyLine)
    return [key.id for key in line.keys if key.id != "quit"]


def shown(screen: Screen) -> list[str]:
    """All that is on the terminal, what was said too; not the first line, which changes with time."""
    return text_of(screen.app.export_screenshot())[1:]


async def begin(screen: Screen, key: str) -> None:
    """Only the page, or the main page with the pane in focus, and nothing said."""
    while screen.app.screen is not screen.main or screen.main.bar.is_open:
        await screen.press("escape")
    await screen.press(key)
    screen.app.workspace.unsay()
    screen.app.page.tick()
    await screen.press()


async def idle_ones(screen: Screen, key: str) -> list[str]:
    """Keys of the footer that change nothing on the terminal."""
    await begin(screen, key)
    found = []
    for one in offered(screen):
        await begin(screen, key)
        before = shown(screen)
        known = PANE_BY_ID.get(one) or BY_ID[one]
        await screen.press(known.keys.split(",")[0])
        if shown(screen) == before:
            found.append(one)
    return found


def test_every_page_is_asked():
    assert set(PAGES) | {"main"} == set(FOOTER)


@pytest.mark.parametrize("name", [*PAGES, *PANES])
@pytest.mark.asyncio
async def test_each_key_in_the_footer_of_an_empty_live_page_does_something(tmp_path, name):
    """A proxy runs, and no client has come."""
    path = empty_capture(tmp_path / "empty.db", clean=False)
    with ENGINES["waiting"](path):
        async with opened(path, size=(200, 40)) as screen:
            assert screen.model.is_live
            await screen.until(lambda: screen.app.workspace.engine_view.is_up)
            await begin(screen, PAGES.get(name) or PANES[name])
            before = shown(screen)
            await screen.press("f11")
            assert shown(screen) == before, "what a key changes can be told from what time does"
            assert await idle_ones(screen, PAGES.get(name) or PANES[name]) == []


@pytest.mark.parametrize("name", [*PAGES, *PANES])
@pytest.mark.asyncio
async def test_each_key_in_the_footer_of_an_empty_page_does_something(tmp_path, name):
    async with opened(empty_capture(tmp_path / "empty.db"), size=(200, 40)) as screen:
        assert await idle_ones(screen, PAGES.get(name) or PANES[name]) == []
        if name in PAGES:
            title = screen.pane(name)[0]
            assert "zoom" not in title, "keys in a title are for what is below it"
            assert "0.000 s" not in title, "nothing has no first and no last time"
