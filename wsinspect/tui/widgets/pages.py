"""The pages beside the main screen: handshake and findings."""

from __future__ import annotations

from collections import Counter
from typing import ClassVar

from textual.binding import Binding, BindingType
from textual.strip import Strip

from wsinspect.present.cells import Line, between, fit, flow
from wsinspect.present.details import finding_lines
from wsinspect.present.handshakes import fact_lines, side_by_side
from wsinspect.present.notes import severity_sign
from wsinspect.present.records import FindingRow
from wsinspect.present.words import finding_facts
from wsinspect.text import escape, pad, truncate
from wsinspect.tui.documents import LinesDocument
from wsinspect.tui.selection import Selection
from wsinspect.tui.widgets.base import LinePane


class HandshakePane(LinePane):
    """What each side really saw, side by side.

    Attributes:
        only_differences: lines that are the same are left out.
    """

    help_title = "Handshake"
    help_text = (
        "The opening handshake as it was received at the left and as it was forwarded at the right: = is the "
        "same, ~ changed, + added, - removed, > moved. d leaves out what is the same, Y copies the request "
        "as a curl command, y copies the heads. Facts, certificates and the time of each step stand above."
    )
    has_cursor = False

    def __init__(self, selection: Selection, *, id: str | None = None) -> None:
        super().__init__(id=id)
        self.selection = selection
        self.only_differences = False
        self.connection: int | None = None
        self._document = LinesDocument([])
        self._width = 0

    def show(self, connection: int | None) -> None:
        """Another connection."""
        if connection != self.connection:
            self.top = 0
        self.connection = connection
        self._width = 0
        self.refresh()

    def title(self) -> tuple[Line, Line]:
        """Whose, and how it went."""
        one = self.selection.model.connections.get(self.connection or 0)
        left: Line = [("Handshake", "title")]
        if one is not None:
            left.append((f"  conn {one.id}  {escape(one.url)}", ""))
        return fit(left, max(self.size.width - 6, 0)), [
            ("only differences", "warn")
        ] if self.only_differences else []

    def _lines(self, width: int) -> list[Line]:
        one = self.selection.model.connections.get(self.connection or 0)
        if one is None:
            return []
        handshake = self.selection.handshake(one.id)
        lines = list(fact_lines(one, handshake))
        if handshake is None:
            return [*lines, [("The heads of this attempt were not recorded.", "muted")]]
        lines.append([("", "")])
        lines += side_by_side(
            one, handshake, width, only_differences=self.only_differences, glyphs=self.glyphs
        )
        return lines

    def row_count(self) -> int:
        """Lines at this width."""
        if self.size.width != self._width:
            self._width = self.size.width
            self._document = LinesDocument(self._lines(self.size.width - 3))
        return self._document.line_count(max(self.size.width - 3, 10))

    def row(self, number: int, width: int) -> Line:
        """One of them."""
        return [(" ", ""), *self._document.line(number, max(self.size.width - 3, 10))]

    def empty_lines(self, width: int) -> list[Line]:
        """Nothing is chosen."""
        return [[("  Choose a connection first (1), then h shows its opening handshake.", "muted")]]


class FindingsPane(LinePane):
    """What the capture's findings say, most severe first, the chosen one in full."""

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("enter", "app.go_to_finding", "go to it", show=False, id="findings.go"),
        Binding("pagedown", "details(1)", "more of the chosen one", show=False, id="findings.more"),
        Binding("pageup", "details(-1)", "back in it", show=False, id="findings.back"),
    ]
    help_title = "Findings"
    help_text = (
        "Every diagnosis that the capture holds, the chosen one in full below: page down shows more of it. "
        "Enter goes to the frame or connection, y copies the id."
    )

    def __init__(self, selection: Selection, *, id: str | None = None) -> None:
        super().__init__(id=id)
        self.selection = selection
        self._sorted: list[FindingRow] = []
        self._known = -1
        self._details = LinesDocument([])
        self._detailed: FindingRow | None = None
        self._details_top = 0

    def sorted(self) -> list[FindingRow]:
        """Errors, warnings, notes; each in order."""
        findings = self.selection.model.findings
        if self.selection.model.finding_changes != self._known:
            self._known = self.selection.model.finding_changes
            order = {"error": 0, "warning": 1}
            self._sorted = sorted(findings, key=lambda one: (order.get(one.severity, 2), one.rule, one.id))
        return self._sorted

    def chosen(self) -> FindingRow | None:
        """The one under the cursor."""
        found = self.sorted()
        return found[self.cursor] if 0 <= self.cursor < len(found) else None

    def title(self) -> tuple[Line, Line]:
        """How many of each severity."""
        counts = Counter(finding.severity for finding in self.selection.model.findings)
        words = ", ".join(f"{count} {escape(severity)}" for severity, count in counts.most_common())
        return [("Findings", "title"), (f"  {words}", "muted")], []

    @property
    def visible_rows(self) -> int:
        """As many as there are, but most of the pane belongs to the chosen one."""
        return max(min(self.row_count(), (self.size.height - 1) // 3), 1)

    @property
    def _details_rows(self) -> int:
        return max(self.size.height - self.visible_rows - 2, 1)

    def _chosen_details(self) -> LinesDocument:
        chosen = self.chosen()
        if chosen is not self._detailed:
            self._detailed, self._details_top = chosen, 0
            self._details = LinesDocument(list(finding_lines(chosen, self.glyphs)) if chosen else [])
        return self._details

    def action_details(self, step: int) -> None:
        """Another screen of the chosen finding."""
        count = self._chosen_details().line_count(max(self.size.width - 1, 10))
        most = max(count - self._details_rows, 0)
        self._details_top = max(min(self._details_top + step * max(self._details_rows - 1, 1), most), 0)
        self.refresh()

    def row_count(self) -> int:
        """All of them."""
        return len(self.selection.model.findings)

    def row(self, number: int, width: int) -> Line:
        """One in a line."""
        finding = self.sorted()[number]
        style = (
            "error" if finding.severity == "error" else "warn" if finding.severity == "warning" else "muted"
        )
        where = f"#{finding.frame_id}" if finding.frame_id else f"conn {finding.connection_id or '-'}"
        sign = severity_sign(finding.severity, self.glyphs)
        title = escape(str(finding_facts(finding).get("title", "")))
        return fit(
            [
                (f" {sign} {pad(truncate(escape(finding.rule), 12), 12)} ", style),
                (f"{where:<12} ", "muted"),
                (title, ""),
            ],
            width,
        )

    def render_line(self, y: int) -> Strip:
        """The rows above, the chosen finding below."""
        width = self.size.width
        if y <= self.visible_rows or self.chosen() is None:
            return super().render_line(y)
        details = self._chosen_details()
        count = details.line_count(max(width - 1, 10))
        if y == self.visible_rows + 1:
            return self.palette.strip(self._details_rule(count), width)
        at = self._details_top + y - self.visible_rows - 2
        line = details.line(at, max(width - 1, 10)) if at < count else []
        return self.palette.strip(fit([(" ", ""), *line], width), width)

    def _details_rule(self, count: int) -> Line:
        """The line between rows and details; it says when there is more to be seen."""
        rule, width = self.glyphs.rule, self.size.width
        below = count - self._details_top - self._details_rows
        right: Line = [(f" pgdn: {below} lines more ", "key")] if below > 0 else []
        return between([(rule, "rule")], right, width, rule, "rule")

    def empty_lines(self, width: int) -> list[Line]:
        """What would appear here."""
        words = (
            "The capture holds no findings. A finding would say here what was wrong with a handshake, a "
            "frame or the end of a connection, on which hop, with the evidence and the line of configuration "
            "that mends it. What breaks RFC 6455 is marked ! in the frames all the same: n goes from one to "
            "the next."
        )
        return [[("  " + line, "muted")] for line in flow(words, min(width - 4, 100))]
