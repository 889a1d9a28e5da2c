"""Requests of libraries that do not lead to a WebSocket, as events `library_asked` (`clients.openings`).

`OpeningLog` is a mitmproxy addon next to `PollLog`. It copies the beginning of such an answer while it
streams through. What this proxy answered itself is reported elsewhere, and so are a server that it could not
reach and Socket.IO's first poll (`PollLog`).
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

from mitmproxy import http

from wsinspect.clients.openings import MAX_BODY, Opening, Openings, opening_of
from wsinspect.handshake.codings import decoded
from wsinspect.proxy.attempts import Sink, is_opening_handshake

_METADATA: Final = "wsinspect_opening"
Who = Callable[[http.HTTPFlow], tuple[str | None, str | None, int | None]]


class _Answer:
    """The beginning of a body, as it came."""

    def __init__(self, opening: Opening) -> None:
        self.opening = opening
        self.body = bytearray()

    def take(self, chunk: bytes) -> None:
        self.body += chunk[: MAX_BODY - len(self.body)]


class OpeningLog:
    """See the module docstring.

    Args:
        sink: takes the events.
        now_ns: the engine's clock.
        who: tap, address and client session of a request.
    """

    def __init__(self, sink: Sink, now_ns: Callable[[], int], who: Who) -> None:
        self._sink = sink
        self._now_ns = now_ns
        self._who = who
        self._openings = Openings(has_polls=True)

    def requestheaders(self, flow: http.HTTPFlow) -> None:
        """Whether it is one of a library's, which the server is to answer."""
        request = flow.request
        if flow.response is None and not is_opening_handshake(request):
            asked = opening_of(request.method, request.path, request.headers.get)
            if asked is not None:
                flow.metadata[_METADATA] = _Answer(asked)

    def responseheaders(self, flow: http.HTTPFlow) -> None:
        answer, response = flow.metadata.get(_METADATA), flow.response
        if not isinstance(answer, _Answer) or response is None:
            return
        before = response.stream

        def look(chunk: bytes) -> bytes:
            if callable(before):
                before(chunk)
            answer.take(chunk)
            return chunk

        response.stream = look

    def response(self, flow: http.HTTPFlow) -> None:
        """All of the answer has passed."""
        answer, response = flow.metadata.pop(_METADATA, None), flow.response
        if not isinstance(answer, _Answer) or response is None:
            return
        tap, client, _ = self._who(flow)
        coding = response.headers.get("content-encoding", "").encode("latin-1", "replace")
        event = self._openings.report(
            answer.opening,
            flow.request.method,
            flow.request.pretty_url,
            flow.request.headers.get,
            response.status_code,
            response.headers.get,
            decoded(bytes(answer.body), coding, MAX_BODY),
            tap=tap,
            client=client,
        )
        if event is not None:
            self._sink.event(0, event, self._now_ns())
