"""Servers behind each other: the same handshake at each, and what the hop between two of them did.

`--direct` gives the places behind the URL, in order. The hop before the first place that accepts is the
guilty one. What it does to the request cannot be seen from here, but it can be tried: the server behind it is
asked as it would be behind a hop with one of the usual faults, and the fault that gets the very answer which
came through the hop explains it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from typing import Final

from wsinspect.doctor.planner import MAX_QUESTIONS, Plan, Planner, bounded, is_accepted
from wsinspect.doctor.questions import Field, Question, handshake_fields, with_field, without
from wsinspect.doctor.target import Extras, Target
from wsinspect.findings.evidence import answer_marks
from wsinspect.findings.facts import ConnectionFacts
from wsinspect.findings.software import hop_author

#: A path that no application has.
NOWHERE: Final = "wsinspect-doctor-nowhere"
#: The kind of the question at the path that the hop was asked for, where the server's own is another.
KEPT_PATH: Final = "hop:kept-path"
_MISSING: Final = (200, 404, 405, 410)
_CREDENTIALS: Final = ("Cookie", "Authorization")


def plan_chain(targets: Sequence[Target], extras: Extras, new_key: Callable[[], str]) -> Plan:
    """The questions about a URL and the servers behind it.

    Args:
        targets: the URL first, then each place behind it.
    """
    yield from bounded(_questions(targets, extras, new_key), MAX_QUESTIONS + len(targets))


def _questions(targets: Sequence[Target], extras: Extras, new_key: Callable[[], str]) -> Plan:
    fields = handshake_fields(targets[0], extras, new_key())
    answers: list[ConnectionFacts] = []
    for place, target in enumerate(targets):
        kind, asks = ("direct", f"the same handshake at {target}") if place else ("handshake", "")
        asks = asks or "the opening handshake of a browser"
        is_long = not place or has_broken(answers[0])
        question = Question(kind=kind, asks=asks, target=target, fields=fields, is_long=is_long, place=place)
        answers.append((yield question))
    works = first_that_works(answers)
    if works == 0:
        yield from Planner(targets[0], extras, new_key).after(answers[0])
    elif works is None:
        last = len(targets) - 1
        yield from Planner(targets[last], as_from(targets[0], extras), new_key, place=last).after(
            answers[last]
        )
    else:
        yield from hop_questions(targets[works], works, fields, answers[works - 1], targets[works - 1])


def has_broken(facts: ConnectionFacts) -> bool:
    """Whether a WebSocket that was opened did not go as it should: then those behind are listened to."""
    is_violated = bool(facts.violations or facts.opaque or facts.problems)
    return facts.status == 101 and (is_violated or facts.ended_by == "server")


def first_that_works(answers: Sequence[ConnectionFacts]) -> int | None:
    """The first place that accepts; None where none does."""
    return next((place for place, facts in enumerate(answers) if is_accepted(facts)), None)


def as_from(edge: Target, extras: Extras) -> Extras:
    """What is sent along to a server behind the URL: the URL's own Host and Origin, which a hop keeps."""
    origin = edge.origin if extras.origin is None else extras.origin
    has_host = any(name.lower() == "host" for name, _ in extras.headers)
    host = () if has_host else (("Host", edge.authority),)
    return extras._replace(origin=origin, headers=(*host, *extras.headers))


def hop_questions(
    target: Target, place: int, fields: tuple[Field, ...], edge: ConnectionFacts, before: Target
) -> Iterator[Question]:
    """What the server behind a hop is asked as if the hop had one of the usual faults, the likeliest first.

    Args:
        fields: those of the handshake that it accepts.
        edge: the answer that came through the hop.
        before: what the hop was asked for.
    """
    if hop_author(answer_marks(edge)) is not None or edge.failed_where in ("connect", "tls-server"):
        return  # the hop names its problem itself, or was not reached
    status = edge.status
    base = Question(kind="", asks="", target=target, fields=fields, place=place)
    if target.path != before.path and status in (*_MISSING, 400, 403):
        kept = target.with_path(before.path)
        yield replace(base, kind=KEPT_PATH, asks=f"at the path of the URL, {before.path}", target=kept)
    if status not in (401, 403):
        yield from _of_upgrade(base)
    if status in (400, 401, 403, 404, 421, None):
        yield from _of_identity(base, status)
    if status in _MISSING or status in (400, 403):
        nowhere = target.with_path(f"{target.path.rstrip('/')}/{NOWHERE}")
        yield replace(base, kind="hop:path", asks="at a path that it does not have", target=nowhere)


def _of_upgrade(base: Question) -> Iterator[Question]:
    bare = without(base.fields, {"upgrade", "connection"})
    closing = with_field(without(base.fields, {"upgrade"}), "Connection", "close")
    kept = without(base.fields, {"upgrade"})
    yield replace(
        base,
        kind="hop:nginx",
        asks="without Upgrade, as HTTP/1.0: what nginx sends by default",
        fields=closing,
        http_version="HTTP/1.0",
    )
    yield replace(base, kind="hop:upgrade", asks="without Upgrade and Connection", fields=bare)
    yield replace(base, kind="hop:closing", asks="without Upgrade, with 'Connection: close'", fields=closing)
    yield replace(base, kind="hop:kept", asks="without Upgrade", fields=kept)
    yield replace(base, kind="hop:http10", asks="as HTTP/1.0", http_version="HTTP/1.0")
    for name in ("Sec-WebSocket-Version", "Sec-WebSocket-Key", "Sec-WebSocket-Protocol"):
        if base.value(name) is not None:
            fields = without(base.fields, {name.lower()})
            yield replace(base, kind=f"hop:{name.lower()}", asks=f"without {name}", fields=fields)


def _of_identity(base: Question, status: int | None) -> Iterator[Question]:
    sent = [name for name in _CREDENTIALS if base.value(name) is not None]
    for name in sent:
        fields = without(base.fields, {name.lower()})
        yield replace(base, kind=f"hop:{name.lower()}", asks=f"without {name}", fields=fields)
    if base.target.query:
        target = base.target._replace(target=base.target.path)
        yield replace(base, kind="hop:query", asks="without the query", target=target)
    if status == 401:
        return
    if base.value("Host") != base.target.authority:
        fields = with_field(base.fields, "Host", base.target.authority)
        yield replace(
            base, kind="hop:host", asks=f"with its own Host, {base.target.authority}", fields=fields
        )
    if base.value("Origin") not in (None, base.target.origin):
        fields = with_field(base.fields, "Origin", base.target.origin)
        yield replace(
            base, kind="hop:origin", asks=f"with its own Origin, {base.target.origin}", fields=fields
        )
