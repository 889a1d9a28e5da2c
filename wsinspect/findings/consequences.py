"""An end that another finding explains: who got a frame that may not be ends the connection, and no limit
did."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from wsinspect.findings.facts import S2C, SECOND_NS, ConnectionFacts
from wsinspect.findings.model import Finding

#: What is wrong with what one side sent.
_OF_FRAMES: Final = ("FR", "MS")
#: Who ends a connection for a broken frame does that when it reads the frame.
_SOON_NS: Final = 2 * SECOND_NS


def without_ends(findings: Sequence[Finding], facts: ConnectionFacts) -> list[Finding]:
    """The findings without those of the family DROP where the side that got a broken frame ended it then."""
    if not any(_explains_end(one, facts) for one in findings):
        return list(findings)
    return [one for one in findings if one.id.split("-")[1] != "DROP"]


def _explains_end(finding: Finding, facts: ConnectionFacts) -> bool:
    if finding.severity != "error" or finding.id.split("-")[1] not in _OF_FRAMES:
        return False
    frames = (*(one for one, _ in facts.violations), *facts.last_frames)
    frame = next((one for one in frames if one.id == finding.frame), None)
    if frame is None or facts.end_ns is None:
        return False
    receiver = "client" if frame.direction == S2C else "server"
    return facts.ended_by == receiver and 0 <= facts.end_ns - frame.time_ns <= _SOON_NS
