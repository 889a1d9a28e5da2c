"""A side that did not take what it was sent: from the events of the proxy to facts, and how to say them."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import Any, Final

from wsinspect.findings.evidence import seconds
from wsinspect.findings.facts import ConnectionFacts, StallFact
from wsinspect.units import format_size
from wsinspect.vocabulary import EventKind
from wsinspect.vocabulary.events import Drained, Stalled

_SIDES: Final = ("client", "server")


def stalls_in(events: Iterable[tuple[str, Mapping[str, Any], int]]) -> tuple[StallFact, ...]:
    """The stalls among a connection's events (kind, detail, time), in order of their beginning."""
    over: list[StallFact] = []
    current: dict[str, StallFact] = {}
    for kind, detail, time_ns in events:
        if kind == EventKind.STALLED:
            event = Stalled.read(detail)
            if event.side not in _SIDES or event.for_ns is None or event.for_ns < 0:
                continue
            known = current.get(event.side)
            size = max(0, event.bytes or 0)
            acknowledges = None if event.acked_ns is None else event.acked_ns < event.for_ns
            if known is None:
                known = StallFact(
                    event.side, time_ns - event.for_ns, time_ns, size, size, acknowledges, has_drained=False
                )
            current[event.side] = known._replace(
                until_ns=time_ns, left=size, acknowledges=acknowledges, still_ns=event.still_ns
            )
        elif kind == EventKind.DRAINED:
            end = Drained.read(detail)
            if end.side is not None and end.side in current:
                known = current.pop(end.side)
                over.append(known._replace(until_ns=time_ns, has_drained=True, still_ns=end.still_ns))
    return tuple(sorted((*over, *current.values()), key=lambda one: one.from_ns))


def stall_words(stall: StallFact) -> str:
    """For how long a side took nothing, and how much waited."""
    until = "then it drained" if stall.has_drained else "until the end"
    taken = f", and some was taken at least every {seconds(stall.still_ns or 0)}" if stall.is_steady else ""
    return f"full for {seconds(stall.lasted_ns)}, {until}; {format_size(stall.size)} waited for it{taken}"


def stall_title(stall: StallFact, who: str) -> str:
    """What this party did."""
    if stall.is_steady:
        return f"The {who} read more slowly than was sent for {seconds(stall.lasted_ns)}"
    return f"The {who} did not read for {seconds(stall.lasted_ns)}"


def stall_lines(facts: ConnectionFacts) -> Iterator[tuple[str, str]]:
    """Side and words of the longest stall of each side, with how many there were."""
    for side in _SIDES:
        mine = [one for one in facts.stalls if one.side == side]
        if mine:
            longest = max(mine, key=lambda one: one.lasted_ns)
            more = f" (the longest of {len(mine)} times)" if len(mine) > 1 else ""
            yield side, stall_words(longest) + more


def acknowledged_line(stall: StallFact) -> str:
    """What the peer's TCP says of its machine; "" where that is not known."""
    if stall.acknowledges is None:
        return ""
    if not stall.acknowledges:
        return f"the {stall.side}'s TCP acknowledged nothing in that time"
    took = "" if stall.left != stall.size or stall.has_drained else ", and took nothing"
    return f"the {stall.side}'s TCP acknowledged in that time{took}: its machine was there"
