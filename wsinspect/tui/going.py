"""Where the cursor is sent on the main page: to a frame, a time, or what is typed into the bar's `go`."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

from wsinspect.present.clock import LOCAL, RELATIVE_CLOCK, UTC, Clock, parse_time_of_day
from wsinspect.present.rows import seconds
from wsinspect.tui.reading import Reading
from wsinspect.tui.widgets.frames import FrameTable
from wsinspect.tui.workspace import Workspace
from wsinspect.units import QuantityError, parse_duration

_WORDS: Final = "a frame number, conn NUMBER, or t TIME"


class Going:
    """See the module docstring.

    Args:
        frames: the table.
        reading: what waits until the capture is read.
        select: shows the frames of a connection, at once.
        show_connection: selects a connection and focuses the table.
    """

    def __init__(
        self,
        workspace: Workspace,
        frames: FrameTable,
        reading: Reading,
        select: Callable[[int], None],
        show_connection: Callable[[int], None],
    ) -> None:
        self._workspace, self._model, self._selection = workspace, workspace.model, workspace.selection
        self._frames, self._reading = frames, reading
        self._select, self._show_connection = select, show_connection

    def to_frame(self, frame_id: int) -> None:
        """Choose a frame, in whatever connection it is."""
        position = self._model.index.position_of(frame_id)
        if position is None and not self._reading.is_done:
            self._reading.then(lambda: self.to_frame(frame_id))
            return
        if position is None:
            self._workspace.say(f"there is no frame {frame_id}; the newest is {self._model.index.last_id}")
            return
        connection = self._model.index.columns.connections[position]
        if self._selection.connection not in (None, connection):
            self._select(connection)
        if self._frames.limit is not None and self._frames.view.y_of(position) >= self._frames.limit:
            self._workspace.say(f"frame {frame_id} is newer than this view: space or esc shows it")
            return
        self._frames.go_to_position(position)
        if self._frames.selected_position() != position:
            self._workspace.say(f"frame {frame_id} does not match the filter; this is the next one that does")

    def to_time(self, time_ns: int) -> None:
        """Choose the first frame at or after a time."""
        view = self._frames.view
        y = min(view.y_at_time(time_ns), self._frames.row_count() - 1)
        if y >= 0:
            self._frames.go_to_position(view.position(y))

    def to(self, text: str) -> str | None:
        """`98197`, `conn 2`, `t 14.3`, `t 2 min`, `t 14:03:22` or `14:03:22`, `t +12.5s`.

        Returns:
            What is wrong with it; None when it went there.

        Raises:
            QuantityError: the time behind `t` is neither a duration nor a time of day.
        """
        words = text.split()
        if len(words) == 1 and ":" in words[0] and words[0][0].isdigit():
            text, words = f"t {text.strip()}", ["t", *words]  # nothing else has colons: 14:03:22
        self._workspace.unsay()  # what was said about another place
        if len(words) > 1 and words[0] == "t":
            moment = text[text.index("t") + 1 :]
            found = self._moment(moment)
            # `+5 s` is from the frame that is chosen now; the day of a time of day is known when all is read.
            is_from_here = moment.lstrip()[:1] in ("+", "-")
            self._reading.then(lambda: self._to_moment(*(found if is_from_here else self._moment(moment))))
            return None
        try:
            if len(words) == 1:
                self.to_frame(int(words[0].removeprefix("#")))
            elif len(words) == 2 and words[0] == "conn" and not self._reading.is_done:
                self._to_connection_read(int(words[1]))
            elif len(words) == 2 and words[0] == "conn" and int(words[1]) in self._model.connections:
                self._show_connection(int(words[1]))
            elif len(words) == 2 and words[0] == "conn":
                return f"there is no connection {int(words[1])}"
            else:
                return _WORDS
        except ValueError:
            return _WORDS
        return None

    def _to_connection_read(self, number: int) -> None:
        """Select a connection once all are read."""

        def select() -> None:
            if number in self._model.connections:
                self._show_connection(number)
            else:
                self._workspace.say(f"there is no connection {number}")

        self._reading.then(select)

    def _to_moment(self, time_ns: int, words: str) -> None:
        """Go there, and say where that is: a time outside of what is listed is not "at or after" anything."""
        view, count = self._frames.view, self._frames.row_count()
        self.to_time(time_ns)
        times = self._model.index.columns.times_ns
        if count == 0 or not times:
            self._workspace.say(f"no frame to go to at {words}")
            return
        newest = len(times) - 1  # a request's row is of the frame after it, which may be yet to come
        first_ns, last_ns = (times[min(view.position(y), newest)] for y in (0, count - 1))
        if time_ns > last_ns:
            said = f"nothing at or after {words}: the last frame came at {self._at(last_ns, words)}"
        elif time_ns < first_ns:
            said = f"nothing before {self._at(first_ns, words)}: {words} is before the first frame"
        else:
            said = f"the first frame at or after {words}"
        self._workspace.say(said)

    def _at(self, time_ns: int, asked: str) -> str:
        """A moment as the one that was asked for is written, so that they compare: a time of day, or not."""
        clock = self._workspace.clock
        if ":" in asked and not clock.is_wall:
            clock = Clock(LOCAL)
        elif ":" not in asked and clock.is_wall:
            clock = RELATIVE_CLOCK
        return clock.at(time_ns, self._selection.zero_ns)

    def _moment(self, text: str) -> tuple[int, str]:
        """A time of day, since the start, or from the chosen frame on (`+12.5s`, `-2 s`); and in words.

        Raises:
            QuantityError: it is none of these.
        """
        model, zero_ns = self._model, self._selection.zero_ns
        clock = self._workspace.clock
        wall_ns = parse_time_of_day(text, zero_ns, model.end_ns, is_utc=clock.kind == UTC)
        if wall_ns is not None:
            return wall_ns, text.strip()
        bare = text.lstrip()
        if ":" in bare:
            raise QuantityError(bare, 0, "a time of day from 00:00 to 23:59:59")
        here = self._frames.selected_time_ns() if bare[:1] in ("+", "-") else None
        if here is None:
            passed = parse_duration(text)
        else:
            passed = here - zero_ns + parse_duration(bare[1:]) * (1 if bare[0] == "+" else -1)
        return zero_ns + passed, f"{seconds(passed)} s"
