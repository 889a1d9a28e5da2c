"""Moving about: panes, connections, frames, times, marks."""

from __future__ import annotations

from textual.widgets import ContentSwitcher

from wsinspect.present.rows import seconds
from wsinspect.tui.shell import MAIN, PANES, Shell


class Moves(Shell):
    """Actions that change what is chosen."""

    # -- panes and pages

    def action_focus_pane(self, number: int) -> None:
        """Focus a pane of the main page."""
        self.go_to_page(MAIN)
        self.pane_number = number
        self.lay_out()
        self.focus_now(self.pane(number))

    def action_next_pane(self, step: int) -> None:
        """The pane beside; on another page, back to the main one; in the bar, completion."""
        if self.bar_is_open:
            self.complete_typed()
        elif self.page == MAIN:
            self.action_focus_pane((self.pane_number - 1 + step) % len(PANES) + 1)
        else:
            self.action_focus_pane(self.pane_number)

    def action_maximise(self) -> None:
        """Only this pane, or all of them again."""
        self.is_maximised = not self.is_maximised
        self.lay_out()

    def action_resize(self, step: int) -> None:
        """A larger or smaller inspector."""
        self.inspector_extra += 2 * step
        self.lay_out()

    def action_page(self, name: str) -> None:
        """A page in place of the panes, or back from it."""
        if self.page == name:
            self.action_focus_pane(self.pane_number)
            return
        if name == "handshake":
            self.handshake.show(self.connection_in_view())
        elif name == "timeline":
            self.timeline.reload()
        self.go_to_page(name)
        self.focus_now(self.one(f"#{name}", type(self.pane(1)).__mro__[1]))

    def go_to_page(self, name: str) -> None:
        """Show a page."""
        switcher = self.one("#pages", ContentSwitcher)
        if switcher.current != name:
            switcher.current = name
            self.refresh_lines()

    def connection_in_view(self) -> int | None:
        """The selected connection, else that of the chosen frame."""
        chosen = self.connections.connection_at(self.connections.cursor)
        if chosen is not None:
            return chosen
        position = self.frames.selected_position()
        return None if position is None else self.model.index.columns.connections[position]

    # -- connections

    def action_all_connections(self) -> None:
        """Frames of all connections."""
        self.connections.choose(None)

    def show_connection(self, connection: int) -> None:
        """Its frames."""
        self.action_focus_pane(3)
        self.connections.choose(connection)

    # -- frames

    def action_follow(self) -> None:
        """Keep the newest frame on the screen."""
        self.is_frozen = False
        self.frames.limit = None
        self.frames.follow(True)
        self.refresh_lines()

    def action_freeze(self) -> None:
        """The frame table stands still; everything else goes on."""
        self.is_frozen = not self.is_frozen
        self.frames.limit = self.frames.row_count() if self.is_frozen else None
        self.frames.grown()
        self.refresh_lines()

    def go_to_frame(self, frame_id: int) -> None:
        """Choose a frame, in whatever connection it is."""
        position = self.model.index.position_of(frame_id)
        if position is None:
            self.say(f"there is no frame {frame_id}; the newest is {self.model.index.last_id}")
            return
        connection = self.model.index.columns.connections[position]
        if self.selection.connection not in (None, connection):
            self.connections.choose(connection)
            self.select_now(connection)
        if self.frames.limit is not None and self.frames.view.y_of(position) >= self.frames.limit:
            self.say(f"frame {frame_id} is beyond the end of this view: space or esc shows the rest")
            return
        self.go_to_page(MAIN)
        self.frames.go_to_position(position)
        chosen = self.frames.selected_position()
        if chosen != position:
            self.say(f"frame {frame_id} does not pass the filter; this is the one after it")

    def go_to_time(self, time_ns: int) -> None:
        """Choose the first frame at or after a time."""
        view = self.frames.view
        y = min(view.y_at_time(time_ns), self.frames.row_count() - 1)
        if y >= 0:
            self.frames.go_to_position(view.position(y))

    def action_mate(self) -> None:
        """The frame that belongs to the chosen one."""
        position = self.frames.selected_position()
        if position is None:
            return
        record = self.selection.record(self.model.index.columns.ids[position])
        mate = self.selection.mate_of(record, position) if record is not None else None
        if mate is None:
            self.say("this frame has no mate: pings and pongs, fragments and CLOSE frames have")
        else:
            self.go_to_frame(mate)

    def action_next_finding(self, step: int) -> None:
        """The next row with a violation, a fault or a finding."""
        view, index = self.frames.view, self.model.index
        flagged = index.columns.flags

        def is_wanted(y: int) -> bool:
            position = view.position(y)
            return not view.is_gap(y) and (flagged[position] > 1 or index.is_marked(position))

        self._jump(step, is_wanted, "no finding or violation")

    def action_next_gap(self, step: int) -> None:
        """The frame after the next silence."""
        view = self.frames.view
        self._jump(step, lambda y: y > 0 and not view.is_gap(y) and view.is_gap(y - 1), "no gap")

    def _jump(self, step: int, is_wanted, nothing: str) -> None:  # type: ignore[no-untyped-def]
        found = self.frames.view.find(self.frames.cursor, step, is_wanted)
        if found is None or found >= self.frames.row_count():
            self.say(f"{nothing} {'after' if step > 0 else 'before'} this frame")
        else:
            self.frames.go_to_position(self.frames.view.position(found))

    def action_go_to_finding(self) -> None:
        """The frame or connection that the chosen finding names."""
        finding = self.findings.chosen()
        if finding is None:
            return
        if finding.frame_id is not None:
            self.action_focus_pane(3)
            self.go_to_frame(finding.frame_id)
        elif finding.connection_id is not None:
            self.show_connection(finding.connection_id)

    # -- marks

    def action_mark(self) -> None:
        """Remember the chosen frame; while playing, an end of the selection."""
        if self.playback is not None:
            self.playback.mark()
            self.scrubber.refresh()
            return
        position = self.frames.selected_position()
        if position is None:
            return
        number = self.model.index.columns.ids[position]
        if number in self.marks:
            self.marks.remove(number)
            self.say(f"frame {number} is not marked any more")
        else:
            self.marks = sorted([*self.marks, number])
            self.say(f"frame {number} is marked; ' goes to marks")

    def action_next_mark(self) -> None:
        """The next mark, around at the end."""
        if self.playback is not None:
            self.playback.next_mark()
            self.play_moved()
            return
        if not self.marks:
            self.say("no marks yet: m marks a frame")
            return
        position = self.frames.selected_position()
        here = 0 if position is None else self.model.index.columns.ids[position]
        later = [number for number in self.marks if number > here]
        self.go_to_frame(later[0] if later else self.marks[0])

    # -- the go bar

    def go_to(self, text: str) -> str | None:
        """`98197`, `conn 2`, `t 14.3`.

        Returns:
            What is wrong with it; None when it went there.
        """
        words = text.split()
        try:
            if len(words) == 1:
                self.go_to_frame(int(words[0].removeprefix("#")))
            elif len(words) == 2 and words[0] == "conn" and int(words[1]) in self.model.connections:
                self.show_connection(int(words[1]))
            elif len(words) == 2 and words[0] == "conn":
                return f"there is no connection {int(words[1])}"
            elif len(words) == 2 and words[0] == "t":
                time_ns = self.selection.zero_ns + int(float(words[1].removesuffix("s")) * 1e9)
                self.go_to_time(time_ns)
                self.say(f"the first frame at or after {seconds(time_ns - self.selection.zero_ns)} s")
            else:
                return "a frame number, conn NUMBER, or t SECONDS"
        except (ValueError, OverflowError):
            return "a frame number, conn NUMBER, or t SECONDS"
        return None
