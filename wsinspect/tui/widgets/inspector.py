"""The chosen frame in detail: payload, header, handshake, findings, raw bytes."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from typing import Any, ClassVar, Final, TypeVar

from textual import events
from textual.binding import Binding, BindingType
from textual.message import Message
from textual.strip import Strip

from wsinspect.capture.records import FindingRow
from wsinspect.errors import CaptureError
from wsinspect.filters.jsonvalue import JsonValue
from wsinspect.present.cells import Line, fit, width_of
from wsinspect.present.details import connection_findings, frame_findings, header_lines, summary
from wsinspect.present.findings import finding_of
from wsinspect.present.handshakes import fact_lines
from wsinspect.present.numbers import value_words
from wsinspect.present.recognised import LOOKED_AT, recognise
from wsinspect.present.records import Record
from wsinspect.present.requests import Asked, asked_lines
from wsinspect.present.words import end_lines
from wsinspect.text import ELLIPSIS, cell_width, counted, escape, grouped
from wsinspect.tui.blobs import FORMS, MESSAGE, WIRE, Blob, blob_of
from wsinspect.tui.comparing import Compared
from wsinspect.tui.documents import (
    CLOSE,
    HEX,
    TEXT,
    CodeDocument,
    HexDocument,
    LinesDocument,
    best_view,
    count_in_text,
    fits_view,
    make_document,
    next_text_window,
    payload_of,
    text_windows,
    views_for,
    whole_text,
)
from wsinspect.tui.documents import Document as PayloadDocument
from wsinspect.tui.jsonread import Node, Slices
from wsinspect.tui.jsontree import JsonTree
from wsinspect.tui.keys import FooterKey
from wsinspect.tui.selection import Selection
from wsinspect.tui.widgets.base import LinePane
from wsinspect.tui.workspace import Workspace
from wsinspect.wire.opcodes import Opcode

#: Cells that no line needs.
_UNWRAPPED: Final = 1 << 30
#: From this height on a pane with hex has lines for the values under the cursor.
_VALUE_HEIGHT: Final = 12
#: How long a slice of work may take, and how long keys and drawing have before the next.
_SLICE_SECONDS: Final = 0.02
_PAUSE_SECONDS: Final = 0.002
#: Cells of a title line that are the rule's and blanks.
_RULES: Final = 7
T = TypeVar("T")
#: What a payload is in the row of its frame, too.
_KINDS: Final = ("compressed", "not compressed")
#: Behind a comparison's words, as far as there is room.
_COMPARING: Final = ("  D next  esc back", "  esc back")
#: Keys that only JSON has, or only hex, by their ids.
_JSON_KEYS: Final = frozenset(f"inspector.{name}" for name in ("fold", "value", "path", "filter"))
_HEX_KEYS: Final = frozenset({"inspector.window_on"})
_FRAME_KEYS: Final = frozenset({"payload.view", "payload.form", "payload.compare", "mate"})
TABS: Final = ("Payload", "Header", "Handshake", "Findings", "Raw")


class InspectorPane(LinePane):
    """What is known of the frame under the cursor, or of the connection where no frame is chosen.

    Attributes:
        tab: index into `TABS`.
        form: the form of the bytes in the payload tab.
        view: the chosen payload view; None, and a payload that it does not fit, take what fits best.
    """

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("left", "tab(-1)", "previous tab", show=False, id="inspector.tab_left"),
        Binding("right", "tab(1)", "next tab", show=False, id="inspector.tab_right"),
        Binding(
            "less_than_sign,comma",
            "window(-1)",
            "back in a long text",
            show=False,
            id="inspector.window_back",
        ),
        Binding(
            "greater_than_sign,full_stop",
            "window(1)",
            "forward in a long text",
            show=False,
            id="inspector.window_on",
        ),
        Binding("enter", "fold", "fold or unfold (JSON)", show=False, id="inspector.fold"),
        Binding("z", "fold_all", "fold all, or unfold all (JSON)", show=False, id="inspector.fold_all"),
        Binding(
            "w", "copy_value", "copy the value under the cursor (JSON)", show=False, id="inspector.value"
        ),
        Binding("p", "copy_path", "copy its JSON path", show=False, id="inspector.path"),
        Binding("asterisk", "filter_value", "filter by this value (JSON)", show=False, id="inspector.filter"),
    ]
    help_title = "Inspector"
    help_text = (
        "The chosen frame. Left and right change the tab. In the payload tab v switches between text, JSON, "
        "hex and the decoders that know the payload, u between the message (joined and inflated), the "
        "frame's payload, and the bytes on the wire; < and > move through a long text, in hex byte by byte. "
        "y copies what is shown. JSON is a tree: Enter folds, w copies a value, p its path, * filters by it. "
        "ctrl+f finds text in the payload, n and N go to the next and previous match. D compares it with "
        "another frame."
    )

    #: A cursor only while the pane has the focus: nothing else here is chosen.
    idle_style = ""

    class FilterWanted(Message):
        """Show the frames with this value at this place."""

        def __init__(self, text: str) -> None:
            super().__init__()
            self.text = text

    class CopyWanted(Message):
        """Copy a text; `what` it is, in words."""

        def __init__(self, text: str, what: str) -> None:
            super().__init__()
            self.text, self.what = text, what

    def __init__(self, workspace: Workspace, *, id: str | None = None) -> None:
        super().__init__(workspace, id=id)
        self.tab = 0
        self.form = MESSAGE
        self.view: str | None = None
        #: The frame for which it was chosen: there it is shown even where it does not fit, and says why not.
        self._view_of: int | None = None
        self.window = 0
        self.record: Record | None = None
        self.position: int | None = None
        self._document: PayloadDocument = LinesDocument([])
        self._about = ""
        self._views: list[str] = []
        self._shown_view = ""
        self._blob: Blob | None = None
        self.has_cursor = False
        self._column = 0
        self._is_folded = False
        self.needle = ""
        self.matches = 0
        #: The line that finding went to last, where there is no cursor; -1 begins at the top.
        self._match_line = -1
        self._searched_width = 0
        #: Of the width that the lines of hex are laid out for; 0 before the first.
        self._bytes_per_line = 0
        self.compared: Compared | None = None
        self.asked: Asked | None = None
        #: What is done in slices, and what is done with its result.
        self._job: tuple[Slices[Any], Callable[[Any], None]] | None = None

    # -- what is shown

    def show(self, record: Record | None, position: int | None, asked: Asked | None = None) -> None:
        """Show a frame, from its top where it is another, or a plain request; None for none."""
        self.asked = asked
        is_other = record is None or self.record is None or record.frame.id != self.record.frame.id
        if (record is None) != (self.record is None):
            self.post_message(self.OtherKeys())
        self.record, self.position = record, position
        if is_other:
            self.window = 0
            self.top = 0
            self.cursor = self._column = 0
            self._match_line = -1
            self._is_folded = False
            self.compared = None
        self.rebuild()

    def rebuild(self) -> None:
        """Make the document again, of the record, tab, view and window as they are now."""
        self._about, self._views, self._blob = "", [], None
        self._job = None
        idle = self.idle_keys()
        try:
            self._document = self._make()
        except CaptureError as error:
            self._document = LinesDocument([[(str(error), "error")]])
        if self.idle_keys() != idle:
            self.post_message(self.OtherKeys())
        self.has_cursor = isinstance(self._document, JsonTree | HexDocument)
        self.matches = self._mark() if self.needle else 0
        self.clamp()
        self.refresh()

    def _make(self) -> PayloadDocument:
        record, position = self.record, self.position
        if self.compared is not None:
            return CodeDocument(self.compared.lines)
        if self.asked is not None:
            return LinesDocument(list(asked_lines(self.asked)))
        name = TABS[self.tab] if record is not None else self._tab_without_frame()
        if name == "Handshake":
            return LinesDocument(list(handshake_summary(self.selection, record)))
        source = self.selection.source
        if record is None or position is None:
            return LinesDocument(list(connection_findings(self._of_connection(None), self.glyphs)))
        if source is None:
            return LinesDocument([])
        if name == "Header":
            return LinesDocument(list(header_lines(record, self.selection.zero_ns, self.workspace.clock)))
        if name == "Findings":
            known, more = self.model.findings_of_frame, self._of_connection(record.frame.connection_id)
            return LinesDocument(list(frame_findings(record, known, self.glyphs, more)))
        index = self.model.index
        form = WIRE if name == "Raw" else self.form
        self._blob, self._about = blob_of(record, index, position, source, form)
        if name == "Raw":
            self._shown_view = HEX
            return HexDocument(self._blob)
        connection = self.model.connections.get(record.frame.connection_id)
        opcode = record.frame.opcode if record.message is None else record.message.opcode
        payload = payload_of(
            self._blob,
            opcode,
            subprotocol=connection.subprotocol if connection else None,
            path=(connection.path or "") if connection else "",
            is_s2c=bool(record.frame.direction),
        )
        # Only a whole, inflated message can be decoded.
        self._views = views_for(payload if form == MESSAGE and opcode < 8 else payload._replace(data=b""))
        if opcode == Opcode.CLOSE and form != WIRE:
            self._views.insert(0, CLOSE)
        best = HEX if form == WIRE else best_view(payload, opcode)
        is_kept = self.view in self._views and (
            self._view_of == record.frame.id or fits_view(self.view or "", payload, opcode)
        )
        self._shown_view = self.view if self.view is not None and is_kept else best
        if form == MESSAGE and opcode < 8 and (what := recognise(payload.data[:LOOKED_AT])) is not None:
            self._about = f"{what.words}; {self._about}"
        is_utc = self.workspace.clock.is_utc
        return make_document(self._shown_view, self._blob, self.window, payload, is_utc=is_utc)

    def _tab_without_frame(self) -> str:
        """Of a connection without a chosen frame: its handshake where that is asked for, else findings."""
        name = TABS[self.tab]
        return name if name == "Handshake" or self.selection.selected is None else "Findings"

    def _of_connection(self, connection: int | None) -> list[FindingRow]:
        """Findings of a connection that name no frame; where no frame is chosen, all of the selected one.

        What is worst and surest is above: notes and guesses that came first push nothing off the screen.
        """
        number = self.selection.connection if connection is None else connection
        found = self.model.findings_of_connection.get(number or 0, [])
        shown = [one for one in found if connection is None or one.frame_id is None]
        return sorted(shown, key=lambda one: finding_of(one).rank)

    def content(self) -> tuple[Blob, str] | None:
        """The bytes that are shown and what they are, for copying; None where the tab shows no bytes."""
        return None if self._blob is None else (self._blob, self._about)

    @property
    def shown(self) -> str:
        """The name of the tab, in lower case."""
        return (TABS[self.tab] if self.record is not None else self._tab_without_frame()).lower()

    def document_text(self) -> str:
        """All of what is shown, unwrapped: a payload whole, not the window of it that is on the screen."""
        if self._blob is not None and (text := whole_text(self._shown_view, self._blob)) is not None:
            at, words = self._value_words()
            return (
                "\n".join([f"values at {at:08x}:", *(f"  {word}" for word in words), "", text])
                if words
                else text
            )
        if isinstance(self._document, JsonTree):
            self._document.read_all()
        count = self._document.line_count(_UNWRAPPED)
        lines = (self._document.line(at, _UNWRAPPED) for at in range(count))
        return "\n".join("".join(part for part, _ in line) for line in lines)

    # -- keys

    def action_tab(self, step: int) -> None:
        self.choose_tab((self.tab + step) % len(TABS))

    def choose_tab(self, number: int) -> None:
        self.tab = number
        self.top = self.cursor = 0
        self._match_line = -1
        self.compared = None
        self.rebuild()

    def action_window(self, step: int) -> None:
        """Another window of a long text; in hex the next byte."""
        if isinstance(self._document, HexDocument):
            self._step_byte(step)
        elif self._blob is not None:
            self.window = max(min(self.window + step, text_windows(self._blob) - 1), 0)
            self.top, self._match_line = 0, -1
            self.rebuild()

    def _step_byte(self, step: int) -> None:
        """The byte whose values are shown."""
        document = self._document
        if isinstance(document, HexDocument) and document.length:
            size = document.bytes_per_line(self._width)
            at = max(min(self.cursor * size + self._column + step, document.length - 1), 0)
            self._column = at % size
            self.move_to(at // size)

    def action_last(self) -> None:
        """The last line; of a long JSON document without laying out all that comes before."""
        document = self._document
        if isinstance(document, JsonTree) and not document.is_whole:
            self._work(document.ending(), lambda _: super(InspectorPane, self).action_last())
        else:
            super().action_last()

    def action_first(self) -> None:
        """The first line, also where it was left out."""
        self._job = None
        if isinstance(self._document, JsonTree):
            self._document.begin()
        super().action_first()

    # -- what takes long, in slices

    def _work(self, slices: Slices[T], done: Callable[[T], None]) -> None:
        """Do it as far as nobody notices, and go on between keys; what was begun before is given up."""
        self._job = (slices, done)
        self._work_on(slices)

    def _work_on(self, slices: Slices[Any]) -> None:
        if self._job is None or self._job[0] is not slices:
            return  # the payload is another by now, or something else is looked for
        _, done = self._job
        until = time.thread_time() + _SLICE_SECONDS  # our own work: on a busy machine no less is done at once
        try:
            while time.thread_time() < until:
                next(slices)
        except StopIteration as end:
            self._job = None
            done(end.value)
            self.refresh()
            return
        self.refresh()
        self.set_timer(_PAUSE_SECONDS, lambda: self._work_on(slices))

    @property
    def is_working(self) -> bool:
        """Whether a far place is still looked for."""
        return self._job is not None

    # -- JSON as a tree

    def _node(self) -> tuple[JsonTree, Node] | None:
        document = self._document
        node = document.node_at(self.cursor) if isinstance(document, JsonTree) else None
        if not isinstance(document, JsonTree) or node is None:
            self.workspace.say("choose a line of JSON first: v shows a payload as JSON")
            return None
        return document, node

    def action_fold(self) -> None:
        """Fold what the line is of, or unfold it."""
        self._job = None
        if isinstance(self._document, JsonTree):
            self.cursor = self._document.fold(self.cursor)
            self.show_cursor()
            self.refresh()

    def action_fold_all(self) -> None:
        """Only the outermost members, or everything again."""
        self._job = None
        if isinstance(self._document, JsonTree):
            self._is_folded = not self._is_folded
            self._document.fold_all(not self._is_folded)
            self.cursor = self.top = 0
            self.refresh()

    def action_copy_value(self) -> None:
        if (found := self._node()) is not None:
            tree, node = found
            self.post_message(self.CopyWanted(tree.value(node), "value"))

    def action_copy_path(self) -> None:
        if (found := self._node()) is not None:
            tree, node = found
            self.post_message(self.CopyWanted(tree.path(node), "path"))

    def action_filter_value(self) -> None:
        """The frames that have the same there."""
        if (found := self._node()) is None:
            return
        tree, node = found
        if tree.is_scalar(node):
            value = JsonValue(tree.value(node), is_json=tree.raw(node)[:1] != '"')
            self.post_message(self.FilterWanted(f"json:{tree.path(node)}={value}"))
        else:
            self.post_message(self.FilterWanted(f"json:{tree.path(node)}:*"))

    # -- finding

    def find(self, needle: str) -> None:
        """Mark every match in what is shown, and go to the first one; an empty text ends that."""
        self.needle, self._job = needle, None
        if self._windowed() is not None and self.window:
            self.window = self.top = 0
            self.rebuild()
        else:
            self.matches = self._mark()
            self.clamp()
        if needle:
            self.cursor = self.cursor if self.has_cursor else self.top
            self._to_match(-1, 1, "in this payload")
        self.refresh()

    def next_match(self, step: int) -> None:
        """Go to the next one."""
        here = self.cursor if self.has_cursor else self._match_line
        self._to_match(here, step, "after this line" if step > 0 else "before this line")

    def _windowed(self) -> Blob | None:
        """The text of which a window is shown."""
        blob = self._blob
        is_text = self._shown_view == TEXT and isinstance(self._document, LinesDocument)
        return blob if blob is not None and is_text and text_windows(blob) > 1 else None

    def _mark(self) -> int:
        """Mark what is shown; how many matches there are in all of it, not in the window of a long text."""
        shown, blob = self._document.find(self.needle), self._windowed()
        return shown if blob is None or not self.needle else count_in_text(blob, self.needle)

    def _to_match(self, here: int, step: int, where: str) -> None:
        """Go to the next match behind a line, in another window of a long text where this one has no more."""
        document, blob = self._document, self._windowed()
        if isinstance(document, JsonTree):
            self._work(document.matching(here, step, self._width), lambda at: self._show_match(at, where))
            return
        at = document.next_match(here, step, self._width)
        if at is None and blob is not None:
            is_at_end = here >= document.line_count(self._width) - 1
            found = next_text_window(blob, self.needle, self.window, step, is_at_end=is_at_end)
            if found is not None:
                window, is_cut = found
                if window != self.window:
                    self.window, self.top = window, 0
                    self.rebuild()
                document = self._document
                count = document.line_count(self._width)
                at = None if is_cut else document.next_match(-1 if step > 0 else count, step, self._width)
                # A match that the window's end cuts is not marked: it begins in the last line.
                at = count - 1 if at is None else at
        self._show_match(at, where)

    def _show_match(self, at: int | None, where: str) -> None:
        if at is not None:
            self._show_line(at)
        else:
            self.workspace.say(f"no match for {escape(self.needle)} {where}")

    def _show_line(self, number: int) -> None:
        self._match_line = number
        if self.has_cursor:
            self.move_to(number)
        elif not self.top <= number < self.top + self.visible_rows:
            self.move_to(max(number - self.visible_rows // 2, 0))
        self.refresh()

    def on_resize(self, event: events.Resize) -> None:
        """Other lines are at other numbers: finding continues at what is on the screen."""
        size = self._bytes_per_line
        if isinstance(self._document, HexDocument) and size:
            # The same byte, and what was at the top: another width has another number of bytes a line.
            now, at = self._bytes_now(), self.cursor * size + self._column
            self.cursor, self._column = at // now, at % now
            self.top = self.top * size // now
        self._bytes_per_line = self._bytes_now()
        super().on_resize(event)
        self._job = None  # it counts lines of the old width
        if self._searched_width != self._width:
            self._searched_width, self._match_line = self._width, self.top - 1

    def compare(self, compared: Compared) -> None:
        """Show a comparison in place of the payload."""
        self.tab, self.top, self.compared = 0, 0, compared
        self._match_line = -1
        self.rebuild()

    def next_view(self) -> None:
        """The next way to look at the payload."""
        self.tab = 0
        self.compared = None
        self.rebuild()
        if self._views:
            self.view = self._views[(self._views.index(self._shown_view) + 1) % len(self._views)]
            self._view_of = self.record.frame.id if self.record is not None else None
            self.top, self._match_line = 0, -1
            self.rebuild()

    def choose_view(self, name: str) -> None:
        """This way to look at payloads."""
        self.tab, self.view, self._match_line = 0, name, -1
        self._view_of = self.record.frame.id if self.record is not None else None
        self.rebuild()

    def next_form(self) -> None:
        """The next form of the bytes."""
        self.tab = 0
        self.form = FORMS[(FORMS.index(self.form) + 1) % len(FORMS)]
        self.top = self.window = 0
        self._match_line = -1
        self.rebuild()

    def click_title(self, x: int) -> None:
        """Choose the tab that was clicked."""
        at = 2
        for text, _ in self.title()[0]:
            name = text.strip(" []")
            if at <= x < at + len(text) and name in TABS:
                self.choose_tab(TABS.index(name))
                return
            at += len(text)

    # -- drawing

    def title(self) -> tuple[Line, Line]:
        """The tabs, and the payload's views."""
        tabs: Line = []
        tab = self.tab if self.record is not None else TABS.index(self._tab_without_frame())
        for number, name in enumerate(TABS):
            shown = number == tab and self.asked is None  # a plain HTTP request has no tabs
            tabs.append((f"[{name}]" if shown else f" {name} ", "focus" if shown else "muted"))
        left: Line = [("4 ", "key"), ("Inspector", "title"), ("  ", ""), *tabs]
        room = self.size.width - _RULES
        for words in self._view_forms():
            # The pane's number names it as well.
            for begin in (left, [*left[:1], *tabs]):
                if width_of(begin) + cell_width(words) <= room:
                    return begin, [(words, "muted")]
        return fit(left, self.size.width - 4), []

    def _view_forms(self) -> Iterator[str]:
        """The payload's views, or as much of them as says which is shown and how many others there are."""
        if self.tab != 0 or not self._views:
            return
        named = [f"[{name}]" if name == self._shown_view else name for name in self._views]
        yield "".join(name if name[0] == "[" else f" {name} " for name in named)
        yield " ".join(named)
        yield f"[{self._shown_view}] +{len(named) - 1}"

    @property
    def _width(self) -> int:
        """Cells of a document's line: one is before it, and two are for the scroll bar."""
        return max(self.size.width - 3, 10)

    def _bytes_now(self) -> int:
        return HexDocument.bytes_per_line(self._width)

    def _value_words(self) -> tuple[int, list[str]]:
        """The place under the cursor in hex, and what the bytes there may be."""
        document = self._document
        if not isinstance(document, HexDocument) or not document.length:
            return 0, []
        at = min(self.cursor * document.bytes_per_line(self._width) + self._column, document.length - 1)
        return at, value_words(document.bytes_at(at), is_utc=self.workspace.clock.is_utc)

    def _values(self) -> list[Line]:
        """In hex, what the bytes under the cursor may be, in half of the lines at most; how many are left."""
        if not (self.has_focus and self.size.height >= _VALUE_HEIGHT):
            return []
        at, words = self._value_words()
        if not words:
            return []
        most = (self.size.height - 1 - int(self._has_summary())) // 2
        lines: list[Line] = [[(f" {at:08x}", "key")]]
        counts = [0]
        for word in words:
            name, _, value = word.partition(" ")
            part: Line = [(f"  {name} ", "muted"), (value, "")]
            if width_of(lines[-1]) + width_of(part) > self.size.width - 1:
                lines.append([(" " * 9, "")])
                counts.append(0)
            lines[-1] += part
            counts[-1] += 1
        if len(lines) > most:
            more = counted(sum(counts[most - 1 :]), "more value")
            opens = self.workspace.key_shown(FooterKey("pager", ""))
            lines[most - 1 :] = [[(f"{ELLIPSIS:>10} {more}: {opens} opens all", "key")]]
        return lines

    def _has_summary(self) -> bool:
        return self.record is not None and self.size.height > 4 and self.tab in (0, 4)

    def _header_lines_at(self, height: int) -> int:
        return int(self._has_summary()) + len(self._values())

    def render_line(self, y: int) -> Strip:
        """Below the summary, in hex, the values under the cursor."""
        first = 1 + int(self._has_summary())
        if first <= y <= self._header_height:
            return self.palette.strip(self._values()[y - first], self.size.width)
        return super().render_line(y)

    def header(self, width: int) -> Line:
        """The frame in one line."""
        if self.record is None:
            return []
        about = f"  {self._about}" if self._about else ""
        side = "s2c" if self.record.frame.direction else "c2s"
        zero_ns, is_live = self.selection.zero_ns, self.selection.is_live(self.record)
        words = summary(self.record, zero_ns, self.workspace.clock, is_live=is_live)
        frame: Line = [(" " + words, side)]
        if not self.needle and not self.is_working:
            about = _about_in(about, self.record.frame.id, width - width_of(frame))
        if self.needle:
            word = "match" if self.matches == 1 else "matches"
            about = f"  {grouped(self.matches)} {word} for {escape(self.needle)}{about}"
        if self.is_working:
            about = f"  looking…{about}"
        if self.compared is not None:
            words = f" {self.record.frame.id} {self.compared.words}"
            keys = next((one for one in _COMPARING if width_of([(words + one, "")]) <= width), "")
            return fit([(words, "title"), (keys, "muted")], width)
        return fit([*frame, (about, "muted")], width)

    def idle_keys(self) -> frozenset[str]:
        """Those of JSON without JSON, those of hex without hex, all without a frame."""
        if self.record is None:
            return _JSON_KEYS | _HEX_KEYS | _FRAME_KEYS
        idle = frozenset[str]() if isinstance(self._document, JsonTree) else _JSON_KEYS
        return idle if isinstance(self._document, HexDocument) else idle | _HEX_KEYS

    def jump_rows(self) -> list[tuple[int, Callable[[], None]]]:
        """None: lines are reached by moving."""
        return []

    def row_count(self) -> int:
        """Lines of the document."""
        return self._document.line_count(self._width)

    def row(self, number: int, width: int) -> Line:
        document = self._document
        if isinstance(document, HexDocument):
            at = self.cursor * document.bytes_per_line(self._width) + self._column
            document.at = min(at, document.length - 1) if self.has_focus else None
        return [(" ", ""), *document.line(number, self._width)]

    def empty_lines(self, width: int) -> list[Line]:
        selected = self.selection.selected
        if selected is None:
            return [[("  Choose a frame to see its payload, header and bytes.", "muted")]]
        return [[(f"  No finding about connection {selected.id}.", "muted")]]


def _about_in(about: str, frame: int, cells: int) -> str:
    """What the bytes are, behind what names their frame: as many whole parts as fit into so many cells."""
    if cell_width(about) <= cells:
        return about
    about = about.replace(f"payload of frame {frame}, ", "")
    while cell_width(about) > cells and (at := max(about.rfind(", "), about.rfind("; "))) > 0:
        about = about[:at]
    # Of what is not said elsewhere a part is better than nothing.
    return "" if cell_width(about) > cells and about.strip() in _KINDS else about


def handshake_summary(selection: Selection, record: Record | None) -> Iterator[Line]:
    """The short form, of the chosen frame's connection or the selected one."""
    number = selection.connection if record is None else record.frame.connection_id
    connection = selection.model.connections.get(number) if number is not None else None
    if connection is None:
        yield [("Choose a connection to see its opening handshake; h shows it in full.", "muted")]
        return
    handshake = selection.handshake(connection.id)
    yield [(f"conn {connection.id}  {escape(connection.url)}", "title")]
    yield from fact_lines(connection, handshake)
    yield from end_lines(connection)
