"""The terminal program on one capture.

Contract: the capture is read by a thread (`feed`) and by short reads for what is on the screen; the engine is
another process. Whatever arrives is taken whole and drawn at most twenty times a second: paints are dropped,
frames never.
"""

from __future__ import annotations

import signal
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any, ClassVar

from textual.app import ComposeResult, SystemCommand
from textual.binding import Binding, BindingType
from textual.containers import Vertical
from textual.driver import Driver
from textual.message import Message
from textual.screen import Screen
from textual.widget import Widget
from textual.widgets import ContentSwitcher

from wsinspect.tui import states
from wsinspect.tui.actions.arranging import Arranging
from wsinspect.tui.actions.back import Back
from wsinspect.tui.actions.copies import Copies
from wsinspect.tui.actions.export import Exporting
from wsinspect.tui.actions.general import General
from wsinspect.tui.actions.inject import Injecting
from wsinspect.tui.actions.jumping import Jumping
from wsinspect.tui.actions.leaving import Leaving
from wsinspect.tui.command_palette import system_commands
from wsinspect.tui.driver import TerminalDriver
from wsinspect.tui.feed import Batch, Feed
from wsinspect.tui.keys import APP_KEYS, FIRST
from wsinspect.tui.model import LIVE
from wsinspect.tui.shell import MAIN
from wsinspect.tui.style import Palette
from wsinspect.tui.views import View
from wsinspect.tui.widgets.bar import Bar
from wsinspect.tui.widgets.base import LinePane
from wsinspect.tui.widgets.connections import ConnectionsPane
from wsinspect.tui.widgets.faults import FaultsPane
from wsinspect.tui.widgets.frames import FrameTable
from wsinspect.tui.widgets.inspector import InspectorPane
from wsinspect.tui.widgets.lines import Banner, HeaderLine, KeyLine, TabLine, TooSmall
from wsinspect.tui.widgets.overview import OverviewPane
from wsinspect.tui.widgets.pages import FindingsPane, HandshakePane
from wsinspect.tui.widgets.scrubber import ScrubberPane
from wsinspect.tui.widgets.timeline import TimelinePane

_PAINT_SECONDS = 0.05
_SLOW_SECONDS = 0.5
#: Between two pieces of work on a long capture: keys and paints come first.
_BREATH_SECONDS = 0.002
_SELECT_SECONDS = 0.06
_SIGNALS = (signal.SIGTERM, signal.SIGHUP)


class InspectApp(Injecting, Exporting, Leaving, Back, Copies, General, Jumping, Arranging):
    """`wsinspect open` and, with an engine, `wsinspect run`."""

    TITLE = "wsinspect"
    ENABLE_COMMAND_PALETTE = True
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding(key.keys, key.action, key.words, show=False, id=key.id, priority=key.keys in FIRST)
        for key in APP_KEYS
    ]
    CSS = """
    Screen { layout: vertical; }
    #pages { height: 1fr; }
    #main { height: 1fr; }
    """

    class Grown(Message):
        """The feed has something new."""

        def __init__(self, batch: Batch) -> None:
            super().__init__()
            self.batch = batch

    class Call(Message):
        """A thread wants something done in the event loop."""

        def __init__(self, callback: Callable[..., None], arguments: tuple[Any, ...]) -> None:
            super().__init__()
            self.callback, self.arguments = callback, arguments

    def __init__(self, path: Path, **options: Any) -> None:
        super().__init__(path, **options)
        self.feed = Feed(path, lambda batch: self._deliver(self.Grown(batch)))
        self.failure: Exception | None = None
        self._has_grown = False
        self._is_growing = False
        self._selecting: Any = None
        self._inspecting = False

    def _handle_exception(self, error: Exception) -> None:
        """A bug of ours: kept for the border of the command line, which writes it down."""
        self.failure = self.failure or error
        super()._handle_exception(error)
        self._exit_renderables.clear()

    def get_driver_class(self) -> type[Driver]:
        """A driver that outlives its terminal, unless the environment names one."""
        named = super().get_driver_class()
        if not issubclass(TerminalDriver, named):
            return named
        return TerminalDriver

    def _deliver(self, message: Message) -> None:
        if self.is_running and not self.post_message(message):
            self.feed.stop()

    def call_later_safely(self, callback: Callable[..., None], *arguments: Any) -> None:
        """From another thread: do it in the event loop."""
        self._deliver(self.Call(callback, arguments))

    def compose(self) -> ComposeResult:
        """Every widget there will ever be."""
        yield HeaderLine(id="header")
        yield Banner(id="banner")
        yield TabLine(id="tabs")
        with ContentSwitcher(initial=MAIN, id="pages"):
            with Vertical(id=MAIN):
                yield ConnectionsPane(self.selection, id="connections")
                yield OverviewPane(self.selection, id="overview")
                yield FrameTable(self.selection, id="frames")
                yield InspectorPane(self.selection, id="inspector")
            yield HandshakePane(self.selection, id="handshake")
            yield TimelinePane(self.selection, id="timeline")
            yield FindingsPane(self.selection, id="findings")
            yield FaultsPane(self.selection, id="faults")
        yield ScrubberPane(id="scrubber")
        yield Bar(id="bar")
        yield KeyLine(id="keys")
        yield TooSmall(id="too-small")

    @property
    def is_painting(self) -> bool:
        """Whether something is still to be drawn."""
        return self._has_grown or self._inspecting or self._selecting is not None

    def on_mount(self) -> None:
        """Begin to read."""
        if not self.has_colour:
            self.theme = "ansi-dark"
        self.theme_changed_signal.subscribe(self, lambda _theme: self._repaint_theme())
        self._repaint_theme()
        self.use_keymap()
        self.frames.focus()
        self.lay_out()
        self.feed.start()
        self.set_interval(_PAINT_SECONDS, self._paint)
        self.set_interval(_SLOW_SECONDS, self._slow)
        loop = states.running_loop()
        for number in _SIGNALS:
            loop.add_signal_handler(number, self.exit)

    def on_unmount(self) -> None:
        """End the threads."""
        self.stop_scan()
        self.feed.stop()
        self.selection.close()

    def _ground(self) -> tuple[str, str] | None:
        """Foreground and background of the theme; None where they are the terminal's own."""
        variables = self.get_css_variables()
        ground = variables.get("foreground", ""), variables.get("background", "")
        return ground if all(colour.startswith("#") for colour in ground) else None

    def _repaint_theme(self) -> None:
        self.palette = Palette(
            self.current_theme.dark, self.has_colour, self.palette.is_ascii, self._ground()
        )
        for widget in self.screen_stack[0].query(Widget):
            widget.refresh()

    # -- what arrives

    def on_inspect_app_call(self, message: Call) -> None:
        """A thread's wish."""
        if self.is_whole:
            message.callback(*message.arguments)

    def on_inspect_app_grown(self, message: Grown) -> None:
        """Take everything; draw later."""
        batch, model = message.batch, self.model
        if not self.is_whole:
            return
        is_first = not model.has_begun
        model.take(batch)
        self.feed.taken()
        if is_first and model.state == LIVE:
            self.frames.is_following = True
        if batch.connections:
            self.connections.refresh_order()
            if len(model.connections) <= states.FEW:
                self.lay_out()
        if batch.findings or batch.faults or batch.are_findings_anew:
            self.frames.forget_strips()
            self.findings.clamp()
        self.selection.refresh_volatile()
        self._has_grown = True
        self.frames_added()
        if is_first:
            self.frames.post_message(self.frames.Moved(self.frames))
            self._paint()
            self.connections.refresh()  # what it says where there are none
            self.lay_out()

    def _paint(self) -> None:
        """Twenty times a second: rows for what has come, and whatever shows it."""
        if not self.is_whole:
            return
        self.play_tick()
        self.settle_filter()
        self._grow()
        if self._has_grown:
            self._has_grown = False
            self.frames.grown()
            if self.page == "timeline":
                self.timeline.reload()
            for pane in (self.overview, self.findings, self.faults):
                pane.refresh()
            self.refresh_lines()

    def _grow(self) -> None:
        """Rows for what has come: a bounded piece, and again as soon as the event loop is free."""
        pending = [view for view in (self.selection.view, self._next_view) if view and not view.is_complete]
        for view in pending:
            self._has_grown = view.extend() or self._has_grown
        if pending and not all(view.is_complete for view in pending) and not self._is_growing:
            self._is_growing = True
            self.set_timer(_BREATH_SECONDS, self._grow_on)

    def _grow_on(self) -> None:
        self._is_growing = False
        if self.is_whole:
            self._grow()

    def _slow(self) -> None:
        """Twice a second: what changes with time alone."""
        if not self.is_whole:
            return
        self.model.count_rate()
        if self.engine is not None:
            self.model.is_engine_gone = self.engine.has_failed
        self._show_trouble()
        self.connections.refresh()
        self.refresh_lines()

    def _show_trouble(self) -> None:
        if self.one("#banner", Banner).display != (self.trouble() is not None):
            self.lay_out()

    # -- what is chosen

    def on_line_pane_moved(self, message: LinePane.Moved) -> None:
        """A cursor has moved; at the end of the program also after the panes have gone."""
        if not self.is_whole:
            return
        if message.pane is self.connections:
            if self._selecting is not None:
                self._selecting.stop()
            self._selecting = self.set_timer(_SELECT_SECONDS, self._select)
        elif message.pane is self.frames and not self._inspecting:
            self._inspecting = True
            self.call_after_refresh(self.show_chosen)

    def _select(self) -> None:
        self._selecting = None
        if self.is_whole:
            self.select_now(self.connections.connection_at(self.connections.cursor))

    def select_now(self, connection: int | None) -> None:
        """Show a connection's frames."""
        if self._selecting is not None:
            self._selecting.stop()
            self._selecting = None
        if connection == self.selection.connection:
            return
        self.selection.select(connection)
        self.overview.action_zoom(0)
        if self.playback is not None:
            self.leave_playback()
        self.replace_view(self.selection.view)
        if self.filter is not None:
            self.start_scan()
        self.handshake.show(self.connection_in_view())

    def replace_view(self, view: View) -> None:
        """Other rows; the chosen frame stays chosen where it is among them."""
        frames, before = self.frames, None
        if self.frames.view.index is view.index:
            before = frames.selected_position()
        self.selection.view = view
        view.extend()
        frames.limit = None
        self.is_frozen = False
        frames.cursor = frames.top = 0
        if frames.is_following or before is None:
            frames.grown()
        elif frames.row_count():
            frames.go_to_position(before)
        frames.post_message(frames.Moved(frames))
        self._has_grown = True

    def show_chosen(self) -> None:
        """The inspector follows the cursor, once a paint, or at once for a key about what it shows."""
        if not self.is_whole:
            return
        position = self.frames.selected_position()
        if not self._inspecting and position == self.inspector.position:
            return
        self._inspecting = False
        record = None if position is None else self.selection.record(self.model.index.columns.ids[position])
        self.inspector.show(record, position)
        self.overview.refresh()

    def on_overview_pane_time_chosen(self, message: OverviewPane.TimeChosen) -> None:
        """A click into the overview."""
        if self.is_whole:
            self.go_to_time(message.time_ns)

    def get_system_commands(self, screen: Screen[Any]) -> Iterable[SystemCommand]:
        """The palette's commands."""
        yield from system_commands(self)
