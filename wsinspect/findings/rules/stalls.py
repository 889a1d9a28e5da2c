"""A side that does not take what it is sent, and what came of it."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from wsinspect.findings.evidence import answer_marks, end_line, js_sees, named, seconds
from wsinspect.findings.facts import SECOND_NS, ConnectionFacts, StallFact
from wsinspect.findings.model import Cause, Confidence, FaultOf, Found
from wsinspect.findings.registry import Rules
from wsinspect.findings.stalls import acknowledged_line, stall_title, stall_words

rules = Rules()

#: A sender that waits for less has no reason to give up.
_LONG_NS: Final = 2 * SECOND_NS
#: What a sender did while its bytes waited here is read once the other side has taken them.
_READ_AFTER_NS: Final = 5 * SECOND_NS
#: Codes of a sender that has nothing against the receiver.
_PROPER: Final = (None, 1000, 1001)
#: A sender that is not read is silent here, which is nobody's limit.
_SILENT: Final = ("WS-DROP-002", "WS-DROP-003")
#: What is said of an end of which nothing else is known.
ENDS: Final = (*_SILENT, "WS-DROP-005", "WS-DROP-006")


def longest(facts: ConnectionFacts, side: str) -> StallFact | None:
    """The longest stall of a side."""
    mine = (one for one in facts.stalls if one.side == side)
    return max(mine, key=lambda one: one.lasted_ns, default=None)


def ended_in(facts: ConnectionFacts, side: str) -> StallFact | None:
    """The stall of a side in which the other one ended the connection; None where it did not.

    What a sender does while its bytes wait is read when the receiver has taken them, so it may have ended
    the connection in the stall though its end was read soon after.
    """
    other: Final = "server" if side == "client" else "client"
    last = next((one for one in reversed(facts.stalls) if one.side == side), None)
    if last is None or not facts.is_over or facts.ended_by != other or facts.end_ns is None:
        return None
    if last.lasted_ns < _LONG_NS or facts.end_ns - last.until_ns > _READ_AFTER_NS:
        return None
    code = facts.server_close_code if other == "server" else facts.client_close_code
    # A sender that says goodbye behind its last message was not kept from anything.
    is_proper = facts.has_close and code in _PROPER
    return None if is_proper and last.has_drained else last


def rivals(stall: StallFact, *, has_ended: bool) -> tuple[Cause, ...]:
    """What the same facts have as causes, the likeliest first."""
    side = stall.side
    program = Cause(
        f"the {side}'s program does not read: its event loop is blocked, or each message takes it too long",
        f"the {side}'s CPU at that moment; does it keep up when it only counts the messages?",
    )
    network = Cause(
        f"the network to the {side} is gone, or its device sleeps",
        f"the {side}'s network and power log for that moment",
    )
    slow = Cause(
        f"the way to the {side}, or a hop on it, carries less than is sent",
        "a tap in front of that hop; the same client on the server's own network",
    )
    found = (
        (slow, program)
        if stall.is_steady
        else (program, slow)
        if stall.acknowledges
        else (network, program)
        if stall.acknowledges is False
        else (program, network, slow)
    )
    if not has_ended:
        return found
    other = "server" if side == "client" else "client"
    own = Cause(
        f"the {other} ended it for a reason of its own, at the same time",
        f"the {other}'s log: words like pending, queue, backlog, slow consumer or back-pressure say that it"
        " gave up waiting",
    )
    return (*found, own)


def blamed(stall: StallFact) -> tuple[FaultOf, Confidence]:
    """Whose a stall is: a peer whose TCP acknowledges is there, and does not read."""
    side: FaultOf = "client" if stall.side == "client" else "server"
    if stall.acknowledges is None or stall.is_steady:
        return side, "low"
    return (side, "medium") if stall.acknowledges else ("network", "medium")


@rules(
    "WS-DROP-015",
    "error",
    "client",
    "One side did not read, and the other one ended the connection",
    meaning="What was sent to one side was not taken: its buffers filled up to this proxy, which then stops"
    " reading the sender, as TCP does. A sender with a limit on what may wait ends such a connection.",
    js="If the page is the one that did not read: close with the server's code, or 1006, after the messages"
    " that waited.",
    topic="backpressure",
    rows="F14",
    confidence="medium",
)
def not_read(facts: ConnectionFacts) -> Iterator[Found]:
    for side in ("client", "server"):
        stall = ended_in(facts, side)
        if stall is None:
            continue
        other = "server" if side == "client" else "client"
        fault_of, confidence = blamed(stall)
        later = seconds(max(0, (facts.end_ns or 0) - stall.until_ns))
        yield Found(
            title=f"{stall_title(stall, side)}, and the {other} ended the connection",
            evidence=(
                f"the {side}'s buffer in this proxy was {stall_words(stall)}",
                acknowledged_line(stall),
                f"what the {other} did meanwhile was read {later} after that" if stall.has_drained else "",
                end_line(facts),
                js_sees(facts),
            ),
            fault_of=fault_of,
            confidence=confidence,
            severity="warning" if confidence == "low" or facts.js_was_clean else None,
            causes=rivals(stall, has_ended=True),
            covers=tuple((facts.id, rule) for rule in (_SILENT if confidence == "low" else ENDS)),
            software=named(answer_marks(facts)),
            js=js_sees(facts),
        )
        return


@rules(
    "WS-DROP-016",
    "note",
    "client",
    "One side was slow to read",
    meaning="What was sent to one side waited here for seconds, and the sender was not read meanwhile, as TCP"
    " does. All of it arrives late; a sender with a limit on what may wait will end the connection.",
    js="onmessage is called late.",
    topic="backpressure",
    rows="F14",
    confidence="medium",
)
def slow_to_read(facts: ConnectionFacts) -> Iterator[Found]:
    for side in ("client", "server"):
        stall = longest(facts, side)
        if stall is None or stall.lasted_ns < _LONG_NS or ended_in(facts, side) is not None:
            continue
        if facts.ended_by == "proxy":
            continue  # stopped: what waited then might have been taken
        fault_of, confidence = blamed(stall)
        yield Found(
            title=stall_title(stall, side),
            evidence=(
                f"the {side}'s buffer in this proxy was {stall_words(stall)}",
                acknowledged_line(stall),
                end_line(facts) if facts.is_over else "",
            ),
            fault_of=fault_of,
            confidence=confidence,
            causes=rivals(stall, has_ended=False),
        )
