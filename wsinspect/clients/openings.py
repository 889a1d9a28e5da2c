"""What libraries ask for before their WebSocket, or in place of it: SignalR's negotiation, SockJS's `info`
and its other transports, Engine.IO's first poll. Where that fails no WebSocket follows, so no handshake says
why.

Sans-I/O, for the proxy and for HAR and mitmproxy flows. Of such requests those are reported whose answer is
`trouble`. Sources: sockjs-protocol 0.3.3; SignalR's transport protocols (dotnet/aspnetcore); Fetch,
3.2.5 (CORS).
"""

from __future__ import annotations

import json
import re
from collections import Counter
from typing import Any, Final, NamedTuple
from urllib.parse import urlsplit

from wsinspect.clients.nearby import Header, media_type
from wsinspect.decoders.engineio import is_polling_path
from wsinspect.vocabulary.events import LibraryAsked

#: At most so many are reported in all, and of those that are alike.
MAX_REPORTED: Final = 200
MAX_ALIKE: Final = 3
#: Bytes of a body that are read; an answer that says something is short.
MAX_BODY: Final = 16 * 1024
_SAID: Final = 300
_WORDS: Final = 500
_FAILED: Final = 400
_SERVED: Final = 200
#: A POST that is redirected so becomes a GET (Fetch, section 4.4).
_LOSING: Final = (301, 302, 303)
_NEGOTIATE: Final = "/negotiate"
#: What only SignalR's clients send: Core since 3.0, and before Core.
_CORE: Final = re.compile(r"(?:^|&)negotiateVersion=\d")
_CLASSIC: Final = re.compile(r"(?:^|&)clientProtocol=\d")
_SIGNALR: Final = "x-signalr-user-agent"
#: An application may have an `/info` and a time in the query itself: its place must look like SockJS's, too.
_INFO: Final = re.compile(r"t=\d{13}")
_SOCKETS: Final = re.compile(r"sock|stomp|eventbus|(?:^|[/_.-])ws(?:[/_.-]|$)", re.I)
#: SockJS (sockjs-protocol, section 3): server, session and transport.
_SESSION: Final = re.compile(
    r"/\d{3}/[A-Za-z0-9_]{8}/"
    r"(?:xhr(?:_send|_streaming)?|jsonp(?:_send)?|eventsource|htmlfile)$"
)
_SENDS: Final = ("xhr_send", "jsonp_send")
_TRANSPORTS: Final = ("xhr", "xhr_streaming", *_SENDS, "jsonp", "eventsource", "htmlfile")
#: What is in each answer of SockJS to `/info`.
_INFORMS: Final = ("origins", "cookie_needed", "entropy")
#: Fields of a request that came through a hop, which may add to the answer what CORS wants.
_HOPS: Final = ("forwarded", "x-forwarded-for", "x-forwarded-proto", "x-real-ip", "via")
_POLL_FAILED: Final = ("failed", "unanswered", "redirected", "page")
#: Words of a browser whose page left, or whose extension blocked the request.
_GAVE_UP: Final = ("ABORTED", "BLOCKED_BY_CLIENT", "CANCEL")
_SID: Final = re.compile(r"[?&]sid=")


class Opening(NamedTuple):
    """A request of a library's.

    Attributes:
        library: `signalr`, `sockjs` or `socketio`.
        base: the path that its WebSocket is at, or below.
        part: `begin`, `session` (of one that has begun, or with SockJS is to) or `send` (SockJS); `preflight`
            (CORS).
    """

    library: str
    base: str
    part: str


def opening_of(method: str, path: str, header: Header) -> Opening | None:
    """Which request of which library it is, if any.

    Args:
        path: with the query.
        header: of the request.
    """
    plain, _, query = path.partition("?")
    asks = header("access-control-request-method") if method == "OPTIONS" else method
    if asks not in ("GET", "POST"):
        return None
    found = None
    if plain.endswith(_NEGOTIATE):
        if _is_signalr(asks, query, header):
            found = Opening("signalr", plain[: -len(_NEGOTIATE)] or "/", "begin")
    elif plain.endswith("/info"):
        base = plain[: -len("/info")] or "/"
        if asks == "GET" and _INFO.fullmatch(query) and _SOCKETS.search(base):
            found = Opening("sockjs", base, "begin")
    elif plain.endswith(_TRANSPORTS):
        if session := _SESSION.search(plain):
            part = "send" if plain.endswith(_SENDS) else "session"
            found = Opening("sockjs", plain[: session.start()] or "/", part)
    elif "transport=polling" in query and is_polling_path(path):
        found = Opening("socketio", plain, "begin" if _SID.search(path) is None else "session")
    return found._replace(part="preflight") if found and method == "OPTIONS" else found


def _is_signalr(asks: str, query: str, header: Header) -> bool:
    if asks == "GET":
        return bool(_CLASSIC.search(query))
    says = header(_SIGNALR) or _SIGNALR in (header("access-control-request-headers") or "").lower()
    return bool(says or _CORE.search(query) or _CLASSIC.search(query))


def trouble(
    asked: Opening,
    page: str | None,
    status: int | None,
    answered: Header,
    body: bytes | None,
) -> str | None:
    """What is wrong with an answer, in one word (`vocabulary.events.LibraryAsked`); None for a good one.

    Args:
        page: the origin of the page, where that needs CORS (`page_of`).
        status: None where there is no answer.
        answered: the header of the answer.
        body: its beginning, decoded; None where it is not known.
    """
    if status is None:
        return "unanswered"
    if status >= _FAILED:
        if asked.library == "socketio" and asked.part == "session" and status == _FAILED:
            return None  # Engine.IO's own error, which `polling` tells of
        return "lost" if asked.part == "send" and status == 404 else "failed"
    if status in _LOSING and (asked.library == "signalr" or _is_first_poll(asked)):
        return "redirected"
    if not _SERVED <= status < 300:
        return None
    if asked.part == "begin" and media_type(answered) == "text/html":
        return "page"
    if _is_first_poll(asked) and body and body[:_SAID].isascii() and b"sid" not in body:
        return "page"
    if page is not None and (answered("access-control-allow-origin") or "").strip() not in (page, "*"):
        return "cors"
    return "no_websocket" if asked.part == "begin" and body and _offers_none(asked, body) else None


def _is_first_poll(asked: Opening) -> bool:
    return asked.library == "socketio" and asked.part == "begin"


def page_of(method: str, url: str, request: Header, *, is_seen_by_browser: bool = False) -> str | None:
    """The origin of a page that may read an answer only where CORS allows it, as far as that is sure.

    A hop before this one may have changed scheme and host, so they alone prove nothing for a POST, which
    names the origin of its own page as well; Sec-Fetch-Site does.

    Args:
        url: that was asked for.
        request: its header.
        is_seen_by_browser: the URL is as the browser has it (HAR).
    """
    origin = request("origin") or ""
    if not origin.startswith(("http://", "https://")):
        return None
    if not is_seen_by_browser and (
        not (request("user-agent") or "").startswith("Mozilla/") or any(request(name) for name in _HOPS)
    ):
        return None
    site = request("sec-fetch-site")
    if site is not None:
        return origin if site in ("cross-site", "same-site") else None
    if method == "POST" and not is_seen_by_browser:
        return None
    asked, page = _origin_of(url), _origin_of(origin)
    return origin if asked and page and asked != page else None


def _origin_of(url: str) -> tuple[str, str | None, int | None] | None:
    try:
        parts = urlsplit(url)
        return parts.scheme, parts.hostname, parts.port or {"http": 80, "https": 443}.get(parts.scheme)
    except ValueError:
        return None


def _offers_none(asked: Opening, body: bytes) -> bool:
    text = body[:MAX_BODY].decode("utf-8", "replace").strip()
    if asked.library == "socketio":
        text = text[text.find("{") :]
    try:
        value: Any = json.loads(text)
    except (ValueError, RecursionError):
        return False
    if not isinstance(value, dict):
        return False
    if asked.library == "sockjs":
        return value.get("websocket") is False and any(name in value for name in _INFORMS)
    if asked.library == "socketio":
        return value.get("upgrades") == [] and isinstance(value.get("sid"), str)
    if "TryWebSockets" in value:
        return value["TryWebSockets"] is False
    offered = value.get("availableTransports")
    return (
        isinstance(offered, list)
        and bool(offered)
        and not any(isinstance(one, dict) and one.get("transport") == "WebSockets" for one in offered)
    )


class Openings:
    """Those of a run or file that are reported: bounded, and of those that are alike only the first.

    Args:
        is_seen_by_browser: URLs are as a browser has them.
        has_polls: first polls that fail are events of their own (`Polled`).
    """

    def __init__(self, *, is_seen_by_browser: bool = False, has_polls: bool = False) -> None:
        self._is_seen_by_browser = is_seen_by_browser
        self._has_polls = has_polls
        self._reported: Counter[tuple[Any, ...]] = Counter()
        self._troubled: set[tuple[Any, ...]] = set()

    def report(
        self,
        asked: Opening,
        method: str,
        url: str,
        request: Header,
        status: int | None,
        answered: Header,
        body: bytes | None,
        *,
        error: str | None = None,
        tap: str | None = None,
        client: str | None = None,
    ) -> LibraryAsked | None:
        """The event of a request with its answer, where there is something to report."""
        origin = request("origin")
        page = page_of(method, url, request, is_seen_by_browser=self._is_seen_by_browser)
        is_behind = tap is not None and tap.startswith("origin")  # a hop may add what CORS wants
        problem = trouble(asked, None if is_behind else page, status, answered, body)
        is_left = problem == "unanswered" and any(word in (error or "").upper() for word in _GAVE_UP)
        if is_left or (self._has_polls and _is_first_poll(asked) and problem in _POLL_FAILED):
            return None
        host = host_of_url(url)
        place = (tap, asked.library, host, asked.base, "begin" if asked.part == "preflight" else asked.part)
        if problem is None and asked.part != "preflight" and place in self._troubled:
            self._troubled.discard(place)
            problem = "served"
        key = (place, asked.part, problem, status)
        if (
            problem is None
            or sum(self._reported.values()) >= MAX_REPORTED
            or self._reported[key] >= MAX_ALIKE
        ):
            return None
        self._reported[key] += 1
        if problem != "served":
            self._troubled.add(place)
        plain = url.partition("?")[0]
        said = (
            body[:_SAID].decode("utf-8", "replace") if body and problem in ("failed", "page", "lost") else ""
        )
        return LibraryAsked(
            tap=tap,
            client=client,
            library=asked.library,
            part=asked.part,
            base=asked.base[:_WORDS],
            host=host,
            url=plain[:_WORDS],
            method=method[:20],
            status=status,
            problem=problem,
            origin=origin[:_WORDS] if origin else None,
            allowed=(answered("access-control-allow-origin") or "")[:_WORDS] or None,
            location=(answered("location") or "").partition("?")[0][:_WORDS] or None,
            server=(answered("server") or "")[:100] or None,
            media_type=media_type(answered),
            refusal=said or None,
            error=error[:_SAID] if error and status is None else None,
        )


def host_of_url(url: str) -> str | None:
    """The host of a URL; None where it has none."""
    try:
        return urlsplit(url).hostname
    except ValueError:
        return None
