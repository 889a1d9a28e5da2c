"""From one finding to the next, in the order of time, on the main page."""

from __future__ import annotations

from wsinspect.capture.records import FindingRow
from wsinspect.tui.workspace import Workspace


class FindingSteps:
    """See the module docstring.

    Attributes:
        shown: the finding that was gone to last; None after a frame was.
    """

    def __init__(self, workspace: Workspace) -> None:
        self._model, self._selection = workspace.model, workspace.selection
        self.shown: FindingRow | None = None

    def next(self, step: int, here_ns: int | None) -> FindingRow | None:
        """The next finding that is not on a row of this view: from the one shown last, else the cursor.

        Args:
            step: 1 for the next one, -1 for the one before.
            here_ns: the time of the chosen frame; None where no frame is chosen.
        """
        selected, found = self._selection.connection, self._in_order()
        here = self.shown
        if here is not None and here.connection_id in (None, selected):
            at = self.time_of(here), here.id
        else:
            begin_ns = self._selection.zero_ns - 1 if selected is not None else -1
            at = (here_ns or begin_ns), 0
        if step > 0:
            return next((one for time_ns, number, one in found if (time_ns, number) > at), None)
        return next((one for time_ns, number, one in reversed(found) if (time_ns, number) < at), None)

    def first(self, step: int) -> FindingRow | None:
        """The first finding that is not on a row of this view; with a step of -1 the last one."""
        found = self._in_order()
        return found[0 if step > 0 else -1][2] if found else None

    def _in_order(self) -> list[tuple[int, int, FindingRow]]:
        """Findings that are not on a row of this view, each with its time and number."""
        selected, connections = self._selection.connection, self._model.connections
        return sorted(
            (self.time_of(one), one.id, one)
            for one in self._model.findings
            if one.connection_id is None
            or (
                one.connection_id in connections
                and (one.frame_id is None or selected not in (None, one.connection_id))
            )
        )

    def time_of(self, finding: FindingRow) -> int:
        """When its frame came, or its connection ended, else when that began; in nanoseconds.

        One about no connection comes before all others: 0.
        """
        position = None if finding.frame_id is None else self._model.index.position_of(finding.frame_id)
        if position is not None:
            return self._model.index.columns.times_ns[position]
        one = self._model.connections.get(finding.connection_id or 0)
        if one is None:
            return 0
        return one.closed_ns or one.open_ns or one.attempt_ns or 0
