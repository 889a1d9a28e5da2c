"""The pages beside the main screen: handshake and findings."""

from __future__ import annotations

from collections import Counter
from typing import ClassVar

from textual.binding import Binding, BindingType
from textual.strip import Strip

from wsinspect.text import escape, pad, truncate
from wsinspect.tui.browser import Browser
from wsinspect.tui.cells import fit, flow
from wsinspect.tui.details import finding_lines
from wsinspect.tui.documents import LinesDocument
from wsinspect.tui.handshakes import fact_lines, side_by_side
from wsinspect.tui.notes import severity_sign
from wsinspect.tui.source import FindingRow
from wsinspect.tui.style import Line
from wsinspect.tui.widgets.base import LinePane
from wsinspect.tui.words import finding_facts


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

    def __init__(self, browser: Browser, *, id: str | None = None) -> None:
        super().__init__(id=id)
        self.browser = browser
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
        one = self.browser.model.connections.get(self.connection or 0)
        left: Line = [("Handshake", "title")]
        if one is not None:
            left.append((f"  conn {one.id}  {escape(one.url)}", ""))
        return fit(left, max(self.size.width - 6, 0)), [
            ("only differences", "warn")
        ] if self.only_differences else []

    def _lines(self, width: int) -> list[Line]:
        one = self.browser.model.connections.get(self.connection or 0)
        if one is None:
            return []
        handshake = self.browser.handshake(one.id)
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
        Binding("enter", "app.go_to_finding", "go to it", show=False, id="findings.go")
    ]
    help_title = "Findings"
    help_text = (
        "Every diagnosis that the capture holds. Enter goes to the frame or connection, y copies the id."
    )

    def __init__(self, browser: Browser, *, id: str | None = None) -> None:
        super().__init__(id=id)
        self.browser = browser
        self._sorted: list[FindingRow] = []
        self._known = -1

    def sorted(self) -> list[FindingRow]:
        """Errors, warnings, notes; each in order."""
        findings = self.browser.model.findings
        if len(findings) != self._known:
            self._known = len(findings)
            order = {"error": 0, "warning": 1}
            self._sorted = sorted(findings, key=lambda one: (order.get(one.severity, 2), one.rule, one.id))
        return self._sorted

    def chosen(self) -> FindingRow | None:
        """The one under the cursor."""
        found = self.sorted()
        return found[self.cursor] if 0 <= self.cursor < len(found) else None

    def title(self) -> tuple[Line, Line]:
        """How many of each severity."""
        counts = Counter(finding.severity for finding in self.browser.model.findings)
        words = ", ".join(f"{count} {escape(severity)}" for severity, count in counts.most_common())
        return [("Findings", "title"), (f"  {words}", "muted")], []

    @property
    def visible_rows(self) -> int:
        """The lower half shows the chosen one."""
        return max((self.size.height - 1) // 2, 1)

    def row_count(self) -> int:
        """All of them."""
        return len(self.browser.model.findings)

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
        chosen = self.chosen()
        if y <= self.visible_rows or chosen is None:
            return super().render_line(y)
        lines: list[Line] = [
            [(self.glyphs.rule * self.size.width, "rule")],
            *finding_lines(chosen, self.glyphs),
        ]
        at = y - self.visible_rows - 1
        return self.palette.strip(fit(lines[at], self.size.width) if at < len(lines) else [], self.size.width)

    def empty_lines(self, width: int) -> list[Line]:
        """What would appear here."""
        words = (
            "The capture holds no findings. A finding would say here what was wrong with a handshake, a "
            "frame or the end of a connection, on which hop, with the evidence and the line of configuration "
            "that mends it. What breaks RFC 6455 is marked ! in the frames all the same: n goes from one to "
            "the next."
        )
        return [[("  " + line, "muted")] for line in flow(words, min(width - 4, 100))]
