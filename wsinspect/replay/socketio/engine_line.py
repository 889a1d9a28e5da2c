"""The way to a client that speaks Engine.IO: long-polling, a WebSocket, or first one and then the other.

What is said goes to the WebSocket once the client has upgraded to it, before that into the answer to its next
poll. docs/replay.md says what of it is of today.
"""

from __future__ import annotations

import asyncio
import time
from typing import Final

from wsinspect.decoders.engineio_payload import Packet, encode
from wsinspect.replay.common.conduit import Conduit
from wsinspect.replay.common.incoming import MessageReceiver
from wsinspect.replay.common.lines import Line, LineHandler
from wsinspect.replay.common.script import Send
from wsinspect.replay.socketio.engineio import NOOP, PING, UPGRADE, EngineIo, is_transports
from wsinspect.wire.frame import serialize_frame
from wsinspect.wire.opcodes import Direction, Opcode

#: Packets that wait for a poll; the recording waits when there are more.
_FULL: Final = 1000
_PROBE: Final = b"2probe"
_CLOSE: Final = b"1"


class EngineLine(Line):
    """One session; a client that comes with a WebSocket at once has its conduit from the start.

    Attributes:
        engine: what of it is of today.
        is_upgraded: whether it goes over a WebSocket.
    """

    def __init__(self, engine: EngineIo, conduit: Conduit | None) -> None:
        super().__init__(conduit)
        self.engine = engine
        self.is_upgraded = conduit is not None
        self._probing: Conduit | None = None
        self._queue: list[Packet] = []
        self._poll: asyncio.Future[None] | None = None
        self._gone: str | None = None
        self._room = asyncio.Event()
        self._room.set()
        self._seen = time.monotonic()
        self._heart: asyncio.Task[None] | None = None

    @property
    def ended(self) -> str | None:
        """How the client ended it."""
        return self._gone or super().ended

    @property
    def is_ready(self) -> bool:  # type: ignore[override]
        """Whether all was said that the recording takes for granted."""
        return self.engine.is_ready

    def skips(self, data: bytes) -> bool:
        """The transport's own packets are made live."""
        return is_transports(data)

    def begin(self, handler: LineHandler) -> None:
        """Send the packets that open Engine.IO, then listen; its pings start here."""
        for packet in self.engine.greeting(may_upgrade=not self.is_upgraded):
            self._say(Packet(False, packet))
        self._heart = asyncio.get_running_loop().create_task(self._beat())
        super().begin(handler)

    def send(self, step: Send) -> None:
        """Send what was recorded; its frames do not matter, its messages do."""
        if step.opcode == Opcode.TEXT:
            self._say(Packet(False, self.engine.outgoing(step.data)))
        elif step.opcode == Opcode.BINARY:
            self._say(Packet(True, step.data))
        elif self.is_upgraded:
            super().send(step)
        elif step.opcode == Opcode.CLOSE:
            self.send_close(b"")

    def send_close(self, body: bytes) -> None:
        """Close it as its transport does."""
        if self.is_upgraded:
            super().send_close(body)
        else:
            self.has_sent_close = True
            self._say(Packet(False, _CLOSE))

    async def drain(self) -> None:
        """Wait until the client takes more."""
        await self._room.wait()
        if self.is_upgraded:
            await super().drain()

    def abort(self) -> None:
        """Reset it; a session of polls is forgotten."""
        self._leave("rst")
        super().abort()

    def hang_up(self) -> None:
        self._leave("fin")
        if self._probing is not None:
            self._probing.close()
        super().hang_up()

    # Long-polling

    async def poll(self) -> bytes | None:
        """The answer to a poll, as soon as there is something to say; None when the session is over."""
        self._seen = time.monotonic()
        if self._poll is not None and not self._poll.done():
            # Two polls at once: Engine.IO ends such a session.
            self._leave("fin")
            return None
        if not self._queue and self._gone is None and not self._is_changing():
            self._poll = asyncio.get_running_loop().create_future()
            await self._poll
            self._poll = None
        self._seen = time.monotonic()
        packets, self._queue = self._queue, []
        self._room.set()
        if not packets and self._gone is not None:
            return None
        return encode(packets or [Packet(False, NOOP)], self.engine.version)

    def post(self, packets: list[Packet]) -> None:
        """Packets that the client sent in a request."""
        self._seen = time.monotonic()
        for packet in packets:
            if not packet.is_binary and packet.data == _CLOSE:
                self._leave("fin")
                break
            self.on_message(Opcode.BINARY if packet.is_binary else Opcode.TEXT, packet.data)
        self._change()

    def probe(self, conduit: Conduit) -> None:
        """A WebSocket for this session: it is used once the client sends `5`."""
        if self._probing is not None:
            self._probing.close()
        self._probing = self._conduit = conduit
        self._receiver = MessageReceiver(Direction.CLIENT_TO_SERVER)
        conduit.listen(self)

    def on_message(self, opcode: int, data: bytes) -> None:
        """A packet from the client."""
        self._seen = time.monotonic()
        if opcode != Opcode.TEXT:
            super().on_message(opcode, data)
            return
        if data == UPGRADE and self._probing is not None and not self.is_upgraded:
            self._upgrade()
            return
        compared, answer = self.engine.incoming(data)
        if answer is not None:
            if data == _PROBE and self._probing is not None:
                self._probing.write(serialize_frame(Opcode.TEXT, answer))
                self._wake()
            else:
                self._say(Packet(False, answer))
        if compared is not None:
            super().on_message(opcode, compared)

    def on_end(self, how: str) -> None:
        """A WebSocket has ended, and the session with it, unless it was only being tried."""
        if self._probing is not None and not self.is_upgraded:
            self._probing = self._conduit = self.close = None
            return
        super().on_end(how)

    def _upgrade(self) -> None:
        self.is_upgraded = True
        packets, self._queue = self._queue, []
        for packet in packets:
            self._say(packet)
        self._room.set()
        self._wake()

    def _is_changing(self) -> bool:
        return self._probing is not None

    def _say(self, packet: Packet) -> None:
        if self.is_upgraded:
            self.write(serialize_frame(Opcode.BINARY if packet.is_binary else Opcode.TEXT, packet.data))
            return
        self._queue.append(packet)
        if len(self._queue) > _FULL:
            self._room.clear()
        self._wake()

    def _wake(self) -> None:
        if self._poll is not None and not self._poll.done():
            self._poll.set_result(None)

    def _leave(self, how: str) -> None:
        """The session is over."""
        if self._gone is None:
            self._gone = how
            if self._heart is not None:
                self._heart.cancel()
            self._room.set()
            self._wake()
            self._change()

    def _change(self) -> None:
        if self._handler is not None:
            self._handler.change()

    async def _beat(self) -> None:
        """Send heartbeats; a client that stops polling is gone."""
        interval_s = self.engine.interval_s
        pause = interval_s if interval_s is not None else self.engine.patience_s / 2
        while self.ended is None:
            await asyncio.sleep(pause)
            if not self.is_upgraded and time.monotonic() - self._seen > self.engine.patience_s:
                self._leave("fin")
            elif interval_s is not None and Packet(False, PING) not in self._queue:
                self._say(Packet(False, PING))
