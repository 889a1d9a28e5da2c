"""What a library asked for before its WebSocket, or in place of it, and did not get: SignalR's negotiation,
SockJS's info and transports, Engine.IO's later polls. No handshake follows, so no other rule sees it. A first
poll that is refused is `socketio_openings`'s.

Events `library_asked` (`clients.openings`). Where a WebSocket of the same library was tried later, its own
findings say more.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, Final

from wsinspect.findings.evidence import two_causes
from wsinspect.findings.facts import CaptureFacts, EngineEvent, Summary, text_of
from wsinspect.findings.model import Cause, FaultOf, Found
from wsinspect.findings.quotes import quote
from wsinspect.findings.registry import Rules
from wsinspect.findings.rules.socketio_openings import has_origin_tap

rules = Rules()

_NAMES: Final = {"signalr": "SignalR", "sockjs": "SockJS", "socketio": "Socket.IO"}
_REQUESTS: Final = {"signalr": "negotiate", "sockjs": "info", "socketio": "the first poll"}
_SOFTWARE: Final = {"signalr": ("aspnet",), "socketio": ("socketio",)}
_JS: Final = (
    "No WebSocket object is made. The library's own error: SignalR 'Failed to complete negotiation with the"
    " server', SockJS a close event with code 1002, Socket.IO connect_error 'xhr poll error'."
)
#: Where a library is set up.
_PLACE: Final = ("tap", "library", "host", "base")
_LOCAL: Final = "was blocked by the browser's Local Network Access check"
#: What an answer was about, by its status: fault, how to say it, and what the fixes are about.
_STATUSES: Final[Mapping[int, tuple[FaultOf, str, str | None]]] = {
    401: ("client", "it wants credentials", "auth"),
    403: ("server", "it refuses this client, its origin or the path", "origin"),
    404: ("server", "nothing is at this path", None),
    405: ("server", "the path takes no such request", None),
    413: ("hop", "the request is too large", "size"),
    429: ("client", "too many requests", "rate"),
    502: ("server", "a proxy got no valid answer from the application", "bad-gateway"),
    503: ("server", "no server takes the request", "connect"),
    504: ("server", "the application did not answer a proxy in time", "timeout"),
}


def _asked(facts: CaptureFacts, *problems: str) -> Iterator[EngineEvent]:
    """The first request of each kind with one of the problems; what the tap behind a hop has seen as
    well is the server's, and counts once."""
    known: set[tuple[str | None, ...]] = set()
    for event in facts.events:
        if event.kind != "library_asked" or text_of(event.detail, "problem") not in problems:
            continue
        key = tuple(text_of(event.detail, name) for name in (*_PLACE, "problem", "status"))
        if key not in known and not _is_seen_behind(facts, event) and not _is_served_later(facts, event):
            known.add(key)
            yield event


def _is_seen_behind(facts: CaptureFacts, event: EngineEvent) -> bool:
    """Whether a tap behind the hop has the same failure; the hop may have changed host and path."""
    return text_of(event.detail, "tap") == "edge" and any(
        one.kind == event.kind
        and str(one.detail.get("tap")).startswith("origin")
        and all(
            one.detail.get(name) == event.detail.get(name)
            for name in ("library", "part", "problem", "status")
        )
        for one in facts.events
    )


def _is_served_later(facts: CaptureFacts, event: EngineEvent) -> bool:
    """Whether such a request was answered well afterwards, and that says something of this one."""
    if event.detail.get("problem") == "lost" or event.detail.get("status") == 413:
        return False  # another message of the same session may be small, or come to the right server
    return any(
        one.kind == event.kind
        and one.time_ns >= event.time_ns
        and text_of(one.detail, "problem") == "served"
        and _place(one) == _place(event)
        for one in facts.events
    )


def _place(event: EngineEvent) -> tuple[str | None, ...]:
    part = text_of(event.detail, "part")
    return *(text_of(event.detail, name) for name in _PLACE), "begin" if part == "preflight" else part


def _sockets(facts: CaptureFacts, event: EngineEvent) -> list[Summary]:
    """WebSockets of the same library at the same place, tried after the request."""
    detail = event.detail
    base = str(detail.get("base") or "/").rstrip("/")
    return [
        one
        for one in facts.connections
        if one.attempt_ns >= event.time_ns
        and one.tap == text_of(detail, "tap")
        and (one.host or "").lower() == (text_of(detail, "host") or "").lower()
        and f"{one.path.partition('?')[0].rstrip('/')}/".startswith(f"{base}/")
    ]


def _who(event: EngineEvent) -> tuple[str, str]:
    """(the library, its request), in words."""
    library, part = str(event.detail.get("library")), event.detail.get("part")
    name = _NAMES.get(library, library)
    if part == "preflight":
        return name, "the CORS preflight of its first request"
    if part in ("session", "send"):
        return name, "a fallback's request" if library == "sockjs" else "a poll"
    return name, _REQUESTS.get(library, "its first request")


def _line(event: EngineEvent) -> str:
    detail = event.detail
    answer = detail.get("status") or detail.get("error") or "no answer"
    return f"{detail.get('method')} {detail.get('url')}: {answer}"


def _more(event: EngineEvent, *names: tuple[str, str]) -> tuple[str, ...]:
    """Lines of what else is known, where it is: (label, name in the event)."""
    said = ((label, name, text_of(event.detail, name) or "") for label, name in names)
    shown = ((label, quote(text.encode()) if name == "refusal" else text[:200]) for label, name, text in said)
    return tuple(f"{label}: {text}" for label, text in shown if text)


def _hops(detail: Mapping[str, Any]) -> tuple[str, ...]:
    server = str(detail.get("server")).lower()
    return tuple(name for name in ("nginx", "caddy", "apache", "envoy", "haproxy") if server.startswith(name))


def _software(detail: Mapping[str, Any]) -> tuple[str, ...]:
    return (*_SOFTWARE.get(str(detail.get("library")), ()), *_hops(detail))


@rules(
    "WS-APP-094",
    "error",
    "server",
    "A library's first request failed, and no WebSocket followed",
    meaning="SignalR negotiates and SockJS asks for /info before they open a WebSocket. This"
    " request failed, so there was no handshake: mend its path, route or credentials first.",
    js=_JS,
    topic="library-first",
    rows="H20 H21",
    scope="capture",
    confidence="medium",
)
def failed(facts: CaptureFacts) -> Iterator[Found]:
    for event in _asked(facts, "failed", "unanswered", "redirected", "page"):
        detail, problem = event.detail, event.detail.get("problem")
        is_first = detail.get("part") == "begin"
        is_poll = detail.get("library") == "socketio" and is_first
        if is_poll or detail.get("part") == "preflight" or _has_socket(facts, event):
            continue
        name, request = _who(event)
        status = detail.get("status")
        # Others have an /info, too.
        is_guess = detail.get("library") == "sockjs" and detail.get("part") == "begin"
        fault: FaultOf = "server"
        topic: str | None = None
        if problem == "page":
            words, is_sure = "was answered with a web page", True
        elif problem == "redirected":
            words, is_sure = f"was redirected to {detail.get('location')}", False
        elif _is_local_check(detail):
            fault, words, is_sure, topic = "client", _LOCAL, True, "local-network"
        elif problem == "unanswered":
            fault, words, is_sure = "network", "got no answer", False
        else:
            fault, said, topic = _STATUSES.get(
                status if isinstance(status, int) else 0, ("server", "", "server-error")
            )
            words, is_sure = f"was answered with {status}{': ' if said else ''}{said}", bool(said)
            if status == 413 and not _hops(detail):
                fault = "server"  # Engine.IO has such a limit itself
        is_hops = detail.get("tap") == "edge" and has_origin_tap(facts.events)
        yield Found(
            title=f"{name}: {request} {words}{'; no WebSocket followed' if is_first else ''}",
            topic=topic,
            evidence=(
                _line(event),
                *_more(event, ("the answer says", "refusal"), ("Server", "server"), ("type", "media_type")),
                "no opening handshake to this place came later" if is_first else "",
                "the tap behind the hop has no such answer: the hop answered" if is_hops else "",
            ),
            fault_of="hop" if is_hops and fault == "server" else fault,
            severity="warning" if is_guess else None,
            confidence=None if is_sure and not is_guess else "low",
            software=_software(detail),
            causes=_causes(event),
        )


def _has_socket(facts: CaptureFacts, event: EngineEvent) -> bool:
    """Whether a WebSocket says more: one that was tried later, or before a fallback; if that failed, the size
    of what was polled after it is something else."""
    if event.detail.get("part") == "begin":
        return bool(_sockets(facts, event))
    tried = _sockets(facts, event._replace(time_ns=0))
    return any(one.open_ns is not None for one in tried) or bool(tried and event.detail.get("status") != 413)


def _causes(event: EngineEvent) -> tuple[Cause, ...]:
    detail = event.detail
    if detail.get("problem") == "page" or detail.get("status") in (404, 405):
        return _path_causes(event)
    if detail.get("problem") == "unanswered" and detail.get("origin") and not _is_local_check(detail):
        return two_causes(
            (
                "CORS: the answer does not allow the page's origin, and the browser keeps it",
                "the browser's console says 'blocked by CORS policy'; curl gets an answer",
            ),
            ("the server could not be reached, or did not answer", "curl gets none either"),
        )
    return ()


def _is_local_check(detail: Mapping[str, Any]) -> bool:
    return any(word in str(detail.get("error")) for word in ("LOCAL_NETWORK", "PRIVATE_NETWORK"))


def _path_causes(event: EngineEvent) -> tuple[Cause, ...]:
    return two_causes(
        (
            "the path is not where the application has its endpoint",
            f"ask the application directly for {event.detail.get('base')} and what belongs to it",
        ),
        (
            "a proxy forwards other paths, or this one to something else",
            "the same request without the proxy is answered otherwise",
        ),
    )


@rules(
    "WS-APP-095",
    "error",
    "server",
    "A library's first request was kept from the page by CORS, and no WebSocket followed",
    meaning="The page is of another origin, and the answer does not allow it to read this. The browser keeps"
    " it from the script, which gives up before it opens a WebSocket; WebSockets themselves need no CORS.",
    js=f"{_JS} Chrome's console: blocked by CORS policy.",
    topic="library-cors",
    rows="H20 H21",
    scope="capture",
    confidence="medium",
)
def cors(facts: CaptureFacts) -> Iterator[Found]:
    for event in _asked(facts, "cors", "failed", "unanswered"):
        is_preflight = event.detail.get("part") == "preflight"
        if _sockets(facts, event) or not (is_preflight or event.detail.get("problem") == "cors"):
            continue
        name, request = _who(event)
        allowed = event.detail.get("allowed")
        what = (
            f"{request} was refused" if is_preflight else f"CORS keeps the answer of {request} from the page"
        )
        yield Found(
            title=f"{name}: {what}; no WebSocket followed",
            evidence=(
                _line(event),
                *_more(event, ("Origin", "origin")),
                f"Access-Control-Allow-Origin: {allowed}" if allowed else "no Access-Control-Allow-Origin",
            ),
            software=_software(event.detail),
        )


@rules(
    "WS-APP-096",
    "warning",
    "server",
    "The server offers the library no WebSocket",
    meaning="The answer to the library's first request lists its transports, and WebSocket is not among them."
    " So the library uses another one, and never tries: enable WebSockets on the server.",
    js="The application works, only slower, or not at all where the library is set to WebSockets alone.",
    topic="library-offers",
    rows="H20 H21",
    scope="capture",
)
def offers_none(facts: CaptureFacts) -> Iterator[Found]:
    says = {
        "signalr": "availableTransports has no WebSockets",
        "sockjs": '"websocket":false',
        "socketio": '"upgrades":[]',
    }
    for event in _asked(facts, "no_websocket"):
        library = str(event.detail.get("library"))
        if not _sockets(facts, event) and not (library == "socketio" and _has_page(facts)):
            yield Found(
                title=f"{_NAMES.get(library, library)}: the server offers no WebSocket",
                evidence=(_line(event), f"the answer says: {says.get(library, 'no WebSocket')}"),
                software=_software(event.detail),
            )


def _has_page(facts: CaptureFacts) -> bool:
    """Whether a page polls, of which WS-PAGE-004 reports."""
    return any(one.kind == "page" and one.detail.get("polling_upgrades") == [] for one in facts.events)


@rules(
    "WS-APP-097",
    "error",
    "hop",
    "SockJS: the session is unknown to the server that was reached",
    meaning="The client sent a message by HTTP in a session that a server had opened, and the answer was 404:"
    " SockJS gives it for a session that it does not know. With several servers, all requests of a session"
    " must go to the same one.",
    js="The SockJS object's close event with code 1006 'Sending error', after it was open.",
    topic="sticky",
    rows="H21",
    scope="capture",
    confidence="medium",
)
def lost(facts: CaptureFacts) -> Iterator[Found]:
    for event in _asked(facts, "lost"):
        if any(one.open_ns is not None for one in _sockets(facts, event)):
            continue
        yield Found(
            evidence=(_line(event), *_more(event, ("the answer says", "refusal"), ("Server", "server"))),
            causes=two_causes(
                ("several servers without sticky sessions", "with one server it works"),
                (
                    "the server restarted, or had ended the session (5 s without a receiving request)",
                    "its log, at this moment; it happens once, and not again and again",
                ),
            ),
        )
