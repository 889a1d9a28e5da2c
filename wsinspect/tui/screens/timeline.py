"""The timeline page: all connections as bars on one time axis, each client's story below its line."""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, ClassVar, NamedTuple

from textual import events
from textual.binding import Binding, BindingType
from textual.message import Message
from textual.strip import Strip

from wsinspect.capture.records import Connection
from wsinspect.present.cells import Line, fit, fold
from wsinspect.present.rows import duration
from wsinspect.present.words import GRADE_STYLES, end_in, end_words
from wsinspect.text import ELLIPSIS, cell_width, counted, escape, grouped, pad, truncate
from wsinspect.tui import lanes
from wsinspect.tui.keys import bindings_of
from wsinspect.tui.model import LIVE
from wsinspect.tui.screens.page import Page
from wsinspect.tui.states import is_over
from wsinspect.tui.stories import Stories
from wsinspect.tui.widgets.base import LinePane
from wsinspect.tui.workspace import Workspace
from wsinspect.vocabulary import State

if TYPE_CHECKING:
    from wsinspect.clients.grading import Client
    from wsinspect.present.clients import StoryLine

_ZOOM = 2
#: Outages of a client that its story shows.
_OUTAGES = 200
#: Cells next to a line of a story: its sign, and the scroll bar.
_STORY_MARGIN = 3
_LEAST_STORY = 20
#: `lasted 900 ms`: behind so many cells the ends of all lines stand below each other.
_LASTED_CELLS = 13


class Row(NamedTuple):
    """What stands in a row: a line of bars, or a line of a client's story.

    Attributes:
        line: the place of the line of bars that it belongs to.
        story: a line of it; None for the bars.
        depth: how far in.
        number: which line of the story it is; -1 for what continues the row above.
    """

    line: int
    story: StoryLine | None = None
    depth: int = 0
    number: int = 0


@dataclass(frozen=True, slots=True)
class _Told:
    """A client's story, and its rows as they were laid: below which line, how wide, what was unfolded."""

    client: Client
    story: tuple[StoryLine, ...]
    laid: tuple[int, int, list[int]]
    rows: list[Row]


class TimelinePane(LinePane):
    """One line for each client and target; reconnects follow one another on it."""

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("left", "one(-1)", "connection before", show=False, id="timeline.before"),
        Binding("right", "one(1)", "next connection", show=False, id="timeline.next"),
        Binding("plus,equals_sign", "zoom(1)", "zoom in", show=False, id="timeline.zoom_in"),
        Binding("minus", "zoom(-1)", "zoom out", show=False, id="timeline.zoom_out"),
        Binding("enter", "go", "its frames", show=False, id="timeline.go"),
    ]
    help_title = "Connection timeline"
    help_text = (
        "All connections on one time axis, with a line for each client, and its grade. A bar is an open "
        "connection: an upright where it begins, dots until it is open, an upright for a clean close at its "
        "end, x for any other end; a cross alone is an attempt that was refused or failed. Left and right go "
        "to the next one, + and - zoom around it, Enter shows its frames. Space unfolds the client's story: "
        "how it lost its connection, when it noticed, each try, how that ended, and the reasons of its "
        "grade; space on tries shows each of them, Enter goes to the frame or connection of a line."
    )
    header_lines = 2

    def idle_keys(self) -> frozenset[str]:
        """An empty page has nothing to unfold."""
        return frozenset() if self.rows else frozenset({"timeline.unfold"})

    def __init__(self, workspace: Workspace, *, id: str | None = None) -> None:
        super().__init__(workspace, id=id)
        self.lines: list[lanes.TimeLine] = []
        self.rows: list[Row] = []
        self._first_ns = self._last_ns = self._refused = 0
        self._has_taps = False
        self.stories = Stories(workspace, self._clients_read, self._prepare)
        #: First attempts of clients whose stories are unfolded; with a place in the story, of tries there.
        self._unfolded: set[tuple[int, ...]] = set()
        #: By their first attempts: clients with the rows of their stories, laid once.
        self._told: dict[int, _Told] = {}
        self._prepared: dict[int, _Told] = {}
        self.chosen = 0
        self.zoom = 0

    class Opened(Message):
        """Enter: show the connection's frames."""

        def __init__(self, connection: int) -> None:
            super().__init__()
            self.connection = connection

    class FrameOpened(Message):
        """Enter: show the frame."""

        def __init__(self, frame: int) -> None:
            super().__init__()
            self.frame = frame

    def reload(self) -> None:
        """Connections have come or changed, or their clients are known."""
        ones = [self._with_end(one) for one in self.model.connections.values()]
        self.lines = lanes.time_lines(ones, self._client_number)
        self._has_taps = len({one.tap for one in ones if one.tap}) > 1
        # Asked for by every row of every paint.
        begins = [begin for one in ones if (begin := lanes.begin_of(one))]
        self._first_ns = min(begins, default=0)
        self._last_ns = max(self.model.end_ns, max(begins, default=0))
        self._refused = sum(one.state in ("refused", "failed") for one in ones)
        self._lay_rows()
        self.clamp()
        self.refresh()

    def _with_end(self, one: Connection) -> Connection:
        """Of one whose end was not recorded, it is where it was seen last: nobody knows that it lives."""
        if one.state != State.LOST or one.closed_ns is not None:
            return one
        seen = self.model.index.last_time_ns(one.id)
        return one._replace(closed_ns=max(seen or 0, one.open_ns or 0, lanes.begin_of(one)))

    def _client_number(self, connection: int) -> int | None:
        client = self.stories.client_of(connection)
        return None if client is None else client.session.first.id

    def client_of(self, line: lanes.TimeLine) -> Client | None:
        """Whose line it is; None where that is not known."""
        return self.stories.client_of(line.ones[0].id)

    def _lay_rows(self) -> None:
        self.rows = []
        shown: set[int] = set()
        for at, line in enumerate(self.lines):
            self.rows.append(Row(at))
            client = self.client_of(line) if self._unfolded else None
            first = client.session.first.id if client is not None else 0
            if client is None or first in shown or (first,) not in self._unfolded:
                continue
            shown.add(first)  # with two sockets at once it has two lines
            self.rows += self._story_rows(at, client)

    def _story_rows(self, at: int, client: Client) -> list[Row]:
        """A story below the line at a place; the same list until something in it changes."""
        first = client.session.first.id
        known = self._told[first] = self._tell(client, self._told.get(first), at)
        return known.rows

    def _prepare(self, clients: Sequence[Client]) -> None:
        """In the thread that has read the clients: lay what is unfolded again, for many stories take long."""
        known, unfolded = self._told.copy(), self._unfolded.copy()
        self._prepared = {
            first: self._tell(client, known[first], known[first].laid[0])
            for client in clients
            if (first := client.session.first.id) in known and (first,) in unfolded
        }

    def _clients_read(self) -> None:
        self._told |= self._prepared
        self.reload()

    def _tell(self, client: Client, known: _Told | None, at: int) -> _Told:
        """The rows of a client's story; those that are known where they are still the same."""
        first = client.session.first.id
        story = known.story if known is not None and known.client is client else tuple(_story(client))
        unfolded = [n for n, one in enumerate(story) if one.more and (first, n) in self._unfolded]
        laid = (at, self.size.width, unfolded)
        if known is not None and known.laid == laid and (known.story is story or known.story == story):
            return known if known.client is client else replace(known, client=client)
        rows: list[Row] = []
        for number, one in enumerate(story):
            rows += _broken(at, one, 1, number, laid[1])
            if number in unfolded:
                for each in one.more:
                    rows += _broken(at, each, 2, number, laid[1])
        return _Told(client, story, laid, rows)

    def action_unfold(self) -> None:
        """The story of the client under the cursor, or the tries that a line of it sums up; or fold it."""
        if not 0 <= self.cursor < len(self.rows):
            return
        row = self.rows[self.cursor]
        client = self.client_of(self.lines[row.line])
        if client is None:
            self.workspace.say("who made these connections is still being read")
            return
        first, place = client.session.first.id, self.cursor
        while self.rows[place].depth > 1 or self.rows[place].number < 0:
            place -= 1
        story = self.rows[place].story
        key: tuple[int, ...] = (first,)
        if story is not None and story.more:
            key = (first, self.rows[place].number)
        while len(key) == 1 and self.rows[place].depth:
            place -= 1
        self._unfolded ^= {key}
        self._lay_rows()
        self.cursor = place
        self.clamp()
        self.show_cursor()
        self.refresh()

    def title(self) -> tuple[Line, Line]:
        """How many of what."""
        count = len(self.model.connections)
        left: Line = [("Timeline", "title"), (f"  {counted(count, 'connection')}", "muted")]
        if self._refused:
            left.append((f", {grouped(self._refused)} refused or failed", "error"))
        has_room = self.size.width > 90 and count
        return left, [("enter frames  left right connection  + - zoom", "muted")] if has_room else []

    # -- the axis

    def span(self) -> tuple[int, int]:
        """The whole of it, or a part around the chosen connection."""
        if not self._first_ns:
            return 0, 1
        first = self._first_ns
        last = time.time_ns() if self.model.state == LIVE else self._last_ns
        last = max(last, first + 1_000_000)
        chosen = self.chosen_connection()
        if self.zoom and chosen is not None:
            width = max((last - first) // _ZOOM**self.zoom, 1_000_000)
            middle = lanes.begin_of(chosen)
            first = max(first, middle - width // 2)
            last = min(last, first + width)
        return first, last

    def _label_cells(self, width: int) -> int:
        return 34 + (width - 120) // 4 if width >= 120 else 22

    def _note_cells(self, width: int) -> int:
        return 34 if width >= 120 else 24 if width >= 80 else 0

    def header(self, width: int) -> Line:
        """Times below which bars stand."""
        first, last = self.span()
        label = self._label_cells(width)
        cells = max(width - label - self._note_cells(width) - 2, 10)
        text = lanes.axis(first, last, self.model.zero_ns, cells, self.workspace.clock) if self.lines else ""
        return fit([(pad(" connections  target", label), "muted"), (text, "muted")], width)

    def render_line(self, y: int) -> Strip:
        """The second header line says what the cursor is on."""
        if y == 2 and self._header_height == 2 and self.lines:
            return self.palette.strip(fit(self._chosen_words(), self.size.width), self.size.width)
        return super().render_line(y)

    def _chosen_words(self) -> Line:
        one = self.chosen_connection()
        if one is None:
            return []
        end_ns = lanes.end_of(one)
        words = [f"lasted {duration(end_ns - lanes.begin_of(one))}"] if end_ns is not None else []
        if (clock := self.workspace.clock).is_wall:
            words.insert(0, f"began {clock.at(lanes.begin_of(one), self.model.zero_ns)}")
        end = f"  {end_words(one)}" if end_ns is not None else ""
        return [(f" conn {one.id} ", "key"), (f"{escape(one.state)}  {', '.join(words)}{end}", "")]

    def row_count(self) -> int:
        return len(self.rows)

    def empty_lines(self, width: int) -> list[Line]:
        words = "No connections yet. Each attempt will be a bar here."
        if is_over(self.model):
            words = "No connection was recorded in this capture."
        return [[(f"  {words}", "muted")]]

    def row(self, number: int, width: int) -> Line:
        line = self.lines[self.rows[number].line]
        if (story := self.rows[number].story) is not None:
            return self._story_row(number, story, width)
        first, last = self.span()
        label, note = self._label_cells(width), self._note_cells(width)
        cells = max(width - label - note - 2, 10)
        chosen = self.chosen_connection() if number == self.cursor else None
        client = self.client_of(line)
        letter = client.grade.letter if client is not None else None
        tap = f"{escape(line.ones[0].tap)} " if self._has_taps and line.ones[0].tap else ""
        name = f"{lanes.numbers(line.ones)} {tap}{escape(line.target)}"
        whole = f"{name} {escape(line.client)}"  # a part of an address is nobody's
        name = whole if cell_width(whole) <= label - 4 else truncate(name, label - 4)
        words = self._note(line, max(note - 1, 0))
        return fit(
            [
                (f" {letter or ' '} ", GRADE_STYLES.get(letter or "", "muted")),
                (pad(name, label - 3), ""),
                *self._signs(line, first, last, cells, chosen),
                (" ", ""),
                (words, "muted"),
            ],
            width,
        )

    @staticmethod
    def _note(line: lanes.TimeLine, cells: int) -> str:
        """How many attempts and at what pace, or how long it lasted and how it ended: what fits whole."""
        words = lanes.pattern_words(line.ones)
        if len(line.ones) == 1 and words:
            left = cells - cell_width(words) - 2
            end = end_in(line.ones[0], left)
            if end.endswith(ELLIPSIS):
                end = escape(line.ones[0].state)  # of its cause too little would be left
            if cell_width(end) > left:
                return words
            if cell_width(end) <= cells - _LASTED_CELLS - 2:
                words = pad(words, _LASTED_CELLS)  # how they ended is a column
            return f"{words}  {end}"
        return words if cell_width(words) <= cells else truncate(words.split(", ")[0], cells)

    def _story_row(self, number: int, story: StoryLine, width: int) -> Line:
        """A line of a story; `+` says that there is more below it, `-` that it is shown."""
        below = number + 1
        while below < len(self.rows) and self.rows[below].number < 0:
            below += 1
        is_open = below < len(self.rows) and self.rows[below].depth > self.rows[number].depth
        sign = " " if not story.more else "-" if is_open else "+"
        return fit([("  " * self.rows[number].depth, ""), (sign, "key"), *story.line], width)

    def _signs(
        self, line: lanes.TimeLine, first: int, last: int, cells: int, chosen: Connection | None
    ) -> Line:
        signs = {
            lanes.NOTHING: (" ", ""),
            lanes.WAITING: (self.glyphs.control, "muted"),
            lanes.OPEN: (self.glyphs.heavy, "good"),
            lanes.ATTEMPT: ("|" if self.palette.is_ascii else "┣", "good"),
            lanes.CLOSED: ("|" if self.palette.is_ascii else "┫", "good"),
            lanes.UNCLEAN: ("x", "warn"),
            lanes.REFUSED: ("X" if self.palette.is_ascii else self.glyphs.stopped, "error"),
        }
        at = -1
        if chosen is not None:
            at = max(0, min((lanes.begin_of(chosen) - first) * cells // max(last - first, 1), cells - 1))
        if self.glyphs.is_plain:
            return [(pad(truncate(self._span_words(line, chosen), cells), cells), "")]
        pieces: Line = []
        for number, what in enumerate(lanes.bar(line, first, last, cells)):
            sign, style = signs[what]
            pieces.append((sign, "accent" if number == at else style))
        return pieces

    def _span_words(self, line: lanes.TimeLine, chosen: Connection | None) -> str:
        """A bar in words: when the chosen connection, or the first one, began and ended, and how."""
        one = chosen or line.ones[0]
        clock, zero_ns = self.workspace.clock, self.model.zero_ns
        end_ns = lanes.end_of(one)
        so_far = "until now" if self.model.state == LIVE else "to the end of the recording"
        until = f"to {clock.at(end_ns, zero_ns)}" if end_ns is not None else so_far
        return f"{escape(one.state)} {clock.at(lanes.begin_of(one), zero_ns)} {until}"

    def on_resize(self, event: events.Resize) -> None:
        """Stories are broken where the width is now."""
        self._lay_rows()
        super().on_resize(event)

    # -- choosing

    def chosen_connection(self) -> Connection | None:
        """The one that left and right have reached."""
        if not 0 <= self.cursor < len(self.rows):
            return None
        row = self.rows[self.cursor]
        if row.story is not None and row.story.connection in self.model.connections:
            return self.model.connections[row.story.connection]
        ones = self.lines[row.line].ones
        return ones[max(0, min(self.chosen, len(ones) - 1))]

    def move_to(self, number: int) -> None:
        """Another row: of another line, its first connection."""
        rows = self.rows
        was, now = self.cursor, max(0, min(number, len(rows) - 1))
        if not rows or not 0 <= was < len(rows) or rows[was].line != rows[now].line:
            self.chosen = 0
        super().move_to(number)

    def action_one(self, step: int) -> None:
        """The next or previous connection."""
        if 0 <= self.cursor < len(self.rows):
            ones = self.lines[self.rows[self.cursor].line].ones
            self.chosen = max(0, min(self.chosen + step, len(ones) - 1))
            self.refresh()

    def action_zoom(self, step: int) -> None:
        """Around the chosen one."""
        self.zoom = max(0, min(self.zoom + step, 30))
        self.refresh()

    def action_go(self) -> None:
        """To the frame that a line of a story names, else to the frames of the connection."""
        story = self.rows[self.cursor].story if 0 <= self.cursor < len(self.rows) else None
        if story is not None and story.frame is not None:
            self.post_message(self.FrameOpened(story.frame))
            return
        one = self.chosen_connection()
        if one is not None:
            self.post_message(self.Opened(one.id))


def _broken(at: int, story: StoryLine, depth: int, number: int, width: int) -> Iterator[Row]:
    """A line of a story in as many rows as it needs."""
    first, *more = fold(story.line, max(width - 2 * depth - _STORY_MARGIN, _LEAST_STORY))
    yield Row(at, story._replace(line=first), depth, number)
    for line in more:
        yield Row(at, story._replace(line=line, more=()), depth, -1)


def _story(client: Client) -> list[StoryLine]:
    """All that is said of a client: what it went through, and its grade with the reasons."""
    from wsinspect.present.clients import StoryLine, grade_of, grade_words, story_of

    style = GRADE_STYLES.get(client.grade.letter or "", "muted")
    grade = StoryLine([("  ", ""), (grade_words(client), style)])
    reasons = grade_of(client) if client.measures.is_disturbed else ()
    return [*story_of(client, _OUTAGES), grade, *reasons]


class TimelineScreen(Page):
    BINDINGS: ClassVar[list[BindingType]] = bindings_of("timeline")
    page = "timeline"

    def __init__(self, workspace: Workspace) -> None:
        self.timeline = TimelinePane(workspace, id="timeline")
        super().__init__(workspace, self.timeline)

    def on_screen_resume(self) -> None:
        """Connections may have come while it was not shown."""
        self.timeline.stories.refresh()
        self.timeline.reload()
        super().on_screen_resume()

    def grown(self) -> None:
        """Connections may have come or changed."""
        self.timeline.stories.refresh()
        self.timeline.reload()
        super().grown()

    def tick(self) -> None:
        """What became known a moment ago is read when its time has come."""
        self.timeline.stories.refresh()
        super().tick()

    def action_unfold(self) -> None:
        self.timeline.action_unfold()

    def connection_in_view(self) -> int | None:
        """The one that left and right have reached."""
        one = self.timeline.chosen_connection()
        return None if one is None else one.id

    def action_copy(self) -> None:
        """The chosen connection's URL."""
        one = self.timeline.chosen_connection()
        if one is not None:
            self.copier.text(one.url, "URL", ".txt")
