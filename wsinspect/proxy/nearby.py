"""Plain requests near an attempt, as events `http` of it: method, URL, status and time, no bodies.

`RequestLog` is a mitmproxy addon behind `AttemptLog`; which requests count is `clients.nearby`'s to say. What
a page is drawn with (scripts, styles, images) counts only where it failed: a page has too many of them.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable
from typing import Final

from mitmproxy import http

from wsinspect.clients.nearby import (
    MAX_URL,
    Asked,
    Nearby,
    body_length,
    counts,
    media_type,
    what_for,
    whose,
)
from wsinspect.proxy.attempts import Sink, attempt_of, is_opening_handshake
from wsinspect.vocabulary import events

_METADATA: Final = "wsinspect_request"
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
        fields = response.headers.get if response is not None else _none
        if not counts(request.method, request.path, request.headers.get, status):
            return
        now_ns = self._now_ns()
        self._count += 1
        event = events.HttpRequest(
            number=self._count,
            method=request.method,
            url=request.pretty_url[:MAX_URL],
            what=what_for(request.method, request.path, request.headers.get),
            status=status,
            ms=round((now_ns - began_ns) / _MILLISECOND, 3),
            length=body_length(fields),
            media_type=media_type(fields),
            error=flow.error.msg if flow.error is not None and response is None else None,
        )
        one = Asked(began_ns, event)
        attempt = self._nearby.asked(_who(flow), one, now_ns)
        if attempt is not None:
            self._note(attempt, one)

    def _note(self, attempt: int, one: Asked) -> None:
        self._sink.event(attempt, one.event, one.began_ns)


def _who(flow: http.HTTPFlow) -> Hashable:
    return whose(str(flow.client_conn.peername[0]), flow.request.headers.get)


def _none(_name: str) -> None:
    """The fields of a response that there is not."""
