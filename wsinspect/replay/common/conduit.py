"""One live connection as bytes: head first, then what is said on it; the only module that knows
transports."""

from __future__ import annotations

import asyncio
import fcntl
import socket
import struct
import sys
import termios
from typing import Final, cast

from wsinspect.closing import abort
from wsinspect.handshake.heads import RawHead

MAX_HEAD: Final = 64 * 1024
_END: Final = b"\r\n\r\n"
#: How long a client may take for its header block.
_HEAD_S: Final = 10.0
_FLUSH_TRIES: Final = 1000
_FLUSH_PAUSE_S: Final = 0.002
_LINGER_0: Final = struct.pack("ii", 1, 0)


class Listener:
    """Receives what a conduit reads; override what is needed."""

    def on_data(self, data: bytes) -> None:
        """Bytes after the head."""

    def on_end(self, how: str) -> None:
        """Nothing more comes: `fin` or `rst`."""


class Conduit(asyncio.Protocol):
    """A connection to a peer.

    Attributes:
        listener: called with what comes after the head; what came before it was set is given to it at once.
        ended: `fin` or `rst` once the peer has ended it.
    """

    def __init__(self) -> None:
        self.listener: Listener | None = None
        self.ended: str | None = None
        self._transport: asyncio.Transport | None = None
        self._head = bytearray()
        self._early = b""
        self._has_head = False
        self._changed = asyncio.Event()
        self._writable = asyncio.Event()
        self._writable.set()
        self._lost = asyncio.Event()

    # asyncio.Protocol

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)

    def data_received(self, data: bytes) -> None:
        if self._has_head:
            if self.listener is not None:
                self.listener.on_data(data)
            else:
                self._early += data
            return
        self._head += data
        end = self._head.find(_END)
        if end >= 0 or len(self._head) > MAX_HEAD:
            self._has_head = True
            end = len(self._head) if end < 0 else end + len(_END)
            self._early = bytes(self._head[end:])
            del self._head[end:]
        self._changed.set()

    def eof_received(self) -> bool:
        self._end("fin")
        return True

    def connection_lost(self, exc: Exception | None) -> None:
        self._end("rst" if exc is not None else "fin")
        self._lost.set()
        self._writable.set()

    def pause_writing(self) -> None:
        self._writable.clear()

    def resume_writing(self) -> None:
        self._writable.set()

    # For the player

    async def head(self) -> RawHead | None:
        """The peer's header block; None when it ended, or sent one that is too large."""
        while not self._has_head and self.ended is None:
            await self._changed.wait()
            self._changed.clear()
        if not self._has_head or not self._head.endswith(_END):
            return None
        return RawHead.parse(bytes(self._head))

    async def head_of_client(self) -> RawHead | None:
        """The header block of a client that connected; None where none came in time, and it was sent away."""
        try:
            async with asyncio.timeout(_HEAD_S):
                request = await self.head()
        except TimeoutError:
            self.abort()
            return None
        if request is None:
            self.close()
        return request

    def listen(self, listener: Listener) -> None:
        """Pass data to `listener` from now on, including what came early."""
        self.listener = listener
        early, self._early = self._early, b""
        if early:
            listener.on_data(early)
        if self.ended is not None:
            listener.on_end(self.ended)

    def write(self, data: bytes) -> None:
        """Write at once or into the transport's buffer; do nothing once the connection is lost."""
        if self._transport is not None and not self._lost.is_set():
            self._transport.write(data)

    async def drain(self) -> None:
        """Wait until the peer reads again."""
        await self._writable.wait()

    async def flushed(self) -> None:
        """Wait until the peer's kernel has all that was written: a RST would overtake it. Bounded."""
        for _ in range(_FLUSH_TRIES):
            if self._transport is None or self._lost.is_set() or not self._unsent():
                return
            await asyncio.sleep(_FLUSH_PAUSE_S)

    def _unsent(self) -> int:
        assert self._transport is not None
        raw = self._transport.get_extra_info("socket")
        size = self._transport.get_write_buffer_size()
        if raw is None or not hasattr(termios, "TIOCOUTQ"):
            return size
        answer = fcntl.ioctl(raw.fileno(), termios.TIOCOUTQ, b"\0\0\0\0")
        return size + int.from_bytes(answer, sys.byteorder)

    def half_close(self) -> None:
        """Send a FIN where the transport can (TLS cannot)."""
        if self._transport is not None and not self._lost.is_set():
            if self._transport.can_write_eof():
                self._transport.write_eof()
            else:
                self._transport.close()

    def close(self) -> None:
        """Send what was written, then a FIN."""
        if self._transport is not None:
            self._transport.close()

    def abort(self) -> None:
        """Send an RST; what is not yet written is lost."""
        if self._transport is None:
            return
        raw = self._transport.get_extra_info("socket")
        if raw is not None and not self._lost.is_set():
            raw.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _LINGER_0)
        abort(self._transport)

    async def lost(self) -> None:
        """Wait until the transport is gone."""
        await self._lost.wait()

    def _end(self, how: str) -> None:
        if self.ended is None:
            self.ended = how
            self._changed.set()
            if self.listener is not None:
                self.listener.on_end(how)
