"""What Engine.IO (Socket.IO) and SignalR say by HTTP, long-polling and Server-Sent Events: events `polling`.

Without them a recording would begin in the middle of a session: connects to namespaces, and what was said at
once, go by polls. `PollLog` is a mitmproxy addon next to `AttemptLog`. It copies bodies while they stream
through; nothing is held or changed. Bounded: bodies, requests of a session, sessions. Of a session that has
more requests it is recorded that it continues, without bodies, and each request that was not served.
"""

from __future__ import annotations

import re
import zlib
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final
from urllib.parse import unquote

from mitmproxy import http

from wsinspect.decoders.engineio import is_polling_path
from wsinspect.proxy.attempts import HELD_BY, Sink, is_opening_handshake
from wsinspect.vocabulary import events

#: Longer bodies are cut, and their event says so.
MAX_BODY: Final = 256 * 1024
#: How many requests are recorded whole of a client that never upgrades; later ones so often, without bodies.
MAX_REQUESTS: Final = 100
ALIVE_NS: Final = 5 * 10**9
#: How many are recorded of a session, or of an address, that were not served.
MAX_REFUSED: Final = 10_000
MAX_SESSIONS: Final = 1000
_SID: Final = re.compile(r"[?&]sid=([^&#]{4,200})")
#: In JSONP the packet is quoted once more.
_OPENED: Final = re.compile(r'\\?"sid\\?"\s?:\s?\\?"([^"\\]{4,200})\\?"')
#: SignalR's: `POST .../negotiate` gives a token, and requests with it as `id` are the connection.
_NEGOTIATED: Final = re.compile(r'"connection(?:Token|Id)":"([^"\\]{4,200})"')
_ID: Final = re.compile(r"[?&]id=([^&#]{4,200})")
_NEGOTIATE: Final = "/negotiate"
SIGNALR: Final = "signalr"
_EVENTS: Final = "text/event-stream"
_SERVED: Final = 200
#: So much is kept of the body of a request that was not served.
MAX_REFUSAL: Final = 300
#: Engine.IO's packet `close`, alone (in version 3 with its length) or the last of a body.
_CLOSE: Final = (b"1", b"1:1")
_LAST_CLOSE: Final = b"\x1e1"
Who = Callable[[http.HTTPFlow], tuple[str | None, str | None, int | None]]
_METADATA: Final = "wsinspect_poll"
#: zlib: the header tells whether it is gzip.
_ANY_HEADER: Final = 47


@dataclass(slots=True)
class _Recorded:
    """What was recorded of a session: requests, those that were not served, and when the last one was."""

    served: int = 0
    refused: int = 0
    last_ns: int = 0


class Poll:
    """One request with its answer."""

    def __init__(self, method: str) -> None:
        self.method = method
        self.request = bytearray()
        self.response = bytearray()
        self.is_cut = False
        self.is_stream = False
        #: Whether the answer is compressed in a way that is not read here, such as Brotli.
        self.is_opaque = False
        self._inflate: zlib._Decompress | None = None

    def expect(self, encoding: str) -> None:
        """How the answer is compressed."""
        if encoding in ("gzip", "deflate"):
            self._inflate = zlib.decompressobj(_ANY_HEADER)
        else:
            self.is_opaque = encoding not in ("", "identity")
            self.is_cut |= self.is_opaque

    def take_request(self, chunk: bytes) -> bytes:
        self._take(self.request, chunk)
        return chunk

    def take_response(self, chunk: bytes) -> None:
        if self.is_opaque:
            return
        if self._inflate is not None:
            try:
                chunk = self._inflate.decompress(chunk, MAX_BODY + 1)
            except zlib.error:
                self.is_cut, chunk = True, b""
        self._take(self.response, chunk)

    def _take(self, body: bytearray, chunk: bytes) -> None:
        room = MAX_BODY - len(body)
        self.is_cut |= len(chunk) > room
        body += chunk[:room]


class PollLog:
    """See the module docstring.

    Args:
        sink: takes the events.
        now_ns: the engine's clock.
        who: tap, address and client session of a request.
        came: called with each request.
    """

    def __init__(self, sink: Sink, now_ns: Callable[[], int], who: Who, came: Callable[[], None]) -> None:
        self._sink = sink
        self._now_ns = now_ns
        self._who = who
        self._came = came
        #: Tokens of SignalR connections.
        self._negotiated: OrderedDict[str, None] = OrderedDict()
        self._recorded: OrderedDict[str, _Recorded] = OrderedDict()

    def requestheaders(self, flow: http.HTTPFlow) -> None:
        """A poll, or packets."""
        request = flow.request
        if is_opening_handshake(request):
            return
        if not (is_poll(request) or is_negotiation(request) or self._signalr(request)):
            return
        self._came()
        if flow.response:
            self._refused(flow, flow.response.status_code)  # a rule of the user's has answered
            return
        poll = Poll(request.method)
        flow.metadata[_METADATA] = poll
        if request.stream is True and not request.headers.get("content-encoding"):
            request.stream = poll.take_request

    def responseheaders(self, flow: http.HTTPFlow) -> None:
        poll, response = flow.metadata.get(_METADATA), flow.response
        if not isinstance(poll, Poll) or response is None:
            return
        poll.expect(response.headers.get("content-encoding", ""))
        before = response.stream

        def look(chunk: bytes) -> bytes:
            if callable(before):
                before(chunk)  # a scanner, which passes on what it gets
            poll.take_response(chunk)
            return chunk

        response.stream = look
        signalr = self._signalr(flow.request)
        if signalr and response.headers.get("content-type", "").startswith(_EVENTS):
            # An answer that ends with the connection: it is open from here on.
            poll.is_stream = True
            self._tell(flow, Poll(poll.method), signalr, response.status_code, "", SIGNALR, "begun")

    def response(self, flow: http.HTTPFlow) -> None:
        """All of it has passed."""
        poll, response = flow.metadata.get(_METADATA), flow.response
        if not isinstance(poll, Poll) or response is None:
            return
        answer = poll.response.decode("utf-8", "replace")
        if is_negotiation(flow.request):
            if response.status_code == 200:
                self._negotiate(answer)
            else:
                self._refused(flow, response.status_code, answer=answer, is_cut=poll.is_cut)
            return
        signalr = self._signalr(flow.request)
        match = _SID.search(flow.request.path) or _OPENED.search(answer[:4096])
        sid = signalr or (match[1] if match is not None else None)
        protocol = SIGNALR if signalr else None
        if sid is None:
            self._refused(flow, response.status_code, answer=answer, is_cut=poll.is_cut)
        elif poll.is_stream:
            self._tell(flow, poll, sid, response.status_code, answer, protocol, "ended")
        elif _is_farewell(poll):
            self._tell(flow, poll, sid, response.status_code, answer, protocol)
        elif self._may(sid, response.status_code):
            if self._recorded[sid].served > MAX_REQUESTS:
                poll, answer = Poll(poll.method), ""
                poll.is_cut = True
            self._tell(flow, poll, sid, response.status_code, answer, protocol)

    def error(self, flow: http.HTTPFlow) -> None:
        """The server gave no answer, or did not finish it."""
        poll = flow.metadata.get(_METADATA)
        if not isinstance(poll, Poll):
            return
        signalr = self._signalr(flow.request)
        has_left = not flow.client_conn.connected
        if poll.is_stream and signalr is not None:
            answer = poll.response.decode("utf-8", "replace")
            self._tell(flow, poll, signalr, 200, answer, SIGNALR, "left" if has_left else "ended")
        else:
            self._refused(flow, None, "left" if has_left else None)

    def _refused(
        self,
        flow: http.HTTPFlow,
        status: int | None,
        stream: str | None = None,
        answer: str = "",
        *,
        is_cut: bool = False,
    ) -> None:
        """A request that would have begun a session, or belongs to one and was not served."""
        match = _SID.search(flow.request.path)
        protocol = None if is_poll(flow.request) else SIGNALR
        sid = match[1] if match is not None else self._signalr(flow.request)
        if self._may(sid or f"refused {flow.client_conn.peername[0]}", status):
            poll = Poll(flow.request.method)
            poll.is_cut = is_cut
            self._tell(flow, poll, sid, status, answer, protocol, stream)

    def _tell(
        self,
        flow: http.HTTPFlow,
        poll: Poll,
        sid: str | None,
        status: int | None,
        answer: str,
        protocol: str | None,
        stream: str | None = None,
    ) -> None:
        tap, client, session = self._who(flow)
        # A 200 that gives no session is a page, or whatever else is at this path.
        is_served = status == _SERVED and sid is not None
        event = events.Polled(
            tap=tap,
            client=client,
            client_session=session,
            protocol=protocol,
            sid=sid,
            host=flow.request.pretty_host,
            path=flow.request.path.partition("?")[0][:500],
            method=poll.method,
            status=status,
            request=poll.request.decode("utf-8", "replace"),
            response=answer if is_served else "",
            is_cut=poll.is_cut,
            refusal=None if is_served else (answer[:MAX_REFUSAL] or None),
            stream=stream,
            rule=flow.metadata.get(HELD_BY),
        )
        self._sink.event(0, event, self._now_ns())

    def _negotiate(self, answer: str) -> None:
        for token in _NEGOTIATED.findall(answer[:8192]):
            self._negotiated[token] = None
            if len(self._negotiated) > MAX_SESSIONS:
                self._negotiated.popitem(last=False)

    def _signalr(self, request: http.Request) -> str | None:
        """The token of a request that belongs to a negotiated SignalR connection."""
        if request.method not in ("GET", "POST", "DELETE"):
            return None
        found = _ID.search(request.path)
        return found[1] if found is not None and unquote(found[1]) in self._negotiated else None

    def _may(self, sid: str, status: int | None) -> bool:
        """Whether to record one more request of a session, or of an address that has no session."""
        known = self._recorded.pop(sid, None) or _Recorded()
        self._recorded[sid] = known
        if len(self._recorded) > MAX_SESSIONS:
            self._recorded.popitem(last=False)
        if status != _SERVED:
            known.refused += 1
            return known.refused <= MAX_REFUSED
        known.served += 1
        now = self._now_ns()
        if known.served > MAX_REQUESTS and now - known.last_ns < ALIVE_NS:
            return False
        known.last_ns = now
        return True


def _is_farewell(poll: Poll) -> bool:
    """Whether the client ends its session by it: SignalR's DELETE, Engine.IO's packet `close`."""
    body = bytes(poll.request[-4:])
    is_close = body in _CLOSE or body.endswith(_LAST_CLOSE)
    return poll.method == "DELETE" or (poll.method == "POST" and is_close)


def is_poll(request: http.Request) -> bool:
    """Whether a request is one of Engine.IO's long-polling."""
    return request.method in ("GET", "POST") and is_polling_path(request.path)


def is_negotiation(request: http.Request) -> bool:
    """Whether a request is SignalR's negotiation."""
    return request.method == "POST" and request.path.partition("?")[0].endswith(_NEGOTIATE)
