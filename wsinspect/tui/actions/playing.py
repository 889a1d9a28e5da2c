"""Playing a capture: the scrubber's actions."""

from __future__ import annotations

import time

from wsinspect.tui.playback import Playback
from wsinspect.tui.shell import Shell

_SECOND_NS = 10**9


class Playing(Shell):
    """Actions of the scrubber."""

    _played_at = 0.0

    def action_scrubber(self) -> None:
        """Open it at the chosen frame, or leave it."""
        if self.playback is not None:
            self.leave_playback()
            return
        histogram = self.selection.view.histogram
        if histogram.start_ns is None:
            self.say("nothing to play: there are no frames")
            return
        self.playback = Playback(histogram.start_ns, histogram.end_ns)
        chosen = self.selected_time_ns()
        if chosen is not None and chosen < histogram.end_ns:
            self.playback.go(chosen)
        self.scrubber.playback = self.playback
        self.is_frozen = False
        self.lay_out()
        self.focus_now(self.scrubber)
        self.play_moved()

    def leave_playback(self) -> None:
        """Back to the whole capture, at the frame where the play head was."""
        self.playback = self.scrubber.playback = None
        self.frames.limit = None
        self.lay_out()
        self.focus_now(self.pane(self.pane_number))
        self.frames.refresh()
        self.refresh_lines()

    def play_moved(self) -> None:
        """The frame table ends at the play head."""
        play = self.playback
        if play is None:
            return
        frames = self.frames
        frames.limit = frames.view.y_at_time(play.at_ns + 1)
        while frames.limit and frames.view.is_gap(frames.limit - 1):
            frames.limit -= 1
        frames.is_following = False
        if frames.limit:
            frames.cursor = frames.limit - 1
            frames.top = max(frames.limit - frames.visible_rows, 0)
            frames.post_message(frames.Moved(frames))
        frames.refresh()
        self.scrubber.refresh()
        self.overview.refresh()
        self.refresh_lines()

    def play_from(self, time_ns: int) -> None:
        """Put the play head somewhere."""
        if self.playback is not None:
            self.playback.go(time_ns)
            self.play_moved()

    def play_tick(self) -> None:
        """Called twenty times a second."""
        now = time.monotonic()
        passed, self._played_at = now - self._played_at, now
        if self.playback is not None and self.playback.tick(int(min(passed, 1.0) * 1e9)):
            self.play_moved()

    def action_play(self) -> None:
        """Play or pause."""
        if self.playback is not None:
            self._played_at = time.monotonic()
            self.playback.toggle()
            self.play_moved()

    def action_play_speed(self, step: int) -> None:
        """Faster or slower."""
        if self.playback is not None:
            self.playback.change_speed(step)
            self.scrubber.refresh()

    def action_play_loop(self) -> None:
        """Repeat the selection, or all of it."""
        if self.playback is not None:
            self.playback.is_looping = not self.playback.is_looping
            self.scrubber.refresh()

    def action_step_seconds(self, step: int) -> None:
        """The play head a second on or back."""
        if self.playback is not None:
            self.play_from(self.playback.at_ns + step * _SECOND_NS)

    def action_step_frame(self, step: int) -> None:
        """The play head to the next frame, or the one before."""
        play, view = self.playback, self.frames.view
        if play is None:
            return
        play.is_playing = False
        shown = self.frames.row_count()
        y = view.find(shown - 1, 1, lambda at: not view.is_gap(at)) if step > 0 else None
        if step < 0:
            y = view.find(self.frames.cursor, -1, lambda at: not view.is_gap(at))
        if y is not None:
            self.play_from(view.index.columns.times_ns[view.position(y)])
