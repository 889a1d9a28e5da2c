"""Seam: what is left of a client that has gone (`Proxyserver.register_connection`, `ConnectionHandler`).

Stock mitmproxy leaves some hundred objects of every client that refer to each other in circles, so Python's
cycle collector has to find them, and everything stops while it does: an eighth of the engine's time in a
storm of opening handshakes, in pauses of 50 ms. Here the circles are opened once nothing more can come, and
the objects go at once. Streams of HTTP/2 outlive their layers for a moment: such a client is left alone.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from contextlib import contextmanager
from types import MethodType
from typing import Any, Final

from mitmproxy.addons import proxyserver
from mitmproxy.connection import Connection
from mitmproxy.http import Request
from mitmproxy.proxy import events
from mitmproxy.proxy.layer import Layer
from mitmproxy.proxy.layers.http import HttpLayer
from mitmproxy.proxy.layers.http._http2 import Http2Connection
from mitmproxy.proxy.server import ConnectionHandler

#: Where a layer, or what stands in front of one, has the layer below it.
_BELOW: Final = ("_layer", "layer", "child_layer")
#: What a layer holds that may refer back to it; a class's own attribute takes its place.
_REFERRING: Final = (MethodType, Request)


class ReleasingServer(proxyserver.Proxyserver):
    """mitmproxy's addon that runs the servers; a client that has gone is let go of."""

    name = "proxyserver"

    @contextmanager
    def register_connection(self, connection_id: Any, handler: Any) -> Iterator[None]:
        """mitmproxy's method, around all that a client does."""
        with super().register_connection(connection_id, handler):
            yield
        release(handler)


class _Gone:
    """The outermost layer of a client that has gone: whatever still comes has nowhere to go."""

    def handle_event(self, event: events.Event) -> tuple[()]:
        return ()


def release(handler: ConnectionHandler) -> None:
    """Open the circles of references through a client's layers, once all of its connections have ended."""
    layers = _layers_of(handler)
    if any(isinstance(each, Http2Connection) for each in layers):
        return
    for each in layers:
        if isinstance(each, Layer):
            each.context.layers.clear()
        # The state of a layer is a method of its own; its request's head may hold another one.
        attributes = vars(each)
        for name in [name for name, value in attributes.items() if type(value) in _REFERRING]:
            del attributes[name]
    handler.layer = _Gone()  # type: ignore[assignment]
    handler.timeout_watchdog.callback = _nothing
    for name in ("wsinspect_wire", "drain_writers", "handle_connection"):
        vars(handler).pop(name, None)


def forget_cancelling(handler: ConnectionHandler) -> None:
    """Have the loop that reads a connection keep no traceback: it is in it, with all that the client has."""
    stock = handler.handle_connection

    async def handle_connection(connection: Connection) -> None:
        try:
            await stock(connection)
        except asyncio.CancelledError as error:
            raise error.with_traceback(None) from None

    vars(handler)["handle_connection"] = handle_connection


def _layers_of(handler: ConnectionHandler) -> list[Any]:
    """All layers of a client, with what stands in front of the first one."""
    found: list[Any] = []
    todo: list[Any] = [handler.layer]
    while todo:
        each = todo.pop()
        if any(each is known for known in found):
            continue
        found.append(each)
        attributes = vars(each)
        todo += [attributes[name] for name in _BELOW if attributes.get(name) is not None]
        if isinstance(each, HttpLayer):
            todo += [*each.connections.values(), *each.streams.values()]
        if isinstance(each, Layer):
            todo += each.context.layers
    return found


async def _nothing() -> None:
    return
