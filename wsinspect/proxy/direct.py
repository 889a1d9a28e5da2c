"""The short way of an ordinary opening handshake: mitmproxy's hooks and our relay, without its layers.

An ordinary one is a `GET` that asks for a WebSocket, whole in the first read and nothing behind it, by plain
HTTP/1.1 at a reverse tap, while no rule, script or option asks for more; and its answer is a 101 that comes
whole. Nine of ten opening handshakes are, and the layers cost each three times of what is needed.

Where anything is not so, the layers take over, as if they had been there from the start
(`Arrival.hand_over` before anything was done, `seams.adopting` after). What is recorded, and the bytes on
both sides, are the same either way: tests/integration/test_short_way.py. `run --no-splice` takes the layers.
"""

from __future__ import annotations

import asyncio
import re
import sys
import time
from collections.abc import Callable
from typing import Any, Final

from mitmproxy import http
from mitmproxy.connection import Client, Connection, ConnectionState, Server
from mitmproxy.net.http import http1
from mitmproxy.proxy import commands, events
from mitmproxy.proxy.mode_specs import ReverseMode
from mitmproxy.proxy.server_hooks import ServerConnectionHookData
from mitmproxy.websocket import WebSocketData

from wsinspect.proxy.relay import RelayLayer
from wsinspect.proxy.seams.adopting import Given, adopt
from wsinspect.proxy.seams.arriving import ArrivedProtocol, Instance
from wsinspect.proxy.seams.hooks import Addons
from wsinspect.proxy.seams.http1 import attach_head, head_bytes, wire_head
from wsinspect.proxy.seams.transport import READ_BYTES, Endpoint, Wire
from wsinspect.proxy.seams.waste import make_context, shorten_queue

#: mitmproxy takes over without a gap only where its tasks begin at once (`asyncio_utils`, with asyncio's
#: eager tasks); otherwise one may be ended before it has begun, and closes nothing.
IS_POSSIBLE: Final = sys.version_info >= (3, 12)
_FIELD: Final = rb"[!#-'*+.^-z|~\w-]+:[^\r\n\0]*\r\n"
_REQUEST: Final = re.compile(rb"GET (/[!-~]*) HTTP/1\.1\r\n((?:" + _FIELD + rb")+)\r\n", re.ASCII)
_ANSWER: Final = re.compile(rb"HTTP/1\.1 101(?: [^\r\n\0]*)?\r\n(?:" + _FIELD + rb")*\r\n", re.ASCII)
#: What is left of a connection's state when one direction is over: arithmetic with flags runs in Python.
_STATES: Final = (ConnectionState.CLOSED, *ConnectionState, ConnectionState.OPEN)
_NOT_READ: Final = {state: state & ~ConnectionState.CAN_READ for state in _STATES}
_NOT_WRITTEN: Final = {state: state & ~ConnectionState.CAN_WRITE for state in _STATES}
#: Fields that an ordinary request has once, and those that it does not have.
_ONCE: Final = frozenset({b"host", b"upgrade", b"connection", b"sec-websocket-key", b"sec-websocket-version"})
_NEVER: Final = frozenset({b"content-length", b"transfer-encoding", b"expect", b"te", b"http2-settings"})


def ordinary_fields(data: bytes) -> tuple[bytes, tuple[tuple[bytes, bytes], ...]] | None:
    """The target and the fields of an ordinary request for a WebSocket; None for anything else."""
    found = _REQUEST.fullmatch(data)
    if found is None:
        return None
    fields = _fields(found[2])
    names = [name.lower() for name, _ in fields]
    known = dict(zip(names, (value for _, value in fields), strict=True))
    if not known.keys() >= _ONCE or not _NEVER.isdisjoint(names) or sum(name in _ONCE for name in names) != 5:
        return None
    if known[b"upgrade"].lower() != b"websocket" or b"upgrade" not in known[b"connection"].lower():
        return None
    return found[1], fields


def _fields(block: bytes) -> tuple[tuple[bytes, bytes], ...]:
    """As mitmproxy reads them."""
    pairs = (line.split(b":", 1) for line in block.split(b"\r\n")[:-1])
    return tuple((name, value.strip()) for name, value in pairs)


class ShortWay:
    """The short way of one engine.

    Args:
        master: mitmproxy's, with `seams.hooks.Addons`.
        is_clear: whether nothing asks for the layers now.
    """

    def __init__(self, master: Any, is_clear: Callable[[], bool]) -> None:
        self.master = master
        self.is_clear = is_clear
        self.waiting: set[Arrival] = set()
        self.asked: set[Opening] = set()

    def arrival(self, instance: Instance) -> asyncio.BaseProtocol:
        """What a listener makes for each connection."""
        return Arrival(self, instance)

    def give_up(self) -> None:
        """The engine ends: who has no 101 yet is mitmproxy's."""
        for arrival in list(self.waiting):
            arrival.hand_over()
        for opening in list(self.asked):
            opening.adopt()


class Arrival(asyncio.Protocol):
    """A client that has not asked for anything yet."""

    def __init__(self, way: ShortWay, instance: Instance) -> None:
        self._way = way
        self._instance = instance

    def connection_made(self, transport: Any) -> None:
        self._transport = transport
        self._began = time.time()
        self._way.waiting.add(self)
        if not self._way.is_clear():
            self.hand_over()

    def data_received(self, data: bytes) -> None:
        asked = ordinary_fields(data) if self._way.is_clear() else None
        if asked is None:
            self.hand_over().data_received(data)
            return
        self._way.waiting.discard(self)
        Opening(self._way, self._instance, self._transport, self._began).ask(data, *asked)

    def eof_received(self) -> bool | None:
        return self.hand_over().eof_received()

    def connection_lost(self, exc: Exception | None) -> None:
        self.hand_over().connection_lost(exc)

    def hand_over(self) -> asyncio.StreamReaderProtocol:
        """Have mitmproxy do what it does; nothing has happened yet."""
        self._way.waiting.discard(self)
        return ArrivedProtocol.take(self._transport, self._instance, self._began)


class Leg(asyncio.Protocol):
    """The connection of one side, while it is not spliced.

    Attributes:
        handler: ends with the connection (`ConnectionHandler.transports` has mitmproxy's task there).
        is_full: the peer takes nothing for now.
        is_stopped: it is not read until the other side takes more.
    """

    reader = writer = None

    def __init__(self, owner: Opening, connection: Connection) -> None:
        self.owner = owner
        self.connection = connection
        self.is_full = False
        self.is_stopped = False
        self.has_ended = False

    def attach(self, transport: Any) -> LegEndpoint:
        """This is the socket."""
        self.transport = transport
        transport.max_size = READ_BYTES
        self.handler: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self.endpoint = LegEndpoint(self.connection, None, None, transport, self)  # type: ignore[arg-type]
        self.endpoint.has_received = True
        return self.endpoint

    def data_received(self, data: bytes) -> None:
        self.owner.received(self, data)

    def eof_received(self) -> bool | None:
        self.endpoint.how = self.endpoint.how or "fin"
        return self.owner.ended(self)

    def connection_lost(self, exc: Exception | None) -> None:
        is_late = self.endpoint.how == "fin"
        if exc is not None:
            self.endpoint.salvage()
            self.endpoint.how = "timeout" if isinstance(exc, TimeoutError) else "rst"
        self.owner.lost(self, exc)
        if exc is not None and is_late and self.endpoint.on_late_reset:
            self.endpoint.on_late_reset()
        # They refer to each other, and nothing comes any more.
        self.endpoint.protocol = None

    def pause_writing(self) -> None:
        self.is_full = True

    def resume_writing(self) -> None:
        self.is_full = False
        self.owner.drained(self)


class LegEndpoint(Endpoint):
    """A connection without asyncio's streams."""

    __slots__ = ()

    @property
    def is_write_paused(self) -> bool:
        return bool(self.protocol.is_full)

    @property
    def error(self) -> BaseException | None:
        return None

    def is_quiet(self) -> bool:
        return not self.how and not self.transport.is_closing()

    def leftover(self) -> bytes:
        return b""


class Opening:
    """One client on the short way, up to the end of its WebSocket; in the place of a `ConnectionHandler`."""

    def __init__(self, way: ShortWay, instance: Instance, transport: Any, began: float) -> None:
        self._way = way
        self._instance = instance
        mode = instance.mode
        self.client = Client(
            peername=transport.get_extra_info("peername"),
            sockname=transport.get_extra_info("sockname"),
            timestamp_start=began,
            proxy_mode=mode,
            state=ConnectionState.OPEN,
        )
        self.server = Server(address=mode.address)
        self._addons: Addons = way.master.addons
        self.layer: RelayLayer | None = None
        self._is_adopted = False
        leg = Leg(self, self.client)
        self.transports: dict[Connection, Leg] = {self.client: leg}
        self.wsinspect_wire = wire = Wire(self)  # type: ignore[arg-type]
        wire.endpoints[self.client.id] = leg.attach(transport)
        transport.set_protocol(leg)
        self._known = way.master.addons.get("proxyserver").connections
        self._known[self.client.id] = self

    # The opening handshake

    def ask(self, raw: bytes, target: bytes, fields: tuple[tuple[bytes, bytes], ...]) -> None:
        """The request has come: record it, and open the server's connection."""
        self._raw = raw
        self._way.asked.add(self)
        self._addons.answer("client_connected", self.client)
        self.flow = flow = http.HTTPFlow(self.client, self.server)
        host, port = self._instance.mode.address
        now = time.time()
        flow.request = http.Request(
            host=host,
            port=port,
            method=b"GET",
            scheme=b"http",
            authority=b"",
            path=target,
            http_version=b"HTTP/1.1",
            headers=http.Headers(fields),
            content=b"",
            trailers=None,
            timestamp_start=now,
            timestamp_end=now,
        )
        flow.live = True
        attach_head(flow.request, raw).asks = True
        self._addons.answer("requestheaders", flow)
        self._addons.answer("request", flow)
        self._connecting = asyncio.get_running_loop().create_task(self._connect())

    async def _connect(self) -> Any:
        server = self.server
        server.timestamp_start = time.time()
        try:
            transport, leg = await asyncio.get_running_loop().create_connection(
                lambda: Leg(self, server), *self._instance.mode.address
            )
        except OSError:
            # Not now: it may have failed at once, and the task is not known yet.
            asyncio.get_running_loop().call_soon(self.adopt)
            raise
        server.timestamp_tcp_setup = time.time()
        server.state = ConnectionState.OPEN
        server.peername = transport.get_extra_info("peername")
        server.sockname = transport.get_extra_info("sockname")
        endpoint = leg.attach(transport)
        if not self._is_adopted:
            self.transports[server] = leg
            self.wsinspect_wire.endpoints[server.id] = endpoint
            self._addons.answer("server_connected", ServerConnectionHookData(server, self.client))
            self._send_request(transport)
        return transport

    def _send_request(self, transport: Any) -> None:
        head = wire_head(self.flow.request)
        assert head is not None
        raw = self._bytes_of(self.flow.request, http1.assemble_request_head)
        transport.write(raw)
        head.is_forwarded = True
        if head.forwarded:
            head.forwarded(raw)

    @staticmethod
    def _bytes_of(message: Any, assemble: Callable[[Any], bytes]) -> bytes:
        """What to write for a message whose start line nobody changes here."""
        head = wire_head(message)
        assert head is not None
        is_changed = message.headers.fields is not head.fields and message.headers.fields != head.fields
        return head_bytes(message, assemble(message)) if is_changed else head.raw

    def _open(self, data: bytes) -> None:
        """Bytes of the server's: the 101, or what the layers are for."""
        found = _ANSWER.match(data)
        if found is None or not self._way.is_clear():
            self.adopt()
            self._deliver(self.server, data)
            return
        raw, rest = found[0], data[found.end() :]
        now = time.time()
        start, _, block = raw.partition(b"\r\n")
        flow = self.flow
        flow.response = http.Response(
            http_version=b"HTTP/1.1",
            status_code=101,
            reason=start[13:],
            headers=http.Headers(_fields(block[:-2])),
            content=b"",
            trailers=None,
            timestamp_start=now,
            timestamp_end=now,
        )
        attach_head(flow.response, raw)
        self._addons.answer("responseheaders", flow)
        flow.websocket = WebSocketData()
        self._addons.answer("response", flow)
        raw = self._bytes_of(flow.response, http1.assemble_response_head)
        self.transports[self.client].transport.write(raw)
        head = wire_head(flow.response)
        if head is not None and head.forwarded:
            head.forwarded(raw)
        for message in (flow.request, flow.response):
            if (settled := wire_head(message)) is not None:
                settled.settle()
        self.layer = RelayLayer(make_context(self.client, self.server, self._way.master.options), flow)
        shorten_queue(self.layer)
        self._way.asked.discard(self)
        del self._connecting, self._raw, self.flow
        self.handle(events.Start())
        if rest:
            self.received(self.transports[self.server], rest)

    # What else happens before the 101

    def adopt(self) -> None:
        """The layers take over."""
        if self._is_adopted:
            return
        self._is_adopted = True
        self._way.asked.discard(self)
        server = self.transports.get(self.server)
        given = Given(
            flow=self.flow,
            raw=self._raw,
            client=self.transports[self.client].transport,
            server=self.server,
            connecting=self._connecting,
            transport=server.transport if server else None,
        )
        self._successors = adopt(self._way.master, self._instance, given)

    def _deliver(self, connection: Connection, data: bytes) -> None:
        self._successors[connection].data_received(data)

    # Sockets

    def received(self, leg: Leg, data: bytes) -> None:
        """A side has sent something."""
        if self._is_adopted:
            self._deliver(leg.connection, data)
        elif self.layer is not None:
            self.handle(events.DataReceived(leg.connection, data))
            if any(each.is_full for each in self.transports.values() if each is not leg):
                leg.is_stopped = True
                leg.transport.pause_reading()
        elif leg.connection is self.server:
            self._open(data)
        else:
            self.adopt()
            self._deliver(leg.connection, data)

    def ended(self, leg: Leg) -> bool | None:
        """A side has sent its FIN."""
        if self.layer is None:
            self.adopt()
            return self._successors[leg.connection].eof_received()
        self._end(leg)
        return True

    def lost(self, leg: Leg, exc: Exception | None) -> None:
        """A connection is gone, by a reset or because it was closed here."""
        if self.layer is None:
            self.adopt()
            self._successors[leg.connection].connection_lost(exc)
        elif not leg.has_ended:
            self._end(leg)

    def drained(self, leg: Leg) -> None:
        """A side takes more again."""
        for each in self.transports.values():
            if each is not leg and each.is_stopped:
                each.is_stopped = False
                if not each.transport.is_closing():
                    each.transport.resume_reading()

    def _end(self, leg: Leg) -> None:
        """mitmproxy's `handle_connection` after its last read."""
        leg.has_ended = True
        leg.connection.state = _NOT_READ[leg.connection.state]
        self.handle(events.ConnectionClosed(leg.connection))
        if leg.connection.state is not ConnectionState.CAN_WRITE:
            self._drop(leg)

    def _drop(self, leg: Leg) -> None:
        """Nothing more goes either way."""
        if self.transports.pop(leg.connection, None) is None:
            return
        leg.transport.close()
        if leg.connection is not self.client:
            self._addons.answer("server_disconnected", ServerConnectionHookData(self.server, self.client))
        else:
            self._addons.answer("client_disconnected", self.client)
            self._known.pop(self.client.id, None)
            for each in list(self.transports.values()):
                self._close(each)
        if not leg.handler.done():
            leg.handler.set_result(None)
        if not self.transports:
            self._release()

    def _close(self, leg: Leg) -> None:
        leg.connection.state = ConnectionState.CLOSED
        if not leg.has_ended:
            leg.has_ended = True
            self.handle(events.ConnectionClosed(leg.connection))
        self._drop(leg)

    def _release(self) -> None:
        """Open the circles of references, as `seams.release` does for mitmproxy's clients."""
        layer = self.layer
        if layer is not None:
            layer.context.layers.clear()
            for name in ("_handle_event", "link"):
                vars(layer).pop(name, None)
        vars(self).pop("wsinspect_wire", None)

    # What the relay and its link ask for (`ConnectionHandler`)

    def handle(self, event: events.Event) -> None:
        """An event for the relay, and what it wants done."""
        assert self.layer is not None
        for command in self.layer.handle_event(event):
            if isinstance(command, commands.SendData):
                leg = self.transports.get(command.connection)
                if leg is not None and not leg.transport.is_closing():
                    leg.transport.write(command.data)
            elif isinstance(command, commands.StartHook):
                self._addons.answer(command.name, self.layer.flow)
                if command.blocking:
                    self.handle(events.HookCompleted(command))

    async def server_event(self, event: events.Event) -> None:
        self.handle(event)

    def close_connection(self, connection: Connection, half_close: bool = False) -> None:
        """A FIN, with the other direction left open, or the end of both (`ConnectionHandler`)."""
        leg = self.transports[connection]
        if half_close:
            left = _NOT_WRITTEN[connection.state]
            if left is connection.state:
                return  # that direction is over
            try:
                if not leg.transport.is_closing():
                    leg.transport.write_eof()
            except OSError:
                connection.state = ConnectionState.CLOSED
            else:
                connection.state = left
        else:
            connection.state = ConnectionState.CLOSED
        if connection.state is ConnectionState.CLOSED:
            asyncio.get_running_loop().call_soon(self._close, leg)


def serves_short_way(mode: Any) -> bool:
    """Whether a listener's clients may take it."""
    return isinstance(mode, ReverseMode) and mode.scheme == "http"
