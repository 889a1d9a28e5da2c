"""Socket.IO's first requests: clients poll before they try a WebSocket, so what fails there is no attempt."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any, Final, NamedTuple

from wsinspect.findings.evidence import seconds
from wsinspect.findings.facts import SECOND_NS, CaptureFacts, EngineEvent, Summary, text_of
from wsinspect.findings.model import Cause, FaultOf, Found
from wsinspect.findings.quotes import quote, without_secrets
from wsinspect.findings.registry import Rules
from wsinspect.text import counted
from wsinspect.vocabulary import EventKind

rules = Rules()

_JS: Final = (
    "The socket's connect_error event, 'xhr poll error', again and again; no WebSocket is ever opened."
)


#: Problems of a `library_asked` that is a poll.
_FAILED: Final = ("failed", "unanswered", "redirected", "page")
#: To another address for good: that of HTTPS, mostly.
_MOVED: Final = (301, 307, 308)
_SERVERS_OWN: Final = 500


class _Asked(NamedTuple):
    """A request for a session.

    Attributes:
        is_sampled: not all of them are known (of a file).
        is_ours: a rule of ours answered it or held it, which says nothing about a server.
    """

    tap: str | None
    host: str | None
    path: str
    method: str | None
    status: Any
    said: str
    is_served: bool
    is_sampled: bool
    is_ours: bool = False


class _Reason(NamedTuple):
    """Why the first poll is refused, by the words of Engine.IO: its code, or python-engineio's text."""

    code: int | None
    words: re.Pattern[str]
    title: str
    fault_of: FaultOf
    topic: str
    causes: tuple[Cause, ...] = ()


_REASONS: Final = (
    _Reason(
        5,
        re.compile(r"unsupported (protocol )?version", re.I),
        "client and server have different protocol versions",
        "client",
        "eio-version",
    ),
    _Reason(
        4,
        re.compile(r"not an accepted origin", re.I),
        "allowRequest or the CORS check refused the client",
        "server",
        "origin",
    ),
    _Reason(
        0,
        re.compile(r"transport unknown|invalid transport", re.I),
        "the server does not allow long-polling, with which the client begins",
        "client",
        "polling-off",
    ),
)
_NO_SERVER: Final = (
    Cause("the client's path option is not the server's", "compare both; the default is /socket.io/"),
    Cause("Socket.IO is not attached to the HTTP server that answers", "what does it serve at this path?"),
    Cause("a hop sends this path elsewhere", "a second tap behind it shows whether the request arrives"),
)
_REFUSED: Final = (
    Cause("the server or a hop wants credentials that did not come", "repeat with a cookie or token"),
    Cause("the server refuses the Origin", "repeat with the Origin of the server's own page"),
)


@rules(
    "WS-APP-013",
    "error",
    "server",
    "Socket.IO: the first request is refused, so no WebSocket is tried",
    meaning="A Socket.IO client begins with long-polling, and tries a WebSocket only in a session that"
    " polling has opened. The request for one was refused.",
    js=_JS,
    topic="socketio-opening",
    rows="H20",
    scope="capture",
)
def opening_refused(facts: CaptureFacts) -> Iterator[Found]:
    openings = [asked for one in facts.events if (asked := _asked(one)) is not None]
    for group in _groups(openings):
        failed = _lasting([one for one in group.seen if not one.is_ours])
        if not failed or any(_is_tried(one, group) for one in facts.connections):
            continue
        yield _found(group, failed, group.is_edge and has_origin_tap(facts.events))


def _lasting(seen: Sequence[_Asked]) -> list[_Asked]:
    """Those that were refused, without what was over once a later one was served: a server that had just
    started, a restart. A redirect to another address is followed where nothing is seen of it."""
    served = [number for number, one in enumerate(seen) if one.is_served]
    failed = [(number, one) for number, one in enumerate(seen) if not one.is_served]
    return [
        one
        for number, one in failed
        if one.status not in _MOVED
        and not (
            served
            and number < served[-1]
            and (number < served[0] or not isinstance(one.status, int) or one.status >= _SERVERS_OWN)
        )
    ]


def _found(group: _Group, failed: Sequence[_Asked], is_hops: bool) -> Found:
    path, asked, last = group.path, len(group.seen), failed[-1]
    place = f"{group.host}{path}" if group.host and not group.is_alone else path
    status, said = last.status, last.said
    reason = _reason(said)
    words = quote(said.encode())
    is_mixed = len(failed) < asked
    title, causes, topic = _of_status(status, path)
    fault_of: FaultOf | None = reason.fault_of if reason else None
    is_counted = asked > 1 and not last.is_sampled
    return Found(
        evidence=(
            f"{last.method} {place}, without a session: {status or 'no answer'}"
            + (f", {counted(len(failed), 'time')} of {asked}" if is_counted else ""),
            f"the answer says: {without_secrets(words)}" if words else "",
            "the tap behind the hop has no such request: the hop answered" if is_hops else "",
        ),
        title=f"Socket.IO: {reason.title}" if reason else title,
        severity="warning" if is_mixed else None,
        confidence="high" if reason else "medium",
        fault_of="hop" if is_hops else fault_of,
        topic=reason.topic if reason else topic,
        causes=reason.causes if reason else causes,
        software=("socketio",),
    )


def _of_status(status: object, path: str) -> tuple[str, tuple[Cause, ...], str | None]:
    if status == 200:
        return f"Socket.IO: something else answers at {path}", _NO_SERVER, "route"
    if status in (404, 405, 410):
        return f"Socket.IO: no server at {path} ({status})", _NO_SERVER, "route"
    if status in (401, 403):
        return f"Socket.IO: the first request is refused with {status}", _REFUSED, "app-auth"
    said = "gets no answer" if status is None else f"is answered with {status}"
    return f"Socket.IO: the first request {said}, so no WebSocket is tried", (), None


def _reason(said: str) -> _Reason | None:
    try:
        value = json.loads(said)
    except (ValueError, RecursionError):
        value = None
    code = value.get("code") if isinstance(value, dict) else None
    text = value if isinstance(value, str) else said
    return next(
        (
            one
            for one in _REASONS
            if (code == one.code and not isinstance(code, bool)) or (code is None and one.words.search(text))
        ),
        None,
    )


def _asked(event: EngineEvent) -> _Asked | None:
    """One that asks for a session: one that was given has its id, and was served."""
    detail = event.detail
    tap, method = text_of(detail, "tap"), text_of(detail, "method")
    host = text_of(detail, "host")
    said = text_of(detail, "refusal") or text_of(detail, "error") or ""
    if event.kind == EventKind.LIBRARY_ASKED:  # of a file
        problem, is_first = detail.get("problem"), detail.get("part") == "begin"
        if detail.get("library") != "socketio" or not is_first or problem not in (*_FAILED, "served"):
            return None
        path = text_of(detail, "base") or ""
        return _Asked(tap, host, path, method, detail.get("status"), said, problem == "served", True)
    if (
        event.kind != EventKind.POLLING
        or detail.get("protocol") is not None
        or detail.get("stream") is not None
    ):
        return None
    # In JSONP the packet is a string of JavaScript.
    is_served = _is_served(event) or (detail.get("status") == 200 and "0{" in said and "sid" in said)
    # Of a body that is compressed with Brotli nobody knows what it says.
    is_unread = detail.get("status") == 200 and bool(detail.get("is_cut")) and not said
    if method != "GET" or is_unread or not (detail.get("sid") is None or is_served):
        return None
    path, is_ours = text_of(detail, "path") or "", detail.get("rule") is not None
    return _Asked(tap, host, path, method, detail.get("status"), said, is_served, False, is_ours)


#: The packet that opens a session. Before it version 3 of the protocol has its length, as text or in bytes,
#: and JSONP a call; 40 is a CONNECT.
_OPEN: Final = re.compile(r"[^{]{0,30}(?<!4)0\{")


def _is_served(event: EngineEvent) -> bool:
    is_opened = _OPEN.match(str(event.detail.get("response") or "")) is not None
    return event.detail.get("sid") is not None and event.detail.get("status") == 200 and is_opened


class _Group(NamedTuple):
    """The requests for a session that one server got.

    Attributes:
        seen: at the taps next to it.
        is_edge: the tap before a hop alone has them.
        is_alone: no other host got requests for the same path.
    """

    host: str | None
    path: str
    seen: list[_Asked]
    is_edge: bool
    is_alone: bool


def _groups(every: Sequence[_Asked]) -> Iterator[_Group]:
    """By path and host: two servers may have the same path.

    What the server itself said comes first; a hop that answers in its place leaves no event behind it. A hop
    may change Host: where one that no client asked for is behind it, nobody knows whose requests those were.
    """
    paths: dict[str, list[_Asked]] = {}
    for one in every:
        paths.setdefault(one.path[:200], []).append(one)
    for path, asked in paths.items():
        front = _by_host(one for one in asked if one.tap == "edge")
        behind = _by_host(one for one in asked if one.tap != "edge")
        if set(behind) <= set(front) or not behind:
            kept = {host: (behind.get(host) or seen, host not in behind) for host, seen in front.items()}
        else:
            kept = {host: (seen, False) for host, seen in behind.items()}
        for host, (seen, is_edge) in kept.items():
            yield _Group(host, path, seen, is_edge, len(kept) == 1)


def _by_host(every: Iterable[_Asked]) -> dict[str | None, list[_Asked]]:
    found: dict[str | None, list[_Asked]] = {}
    for one in every:
        found.setdefault(one.host, []).append(one)
    return found


def _is_tried(one: Summary, group: _Group) -> bool:
    """Whether a WebSocket was tried at the same place: its own findings say more."""
    is_there = None in (one.host, group.host) or one.host == group.host
    return is_there and one.path.partition("?")[0] == group.path


def has_origin_tap(events: Sequence[EngineEvent]) -> bool:
    """Whether a tap is behind the hop."""
    every: list[Any] = [one.detail.get("listeners") for one in events if one.kind == EventKind.LISTENING]
    return any(
        isinstance(one, Mapping) and str(one.get("tap")).startswith("origin")
        for listeners in every
        if isinstance(listeners, list)
        for one in listeners
    )


#: An answer to a CONNECT and its namespace, alone or in a body of several packets.
_CONNECTED: Final = re.compile(r"(?:^|\x1e)4([04])(/[^,\x1e{]{0,100})?[^\x1e]{0,200}")


@rules(
    "WS-APP-014",
    "error",
    "server",
    "Socket.IO: the server refused the namespace, in an answer to long-polling",
    meaning="The server answered a poll with a CONNECT_ERROR packet (44). A middleware or the connect handler"
    " refused the client, or the namespace does not exist.",
    js="The socket's connect_error event with the message in the evidence; no close.",
    topic="app-auth",
    rows="",
    scope="capture",
)
def polled_connect_error(facts: CaptureFacts) -> Iterator[Found]:
    said: dict[tuple[str, str], str] = {}
    for one in facts.events:
        sid = one.detail.get("sid")
        if one.kind != EventKind.POLLING or one.detail.get("protocol") is not None or sid is None:
            continue
        for match in _CONNECTED.finditer(str(one.detail.get("response") or "")[:100_000]):
            namespace = (str(sid), match[2] or "/")
            if match[1] == "0":
                said.pop(namespace, None)  # it tried again, with better credentials
            else:
                said.setdefault(namespace, match[0].lstrip("\x1e"))
    if said:
        first, sessions = next(iter(said.values())), {sid for sid, _ in said}
        yield Found(
            evidence=(
                f"s>c {without_secrets(first)[:160]}",
                f"in {counted(len(sessions), 'session')}" if len(sessions) > 1 else "",
            ),
            software=("socketio",),
        )


#: A client's CONNECT, and the server's answers to it.
_CONNECT: Final = re.compile(r"(?:^|\x1e)40(?![^{/\x1e,])")
_ANSWERED: Final = re.compile(r"(?:^|\x1e)4[04]")
_SID: Final = re.compile(r"[?&]sid=([^&#]+)")
#: What comes by a WebSocket that says nothing: the answer to the upgrade's probe, a noop or ping, a CLOSE.
#: A CONNECT's answer has the id of its session, and is longer.
_OF_UPGRADE: Final = 3
_OF_UPGRADE_BYTES: Final = 24
_PATIENT_NS: Final = 5 * SECOND_NS


@rules(
    "WS-APP-017",
    "error",
    "server",
    "Socket.IO: the server never answered the client's CONNECT",
    meaning="The session and its WebSocket are open, but the server's connect handler has neither accepted"
    " nor refused: it raised an exception or waits for something. The client's 'connect' event never comes.",
    js="No event at all: neither connect nor connect_error.",
    topic="connect-handler",
    rows="",
    scope="capture",
)
def connect_unanswered(facts: CaptureFacts) -> Iterator[Found]:
    asked: dict[str, int] = {}
    answered: set[str] = set()
    for one in facts.events:
        sid = one.detail.get("sid")
        if one.kind != EventKind.POLLING or one.detail.get("protocol") is not None or sid is None:
            continue
        if one.detail.get("is_cut") or _ANSWERED.search(str(one.detail.get("response") or "")[:100_000]):
            answered.add(str(sid))  # or nobody knows
        if one.detail.get("status") == 200 and _CONNECT.search(str(one.detail.get("request") or "")[:1000]):
            asked.setdefault(str(sid), one.time_ns)
    for socket in facts.connections:
        match = _SID.search(socket.path)
        sid = match[1] if match is not None else ""
        if sid not in asked or sid in answered or socket.open_ns is None or socket.closed_ns is None:
            continue
        waited = socket.closed_ns - asked[sid]
        if socket.s2c_frames > _OF_UPGRADE or socket.s2c_bytes > _OF_UPGRADE_BYTES:
            continue
        if waited < _PATIENT_NS or socket.is_faulted:
            continue
        answered.add(sid)  # the other tap has the same session
        yield Found(
            evidence=(
                "c>s 40 by long-polling; neither 40 nor 44 in any answer to a poll",
                f"the WebSocket of the session: {counted(socket.s2c_frames, 'frame')} s>c, its upgrade's,"
                f" until it ended {seconds(waited)} later",
            ),
            software=("socketio",),
        )
