"""The statistics page: rates, sizes, round trips, opcodes and shapes, of all or of the overview's span."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from typing import ClassVar

from textual.binding import BindingType

from wsinspect.present.cells import Line, fit
from wsinspect.tui.asking import AGAIN_SECONDS, Asker, statistics_of
from wsinspect.tui.documents import LinesDocument
from wsinspect.tui.keys import bindings_of
from wsinspect.tui.screens.page import Page
from wsinspect.tui.statistics import Statistics, statistics_lines
from wsinspect.tui.widgets.base import LinePane
from wsinspect.tui.workspace import Workspace


class StatisticsPane(LinePane):
    """The numbers in lines that scroll.

    Attributes:
        found: the numbers that are shown.
        is_span: those of the overview's window, not of the whole.
    """

    help_title = "Statistics"
    help_text = (
        "Rates, sizes, round trips, opcodes and the commonest messages by shape: of the selected "
        "connection or of all. r counts only the span that the overview shows: zoom there first (2, then + "
        "and the arrow keys). The shape of a JSON message is its members and its type."
    )
    has_cursor = False

    def __init__(self, workspace: Workspace, *, id: str | None = None) -> None:
        super().__init__(workspace, id=id)
        self.found: Statistics | None = None
        self.error = ""
        self.is_span = False
        self._document = LinesDocument([])
        self._drawn_for: tuple[object, ...] = ()

    def idle_keys(self) -> frozenset[str]:
        """Without frames there are no numbers, of the whole or of a span."""
        # A span without any has to be left again.
        is_idle = not self._has_frames and not self.is_span
        return frozenset({"statistics.span", "statistics.copy"}) if is_idle else frozenset()

    @property
    def _has_frames(self) -> bool:
        return self.found is not None and any(side.frames for side in self.found.sides)

    def title(self) -> tuple[Line, Line]:
        """Of what, and of when."""
        selected = self.selection.connection
        left: Line = [("Statistics", "title")]
        left.append((f"  conn {selected}" if selected is not None else "  all connections", "muted"))
        # Nothing has a first and a last frame; an empty span of the overview is still one that was chosen.
        if self.found is not None and (self._has_frames or self.is_span):
            zero_ns, clock = self.selection.zero_ns, self.workspace.clock
            words = f"{clock.at(self.found.from_ns, zero_ns)} to {clock.at(self.found.to_ns, zero_ns)}"
            left.append(
                (
                    f"  {'span of the overview: ' if self.is_span else ''}{words}",
                    "key" if self.is_span else "muted",
                )
            )
        return fit(left, max(self.size.width - 4, 0)), []

    def show(self, answer: Statistics | str) -> None:
        """Draw these numbers from now on."""
        self.found = answer if isinstance(answer, Statistics) else None
        self.error = answer if isinstance(answer, str) else ""
        self._drawn_for = ()
        self.post_message(self.OtherKeys())
        self.clamp()
        self.refresh()

    def row_count(self) -> int:
        """Lines at this width."""
        width = max(self.size.width - 3, 20)
        drawn_for = (self.found, width, self.glyphs, self.is_span)
        if self.found is not None and drawn_for != self._drawn_for:
            self._drawn_for = drawn_for
            self._document = LinesDocument(
                statistics_lines(self.found, width, self.glyphs, is_span=self.is_span)
            )
        return self._document.line_count(width) if self.found is not None else 0

    def row(self, number: int, width: int) -> Line:
        return [(" ", ""), *self._document.line(number, max(self.size.width - 3, 20))]

    def empty_lines(self, width: int) -> list[Line]:
        return [[(f"  {self.error or 'counting …'}", "muted")]]


class StatisticsScreen(Page):
    """Counts when it is shown, and again while frames come.

    Args:
        window: the span of the overview.
    """

    BINDINGS: ClassVar[list[BindingType]] = bindings_of("statistics")
    page = "statistics"

    def __init__(self, workspace: Workspace, window: Callable[[], tuple[int, int]]) -> None:
        self.statistics = StatisticsPane(workspace, id="statistics")
        super().__init__(workspace, self.statistics)
        self._window = window
        self._asker = Asker(workspace)
        self._asked_at = 0.0
        self._asked_for = 0

    def on_screen_resume(self) -> None:
        """Another connection may have been selected meanwhile."""
        super().on_screen_resume()
        self.ask()

    def on_unmount(self) -> None:
        self._asker.stop()

    def ask(self) -> None:
        """Have the frames counted, by a thread."""
        model, selection = self.workspace.model, self.workspace.selection
        own: Sequence[int] = model.index.by_connection.get(selection.connection or 0, ())
        times = model.index.columns.times_ns
        if selection.connection is None:
            first, last = (times[0], times[-1]) if times else (model.zero_ns, model.zero_ns)
        else:
            first, last = (times[own[0]], times[own[-1]]) if own else (model.zero_ns, model.zero_ns)
        span = self._window() if self.statistics.is_span else (first, last)
        self._asked_at, self._asked_for = time.monotonic(), len(model.index)
        self._asker.ask(statistics_of(self.workspace, selection.connection, span), self.statistics.show)

    def tick(self) -> None:
        """Frames may have come since they were counted."""
        has_more = len(self.workspace.model.index) != self._asked_for
        if has_more and not self._asker.is_asking and time.monotonic() - self._asked_at >= AGAIN_SECONDS:
            self.ask()
        super().tick()

    def action_span(self) -> None:
        """Of the overview's window, or of the whole again."""
        self.statistics.is_span = not self.statistics.is_span
        self.ask()

    def action_copy(self) -> None:
        """The numbers as text."""
        if self.statistics.found is not None:
            self.copier.text(self.statistics.document_text() + "\n", "statistics", ".txt")
