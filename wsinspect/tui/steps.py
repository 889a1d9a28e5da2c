"""From one place that matters to the next on the main page: findings, matches, silences, marks, mates."""

from __future__ import annotations

from collections.abc import Callable

from wsinspect.capture.records import FindingRow
from wsinspect.tui.finding_steps import FindingSteps
from wsinspect.tui.searching import Search
from wsinspect.tui.widgets.frames import FrameTable
from wsinspect.tui.workspace import Workspace


class Steps:
    """See the module docstring. Where there is no next place, the page says so.

    Args:
        frames: the table, whose cursor is where a step begins.
        search: what is looked for, if anything.
        go_to_frame: chooses a frame by its number, in whatever connection it is.

    Attributes:
        findings: which of them come next.
    """

    def __init__(
        self, workspace: Workspace, frames: FrameTable, search: Search, go_to_frame: Callable[[int], None]
    ) -> None:
        self._workspace, self._model, self._selection = workspace, workspace.model, workspace.selection
        self._frames, self._search, self._go_to_frame = frames, search, go_to_frame
        self.findings = FindingSteps(workspace)

    # -- findings and violations

    def next_finding(self, step: int) -> FindingRow | None:
        """The next frame with a violation, a fault or a finding, or the next finding about a connection.

        Of a selected connection its own come first, in the order of time; then those of the connections
        after it, refused and ended ones too. Behind the last one the first comes again.

        Args:
            step: 1 for the next one, -1 for the one before.

        Returns:
            The finding to be shown; None where the cursor went to a frame, or there was nothing to go to.
        """
        here = self._frames.selected_position(), self.findings.shown
        y, finding = self._next(step)
        if y is None and finding is None:
            y, finding = self._next(step, is_around=True)
            there = None if y is None else self._frames.view.position(y)
            if y is None and finding is None:
                self._workspace.say("no finding or violation to go to")
            elif finding == here[1] if finding is not None else (there, None) == here:
                self._workspace.say("this is the only one")
            else:
                self._workspace.say("from the other end again")
        if y is not None:
            self.findings.shown = None
            self._frames.go_to_position(self._frames.view.position(y))
        return finding

    def _next(self, step: int, *, is_around: bool = False) -> tuple[int | None, FindingRow | None]:
        """The row or the finding that comes next; `is_around` begins at the end where one comes from."""
        view, index, rows = self._frames.view, self._model.index, self._frames.row_count()
        begin = self._frames.cursor if not is_around else -1 if step > 0 else rows
        marked = index.marked(self._selection.connection)
        places = [view.next_of(begin, step, wanted) for wanted in marked]
        known = [place for place in places if place is not None and place < rows]
        y = (min(known) if step > 0 else max(known)) if known else None
        if is_around:
            finding = self.findings.first(step)
        else:
            finding = self.findings.next(step, self._frames.selected_time_ns())
        if y is None or finding is None:
            return y, finding
        is_own = self._selection.connection in (None, finding.connection_id)
        frame_ns = index.columns.times_ns[view.position(y)]
        is_first = (frame_ns - self.findings.time_of(finding)) * step > 0
        return (None, finding) if is_first and (is_own or is_around) else (y, None)

    # -- matches of the search

    def next_match(self, step: int) -> None:
        """The next frame that the search has found and that has a row."""
        here = self._frames.selected_position()
        found = self._search.next(here, step)
        if found is None:
            more = "" if self._search.is_whole else " so far"
            self._workspace.say(f"no frame matches the search{more}")
            return
        if here is not None and (found - here) * step <= 0:
            self._workspace.say("from the other end again" if found != here else "this is the only match")
        self._go_to_frame(self._model.index.columns.ids[found])

    def first_match(self, here: int | None) -> None:
        """The search has its first matches: to the next one, unless the frame where it began is one."""
        if not self._search.positions:
            self._workspace.say("no frame matches the search")
        elif here is None or not self._search.matches(here):
            self.next_match(1)

    # -- silences, mates, marks

    def next_gap(self, step: int) -> None:
        """The frame after the next silence."""
        view = self._frames.view
        y = view.next_of(self._frames.cursor, step, view.gaps)
        if y is None or y >= self._frames.row_count():
            self._workspace.say(f"no gap {_where(step)} this frame")
        else:
            self._frames.go_to_position(view.position(y))

    def mate(self) -> None:
        """The frame that belongs to the chosen one."""
        position = self._frames.selected_position()
        if position is None:
            return
        record = self._selection.record(self._model.index.columns.ids[position])
        mate = self._selection.mate_of(record, position) if record is not None else None
        if mate is not None:
            self._go_to_frame(mate)
        elif record is not None and record.frame.opcode in (9, 10):
            self._workspace.say("no matching PING/PONG")
        else:
            self._workspace.say("no matching frame: PINGs and PONGs, fragments and CLOSE frames have one")

    def mark(self) -> None:
        """Mark the chosen frame, or unmark it."""
        position = self._frames.selected_position()
        if position is None:
            return
        number, marks = self._model.index.columns.ids[position], self._selection.marks
        if number in marks:
            marks.remove(number)
            self._workspace.say(f"frame {number} is no longer marked")
        else:
            self._selection.marks = sorted([*marks, number])
            self._workspace.say(f"frame {number} is marked; ' goes to marks")

    def next_mark(self) -> None:
        """The next mark, around at the end."""
        marks = self._selection.marks
        if not marks:
            self._workspace.say("no marks yet: m marks a frame")
            return
        position = self._frames.selected_position()
        here = 0 if position is None else self._model.index.columns.ids[position]
        self._go_to_frame(next((number for number in marks if number > here), marks[0]))


def _where(step: int) -> str:
    return "after" if step > 0 else "before"
