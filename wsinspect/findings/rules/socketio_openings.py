"""Socket.IO's first requests: clients poll before they try a WebSocket, so what fails there is no attempt."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping, Sequence
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
    openings = [one for one in facts.events if _is_opening(one)]
    for path, events in _by_path(openings).items():
        taps = {text_of(one.detail, "tap") for one in events}
        # What the server itself said comes first; a hop that answers in its place leaves no event behind it.
        inner = taps - {"edge"} or taps
        seen = [one for one in events if text_of(one.detail, "tap") in inner]
        failed = [one for one in seen if not _is_served(one)]
        if not failed or any(_is_tried(one, path) for one in facts.connections):
            continue
        is_hops = taps == {"edge"} and _has_origin_tap(facts.events)
        yield _found(path, failed, len(seen), is_hops)


def _found(path: str, failed: Sequence[EngineEvent], asked: int, is_hops: bool) -> Found:
    detail = failed[-1].detail
    status, said = detail.get("status"), str(detail.get("refusal") or "")
    reason = _reason(said)
    words = quote(said.encode())
    is_mixed = len(failed) < asked
    title, causes, topic = _of_status(status, path)
    fault_of: FaultOf | None = reason.fault_of if reason else None
    return Found(
        evidence=(
            f"{detail.get('method')} {path}, without a session: {status or 'no answer'}"
            + (f", {counted(len(failed), 'time')} of {asked}" if asked > 1 else ""),
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


def _is_opening(event: EngineEvent) -> bool:
    """Whether it asks for a session: one that was given has its id, and was served."""
    detail = event.detail
    if (
        event.kind != EventKind.POLLING
        or detail.get("protocol") is not None
        or detail.get("stream") is not None
    ):
        return False
    return detail.get("method") == "GET" and (detail.get("sid") is None or _is_served(event))


def _is_served(event: EngineEvent) -> bool:
    is_opened = str(event.detail.get("response") or "").partition(":")[2 if _is_old(event) else 0][:2] == "0{"
    return event.detail.get("sid") is not None and event.detail.get("status") == 200 and is_opened


def _is_old(event: EngineEvent) -> bool:
    """Whether a length stands before the packet, as in version 3 of the protocol."""
    return re.match(r"\d+:", str(event.detail.get("response") or "")) is not None


def _by_path(events: Sequence[EngineEvent]) -> dict[str, list[EngineEvent]]:
    found: dict[str, list[EngineEvent]] = {}
    for one in events:
        found.setdefault((text_of(one.detail, "path") or "")[:200], []).append(one)
    return found


def _is_tried(one: Summary, path: str) -> bool:
    """Whether a WebSocket was tried at the same path: its own findings say more."""
    return one.path.partition("?")[0] == path


def _has_origin_tap(events: Sequence[EngineEvent]) -> bool:
    every: list[Any] = [one.detail.get("listeners") for one in events if one.kind == EventKind.LISTENING]
    return any(
        isinstance(one, Mapping) and str(one.get("tap")).startswith("origin")
        for listeners in every
        if isinstance(listeners, list)
        for one in listeners
    )


#: A CONNECT_ERROR, alone or in a body of several packets.
_CONNECT_ERROR: Final = re.compile(r"(?:^|\x1e)44([^\x1e]{0,200})")


@rules(
    "WS-APP-014",
    "error",
    "server",
    "Socket.IO: the server refused the namespace, before a WebSocket was tried",
    meaning="The server answered a poll with a CONNECT_ERROR packet (44). A middleware or the connect handler"
    " refused the client, or the namespace does not exist.",
    js="The socket's connect_error event with the message in the evidence; no close.",
    topic="app-auth",
    rows="",
    scope="capture",
)
def polled_connect_error(facts: CaptureFacts) -> Iterator[Found]:
    said: dict[str, str] = {}
    for one in facts.events:
        if one.kind != EventKind.POLLING or one.detail.get("protocol") is not None:
            continue
        match = _CONNECT_ERROR.search(str(one.detail.get("response") or "")[:100_000])
        if match is not None and one.detail.get("sid") is not None:
            said.setdefault(str(one.detail["sid"]), match[1])
    if said:
        first = next(iter(said.values()))
        yield Found(
            evidence=(
                f"s>c 44{without_secrets(first)[:160]}",
                f"in {counted(len(said), 'session')}" if len(said) > 1 else "",
            ),
            software=("socketio",),
        )


#: A client's CONNECT, and the server's answers to it.
_CONNECT: Final = re.compile(r"(?:^|\x1e)40(?![^{/\x1e,])")
_ANSWERED: Final = re.compile(r"(?:^|\x1e)4[04]")
_SID: Final = re.compile(r"[?&]sid=([^&#]+)")
#: What an upgrade brings by itself: the answer to its probe, and a noop.
_OF_UPGRADE: Final = 2
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
        if socket.s2c_frames > _OF_UPGRADE or waited < _PATIENT_NS or socket.is_faulted:
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
