"""A lean load: one process that serves WebSockets, one that opens many; each says in the end what it counted.

``serve``: answers every opening handshake, checks that the frames of each connection arrive whole and in
order, answers each tenth with a frame, answers CLOSE. Ends when its standard input ends and prints
``{"connections", "frames", "answers", "disorder", "open"}``; before that ``{"port"}``.
``hold PORT``: ``--connections`` at once, each sending ``--rate`` frames a second for ``--seconds``; with
``--frames-each`` a connection is closed after so many frames and another one takes its place.
``churn PORT``: ``--total`` short connections one after another, ``--rate`` of them at once at most.
Both print ``{"connections", "frames", "answers", "disorder", "late_ms", "sent"}`` at the end, ``sent``
being the number of data frames by the path that was asked for.

Frames are 64 bytes of payload: connection, sequence number, filler; so that any loss, doubling or exchange
shows. No library but the standard one, so that it costs less than what it loads.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import resource
import socket
import struct
import sys
from typing import Any

from tests.benchmarks import wsframes

PAYLOAD = 64
ANSWER_EVERY = 10
_HEAD = struct.Struct("!II")
_FILLER = bytes(range(PAYLOAD - _HEAD.size))
_SIZE = wsframes.wire_size(PAYLOAD)
_ANSWER_SIZE = 2 + PAYLOAD
_KEY = b"\x5a\xa5\x3c\xc3"
_MASKED_FILLER = wsframes.xor(_FILLER, _KEY)
_KEY_NUMBER = int.from_bytes(_KEY * 2, "big")
_PREFIX = bytes([0x82, 0x80 | PAYLOAD]) + _KEY
_CLOSE_SIZE = len(wsframes.close_from_client())
#: The sender's clock: everything that is due is sent every so often.
_TICK = 0.01


def payload(number: int, sequence: int) -> bytes:
    """What frame `sequence` of connection `number` says."""
    return _HEAD.pack(number, sequence) + _FILLER


def _frame(number: int, sequence: int) -> bytes:
    masked = ((number << 32 | sequence) ^ _KEY_NUMBER).to_bytes(8, "big")
    return _PREFIX + masked + _MASKED_FILLER


class Served(asyncio.Protocol):
    """The server's half of one connection."""

    open = 0
    connections = 0
    frames = 0
    answers = 0
    disorder = 0

    def __init__(self) -> None:
        self._held = b""
        self._number = -1
        self._next = 0
        self._is_open = False

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self._transport = transport
        Served.open += 1

    def connection_lost(self, exc: Exception | None) -> None:
        Served.open -= 1

    def data_received(self, data: bytes) -> None:
        self._held += data
        if not self._is_open:
            head, found, rest = self._held.partition(b"\r\n\r\n")
            if not found:
                return
            self._is_open = True
            self._held = rest
            self._number = int(head.split(b" ", 2)[1].rpartition(b"/")[2])
            Served.connections += 1
            self._transport.write(wsframes.response(head))
        while len(self._held) >= _SIZE and self._held[0] == 0x82:
            self._take(self._held[:_SIZE])
            self._held = self._held[_SIZE:]
        if len(self._held) >= _CLOSE_SIZE and self._held[0] == 0x88:
            self._transport.write(wsframes.CLOSE_FROM_SERVER)
            self._transport.close()

    def _take(self, frame: bytes) -> None:
        if wsframes.xor(frame[6:], frame[2:6]) != payload(self._number, self._next):
            Served.disorder += 1
        self._next += 1
        Served.frames += 1
        if self._next % ANSWER_EVERY == 0:
            Served.answers += 1
            self._transport.write(wsframes.server_frame(payload(self._number, self._next)))


class Opened(asyncio.Protocol):
    """The client's half of one connection."""

    def __init__(self, count: Count, number: int, host: str) -> None:
        self._count = count
        self._number = number
        self._host = host
        self._held = b""
        self._answered = 0
        self.sent = 0
        self.quota = 0
        self.opened: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self.ended: asyncio.Future[None] = asyncio.get_running_loop().create_future()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self._transport = transport
        transport.write(wsframes.request(f"/{self._number}", self._host))

    def data_received(self, data: bytes) -> None:
        self._held += data
        if not self.opened.done():
            head, found, self._held = self._held.partition(b"\r\n\r\n")
            if not found:
                self._held = head
            elif head.startswith(b"HTTP/1.1 101"):
                self.opened.set_result(None)
            else:
                self.opened.set_exception(ConnectionError(head[:80].decode("latin-1")))
        while len(self._held) >= _ANSWER_SIZE and self._held[0] == 0x82:
            self._answered += ANSWER_EVERY
            if self._held[2:_ANSWER_SIZE] != payload(self._number, self._answered):
                self._count.disorder += 1
            self._count.answers += 1
            self._held = self._held[_ANSWER_SIZE:]

    def connection_lost(self, exc: Exception | None) -> None:
        if not self.opened.done():
            self.opened.set_exception(ConnectionError(f"ended before it was open: {exc}"))
        if self._held != wsframes.CLOSE_FROM_SERVER or self._answered != self.sent - self.sent % ANSWER_EVERY:
            self._count.disorder += 1
        self.ended.set_result(None)

    def send(self) -> None:
        """The next frame."""
        self._transport.write(_frame(self._number, self.sent))
        self.sent += 1

    async def finish(self) -> None:
        """The closing handshake, then the end of the connection."""
        self._transport.write(wsframes.close_from_client())
        await self.ended
        self._count.sent[f"/{self._number}"] = self.sent


class Count:
    """Opens connections and sums up what they saw."""

    def __init__(self, port: int) -> None:
        self.port = port
        self.answers = 0
        self.disorder = 0
        self.late = 0.0
        self.sent: dict[str, int] = {}
        self._numbers = 0

    async def open(self) -> Opened:
        number, self._numbers = self._numbers, self._numbers + 1
        host = f"127.0.0.1:{self.port}"
        sock = socket.socket()
        sock.setblocking(False)
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        loop = asyncio.get_running_loop()
        await loop.sock_connect(sock, ("127.0.0.1", self.port))
        _, opened = await loop.create_connection(lambda: Opened(self, number, host), sock=sock)
        await asyncio.wait_for(opened.opened, 60)
        return opened

    def result(self) -> dict[str, Any]:
        return {
            "connections": len(self.sent),
            "frames": sum(self.sent.values()),
            "answers": self.answers,
            "disorder": self.disorder,
            "late_ms": round(self.late * 1000),
            "sent": self.sent,
        }


class Hold:
    """`hold`: so many connections at once, frames at an even pace."""

    def __init__(self, count: Count, options: argparse.Namespace) -> None:
        self._count = count
        self._options = options
        self._live: list[Opened] = []
        self._turns: set[asyncio.Task[None]] = set()
        self._is_over = False

    async def run(self) -> None:
        for start in range(0, self._options.connections, 50):
            missing = min(50, self._options.connections - start)
            self._live += await asyncio.gather(*(self._count.open() for _ in range(missing)))
        for index, each in enumerate(self._live, 1):
            # Not all of them at the same moment.
            each.quota = self._options.frames_each * index // len(self._live)
        print(json.dumps({"open": len(self._live)}), flush=True)
        await self._send()
        self._is_over = True
        await asyncio.gather(*self._turns)
        await asyncio.gather(*(each.finish() for each in self._live))

    async def _send(self) -> None:
        """Every tick what is due, in turn over all connections; lateness is noted, nothing is left out."""
        loop = asyncio.get_running_loop()
        start = loop.time()
        pace = self._options.connections * self._options.rate
        total = round(pace * self._options.seconds)
        done = turn = 0
        while done < total:
            elapsed = loop.time() - start
            due = min(total, int(elapsed * pace) + 1)
            self._count.late = max(self._count.late, elapsed - done / pace - _TICK)
            for _ in range(due - done):
                if not self._live:
                    break
                turn = (turn + 1) % len(self._live)
                self._live[turn].send()
                done += 1
                if self._options.frames_each and self._live[turn].sent >= self._live[turn].quota:
                    self._replace(self._live.pop(turn))
            await asyncio.sleep(_TICK)

    def _replace(self, old: Opened) -> None:
        async def replace() -> None:
            await old.finish()
            if not self._is_over:
                opened = await self._count.open()
                opened.quota = self._options.frames_each
                self._live.append(opened)

        task = asyncio.ensure_future(replace())
        self._turns.add(task)
        task.add_done_callback(self._turned)

    def _turned(self, task: asyncio.Task[None]) -> None:
        """A turn that failed stays, so that the end tells of it."""
        if not task.cancelled() and task.exception() is None:
            self._turns.discard(task)


async def churn(count: Count, options: argparse.Namespace) -> None:
    """Short connections: opened, some frames, closed."""
    left = iter(range(options.total))

    async def turn() -> None:
        for _ in left:
            opened = await count.open()
            for _ in range(ANSWER_EVERY):
                opened.send()
            await opened.finish()

    await asyncio.gather(*(turn() for _ in range(options.connections)))


async def serve() -> None:
    """Serve until standard input ends."""
    loop = asyncio.get_running_loop()
    server = await loop.create_server(Served, "127.0.0.1", 0, backlog=4096)
    print(json.dumps({"port": server.sockets[0].getsockname()[1]}), flush=True)
    await loop.run_in_executor(None, sys.stdin.buffer.read)
    names = ("connections", "frames", "answers", "disorder", "open")
    print(json.dumps({name: getattr(Served, name) for name in names}), flush=True)
    server.close()


def main() -> None:
    """Run one half."""
    parser = argparse.ArgumentParser()
    parser.add_argument("what", choices=["serve", "hold", "churn"])
    parser.add_argument("port", type=int, nargs="?", default=0)
    parser.add_argument("--connections", type=int, default=1)
    parser.add_argument("--rate", type=float, default=10)
    parser.add_argument("--seconds", type=float, default=1)
    parser.add_argument("--frames-each", type=int, default=0)
    parser.add_argument("--total", type=int, default=0)
    options = parser.parse_args()
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    if options.what == "serve":
        asyncio.run(serve())
        return

    async def load() -> None:
        count = Count(options.port)
        await (Hold(count, options).run() if options.what == "hold" else churn(count, options))
        print(json.dumps(count.result()), flush=True)

    asyncio.run(load())


if __name__ == "__main__":
    main()
