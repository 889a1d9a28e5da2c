"""Long-polling in front of a played server, without sockets: what a client sends is read or dropped."""

from __future__ import annotations

import asyncio
import tracemalloc
from collections.abc import Awaitable, Callable

import pytest

from wsinspect.handshake.heads import RawHead
from wsinspect.replay.common.conduit import Conduit
from wsinspect.replay.common.matching import Message
from wsinspect.replay.socketio.engine_line import EngineLine
from wsinspect.replay.socketio.engineio import MAX_BODY, EngineIo, facts_of
from wsinspect.replay.socketio.polling import Polling

PATH = "/socket.io/?EIO=4&transport=polling"
SESSION = f"{PATH}&sid=session-1"


class Client(Conduit):
    """The connection of one request; what is answered is kept."""

    def __init__(self) -> None:
        super().__init__()
        self.answered = b""

    def write(self, data: bytes) -> None:
        self.answered += data

    @property
    def status(self) -> int | None:
        return RawHead.parse(self.answered).status


class Nobody:
    """Hears what a line says, and does nothing about it."""

    def hear(self, message: Message) -> None:
        raise AssertionError("heartbeats are no messages")

    def problem(self, text: str) -> None:
        raise AssertionError(text)

    def change(self) -> None:
        pass


async def ask(polling: Polling, request: bytes) -> tuple[Client, asyncio.Task[None]]:
    client = Client()
    client.data_received(request)
    head = await client.head()
    assert head is not None
    task = asyncio.create_task(polling.answer(client, head))
    await asyncio.sleep(0)
    return client, task


def get(path: str) -> bytes:
    return f"GET {path} HTTP/1.1\r\nHost: a\r\n\r\n".encode()


def post(*fields: str, path: str = SESSION) -> bytes:
    return "\r\n".join([f"POST {path} HTTP/1.1", "Host: a", *fields, "", ""]).encode()


def run(play: Callable[[Polling, EngineLine], Awaitable[None]]) -> None:
    """With one session whose open packet is said: its next poll waits."""

    async def main() -> None:
        line = EngineLine(EngineIo(4, lambda: "session-1", facts_of(PATH, [])), None)
        line.begin(Nobody())
        polling = Polling(lambda _request: line)
        client, task = await ask(polling, get(PATH))
        await task
        assert client.status == 200
        await play(polling, line)
        line.hang_up()

    asyncio.run(main())


def test_what_a_client_sends_while_its_poll_waits_is_not_kept():
    async def play(polling: Polling, line: EngineLine) -> None:
        client, task = await ask(polling, get(SESSION))
        tracemalloc.start()
        try:
            for _ in range(64):
                client.data_received(bytes(1 << 18))
            kept, _ = tracemalloc.get_traced_memory()
        finally:
            tracemalloc.stop()
        assert kept < 1 << 20
        assert not task.done()
        line.send_close(b"")
        await task
        assert client.status == 200

    run(play)


@pytest.mark.parametrize(
    ("fields", "body", "status"),
    [
        (["Content-Length: 5"], b"3\x1e3\x1e3", 200),
        (["Transfer-Encoding: chunked"], b"5\r\n3\x1e3\x1e3\r\n0\r\n\r\n", 200),
        (["Content-Length: 5", "Expect: 100-continue"], b"3\x1e3\x1e3", 100),
        (["Content-Length: 6"], b"3\x1e3\x1e3", 400),
        (["Transfer-Encoding: chunked"], b"zz\r\n", 400),
        (["Transfer-Encoding: chunked"], b"5\r\n3\x1e3\x1e3\r\n", 400),
        (["Content-Length: -1"], b"", 400),
        ([f"Content-Length: {MAX_BODY + 1}"], b"", 413),
        (["Transfer-Encoding: chunked"], b"%x\r\n" % (MAX_BODY + 1) + bytes(MAX_BODY + 1), 413),
        (["Bad Name: x"], b"", 400),
    ],
    ids=lambda value: repr(value)[:40],
)
@pytest.mark.parametrize("size", [1, 1 << 20])
def test_a_body_is_read_by_its_framing(fields, body, status, size):
    async def play(polling: Polling, line: EngineLine) -> None:
        client, task = await ask(polling, post(*fields))
        pieces = size if len(body) < 100 else 1 << 16
        for start in range(0, len(body), pieces):
            client.data_received(body[start : start + pieces])
        client.eof_received()
        await task
        assert client.status == status

    run(play)
