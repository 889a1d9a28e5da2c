"""What both sides of `wsinspect replay` say on stderr."""

from __future__ import annotations

from typing import TYPE_CHECKING

from wsinspect.cli.output import note, say
from wsinspect.cli.progress import clear_bar
from wsinspect.replay.common.report import describe
from wsinspect.replay.common.script import cut_frames
from wsinspect.text import escape

if TYPE_CHECKING:
    from collections.abc import Sequence

    from wsinspect.capture.reader import Capture
    from wsinspect.capture.records import Connection
    from wsinspect.replay.common.matching import Divergence
    from wsinspect.replay.common.report import ConnectionReport
    from wsinspect.wire.opcodes import Direction

_WHY = "(--snaplen, --max-capture-size)"


def say_divergence(report: ConnectionReport, what: Divergence | str) -> None:
    """A divergence, as soon as it is known."""
    clear_bar()
    for line in describe(report, what):
        note(escape(line))


def say_cuts(capture: Capture, chosen: Sequence[Connection], ours: Direction) -> None:
    """A recording that holds only the beginnings of payloads says so before it is played."""
    cuts = [cut_frames(capture, one.id, ours) for one in chosen]
    if mine := sum(cut.ours for cut in cuts):
        say(f"{mine} frames to send were cut in the recording {_WHY}: only the recorded part is sent")
    if theirs := sum(cut.theirs for cut in cuts):
        say(f"{theirs} frames to expect were cut in the recording {_WHY}: only the recorded part is compared")
    if gone := sum(one.evicted_frames for one in chosen):
        say(f"the first {gone} frames were deleted (--max-capture-size): the replay starts in the middle")
