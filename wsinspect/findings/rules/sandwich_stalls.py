"""Who did not read: two taps tell a hop that holds back from a receiver that does not read."""

from __future__ import annotations

from collections.abc import Iterator

from wsinspect.findings.evidence import end_line, js_sees, seconds
from wsinspect.findings.facts import ConnectionFacts, StallFact
from wsinspect.findings.model import Cause, Found
from wsinspect.findings.registry import Rules
from wsinspect.findings.rules.around import hop_of, software_of
from wsinspect.findings.rules.stalls import ENDS, blamed, ended_in, longest, rivals
from wsinspect.findings.sandwich import PairFacts
from wsinspect.findings.stalls import acknowledged_line, stall_title, stall_words

rules = Rules()

_ALONE = ("WS-DROP-015", "WS-DROP-016")


@rules(
    "WS-DROP-103",
    "warning",
    "hop",
    "The hop did not take what it was sent",
    meaning="Bytes waited in front of the hop for seconds. Where they waited behind it, too, the receiver did"
    " not read, and the hop only passed that on; where they did not, the hop itself held them back: a rate"
    " limit, or a worker that is busy or stuck.",
    js="onmessage is called late; after a limit of the sender close with its code, or 1006.",
    topic="backpressure",
    rows="F14",
    scope="pair",
)
def not_taken(pair: PairFacts) -> Iterator[Found]:
    if pair.origin is None:
        return
    ways = (("client", pair.origin, pair.edge), ("server", pair.edge, pair.origin))
    for side, sent, arrives in ways:
        before = ended_in(sent, side) or longest(sent, side)
        if before is None:
            continue
        yield _found(pair, side, before, sent, _meanwhile(pair, side, before, arrives))
        return


def _meanwhile(
    pair: PairFacts, side: str, before: StallFact, arrives: ConnectionFacts
) -> tuple[StallFact, ...]:
    """The receiver's own stalls while the hop took nothing, the longest first."""
    shift = pair.clocks.difference_ns if side == "client" else -pair.clocks.difference_ns
    slack = pair.clocks.error_ns
    mine = [
        one
        for one in arrives.stalls
        if one.side == side
        and one.from_ns + shift <= before.until_ns + slack
        and one.until_ns + shift >= before.from_ns - slack
    ]
    return tuple(sorted(mine, key=lambda one: -one.lasted_ns))


def _found(
    pair: PairFacts, side: str, before: StallFact, sent: ConnectionFacts, mine: tuple[StallFact, ...]
) -> Found:
    # A receiver that stood still for a part of it explains no more than that part.
    is_receivers = 2 * sum(one.lasted_ns for one in mine) >= before.lasted_ns
    own = mine[0] if mine else None
    other = "server" if side == "client" else "client"
    has_ended = ended_in(sent, side) is not None
    both = [pair.edge.id, *([pair.origin.id] if pair.origin else [])]
    ending = f", and the {other} ended the connection" if has_ended else ""
    lines = (
        f"in front of the hop its buffer was {stall_words(before)}",
        f"behind it the {side}'s was {stall_words(own)}"
        if own is not None
        else f"behind it nothing waited for the {side} in that time",
        acknowledged_line(own or before),
        end_line(sent) if sent.is_over else "",
        js_sees(pair.edge) if pair.edge.is_over else "",
    )
    covers = tuple((number, rule) for number in both for rule in _ALONE)
    ends = tuple((number, rule) for number in both for rule in ENDS) if has_ended else ()
    if own is None or not is_receivers:
        # Pauses of less than a second are no stall: a slow receiver may have them, and no other.
        is_certain = own is None and not before.is_steady
        took = "took more slowly what" if before.is_steady else "did not take what"
        return Found(
            title=f"The hop {took} the {other} sent for {seconds(before.lasted_ns)}{ending}",
            evidence=lines,
            hop=hop_of(pair),
            software=software_of(pair),
            severity="error" if is_certain and has_ended and not pair.edge.js_was_clean else None,
            confidence=None if is_certain else "low",
            causes=()
            if is_certain
            else (
                Cause(
                    "the hop carries less than is sent: a rate limit, or it is busy", "its limits, its CPU"
                ),
                Cause(
                    f"the {side} reads slowly, and the hop passes that on",
                    f"the {side}'s CPU at that moment; the same with a {side} that only counts the messages",
                ),
            ),
            covers=(*covers, *ends) if is_certain else covers,
        )
    fault_of, confidence = blamed(own)
    return Found(
        title=f"{stall_title(own, side)}{ending}",
        evidence=lines,
        fault_of=fault_of,
        confidence=confidence,
        severity="note" if not has_ended else "error" if not pair.edge.js_was_clean else None,
        causes=rivals(own, has_ended=has_ended),
        covers=covers if confidence == "low" else (*covers, *ends),
    )
