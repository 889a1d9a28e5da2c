"""The screens without a terminal: the app in Textual's headless driver, waited for by facts."""

from __future__ import annotations

import asyncio
import builtins
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, TypeVar

from textual.pilot import Pilot
from textual.widget import Widget

from wsinspect.tui.app import InspectApp
from wsinspect.tui.engine.link import SEEKING
from wsinspect.tui.screens.timeline import TimelineScreen
from wsinspect.tui.widgets.base import LinePane

PATIENCE_S = 40.0
W = TypeVar("W", bound=Widget)


class Screen:
    """An open app.

    Attributes:
        app: the app itself.
        main: its main page.
        model: the capture that it shows.
        selection: what is looked at of it.
        pilot: for keys and clicks.
    """

    def __init__(self, app: InspectApp, pilot: Pilot[Any]) -> None:
        self.app = app
        self.pilot = pilot
        self.main = app.main
        self.model = app.workspace.model
        self.selection = app.workspace.selection

    async def until(self, fact: Callable[[], bool]) -> None:
        """Wait for a fact, then for what it makes the app draw."""
        async with asyncio.timeout(PATIENCE_S):
            while not fact():  # noqa: ASYNC110 - of a thread's or a timer's doing
                await asyncio.sleep(0.005)
        await self.pilot.pause()

    async def settle(self) -> None:
        """All that the capture holds is read and shown."""
        model = self.app.workspace.model

        def is_settled() -> bool:
            if model.error is not None:
                return True
            view = self.app.workspace.selection.view
            if self.app.workspace.engine_view.state == SEEKING:
                return False
            return model.has_begun and not model.is_loading and view.is_complete and not self.app.is_painting

        await self.until(is_settled)

    async def press(self, *keys: str) -> None:
        """Keys, and what they lead to."""
        for key in keys:
            await self.pilot.press(key)
        await self.pilot.pause()
        if self.app.is_painting:
            await self.until(lambda: not self.app.is_painting)
        page = self.app.page
        if isinstance(page, TimelineScreen) and page.timeline.stories.is_reading:
            await self.until(lambda: not page.timeline.stories.is_reading)

    async def type(self, text: str) -> None:
        """Characters into the bar, which have no other effect until all are there."""
        await self.pilot.press(*("space" if char == " " else char for char in text))
        await self.press()

    def widget(self, name: str, kind: builtins.type[W]) -> W:
        """A widget of the page that is shown, whatever lies over it; else of the main page."""
        found = self.app.page.query(f"#{name}").results(kind)
        widget = next(iter(found), None)
        return widget if widget is not None else self.app.main.query_one(f"#{name}", kind)

    def pane(self, name: str) -> list[str]:
        """A pane's lines."""
        return self.widget(name, LinePane).text()

    def line(self, name: str) -> str:
        """A pane's or line widget's first line."""
        widget = self.widget(name, Widget)
        text = widget.render_line(0).text
        return text.rstrip()

    def text(self) -> str:
        """The four panes."""
        return "\n".join(
            "\n".join(self.pane(name)) for name in ("connections", "overview", "frames", "inspector")
        )


@asynccontextmanager
async def opened(path: Path, size: tuple[int, int] = (120, 36), **options: Any) -> AsyncIterator[Screen]:
    """The app on a capture, everything read."""
    app = InspectApp(path, **options)
    async with app.run_test(size=size) as pilot:
        screen = Screen(app, pilot)
        await screen.settle()
        yield screen


async def filtered(screen: Screen, text: str) -> None:
    """Type it, Enter, and wait until every frame was asked about."""
    await screen.press("slash")
    screen.main.bar.input.value = text
    await screen.press("enter")
    await screen.until(lambda: screen.selection.filter is not None and screen.selection.scan_share is None)


def shown_ids(screen: Screen) -> list[int]:
    view = screen.main.frames.view
    return [view.index.columns.ids[view.position(y)] for y in range(len(view.rows)) if not view.is_gap(y)]
