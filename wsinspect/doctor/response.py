"""Reads one HTTP/1.1 response, of any server, without I/O: our tolerant reader, with h11 as the strict judge.

Contract: never raises on a peer's bytes, and keeps a bounded part of them. Header blocks are kept byte for
byte. h11 reads the same bytes, says whether a strict client could have, and takes chunked bodies apart; where
it gives up, the body is what comes by Content-Length, else until the end.
"""

from __future__ import annotations

import re
from typing import Final

import h11

from wsinspect.handshake.heads import RawHead
from wsinspect.units import format_size

#: A larger header block will never end.
MAX_HEAD: Final = 64 * 1024
#: Bytes of a body that are kept; what comes after them is not waited for.
MAX_BODY: Final = 64 * 1024
#: Interim responses before the final one; a server that sends more sends nothing else.
MAX_INTERIM: Final = 16
#: The empty line that ends a header block, also after a bare LF (RFC 9112 section 2.2).
_END: Final = re.compile(rb"\n\r?\n")


class ResponseReader:
    """The response to one request.

    Args:
        is_upgrade: whether the request asked for an upgrade.

    Attributes:
        head: the final header block, once it is whole.
        raw_head: its bytes; before it is whole, what has come of it.
        informational: the header blocks of 1xx responses before it.
        rest: what follows a 101.
        has_begun: whether anything has come.
    """

    def __init__(self, *, is_upgrade: bool) -> None:
        self.head: RawHead | None = None
        self.raw_head = b""
        self.informational = b""
        self.rest = b""
        self.has_begun = False
        self._buffer = b""
        self._interim = 0
        self._tolerant = b""
        self._is_over = False
        self._judge = _Judge(is_upgrade=is_upgrade)

    @property
    def strict(self) -> str | None:
        """What h11 does not accept; None where it accepts all."""
        return self._judge.problem

    @property
    def has_head(self) -> bool:
        """Whether the final header block is whole."""
        return self.head is not None

    @property
    def is_endless(self) -> bool:
        """Whether there is more of a header block, or more of them, than any server sends."""
        return self.head is None and (len(self._buffer) > MAX_HEAD or self._interim > MAX_INTERIM)

    @property
    def too_much(self) -> str:
        """What there is too much of, where the answer is endless."""
        if self._interim > MAX_INTERIM:
            return f"{self._interim} interim responses (1xx) came and no final one"
        return f"more than {format_size(MAX_HEAD)} of response headers came, and no end of them"

    @property
    def is_switching(self) -> bool:
        """Whether the answer is a 101: what follows is another protocol."""
        return self.head is not None and self.head.status == 101

    @property
    def is_done(self) -> bool:
        """Whether nothing more is wanted: the response is whole, or larger than anybody needs."""
        if self._is_over or self.is_endless or self.is_switching:
            return True
        if self.head is None:
            return False
        if self._judge.problem is None:
            return self._judge.is_whole or len(self._judge.body) >= MAX_BODY
        length = self.head.get("content-length") or b""
        wanted = int(length[:9]) if length.isdigit() else MAX_BODY
        return len(self._tolerant) >= min(wanted, MAX_BODY)

    @property
    def body(self) -> bytes:
        """The beginning of the body, without its framing where h11 could read that."""
        return (self._judge.body if self._judge.problem is None else self._tolerant)[:MAX_BODY]

    def feed(self, data: bytes) -> None:
        """Take bytes, in any pieces."""
        self.has_begun = self.has_begun or bool(data)
        if self.is_done:
            return
        self._judge.feed(data)
        if self.head is None:
            self._buffer += data
            self._take_heads()
        else:
            self._tolerant += data[: MAX_BODY - len(self._tolerant)]

    def end(self) -> None:
        """The server ended its direction."""
        if not self._is_over:
            self._judge.feed(b"")
        self._is_over = True

    def _take_heads(self) -> None:
        """Whole header blocks off the buffer, until the final one."""
        while self.head is None and self._interim <= MAX_INTERIM:
            end = _END.search(self._buffer.lstrip(b"\r\n"))
            if end is None:
                self.raw_head = self._buffer[:MAX_HEAD]
                return
            size = len(self._buffer) - len(self._buffer.lstrip(b"\r\n")) + end.end()
            head = RawHead.parse(self._buffer[:size])
            rest = self._buffer[size:]
            self._buffer = rest
            if head.status is not None and 100 <= head.status < 200 and head.status != 101:
                self._interim += 1
                self.informational += head.raw
                continue
            self.head, self.raw_head = head, head.raw
            if head.status == 101:
                self.rest = rest
            else:
                self._tolerant = rest[:MAX_BODY]


class _Judge:
    """h11, as the client that asked."""

    def __init__(self, *, is_upgrade: bool) -> None:
        self.problem: str | None = None
        self.body = b""
        self.is_whole = False
        self._h11 = h11.Connection(h11.CLIENT, max_incomplete_event_size=MAX_HEAD)
        fields = [
            ("Host", "h11"),
            *([("Connection", "Upgrade"), ("Upgrade", "websocket")] if is_upgrade else []),
        ]
        self._h11.send(h11.Request(method="GET", target="/", headers=fields))
        self._h11.send(h11.EndOfMessage())

    def feed(self, data: bytes) -> None:
        if self.problem is not None or self.is_whole:
            return
        try:
            self._h11.receive_data(data)
            while not self.is_whole and len(self.body) < MAX_BODY:
                event = self._h11.next_event()
                if event is h11.NEED_DATA or event is h11.PAUSED:
                    return
                if isinstance(event, h11.Data):
                    self.body += bytes(event.data)
                elif not isinstance(event, h11.InformationalResponse):
                    self.is_whole = isinstance(event, (h11.EndOfMessage, h11.ConnectionClosed))
                elif event.status_code == 101:
                    self.is_whole = True
        except h11.RemoteProtocolError as error:
            self.problem = str(error)
