"""A read full of tiny frames is handled in portions, and between them everybody else has a turn."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Awaitable, Callable

import pytest
from h2.config import H2Configuration
from h2.connection import H2Connection
from hyperframe.frame import PingFrame
from mitmproxy.addons.proxyserver import Proxyserver
from mitmproxy.connection import Connection, ConnectionState
from mitmproxy.proxy import commands, events, layer, mode_specs
from mitmproxy.proxy.server import SimpleConnectionHandler
from mitmproxy.test import taddons

from wsinspect.proxy.seams.http2_server import MirroringServer
from wsinspect.proxy.seams.http2_tunnels import RelayedConnection
from wsinspect.proxy.seams.transport import Wire

PING = PingFrame(0, b"12345678").serialize()
PONG = PingFrame(0, b"12345678", flags=["ACK"]).serialize()
#: So many PINGs fill one read, and so many of them are a portion.
PINGS, PORTION = 65_535 // len(PING), RelayedConnection.portion // 4
#: Fewer, which are one read together with the client's first bytes.
LESS = 3000


class Watched(MirroringServer):
    """The client's side of the proxy, with the order of what was handled: PINGs, and its end."""

    def __init__(self, context) -> None:
        super().__init__(context)
        self.handled: list[int | str] = []
        self.most_waiting = 0

    def pings(self) -> int:
        return sum(one for one in self.handled if isinstance(one, int))

    def _handle_event(self, event: events.Event) -> layer.CommandGenerator[None]:
        for command in super()._handle_event(event):
            if isinstance(command, commands.SendData):
                self.handled.append(command.data.count(PONG))
            yield command
        self.most_waiting = max(self.most_waiting, len(self.h2_conn._partial))

    def close_connection(self, msg: str) -> layer.CommandGenerator[None]:
        self.handled.append("end")
        yield from super().close_connection(msg)


class Place:
    """A client's socket, and mitmproxy's handler of it with this layer alone."""

    def __init__(self, peer: asyncio.StreamWriter, handler: SimpleConnectionHandler, side: Watched) -> None:
        self.peer = peer
        self.handler = handler
        self.side = side
        self.client: Connection = handler.client
        #: PINGs that were handled when somebody else had a turn.
        self.seen: list[int] = []

    async def take_turns(self, until: Callable[[], bool]) -> None:
        """Somebody else, who has something to do all the time."""
        async with asyncio.timeout(30):
            while not until():
                self.seen.append(self.side.pings())
                await asyncio.sleep(0)

    @property
    def steps(self) -> list[int]:
        """How many PINGs were handled from one turn to the next."""
        return [later - before for before, later in zip(self.seen, self.seen[1:], strict=False)]


def play(monkeypatch: pytest.MonkeyPatch, work: Callable[[Place], Awaitable[None]]) -> None:
    async def run() -> None:
        with socket.create_server(("127.0.0.1", 0)) as listener:
            theirs = socket.create_connection(listener.getsockname())
            ours, _ = listener.accept()
        reader, writer = await asyncio.open_connection(sock=ours)
        _, peer = await asyncio.open_connection(sock=theirs)
        mode = mode_specs.ProxyMode.parse("reverse:http://127.0.0.1:9/")
        with taddons.context(Proxyserver()) as stock:
            handler = SimpleConnectionHandler(reader, writer, stock.options, mode, {})
        wire = Wire(handler)
        vars(handler)["drain_writers"] = wire._drain_others
        monkeypatch.setattr(Wire, "of", lambda _: wire)
        side = Watched(handler.layer.context)
        handler.layer = side
        wire.watch(handler.client)
        handling = asyncio.create_task(handler.handle_client())
        client = H2Connection(H2Configuration(client_side=True))
        client.initiate_connection()
        peer.write(client.data_to_send())
        try:
            await work(Place(peer, handler, side))
        finally:
            peer.close()
            handling.cancel()
            await asyncio.gather(handling, return_exceptions=True)

    asyncio.run(run())


def test_others_have_a_turn_after_each_portion_and_nothing_more_is_read_meanwhile(monkeypatch):
    async def work(place: Place) -> None:
        place.peer.write(PING * (3 * PINGS))
        await place.take_turns(lambda: place.side.pings() == 3 * PINGS)
        assert max(place.steps) <= PORTION
        # One read waits to be handled, and the beginning of a frame.
        assert place.side.most_waiting <= 65_535 + len(PING)

    play(monkeypatch, work)


def test_an_end_comes_behind_what_came_before_it(monkeypatch):
    async def work(place: Place) -> None:
        place.peer.write(PING * PINGS)
        place.peer.write_eof()
        await place.take_turns(lambda: "end" in place.side.handled)
        assert place.side.pings() == PINGS
        assert place.side.handled[-1] == "end"
        assert max(place.steps) <= PORTION

    play(monkeypatch, work)


def test_an_end_that_does_not_wait_for_the_reader_comes_behind_it_too(monkeypatch):
    """As TLS tells one, or what was read past asyncio's stream: with no read in between."""

    async def work(place: Place) -> None:
        place.peer.write(PING * LESS)
        await place.take_turns(lambda: place.side.pings() >= PORTION)
        assert place.side.h2_conn.has_more
        await place.handler.server_event(events.ConnectionClosed(place.client))
        assert "end" not in place.side.handled
        await place.take_turns(lambda: "end" in place.side.handled)
        assert place.side.pings() == LESS
        assert max(place.steps) <= PORTION

    play(monkeypatch, work)


def test_a_connection_that_we_close_has_handled_all_that_it_had_read(monkeypatch):
    """Its task ends at once, so that no turn would come."""

    async def work(place: Place) -> None:
        place.peer.write(PING * LESS)
        await place.take_turns(lambda: place.side.pings() >= PORTION)
        assert place.side.h2_conn.has_more
        place.handler.close_connection(place.client)
        await place.take_turns(lambda: "end" in place.side.handled)
        assert place.side.pings() == LESS

    play(monkeypatch, work)


def test_an_end_that_waits_comes_once_where_we_close_the_connection_meanwhile(monkeypatch):
    async def work(place: Place) -> None:
        place.peer.write(PING * LESS)
        await place.take_turns(lambda: place.side.pings() >= PORTION)
        place.client.state &= ~ConnectionState.CAN_READ
        await place.handler.server_event(events.ConnectionClosed(place.client))
        assert place.side.h2_conn.has_more
        place.handler.close_connection(place.client)
        await place.take_turns(lambda: "end" in place.side.handled)
        assert place.side.pings() == LESS
        assert place.side.handled.count("end") == 1

    play(monkeypatch, work)


def test_a_portion_that_fails_holds_up_neither_what_comes_behind_it_nor_the_end(monkeypatch, caplog):
    """mitmproxy drops the event in which anything fails, and goes on with the connection."""

    async def work(place: Place) -> None:
        answered = place.side.handled

        class Failing(list):
            def append(self, one: int | str) -> None:
                if len(answered) == 3 and not failed:
                    failed.append(one)
                    raise ArithmeticError("in the middle of the fourth portion")
                answered.append(one)

        failed: list[int | str] = []
        place.side.handled = Failing()
        place.peer.write(PING * LESS)
        place.peer.write_eof()
        await place.take_turns(lambda: "end" in answered)
        assert failed
        assert "in the middle of the fourth portion" in caplog.text

    play(monkeypatch, work)


def test_what_breaks_http2_in_the_middle_ends_the_turns(monkeypatch):
    async def work(place: Place) -> None:
        place.peer.write(PING * 100 + b"\0\0\4\x08\0\0\0\0\0\0\0\0\0" + PING * LESS)
        await place.take_turns(lambda: "end" in place.side.handled)
        assert place.side.pings() == 100
        assert not place.side.h2_conn.has_more

    play(monkeypatch, work)
