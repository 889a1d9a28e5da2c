"""The terminal program on one capture: its pages, what arrives, and the keys of every page.

Contract: the capture is read by a thread (`feed`) and by short reads for what is on the screen; the engine is
another process. Whatever arrives is taken whole and drawn at most twenty times a second: paints are dropped,
frames never. The app knows the pages; they know it by messages and by `Workspace` alone.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import shlex
import signal
import subprocess
from collections.abc import Callable, Iterable
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

from textual import work
from textual.app import App, SuspendNotSupported, SystemCommand
from textual.await_complete import AwaitComplete
from textual.binding import Binding, BindingType
from textual.driver import Driver
from textual.message import Message
from textual.screen import Screen
from textual.widget import Widget

from wsinspect.errors import WsinspectError
from wsinspect.handshake.heads import RawHead
from wsinspect.launch.child import Engine
from wsinspect.launch.interrupts import Ending, left_to_child
from wsinspect.launch.paths import own_program
from wsinspect.present.client_commands import CLIENT_COMMANDS
from wsinspect.text import escape
from wsinspect.tui.command_palette import PALETTE_CSS, PaletteScreen, system_commands
from wsinspect.tui.copying import command_for, curl_command
from wsinspect.tui.dialogs.help import HelpScreen
from wsinspect.tui.dialogs.jump import JumpScreen
from wsinspect.tui.dialogs.sheet import Question, Reply
from wsinspect.tui.driver import PlainDriver, TerminalDriver, has_job_control
from wsinspect.tui.engine import requests
from wsinspect.tui.engine.link import Answer
from wsinspect.tui.feed import Batch, Feed
from wsinspect.tui.keys import APP_KEYS, BY_ID, MAIN_KEYS, PAGE_OF, PANE_BY_ID, keymap_path, read_keymap
from wsinspect.tui.leaving import Leaving
from wsinspect.tui.model import DISCONNECTED
from wsinspect.tui.screens.faults import FaultsScreen
from wsinspect.tui.screens.findings import FindingsPane, FindingsScreen
from wsinspect.tui.screens.handshake import HandshakeScreen
from wsinspect.tui.screens.intercept import HeldPane, InterceptScreen
from wsinspect.tui.screens.main import MainScreen
from wsinspect.tui.screens.page import Page
from wsinspect.tui.screens.timeline import TimelinePane, TimelineScreen
from wsinspect.tui.style import Palette
from wsinspect.tui.widgets.bar import BarInput
from wsinspect.tui.widgets.base import LinePane
from wsinspect.tui.widgets.lines import KeyLine
from wsinspect.tui.widgets.playback import PlaybackPane
from wsinspect.tui.workspace import Workspace

if TYPE_CHECKING:
    from wsinspect.tui.screens.sandwich import SandwichScreen

_PAINT_SECONDS = 0.05
_SLOW_SECONDS = 0.5
#: By then the first screen is there, and what `warm_up` loads.
_SHOWN_SECONDS = 2.0
_SIGNALS = (signal.SIGTERM, signal.SIGHUP)
_PAGES: dict[str, Callable[[Workspace], Page]] = {
    "handshake": HandshakeScreen,
    "timeline": TimelineScreen,
    "findings": FindingsScreen,
    "faults": FaultsScreen,
    "intercept": InterceptScreen,
}


class InspectApp(App[int]):
    """`wsinspect open` and, with an engine, `wsinspect run`.

    `when_shown` is called once, when all that a start makes is made; `ending` is where signals go until then.
    """

    TITLE = "wsinspect"
    CSS = PALETTE_CSS
    ENABLE_COMMAND_PALETTE = True
    BINDINGS: ClassVar[list[BindingType]] = [
        *(Binding(key.keys, key.action, key.words, show=False, id=key.id) for key in APP_KEYS),
        # The main page handles its own keys first: these are for the other pages.
        *(
            Binding(key.keys, f"key({key.id!r})", key.words, show=False, id=key.id)
            for key in MAIN_KEYS
            if key.is_everywhere
        ),
    ]

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

    def __init__(
        self,
        path: Path,
        *,
        engine: Engine | None = None,
        is_ascii: bool = False,
        is_plain: bool = False,
        gap_ns: int | None = None,
        when_shown: Callable[[], None] = lambda: None,
        ending: Ending | None = None,
    ) -> None:
        self._is_plain = is_plain  # asked for while Textual's own part is made
        super().__init__(ansi_color=True if os.environ.get("NO_COLOR") else None)
        self.workspace = Workspace(
            path, self, engine=engine, is_ascii=is_ascii, is_plain=is_plain, gap_ns=gap_ns
        )
        self.main = MainScreen(self.workspace)
        self.feed = Feed(path, lambda batch: self._post(self.Grown(batch)))
        self.failure: Exception | None = None
        self.browsers = contextlib.ExitStack()
        self._has_doctor = False
        self._when_shown = when_shown
        self._ending = ending
        self._pages: dict[str, Page] = {"main": self.main}
        self._leaving = Leaving(self.workspace, lambda: self.exit(0), self.set_timer, self.push_screen)

    def get_default_screen(self) -> Screen[Any]:
        """The page below all others."""
        return self.main

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
        return PlainDriver if self._is_plain else TerminalDriver

    def on_mount(self) -> None:
        workspace = self.workspace
        if not workspace.has_colour:
            self.theme = "ansi-dark"
        elif workspace.settings.theme in self.available_themes:
            self.theme = workspace.settings.theme
        self.theme_changed_signal.subscribe(self, lambda _theme: self._theme_changed())
        self._repaint_theme()
        self._use_keymap()
        workspace.link.start()
        self.feed.start()
        self.set_interval(_PAINT_SECONDS, self._paint)
        self.set_interval(_SLOW_SECONDS, self._slow)
        self.set_timer(_SHOWN_SECONDS, self._when_shown)
        self._take_signals(asyncio.get_running_loop())

    def _take_signals(self, loop: asyncio.AbstractEventLoop) -> None:
        if self._ending is not None:
            self._ending.hand_over(lambda: loop.is_closed() or loop.call_soon_threadsafe(self.exit))
            return
        for number in _SIGNALS:
            loop.add_signal_handler(number, self.exit)

    def on_unmount(self) -> None:
        self.main.filtering.stop()
        self.main.search.stop()
        self.feed.stop()
        self.workspace.link.stop()
        self.workspace.selection.close()

    # -- the host of the workspace

    def _post(self, message: Message) -> None:
        if self.is_running and not self.post_message(message):
            self.feed.stop()

    def deliver(self, callback: Callable[..., None], *arguments: Any) -> None:
        """From another thread: call it in the event loop, if the screens are still there."""
        self._post(self.Call(callback, arguments))

    def say_from_thread(self, line: str) -> None:
        """Say what a thread has to say, also before the screens are there; it is escaped here."""
        say = partial(self.deliver, self.workspace.say) if self.is_running else self.workspace.say
        say(escape(line))

    def warm_up(self) -> None:
        """From another thread: load what keys will need, neither before the first paint nor at a key."""
        import wsinspect.faults.presets
        import wsinspect.faults.scenario
        import wsinspect.tui.dialogs.by_hand
        import wsinspect.tui.dialogs.columns
        import wsinspect.tui.dialogs.export
        import wsinspect.tui.dialogs.rule
        import wsinspect.tui.screens.sandwich
        import wsinspect.tui.screens.statistics  # noqa: F401

    @staticmethod
    def warm_up_doctor() -> None:
        """Likewise what a finding needs, and P: with its readers a quarter of the program's memory."""
        import wsinspect.doctor.examination
        import wsinspect.tui.dialogs.configuration
        import wsinspect.tui.dialogs.doctor  # noqa: F401

    def said(self) -> None:
        """There is another sentence for the bottom line."""
        if self.is_whole:
            self.page.lay_out_keys()

    def engine_seen(self) -> None:
        """What is known of the engine has changed."""
        page = self.page
        page.grown()
        page.refresh_lines()

    # -- what arrives

    @property
    def is_whole(self) -> bool:
        """Whether the widgets are there: not yet before the start, not any more at the end."""
        return bool(self.screen_stack) and self.main.key_line.is_attached

    @property
    def is_painting(self) -> bool:
        """Whether something is still to be drawn."""
        return self.main.is_painting

    def on_inspect_app_call(self, message: Call) -> None:
        if self.is_whole:
            message.callback(*message.arguments)

    def on_inspect_app_grown(self, message: Grown) -> None:
        """Take everything; draw later."""
        if not self.is_whole:
            return
        model = self.workspace.model
        is_first = not model.has_begun
        model.take(message.batch)
        self.feed.taken()
        self.main.taken(message.batch, is_first=is_first)
        if model.findings and not self._has_doctor:
            self._has_doctor = True
            self.run_worker(self.warm_up_doctor, thread=True)

    def _paint(self) -> None:
        """Twenty times a second: rows for what has come, and whatever shows it."""
        if self.is_whole and self.main.paint():
            self.page.grown()
            self._repaint_between()
        if self.is_whole and self.workspace.glyphs.is_plain:
            self._place_cursor()

    def _place_cursor(self) -> None:
        """The terminal's cursor goes to the line that is chosen, for screen readers."""
        pane = self.focused
        place = pane.cursor_place() if isinstance(pane, LinePane) else None
        if pane is not None and place is not None and place != self.cursor_position:
            self.cursor_position = place
            pane.refresh()

    def _slow(self) -> None:
        """Twice a second: what changes with time alone."""
        if not self.is_whole:
            return
        model, engine = self.workspace.model, self.workspace.engine
        model.count_rate()
        if engine is not None:
            known, model.is_engine_gone = model.version, engine.has_failed
            if model.version != known:  # what is lost by that: no batch comes where the recorder died too
                self.page.grown()
                self.page.repaint()
        self.page.tick()
        self._repaint_between()

    def _repaint_between(self) -> None:
        """A question over a dialog: Textual keeps drawing the page as it was under the dialog."""
        stack = self.screen_stack
        for screen in stack[stack.index(self.page) + 1 : -1]:
            screen.refresh()

    # -- the theme and the keys

    def _ground(self) -> tuple[str, str] | None:
        """Foreground and background of the theme; None where they are the terminal's own."""
        variables = self.get_css_variables()
        ground = variables.get("foreground", ""), variables.get("background", "")
        return ground if all(colour.startswith("#") for colour in ground) else None

    def _theme_changed(self) -> None:
        """Somebody chose a theme: remember it."""
        self._repaint_theme()
        if self.workspace.has_colour and self.workspace.settings.theme != self.theme:
            self.workspace.settings.theme = self.theme
            self.workspace.remember()

    def _repaint_theme(self) -> None:
        workspace = self.workspace
        workspace.palette = Palette(
            self.current_theme.dark, workspace.has_colour, workspace.palette.is_ascii, self._ground()
        )
        for screen in self.screen_stack:
            for widget in screen.query(Widget):
                widget.refresh()

    def _use_keymap(self) -> None:
        """The user's own keys."""
        known = set(BY_ID)
        panes: list[type[Widget]] = [LinePane, *(type(pane) for pane in self.main.panes)]
        panes += [PlaybackPane, TimelinePane, FindingsPane, HeldPane, BarInput]
        for kind in panes:
            known |= {one.id for one in kind.BINDINGS if isinstance(one, Binding) and one.id}
        try:
            self.workspace.keymap = read_keymap(keymap_path(), frozenset(known))
        except WsinspectError as error:
            self.workspace.say(str(error))
            return
        self.set_keymap(self.workspace.keymap)

    def get_system_commands(self, screen: Screen[Any]) -> Iterable[SystemCommand]:
        yield from system_commands(self)

    # -- the pages

    @property
    def page(self) -> Page:
        """The page that is shown, whatever covers it."""
        shown = (screen for screen in reversed(self.screen_stack) if isinstance(screen, Page))
        return next(shown, self.main)

    def pop_screen(self) -> AwaitComplete:
        """Take away what is on top; the main page stays, whoever asks twice (Textual's palette does)."""
        return AwaitComplete() if self.screen is self.main else super().pop_screen()

    async def show_page(self, name: str) -> Page:
        """Show a page; nothing happens while something covers the one that is shown."""
        page = self._pages.get(name)
        if page is None:
            page = self._pages[name] = self._new_page(name)
            self.install_screen(page, name)
        if self.screen is self.page and page is not self.page:
            self.workspace.unsay()
            if self.page is not self.main:
                await self.pop_screen()
            if page is not self.main:
                await self.push_screen(page)
        return page

    def _new_page(self, name: str) -> Page:
        if name == "statistics":
            from wsinspect.tui.screens.statistics import StatisticsScreen

            return StatisticsScreen(self.workspace, self.main.overview.window)
        if name == "sandwich":
            from wsinspect.tui.screens.sandwich import SandwichScreen

            return SandwichScreen(self.workspace)
        return _PAGES[name](self.workspace)

    async def action_page(self, name: str) -> None:
        """A page, or back from it."""
        if self.page.page == name:
            await self.show_page("main")
            return
        connection = self._connection()
        page = await self.show_page(name)
        page.show(connection)

    def _connection(self) -> int | None:
        """The connection that the page is about, else the one that is chosen on the main page."""
        shown = self.page.connection_in_view()
        return shown if shown is not None else self.main.connection_in_view()

    async def action_back(self) -> None:
        """To the main page; there, one step back."""
        if self.page is self.main:
            self.main.step_back()
        else:
            await self.show_page("main")

    async def action_focus_pane(self, number: int) -> None:
        """A pane of the main page."""
        await self.show_page("main")
        self.main.action_focus_pane(number)

    async def action_key(self, key_id: str) -> None:
        """What a key does, on the page that it is of."""
        pane_key, pane = PANE_BY_ID.get(key_id), self.focused
        if pane_key is not None and pane is not None:
            await self.run_action(pane_key.action, default_namespace=pane)
            return
        key, page = BY_ID[key_id], PAGE_OF.get(key_id)
        if page is None:
            await self.run_action(key.action)
        else:
            await self.run_action(key.action, default_namespace=await self.show_page(page))

    async def on_key_line_pressed(self, message: KeyLine.Pressed) -> None:
        """A click on a key of the footer."""
        await self.action_key(message.key_id)

    async def on_timeline_pane_opened(self, message: TimelinePane.Opened) -> None:
        """A connection of the timeline: its frames."""
        await self.show_page("main")
        self.main.show_connection(message.connection)

    async def on_sandwich_screen_partner_wanted(self, message: SandwichScreen.PartnerWanted) -> None:
        """The other side of a hop: its frames."""
        await self.show_page("main")
        self.main.show_connection(message.connection)

    async def on_timeline_pane_frame_opened(self, message: TimelinePane.FrameOpened) -> None:
        """A frame that a client's story names."""
        await self.show_page("main")
        self.main.action_focus_pane(3)
        self.main.going.to_frame(message.frame)

    async def on_findings_pane_opened(self, message: FindingsPane.Opened) -> None:
        """What a finding is about: its frame, or its connection."""
        finding = message.finding
        if finding.frame_id is not None or finding.connection_id is not None:
            await self.show_page("main")
            self.main.show_finding(finding)

    async def on_main_screen_finding_wanted(self, message: MainScreen.FindingWanted) -> None:
        """A finding about no connection, on the page that has all of them."""
        page = await self.show_page("findings")
        if isinstance(page, FindingsScreen):
            page.findings.choose(message.finding)

    def saved_filters(self) -> list[str]:
        """The filters that the user has saved, the newest first."""
        return self.workspace.settings.filters

    def use_filter(self, text: str) -> None:
        """Show what passes a filter."""
        self.main.use_filter(text)

    def choose_view(self, name: str) -> None:
        """Show payloads in this view, one of those that the command palette lists."""
        self.main.inspector.choose_view(name)

    def action_command_palette(self) -> None:
        """Everything that can be done now, to choose from."""
        if not isinstance(self.screen, PaletteScreen):
            self.push_screen(PaletteScreen(id="--command-palette"))

    def later(self, callback: Callable[[], object]) -> None:
        """Call it once the palette has gone."""
        self.call_later(callback)

    # -- dialogs over a page

    def action_help(self) -> None:
        """Help for the focused pane."""
        focused = self.focused
        pane = focused if isinstance(focused, LinePane) else self.page.pane
        self.push_screen(HelpScreen(self.workspace, pane, self.page.page))

    def action_jump(self) -> None:
        """Label every pane, and every row that can be chosen."""
        page = self.page
        if self.screen is page and not page.is_small and not self.main.bar.is_open:
            self.push_screen(JumpScreen(page.jump_targets(), self.workspace.palette))

    def action_export(self, kind: str = "har") -> None:
        """Ask what to export, and where to."""
        from wsinspect.tui.dialogs.export import ExportDialog, suggested
        from wsinspect.tui.exporting import ALL, CONNECTIONS, ONE, PASSING, Order

        if not self.workspace.can("export", "e"):
            return
        model, selection = self.workspace.model, self.workspace.selection
        flt, number = selection.filter, selection.connection
        parts = [(ALL, "whole capture")]
        if number is not None:
            parts.append((ONE, f"connection {number}"))
        if flt is not None:
            parts.append((PASSING, "what passes the filter"))
            if not flt.lists_connections:
                parts.append((CONNECTIONS, "its connections"))
        part = PASSING if flt is not None else ONE if number is not None else ALL
        order = Order(model.path, Path(), kind, part, number, flt, False, model.newest_id)
        self.push_screen(ExportDialog(self.workspace, suggested(order), parts))

    def add_fault(self, begin: str) -> None:
        """Type a rule that begins so."""
        from wsinspect.tui.dialogs.rule import RuleDialog

        if self.workspace.can("faults.add", "faults"):
            self.push_screen(RuleDialog(self.workspace, begin))

    def action_inject(self) -> None:
        """Make a frame and send it."""
        from wsinspect.tui.dialogs.by_hand import InjectDialog

        number = self.main.connection_in_view()
        if self.workspace.can("inject", "x") and number is not None:
            position = self.main.frames.selected_position()
            flags = 0 if position is None else self.workspace.model.index.columns.flags[position]
            way = "s2c" if flags & 1 else "c2s"
            self.push_screen(InjectDialog(self.workspace, number, self._target(number), way))

    @work(thread=True, exclusive=True)
    def action_browser(self) -> None:
        """A browser with a temporary profile, proxied by the engine of this capture; leaving closes it."""
        from wsinspect.launch.browser.session import open_for_capture

        try:
            self.browsers.enter_context(open_for_capture(self.workspace.model.path, self.say_from_thread))
        except WsinspectError as error:
            self.say_from_thread(f"{error.message}{f' ({error.hint})' if error.hint else ''}")

    def action_connect(self) -> None:
        """A client to type into, through this proxy where one runs."""
        from wsinspect.tui.dialogs.connect import ConnectDialog

        workspace = self.workspace
        one = workspace.model.connections.get(self._connection() or 0)
        targets = [str(tap["target"]) for tap in workspace.model.taps if tap.get("target")]
        suggested = targets[0].replace("http", "ws", 1) if targets else ""
        url = suggested if one is None else one.url
        pid = workspace.engine_view.status.get("pid") if workspace.engine_view.is_up else None
        where = "this proxy records it" if pid else "it is recorded in a capture of its own"

        def connect(arguments: list[str]) -> None:
            through = [f"--through={pid}"] if pid else []
            self._run_here([*own_program(), "connect", *through, *arguments])

        protocol = "" if one is None or one.subprotocol is None else one.subprotocol
        self.push_screen(ConnectDialog(workspace, url, protocol, where, connect))

    def _run_here(self, command: list[str]) -> None:
        """Run a command in this terminal, and come back."""
        try:
            with self.suspend(), left_to_child():
                subprocess.run(command, check=False)
                with contextlib.suppress(EOFError, KeyboardInterrupt):
                    input("enter goes back to the timeline ")
        except SuspendNotSupported:
            self.workspace.say(f"this terminal cannot be lent; run: {escape(shlex.join(command))}")
        except OSError as error:
            self.workspace.say(f"{command[0]}: {error.strerror}")
        self.refresh()

    def action_end_connection(self, how: str = "close") -> None:
        from wsinspect.tui.dialogs.by_hand import EndDialog

        number = self.main.connection_in_view()
        if self.workspace.can("connection.end", "X") and number is not None:
            self.push_screen(EndDialog(self.workspace, number, self._target(number), how))

    def _target(self, number: int) -> str:
        one = self.workspace.model.connections[number]
        return escape(one.path or one.url)

    # -- what can be done on every page

    async def action_quit(self) -> None:
        """Textual's own way out."""
        self._leaving.begin()

    def action_leave(self) -> None:
        self._leaving.begin()

    def action_reset_faults(self) -> None:
        """Panic: take all rules away at once."""
        if not self.workspace.can("faults.reset", "F"):
            return

        def done(answer: Answer) -> None:
            words = f"F: {escape(answer.error)}" if answer.error else requests.reset_words(answer.value)
            self.workspace.say(words)

        self.workspace.ask(requests.reset(), done)

    @work(thread=True, exclusive=True, group="doctor")
    def action_doctor(self) -> None:
        """Ask the connection's server itself."""
        self.warm_up_doctor()
        self.deliver(self._ask_doctor)

    def _ask_doctor(self) -> None:
        from wsinspect.doctor.recorded import asked_again
        from wsinspect.tui.dialogs.doctor import DoctorScreen

        one = self.workspace.model.connections.get(self._connection() or 0)
        if one is None:
            self.workspace.say("P: choose a connection first (1, then up or down)")
            return
        handshake = self.workspace.selection.handshake(one.id)
        raw = handshake and (handshake.request_out or handshake.request_in)
        again = asked_again(
            one.scheme,
            one.host,
            one.port,
            one.path,
            RawHead.parse(raw) if raw else None,
            server=handshake.server_address if handshake is not None else None,
            is_tls=handshake is not None and handshake.server_tls is not None,
        )
        if again is None:
            self.workspace.say("P: the recording does not say which server this connection went to")
        elif self.screen is self.page:
            self.push_screen(DoctorScreen(self.workspace, *again))

    def action_copy_curl(self) -> None:
        """The opening handshake as curl."""
        one = self.workspace.model.connections.get(self._connection() or 0)
        if one is None:
            self.workspace.say("choose a connection first")
            return
        handshake = self.workspace.selection.handshake(one.id)
        self.page.copier.text(curl_command(one, handshake), "curl command", ".sh")

    def action_copy_as(self) -> None:
        """The opening handshake for another client: which, is asked."""
        one = self.workspace.model.connections.get(self._connection() or 0)
        if one is None:
            self.workspace.say("choose a connection first")
        elif self.screen is self.page:
            replies = [Reply((key,), key, command.name, key) for key, command in CLIENT_COMMANDS.items()]
            replies.insert(0, Reply(("c", "enter"), "c", "curl", "c"))
            text = f"{one.url} with the headers of its opening handshake."
            question = Question(self.workspace, f"Copy connection {one.id} as", escape(text), replies)
            self.push_screen(question, lambda value: self._copy_as(one.id, value or ""))

    def _copy_as(self, connection: int, value: str) -> None:
        one = self.workspace.model.connections.get(connection)
        if value and one is not None:
            text, name, suffix = command_for(one, self.workspace.selection.handshake(one.id), value)
            self.page.copier.text(text, name, suffix)

    def action_next_clock(self) -> None:
        """Another way to write times, on every page."""
        workspace = self.workspace
        workspace.clock = workspace.clock.next
        workspace.remember()
        self.main.clock_changed()
        self.page.repaint()
        workspace.say(f"times: {workspace.clock.words}")

    def action_pager(self) -> None:
        """What the page shows, in the user's pager; escaped as on the screen."""
        text = self.page.document_text()
        pager = shlex.split(os.environ.get("PAGER") or "less")
        environment: dict[str, Any] = {**os.environ, "LESSSECURE": "1"}
        try:
            with self.suspend(), left_to_child():
                subprocess.run(pager, input=text.encode("utf-8", "replace"), env=environment, check=False)
        except SuspendNotSupported:
            self.workspace.say("this terminal cannot run a pager")
        except OSError as error:
            self.workspace.say(f"{pager[0]}: {error.strerror}")
        self.refresh()

    def action_to_shell(self) -> None:
        """Stop, as the terminal's own ctrl+z does; the proxy is another process and continues."""
        if self.is_headless or self.is_web or not has_job_control():
            self.workspace.say("ctrl+z: there is no shell with job control to go back to")
        else:
            self.action_suspend_process()

    def action_restart(self) -> None:
        """Start an engine again that has exited."""
        if self.workspace.engine is None:
            self.workspace.say(
                "this proxy was not started from here: wsinspect run --append continues its recording"
            )
        elif self.workspace.model.state != DISCONNECTED:
            self.workspace.say("the proxy is running")
        else:
            self.workspace.say("restarting the proxy")
            self._restart(self.workspace.engine)

    @work(thread=True, exclusive=True)
    def _restart(self, engine: Engine) -> None:
        try:
            engine.restart()
        except WsinspectError as error:
            self.deliver(self.workspace.say, str(error))
            return
        self.deliver(self._restarted)

    def _restarted(self) -> None:
        self.workspace.model.is_engine_gone = self.workspace.model.was_live = False
        self.workspace.say("the proxy is running again")
