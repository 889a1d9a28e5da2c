"""The app's state and its widgets, as the actions see them."""

from __future__ import annotations

import os
import time
from pathlib import Path
from typing import Any, Final, TypeVar

from textual.app import App
from textual.geometry import Size
from textual.widget import Widget
from textual.widgets import ContentSwitcher

from wsinspect.filters import Filter
from wsinspect.present.glyphs import ASCII, UNICODE, Glyphs
from wsinspect.text import escape
from wsinspect.tui.engine.link import EngineView
from wsinspect.tui.keys import BY_ID, FooterKey
from wsinspect.tui.model import DISCONNECTED, LIVE, Model
from wsinspect.tui.playback import Playback
from wsinspect.tui.selection import Selection
from wsinspect.tui.session import Engine
from wsinspect.tui.style import Palette
from wsinspect.tui.views import View
from wsinspect.tui.widgets.base import LinePane
from wsinspect.tui.widgets.connections import ConnectionsPane
from wsinspect.tui.widgets.faults import FaultsPane
from wsinspect.tui.widgets.frames import FrameTable
from wsinspect.tui.widgets.inspector import InspectorPane
from wsinspect.tui.widgets.lines import stored_words
from wsinspect.tui.widgets.overview import OverviewPane
from wsinspect.tui.widgets.pages import FindingsPane, HandshakePane
from wsinspect.tui.widgets.scrubber import ScrubberPane
from wsinspect.tui.widgets.timeline import TimelinePane

PANES: Final = ("connections", "overview", "frames", "inspector")
MAIN: Final = "main"
SAID_SECONDS: Final = 6.0
W = TypeVar("W", bound=Widget)


class Shell(App[int]):
    """What all actions share.

    Attributes:
        model: the capture.
        selection: what is looked at of it.
        engine: the process that records it, where it was started from here.
        engine_view: what the control API of the engine said last, wherever that was started.
        is_frozen: the frame table stands still.
        playback: set while the scrubber is open.
        pane_number: the pane that had the focus last, 1 to 4.
        is_maximised: only that pane is shown.
    """

    def __init__(
        self, path: Path, *, engine: Engine | None = None, is_ascii: bool = False, gap_ns: int | None = None
    ) -> None:
        self.has_colour = not os.environ.get("NO_COLOR")
        super().__init__(ansi_color=None if self.has_colour else True)
        self.model = Model(path)
        self.selection = Selection(self.model) if gap_ns is None else Selection(self.model, gap_ns)
        self.engine = engine
        self.engine_view = EngineView()
        self.glyphs: Glyphs = ASCII if is_ascii else UNICODE
        self.palette = Palette(True, self.has_colour, is_ascii)
        self.is_frozen = False
        self.playback: Playback | None = None
        self.pane_number = 3
        self.is_maximised = False
        self.inspector_extra = 0
        self.marks: list[int] = []
        self.filter: Filter | None = None
        self.bar_is_open = False
        self.terminal_size: Size | None = None
        self.said_words = ""
        self.said_until = 0.0
        self.keymap_ids: dict[str, str] = {}

    # -- what the parts of the app do for one another

    def call_later_safely(self, callback: Any, *arguments: Any) -> None:
        """From another thread: do it in the event loop."""
        raise NotImplementedError

    def why_not(self, key_id: str) -> str:
        """Why a key can do nothing now; empty where it can."""
        return BY_ID[key_id].why_not

    def fault_words(self) -> str:
        """That faults are on, for the header line; empty while none is armed."""
        raise NotImplementedError

    def copy_text(self, text: str, what: str, suffix: str) -> None:
        """Text to the clipboard and to a file."""
        raise NotImplementedError

    def connection_in_view(self) -> int | None:
        """The selected connection, else that of the chosen frame."""
        raise NotImplementedError

    def go_to(self, text: str) -> str | None:
        """Go where a text says; returns what is wrong with it."""
        raise NotImplementedError

    def go_to_page(self, name: str) -> None:
        """Show a page."""
        raise NotImplementedError

    def lay_out(self) -> None:
        """Share the screen among the panes."""
        raise NotImplementedError

    def play_moved(self) -> None:
        """The play head has moved: the frame table ends there."""
        raise NotImplementedError

    @property
    def scan_share(self) -> int | None:
        """How much of the capture the filter was asked about, in percent; None when all was."""
        raise NotImplementedError

    def complete_typed(self) -> None:
        """In the bar: the first candidate takes the place of what was typed of it."""
        raise NotImplementedError

    def show_chosen(self) -> None:
        """The inspector shows the frame under the cursor, if it does not yet."""
        raise NotImplementedError

    def replace_view(self, view: View) -> None:
        """Show other rows; the chosen frame stays chosen where it is among them."""
        raise NotImplementedError

    def select_now(self, connection: int | None) -> None:
        """Show the frames of a connection, or of all, at once."""
        raise NotImplementedError

    # -- widgets

    def one(self, selector: str, kind: type[W]) -> W:
        """A widget of the main screen, whatever lies over it."""
        return self.screen_stack[0].query_one(selector, kind)

    @property
    def connections(self) -> ConnectionsPane:
        """Pane 1."""
        return self.one("#connections", ConnectionsPane)

    @property
    def overview(self) -> OverviewPane:
        """Pane 2."""
        return self.one("#overview", OverviewPane)

    @property
    def frames(self) -> FrameTable:
        """Pane 3."""
        return self.one("#frames", FrameTable)

    @property
    def inspector(self) -> InspectorPane:
        """Pane 4."""
        return self.one("#inspector", InspectorPane)

    @property
    def handshake(self) -> HandshakePane:
        """The page of heads."""
        return self.one("#handshake", HandshakePane)

    @property
    def timeline(self) -> TimelinePane:
        """The page of bars."""
        return self.one("#timeline", TimelinePane)

    @property
    def findings(self) -> FindingsPane:
        """The page of findings."""
        return self.one("#findings", FindingsPane)

    @property
    def faults(self) -> FaultsPane:
        """The page of faults."""
        return self.one("#faults", FaultsPane)

    @property
    def scrubber(self) -> ScrubberPane:
        """The strip of the play head."""
        return self.one("#scrubber", ScrubberPane)

    @property
    def page(self) -> str:
        """`main`, or the page that is shown in its place."""
        return self.one("#pages", ContentSwitcher).current or MAIN

    @property
    def is_whole(self) -> bool:
        """Whether the widgets are there: not yet before the start, not any more at the end."""
        return bool(self.screen_stack) and bool(self.screen_stack[0].query("#keys"))

    def pane(self, number: int) -> LinePane:
        """One of the four panes."""
        return self.one(f"#{PANES[number - 1]}", LinePane)

    def focus_now(self, pane: Widget) -> None:
        """Focus it at once, not a moment later as `focus` does: the next key belongs there already."""
        self.screen_stack[0].set_focus(pane)

    def refresh_lines(self) -> None:
        """Draw header, banner and keys anew."""
        for selector in ("#header", "#banner", "#keys", "#tabs"):
            self.one(selector, Widget).refresh()

    # -- state in words

    @property
    def mode(self) -> str:
        """The word at the top left."""
        if self.playback is not None:
            return "REPLAY"
        state = self.model.state
        return "PAUSED" if self.is_frozen and state == LIVE else state

    def trouble(self) -> str | None:
        """What is wrong with engine or capture, and what to do; None while all is well."""
        if self.model.error is not None:
            return f"{self.model.error}; what was read before stays on the screen"
        if self.model.state == DISCONNECTED:
            reason = self.engine.last_words() if self.engine is not None else ""
            words = f" ({reason})" if reason else ""
            again = (
                "R starts it again"
                if self.engine is not None
                else "wsinspect run --append goes on with this file"
            )
            return f"The engine is gone{words}. What it recorded stays; {again}, q quits."
        if self.model.unstored_bytes:
            return stored_words(self.model.unstored_bytes)
        if self.engine is not None and (warning := self.engine.warning()):
            return f"The engine says: {escape(warning)}"
        return self.selection.error

    def say(self, words: str) -> None:
        """A sentence in the bottom line, for some seconds or until the next key."""
        self.said_words, self.said_until = words, time.monotonic() + SAID_SECONDS
        self.one("#keys", Widget).refresh()

    def said(self) -> str:
        """The sentence that is still to be shown."""
        return self.said_words if time.monotonic() < self.said_until else ""

    def key_shown(self, key: FooterKey) -> str:
        """A key of the footer as people write it, by the user's map where there is one."""
        return self.keymap_ids.get(key.id, BY_ID[key.id].shown)

    @property
    def end_ns(self) -> int:
        """The newest time in the capture."""
        times = [one.closed_ns for one in self.model.connections.values() if one.closed_ns is not None]
        frames = self.model.index.columns.times_ns
        return max([*times, frames[-1] if frames else 0, self.model.zero_ns])

    def selected_time_ns(self) -> int | None:
        """When the chosen frame arrived."""
        position = self.frames.selected_position()
        return None if position is None else self.model.index.columns.times_ns[position]


def as_shell(app: App[Any]) -> Shell:
    """The app with its own type."""
    assert isinstance(app, Shell)
    return app
