"""Connections that ended without a CLOSE frame: at once, after a silence, at an age, many together."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from wsinspect.findings.evidence import (
    answer_hop,
    answer_marks,
    end_line,
    js_told,
    named,
    request_marks,
    seconds,
)
from wsinspect.findings.facts import C2S, S2C, SECOND_NS, CaptureFacts, ConnectionFacts, Summary
from wsinspect.findings.limits import Limit, is_round, matching, words
from wsinspect.findings.model import Cause, FaultOf, Found
from wsinspect.findings.registry import Rules

rules = Rules()

JS: Final = "close with code 1006, wasClean false, empty reason."
_AT_ONCE_NS: Final = 3 * SECOND_NS
_LEAST_SILENCE_NS: Final = 900_000_000
#: Shorter silences are seldom anybody's setting.
_SURE_NS: Final = 5 * SECOND_NS
_CLUSTER_NS: Final = 500_000_000
_CLUSTER_COUNT: Final = 3
_SAME: Final = 0.02
#: What an end together with others explains better.
_EXPLAINED: Final = (
    *("WS-DROP-001", "WS-DROP-002", "WS-DROP-003", "WS-DROP-005", "WS-DROP-006", "WS-CL-001", "WS-CL-012"),
)
#: Who closes with these goes away, or restarts.
_GOING_CODES: Final = (1001, 1012)


def is_cut(facts: ConnectionFacts) -> bool:
    """Whether an open connection ended without any CLOSE frame, by somebody else than this proxy."""
    return (
        facts.was_open
        and facts.is_over
        and facts.state != "lost"
        and facts.how in ("fin", "rst", "timeout")
        and facts.ended_by in ("client", "server")
        and not facts.has_close
    )


def _software(facts: ConnectionFacts) -> tuple[str, ...]:
    return tuple(dict.fromkeys((*named(answer_marks(facts)), *named(request_marks(facts.request_in)))))


def _silences(facts: ConnectionFacts) -> tuple[str, str]:
    def last(side: str, value: int | None) -> str:
        return f"silence {side} before the end: {seconds(value) if value is not None else 'unknown'}"

    return last("c>s", facts.silence_ns(C2S)), last("s>c", facts.silence_ns(S2C))


def _limit_lines(limits: list[Limit], software: tuple[str, ...]) -> tuple[str, ...]:
    """Known limits that fit; those of recognised software say so."""
    own = [limit for limit in limits if limit.software in software]
    rest = [limit for limit in limits if limit.software not in software]
    lines = [f"known limit, and its software was recognised: {words(limit)}" for limit in own]
    return tuple([*lines, *(f"known limit: {words(limit)}" for limit in rest)][:7])


def _ender(facts: ConnectionFacts) -> tuple[FaultOf, str]:
    """Whose side ended it, and how to say where."""
    if facts.ended_by == "server":
        return "hop", "the server, or a hop between this tap and it"
    return "hop", "the client, or a hop between it and this tap"


@rules(
    "WS-DROP-001",
    "error",
    "hop",
    "The connection died right after the 101, before any frame",
    meaning="The handshake succeeded, and within moments TCP ended with no byte from the server's side. A"
    " firewall or wrapper"
    " that cannot carry a tunnel does this, even when it only logs.",
    js=JS,
    topic="waf",
    rows="H13 T10",
    group="end",
)
def dead_at_once(facts: ConnectionFacts) -> Iterator[Found]:
    if is_cut(facts) and facts.ended_by == "server" and facts.sizes[1] == 0:
        age = facts.age_ns or 0
        if age < _AT_ONCE_NS and not is_round(age / 1e9):
            yield Found(
                evidence=(
                    f"101, then {facts.how} after {seconds(age)}",
                    f"{facts.sizes[0]} bytes c>s, 0 bytes s>c",
                    end_line(facts),
                ),
                hop=answer_hop(facts),
                software=_software(facts),
                js=js_told(facts),
                confidence="high" if facts.sizes[0] == 0 else "medium",
            )


@rules(
    "WS-DROP-003",
    "error",
    "hop",
    "Ended by a limit on its lifetime",
    meaning="The connection ended at an age that is somebody's limit, although data was flowing. Pings do"
    " not help against that.",
    js=JS,
    topic="lifetime",
    rows="T2",
    confidence="medium",
    group="end",
)
def lifetime(facts: ConnectionFacts) -> Iterator[Found]:
    age = facts.age_ns
    if not is_cut(facts) or age is None or (facts.silence_ns() or 0) > min(age // 2, 10 * SECOND_NS):
        return
    limits = matching(age / 1e9, "lifetime")
    if limits and not _fits(facts.silence_ns() or 0):
        software = _software(facts)
        yield Found(
            evidence=(
                f"age {seconds(age)}, data until {seconds(facts.silence_ns() or 0)} before",
                end_line(facts),
                *_limit_lines(limits, software),
            ),
            software=tuple(dict.fromkeys((*software, *(limit.software for limit in limits))))
            if software
            else (),
            js=js_told(facts),
        )


@rules(
    "WS-DROP-002",
    "error",
    "hop",
    "Ended by an idle timeout",
    meaning="TCP ended without a CLOSE frame after a silence that looks like somebody's setting. A hop on"
    " the way counts the time"
    " without data and gives up.",
    js=JS,
    topic="idle",
    rows="T1 T5",
    group="end",
)
def idle(facts: ConnectionFacts) -> Iterator[Found]:
    if not is_cut(facts):
        return
    both, server = facts.silence_ns() or 0, facts.silence_ns(S2C) or 0
    counted = next(
        (ns for ns in (both, server) if ns >= _LEAST_SILENCE_NS and (_fits(ns) or is_round(ns / 1e9))), None
    )
    if counted is None:
        return
    software = _software(facts)
    limits = matching(counted / 1e9, "idle")
    is_known = any(limit.software in software for limit in limits)
    age = facts.age_ns or 0
    fault_of, where = _ender(facts)
    same_age = age - counted < SECOND_NS // 2
    lifetime = Cause(
        "a limit on the whole lifetime, of the same length", "let traffic flow: does it end at the same age?"
    )
    yield Found(
        evidence=(
            *_silences(facts),
            f"age {seconds(age)}; ended by {where}: {facts.how}",
            end_line(facts),
            *_limit_lines(limits, software),
            "only s>c was silent: a limit that counts the server's bytes" if counted != both else "",
        ),
        hop=answer_hop(facts) if facts.ended_by == "server" and is_known else None,
        confidence="high" if limits else "medium" if counted >= _SURE_NS else "low",
        fault_of=fault_of,
        # Clients are killed, and leave, at any moment: a round number alone is no proof there.
        severity="warning" if facts.ended_by == "client" and not limits else None,
        software=software,
        causes=(Cause("an idle timeout", "send a ping at half the time: does it live?"), lifetime)
        if same_age
        else (),
        js=js_told(facts),
    )


def _fits(interval_ns: int) -> bool:
    return bool(matching(interval_ns / 1e9, "idle"))


@rules(
    "WS-DROP-005",
    "error",
    "network",
    "Reset without a CLOSE frame",
    meaning="A RST ended the connection, and no CLOSE frame came before it. A crash, a kill, a "
    "firewall, or a write to a connection that the other side had forgotten does this.",
    js=JS,
    topic="abrupt",
    rows="T5 F11",
    group="end",
)
def reset(facts: ConnectionFacts) -> Iterator[Found]:
    if is_cut(facts) and facts.how == "rst":
        is_client = facts.ended_by == "client"
        yield Found(
            evidence=(
                end_line(facts),
                *_silences(facts),
                f"age {seconds(facts.age_ns or 0)}",
                js_told(facts),
            ),
            fault_of="client" if is_client else "server",
            severity="warning" if is_client else None,
            software=_software(facts),
            js=js_told(facts),
        )


@rules(
    "WS-DROP-006",
    "error",
    "server",
    "The server's side ended TCP without a CLOSE frame",
    meaning="A FIN came and no CLOSE frame before it: the process ended, or a hop closed. The page is told"
    " 1006 and no reason.",
    js=JS,
    topic="abrupt",
    rows="F11 T4",
    group="end",
)
def fin_by_server(facts: ConnectionFacts) -> Iterator[Found]:
    if is_cut(facts) and facts.ended_by == "server":
        yield Found(
            evidence=(end_line(facts), *_silences(facts), f"age {seconds(facts.age_ns or 0)}"),
            software=_software(facts),
            js=js_told(facts),
        )


@rules(
    "WS-DROP-007",
    "note",
    "client",
    "The client's side went without a CLOSE frame",
    meaning="A FIN came and no CLOSE frame before it: a killed process, a crashed tab, or a hop before this"
    " tap. The server's"
    " application sees 1006.",
    js="Nothing: the page is gone.",
    topic="abrupt",
    rows="F11",
    group="end",
)
def fin_by_client(facts: ConnectionFacts) -> Iterator[Found]:
    if is_cut(facts):
        yield Found(evidence=(end_line(facts), *_silences(facts), f"age {seconds(facts.age_ns or 0)}"))


# -- over all connections


def _was_dropped(one: Summary) -> bool:
    is_code = one.server_close_code in (1001, 1006, 1012)
    return (
        one.open_ns is not None
        and one.closed_ns is not None
        and one.ended_by == "server"
        and (one.how in ("fin", "rst") or is_code)
        and (is_code or one.server_close_code is None)
    )


def _is_answer_to_hop(one: Summary, group: list[Summary]) -> bool:
    """Whether the server's 1002 is its answer to the CLOSE with which a hop ended the others of a cluster.

    Caddy 2.6 sends its own 1001 to both sides, to the server unmasked: RFC 6455, 5.1, has it answer 1002, and
    now and then that reaches the client before Caddy's 1001 does.
    """
    return (
        (one.server_close_code, one.ended_by) == (1002, "server")
        and one.closed_ns is not None
        and (one.tap, one.host) == (group[0].tap, group[0].host)
        and any(other.server_close_code in _GOING_CODES for other in group)
        and _by_end(group[0]) - _CLUSTER_NS <= one.closed_ns <= _by_end(group[-1]) + _CLUSTER_NS
    )


def clusters(facts: CaptureFacts) -> list[list[Summary]]:
    """Groups of connections of one tap and place of server that ended together, by the server's side."""
    by_tap: dict[tuple[str | None, str | None], list[Summary]] = {}
    for one in facts.connections:
        if _was_dropped(one):
            by_tap.setdefault((one.tap, one.host), []).append(one)
    found = []
    for group in by_tap.values():
        group.sort(key=_by_end)
        current: list[Summary] = []
        for one in group:
            if current and (one.closed_ns or 0) - (current[-1].closed_ns or 0) > _CLUSTER_NS:
                found.append(current)
                current = []
            current.append(one)
        found.append(current)
    return [group for group in found if len(group) >= _CLUSTER_COUNT and _is_independent(group)]


def _by_end(one: Summary) -> int:
    return one.closed_ns or 0


def _is_independent(group: list[Summary]) -> bool:
    """Whether their ages differ: else it is a limit that all of them reached together."""
    ages = [(one.closed_ns or 0) - (one.open_ns or 0) for one in group]
    return max(ages) - min(ages) > max(SECOND_NS // 5, int(max(ages) * _SAME))


@rules(
    "WS-DROP-004",
    "error",
    "hop",
    "Many connections ended at the same moment",
    meaning="They were opened at different times and ended together, whatever they carried. A reload,"
    " a deploy or a restart of the server or of a hop does this.",
    js="close with code 1006 on every page at once (1001 or 1012 where the server says so).",
    topic="reload",
    rows="T4",
    scope="capture",
)
def cluster(facts: CaptureFacts) -> Iterator[Found]:
    for plain in clusters(facts):
        answered = [one for one in facts.connections if _is_answer_to_hop(one, plain)]
        group = sorted((*plain, *answered), key=_by_end)
        first, last = _by_end(group[0]), _by_end(group[-1])
        ages = sorted(((one.closed_ns or 0) - (one.open_ns or 0)) for one in group)
        ids = ", ".join(f"#{one.id}" for one in group[:8]) + (" ..." if len(group) > 8 else "")
        codes = sorted({str(one.server_close_code or one.how) for one in group})
        covers = tuple((one.id, rule) for one in plain for rule in _EXPLAINED)
        covers += tuple((one.id, "WS-CL-002") for one in answered)
        yield Found(
            evidence=(
                f"{len(group)} connections within {seconds(last - first)}: {ids}",
                f"ages from {seconds(ages[0])} to {seconds(ages[-1])}",
                f"ended with {', '.join(codes)}",
                f"{len(answered)} of them with 1002, as a server answers a hop's own CLOSE that is not masked"
                if answered
                else "",
            ),
            connection=group[0].id,
            covers=covers,
            severity="warning" if all(one.server_close_code in _GOING_CODES for one in plain) else None,
        )


@rules(
    "WS-DROP-008",
    "error",
    "hop",
    "Several connections ended at the same age",
    meaning="They ended without a CLOSE frame at the same age, though they had carried data at "
    "different times. It is a limit on the lifetime, which pings do not lengthen.",
    js=JS,
    topic="lifetime",
    rows="T2",
    scope="capture",
)
def same_age(facts: CaptureFacts) -> Iterator[Found]:
    by_place: dict[tuple[str | None, str | None], list[Summary]] = {}
    for one in facts.connections:
        is_bare = one.server_close_code is None and one.client_close_code is None
        if _was_dropped(one) and is_bare and one.s2c_frames > 1:
            by_place.setdefault((one.tap, one.host), []).append(one)
    for group in by_place.values():
        ages = [((one.closed_ns or 0) - (one.open_ns or 0)) for one in group]
        starts = [one.open_ns or 0 for one in group]
        if len(group) < 3 or min(ages) < SECOND_NS or max(ages) - min(ages) > max(ages) * _SAME:
            continue
        if max(starts) - min(starts) <= max(ages) * 2 * _SAME:
            continue  # opened together: a cluster, or an idle timeout, looks the same
        limits = matching(max(ages) / 1e9, "lifetime")
        yield Found(
            evidence=(
                f"{len(group)} connections lived {seconds(min(ages))} to {seconds(max(ages))}",
                *(f"known limit: {words(limit)}" for limit in limits),
            ),
            connection=group[0].id,
            covers=tuple(
                (one.id, rule) for one in group for rule in ("WS-DROP-003", "WS-DROP-005", "WS-DROP-006")
            ),
        )
