"""The chosen frame in detail: payload, header, handshake, findings, raw bytes."""

from __future__ import annotations

from collections.abc import Iterator
from typing import ClassVar, Final

from textual.binding import Binding, BindingType

from wsinspect.capture.records import FindingRow
from wsinspect.errors import CaptureError
from wsinspect.present.cells import Line, fit
from wsinspect.present.details import connection_findings, frame_findings, header_lines, summary
from wsinspect.present.handshakes import fact_lines
from wsinspect.present.records import Record
from wsinspect.present.words import end_lines
from wsinspect.text import escape
from wsinspect.tui.blobs import FORMS, MESSAGE, WIRE, Blob, blob_of
from wsinspect.tui.documents import (
    HEX,
    HexDocument,
    LinesDocument,
    best_view,
    make_document,
    payload_of,
    text_windows,
    views_for,
    whole_text,
)
from wsinspect.tui.documents import Document as PayloadDocument
from wsinspect.tui.selection import Selection
from wsinspect.tui.widgets.base import LinePane
from wsinspect.tui.workspace import Workspace

#: Cells that no line needs.
_UNWRAPPED: Final = 1 << 30
TABS: Final = ("Payload", "Header", "Handshake", "Findings", "Raw")


class InspectorPane(LinePane):
    """What is known of the frame under the cursor, or of the connection where no frame is chosen.

    Attributes:
        tab: index into `TABS`.
        form: the form of the bytes in the payload tab.
        view: the chosen payload view; None takes the one that fits each payload best.
    """

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("left", "tab(-1)", "tab", show=False, id="inspector.tab_left"),
        Binding("right", "tab(1)", "tab", show=False, id="inspector.tab_right"),
        Binding("less_than_sign,comma", "window(-1)", "window", show=False, id="inspector.window_back"),
        Binding("greater_than_sign,full_stop", "window(1)", "window", show=False, id="inspector.window_on"),
    ]
    help_title = "Inspector"
    help_text = (
        "The chosen frame. Left and right change the tab. In the payload tab v switches between text, JSON, "
        "hex and the decoders that know the payload, u between the message (joined and inflated), the "
        "frame's payload, and the bytes on the wire; < and > move through a long text. y copies what is "
        "shown."
    )
    has_cursor = False

    def __init__(self, workspace: Workspace, *, id: str | None = None) -> None:
        super().__init__(workspace, id=id)
        self.tab = 0
        self.form = MESSAGE
        self.view: str | None = None
        self.window = 0
        self.record: Record | None = None
        self.position: int | None = None
        self._document: PayloadDocument = LinesDocument([])
        self._about = ""
        self._views: list[str] = []
        self._shown_view = ""
        self._blob: Blob | None = None

    # -- what is shown

    def show(self, record: Record | None, position: int | None) -> None:
        """Show a frame, from its top where it is another; None for none."""
        is_other = record is None or self.record is None or record.frame.id != self.record.frame.id
        self.record, self.position = record, position
        if is_other:
            self.window = 0
            self.top = 0
        self.rebuild()

    def rebuild(self) -> None:
        """Make the document again, of the record, tab, view and window as they are now."""
        self._about, self._views, self._blob = "", [], None
        try:
            self._document = self._make()
        except CaptureError as error:
            self._document = LinesDocument([[(str(error), "error")]])
        self.clamp()
        self.refresh()

    def _make(self) -> PayloadDocument:
        record, position = self.record, self.position
        name = TABS[self.tab] if record is not None else self._tab_without_frame()
        if name == "Handshake":
            return LinesDocument(list(handshake_summary(self.selection, record)))
        source = self.selection.source
        if record is None or position is None:
            return LinesDocument(list(connection_findings(self._of_connection(None), self.glyphs)))
        if source is None:
            return LinesDocument([])
        if name == "Header":
            return LinesDocument(list(header_lines(record, self.selection.zero_ns)))
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
        best = "hex" if form == WIRE else best_view(payload, opcode)
        self._shown_view = self.view if self.view in self._views else best
        return make_document(self._shown_view, self._blob, self.window, payload)

    def _tab_without_frame(self) -> str:
        """Of a connection without a chosen frame: its handshake where that is asked for, else findings."""
        name = TABS[self.tab]
        return name if name == "Handshake" or self.selection.selected is None else "Findings"

    def _of_connection(self, connection: int | None) -> list[FindingRow]:
        """Findings of a connection that name no frame; where no frame is chosen, all of the selected one."""
        number = self.selection.connection if connection is None else connection
        found = self.model.findings_of_connection.get(number or 0, [])
        return [one for one in found if connection is None or one.frame_id is None]

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
            return text
        count = self._document.line_count(_UNWRAPPED)
        lines = (self._document.line(at, _UNWRAPPED) for at in range(count))
        return "\n".join("".join(part for part, _ in line) for line in lines)

    # -- keys

    def action_tab(self, step: int) -> None:
        self.choose_tab((self.tab + step) % len(TABS))

    def choose_tab(self, number: int) -> None:
        self.tab = number
        self.top = 0
        self.rebuild()

    def action_window(self, step: int) -> None:
        """Another window of a long text."""
        if self._blob is not None:
            self.window = max(min(self.window + step, text_windows(self._blob) - 1), 0)
            self.top = 0
            self.rebuild()

    def next_view(self) -> None:
        """The next way to look at the payload."""
        self.tab = 0
        self.rebuild()
        if self._views:
            self.view = self._views[(self._views.index(self._shown_view) + 1) % len(self._views)]
            self.top = 0
            self.rebuild()

    def choose_view(self, name: str) -> None:
        """This way to look at payloads."""
        self.tab, self.view = 0, name
        self.rebuild()

    def next_form(self) -> None:
        """The next form of the bytes."""
        self.tab = 0
        self.form = FORMS[(FORMS.index(self.form) + 1) % len(FORMS)]
        self.top = self.window = 0
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
        left: Line = [("4 ", "key"), ("Inspector", "title"), ("  ", "")]
        for number, name in enumerate(TABS):
            shown = number == (self.tab if self.record is not None else TABS.index(self._tab_without_frame()))
            left.append((f"[{name}]" if shown else f" {name} ", "focus" if shown else "muted"))
        right: Line = []
        if self.tab == 0 and self._views and self.size.width >= 76:
            for name in self._views:
                right.append((f"[{name}]" if name == self._shown_view else f" {name} ", "muted"))
        return fit(left, self.size.width - 4), right

    def _has_summary(self) -> bool:
        return self.record is not None and self.size.height > 4 and self.tab in (0, 4)

    @property
    def _header_height(self) -> int:
        return int(self._has_summary())

    def header(self, width: int) -> Line:
        """The frame in one line."""
        if self.record is None:
            return []
        about = f"  {self._about}" if self._about else ""
        side = "s2c" if self.record.frame.direction else "c2s"
        return fit([(" " + summary(self.record, self.selection.zero_ns), side), (about, "muted")], width)

    def row_count(self) -> int:
        """Lines of the document."""
        return self._document.line_count(max(self.size.width - 2, 10))

    def row(self, number: int, width: int) -> Line:
        return [(" ", ""), *self._document.line(number, max(self.size.width - 2, 10))]

    def empty_lines(self, width: int) -> list[Line]:
        selected = self.selection.selected
        if selected is None:
            return [[("  Choose a frame to see its payload, header and bytes.", "muted")]]
        return [[(f"  No finding about connection {selected.id}.", "muted")]]


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
