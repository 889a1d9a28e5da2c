"""Seam: what a listener makes of each new connection (`mode_servers.ReverseInstance.listen`).

Stock mitmproxy makes a stream and a task for each, before the client has said anything. Here a reverse tap's
listener asks a factory for the protocol of each connection; `ArrivedProtocol.take` does what stock mitmproxy
does, later, with the time at which the client came.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any, Final, Protocol

from mitmproxy.proxy.mode_servers import AsyncioServerInstance, ReverseInstance


class Instance(Protocol):
    """One listener of mitmproxy's (`ServerInstance`)."""

    mode: Any
    manager: Any

    async def handle_stream(self, reader: Any, writer: Any = None) -> None: ...

    def make_top_layer(self, context: Any) -> Any: ...


#: Makes the protocol of a connection.
Factory = Callable[[Instance], asyncio.BaseProtocol]
_stock_listen: Final = AsyncioServerInstance.listen
_WAITING: Final = 100  # connections that the kernel keeps: asyncio's own


class ArrivedProtocol(asyncio.StreamReaderProtocol):
    """asyncio's protocol of a stream, of a client that came some time ago.

    Attributes:
        came: when (epoch seconds).
    """

    came: float

    @classmethod
    def take(cls, transport: Any, instance: Instance, came: float) -> ArrivedProtocol:
        """Give a connection to mitmproxy."""
        loop = asyncio.get_running_loop()
        protocol = cls(asyncio.StreamReader(loop=loop), instance.handle_stream, loop=loop)
        protocol.came = came
        transport.set_protocol(protocol)
        protocol.connection_made(transport)
        return protocol


def install_arrivals(factory: Factory | None, is_for: Callable[[Any], bool]) -> None:
    """Ask the factory from now on, for the modes that it is for; None: all is mitmproxy's again."""

    async def listen(instance: Any, host: str, port: int) -> Any:
        if factory is None or not port or not is_for(instance.mode):
            return await _stock_listen(instance, host, port)
        loop = asyncio.get_running_loop()
        return [await loop.create_server(lambda: factory(instance), host, port, backlog=_WAITING)]

    ReverseInstance.listen = listen  # type: ignore[method-assign, assignment]


__all__ = ["ArrivedProtocol", "Factory", "Instance", "install_arrivals"]
