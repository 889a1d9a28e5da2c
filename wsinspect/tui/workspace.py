"""What the pages and dialogs share: the capture, what is selected of it, its engine, and how it is drawn.

Contract: no widget is known here. What only the running program can do is its `Host`'s.
"""

from __future__ import annotations

import os
import time
from array import array
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final, Protocol

from wsinspect.filters import Filter
from wsinspect.launch.child import Engine
from wsinspect.present.cells import Line
from wsinspect.present.clock import Clock
from wsinspect.present.glyphs import ASCII, PLAIN, UNICODE, Glyphs
from wsinspect.present.rows import COLUMNS, Columns, byte_count
from wsinspect.text import counted, escape, grouped
from wsinspect.tui.engine.link import NO_ENGINE, SILENT, Answer, ControlLink, EngineView, Work
from wsinspect.tui.keys import BY_ID, PANE_BY_ID, FooterKey
from wsinspect.tui.model import DISCONNECTED, LIVE, Model
from wsinspect.tui.places import Places
from wsinspect.tui.playback import Playback
from wsinspect.tui.selection import DEFAULT_GAP_NS, Selection
from wsinspect.tui.settings import read_settings, settings_path, write_settings
from wsinspect.tui.style import Palette

SAID_SECONDS: Final = 6.0
_ASKING: Final = frozenset({"faults.reset", "faults.add", "faults.edit", "faults.arm", "faults.remove"}) | {
    f"intercept.{name}" for name in ("pass", "edit", "editor", "drop", "answer", "all", "add")
}
_BY_HAND: Final = frozenset({"inject", "connection.end"})


class Host(Protocol):
    """What the pages ask of the running program."""

    def deliver(self, callback: Callable[..., None], *arguments: Any) -> None:
        """From another thread: call it in the event loop, if the screens are still there."""

    def warm_up(self) -> None:
        """From another thread: load what keys will need, neither before the first paint nor at a key."""

    def said(self) -> None:
        """There is another sentence for the bottom line."""

    def engine_seen(self) -> None:
        """The engine answered: `Workspace.engine_view` is new."""


class Search(Protocol):
    """A search among the frames (`searching.Search`)."""

    filter: Filter | None
    positions: array[int]

    @property
    def is_on(self) -> bool: ...

    @property
    def is_whole(self) -> bool:
        """Whether all frames have been asked about."""

    def matches(self, position: int) -> bool:
        """Whether a frame matches."""

    def place(self, position: int | None) -> int:
        """Which match a frame is, from 1; 0 where it is none."""

    def is_between(self, from_ns: int, to_ns: int) -> bool:
        """Whether a match arrived in a stretch of time."""


class Workspace:
    """See the module docstring.

    Attributes:
        model: the capture.
        selection: what is looked at of it.
        engine: the process that records it, where it was started from here.
        engine_view: what the control API of the engine said last, wherever that was started.
        clock: how times are written, on every page.
        columns: of the frame table.
        settings: what is remembered between runs.
        search: among the frames; made by the main page.
        playback: set while the capture is played.
        is_paused: the frame table stands still.
        chosen_connection: the one that a key about a connection is for; kept by the main page.
        keymap: keys by id, where the user has changed them.
        places: the configurations of hops that were read, for this session.
    """

    def __init__(
        self,
        path: Path,
        host: Host,
        *,
        engine: Engine | None = None,
        is_ascii: bool = False,
        is_plain: bool = False,
        gap_ns: int | None = None,
    ) -> None:
        self._host = host
        self.model = Model(path)
        self.selection = Selection(self.model, DEFAULT_GAP_NS if gap_ns is None else gap_ns)
        self.engine = engine
        self.engine_view = EngineView()
        self.link = ControlLink(path, host.deliver, self._engine_seen, host.warm_up)
        self.has_colour = not os.environ.get("NO_COLOR")
        self.glyphs: Glyphs = PLAIN if is_plain else ASCII if is_ascii else UNICODE
        self.palette = Palette(True, self.has_colour, is_ascii)
        self.clock = Clock()
        self.columns = Columns()
        self.settings = read_settings(settings_path())
        self._use_settings()
        self.search: Search | None = None
        self.playback: Playback | None = None
        self.is_paused = False
        self.chosen_connection: Callable[[], int | None] = lambda: self.selection.connection
        self.keymap: dict[str, str] = {}
        self.places = Places()
        self._said_words = ""
        self._said_until = 0.0

    def deliver(self, callback: Callable[..., None], *arguments: Any) -> None:
        """From another thread: call it in the event loop, if the screens are still there."""
        self._host.deliver(callback, *arguments)

    # -- what is remembered

    def _use_settings(self) -> None:
        settings = self.settings
        self.clock = Clock(settings.clock)
        self.columns = Columns(tuple(settings.columns) or COLUMNS, tuple(settings.widths.items()))

    def remember(self) -> None:
        """Keep clock and columns, and what was changed of the settings themselves, for the next run."""
        settings = self.settings
        settings.clock = self.clock.kind
        settings.columns = [] if self.columns.order == COLUMNS else list(self.columns.order)
        settings.widths = dict(self.columns.widths)
        try:
            write_settings(settings_path(), settings)
        except OSError as error:
            self.say(f"cannot remember this: {error.strerror}: {settings_path()}")

    # -- the search

    def is_match(self, position: int) -> bool:
        """Whether the search that is on has found a frame."""
        return self.search is not None and self.search.is_on and self.search.matches(position)

    def search_words(self, position: int | None) -> Line:
        """What is looked for, and which match is chosen."""
        search = self.search
        if search is None or search.filter is None:
            return []
        count, place = len(search.positions), search.place(position)
        words = f"{grouped(place)} of {grouped(count)}" if place else grouped(count)
        if not search.is_whole:
            words += " so far"
        return [
            (f"  find {escape(search.filter.source)}  ", "key"),
            (words, "match" if place else "good"),
        ]

    # -- the bottom line

    def say(self, words: str) -> None:
        """Show a sentence for some seconds."""
        self._said_words, self._said_until = words, time.monotonic() + SAID_SECONDS
        self._host.said()

    def unsay(self) -> None:
        """Another page is shown: what was said belongs to the one before, and covers the keys of this one."""
        self._said_until = 0.0

    def said(self) -> str:
        """The sentence that is still to be shown."""
        return self._said_words if time.monotonic() < self._said_until else ""

    def key_shown(self, key: FooterKey) -> str:
        """A key of the footer as people write it, by the user's map where there is one."""
        known = PANE_BY_ID.get(key.id)
        return self.keymap.get(key.id, known.shown if known is not None else BY_ID[key.id].shown)

    # -- the engine

    def ask(self, work: Work, done: Callable[[Answer], None]) -> None:
        """Have the engine do something; `done` gets its answer, in the event loop."""
        self.link.ask(work, done)

    def _engine_seen(self, view: EngineView) -> None:
        self.engine_view = view
        self._host.engine_seen()

    def engine_reason(self) -> str:
        """Why the engine cannot be asked for anything; empty where it can."""
        view = self.engine_view
        if view.is_up:
            return ""
        if view.state == SILENT and self.model.state == LIVE:
            return f"{view.words}; trying again"
        if view.state == NO_ENGINE and self.model.state == DISCONNECTED:
            return "the proxy has exited"
        if view.state == NO_ENGINE:
            return "this is a recording: no proxy is running on it"
        return view.words

    def connection_reason(self) -> str:
        """Why nothing can be done to the chosen connection; empty where it can."""
        if reason := self.engine_reason():
            return reason
        one = self.model.connections.get(self.chosen_connection() or 0)
        if one is None:
            return "choose a connection first (1, then up or down)"
        if one.state != "open":
            return f"connection {one.id} is {one.state}, not open"
        return ""

    def why_not(self, key_id: str) -> str:
        """Why a key can do nothing now; empty where it can."""
        if key_id in _ASKING:
            return self.engine_reason()
        if key_id in _BY_HAND:
            return self.connection_reason()
        if key_id == "export" and self.model.error is not None:
            return "the capture cannot be read"
        return ""

    def can(self, key_id: str, name: str) -> bool:
        """Whether a key can act; where not, it says why."""
        reason = self.why_not(key_id)
        if reason:
            self.say(f"{name}: {escape(reason)}")
        return not reason

    # -- state in words

    @property
    def mode(self) -> str:
        """The word at the top left."""
        if self.playback is not None:
            return "PLAYBACK"
        state = self.model.state
        return "PAUSED" if self.is_paused and state == LIVE else state

    def fault_words(self) -> str:
        """`FAULTS ON: 2 rules`; empty while nothing is armed."""
        armed = self.engine_view.armed
        return f"FAULTS ON: {counted(armed, 'rule')}" if armed else ""

    def waiting_words(self) -> str:
        """`2 HELD: press B`; empty while breakpoints hold nothing."""
        count = self.engine_view.waiting
        return f"{grouped(count)} HELD: press B" if count else ""

    def trouble(self) -> str | None:
        """What is wrong with engine or capture, and what to do; None while all is well."""
        if self.model.error is not None:
            return f"{self.model.error}; what was read before stays visible"
        if self.model.state == DISCONNECTED:
            reason = self.engine.last_words() if self.engine is not None else ""
            words = f" ({reason})" if reason else ""
            until = self.model.recorded_until
            recorded = f" The recording is complete up to {until}." if until else ""
            again = (
                "R restarts it"
                if self.engine is not None
                else "wsinspect run --append continues this recording"
            )
            return f"The proxy has exited{words}.{recorded} {again}, q quits."
        if self.model.unstored_bytes:
            return stored_words(self.model.unstored_bytes)
        if self.engine is not None and (warning := self.engine.warning()):
            return f"The proxy reports: {escape(warning)}"
        return self.selection.error


def stored_words(size: int) -> str:
    """How much could not be stored."""
    return f"{byte_count(size)} could not be stored (disk full?); traffic continues"
