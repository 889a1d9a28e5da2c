"""The filter: typed, judged while it is typed, applied, cleared."""

from __future__ import annotations

from typing import Any

from wsinspect.filters import Filter, FilterError, complete, parse
from wsinspect.present.cells import Line, flow, width_of
from wsinspect.present.rows import grouped
from wsinspect.text import escape
from wsinspect.tui.scan import Found, Scan
from wsinspect.tui.shell import Shell
from wsinspect.tui.views import View
from wsinspect.tui.widgets.bar import BarHints, BarInput

_DELAY_SECONDS = 0.15
#: Between two passes over all frames that nobody asked for.
_AGAIN_SECONDS = 1.0


class Filtering(Shell):
    """Actions of the two bars."""

    typed_error: str | None = None
    _error_at = 0
    _scan: Scan | None = None
    _serial = 0
    _next_view: View | None = None
    _timer: Any = None
    #: By position: what was judged again and is still to be shown.
    _verdicts: dict[int, bool] | None = None
    _is_outdated = False
    _is_again = False
    _return_to: tuple[int, int | None] | None = None
    _again: Any = None

    # -- the bar

    @property
    def bar_input(self) -> BarInput:
        """What is typed into."""
        return self.one("#bar-input", BarInput)

    def action_filter(self) -> None:
        """Type a filter."""
        self._open_bar("filter", self.filter.source if self.filter is not None else "")

    def action_go(self) -> None:
        """Type where to go."""
        self._open_bar("go", "")

    def _open_bar(self, kind: str, value: str) -> None:
        self.bar_is_open = True
        self.lay_out()
        self.bar_input.begin(kind, value)
        self._hint()

    def close_bar(self) -> None:
        """Back to the panes."""
        self.bar_is_open = False
        self.typed_error = None
        self.lay_out()
        self.focus_now(self.pane(self.pane_number))

    def on_bar_input_left(self, _message: BarInput.Left) -> None:
        """Escape."""
        self.close_bar()

    def complete_typed(self) -> None:
        """Tab: the first candidate takes the place of what was typed of it."""
        typed = self.bar_input
        if typed.kind != "filter":
            return
        completion = complete(typed.value, typed.cursor_position)
        if completion.candidates:
            text = completion.candidates[0].text
            typed.value = typed.value[: completion.start] + text + typed.value[completion.end :]
            typed.cursor_position = completion.start + len(text)

    def on_input_changed(self, event: BarInput.Changed) -> None:
        """Judge the filter at once, apply it a moment later."""
        if self.bar_input.kind != "filter":
            self._hint()
            return
        try:
            typed = parse(event.value)
        except FilterError as error:
            self.typed_error, self._error_at = str(error), width_of([(event.value[: error.column - 1], "")])
            self._hint()
            return
        self.typed_error = None
        self._hint()
        if self._timer is not None:
            self._timer.stop()
        self._timer = self.set_timer(_DELAY_SECONDS, lambda: self.apply_filter(typed))

    def on_input_submitted(self, event: BarInput.Submitted) -> None:
        """Enter."""
        typed = self.bar_input
        if typed.kind == "go":
            wrong = self.go_to(event.value)
            if wrong is not None:
                self.one("BarHints", BarHints).show([[(f" {self.glyphs.bad} {escape(wrong)}", "error")]])
                return
        elif self.typed_error is not None:
            return
        else:
            self.apply_filter(parse(event.value))
        typed.remember(event.value)
        self.close_bar()

    def _hint(self) -> None:
        """What is wrong, or what could come next."""
        typed = self.bar_input
        hints = self.one("BarHints", BarHints)
        if typed.kind == "go":
            hints.show([[(" go to: ", "key"), ("98197 a frame, conn 2, t 14.3", "muted")]])
            return
        lines: list[Line] = []
        if self.typed_error is not None:
            words = f"{self.glyphs.bad} {escape(self.typed_error)}"
            lines += [[(f" {line}", "error")] for line in flow(words, max(self.size.width - 2, 10))]
        completion = complete(typed.value, typed.cursor_position)
        line: Line = [(" filter: ", "key")]
        for candidate in completion.candidates[:12]:
            part: Line = [(f"{escape(candidate.text)} ", ""), (f"{escape(candidate.help)}  ", "muted")]
            if width_of(line) + width_of(part) > self.size.width:
                break
            line += part
        lines.append(line)
        if self.typed_error is not None and self._error_at < self.size.width - 2:
            # Right above what is typed, which begins in the second cell.
            lines.append([(" " * (self._error_at + 1) + self.glyphs.down, "error")])
        hints.show(lines)

    # -- the filter

    def apply_filter(self, flt: Filter) -> None:
        """Show what passes; an empty filter shows all."""
        if self._timer is not None:
            self._timer.stop()
        if flt.is_empty:
            self.clear_filter()
        elif self.filter is None or str(flt) != str(self.filter):
            self.filter = flt
            self.start_scan()

    def clear_filter(self) -> None:
        """Show everything again."""
        if self.filter is None:
            return
        self.filter = None
        self.stop_scan()
        self.connections.shown = None
        self.connections.refresh_order()
        self.replace_view(self._make_view(is_filtered=False))

    def stop_scan(self) -> None:
        """No more answers are wanted."""
        if self._scan is not None:
            self._scan.stop()
            self._scan = None
        self._next_view = None

    def keep_partial_result(self) -> None:
        """Stop asking; what was found stays on the screen."""
        pending, share = self._next_view, self.scan_share
        self.stop_scan()
        if pending is not None and len(pending.rows):
            self.replace_view(pending)
        self.say(f"the scan was stopped at {share}%: the filter stays, esc again clears it")

    def start_scan(self, *, is_again: bool = False) -> None:
        """Ask about all frames; the last result stays until there is a new one.

        Args:
            is_again: nobody typed anything: the result is shown when all of it is there.
        """
        self.stop_scan()
        self._is_again = is_again
        flt = self.filter
        if flt is None:
            return
        self._serial += 1
        self._verdicts, self._is_outdated = None, False
        self._next_view = self._make_view()
        self._scan = Scan(
            self._serial,
            self.model.path,
            flt,
            self.selection.connection,
            self.model.index.last_id,
            self.frames.is_following and not is_again,
            lambda found: self.call_later_safely(self.found, found),
        )
        self._scan.start()

    def _make_view(self, *, is_filtered: bool = True) -> View:
        """Rows yet to come, of the frames that are looked at now."""
        selection = self.selection
        return View(
            self.model.index,
            selection.connection,
            selection.gap_ns,
            is_filtered=is_filtered,
            before=selection.view,
        )

    def found(self, found: Found) -> None:
        """An answer of the scan."""
        if self._scan is None or found.serial != self._serial:
            return
        if found.error is not None:
            self.say(found.error)
            return
        if found.connections is not None:
            self.connections.shown = set(found.connections)
            self.connections.refresh_order()
        if found.is_preview:
            view = self._make_view()
            view.add_matches(found.ids, 0)
            self.replace_view(view)
            return
        if found.is_outdated or found.judged_again:
            self._judged_again(found)
            return
        pending = self._next_view
        view = pending if pending is not None else self.frames.view
        view.add_matches(found.ids, found.scanned_to)
        is_screenful = len(view.rows) >= self.frames.visible_rows and not self.frames.is_following
        if pending is None or not ((is_screenful and not self._is_again) or self._is_answered(pending)):
            self.frames.grown()
        elif not (self._is_again and self.frames.limit is not None):
            self._next_view = None
            before = self.frames.selected_position()
            self.replace_view(view)
            self._return_to = None if before is None else (before, self.frames.selected_position())
        self._return(view)

    def _return(self, view: View) -> None:
        """Back to the frame that was chosen, once the pass has reached it; not if the cursor was moved."""
        if self._return_to is None or self._next_view is not None:
            return
        wanted, meanwhile = self._return_to
        if self.frames.is_following or self.frames.selected_position() != meanwhile:
            self._return_to = None
        elif view.scanned_to >= self.model.index.columns.ids[wanted]:
            self._return_to = None
            self.frames.go_to_position(wanted)

    def _is_answered(self, view: View) -> bool:
        return view.scanned_to >= self.model.index.last_id

    def _judged_again(self, found: Found) -> None:
        """Something has become known of frames that were judged before."""
        position_of = self.model.index.position_of
        verdicts = self._verdicts or {}
        for frame_id, passes in found.judged_again.items():
            position = position_of(frame_id)
            if position is not None:
                verdicts[position] = passes
        self._verdicts = verdicts
        self._is_outdated = self._is_outdated or found.is_outdated

    def settle_filter(self) -> None:
        """Show what was judged again; a view that stands still changes when it goes on."""
        if self._scan is None or self.frames.limit is not None:
            return
        pending = self._next_view
        if pending is not None and self._is_again and self._is_answered(pending):
            self._next_view = None
            self.replace_view(pending)
        verdicts, self._verdicts = self._verdicts, None
        if verdicts and self._next_view is not None:
            self._is_outdated = not self._next_view.judge_again(verdicts) or self._is_outdated
        elif verdicts:
            with self.frames.rows_kept():
                self._is_outdated = not self.frames.view.judge_again(verdicts) or self._is_outdated
        if self._is_outdated and self._next_view is None and self._again is None:
            self._again = self.set_timer(_AGAIN_SECONDS, self._ask_again)

    def _ask_again(self) -> None:
        self._again = None
        if self.is_whole and self._is_outdated and self.filter is not None and self.frames.limit is None:
            self.start_scan(is_again=True)

    @property
    def scan_share(self) -> int | None:
        """How much of the capture was asked about, in percent; None when all was."""
        if self._scan is None or (self._is_again and self._next_view is not None):
            return None
        view = self._next_view if self._next_view is not None else self.frames.view
        last = self.model.index.last_id
        return None if view.scanned_to >= last else 100 * view.scanned_to // max(last, 1)

    def frames_added(self) -> None:
        """Frames have come, or facts about them: the scan is to go on."""
        if self._scan is not None:
            self._scan.more(self.model.index.last_id)

    def filter_words(self) -> Line:
        """The filter and its result, for the title of the frames."""
        flt = self.filter
        if flt is None:
            return []
        view = self.frames.view
        line: Line = [(f"  {escape(flt.source)}", "key")]
        total = grouped(view.total)
        line.append((f"  {self.glyphs.good} {grouped(view.matched)} of {total}", "good"))
        share = self.scan_share
        if share is not None:
            line.append((f"  scanning {share}%", "warn"))
        return line
