"""One HTTP/1.1 request to a played server and its response, read and written by h11.

For everything that is not recorded: refusals, and Engine.IO's long-polling. Opening handshakes and recorded
responses keep their own bytes (`handshake.heads`), valid or not; what h11 writes always is.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from http import HTTPStatus
from typing import Final

import h11

from wsinspect.handshake.heads import RawHead
from wsinspect.replay.common.conduit import MAX_HEAD, Conduit, Listener

#: Responses that carry no body (RFC 9110 section 6.4.1); a Content-Length is forbidden there too.
_BODILESS: Final = (204, 304)


class Exchange(Listener):
    """A request whose header block has come; the connection ends with its response.

    Args:
        request: the header block.
        max_body: bytes of a body that are taken; 0 for a request whose body does not matter.

    Attributes:
        body: of the request, without its framing.
        is_whole: whether the body has come to its end.
        is_too_large: whether it is, or is announced to be, larger than `max_body`.
        problem: what h11 does not accept in the request; None while it accepts it.
    """

    def __init__(self, request: RawHead, *, max_body: int = 0) -> None:
        self.body = bytearray()
        self.is_whole = self.is_too_large = False
        self.problem: str | None = None
        self._fields: dict[bytes, bytes] = {}
        self._max_body = max_body
        self._method = request.method
        self._changed = asyncio.Event()
        self._h11 = h11.Connection(h11.SERVER, max_incomplete_event_size=MAX_HEAD)
        self.on_data(request.raw)

    def field(self, name: bytes) -> bytes:
        """A field of the request by its lower-case name, the first of several; empty without one.

        h11 has checked its value, so it can stand in a response.
        """
        return self._fields.get(name, b"")

    @property
    def is_over(self) -> bool:
        """Whether nothing more is read: more bytes of this peer are dropped, not kept."""
        return self.is_whole or self.is_too_large or self.problem is not None

    def on_data(self, data: bytes) -> None:
        """Bytes of the request, in any pieces; empty for its end."""
        if not self.is_over:
            try:
                self._h11.receive_data(data)
                self._take_events()
            except (h11.RemoteProtocolError, ValueError) as error:  # int() of h11 0.14 on thousands of digits
                self.problem = str(error)
        if self.is_over:
            self._changed.set()

    def _take_events(self) -> None:
        while not self.is_over:
            event = self._h11.next_event()
            if isinstance(event, h11.Request):
                self._begin(event)
            elif isinstance(event, h11.Data):
                self.body += event.data
                self._check_size(len(self.body))
            elif isinstance(event, h11.EndOfMessage):
                self.is_whole = True
            else:
                return

    def on_end(self, how: str) -> None:
        """The client has ended its direction: h11 knows whether its request was whole."""
        self.on_data(b"")
        self._changed.set()

    async def read(self, conduit: Conduit, timeout_s: float) -> bytes | None:
        """The whole body; None where it is too large, malformed, cut off, or not here in time."""
        conduit.listen(self)
        if self._h11.they_are_waiting_for_100_continue and not self.is_over:
            conduit.write(
                self._sent(h11.InformationalResponse(status_code=100, headers=[], reason=b"Continue"))
            )
        try:
            async with asyncio.timeout(timeout_s):
                await self._changed.wait()
        except TimeoutError:
            return None
        return bytes(self.body) if self.is_whole else None

    def respond(self, status: int, body: bytes, fields: Sequence[tuple[bytes, bytes]] = ()) -> bytes:
        """The bytes of the response: `fields`, and those that frame the body and end the connection.

        Args:
            status: of `HTTPStatus`.
            body: left out where the method or the status allows none.
            fields: names and values; values out of a request only as `field` gives them.
        """
        framing = [] if status in _BODILESS else [(b"Content-Length", b"%d" % len(body))]
        response = h11.Response(
            status_code=status,
            reason=HTTPStatus(status).phrase.encode(),
            headers=[*fields, *framing, (b"Connection", b"close")],
        )
        data = self._sent(response)
        if body and framing and self._method != b"HEAD":
            data += self._sent(h11.Data(data=body))
        return data + self._sent(h11.EndOfMessage())

    def _begin(self, request: h11.Request) -> None:
        self._fields = dict(reversed(request.headers))
        if self.field(b"content-length"):
            self._check_size(int(self.field(b"content-length")))

    def _check_size(self, size: int) -> None:
        self.is_too_large = size > self._max_body

    def _sent(self, event: h11.Event) -> bytes:
        return self._h11.send(event) or b""
