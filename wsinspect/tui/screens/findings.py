"""The findings page: what the capture's findings say, the chosen one in full."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING, ClassVar, Final

from textual.binding import Binding, BindingType
from textual.message import Message
from textual.strip import Strip

from wsinspect.capture.records import FindingRow
from wsinspect.findings.alike import Said, groups_of, spanned, words_of
from wsinspect.present.cells import Line, between, fit, flow
from wsinspect.present.findings import finding_facts, finding_lines, finding_of
from wsinspect.present.notes import SEVERITY_STYLES, severity_sign
from wsinspect.text import counted, escape, grouped, pad, truncate
from wsinspect.tui.documents import LinesDocument
from wsinspect.tui.finding_steps import FindingSteps
from wsinspect.tui.keys import bindings_of
from wsinspect.tui.screens.page import Page
from wsinspect.tui.widgets.base import LinePane
from wsinspect.tui.workspace import Workspace

if TYPE_CHECKING:
    from wsinspect.doctor.target import Target

#: So many that say the same stand in one row, until it is unfolded.
_FOLDED: Final = 3
#: From this width on a finding's row has its time, in so many cells.
_WIDE: Final = 100
_TIME_CELLS: Final = 16
#: For the connection, and the frame where both fit.
_WHERE_CELLS: Final = 12
_UNFOLD: Final = "findings.unfold"
_CONFIGURATION: Final = "findings.configuration"


class FindingsPane(LinePane):
    """What the capture's findings say, most severe first, the chosen one in full."""

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("enter", "go", "go to it", show=False, id="findings.go"),
        Binding("pagedown", "details(1)", "scroll the details", show=False, id="findings.more"),
        Binding("pageup", "details(-1)", "back in it", show=False, id="findings.back"),
    ]
    help_title = "Findings"
    help_text = (
        "Every finding in the capture, with the chosen one in full below: page down scrolls it. "
        "Enter goes to the frame or connection, space unfolds a row that stands for several, y copies it "
        "with its fix, r reads the proxy's configuration and names the line."
    )

    def __init__(self, workspace: Workspace, *, id: str | None = None) -> None:
        super().__init__(workspace, id=id)
        self._sorted: list[FindingRow] = []
        self._known = -1
        #: What each row stands for; several findings where they are folded.
        self._rows: list[list[FindingRow]] = []
        self._rows_known = -1
        self._unfolded: set[Said] = set()
        self._read: dict[int, tuple[str, Said]] = {}
        self._details = LinesDocument([])
        self._detailed: FindingRow | None = None
        self._detailed_count = 0
        self._details_top = 0
        self._steps = FindingSteps(workspace)

    class Opened(Message):
        """Enter: show what the finding is about."""

        def __init__(self, finding: FindingRow) -> None:
            super().__init__()
            self.finding = finding

    def action_go(self) -> None:
        """To its frame or connection."""
        finding = self.chosen()
        if finding is not None:
            self.post_message(self.Opened(finding))

    def document_text(self) -> str:
        """The chosen one in full."""
        if self.chosen() is None:
            return super().document_text()
        document = self._chosen_details()
        return "\n".join("".join(text for text, _ in line) for line in document.lines)

    def sorted(self) -> list[FindingRow]:
        """Errors, warnings, notes; each in order."""
        findings = self.model.findings
        if self.model.finding_changes != self._known:
            self._known = self.model.finding_changes
            order = {"error": 0, "warning": 1}
            self._sorted = sorted(findings, key=lambda one: (order.get(one.severity, 2), one.rule, one.id))
        return self._sorted

    def rows(self) -> list[list[FindingRow]]:
        """The findings of each row: one, or several that say the same of several connections."""
        found = self.sorted()
        if self._rows_known != self._known:
            self._rows, self._rows_known = self._folded(found), self._known
        return self._rows

    def _folded(self, found: list[FindingRow]) -> list[list[FindingRow]]:
        """What says the same often stands where its first one does; the rest is not read."""
        often = {rule for rule, count in Counter(one.rule for one in found).items() if count >= _FOLDED}
        places = [place for place, one in enumerate(found) if one.rule in often]
        said = [self._said(found[place]) for place in places]
        rows = {place: [one] for place, one in enumerate(found)}
        for group in groups_of(said):
            first, *others = (places[one] for one in group)
            if len(group) >= _FOLDED and said[group[0]].kind not in self._unfolded:
                rows[first] += [found[place] for place in others]
                for place in others:
                    del rows[place]
        return list(rows.values())

    def _said(self, row: FindingRow) -> Said:
        """Read once, and again where something better was found."""
        known = self._read.get(row.id)
        if known is None or known[0] != row.detail:
            facts = finding_facts(row)
            lines = facts.get("evidence")
            words = words_of(map(str, lines if isinstance(lines, list | tuple) else ()))
            said = Said(row.rule, str(facts.get("hop")), row.severity, str(facts.get("title", "")), words)
            known = self._read[row.id] = row.detail, said
        return known[1]

    def idle_keys(self) -> frozenset[str]:
        """What does nothing with the chosen one: a row that is alone, one that no configuration explains."""
        chosen = self.chosen()
        if chosen is None:
            return frozenset({_UNFOLD, _CONFIGURATION, "findings.copy"})
        idle = set()
        if len(self.rows()[self.cursor]) == 1 and self._said(chosen).kind not in self._unfolded:
            idle.add(_UNFOLD)
        if self.explained_by(chosen) is None:
            idle.add(_CONFIGURATION)
        return frozenset(idle)

    def explained_by(self, row: FindingRow) -> Target | None:
        """What the hop was asked for, where a line of its configuration could be why; else None."""
        if row.connection_id is None:
            return None
        from wsinspect.doctor.configuration.judging import is_explainable  # not before the first paint

        return self.target_of(row.connection_id) if is_explainable(finding_of(row)) else None

    def move_to(self, number: int) -> None:
        """Other keys do something with another one."""
        super().move_to(number)
        self.post_message(self.OtherKeys())

    def unfold(self) -> None:
        """Show each of those that say the same, or one row for all of them."""
        chosen = self.chosen()
        if chosen is None:
            return
        kind = self._said(chosen).kind
        if kind in self._unfolded:
            self._unfolded.remove(kind)
        elif len(self.rows()[self.cursor]) > 1:
            self._unfolded.add(kind)
        else:
            self.workspace.say("nothing else says the same")
            return
        self._rows = self._folded(self.sorted())
        row = next(number for number, ones in enumerate(self._rows) if chosen in ones)
        if row == self.cursor:
            self.refresh()
        self.move_to(row)

    def chosen(self) -> FindingRow | None:
        """The one under the cursor; of several in a row the first."""
        rows = self.rows()
        return rows[self.cursor][0] if 0 <= self.cursor < len(rows) else None

    def choose(self, finding: FindingRow) -> None:
        """Put the cursor on a finding; it is unfolded where it is not the first of its row."""
        for number, ones in enumerate(self.rows()):
            if all(one.id != finding.id for one in ones):
                continue
            self.move_to(number)
            if ones[0].id != finding.id:
                self.unfold()
                self.choose(finding)
            return

    def title(self) -> tuple[Line, Line]:
        """How many of each severity."""
        counts = Counter(finding.severity for finding in self.model.findings)
        words = ", ".join(counted(counts[name], name) for name in SEVERITY_STYLES if counts[name])
        return [("Findings", "title"), (f"  {words}" if words else "", "muted")], []

    @property
    def visible_rows(self) -> int:
        """As many as there are, but most of the pane belongs to the chosen one."""
        return max(min(self.row_count(), (self.size.height - 1) // 3), 1)

    @property
    def _details_rows(self) -> int:
        return max(self.size.height - self.visible_rows - 2, 1)

    def _chosen_details(self) -> LinesDocument:
        chosen = self.chosen()
        alike = self.rows()[self.cursor] if chosen is not None else []
        if chosen is not self._detailed or len(alike) != self._detailed_count:
            if chosen is not self._detailed:
                self._details_top = 0
            self._detailed, self._detailed_count = chosen, len(alike)
            self._details = LinesDocument([] if chosen is None else self._lines_of(chosen, alike))
        return self._details

    def _lines_of(self, finding: FindingRow, alike: list[FindingRow]) -> list[Line]:
        placed = self.workspace.places.placed(finding, finding_of(finding), self.target_of)
        group = spanned([placed.finding, *map(finding_of, alike[1:])])
        lines = list(finding_lines(group, severity_sign(finding.severity, self.glyphs)))
        if placed.words:
            lines.append([("  ", ""), (escape(placed.words), "muted")])
        return lines

    def target_of(self, connection: int) -> Target | None:
        """What the hop was asked for by a connection."""
        from wsinspect.doctor.recorded import recorded_target

        row = self.model.connections.get(connection)
        return recorded_target(row, self.workspace.selection.handshake(connection))

    def read_again(self) -> None:
        """Other configurations are known: draw the chosen one again."""
        self._detailed = None
        self.refresh()

    def action_details(self, step: int) -> None:
        """Another screen of the chosen finding."""
        count = self._chosen_details().line_count(self._details_width)
        most = max(count - self._details_rows, 0)
        self._details_top = max(min(self._details_top + step * max(self._details_rows - 1, 1), most), 0)
        self.refresh()

    def row_count(self) -> int:
        return len(self.rows())

    def row(self, number: int, width: int) -> Line:
        """One in a line, or several that say the same."""
        finding, *others = self.rows()[number]
        style = (
            "error" if finding.severity == "error" else "warn" if finding.severity == "warning" else "muted"
        )
        where = f"conn {finding.connection_id or '-'}"
        frame = f" #{finding.frame_id}" if finding.frame_id else ""
        if len(where) + len(frame) <= _WHERE_CELLS:  # the details below have it too
            where += frame
        if others:
            where = f"{grouped(len(others) + 1)} times"
        sign = severity_sign(finding.severity, self.glyphs)
        title = escape(str(finding_facts(finding).get("title", "")))
        time_ns = self._steps.time_of(finding)
        when = self.workspace.clock.at(time_ns, self.model.zero_ns) if time_ns and width >= _WIDE else ""
        return fit(
            [
                (f" {sign} {pad(truncate(escape(finding.rule), 12), 12)} ", style),
                (f"{where:<{_WHERE_CELLS}} ", "muted"),
                (f"{when:<{_TIME_CELLS}} " if when else "", "muted"),
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
        count = details.line_count(self._details_width)
        if y == self.visible_rows + 1:
            return self.palette.strip(self._details_rule(count), width)
        at = self._details_top + y - self.visible_rows - 2
        line = details.line(at, self._details_width) if at < count else []
        return self.palette.strip(fit([(" ", ""), *line], width), width)

    @property
    def _details_width(self) -> int:
        """Cells of a line of the details: a blank is on each side."""
        return max(self.size.width - 2, 10)

    def _details_rule(self, count: int) -> Line:
        """The line between rows and details; it says when there is more to be seen."""
        rule, width = self.glyphs.rule, self.size.width
        below = count - self._details_top - self._details_rows
        right: Line = [(f" pgdn: {counted(below, 'more line')} ", "key")] if below > 0 else []
        return between([(rule, "rule")], right, width, rule, "rule")

    def empty_lines(self, width: int) -> list[Line]:
        """What would appear here."""
        words = (
            "No findings in this capture. A finding says what was wrong with a handshake, a frame or the end "
            "of a connection, and on which hop, with the evidence and the line of configuration that fixes "
            "it. Frames that break RFC 6455 are marked !: n goes to the next one."
        )
        return [[("  " + line, "muted")] for line in flow(words, min(width - 4, 100))]


class FindingsScreen(Page):
    BINDINGS: ClassVar[list[BindingType]] = bindings_of("findings")
    page = "findings"

    def __init__(self, workspace: Workspace) -> None:
        self.findings = FindingsPane(workspace, id="findings")
        super().__init__(workspace, self.findings)

    def grown(self) -> None:
        """Findings may have been taken back for better ones."""
        self.findings.clamp()
        super().grown()

    def connection_in_view(self) -> int | None:
        """Whom the chosen finding is about."""
        chosen = self.findings.chosen()
        return None if chosen is None else chosen.connection_id

    def action_read_configuration(self) -> None:
        """Ask where the hop's configuration is; its line and the diff belong to the chosen finding then."""
        from wsinspect.tui.dialogs.configuration import ConfigurationDialog

        row = self.findings.chosen()
        if row is None or self.app.screen is not self:
            return
        finding, target = finding_of(row), self.findings.explained_by(row)
        if target is None:
            self.workspace.say("r: no configuration of a proxy explains this finding")
            return
        self.app.push_screen(
            ConfigurationDialog(self.workspace, row.id, finding, target, self.findings.read_again)
        )

    def action_unfold(self) -> None:
        """Show each of those that say the same, or one row for all of them."""
        self.findings.unfold()

    def action_copy(self) -> None:
        """The chosen finding with its fix."""
        finding = self.findings.chosen()
        if finding is not None:
            self.copier.text(self.findings.document_text() + "\n", "finding", ".txt")

    def document_text(self) -> str:
        return self.findings.document_text()
