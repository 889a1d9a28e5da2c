"""Plain requests near an attempt, as events `http` of it: method, URL, status and time, no bodies.

`RequestLog` is a mitmproxy addon behind `AttemptLog`; which requests count is `clients.nearby`'s to say. What
a page is drawn with (scripts, styles, images) counts only where it failed: a page has too many of them.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable
from typing import Final

from mitmproxy import http

from wsinspect.clients.nearby import Asked, Nearby
from wsinspect.decoders.engineio import is_polling_path
from wsinspect.proxy.attempts import Sink, attempt_of, is_opening_handshake
from wsinspect.proxy.polling import is_negotiation
from wsinspect.vocabulary import events

#: Longer URLs are cut.
MAX_URL: Final = 2000
_METADATA: Final = "wsinspect_request"
#: Of `Sec-Fetch-Dest` (Fetch, section 2.2.7): what is drawn, played or run.
_ASSETS: Final = frozenset(
    ("audio", "font", "image", "manifest", "script", "style", "track", "video", "worker", "sharedworker")
)
_ASSET_ENDINGS: Final = (
    ".css",
    ".gif",
    ".ico",
    ".jpg",
    ".js",
    ".map",
    ".mjs",
    ".png",
    ".svg",
    ".woff",
    ".woff2",
)
_FAILED: Final = 400
_DOCUMENTS: Final = ("document", "iframe")
_MILLISECOND: Final = 10**6


class RequestLog:
    """See the module docstring.

    Args:
        sink: takes the events.
        now_ns: the engine's clock.
    """

    def __init__(self, sink: Sink, now_ns: Callable[[], int]) -> None:
        self._sink = sink
        self._now_ns = now_ns
        self._nearby = Nearby()
        self._count = 0

    def requestheaders(self, flow: http.HTTPFlow) -> None:
        """Record what a client asked for before its attempt, or note when a plain request began."""
        attempt = attempt_of(flow)
        now_ns = self._now_ns()
        if attempt is None:
            if not is_opening_handshake(flow.request):
                flow.metadata[_METADATA] = now_ns
            return
        for one in self._nearby.attempt(_who(flow), attempt.number, now_ns):
            self._note(attempt.number, one)

    def responseheaders(self, flow: http.HTTPFlow) -> None:
        """The answer's header block is there; the body is not waited for."""
        self._answered(flow)

    def response(self, flow: http.HTTPFlow) -> None:
        """For answers that the proxy makes itself: mitmproxy calls no `responseheaders` for them."""
        self._answered(flow)

    def error(self, flow: http.HTTPFlow) -> None:
        """The request failed before the server answered it."""
        self._answered(flow)

    def _answered(self, flow: http.HTTPFlow) -> None:
        began_ns = flow.metadata.pop(_METADATA, None)
        if not isinstance(began_ns, int):
            return
        request, response = flow.request, flow.response
        status = response.status_code if response is not None else None
        if is_asset(request) and status is not None and status < _FAILED:
            return
        now_ns = self._now_ns()
        self._count += 1
        event = events.HttpRequest(
            number=self._count,
            method=request.method,
            url=request.pretty_url[:MAX_URL],
            what=_what(request),
            status=status,
            ms=round((now_ns - began_ns) / _MILLISECOND, 3),
            length=_length(response),
            media_type=_media_type(response),
            error=flow.error.msg if flow.error is not None and response is None else None,
        )
        one = Asked(began_ns, event)
        attempt = self._nearby.asked(_who(flow), one, now_ns)
        if attempt is not None:
            self._note(attempt, one)

    def _note(self, attempt: int, one: Asked) -> None:
        self._sink.event(attempt, one.event, one.began_ns)


def _who(flow: http.HTTPFlow) -> Hashable:
    """What a client's requests have in common: the address; of browsers, of which there may be several, the
    `User-Agent`, too. Other clients have a library for HTTP and another one for WebSockets."""
    peer = flow.client_conn.peername
    agent = flow.request.headers.get("user-agent", "")
    return str(peer[0]), agent[:300] if agent.startswith("Mozilla/") else ""


def is_asset(request: http.Request) -> bool:
    """Whether a page is drawn with it."""
    wanted = request.headers.get("sec-fetch-dest")
    if wanted is not None:
        return wanted in _ASSETS
    return request.method == "GET" and request.path.partition("?")[0].lower().endswith(_ASSET_ENDINGS)


def _what(request: http.Request) -> str | None:
    """What the request is for, where that is plain."""
    if request.method == "OPTIONS" and "access-control-request-method" in request.headers:
        return "preflight"
    if is_polling_path(request.path):
        return "polling"
    if is_negotiation(request):
        return "negotiation"
    wanted = request.headers.get("sec-fetch-dest")
    if wanted in _DOCUMENTS or (
        wanted is None and request.method == "GET" and "text/html" in request.headers.get("accept", "")
    ):
        return "page"
    return None


def _length(response: http.Response | None) -> int | None:
    """Bytes of the body by its header."""
    text = response.headers.get("content-length", "") if response is not None else ""
    return int(text) if text.isascii() and text.isdigit() and len(text) < 16 else None


def _media_type(response: http.Response | None) -> str | None:
    if response is None:
        return None
    return response.headers.get("content-type", "").partition(";")[0].strip()[:100] or None
