"""Attempts and messages made by hand, with times in seconds."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import count
from typing import Any

from wsinspect.clients.facts import Attempt, Block, ClientFacts, Said, Stall, keyed_digest
from wsinspect.clients.grading import Client, judge
from wsinspect.clients.joining import join
from wsinspect.vocabulary import Direction

C2S, S2C = Direction.CLIENT_TO_SERVER, Direction.SERVER_TO_CLIENT
T0 = 1_700_000_000
_ids = count(1)
_frames = count(1)
digest = keyed_digest(b"test")


def ns(seconds: float) -> int:
    """Epoch nanoseconds of a second of the test."""
    return T0 * 10**9 + round(seconds * 1e9)


def tried(at: float, **facts: Any) -> Attempt:
    """An attempt that is open from a hundredth later on, unless it says otherwise."""
    at_ns = ns(at)
    given = {"address": "10.0.0.1", "place": "ws://chat.example:80", "user_agent": "Firefox", **facts}
    given.setdefault("id", next(_ids))
    given.setdefault("open_ns", at_ns + 10_000_000)
    given.setdefault("frames", (3, 3))
    return Attempt(attempt_ns=at_ns, **given)


def lost(at: float, until: float, by: str = "fault", **facts: Any) -> Attempt:
    """A connection that ended without a CLOSE frame."""
    ends = {"end_ns": ns(until), "closed_ns": ns(until), "state": "closed", "ended_by": by, "how": "rst"}
    rule = {"rule": "cut", "fault": "abort"} if by == "fault" else {}
    return tried(at, **{**ends, **rule, **facts})


def refused(
    at: float, status: int | None = 503, *, after: float = 0.005, by: str = "fault", **facts: Any
) -> Attempt:
    """An attempt that was answered with something else than 101."""
    ends = {"open_ns": None, "end_ns": ns(at + after), "closed_ns": ns(at + after), "state": "refused"}
    rule = {"rule": "outage", "fault": "refuse"} if by == "fault" else {}
    return tried(at, **{**ends, "status": status, "ended_by": by, "how": "refused", **rule, **facts})


def stalled(
    at: float, begun: float, *, noticed: float | None, until: float | None = None, **facts: Any
) -> Attempt:
    """A connection that a fault made half-open; `noticed` is when its client closed it."""
    ends: dict[str, Any] = {"stalls": (Stall(ns(begun), None if until is None else ns(until), "hole"),)}
    if noticed is not None:
        ends |= {"close_ns": ns(noticed), "end_ns": ns(noticed), "ended_by": "client", "how": "close-frame"}
        ends |= {"client_code": 1011, "state": "closed", "closed_ns": ns(noticed)}
    return tried(at, **{**ends, **facts})


def said(at: float, data: bytes | str, direction: Direction = C2S, *, delivered: bool = True) -> Said:
    """A message."""
    raw = data.encode() if isinstance(data, str) else data
    return Said(next(_frames), direction, ns(at), raw, len(raw), ns(at) if delivered else None)


def facts_of(
    attempts: Sequence[Attempt],
    *,
    until: float = 100.0,
    talk: Mapping[int, Sequence[Said]] | None = None,
    pings: Mapping[int, Sequence[float]] | None = None,
    blocks: Sequence[Block] = (),
) -> ClientFacts:
    """A capture that ends at a second."""
    known, beats = talk or {}, pings or {}
    return ClientFacts(
        attempts=attempts,
        blocks=blocks,
        horizon_ns=ns(until),
        said=lambda one: known.get(one.id, ()),
        pings=lambda one: [ns(at) for at in beats.get(one.id, ())],
        digest=digest,
    )


def judged(attempts: Sequence[Attempt], **options: Any) -> Client:
    """The only client of a capture."""
    facts = facts_of(attempts, **options)
    [session] = join(facts.attempts)
    return judge(session, facts)


def with_delays(delays: Sequence[float], *, lived: float = 5.0, status: int = 503) -> list[Attempt]:
    """A connection that is lost, a refused try after each delay but the last, and one that succeeds."""
    attempts = [lost(0, lived)]
    at = lived
    for delay in delays[:-1]:
        at += delay
        attempts.append(refused(at, status))
        at += 0.005
    return [*attempts, tried(at + delays[-1])]
