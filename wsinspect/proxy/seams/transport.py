"""Seam: the sockets under mitmproxy's layers (`ConnectionHandler` and asyncio's streams).

Stock mitmproxy tells its layers that a connection closed, not how; it can close, not half-close through an
HTTP layer and not reset; it drains every writer of a client under one lock, so that one stuck reader stops
both directions; and it ends what was silent for ten minutes. `Wire` is one client's sockets with that
changed. It is made by `Wire.attach` when the client connects, and found again with `Wire.of`.

How an end is told apart: a FIN is `eof_received`; a RST is `connection_lost` with a `ConnectionResetError`,
from reading or from writing. asyncio drops what the kernel still holds when a write fails, so that is read
first.
"""

from __future__ import annotations

import asyncio
import contextlib
import socket
import struct
import sys
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

from mitmproxy import ctx
from mitmproxy.connection import Connection, ConnectionState
from mitmproxy.proxy import events, tunnel
from mitmproxy.proxy.context import Context
from mitmproxy.proxy.layer import Layer
from mitmproxy.proxy.layers import tls as tls_layers
from mitmproxy.proxy.server import ConnectionHandler

from wsinspect.closing import abort
from wsinspect.kernel import acknowledged_ns
from wsinspect.proxy.seams.arriving import ArrivedProtocol
from wsinspect.proxy.seams.hooks import answer_in_place
from wsinspect.proxy.seams.http2_tunnels import Outbox
from wsinspect.proxy.seams.release import forget_cancelling
from wsinspect.proxy.seams.tls import send_close_notify, through

#: Half a century: `asyncio.sleep` accepts it, and no WebSocket is ended for being silent.
NEVER_SECONDS = 50 * 365 * 86400
#: How long a reset waits for the peer's kernel to take what was relayed before it.
RESET_GRACE_SECONDS = 1.0

#: Bytes per read: asyncio's own 256 KiB doubles the resident memory and is no faster (docs/benchmarks.md).
READ_BYTES = 65536

#: A peer that has not taken so much of what it was answered is not read for now.
ANSWER_BYTES = 4 << 20

#: Methods of a protocol that may be ours.
_HOOKS = ("eof_received", "connection_lost", "data_received", "pause_writing", "resume_writing")
_RESET_ON_CLOSE = struct.pack("ii", 1, 0)


@dataclass(eq=False, slots=True)
class Endpoint:
    """One TCP connection of a client: its asyncio parts, and how the peer ended it.

    Attributes:
        how: "" while the peer may still send, else "fin", "rst" or "timeout".
        on_late_reset: called when the peer resets after its FIN, when no task of mitmproxy's reads any more.
        has_received: whether the peer has sent a byte.
    """

    connection: Connection
    reader: asyncio.StreamReader
    writer: asyncio.StreamWriter
    transport: Any
    protocol: Any
    how: str = ""
    on_late_reset: Callable[[], None] | None = None
    has_received: bool = False
    _resetting: bool = field(default=False)

    @classmethod
    def watch(cls, connection: Connection, reader: Any, writer: Any) -> Endpoint | None:
        """Watch a TCP stream; None for what is none (mitmproxy's own UDP and WireGuard streams)."""
        transport = getattr(writer, "transport", None)
        if not isinstance(reader, asyncio.StreamReader) or transport is None:
            return None
        endpoint = cls(connection, reader, writer, transport, transport.get_protocol())
        transport.max_size = READ_BYTES
        # It may have ended before anybody could watch it (`seams.arriving`, `seams.adopting`).
        if (error := reader.exception()) is not None:
            endpoint.how = "timeout" if isinstance(error, TimeoutError) else "rst"
        elif reader._eof:  # type: ignore[attr-defined]
            endpoint.how = "fin"
        if endpoint.protocol is None:
            return endpoint
        stock_eof, stock_lost = endpoint.protocol.eof_received, endpoint.protocol.connection_lost

        def eof_received() -> bool | None:
            endpoint.how = endpoint.how or "fin"
            result: bool | None = stock_eof()
            return result

        def connection_lost(exc: Exception | None) -> None:
            is_late = endpoint.how == "fin"
            if exc is not None:
                endpoint.salvage()
                endpoint.how = "timeout" if isinstance(exc, TimeoutError) else "rst"
            stock_lost(exc)
            # They are of a circle of references: endpoint, protocol, and these.
            for name in _HOOKS:
                vars(endpoint.protocol).pop(name, None)
            if exc is not None and is_late and endpoint.on_late_reset:
                endpoint.on_late_reset()

        def first_received(data: bytes) -> None:
            # Once; from the second read on the protocol's own method is called.
            endpoint.has_received = True
            del endpoint.protocol.data_received
            endpoint.protocol.data_received(data)

        endpoint.protocol.eof_received = eof_received
        endpoint.protocol.connection_lost = connection_lost
        if reader._buffer:  # type: ignore[attr-defined]
            endpoint.has_received = True
        else:
            endpoint.protocol.data_received = first_received
        return endpoint

    def salvage(self) -> None:
        """Hand on what the kernel received before the reset that a write found."""
        sock = getattr(self.transport, "_sock", None)
        if sock is None:
            return
        with contextlib.suppress(OSError):
            while data := sock.recv(65536):
                self.protocol.data_received(data)

    @property
    def is_write_paused(self) -> bool:
        """Whether the peer takes nothing for now: the transport's buffer is full."""
        return bool(self.protocol._paused)

    @property
    def error(self) -> BaseException | None:
        """What ended the stream, if it was not a FIN."""
        return self.reader.exception()

    def is_quiet(self) -> bool:
        """Nothing is under way between socket and layer: all that was read has been handled."""
        if self.how or self.transport.is_closing():
            return False
        reader = self.reader
        waiter = reader._waiter  # type: ignore[attr-defined]
        return (
            not reader._buffer  # type: ignore[attr-defined]
            and waiter is not None
            and not waiter.done()
            and not reader.at_eof()
            and reader.exception() is None
        )

    def leftover(self) -> bytes:
        """What was received but not read before a reset (a StreamReader raises instead of giving it)."""
        buffer: bytearray = self.reader._buffer  # type: ignore[attr-defined]
        data = bytes(buffer)
        buffer.clear()
        return data

    def reset_on_close(self) -> None:
        """From now on, closing this socket sends a RST."""
        sock = self.transport.get_extra_info("socket")
        if sock is not None:
            with contextlib.suppress(OSError):
                sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _RESET_ON_CLOSE)

    async def reset(self, close: Callable[[], None]) -> None:
        """Send a RST once what was written before it has left (bounded by RESET_GRACE_SECONDS)."""
        if self._resetting:
            return
        self._resetting = True
        loop = asyncio.get_running_loop()
        deadline = loop.time() + RESET_GRACE_SECONDS
        pause = 0.0005
        while loop.time() < deadline and not self.transport.is_closing() and self._unsent_bytes():
            await asyncio.sleep(pause)
            pause = min(pause * 2, 0.02)
        self.reset_on_close()
        abort(self.transport)
        close()

    def tell_full(self, tell: Callable[[bool], None]) -> None:
        """Have `tell` hear when the transport's buffer is full, and when it has room again."""
        if self.protocol is None:
            return
        stock_pause, stock_resume = self.protocol.pause_writing, self.protocol.resume_writing

        def pause_writing() -> None:
            stock_pause()
            tell(True)

        def resume_writing() -> None:
            stock_resume()
            tell(False)

        self.protocol.pause_writing = pause_writing
        self.protocol.resume_writing = resume_writing
        if self.is_write_paused:
            tell(True)

    def waiting(self) -> tuple[int, int | None]:
        """Bytes that the peer has not taken, and how long ago its TCP acknowledged anything."""
        sock = self.transport.get_extra_info("socket")
        return self._unsent_bytes(), acknowledged_ns(sock) if sock is not None else None

    def _unsent_bytes(self) -> int:
        unsent: int = self.transport.get_write_buffer_size()
        sock = self.transport.get_extra_info("socket")
        return unsent + (_kernel_unsent(sock.fileno()) if sock is not None else 0)


def _kernel_unsent(fd: int) -> int:
    """Bytes the peer's kernel has not acknowledged yet (Linux's SIOCOUTQ; 0 where it is not to be had)."""
    if fd < 0 or not sys.platform.startswith("linux"):
        return 0
    import fcntl
    import termios

    try:
        answer = fcntl.ioctl(fd, termios.TIOCOUTQ, b"\0\0\0\0")
    except OSError:
        return 0
    return int.from_bytes(answer, sys.byteorder)


class Wire:
    """One client's sockets, as mitmproxy's ConnectionHandler holds them."""

    def __init__(self, handler: ConnectionHandler) -> None:
        self.handler = handler
        self.endpoints: dict[str, Endpoint] = {}
        self.outbox = Outbox()
        self._held_readers: dict[str, asyncio.Event] = {}
        self._tasks: set[asyncio.Task[None]] | None = None  # most clients never have one

    @classmethod
    def attach(cls, handler: ConnectionHandler) -> Wire:
        """Take charge of a client that has just connected."""
        wire = cls(handler)
        handler.__dict__["wsinspect_wire"] = wire
        handler.__dict__["drain_writers"] = wire._drain_others
        handler.timeout_watchdog.timeout = NEVER_SECONDS
        answer_in_place(handler, ctx.master.addons)
        forget_cancelling(handler)
        endpoint = wire.watch(handler.client)
        if endpoint is not None and isinstance(endpoint.protocol, ArrivedProtocol):
            handler.client.timestamp_start = endpoint.protocol.came
        return wire

    @classmethod
    def of_client(cls, client: Connection) -> Wire | None:
        """The wire of a client; None once it has gone."""
        handler = ctx.master.addons.get("proxyserver").connections.get(client.id)
        if handler is None:
            return None
        wire: Wire | None = handler.__dict__.get("wsinspect_wire")
        return wire or cls.attach(handler)

    @classmethod
    def of(cls, context: Context) -> Wire:
        """The wire that a layer's context belongs to; one without sockets when the client has gone."""
        return cls.of_client(context.client) or cls(_Gone(context.client))  # type: ignore[arg-type]

    def watch(self, connection: Connection) -> Endpoint | None:
        """Start to watch a connection's socket (again: no harm)."""
        if connection.id in self.endpoints:
            return self.endpoints[connection.id]
        io = self.handler.transports.get(connection)
        endpoint = Endpoint.watch(connection, io.reader, io.writer) if io else None
        if endpoint:
            self.endpoints[connection.id] = endpoint
        return endpoint

    def forget(self, connection: Connection) -> None:
        """Drop a finished server connection, so that a long-lived client holds no dead sockets."""
        self.endpoints.pop(connection.id, None)

    def carrier(self, context: Context, connection: Connection) -> Connection:
        """The TCP connection that carries `connection` (an upstream proxy's, where it is tunnelled)."""
        for layer in _stack(context, connection):
            if isinstance(layer, tunnel.TunnelLayer) and layer.conn == connection:
                outer = layer.tunnel_connection
                if outer != connection:
                    return self.carrier(context, outer)
        return connection

    def end_of(self, connection: Connection) -> str:
        """How the peer ended: "fin", "rst" or "timeout"."""
        endpoint = self.endpoints.get(connection.id)
        if endpoint is None:
            return "fin"
        exc = endpoint.error
        if exc is not None and endpoint.how in ("", "fin"):
            endpoint.how = "timeout" if isinstance(exc, TimeoutError) else "rst"
        return endpoint.how or "fin"

    def end_server(self, context: Context, how: str) -> None:
        """Pass a client's early close_notify or FIN on to the one server it has."""
        for server in self._servers():
            tls = tls_of(context, self._carried(context, server))
            endpoint = self.endpoints.get(server.id)
            if not server.state & ConnectionState.CAN_WRITE:
                continue
            if tls and endpoint and (how == "close_notify" or not self.handler.client.tls):
                send_close_notify(tls[-1], through(tls[:-1], endpoint.transport.write))
            if how == "fin" or not tls:
                self.half_close(server)

    def reset_server_on_close(self) -> None:
        """A client that gave up with a RST: the server gets one, too."""
        for server in self._servers():
            self.reset_on_close(server)

    def _carried(self, context: Context, server: Connection) -> Connection:
        """The connection inside a tunnel through `server`; itself where there is none."""
        known = [context.server]
        for layer in context.layers:
            connections = getattr(layer, "connections", None)
            known += connections if isinstance(connections, dict) else ()
        inside = (each for each in known if each != server and self.carrier(context, each) == server)
        return next(inside, server)

    def _servers(self) -> list[Connection]:
        return [each for each in self.handler.transports if each != self.handler.client and each.connected]

    def half_close(self, connection: Connection) -> None:
        """Send FIN and continue reading. All that was written before has left or is queued before it."""
        if connection in self.handler.transports:
            self.handler.close_connection(connection, half_close=True)

    def close(self, connection: Connection) -> None:
        """Close for good, with FIN after what is queued."""
        if connection in self.handler.transports:
            self.handler.close_connection(connection)

    def write(self, connection: Connection, data: bytes) -> None:
        """Write past the layers."""
        if (endpoint := self.endpoints.get(connection.id)) and not endpoint.transport.is_closing():
            endpoint.transport.write(data)

    def writer(self, context: Context, connection: Connection) -> Callable[[bytes], None]:
        """What writes to a connection past the layers, through its TLS."""
        carrier = self.carrier(context, connection)
        endpoint = self.watch(carrier)
        if endpoint is None:
            return lambda data: None

        def write(data: bytes) -> None:
            if carrier.state & ConnectionState.CAN_WRITE and not endpoint.transport.is_closing():
                send(data)

        send = through(tls_of(context, connection), endpoint.transport.write)
        return write

    def hang_up(self, connection: Connection) -> None:
        """Close the socket once what was written has left, whatever the layers still wait for."""
        if endpoint := self.endpoints.get(connection.id):
            endpoint.transport.close()

    def reset_on_close(self, connection: Connection) -> None:
        if endpoint := self.endpoints.get(connection.id):
            endpoint.reset_on_close()

    def reset(self, connection: Connection, origin: Connection) -> None:
        """Send RST, as soon as what was relayed before it has been delivered.

        The `origin` of the reset is closed only then: mitmproxy closes all of a client's connections with the
        client, and takes a connection for finished once neither direction is left.
        """
        if origin.state is ConnectionState.CLOSED and origin in self.handler.transports:
            origin.state = ConnectionState.CAN_WRITE

        def close_both() -> None:
            self.close(connection)
            self.close(origin)

        endpoint = self.endpoints.get(connection.id)
        if endpoint is None or connection not in self.handler.transports:
            close_both()
        else:
            self.spawn(endpoint.reset(close_both))

    def keep(self, connection: Connection) -> None:
        """Do not let go of a connection that its peer has ended, for its end is still to be passed on."""
        if connection.state is ConnectionState.CLOSED and connection in self.handler.transports:
            connection.state = ConnectionState.CAN_WRITE

    def abort(self, connections: Sequence[Connection]) -> None:
        """Reset these as soon as what was written has left; the rest of the client's get a FIN."""
        found = [self.endpoints[each.id] for each in connections if each.id in self.endpoints]
        self.spawn(self._abort(found))

    async def _abort(self, endpoints: Sequence[Endpoint]) -> None:
        await asyncio.gather(*(endpoint.reset(lambda: None) for endpoint in endpoints))
        for connection in list(self.handler.transports):
            self.close(connection)

    def close_later(self, connections: Sequence[Connection]) -> None:
        """Close what is still there once a reset under way is done."""
        for connection in connections:
            endpoint = self.endpoints.get(connection.id)
            if endpoint is None or not endpoint._resetting:
                self.close(connection)

    def spawn(self, coroutine: Any) -> None:
        """Run a coroutine of this wire, kept alive until it is done."""
        task = asyncio.get_running_loop().create_task(coroutine)
        if not task.done():
            if self._tasks is None:
                self._tasks = set()
            self._tasks.add(task)
            task.add_done_callback(self._tasks.discard)

    def event(self, event: events.Event) -> None:
        """Deliver an event to the layers, behind those under way."""
        self.spawn(_deliver(self.handler, event))

    def hold_reader(self, connection: Connection, is_held: bool) -> None:
        """Whether what was read of a connection has to be handled before more of it is read."""
        if is_held:
            self._held_readers.setdefault(connection.id, asyncio.Event())
        elif (handled := self._held_readers.pop(connection.id, None)) is not None:
            handled.set()

    async def _drain_others(self) -> None:
        """Backpressure per direction: wait for the writers that what was just read goes to.

        What is handled in portions has to be handled first (`hold_reader`).

        A peer's own writer counts where it does not take the answers to what it sends (PING, SETTINGS). A
        client of HTTP/2 has many servers of HTTP/1.1 behind one connection: the windows of its streams stop
        each on its own.
        """
        current = asyncio.current_task()
        client = self.handler.transports.get(self.handler.client)
        is_many = self.handler.client.alpn == b"h2" and client is not None and client.handler is current
        for connection, io in list(self.handler.transports.items()):
            if io.handler is current and (handled := self._held_readers.get(connection.id)) is not None:
                await handled.wait()
        for connection, io in list(self.handler.transports.items()):
            if io.writer is None:
                continue
            if is_many and io is not client and connection.alpn != b"h2":
                continue
            if io.handler is current and _waiting_bytes(io.writer) <= ANSWER_BYTES:
                continue
            try:
                await io.writer.drain()
            except OSError as error:
                if io.handler is not None:
                    io.handler.cancel(f"Error sending data: {error}")


def _waiting_bytes(writer: Any) -> int:
    transport = getattr(writer, "transport", None)
    return transport.get_write_buffer_size() if transport is not None else 0


async def _deliver(handler: ConnectionHandler, event: events.Event) -> None:
    result = handler.server_event(event)
    await result


class _Gone:
    """A handler without transports: the client has already been forgotten by mitmproxy."""

    def __init__(self, client: Connection) -> None:
        self.client = client
        self.transports: dict[Connection, Any] = {}

    def close_connection(self, connection: Connection, half_close: bool = False) -> None:
        connection.state = ConnectionState.CLOSED


def _stack(context: Context, connection: Connection) -> Iterator[Any]:
    """The layers that may carry `connection`: those above, and the server side under the HTTP layer."""
    yield from context.layers
    for layer in context.layers:
        inner = getattr(layer, "connections", None)
        below = inner.get(connection) if isinstance(inner, dict) else None
        while below is not None:
            yield below
            below = getattr(below, "child_layer", None)


def are_idle(layers: Sequence[Layer]) -> bool:
    """No layer is paused in a hook or holds events back."""
    return all(each._paused is None and not each._paused_event_queue for each in layers)


def tls_of(context: Context, connection: Connection) -> list[tls_layers.TLSLayer]:
    """The TLS layers around `connection`, outermost first: two for TLS within TLS (behind an https proxy)."""
    return _tls_among(list(_stack(context, connection)), connection)


def _tls_among(layers: list[Any], connection: Connection) -> list[tls_layers.TLSLayer]:
    outer: list[tls_layers.TLSLayer] = []
    found: list[tls_layers.TLSLayer] = []
    for layer in layers:
        if not isinstance(layer, tunnel.TunnelLayer) or layer.conn != connection:
            continue
        if layer.tunnel_connection != connection:
            outer = _tls_among(layers, layer.tunnel_connection)
        elif isinstance(layer, tls_layers.TLSLayer) and getattr(layer, "tls", None) and layer not in found:
            found.append(layer)
    return outer + found
