"""The server that a hop passes a request on to, by its configuration, asked from here.

A hop's 502 or 503 says that it got no answer it could use, and not why. Where the URL's server is on this
machine, what its configuration names is asked by the doctor itself: then it is known whether anything listens
there, and whether that speaks plain HTTP or TLS.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Final, Literal

from wsinspect.doctor.answers import Answer, Reached
from wsinspect.doctor.chain import as_from
from wsinspect.doctor.planner import Plan, Planner, is_accepted, speaks_of_tls
from wsinspect.doctor.questions import Question, handshake_fields
from wsinspect.doctor.target import Extras, Target
from wsinspect.findings.facts import ConnectionFacts
from wsinspect.findings.probes import Probe

#: What came of it: nothing listens or answers there; it speaks the other scheme; its certificate is not
#: trusted; TLS fails for another reason; it closes without an answer, or answers with what is not HTTP; no
#: answer in time; it answers, or answers with the status that came through the hop; it accepts the WebSocket.
What = Literal[
    "refused", "dropped", "plain", "tls", "untrusted", "no-tls", "closes", "broken", "silent", "answers",
    "same", "accepts",
]  # fmt: skip
_ASKS: Final = "the same handshake where the configuration passes it on: {}"


@dataclass(frozen=True)
class Behind:
    """The answer of the server behind a hop.

    Attributes:
        target: what was asked.
        words: what was seen.
        status: of its answer; None without one.
    """

    what: What
    target: Target
    words: str
    status: int | None = None


def is_same_machine(facts: ConnectionFacts) -> bool:
    """Whether an attempt reached a server on this machine: such a connection has one address at both ends.

    A container's published port is one too: what is behind it may have addresses of its own.
    """
    here, there = facts.client or "", facts.server_address or ""
    return bool(here) and here.rpartition(":")[0] == there.rpartition(":")[0]


def plan_behind(edge: Target, behind: Target, extras: Extras, new_key: Callable[[], str]) -> Plan:
    """The handshake as the hop would pass it on, and the other scheme where that one fails.

    Args:
        edge: what the URL is.
        behind: the server that the configuration names.

    What may be secret stays away: nobody asked for this server by name.
    """
    extras = Extras(origin=extras.origin, subprotocols=extras.subprotocols)
    behind = behind._replace(target=behind.path)
    question = Question(
        kind="behind",
        asks=_ASKS.format(behind),
        target=behind,
        fields=handshake_fields(edge, extras, new_key()),
        place=1,
    )
    main = yield question
    if main.failed_where in ("tls-server", "response") or speaks_of_tls(main):
        yield from Planner(behind, as_from(edge, extras), new_key, place=1).other_scheme(main)


def behind_of(target: Target, reached: Reached, answers: Sequence[Answer]) -> Behind | None:
    """What the answers say of the server behind a hop; None where they say nothing.

    Args:
        reached: of that server.
        answers: to the questions of `plan_behind`.
    """
    if reached.error is not None or reached.is_out_of_reach or not answers:
        return None  # its name means something where the hop is, or this machine has no way there
    main = answers[0].facts
    at_port = [one.facts for one in answers[1:] if one.question.target.port == target.port]
    other = at_port[0] if at_port else None
    outcome = Probe("", "", main).outcome
    if reached.working is None or main.failed_where == "connect":
        is_refused = "refused" in (main.error or "")
        return Behind("refused" if is_refused else "dropped", target, outcome)
    if other is not None and target.is_tls and other.status is not None:
        return Behind("plain", target, f"{outcome}; without TLS: {Probe('', '', other).outcome}")
    if other is not None and not target.is_tls and _speaks_tls(other):
        return Behind("tls", target, f"{outcome}; with TLS: {Probe('', '', other).outcome}")
    return Behind(_what(main), target, outcome, main.status)


def _what(main: ConnectionFacts) -> What:
    if main.status is not None:
        return "accepts" if is_accepted(main) else "answers"
    if main.failed_where == "tls-server":
        return "untrusted" if (main.server_tls or {}).get("certificate") else "no-tls"
    if main.failed_where == "client":
        return "silent"
    return "broken" if "not HTTP" in (main.error or "") else "closes"


def _speaks_tls(facts: ConnectionFacts) -> bool:
    """Whether TLS came about, whatever came of it."""
    return facts.status is not None or (facts.server_tls or {}).get("certificate") is not None


def numbered(answers: Sequence[Answer], first: int) -> list[Answer]:
    """The answers with numbers that follow those of others."""
    return [one._replace(facts=replace(one.facts, id=number)) for number, one in enumerate(answers, first)]
