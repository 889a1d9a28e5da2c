"""Playing a capture: where the play head is, how fast it goes, and which part is repeated.

Contract: no clock is read here; `tick` is given how much time has passed.
"""

from __future__ import annotations

from typing import Final

SPEEDS: Final = (0.1, 0.2, 0.5, 1.0, 2.0, 5.0, 10.0, 20.0, 50.0, 100.0)


class Playback:
    """A play head between two times.

    Attributes:
        start_ns, end_ns: what can be played.
        at_ns: the play head.
        is_playing: whether `tick` moves it.
        is_looping: whether it returns to the first mark at the second one (or to the start at the end).
        marks: at most two times, in order: the selection.
    """

    def __init__(self, start_ns: int, end_ns: int) -> None:
        self.start_ns, self.end_ns = start_ns, max(end_ns, start_ns)
        self.at_ns = start_ns
        self.is_playing = False
        self.is_looping = False
        self.marks: list[int] = []
        self._speed = SPEEDS.index(1.0)

    @property
    def speed(self) -> float:
        """How many times as fast as it was."""
        return SPEEDS[self._speed]

    def change_speed(self, step: int) -> None:
        """The next faster or slower speed."""
        self._speed = max(0, min(self._speed + step, len(SPEEDS) - 1))

    @property
    def selection(self) -> tuple[int, int]:
        """What is looped: between the marks, or everything."""
        if len(self.marks) == 2:
            return self.marks[0], self.marks[1]
        return self.start_ns, self.end_ns

    def mark(self) -> None:
        """Mark the play head's time; a third mark begins a new selection."""
        if len(self.marks) == 2:
            self.marks.clear()
        self.marks.append(self.at_ns)
        self.marks.sort()

    def next_mark(self) -> None:
        """Go to the next mark, around at the end."""
        if self.marks:
            later = [time_ns for time_ns in self.marks if time_ns > self.at_ns]
            self.go(later[0] if later else self.marks[0])

    def toggle(self) -> None:
        """Play or pause; at the end play from the start."""
        self.is_playing = not self.is_playing
        if self.is_playing and self.at_ns >= self.end_ns:
            self.at_ns = self.selection[0] if self.is_looping else self.start_ns

    def go(self, time_ns: int) -> None:
        """Put the play head somewhere."""
        self.at_ns = max(self.start_ns, min(time_ns, self.end_ns))

    def tick(self, passed_ns: int) -> bool:
        """So much time has passed: True when the play head has moved."""
        if not self.is_playing:
            return False
        self.at_ns += int(passed_ns * self.speed)
        first, last = self.selection
        if self.is_looping and self.at_ns >= last:
            span = max(last - first, 1)
            self.at_ns = first + (self.at_ns - last) % span
        elif self.at_ns >= self.end_ns:
            self.at_ns, self.is_playing = self.end_ns, False
        return True
