"""The way to one client of a played server: a WebSocket."""

from __future__ import annotations

from typing import Protocol

from wsinspect.replay.common.conduit import Conduit, Listener
from wsinspect.replay.common.incoming import MessageReceiver, Received
from wsinspect.replay.common.matching import Message
from wsinspect.replay.common.script import Send
from wsinspect.wire.frame import serialize_frame
from wsinspect.wire.opcodes import Direction, Opcode


class LineHandler(Protocol):
    """What a line calls with what comes in."""

    def hear(self, message: Message) -> None:
        """A message from the client to compare."""

    def problem(self, text: str) -> None:
        """The client broke a rule."""

    def change(self) -> None:
        """Something came, or the client is gone."""


class Line(Listener):
    """A WebSocket.

    Attributes:
        close: the payload of the client's CLOSE frame.
        has_sent_close: whether ours was sent.
        is_ready: whether the recording may continue.
    """

    is_ready = True

    def __init__(self, conduit: Conduit | None) -> None:
        self.close: bytes | None = None
        self.has_sent_close = False
        self._conduit = conduit
        self._handler: LineHandler | None = None
        self._receiver = MessageReceiver(Direction.CLIENT_TO_SERVER)

    @property
    def ended(self) -> str | None:
        """How the client ended the transport: `fin` or `rst`."""
        return None if self._conduit is None else self._conduit.ended

    @property
    def is_live(self) -> bool:
        """Whether the transport stands and the client has not closed."""
        return self.ended is None and self.close is None

    def skips(self, data: bytes) -> bool:
        """Whether a recorded text message is not to be played, or waited for."""
        return False

    def begin(self, handler: LineHandler) -> None:
        """Pass what comes to `handler`."""
        self._handler = handler
        if self._conduit is not None:
            self._conduit.listen(self)

    def send(self, step: Send) -> None:
        """Send what was recorded."""
        self.has_sent_close |= step.opcode == Opcode.CLOSE
        self.write(step.wire)

    def write(self, wire: bytes) -> None:
        """Send bytes as they are, in no frame of ours."""
        if self._conduit is not None:
            self._conduit.write(wire)

    def send_close(self, body: bytes) -> None:
        """Send a CLOSE frame."""
        self.has_sent_close = True
        self.write(serialize_frame(Opcode.CLOSE, body))

    async def drain(self) -> None:
        """Wait until the client takes more."""
        if self._conduit is not None:
            await self._conduit.drain()

    async def flushed(self) -> None:
        """Wait until the client's machine has all."""
        if self._conduit is not None:
            await self._conduit.flushed()

    def abort(self) -> None:
        """Reset the connection, with an RST."""
        if self._conduit is not None:
            self._conduit.abort()

    def hang_up(self) -> None:
        """End the connection after what is written, with a FIN and without a CLOSE frame."""
        if self._conduit is not None:
            self._conduit.close()

    # Listener

    def on_data(self, data: bytes) -> None:
        """The client says something."""
        assert self._handler is not None
        for heard in self._receiver.feed(data):
            if heard.violation:
                self._handler.problem(f"the client breaks the protocol: {heard.violation}")
            self._on_heard(heard)
        self._handler.change()

    def on_end(self, how: str) -> None:
        """The client is gone."""
        if self._handler is not None:
            self._handler.change()

    def _on_heard(self, heard: Received) -> None:
        if heard.opcode in (Opcode.TEXT, Opcode.BINARY):
            self.on_message(heard.opcode, heard.data)
        elif heard.opcode == Opcode.PING:
            self.write(serialize_frame(Opcode.PONG, heard.data[:125]))
        elif heard.opcode == Opcode.CLOSE and self.close is None:
            self.close = heard.data

    def on_message(self, opcode: int, data: bytes) -> None:
        """A message of the client."""
        assert self._handler is not None
        self._handler.hear(Message(opcode, data))
