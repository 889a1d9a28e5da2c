"""The main page: connections, overview, frames and inspector, the bar, and playback."""

from __future__ import annotations

import time
from typing import ClassVar, Final

from textual.app import ComposeResult
from textual.binding import BindingType
from textual.containers import Vertical
from textual.message import Message

from wsinspect.capture.records import FindingRow
from wsinspect.filters import FilterError, parse
from wsinspect.text import counted, escape
from wsinspect.tui.blobs import MESSAGE, blob_of
from wsinspect.tui.dialogs.jump import Target
from wsinspect.tui.feed import Batch
from wsinspect.tui.filtering import Filtering
from wsinspect.tui.going import Going
from wsinspect.tui.keys import bindings_of
from wsinspect.tui.layout import heights
from wsinspect.tui.model import LIVE
from wsinspect.tui.partners import Partners
from wsinspect.tui.playing import Playing
from wsinspect.tui.reading import Reading
from wsinspect.tui.screens.page import Page
from wsinspect.tui.searching import Search
from wsinspect.tui.steps import Steps
from wsinspect.tui.views import View
from wsinspect.tui.widgets.bar import Bar
from wsinspect.tui.widgets.base import LinePane
from wsinspect.tui.widgets.connections import ConnectionsPane
from wsinspect.tui.widgets.frames import FrameTable
from wsinspect.tui.widgets.inspector import TABS, InspectorPane
from wsinspect.tui.widgets.lines import TabLine
from wsinspect.tui.widgets.overview import OverviewPane
from wsinspect.tui.widgets.playback import PlaybackPane
from wsinspect.tui.workspace import Workspace
from wsinspect.units import QuantityError

#: With this few connections the list may need fewer rows: the screen is divided again.
_FEW: Final = 20
#: A pause between two pieces of work on a long capture, so that keys and paints come first.
_PIECE_SECONDS: Final = 0.002
#: How long the cursor has to rest on a connection before its frames are shown.
_SELECT_SECONDS: Final = 0.06


class MainScreen(Page):
    """See the module docstring.

    Attributes:
        pane_number: the pane that had the focus last, 1 to 4.
        is_maximised: only that pane is shown.
        inspector_extra: rows that the user gave to the inspector.
    """

    DEFAULT_CSS = """
    MainScreen #main { height: 1fr; }
    """
    BINDINGS: ClassVar[list[BindingType]] = bindings_of("main")
    page = "main"

    def __init__(self, workspace: Workspace) -> None:
        self.frames = FrameTable(workspace, id="frames")
        super().__init__(workspace, self.frames)
        self.selection, self.model = workspace.selection, workspace.model
        self.connections = ConnectionsPane(workspace, id="connections")
        self.overview = OverviewPane(workspace, self.frames.selected_time_ns, id="overview")
        self.inspector = InspectorPane(workspace, id="inspector")
        self.panes: tuple[LinePane, ...] = (self.connections, self.overview, self.frames, self.inspector)
        self.box = Vertical(*self.panes, id="main")
        self.tabs = TabLine(workspace, id="tabs")
        self.playback_pane = PlaybackPane(workspace, id="playback")
        self.bar = Bar(workspace)
        self.filtering = Filtering(workspace, self.frames, self.connections, self.replace_view)
        self.playing = Playing(
            workspace, self.frames, self.playback_pane, self._share_with_playback, self._draw_playback
        )
        self.reading = Reading(workspace)
        self.going = Going(workspace, self.frames, self.reading, self._select_at_once, self.show_connection)
        workspace.chosen_connection = self.connection_in_view
        self.search = workspace.search = Search(workspace, self._search_changed)
        self.steps = Steps(workspace, self.frames, self.search, self.going.to_frame)
        self.partners = Partners(workspace.selection)
        self._comparison = 0
        self.pane_number = 3
        self.is_maximised = False
        self.inspector_extra = 0
        self._has_grown = False
        self._is_growing = False
        self._is_inspector_due = False
        self._select_due: float | None = None

    def compose(self) -> ComposeResult:
        """From top to bottom."""
        yield self.header_line
        yield self.banner
        yield self.tabs
        yield self.box
        yield self.playback_pane
        yield self.bar
        yield self.key_line
        yield self.too_small

    # -- how the screen is shared

    def lay_out(self) -> None:
        """Which panes are shown, and how high."""
        size, is_small, is_played = self.app.size, self.is_small, self.workspace.playback is not None
        for widget in (self.header_line, self.box, self.key_line):
            widget.display = not is_small
        self.too_small.display = is_small
        self.bar.display = self.bar.is_open and not is_small
        self.playback_pane.display = is_played and not is_small
        banner = self.lay_out_banner()
        if is_small:
            self.tabs.display = False
            return
        shown = heights(
            size,
            self.pane_number,
            connections=len(self.model.connections),
            is_maximised=self.is_maximised,
            extra=self.inspector_extra,
            taken=3 * is_played + banner + self._keys_height - 1,
        )
        self.tabs.shown = self.pane_number
        self.tabs.display = len(shown) == 1 and not self.is_maximised
        for number, pane in enumerate(self.panes, 1):
            pane.display = number in shown
            pane.styles.height = shown.get(number) or "1fr"
        self.refresh_lines()

    def refresh_lines(self) -> None:
        """Draw the single lines again."""
        super().refresh_lines()
        self.tabs.refresh()

    def check_action(self, action: str, parameters: tuple[object, ...]) -> bool | None:
        """The bar's keys are characters while it is typed into."""
        if action in ("filter", "go", "find"):
            return not (self.bar.is_open and self.app.focused is self.bar.input)
        return True

    def focus_pane(self, pane: LinePane) -> None:
        """Show it where only one fits, and focus it."""
        if pane in self.panes:
            self.pane_number = self.panes.index(pane) + 1
            self.lay_out()
        self.set_focus(pane)

    def action_focus_pane(self, number: int) -> None:
        self.focus_pane(self.panes[number - 1])

    def focus_last(self) -> None:
        """Back to the pane that had the focus last."""
        self.set_focus(self.panes[self.pane_number - 1])

    def action_next_pane(self, step: int) -> None:
        """The pane next to this one; in the bar, completion."""
        if self.bar.is_open:
            self.bar.input.complete()
        else:
            self.action_focus_pane((self.pane_number - 1 + step) % len(self.panes) + 1)

    def action_maximise(self) -> None:
        """Only this pane, or all of them again."""
        self.is_maximised = not self.is_maximised
        self.lay_out()

    def action_resize(self, step: int) -> None:
        """A larger or smaller inspector."""
        self.inspector_extra += 2 * step
        self.lay_out()

    def on_tab_line_chosen(self, message: TabLine.Chosen) -> None:
        """A click on a pane's name."""
        self.action_focus_pane(message.number)

    def more_targets(self) -> list[Target]:
        """The names of panes, where only one fits."""
        if not self.tabs.display:
            return []
        y = self.tabs.region.y
        return [Target(x, y, self._to_pane(self.panes[number - 1])) for number, x in self.tabs.places()]

    # -- what arrives

    @property
    def is_painting(self) -> bool:
        """Whether something is still to be drawn."""
        return self._has_grown or self._is_inspector_due or self._select_due is not None

    def taken(self, batch: Batch, *, is_first: bool) -> None:
        """The model has taken a batch."""
        if is_first and self.model.state == LIVE:
            self.frames.is_following = True
        if batch.connections:
            self.connections.refresh_order()
            if len(self.model.connections) <= _FEW:
                self.lay_out()
        if batch.findings or batch.faults or batch.are_findings_anew:
            self.frames.forget_strips()
            self._is_inspector_due = self._is_inspector_due or self.inspector.record is None
        self.selection.refresh_volatile()
        self._has_grown = True
        self.filtering.frames_added()
        self.search.frames_added()
        if is_first:
            self.frames.post_message(self.frames.Moved(self.frames))
            self.paint()
            self.connections.refresh()  # what it says when there are none
            self.lay_out()

    def paint(self) -> bool:
        """Twenty times a second, shown or not: whatever waits for its time; whether frames have come."""
        self.playing.tick()
        self.filtering.settle()
        self._grow()
        self.reading.tick()
        self._place_asked()
        if self._select_due is not None and time.monotonic() >= self._select_due:
            self.select_now(self.connections.connection_at(self.connections.cursor))
        has_grown, self._has_grown = self._has_grown, False
        if has_grown:
            self.frames.grown()
        if self._is_inspector_due:
            self.show_chosen()
        return has_grown

    def grown(self) -> None:
        """Draw what shows how much there is."""
        self.overview.refresh()
        self.refresh_lines()

    def tick(self) -> None:
        """Ages of connections change too."""
        self.connections.refresh()
        super().tick()

    def _grow(self) -> None:
        """Rows for what has come: a bounded piece, and again as soon as the event loop is free."""
        views = (self.selection.view, self.selection.pending)
        pending = [view for view in views if view is not None and not view.is_complete]
        for view in pending:
            self._has_grown = view.extend() or self._has_grown
        if pending and not all(view.is_complete for view in pending) and not self._is_growing:
            self._is_growing = True
            self.set_timer(_PIECE_SECONDS, self._grow_on)

    def _place_asked(self) -> None:
        """Rows for the plain requests near the attempts that are looked at, once all frames have theirs."""
        view, frames, model = self.selection.view, self.frames, self.model
        if view.is_filtered or model.is_loading or not view.is_complete or frames.limit is not None:
            return
        is_on = self.workspace.settings.requests
        one = self.selection.selected
        if one is not None and one.state in ("refused", "failed") and not view.total:
            is_on = False  # the pane has the answer, and the requests before it
        wanted = (is_on, model.asked_count)
        if view.placed == wanted:
            return
        view.placed = wanted
        asked = model.asked_near(self.selection.connection) if is_on else []
        if [row.id for row in asked] == [row.id for row in view.asked]:
            return
        is_at_top = frames.top == 0
        with frames.rows_kept():
            view.place(asked)
        if is_at_top:
            frames.top = 0
            frames.show_cursor()
        frames.post_message(frames.Moved(frames))  # a request that was chosen may have gone
        self._has_grown = True

    def action_requests(self) -> None:
        """Rows of plain requests come or go."""
        settings = self.workspace.settings
        settings.requests = not settings.requests
        self.workspace.remember()
        self._place_asked()
        count = len(self.model.asked_near(self.selection.connection))
        state = "shown" if settings.requests else "hidden"
        if self.selection.filter is not None and settings.requests:
            state = "shown without a filter"
        self.workspace.say(f"{counted(count, 'HTTP request')} near an attempt: {state}")

    def _grow_on(self) -> None:
        self._is_growing = False
        self._grow()

    # -- what is chosen

    def on_line_pane_moved(self, message: LinePane.Moved) -> None:
        """A cursor has moved; what follows it does so with the next paint, a fast cursor only at its end."""
        message.stop()
        if message.pane is self.connections:
            self._select_due = time.monotonic() + _SELECT_SECONDS
        elif message.pane is self.frames and not self._is_inspector_due:
            self._is_inspector_due = True
            # Soon, if the screen is drawn; if that call is lost, the next paint does it.
            self.call_after_refresh(self.show_due)

    def show_due(self) -> None:
        """The inspector follows the cursor, unless it has done so."""
        if self._is_inspector_due:
            self.show_chosen()

    def show_chosen(self) -> None:
        """The inspector shows the frame under the cursor, if it does not yet."""
        position, asked = self.frames.selected_position(), self.frames.selected_asked()
        is_shown = position == self.inspector.position and asked is self.inspector.asked
        if not self._is_inspector_due and is_shown:
            return
        self._is_inspector_due = False
        record = None if position is None else self.selection.record(self.model.index.columns.ids[position])
        self.inspector.show(record, position, asked)
        self.overview.refresh()

    def connection_in_view(self) -> int | None:
        """The connection under the cursor, else that of the chosen frame."""
        chosen = self.connections.connection_at(self.connections.cursor)
        if chosen is not None:
            return chosen
        if (asked := self.frames.selected_asked()) is not None:
            return asked.connection
        position = self.frames.selected_position()
        return None if position is None else self.model.index.columns.connections[position]

    def select_now(self, connection: int | None) -> None:
        """Show the frames of a connection, or of all."""
        self._select_due = None
        if connection == self.selection.connection:
            return
        self.selection.select(connection)
        self.overview.action_zoom(0)
        if self.workspace.playback is not None:
            self.playing.leave()
        self.replace_view(self.selection.view)
        self.search.again()
        if self.selection.filter is not None:
            self.filtering.start()

    def replace_view(self, view: View) -> None:
        """Other rows; the chosen frame stays chosen where it is among them."""
        frames, before = self.frames, None
        if frames.view.index is view.index:
            before = frames.selected_position()
        self.selection.view = view
        view.extend()
        frames.limit = None
        self.workspace.is_paused = False
        frames.cursor = frames.top = 0
        if frames.is_following or before is None:
            frames.grown()
        elif frames.row_count():
            frames.go_to_position(before)
        frames.post_message(frames.Moved(frames))
        self._has_grown = True

    def _select_at_once(self, connection: int) -> None:
        self.connections.choose(connection)
        self.select_now(connection)

    def action_all_connections(self) -> None:
        """Frames from all connections."""
        self.connections.choose(None)

    def show_connection(self, connection: int) -> None:
        """Select a connection and go to the frames pane."""
        self.action_focus_pane(3)
        self.connections.choose(connection)

    # -- moving among frames

    def action_follow(self) -> None:
        """Keep the newest frame on the screen."""
        self.workspace.is_paused = False
        self.frames.limit = None
        self.frames.follow(True)
        self.refresh_lines()

    def action_pause(self) -> None:
        """The frame table stands still; everything else continues."""
        paused = self.workspace.is_paused = not self.workspace.is_paused
        self.frames.limit = self.frames.row_count() if paused else None
        self.frames.grown()
        self.refresh_lines()

    def on_overview_pane_time_chosen(self, message: OverviewPane.TimeChosen) -> None:
        """A click into the overview."""
        self.going.to_time(message.time_ns)

    def action_mate(self) -> None:
        """The frame that belongs to the chosen one."""
        self.steps.mate()

    def action_next_finding(self, step: int) -> None:
        """The next finding or violation; while something is looked for, the next match of that."""
        if self.pane_number == 4 and self.inspector.needle:
            self.inspector.next_match(step)
        elif self.search.is_on:
            self.steps.next_match(step)
        else:
            self.reading.then(lambda: self._to_finding(step))

    def _to_finding(self, step: int) -> None:
        finding = self.steps.next_finding(step)
        if finding is not None:
            self.show_finding(finding)

    def _search_changed(self) -> None:
        """Matches have come, or the search has ended."""
        self.frames.forget_strips()
        self.frames.refresh()
        self.overview.refresh()
        self.key_line.refresh()

    class FindingWanted(Message):
        """A finding about no connection is to be shown: it has no place on this page."""

        def __init__(self, finding: FindingRow) -> None:
            super().__init__()
            self.finding = finding

    def show_finding(self, finding: FindingRow) -> None:
        """Go to its frame, else to the end of its connection; the inspector says what it is."""
        self.steps.findings.shown = finding
        if finding.connection_id is None and finding.frame_id is None:
            self.post_message(self.FindingWanted(finding))
            return
        if finding.frame_id is not None:
            self.action_focus_pane(3)
            self.going.to_frame(finding.frame_id)
        elif finding.connection_id is not None:
            self.show_connection(finding.connection_id)
            self.select_now(finding.connection_id)
            self.frames.is_following = False
            self.frames.move_to(self.frames.row_count() - 1)
        self.inspector.choose_tab(TABS.index("Findings"))
        self.show_chosen()

    def action_next_gap(self, step: int) -> None:
        """The frame after the next silence."""
        self.reading.then(lambda: self.steps.next_gap(step))

    def action_mark(self) -> None:
        """Mark the chosen frame, or unmark it; in playback, an end of the selection."""
        if self.workspace.playback is not None:
            self.playing.mark()
        else:
            self.steps.mark()

    def action_next_mark(self) -> None:
        """The next mark, around at the end."""
        if self.workspace.playback is not None:
            self.playing.next_mark()
        else:
            self.steps.next_mark()

    # -- the bar

    def action_filter(self) -> None:
        flt = self.selection.filter
        self._open_bar("filter", flt.source if flt is not None else "")

    def action_go(self) -> None:
        """Type where to go."""
        self._open_bar("go", "")

    def action_find(self) -> None:
        """Type what to look for: in the inspector a text in the payload, else a filter among the frames."""
        if self.pane_number == 4 and self.app.focused is self.inspector:
            self._open_bar("text", self.inspector.needle)
        else:
            flt = self.search.filter
            self._open_bar("find", flt.source if flt is not None else "")

    def on_bar_find_typed(self, message: Bar.FindTyped) -> None:
        here = self.frames.selected_position()
        self.search.start(message.filter, lambda: self.steps.first_match(here))

    def on_bar_text_typed(self, message: Bar.TextTyped) -> None:
        self.frames.follow(False)  # what is looked through stays
        self.inspector.find(message.text)

    def on_bar_filter_saved(self, message: Bar.FilterSaved) -> None:
        is_kept = self.workspace.settings.save_filter(message.text)
        self.workspace.remember()
        word = "saved" if is_kept else "no longer saved"
        self.workspace.say(f"{word}: {escape(message.text)}; up and down show saved ones")

    def on_inspector_pane_filter_wanted(self, message: InspectorPane.FilterWanted) -> None:
        """Filter by a value of the payload."""
        self.use_filter(message.text)

    def use_filter(self, text: str) -> None:
        """Show what passes a filter, or say what is wrong with it."""
        try:
            self.filtering.apply(parse(text))
        except FilterError as error:
            self.workspace.say(f"cannot filter by {escape(text)}: {escape(str(error))}")
            return
        self.workspace.say(f"filter: {escape(text)}; U undoes it")

    def on_inspector_pane_copy_wanted(self, message: InspectorPane.CopyWanted) -> None:
        self.copier.text(message.text, message.what, ".txt")

    def action_undo_filter(self) -> None:
        self.filtering.undo()

    def action_columns(self) -> None:
        """Choose the columns of the frames pane."""
        from wsinspect.tui.dialogs.columns import ColumnsDialog

        self.app.push_screen(ColumnsDialog(self.workspace))

    def clock_changed(self) -> None:
        """Times are written another way."""
        self.frames.forget_strips()
        self.inspector.rebuild()
        self.repaint()

    def _open_bar(self, kind: str, value: str) -> None:
        if self.bar.is_open and self.bar.input.kind == kind:
            self.set_focus(self.bar.input)  # what was typed there stays
            return
        self.filtering.typing(kind == "filter")
        self.bar.is_open = True
        self.lay_out()
        self.bar.open(kind, value)

    def on_bar_closed(self, _message: Bar.Closed) -> None:
        """Back to the panes."""
        if not self.bar.is_open:
            self.filtering.typing(False)
            self.lay_out()
            self.focus_last()

    def on_bar_filter_typed(self, message: Bar.FilterTyped) -> None:
        self.filtering.apply(message.filter)

    def on_bar_go_typed(self, message: Bar.GoTyped) -> None:
        """Go there, or say why not."""
        text = message.text
        try:
            wrong = self.going.to(text)
        except QuantityError as error:
            # The duration is the end of what was typed.
            self.bar.refuse(f"expected {error.expected}", len(text) - len(error.text) + error.offset)
            return
        if wrong is None:
            self.bar.accept()
        else:
            self.bar.refuse(wrong)

    def step_back(self) -> None:
        """Escape: the bar, playback, a maximised pane, a search, a scan, the filter, or the pause."""
        if self.bar.is_open:  # its line has lost the focus, to a click or to jump mode
            self.bar.close()
        elif self.workspace.playback is not None:
            self.playing.leave()
        elif self.is_maximised:
            self.action_maximise()
        elif self.pane_number == 4 and self.inspector.needle:
            self.inspector.find("")
        elif self.pane_number == 4 and self.inspector.compared is not None:
            self.inspector.choose_tab(0)
        elif self.search.is_on:
            self.search.stop()
        elif self.selection.scan_share is not None:
            self.filtering.keep_partial_result()
        elif self.selection.filter is not None:
            self.filtering.clear()
        elif self.workspace.is_paused:
            self.action_pause()

    # -- playback

    def action_playback(self) -> None:
        """Open it at the chosen frame, or leave it."""
        self.playing.toggle()

    def _share_with_playback(self, is_opened: bool) -> None:
        self.lay_out()
        if is_opened:
            self.set_focus(self.playback_pane)
        else:
            self.focus_last()

    def _draw_playback(self) -> None:
        self.overview.refresh()
        self.refresh_lines()

    def on_playback_pane_head_moved(self, message: PlaybackPane.HeadMoved) -> None:
        """A click on the track."""
        self.playing.go(message.time_ns)

    def action_play(self) -> None:
        self.playing.play()

    def action_play_speed(self, step: int) -> None:
        self.playing.change_speed(step)

    def action_play_loop(self) -> None:
        """Repeat the selection, or all of it."""
        self.playing.loop()

    def action_step_seconds(self, step: int) -> None:
        """The play head a second forward or back."""
        self.playing.step_seconds(step)

    def action_step_frame(self, step: int) -> None:
        """The play head to the next frame, or the one before."""
        self.playing.step_frame(step)

    # -- payloads and copies

    def action_next_view(self) -> None:
        """Another view of the payload."""
        self.show_chosen()
        self.inspector.next_view()

    def action_next_form(self) -> None:
        """Another form of the bytes."""
        self.show_chosen()
        self.inspector.next_form()

    def action_compare(self) -> None:
        """The message with the one before of its shape; pressed again with its mate, then with a mark."""
        position = self.frames.selected_position()
        self.show_chosen()
        record = self.inspector.record
        if position is None or record is None:
            self.workspace.say("choose a frame first")
            return
        partners = self.partners.of(record, position)
        if not partners:
            self.workspace.say(
                "nothing to compare: no earlier message has this shape, and no frame is marked (m)"
            )
            return
        self._comparison = (self._comparison + 1) % len(partners) if self.inspector.compared else 0
        words, other = partners[self._comparison]
        self.frames.follow(False)  # what is compared stays
        self.inspector.compare(self.partners.compared(other, position, words))
        if len(partners) > 1:
            self.workspace.say(f"D again compares with {partners[(self._comparison + 1) % len(partners)][0]}")

    def action_copy(self) -> None:
        """What is meant where the focus is: the URL, the payload, what was found, or the handshake."""
        self.show_chosen()
        if self.pane_number == 1:
            one = self.model.connections.get(self.connections.connection_at(self.connections.cursor) or 0)
            if one is not None:
                self.copier.text(one.url, "URL", ".txt")
            else:
                self.workspace.say("choose a connection first")
        elif self.pane_number == 4 and self.inspector.content() is None and self.inspector.row_count():
            self.copier.text(self.inspector.document_text() + "\n", self.inspector.shown, ".txt")
        elif (asked := self.frames.selected_asked()) is not None:
            self.copier.text(asked.facts.url or "", "URL", ".txt")
        elif self.selection.selected is not None and self.frames.selected_position() is None:
            self.copier.text(self.frames.document_text() + "\n", "answer", ".txt")
        else:
            self._copy_payload()

    def _copy_payload(self) -> None:
        """The bytes that the inspector shows, else the chosen frame's message."""
        shown = self.inspector.content()
        if shown is None:
            position, source = self.frames.selected_position(), self.selection.source
            record = self.inspector.record
            if position is None or record is None or source is None:
                self.workspace.say("nothing to copy: choose a frame")
                return
            shown = blob_of(record, self.model.index, position, source, MESSAGE)
        self.copier.blob(*shown)

    def document_text(self) -> str:
        """What the pane with the focus shows; of the overview, the frames that it is of."""
        self.show_chosen()
        if self.pane_number == 4:
            return self.inspector.document_text()
        return self.connections.document_text() if self.pane_number == 1 else self.frames.document_text()
