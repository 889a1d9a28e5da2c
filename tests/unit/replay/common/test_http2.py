"""Streams that look like connections of HTTP/1.1: two sessions joined in memory."""

import asyncio

import pytest

from tests.support.script import ACCEPT, KEY
from wsinspect.errors import LocalError
from wsinspect.replay.common.conduit import Conduit, Listener
from wsinspect.replay.common.http2 import Http2Session, server_context

REQUEST = (
    f"GET /chat HTTP/1.1\r\nHost: a\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
    f"Sec-WebSocket-Key: {KEY}\r\nSec-WebSocket-Version: 13\r\n\r\n"
).encode()


class Heard(Listener):
    """What a conduit was given."""

    def __init__(self):
        self.data = b""
        self.how = None

    def on_data(self, data):
        self.data += data

    def on_end(self, how):
        self.how = how


class Pipe(asyncio.Transport):
    """Gives what is written to the other session, later."""

    def __init__(self, other):
        super().__init__()
        self._other = other
        self._is_closing = False

    def write(self, data):
        asyncio.get_running_loop().call_soon(self._other.data_received, bytes(data))

    def close(self):
        if not self._is_closing:
            self._is_closing = True
            asyncio.get_running_loop().call_soon(self._other.connection_lost, None)

    def is_closing(self):
        return self._is_closing

    def get_extra_info(self, name, default=None):
        return default


async def turn():
    for _ in range(50):
        await asyncio.sleep(0)


async def joined():
    """A client's session and conduit, and the conduits that the server's session has accepted."""
    accepted = []

    def accept():
        accepted.append(Conduit())
        return accepted[-1]

    client, server = Http2Session(), Http2Session(accept)
    client.connection_made(Pipe(server))
    server.connection_made(Pipe(client))
    await client.settled.wait()
    assert client.allows_connect
    conduit = Conduit()
    client.open(conduit)
    return client, conduit, accepted


async def opened():
    client, mine, accepted = await joined()
    mine.write(REQUEST)
    await turn()
    (theirs,) = accepted
    request = await theirs.head()
    switch = (
        "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
        f"Sec-WebSocket-Accept: {ACCEPT}\r\nserver: s\r\n\r\n"
    )
    theirs.write(switch.encode() + b"first")
    response = await mine.head()
    ears = Heard(), Heard()
    mine.listen(ears[0])
    theirs.listen(ears[1])
    return request, response, mine, theirs, ears, client


def test_an_upgrade_arrives_as_one_and_so_does_its_answer():
    async def play():
        request, response, mine, theirs, ears, _ = await opened()
        await turn()
        mine.write(b"hello")
        mine.half_close()
        await turn()
        theirs.write(b"bye")
        theirs.close()
        await turn()
        return request, response, ears

    request, response, (heard, there) = asyncio.run(play())
    assert request.start_line == b"GET /chat HTTP/1.1"
    assert request.get("host") == b"a"
    assert request.tokens("upgrade") == ["websocket"]
    assert request.get("sec-websocket-key") != KEY.encode()
    assert response.status == 101
    assert response.get("sec-websocket-accept") == ACCEPT.encode()
    assert response.get("server") == b"s"
    assert (heard.data, heard.how) == (b"firstbye", "fin")
    assert (there.data, there.how) == (b"hello", "fin")


def test_a_refusal_has_its_status_and_body():
    async def play():
        _, mine, accepted = await joined()
        mine.write(REQUEST)
        await turn()
        accepted[0].write(b"HTTP/1.1 404 Not Found\r\nContent-Length: 2\r\n\r\nno")
        accepted[0].close()
        response = await mine.head()
        heard = Heard()
        mine.listen(heard)
        await turn()
        return response, heard

    response, heard = asyncio.run(play())
    assert (response.status, heard.data, heard.how) == (404, b"no", "fin")


def test_more_than_the_windows_take_arrives_and_the_writer_is_told_to_wait():
    async def play():
        _, _, mine, theirs, ears, _ = await opened()
        mine.write(bytes(300_000))
        is_waiting = not mine._writable.is_set()
        await mine.drain()
        await turn()
        return is_waiting, len(ears[1].data), theirs

    is_waiting, size, _ = asyncio.run(play())
    assert is_waiting
    assert size == 300_000


@pytest.mark.parametrize("by", ["client", "server"])
def test_an_abort_is_a_reset_on_the_other_side(by):
    async def play():
        _, _, mine, theirs, ears, _ = await opened()
        await turn()
        (mine if by == "client" else theirs).abort()
        await turn()
        return ears[by == "client"]

    assert asyncio.run(play()).how == "rst"


def test_a_certificate_has_to_be_one(tmp_path):
    path = tmp_path / "no.pem"
    path.write_text("no")
    with pytest.raises(LocalError, match="cannot use"):
        server_context(path)
