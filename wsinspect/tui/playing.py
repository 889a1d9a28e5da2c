"""Playback on the main page: the frame table ends at the play head.

`Playback` says where the play head is; this moves the table along with it and reads the clock.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Final

from wsinspect.tui.playback import Playback
from wsinspect.tui.widgets.frames import FrameTable
from wsinspect.tui.widgets.playback import PlaybackPane
from wsinspect.tui.workspace import Workspace

_SECOND_NS: Final = 10**9


class Playing:
    """See the module docstring; `Workspace.playback` is None while nothing is played.

    Args:
        frames: the table.
        pane: the play head's track.
        is_opened: called with True after playback began, with False after it was left.
        has_moved: called after the play head moved, to draw what depends on it.
    """

    def __init__(
        self,
        workspace: Workspace,
        frames: FrameTable,
        pane: PlaybackPane,
        is_opened: Callable[[bool], None],
        has_moved: Callable[[], None],
    ) -> None:
        self._workspace, self._frames, self._pane = workspace, frames, pane
        self._is_opened, self._has_moved = is_opened, has_moved
        self._played_at = 0.0

    def toggle(self) -> None:
        """Open it at the chosen frame, or leave it."""
        if self._workspace.playback is not None:
            self.leave()
            return
        histogram = self._workspace.selection.view.histogram
        if histogram.start_ns is None:
            self._workspace.say("nothing to play: there are no frames")
            return
        play = self._workspace.playback = Playback(histogram.start_ns, histogram.end_ns)
        chosen = self._frames.selected_time_ns()
        if chosen is not None and chosen < histogram.end_ns:
            play.go(chosen)
        self._workspace.is_paused = False
        self._is_opened(True)
        self.moved()

    def leave(self) -> None:
        """Back to the whole capture, at the frame where the play head was."""
        self._workspace.playback = None
        self._frames.limit = None
        self._is_opened(False)
        self._frames.refresh()

    def moved(self) -> None:
        """The frame table ends at the play head."""
        play, frames = self._workspace.playback, self._frames
        if play is None:
            return
        frames.limit = frames.view.y_at_time(play.at_ns + 1)
        while frames.limit and not frames.view.is_frame(frames.limit - 1):
            frames.limit -= 1
        frames.is_following = False
        if frames.limit:
            frames.cursor = frames.limit - 1
            frames.top = max(frames.limit - frames.visible_rows, 0)
            frames.post_message(frames.Moved(frames))
        frames.refresh()
        self._pane.refresh()
        self._has_moved()

    def go(self, time_ns: int) -> None:
        """Put the play head there."""
        if self._workspace.playback is not None:
            self._workspace.playback.go(time_ns)
            self.moved()

    def tick(self) -> None:
        """The play head moves by the time since the last call; called twenty times a second."""
        now = time.monotonic()
        passed, self._played_at = now - self._played_at, now
        play = self._workspace.playback
        if play is not None and play.tick(int(min(passed, 1.0) * 1e9)):
            self.moved()

    def play(self) -> None:
        """Play or pause; at the end, from the start again."""
        if self._workspace.playback is not None:
            self._played_at = time.monotonic()
            self._workspace.playback.toggle()
            self.moved()

    def change_speed(self, step: int) -> None:
        """The next faster or slower speed."""
        if self._workspace.playback is not None:
            self._workspace.playback.change_speed(step)
            self._pane.refresh()

    def loop(self) -> None:
        """Repeat the selection, or all of it; or no longer."""
        if self._workspace.playback is not None:
            self._workspace.playback.is_looping = not self._workspace.playback.is_looping
            self._pane.refresh()

    def mark(self) -> None:
        """The play head is an end of the selection."""
        if self._workspace.playback is not None:
            self._workspace.playback.mark()
            self._pane.refresh()

    def next_mark(self) -> None:
        """The play head to the next mark."""
        if self._workspace.playback is not None:
            self._workspace.playback.next_mark()
            self.moved()

    def step_seconds(self, step: int) -> None:
        """The play head so many seconds forward, or back."""
        if self._workspace.playback is not None:
            self.go(self._workspace.playback.at_ns + step * _SECOND_NS)

    def step_frame(self, step: int) -> None:
        """The play head to the next frame, or the one before."""
        play, view = self._workspace.playback, self._frames.view
        if play is None:
            return
        play.is_playing = False
        shown = self._frames.row_count()
        y = view.find(shown - 1, 1, view.is_frame) if step > 0 else None
        if step < 0:
            y = view.find(self._frames.cursor, -1, view.is_frame)
        if y is not None:
            self.go(view.index.columns.times_ns[view.position(y)])
