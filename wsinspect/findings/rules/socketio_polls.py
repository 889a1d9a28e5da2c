"""Socket.IO's long-polling next to its WebSockets: what only several requests of a session show."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Final, NamedTuple

from wsinspect.findings.evidence import seconds
from wsinspect.findings.facts import SECOND_NS, CaptureFacts, EngineEvent, text_of
from wsinspect.findings.model import Found
from wsinspect.findings.registry import Rules

rules = Rules()

#: Engine.IO's code 1, as JSON, and python-engineio's words for it.
_UNKNOWN: Final = re.compile(r'"code": ?1\b|session id unknown|invalid session|unknown session', re.I)
_SID: Final = re.compile(r"[?&]sid=([^&#]+)")
#: A session lives at least so long without a word of its client (Engine.IO's pingTimeout).
_ALIVE_NS: Final = 20 * SECOND_NS
#: A packet `close` of the client's, alone or the last one of a body.
_FAREWELL: Final = re.compile(r"(^|\x1e|\d:)1$")


class _Refused(NamedTuple):
    """A request of a session that its server had served a moment before."""

    sid: str
    event: EngineEvent
    served_ns: int
    is_served_later: bool


@rules(
    "WS-APP-012",
    "error",
    "hop",
    "Socket.IO: requests of one session reach different servers (no sticky sessions)",
    meaning="Requests of a session were served, and others of the same session were answered"
    " 'Session ID unknown'. With several processes behind a load balancer, all requests of a session must go"
    " to the same one.",
    js="The socket's connect_error event ('xhr post error' or 'xhr poll error'), or it reconnects forever.",
    topic="sticky",
    rows="H20",
    scope="capture",
)
def polls_in_turn(facts: CaptureFacts) -> Iterator[Found]:
    upgraded = _upgraded(facts)
    places: dict[tuple[str | None, ...], list[EngineEvent]] = {}
    for one in facts.events:
        if one.kind == "polling" and one.detail.get("sid") and one.detail.get("protocol") is None:
            place = tuple(text_of(one.detail, name) for name in ("tap", "host", "path"))
            places.setdefault(place, []).append(one)
    said: set[str] = set()
    for (tap, host, path), events in places.items():
        found = list(_refused(events, upgraded.get(tap, {})))
        if not found or any(_is_refused(one, tap, str(path)) for one in facts.connections):
            continue  # WS-APP-002 says it of the WebSocket
        if not _is_in_turn(found, events):
            continue
        sids = {one.sid for one in found}
        if sids <= said:
            continue  # another tap, before or behind a hop, saw the same requests
        said |= sids
        first = found[0]
        detail = first.event.detail
        yield Found(
            evidence=(
                f"{len(found)} requests to {host}{path}, of {len(sids)} sessions, were"
                " answered that their session is unknown",
                f"the first: {detail.get('method')}, {detail.get('status')},"
                f" {str(detail.get('refusal'))[:120]}, {seconds(first.event.time_ns - first.served_ns)} after"
                " the session had been served",
            ),
            software=("socketio",),
        )


def _refused(
    events: Sequence[EngineEvent], upgraded: Mapping[str, Sequence[tuple[int, int | None]]]
) -> Iterator[_Refused]:
    """Requests that were refused while their session was alive."""
    served: dict[str, int] = {}
    left: set[str] = set()
    for number, one in enumerate(events):
        sid, is_ok = str(one.detail["sid"]), one.detail.get("status") == 200
        if is_ok:
            served[sid] = one.time_ns
        said = str(one.detail.get("request") or "")
        if one.detail.get("method") == "POST" and _FAREWELL.search(said[-8:]):
            left.add(sid)
        sockets = upgraded.get(sid, ())
        is_open = any(at < one.time_ns and (end is None or one.time_ns < end) for at, end in sockets)
        has_left = sid in left or any(end is not None and end <= one.time_ns for _, end in sockets)
        is_unknown = one.detail.get("status") == 400 and _UNKNOWN.search(str(one.detail.get("refusal") or ""))
        at = served.get(sid)
        if is_unknown and at is not None and not has_left and (is_open or one.time_ns - at < _ALIVE_NS):
            later = any(
                other.detail.get("sid") == sid and other.detail.get("status") == 200
                for other in events[number + 1 :]
            )
            yield _Refused(sid, one, at, later)


def _is_in_turn(found: Sequence[_Refused], events: Sequence[EngineEvent]) -> bool:
    """Whether it cannot be one restart: that forgets what was there before it, and nothing later."""
    if any(one.is_served_later for one in found):
        return True
    began: dict[str, int] = {}
    for one in events:
        began.setdefault(str(one.detail["sid"]), one.time_ns)
    return any(began[one.sid] > found[0].event.time_ns for one in found)


def _upgraded(facts: CaptureFacts) -> dict[str | None, dict[str, list[tuple[int, int | None]]]]:
    """When WebSockets of a session were open, by tap and session."""
    seen: dict[str | None, dict[str, list[tuple[int, int | None]]]] = {}
    for one in facts.connections:
        match = _SID.search(one.path)
        if match and one.open_ns is not None:
            seen.setdefault(one.tap, {}).setdefault(match[1], []).append((one.open_ns, one.closed_ns))
    return seen


def _is_refused(one: Any, tap: str | None, path: str) -> bool:
    return bool(one.tap == tap and one.status == 400 and one.path.partition("?")[0] == path)
