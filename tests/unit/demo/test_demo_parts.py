"""The demo's server, hop and clients among themselves, with no proxy between them."""

import asyncio

import pytest

from wsinspect.demo.clients import Ports, converse
from wsinspect.demo.hop import Hop
from wsinspect.demo.listener import LOOPBACK
from wsinspect.demo.server import DROP, ChatServer
from wsinspect.demo.websocket import Closed, Refusal, connect, read_head
from wsinspect.handshake.heads import RawHead

PINGS = 0.01
pytestmark = pytest.mark.asyncio


@pytest.mark.parametrize("compress", [False, True])
async def test_chat_when_two_clients_are_in_the_room(compress):
    async with ChatServer(PINGS) as server:
        ada = await connect(LOOPBACK, server.port, "/?name=ada", name="ada", compress=compress)
        heard = ada.messages()
        assert await anext(heard) == "welcome ada, 1 in the room"
        bob = await connect(LOOPBACK, server.port, "/?name=bob", name="bob")
        overheard = bob.messages()
        assert await anext(overheard) == "welcome bob, 2 in the room"
        bob.say("in ", "two")
        assert await anext(heard) == "bob: in two"
        ada.close(1000, "bye")
        assert [text async for text in heard] == []
        assert ada.closed == Closed(1000, "bye")
        bob.close(1001, "")
        assert [text async for text in overheard] == ["bob: in two"]
        assert bob.closed == Closed(1001, "")


async def test_chat_when_the_server_is_asked_to_drop():
    async with ChatServer(PINGS) as server:
        bob = await connect(LOOPBACK, server.port, "/", name="bob")
        bob.say(DROP)
        assert [text async for text in bob.messages()] == ["welcome someone, 1 in the room"]
        assert bob.closed is not None
        assert bob.closed.is_abnormal


async def test_hop_when_a_client_wants_a_websocket():
    async with ChatServer(PINGS) as server, Hop(server.port) as hop:
        with pytest.raises(Refusal) as caught:
            await connect(LOOPBACK, hop.port, "/?name=bob", name="bob")
        assert (caught.value.status, caught.value.reason) == (426, "Upgrade Required")


async def test_hop_when_the_request_has_hop_by_hop_fields():
    seen: list[RawHead | None] = []

    async def record(reader, writer):
        seen.append(await read_head(reader))
        writer.write(b"HTTP/1.1 204 No Content\r\n\r\n")
        writer.close()

    behind = await asyncio.start_server(record, LOOPBACK, 0)
    async with behind, Hop(behind.sockets[0].getsockname()[1]) as hop:
        with pytest.raises(Refusal):
            await connect(LOOPBACK, hop.port, "/x", name="bob")
    (head,) = seen
    assert head is not None
    assert head.get("Upgrade") is None
    assert head.get_all("Connection") == [b"close"]
    assert head.get("Sec-WebSocket-Version") == b"13"


async def test_converse_when_there_is_hardly_any_time():
    told: list[str] = []
    async with ChatServer(PINGS) as server, Hop(server.port) as hop:
        await converse(Ports(server.port, hop.port), 0, told.append, beat=0.005)
    assert "bob: refused behind the hop, 426 Upgrade Required" in told
    assert "bob: the connection ended without a CLOSE frame, 1006" in told
    assert "ada: closed with 1000, the server answered 1000" in told


async def test_connect_when_the_server_says_nothing():
    async def hang_up(reader, writer):
        await read_head(reader)
        writer.close()

    server = await asyncio.start_server(hang_up, LOOPBACK, 0)
    async with server:
        with pytest.raises(ConnectionError):
            await connect(LOOPBACK, server.sockets[0].getsockname()[1], "/", name="ada")
