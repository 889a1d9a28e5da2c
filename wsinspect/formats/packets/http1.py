"""Opening handshakes over HTTP/1.1 (RFC 6455 section 4), among all requests of a connection, and what
follows them.

Messages are told apart by their lengths (RFC 9112 section 6). The bytes of heads stay as they came. A gap,
or what is not HTTP, ends the reading: where a message begins is then not known.
"""

from __future__ import annotations

import re
from typing import Final, Protocol

from wsinspect.handshake.heads import RawHead
from wsinspect.journal.format import BODY_BYTES

_MAX_HEAD: Final = 256 * 1024
_MAX_LINE: Final = 4096
_END: Final = re.compile(rb"\r?\n\r?\n")
_REQUEST: Final = re.compile(rb"[!#$%&'*+.^_`|~0-9A-Za-z-]{1,32} [^\r\n]{1,65536} HTTP/1\.[01]\r?\n")
_RESPONSE: Final = re.compile(rb"HTTP/1\.[01] [1-5][0-9][0-9]")
_MAX_PIPELINE: Final = 1000


class Story(Protocol):
    """Takes what happens to the WebSockets of a connection, each by its number; side 0 is the client."""

    def attempt(self, head: bytes, time_ns: int, stream: int | None = None) -> int: ...

    def informational(self, number: int, head: bytes, time_ns: int) -> None: ...

    def answer(self, number: int, head: bytes, time_ns: int, *, is_open: bool) -> None: ...

    def body(self, number: int, data: bytes, time_ns: int) -> None: ...

    def message(self, number: int, side: int, data: bytes, time_ns: int) -> None: ...

    def hole(self, number: int, side: int, size: int, time_ns: int) -> None: ...

    def ended(self, number: int, side: int, how: str, time_ns: int, http2: str | None = None) -> None: ...

    def failed(self, number: int, error: str, time_ns: int) -> None: ...

    def closed(self, number: int, time_ns: int) -> None: ...


class NotHttpError(Exception):
    """The bytes are not HTTP, or too much of it at once."""


class _Asked:
    """A request that waits for its response."""

    __slots__ = ("method", "number", "target")

    def __init__(self, method: bytes, number: int | None, target: bytes) -> None:
        self.method = method
        self.number = number
        self.target = target


class _Direction:
    """Where in its messages one side is.

    Attributes:
        state: `head`, `length`, `chunk`, `chunk-end`, `trailer`, `close` (a body that lasts until the end),
            `held` (after an upgrade was asked for) or `through`.
    """

    __slots__ = ("buffer", "left", "number", "state")

    def __init__(self) -> None:
        self.buffer = bytearray()
        self.state = "head"
        self.left = 0
        self.number: int | None = None  # the refused attempt that the body is of


class Http1:
    """The messages of a connection.

    Attributes:
        number: of the WebSocket that the connection became; None before.
        tunnel: a CONNECT was answered: what follows is another protocol (`take_rest`).
        target: of the last CONNECT that was answered.
        refusal: the status line of one that was not; who has said it sets it to None.
    """

    __slots__ = ("_asked", "_directions", "_story", "number", "refusal", "target", "tunnel")

    def __init__(self, story: Story) -> None:
        self._story = story
        self._directions = (_Direction(), _Direction())
        self._asked: list[_Asked] = []  # a deque takes 700 bytes
        self.number: int | None = None
        self.tunnel = False
        self.target = b""
        self.refusal: bytes | None = None

    def feed(self, side: int, data: bytes, time_ns: int) -> None:
        """What a side sent.

        Raises:
            NotHttpError: it is not HTTP.
        """
        if self.number is not None:
            self._story.message(self.number, side, data, time_ns)
            return
        direction = self._directions[side]
        if direction.state == "close":
            self._body(direction, data, time_ns)
            return
        direction.buffer += data
        if len(direction.buffer) > 4 * _MAX_HEAD and direction.state in ("head", "held"):
            raise NotHttpError("a header block without an end")
        self._advance(side, direction, time_ns)

    def gap(self, side: int, size: int, time_ns: int) -> None:
        """Bytes of a side are missing.

        Raises:
            NotHttpError: where a message begins is not known any more.
        """
        direction = self._directions[side]
        if self.number is not None:
            self._story.hole(self.number, side, size, time_ns)
        elif direction.state in ("length", "chunk") and direction.left >= size and not direction.buffer:
            direction.left -= size  # in the middle of a body
        elif direction.state != "close":
            raise NotHttpError("bytes of its messages are missing in the trace")

    def waiting(self) -> list[int]:
        """The attempts that have not been answered."""
        return [one.number for one in self._asked if one.number is not None]

    def refused(self) -> list[int]:
        """The attempt whose answer's body is not over."""
        number = self._directions[1].number
        return [] if number is None else [number]

    def take_rest(self) -> tuple[bytes, bytes]:
        """What both sides sent after a CONNECT was answered, so far."""
        client, server = (bytes(one.buffer) for one in self._directions)
        return client, server

    def _advance(self, side: int, direction: _Direction, time_ns: int) -> None:
        while direction.buffer and direction.state != "held" and not self.tunnel:
            if direction.state == "head":
                if not self._head(side, direction, time_ns):
                    return
            elif direction.state == "close":
                data = bytes(direction.buffer)
                direction.buffer.clear()
                self._body(direction, data, time_ns)
            elif direction.state in ("length", "chunk"):
                self._skip(direction, time_ns)
            elif not self._chunk_line(direction):
                return

    def _head(self, side: int, direction: _Direction, time_ns: int) -> bool:
        buffer = direction.buffer
        while buffer[:2] == b"\r\n":  # RFC 9112 section 2.2
            del buffer[:2]
        end = _END.search(buffer, 0, _MAX_HEAD)
        if end is None:
            start = bytes(buffer[:12])
            if len(buffer) >= _MAX_HEAD or (side and len(start) == 12 and not _RESPONSE.match(start)):
                raise NotHttpError("not an HTTP header block")
            return False
        raw = bytes(buffer[: end.end()])
        if not (_RESPONSE if side else _REQUEST).match(raw):
            raise NotHttpError("not an HTTP header block")
        del buffer[: end.end()]
        if side:
            self._response(raw, direction, time_ns)
        else:
            self._request(raw, direction, time_ns)
        return True

    def _request(self, raw: bytes, direction: _Direction, time_ns: int) -> None:
        if len(self._asked) >= _MAX_PIPELINE:
            raise NotHttpError("more requests without an answer than anybody sends")
        method = raw[: raw.index(b" ")]
        number = None
        head = RawHead.parse(raw)
        if is_upgrade(raw, head):
            number = self._story.attempt(raw, time_ns)
            self._set_body(direction, head, is_request=True)
            if direction.state == "head":
                direction.state = "held"
        elif method == b"CONNECT":
            direction.state = "held"
        else:
            self._set_body(direction, head, is_request=True)
        target = raw.split(b" ", 2)[1] if method == b"CONNECT" else b""
        self._asked.append(_Asked(method, number, target))

    def _response(self, raw: bytes, direction: _Direction, time_ns: int) -> None:
        head = RawHead.parse(raw)
        status = head.status or 0
        asked = self._asked[0] if self._asked else None
        number = asked.number if asked is not None else None
        if 100 <= status < 200 and status != 101:
            if number is not None:
                self._story.informational(number, raw, time_ns)
            return
        if asked is not None:
            self._asked.pop(0)
        client = self._directions[0]
        if status == 101:
            if number is None:
                raise NotHttpError("switched to another protocol")
            self._story.answer(number, raw, time_ns, is_open=True)
            self._open(number, time_ns)
            return
        if asked is not None and asked.method == b"CONNECT":
            self.target = asked.target
            if 200 <= status < 300:
                self.tunnel = True
                return
            self.refusal = raw.split(b"\n", 1)[0].strip()
        if number is not None:
            self._story.answer(number, raw, time_ns, is_open=False)
        self._set_body(direction, head, is_request=False, method=asked.method if asked else b"")
        if number is not None:
            if direction.state == "head":
                self._story.closed(number, time_ns)
            else:
                direction.number = number
        if client.state == "held":
            client.state = "head"
            self._advance(0, client, time_ns)

    def _open(self, number: int, time_ns: int) -> None:
        self.number = number
        for side, direction in enumerate(self._directions):
            if direction.buffer:
                data = bytes(direction.buffer)
                direction.buffer.clear()
                self._story.message(number, side, data, time_ns)

    # -- bodies

    def _set_body(
        self, direction: _Direction, head: RawHead, *, is_request: bool, method: bytes = b""
    ) -> None:
        status = head.status or 0
        if not is_request and (method == b"HEAD" or status in (204, 304)):
            return
        if "chunked" in head.tokens("transfer-encoding"):
            direction.state = "chunk-line"
            return
        length = head.get("content-length")
        if length is not None:
            if not length.isdigit() or len(length) > 18:
                raise NotHttpError("a Content-Length that is not a number")
            direction.left = int(length)
            direction.state = "length" if direction.left else "head"
        elif not is_request:
            direction.state = "close"

    def _skip(self, direction: _Direction, time_ns: int) -> None:
        data = bytes(direction.buffer[: direction.left])
        del direction.buffer[: len(data)]
        direction.left -= len(data)
        self._body(direction, data, time_ns)
        if not direction.left:
            if direction.state == "chunk":
                direction.state = "chunk-end"
            else:
                self._end_body(direction, time_ns)

    def _chunk_line(self, direction: _Direction) -> bool:
        """A line of the chunked coding (RFC 9112 section 7.1); False where it is not whole yet."""
        end = direction.buffer.find(b"\n", 0, _MAX_LINE)
        if end < 0:
            if len(direction.buffer) >= _MAX_LINE:
                raise NotHttpError("a chunk without a size")
            return False
        line = bytes(direction.buffer[:end]).strip()
        del direction.buffer[: end + 1]
        if direction.state == "chunk-end":
            direction.state = "chunk-line"
        elif direction.state == "trailer":
            if not line:
                self._end_body(direction, 0)
        else:
            try:
                direction.left = int(line.split(b";", 1)[0].strip() or b"x", 16)
            except ValueError:
                raise NotHttpError("a chunk without a size") from None
            direction.state = "chunk" if direction.left else "trailer"
        return True

    def _body(self, direction: _Direction, data: bytes, time_ns: int) -> None:
        if direction.number is not None:
            self._story.body(direction.number, data[:BODY_BYTES], time_ns)

    def _end_body(self, direction: _Direction, time_ns: int) -> None:
        # A server reads the body of an opening handshake before it switches to frames (RFC 9110 section 7.8).
        is_asking = direction is self._directions[0] and bool(self.waiting())
        direction.state = "held" if is_asking else "head"
        if direction.number is not None:
            self._story.closed(direction.number, time_ns)
            direction.number = None


def is_upgrade(raw: bytes, head: RawHead) -> bool:
    """Whether a request is an opening handshake, also one that a hop took something of."""
    lower = raw.lower()
    if b"websocket" not in lower:
        return False
    return "websocket" in head.tokens("upgrade") or head.get("sec-websocket-key") is not None
