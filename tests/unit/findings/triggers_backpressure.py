"""Sides that do not read, and clients that do not wait for the 101."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from tests.unit.findings.facts_made import HELLO, OPEN, SECOND, cut, ended, opened
from tests.unit.findings.pairs_made import behind, pair
from tests.unit.findings.triggers_open import HEALTHY
from wsinspect.findings.facts import ConnectionFacts, StallFact


def stall(
    begin: float,
    until: float,
    side: str = "client",
    *,
    drained: bool = False,
    acknowledges: bool | None = True,
    left: int = 4_000_000,
) -> StallFact:
    """A buffer that was full from `begin` to `until` seconds after the 101."""
    first, last = (OPEN + int(at * SECOND) for at in (begin, until))
    return StallFact(side, first, last, 4_000_000, left, acknowledges, drained)


def stalled(facts: ConnectionFacts, *stalls: StallFact) -> ConnectionFacts:
    return replace(facts, stalls=stalls, events=(*facts.events, ("stalled", {"event": "stalled"})))


def early(facts: ConnectionFacts, size: int = 11) -> ConnectionFacts:
    """The client had sent `size` bytes when it got the 101."""
    return replace(facts, events=(*facts.events, ("early_data", {"event": "early_data", "bytes": size})))


FULL = stall(1, 21)
DRAINED = stall(1, 20, drained=True)
GAVE_UP = cut(*HELLO, at=21)
TOO_SLOW = ended(*HELLO, at=21, by="server", code=1008, reason="client too slow")
GOODBYE = ended(*HELLO, at=21, by="server")
OF_SERVER = stall(1, 21, "server")

CASES: dict[str, tuple[list[Any], list[Any]]] = {
    "WS-DROP-015": (
        [
            stalled(GAVE_UP, FULL),
            stalled(GAVE_UP, DRAINED),
            stalled(GAVE_UP, stall(1, 21, acknowledges=False)),
            stalled(GAVE_UP, stall(1, 21, acknowledges=None)),
            stalled(TOO_SLOW, DRAINED),
            stalled(cut(*HELLO, at=21, by="client"), OF_SERVER),
        ],
        [
            GAVE_UP,
            stalled(GAVE_UP, stall(1, 2.5)),
            # Long before the end, and it read all of it.
            stalled(GAVE_UP, stall(1, 9, drained=True)),
            # Who did not read went itself, or the sender said goodbye behind its last message.
            stalled(cut(*HELLO, at=21, by="client"), FULL),
            stalled(GOODBYE, DRAINED),
            stalled(GAVE_UP, OF_SERVER),
            stalled(opened(*HELLO), FULL),
        ],
    ),
    "WS-DROP-016": (
        [
            stalled(GAVE_UP, stall(1, 9, drained=True)),
            stalled(cut(*HELLO, at=21, by="client"), FULL),
            stalled(GOODBYE, DRAINED),
            stalled(ended(*HELLO, at=30), OF_SERVER),
        ],
        [HEALTHY, stalled(GOODBYE, stall(1, 2.5, drained=True)), stalled(GAVE_UP, FULL)],
    ),
    "WS-HS-072": (
        [early(opened(*HELLO)), early(ended(*HELLO)), early(cut(at=0.4)), early(cut(*HELLO, at=9))],
        [HEALTHY, early(ended(*HELLO), 0), early(replace(ended(*HELLO), open_ns=None))],
    ),
    "WS-DROP-103": (
        [
            # The hop held it back; the client did not read; the client's hop did, and the server went on.
            pair(GAVE_UP, stalled(behind(GAVE_UP), FULL)),
            pair(stalled(GAVE_UP, FULL), stalled(behind(GAVE_UP), FULL)),
            pair(GOODBYE, stalled(behind(GOODBYE), DRAINED)),
            pair(
                stalled(cut(*HELLO, at=21, by="client"), OF_SERVER), behind(cut(*HELLO, at=21, by="client"))
            ),
        ],
        [
            pair(GAVE_UP, behind(GAVE_UP)),
            # The hop's own buffers took what the client did not.
            pair(stalled(GOODBYE, FULL), behind(GOODBYE)),
            pair(stalled(GAVE_UP, FULL), None),
        ],
    ),
}
