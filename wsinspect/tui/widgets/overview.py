"""Activity over time: a bar of frames for each direction, and the marks of what matters below."""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable, Iterator
from typing import ClassVar

from textual import events
from textual.binding import Binding, BindingType
from textual.message import Message

from wsinspect.present.cells import Line, width_of
from wsinspect.present.rows import duration, seconds
from wsinspect.text import counted
from wsinspect.tui.histogram import (
    MARK_CLOSE,
    MARK_FAULT,
    MARK_FINDING,
    MARK_GAP,
    MARK_MATCH,
    MARK_PING,
    RANKED,
    Bin,
    marks_of,
    side_by_side,
)
from wsinspect.tui.moments import last_end_ns, moments, with_moments
from wsinspect.tui.style import MORE
from wsinspect.tui.widgets.base import LinePane
from wsinspect.tui.workspace import Workspace

_LABEL = 5
#: Cells of a title line that are the rule's and blanks.
_RULES = 7
#: Up to this many frames of a window are counted exactly; more come from the coarser bins.
_EXACT_FRAMES = 5_000
_LEAST_SPAN_NS = 10_000_000
#: Stretches that are counted where activity is given in words, and what their marks are called.
_WORDS_BINS = 60
_MARK_NAMES = (
    (MARK_CLOSE, "an end"),
    (MARK_FINDING, "a finding"),
    (MARK_FAULT, "a fault"),
    (MARK_PING, "a ping"),
    (MARK_GAP, "a silence"),
)
_MARKS = {
    MARK_CLOSE: ("x", "warn"),
    MARK_FINDING: ("!", "error"),
    MARK_FAULT: ("~", "warn"),
    MARK_PING: ("p", "muted"),
    MARK_GAP: (":", "gap"),
}
#: Underlined: a cell that, with those next to it, has no room for all of its marks.
_SEVERAL = "several"
#: Keys that are about the time that is drawn.
_ABOUT_TIME = frozenset(f"overview.{name}" for name in ("zoom_in", "zoom_out", "all", "right", "go"))
_LEGEND = (
    (MARK_PING, "p ping"),
    (MARK_FAULT, "~ fault"),
    (MARK_FINDING, "! finding"),
    (MARK_GAP, ": gap"),
    (MARK_CLOSE, "x close"),
)


class OverviewPane(LinePane):
    """The whole of what is selected, or a window of it.

    Attributes:
        span_ns: the window's length; None shows everything.
        from_ns: where a window begins; None keeps it at the newest end.
    """

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("left,h", "pan(-1)", "pan left", show=False, id="overview.left"),
        Binding("right,l", "pan(1)", "pan right", show=False, id="overview.right"),
        Binding("plus,equals_sign", "zoom(1)", "zoom in", show=False, id="overview.zoom_in"),
        Binding("minus", "zoom(-1)", "zoom out", show=False, id="overview.zoom_out"),
        Binding("0", "zoom(0)", "all", show=False, id="overview.all"),
        Binding("enter", "go", "go there", show=False, id="overview.go"),
    ]
    help_title = "Overview"
    help_text = (
        "Frames over time, one bar per direction. Marks: x a CLOSE frame or another end, ! a violation or "
        "finding, ~ a fault, p a ping or pong, : a silence. An underlined one stands for others too, which "
        "zooming tells apart. + and - zoom, left and right pan, 0 shows all; a click goes to that time."
    )
    has_cursor = False

    class TimeChosen(Message):
        """A time was clicked."""

        def __init__(self, time_ns: int) -> None:
            super().__init__()
            self.time_ns = time_ns

    def __init__(
        self, workspace: Workspace, selected_time_ns: Callable[[], int | None], *, id: str | None = None
    ) -> None:
        super().__init__(workspace, id=id)
        self._selected_time_ns = selected_time_ns
        self.span_ns: int | None = None
        self.from_ns: int | None = None
        self._made: list[Bin] = []
        self._made_of: tuple[object, ...] = ()
        self._last_end_ns = 0
        self._last_end_of: tuple[object, ...] = ()

    # -- the window

    def window(self) -> tuple[int, int]:
        """From when to when: an end belongs to it, however long after the last frame it came."""
        histogram = self.selection.view.histogram
        start_ns, end_ns = histogram.start_ns or 0, max(histogram.end_ns, self._end_ns()) + 1
        if self.span_ns is None or self.span_ns >= end_ns - start_ns:
            return start_ns, max(end_ns, start_ns + _LEAST_SPAN_NS)
        from_ns = end_ns - self.span_ns if self.from_ns is None else self.from_ns
        from_ns = max(min(from_ns, end_ns - self.span_ns), start_ns)
        return from_ns, from_ns + self.span_ns

    def _end_ns(self) -> int:
        """When the connection, or the last of all, ended; 0 for none. Asked for several times in a paint."""
        connection = self.selection.view.connection
        if (self.model.version, connection) != self._last_end_of:
            self._last_end_of = self.model.version, connection
            self._last_end_ns = last_end_ns(self.model, connection)
        return self._last_end_ns

    def action_zoom(self, step: int) -> None:
        """In, out, or all."""
        from_ns, to_ns = self.window()
        if step == 0:
            self.span_ns = self.from_ns = None
        else:
            span = to_ns - from_ns
            at = self._selected_ns(from_ns, to_ns)
            self.span_ns = max(span // 2, _LEAST_SPAN_NS) if step > 0 else span * 2
            self.from_ns = at - self.span_ns // 2
        self.refresh()

    def action_pan(self, step: int) -> None:
        """A quarter of the window."""
        from_ns, to_ns = self.window()
        if self.span_ns is not None:
            self.from_ns = from_ns + step * (to_ns - from_ns) // 4
            self.refresh()

    def _selected_ns(self, from_ns: int, to_ns: int) -> int:
        selected = self._selected_time_ns()
        return selected if selected is not None and from_ns <= selected <= to_ns else (from_ns + to_ns) // 2

    def action_go(self) -> None:
        """Go to the middle of the window."""
        from_ns, to_ns = self.window()
        self.post_message(self.TimeChosen((from_ns + to_ns) // 2))

    def on_click(self, event: events.Click) -> None:
        """Go to the time under the pointer."""
        event.stop()
        self.focus()
        cells = self.size.width - _LABEL - 1
        if (
            event.y > 0
            and event.x >= _LABEL
            and cells > 0
            and self.selection.view.histogram.start_ns is not None
        ):
            from_ns, to_ns = self.window()
            at = min(event.x - _LABEL, cells - 1)
            self.post_message(self.TimeChosen(from_ns + (to_ns - from_ns) * at // cells))

    # -- drawing

    def title(self) -> tuple[Line, Line]:
        """The window, and what the marks mean."""
        from_ns, to_ns = self.window()
        zero_ns = self.selection.zero_ns
        name: Line = [("2 ", "key"), ("Overview", "title")]
        if self.selection.view.histogram.start_ns is None:
            return name, []
        words = f"  {seconds(from_ns - zero_ns)} to {seconds(to_ns - zero_ns)} s"
        begin = f"  {seconds(from_ns - zero_ns)}"
        if (clock := self.workspace.clock).is_wall:
            words = f"  {clock.of_day(from_ns)} to {clock.at(to_ns, zero_ns)}"
            begin = f"  {clock.of_day(from_ns)}"
        left: Line = [*name, (words, "muted")]
        lasts = duration(to_ns - from_ns)
        short: Line = [*name, (f"{begin} +{lasts}", "muted")]
        if self.span_ns is not None:
            left.append((f"  zoom {lasts}", "key"))
        if self.glyphs.is_plain:
            return left, []
        room = self.size.width - _RULES
        legend = next(
            (
                (one, right)
                for right in self._legends()
                for one in (left, short)
                if width_of(one) + width_of(right) <= room
            ),
            (left, []),
        )
        return legend

    def _legends(self) -> Iterator[Line]:
        """What the marks mean that are drawn, in forms that take less and less room.

        The last ones leave out what matters least; a silence is what rows of the frames pane say too.
        """
        cells = side_by_side(self._cells(max(self.size.width - _LABEL - 1, 1)))
        drawn = {mark for mark, _ in cells}
        several: Line = [(_SEVERAL, f"muted{MORE}")] if any(more for _, more in cells) else []
        shown = [(mark, words) for mark, words in _LEGEND if mark in drawn]
        for blanks in (2, 1):
            yield _spaced([[(words, "muted")] for _, words in shown] + [several] * bool(several), blanks)
        for mark in reversed(RANKED):
            shown = [one for one in shown if one[0] != mark]
            yield _spaced([[(words, "muted")] for _, words in shown] + [several] * bool(several), 1)

    def row_count(self) -> int:
        """Two bars, and marks."""
        return 0 if self.selection.view.histogram.start_ns is None else min(self.visible_rows, 3)

    def idle_keys(self) -> frozenset[str]:
        """Without frames there is no time to go through."""
        return frozenset() if self.row_count() else _ABOUT_TIME

    def empty_lines(self, width: int) -> list[Line]:
        words = "The activity in each direction will be drawn here."
        selected = self.selection.selected
        if selected is not None and selected.state in ("refused", "failed"):
            words = "Nothing to draw: this attempt never opened."
        elif self.model.has_begun and not self.model.is_live:
            words = "Nothing to draw: no frame was recorded."
        return [[(f"  {words}", "muted")]]

    def row(self, number: int, width: int) -> Line:
        """A bar of one direction, or the marks; in words where nothing is drawn."""
        if self.glyphs.is_plain:
            return self._words(number)
        bins = self._bins(max(width - _LABEL - 1, 1))
        if number == 2:
            return [(" " * _LABEL, ""), *self._marks(len(bins))]
        counts = [one.s2c if number else one.c2s for one in bins]
        most = max(max(one.c2s, one.s2c) for one in bins) or 1
        name, style = ("s>c", "s2c") if number else ("c>s", "c2s")
        bars = self.glyphs.bars
        text = "".join(bars[0] if not count else bars[_level(count, most, len(bars))] for count in counts)
        return [(f" {name} ", style), (text, style)]

    def _words(self, number: int) -> Line:
        """How many frames of a direction, or how many stretches have which mark."""
        bins = self._bins(_WORDS_BINS)
        if number < 2:
            counts = [one.s2c if number else one.c2s for one in bins]
            from_ns, to_ns = self.window()
            busiest = counts.index(max(counts))
            at_ns = from_ns + (to_ns - from_ns) * busiest // len(counts)
            when = self.workspace.clock.at(at_ns, self.selection.zero_ns)
            name = "server to client" if number else "client to server"
            [whole] = self._counted(1)  # stretches of a long time share the coarser bins at their ends
            frames = whole.s2c if number else whole.c2s
            return [(f" {name}: {counted(frames, 'frame')}, most of them around {when}", "")]
        found = [(name, sum(bool(one.marks & mark) for one in bins)) for mark, name in _MARK_NAMES]
        words = ", ".join(f"{name} in {count}" for name, count in found if count)
        return [(f" of {len(bins)} stretches: {words or 'nothing to note'}", "")]

    def _cells(self, count: int) -> list[int]:
        """The marks of each cell, those of the search among them."""
        bins, search = self._bins(count), self.workspace.search
        if search is None or not search.is_on:
            return [one.marks for one in bins]
        from_ns, to_ns = self.window()
        ends = [from_ns + (to_ns - from_ns) * number // count for number in range(count + 1)]
        found = (search.is_between(first, end) for first, end in itertools.pairwise(ends))
        return [one.marks | MARK_MATCH * is_in for one, is_in in zip(bins, found, strict=True)]

    def _marks(self, count: int) -> Line:
        line: Line = []
        from_ns, to_ns = self.window()
        selected = self._selected_time_ns()
        at = -1
        if selected is not None and from_ns <= selected <= to_ns:
            at = min((selected - from_ns) * count // max(to_ns - from_ns, 1), count - 1)
        match = ("o" if self.palette.is_ascii else "●", "match")
        for number, (mark, has_more) in enumerate(side_by_side(self._cells(count))):
            sign, style = match if mark == MARK_MATCH else _MARKS.get(mark, (" ", ""))
            if number == at:
                sign, style = (sign if sign != " " else "^" if self.palette.is_ascii else "▴"), "focus"
            line.append((sign, f"{style}{MORE}" if has_more else style))
        return line

    def _bins(self, count: int) -> list[Bin]:
        """What each cell shows; made once for the three rows of a paint."""
        model, view = self.model, self.selection.view
        from_ns, to_ns = self.window()
        made_of = (model.version, view, view.activity.looked_at, len(view.rows), from_ns, to_ns, count)
        if made_of != self._made_of:
            self._made_of = made_of
            known = list(moments(model, view.connection, self.selection.gap_ns))
            self._made = with_moments(self._counted(count), known, from_ns, to_ns)
        return self._made

    def _counted(self, count: int) -> list[Bin]:
        view = self.selection.view
        from_ns, to_ns = self.window()
        if (to_ns - from_ns) // count >= view.histogram.width_ns or view.is_filtered:
            return view.histogram.bins(from_ns, to_ns, count)
        first, end = view.y_at_time(from_ns), view.y_at_time(to_ns)
        if end - first > _EXACT_FRAMES:
            return view.histogram.bins(from_ns, to_ns, count)
        return self._exact(first, end, from_ns, to_ns, count)

    def _exact(self, first: int, end: int, from_ns: int, to_ns: int, count: int) -> list[Bin]:
        view, found = self.selection.view, [[0, 0, 0] for _ in range(count)]
        columns = view.index.columns
        for y in range(first, min(end, len(view.rows))):
            if view.asked_at(y) is not None:
                continue
            position = view.position(y)
            at = min((columns.times_ns[position] - from_ns) * count // (to_ns - from_ns), count - 1)
            if view.is_gap(y):
                found[max(at, 0)][2] |= MARK_GAP
                continue
            one = found[max(at, 0)]
            one[columns.flags[position] & 1] += 1
            one[2] |= marks_of(columns.bits[position], columns.flags[position])
        return [Bin(*one) for one in found]


def _spaced(parts: list[Line], blanks: int) -> Line:
    """The parts in one line, so many blanks apart."""
    line: Line = []
    for part in parts:
        line += [*([(" " * blanks, "")] if line else []), *part]
    return line


def _level(count: int, most: int, levels: int) -> int:
    """The height of a bar: the square root, so that few frames next to many are still seen."""
    return max(1, round(math.sqrt(count / most) * (levels - 1)))
