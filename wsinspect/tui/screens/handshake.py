"""The handshake page: what each side really saw, side by side."""

from __future__ import annotations

from typing import ClassVar, Final

from textual.binding import BindingType

from wsinspect.present.cells import Line, fit, text_of, width_of
from wsinspect.present.handshakes import fact_lines, legend, side_by_side, unwrapped
from wsinspect.present.words import end_lines
from wsinspect.text import escape
from wsinspect.tui.documents import LinesDocument
from wsinspect.tui.keys import bindings_of
from wsinspect.tui.screens.page import Page
from wsinspect.tui.states import choose_first
from wsinspect.tui.widgets.base import LinePane
from wsinspect.tui.workspace import Workspace

#: Keys that are about headers.
_ABOUT_HEADERS: Final = frozenset({"handshake.differences", "handshake.copy"})


class HandshakePane(LinePane):
    """What each side really saw, side by side.

    Attributes:
        only_differences: lines that are the same are left out.
    """

    help_title = "Handshake"
    help_text = (
        "The opening handshake: as received on the left, as forwarded on the right: = is the "
        "same, ~ changed, + added, - removed, > moved. d leaves out what is the same, Y copies the request "
        "as a curl command, y copies the headers. Facts, certificates and the time of each step are above, "
        "how the connection ended is below."
    )
    has_cursor = False

    def __init__(self, workspace: Workspace, *, id: str | None = None) -> None:
        super().__init__(workspace, id=id)
        self.only_differences = False
        self.connection: int | None = None
        self._document = LinesDocument([])
        self._width = 0

    def show(self, connection: int | None) -> None:
        """Show the handshake of a connection, from its top where it is another; None for none."""
        if connection != self.connection:
            self.top = 0
        self.connection = connection
        self._width = 0
        self.post_message(self.OtherKeys())
        self.refresh()

    def idle_keys(self) -> frozenset[str]:
        """Without headers there are none to compare or to copy."""
        one = self.connection
        return frozenset() if one and self.selection.handshake(one) is not None else _ABOUT_HEADERS

    def title(self) -> tuple[Line, Line]:
        """Whose, and how it went."""
        one = self.model.connections.get(self.connection or 0)
        left: Line = [("Handshake", "title")]
        if one is not None:
            left.append((f"  conn {one.id}  {escape(one.url)}", ""))
        width = self.size.width - 6
        if self.only_differences:
            return fit(left, max(width, 0)), [("only differences", "warn")]
        return fit(left, max(width, 0)), [] if one is None else legend(width - width_of(left) - 2)

    def _lines(self, width: int) -> list[Line]:
        one = self.model.connections.get(self.connection or 0)
        if one is None:
            return []
        handshake = self.selection.handshake(one.id)
        end = [[("", "")], *end_lines(one, self.selection.card(one.id))]
        if handshake is None:
            words = "The headers of this attempt were not recorded."
            return [*fact_lines(one, handshake), [(words, "muted")], *end]
        sides = side_by_side(handshake, width, only_differences=self.only_differences, glyphs=self.glyphs)
        return [*fact_lines(one, handshake), [("", "")], *sides, *end]

    def row_count(self) -> int:
        """Lines at this width."""
        if self.size.width != self._width:
            self._width = self.size.width
            self._document = LinesDocument(self._lines(self.size.width - 3))
        return self._document.line_count(max(self.size.width - 3, 10))

    def row(self, number: int, width: int) -> Line:
        return [(" ", ""), *self._document.line(number, max(self.size.width - 3, 10))]

    def document_text(self) -> str:
        """All of it, as wide as it wants to be."""
        lines = unwrapped(self._lines, self.glyphs)
        return "\n".join(text_of(line).rstrip() for line in lines) if lines else super().document_text()

    def empty_lines(self, width: int) -> list[Line]:
        return choose_first(self.model, "h shows its opening handshake", width)


class HandshakeScreen(Page):
    BINDINGS: ClassVar[list[BindingType]] = bindings_of("handshake")
    page = "handshake"

    def __init__(self, workspace: Workspace) -> None:
        self.handshake = HandshakePane(workspace, id="handshake")
        super().__init__(workspace, self.handshake)

    def show(self, connection: int | None) -> None:
        self.handshake.show(connection)

    def connection_in_view(self) -> int | None:
        """Whose handshake it is."""
        return self.handshake.connection

    def action_only_differences(self) -> None:
        """Leave out lines that are the same."""
        self.handshake.only_differences = not self.handshake.only_differences
        self.handshake.show(self.handshake.connection)

    def action_copy(self) -> None:
        """All four header blocks."""
        handshake = self.workspace.selection.handshake(self.handshake.connection or 0)
        if handshake is None:
            self.workspace.say("nothing to copy: choose a connection")
            return
        heads = (handshake.request_in, handshake.request_out, handshake.response_in, handshake.response_out)
        self.copier.bytes(b"".join(head for head in heads if head), "headers", ".txt")
