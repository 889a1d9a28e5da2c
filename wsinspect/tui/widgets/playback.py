"""Playing a capture: a track with the play head, speed, and the selection that is looped."""

from __future__ import annotations

from typing import ClassVar

from textual import events
from textual.binding import Binding, BindingType
from textual.message import Message

from wsinspect.present.cells import Line
from wsinspect.tui.playback import Playback
from wsinspect.tui.widgets.base import LinePane

_LABEL = 5


class PlaybackPane(LinePane):
    """A strip of three lines above the keys."""

    DEFAULT_CSS = "PlaybackPane { height: 3; }"
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("space", "screen.play", "play, pause", show=False, id="playback.play"),
        Binding("comma", "screen.step_frame(-1)", "frame back", show=False, id="playback.frame_back"),
        Binding("full_stop", "screen.step_frame(1)", "frame forward", show=False, id="playback.frame_on"),
        Binding(
            "less_than_sign,left",
            "screen.step_seconds(-1)",
            "1 s back",
            show=False,
            id="playback.second_back",
        ),
        Binding(
            "greater_than_sign,right", "screen.step_seconds(1)", "1 s on", show=False, id="playback.second_on"
        ),
        Binding("plus,equals_sign,up", "screen.play_speed(1)", "faster", show=False, id="playback.faster"),
        Binding("minus,down", "screen.play_speed(-1)", "slower", show=False, id="playback.slower"),
        Binding("l", "screen.play_loop", "loop", show=False, id="playback.loop"),
    ]
    help_title = "Playback"
    help_text = (
        "Plays the capture at 0.1 to 100 times its speed; the frame table ends at the current time. space "
        "plays and pauses, comma and full stop step frame by frame, < and > one second, { and } go to gaps, "
        "+ and - change the speed. m marks an end of a selection, ' goes to marks, l loops the selection. s "
        "or esc leaves."
    )
    has_cursor = False

    class HeadMoved(Message):
        """A click put the play head somewhere."""

        def __init__(self, time_ns: int) -> None:
            super().__init__()
            self.time_ns = time_ns

    @property
    def playback(self) -> Playback | None:
        """What is played; None when playback is off."""
        return self.workspace.playback

    def title(self) -> tuple[Line, Line]:
        play = self.playback
        if play is None:
            return [], []
        sign = self.glyphs.play if play.is_playing else self.glyphs.pause
        place = f"{clock(play.at_ns - play.start_ns)} / {clock(play.end_ns - play.start_ns)}"
        left: Line = [("Playback", "title"), (f"  {sign} {play.speed:g}x", "key"), (f"  {place}", "")]
        if len(play.marks) == 2:
            first, last = ((time_ns - play.start_ns) / 1e9 for time_ns in play.marks)
            left.append((f"  [{first:.1f} to {last:.1f} s]", "warn"))
        if play.is_looping:
            left.append(("  loop", "warn"))
        return left, [
            ("< > 1 s  m marks both ends of a loop  l loop", "muted")
        ] if self.size.width >= 110 else []

    def row_count(self) -> int:
        """The track, and the marks below it."""
        return 2 if self.playback is not None else 0

    def row(self, number: int, width: int) -> Line:
        """The track or the marks."""
        play, cells = self.playback, max(width - _LABEL - 1, 1)
        if play is None:
            return []
        at = self._cell(play.at_ns, cells)
        if number == 0:
            done = self.glyphs.heavy * at
            return [
                (" " * _LABEL, ""),
                (done, "key"),
                ("#" if self.palette.is_ascii else "●", "focus"),
                (self.glyphs.rule * (cells - at - 1), "rule"),
            ]
        signs = [" "] * cells
        for name, time_ns in zip("ab", play.marks, strict=False):
            signs[self._cell(time_ns, cells)] = name
        return [(" " * _LABEL, ""), ("".join(signs), "warn")]

    def _cell(self, time_ns: int, cells: int) -> int:
        play = self.playback
        if play is None or play.end_ns <= play.start_ns:
            return 0
        return min((time_ns - play.start_ns) * (cells - 1) // (play.end_ns - play.start_ns), cells - 1)

    def on_click(self, event: events.Click) -> None:
        """Put the play head under the pointer."""
        event.stop()
        self.focus()
        play, cells = self.playback, self.size.width - _LABEL - 1
        if play is not None and event.y > 0 and cells > 1:
            at = max(min(event.x - _LABEL, cells - 1), 0)
            time_ns = play.start_ns + (play.end_ns - play.start_ns) * at // (cells - 1)
            self.post_message(self.HeadMoved(time_ns))


def clock(interval_ns: int) -> str:
    """A time in minutes and seconds, as `03:20.0`."""
    seconds = interval_ns / 1e9
    return f"{int(seconds) // 60:02}:{seconds % 60:04.1f}"
