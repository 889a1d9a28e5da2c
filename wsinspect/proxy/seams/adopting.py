"""Seam: a client that mitmproxy takes over in the middle of an opening handshake (`ProxyConnectionHandler`).

Stock mitmproxy has a client from its first byte. What `proxy.direct` has begun and cannot end is shown to
mitmproxy's layers from the beginning, as the bytes that came: they do what they would have done, except that
what has happened already does not happen again. The hooks that were called are not called, the flow is the
one that they were called with, the server's connection is the one that was opened, and the request that it
has got is not sent to it twice.
"""

from __future__ import annotations

import asyncio
import time
from collections import deque
from collections.abc import Coroutine
from dataclasses import dataclass
from typing import Any, Final

from mitmproxy import http
from mitmproxy.connection import Connection, ConnectionState, Server
from mitmproxy.proxy import commands, events, mode_servers, server_hooks
from mitmproxy.proxy.context import Context
from mitmproxy.proxy.layer import Layer
from mitmproxy.proxy.layers.http import HttpLayer, HttpStream
from mitmproxy.proxy.layers.http._http1 import Http1Server
from mitmproxy.proxy.server import ConnectionHandler, ConnectionIO
from mitmproxy.utils import human

from wsinspect.proxy.seams.arriving import Instance
from wsinspect.proxy.seams.http1 import wire_head
from wsinspect.proxy.seams.transport import Wire

#: Hooks of the layers that have been called before a client is adopted.
_CALLED: Final = frozenset({"requestheaders", "request"})


@dataclass
class Given:
    """What there is when a client is adopted.

    Attributes:
        flow: what the hooks were called with.
        raw: the request as it came.
        client: asyncio's transport.
        server: the facts of the server's connection, as far as it came.
        connecting: gives the server's transport, or raises why there is none.
        transport: the server's, once the request has been sent there.
    """

    flow: http.HTTPFlow
    raw: bytes
    client: Any
    server: Server
    connecting: asyncio.Task[Any]
    transport: Any = None


def adopt(master: Any, instance: Instance, given: Given) -> dict[Connection, asyncio.StreamReaderProtocol]:
    """Give a client to mitmproxy.

    Returns:
        The new protocols of the connections: what has come and was not handled is to be given to them.
    """
    handler = _Adopted(master, instance, given)
    handler.begin()
    return {
        connection: protocol
        for connection, protocol in (
            (given.flow.client_conn, handler.client_protocol),
            (given.server, handler.server_protocol),
        )
        if protocol is not None
    }


class _Adopted(mode_servers.ProxyConnectionHandler):
    """A handler whose client has asked already, and been heard."""

    def __init__(self, master: Any, instance: Instance, given: Given) -> None:
        self.master = master
        self._given: Given | None = given
        self._instance = instance
        client = given.flow.client_conn
        ConnectionHandler.__init__(self, Context(client, master.options))
        self.log_prefix = f"{human.format_address(client.peername)}: "
        self.client_protocol, reader, writer = _streams_of(given.client)
        self.transports[client] = ConnectionIO(handler=None, reader=reader, writer=writer)
        self._server_io: tuple[Any, Any] | None = None
        self.server_protocol: asyncio.StreamReaderProtocol | None = None
        if given.transport is not None:
            self.server_protocol, *streams = _streams_of(given.transport)
            self._server_io = streams[0], streams[1]
        self._has_started = False
        self.layer = instance.make_top_layer(self.layer.context)
        instance.manager.connections[client.id] = self
        wire = Wire.attach(self)
        wire.endpoints[client.id].has_received = True
        self.layer._layer = _Replay(self.layer._layer, given)  # type: ignore[attr-defined]

    def begin(self) -> None:
        """Show the layers what has come, and leave the rest to mitmproxy."""
        given = self._given
        assert given is not None
        _at_once(self.server_event(events.Start()))
        _at_once(self.server_event(events.DataReceived(self.client, given.raw)))
        self._has_started = True
        self._task = asyncio.get_running_loop().create_task(self._serve())

    async def _serve(self) -> None:
        with self._instance.manager.register_connection(self.client.id, self):
            await self.handle_client()
        del self._task

    async def handle_hook(self, hook: commands.StartHook) -> None:
        """mitmproxy's method; the client is no new one."""
        if not isinstance(hook, server_hooks.ClientConnectedHook):
            await super().handle_hook(hook)

    async def server_event(self, event: events.Event) -> None:
        """mitmproxy's method; the layers have been started."""
        if not (self._has_started and isinstance(event, events.Start)):
            await super().server_event(event)

    async def open_connection(self, command: commands.OpenConnection) -> None:
        """mitmproxy's method; the first connection is the one that was begun."""
        given, self._given = self._given, None
        if given is None:
            await super().open_connection(command)
            return
        # mitmproxy's tasks begin at once: `server_event` has not put this one into `transports` yet.
        await asyncio.sleep(0)
        server = command.connection
        assert isinstance(server, Server)
        data = server_hooks.ServerConnectionHookData(client=self.client, server=server)
        server.timestamp_start = given.server.timestamp_start
        try:
            transport = given.transport or await given.connecting
        except (OSError, asyncio.CancelledError) as error:
            server.error = str(error) or "connection cancelled"
            await self.handle_hook(server_hooks.ServerConnectErrorHook(data))
            await self.server_event(events.OpenConnectionCompleted(command, server.error))
            if isinstance(error, asyncio.CancelledError):
                raise
            return
        server.timestamp_tcp_setup = given.server.timestamp_tcp_setup
        server.peername, server.sockname = given.server.peername, given.server.sockname
        server.state = ConnectionState.OPEN
        reader, writer = self._server_io or _streams_of(transport)[1:]
        self.transports[server] = ConnectionIO(handler=asyncio.current_task(), reader=reader, writer=writer)
        await self.handle_hook(server_hooks.ServerConnectedHook(data))
        await self.server_event(events.OpenConnectionCompleted(command, None))
        try:
            await self.handle_connection(server)
        finally:
            server.timestamp_end = time.time()
            await self.handle_hook(server_hooks.ServerDisconnectedHook(data))


class _Replay:
    """The client's outermost layer, until it has done what was done before."""

    def __init__(self, layer: Layer, given: Given) -> None:
        self._layer = layer
        self._given = given
        self._is_sent = given.transport is None
        self._called = set(_CALLED)
        head = wire_head(given.flow.request)
        if head is not None and given.transport is not None:
            head.forwarded = None

    def handle_event(self, event: events.Event) -> Any:
        """An event for the layers, and what they want done that has not been done."""
        pending = deque([event])
        while pending:
            for command in self._layer.handle_event(pending.popleft()):
                if isinstance(command, commands.StartHook) and command.name in self._called:
                    self._called.remove(command.name)
                    self._put_flow()
                    pending.append(events.HookCompleted(command))
                elif isinstance(command, commands.SendData) and self._is_request(command):
                    self._is_sent = True
                else:
                    yield command

    def _is_request(self, command: commands.SendData) -> bool:
        return not self._is_sent and isinstance(command.connection, Server)

    def _put_flow(self) -> None:
        """The layers get the flow that the hooks were called with."""
        for layer in list(self._layer.context.layers):
            if isinstance(layer, HttpLayer):
                for each in layer.connections.values():
                    if isinstance(each, Http1Server):
                        each.request = self._given.flow.request
                for stream in layer.streams.values():
                    if isinstance(stream, HttpStream):
                        stream.flow = self._given.flow


def _streams_of(transport: Any) -> tuple[asyncio.StreamReaderProtocol, Any, Any]:
    """asyncio's stream on a transport that had another protocol."""
    loop = asyncio.get_running_loop()
    reader = asyncio.StreamReader(loop=loop)
    protocol = asyncio.StreamReaderProtocol(reader, loop=loop)
    transport.set_protocol(protocol)
    protocol.connection_made(transport)
    return protocol, reader, asyncio.StreamWriter(transport, protocol, reader, loop)


def _at_once(coroutine: Coroutine[Any, Any, None]) -> None:
    """Run what never waits (`ConnectionHandler.server_event`)."""
    try:
        coroutine.send(None)
    except StopIteration:
        return
    raise RuntimeError("mitmproxy's server_event waits for something")


__all__ = ["Given", "adopt"]
