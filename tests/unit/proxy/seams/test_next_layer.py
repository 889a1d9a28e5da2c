"""What a connection carries: how long a tunnel's first bytes are waited for."""

import asyncio

import pytest
from mitmproxy.connection import Client, ConnectionState
from mitmproxy.proxy import events, layer, layers
from mitmproxy.proxy.context import Context
from mitmproxy.proxy.layers import modes
from mitmproxy.proxy.mode_specs import ProxyMode
from mitmproxy.test import taddons

from wsinspect.proxy.seams.next_layer import PatientNextLayer


class Passed:
    """Notes why connections are passed on unread."""

    def __init__(self) -> None:
        self.reasons: list[str] = []

    def passed_unread(self, context: Context, first: bytes, reason: str) -> None:
        self.reasons.append(reason)


async def decided(first: bytes, *, is_tls: bool) -> tuple[type[layer.Layer] | None, list[str]]:
    """The layer that the first bytes in a tunnel of SOCKS5 get, None where more are waited for."""
    passed = Passed()
    addon = PatientNextLayer(passed)
    with taddons.context(addon) as context:
        client = Client(
            peername=("127.0.0.1", 5),
            sockname=("127.0.0.1", 1080),
            state=ConnectionState.OPEN,
            proxy_mode=ProxyMode.parse("socks5"),
            tls=is_tls,
        )
        tunnel = Context(client, context.options)
        tunnel.server.address = ("localhost", 70)
        tunnel.layers.append(modes.Socks5Proxy(tunnel))
        if is_tls:
            tunnel.layers.append(layers.ClientTLSLayer(tunnel))
        asked = layer.NextLayer(tunnel)
        asked.events.append(events.DataReceived(client, first))
        addon.next_layer(asked)
        return None if asked.layer is None else type(asked.layer), passed.reasons


@pytest.mark.parametrize(
    ("first", "is_tls", "expected"),
    [
        (b"\r\n", True, layers.TCPLayer),
        (b"\r\n\r\n", True, layers.TCPLayer),
        (b"\r\nGET /", True, None),
        (b"GET /", True, None),
        (b"\r\nGET / HTTP/1.1\r\n", True, layers.HttpLayer),
        (b"\r\n", False, None),
    ],
)
def test_an_empty_line_alone_is_waited_behind_only_where_the_wait_has_an_end(first, is_tls, expected):
    """In TLS no timer reaches the layer, and a client of Gopher that has asked waits for an answer."""
    found, reasons = asyncio.run(decided(first, is_tls=is_tls))
    assert found is expected
    assert reasons == (["it is not HTTP"] if expected is layers.TCPLayer else [])
