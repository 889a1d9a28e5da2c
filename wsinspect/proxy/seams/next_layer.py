"""Seam: what a connection carries (`addons.next_layer.NextLayer`), decided once there is enough to tell by.

Stock mitmproxy decides at the first bytes. Where those hold no line break (a client that writes its request
in pieces, a token in the URL longer than a segment), it takes a tunnel through CONNECT or SOCKS5 for raw TCP,
and a WebSocket in it passes unread. The same happens to a TLS greeting of which only a byte or two have come.
Here both are waited for: a request line that has begun, and the first three bytes of a TLS record. Empty
lines before a request line do not count (RFC 9112 section 2.2: a server ignores them), where stock mitmproxy
takes them for a protocol of its own.

What then still is raw TCP is reported, so that nothing passes through unreported.
"""

from __future__ import annotations

import asyncio
import re
from typing import Final, Protocol
from weakref import WeakSet

from mitmproxy.addons import next_layer
from mitmproxy.master import Master
from mitmproxy.proxy import events, layer
from mitmproxy.proxy.context import Context
from mitmproxy.proxy.layers import HttpLayer, TCPLayer, modes
from mitmproxy.proxy.layers.http import HTTPMode
from mitmproxy.proxy.layers.tls import HTTP_ALPNS
from mitmproxy.proxy.mode_specs import ReverseMode

from wsinspect.proxy.seams.transport import Wire
from wsinspect.units import SECOND, format_duration

#: How long to wait for the rest of a request line; then the tunnel is raw TCP, as for stock mitmproxy.
WAIT_SECONDS: Final = 10.0
#: A longer request line counts as HTTP, and the HTTP layer refuses it.
MAX_LINE_BYTES: Final = 64 * 1024

_METHODS: Final = (
    b"GET",
    b"POST",
    b"HEAD",
    b"PUT",
    b"DELETE",
    b"OPTIONS",
    b"PATCH",
    b"TRACE",
    b"CONNECT",
    b"PRI",
)
#: After the method: a target without blanks, then the version. Other bytes are not HTTP.
_REST: Final = re.compile(rb"[A-Z]+ [^\x00-\x20\x7f]*(?: [HTP/.0-9]{0,8}\r?)?")
#: Modes whose first layer does not depend on what the client sends.
_DECIDED_BY_MODE: Final = (modes.ReverseProxy, modes.HttpProxy, modes.HttpUpstreamProxy)
_TLS_BEGUN: Final = (b"\x16", b"\x16\x03")


class Observer(Protocol):
    """Who is notified of connections that are passed on unread."""

    def passed_unread(self, context: Context, first: bytes, reason: str) -> None:
        """A TCP connection is passed on as it is; `first` is what the client has sent so far."""


def request_has_begun(data: bytes) -> bool:
    """Whether `data` is the beginning of an HTTP request line whose end has not come yet."""
    line = data.lstrip(b"\r\n")
    if not line or b"\n" in line:
        return bool(data) and not line
    if any(method.startswith(line) for method in _METHODS):
        return True
    return line.startswith(tuple(method + b" " for method in _METHODS)) and bool(_REST.fullmatch(line))


def without_empty_lines(data: bytes) -> bytes:
    """`data` from its request line on, where there are empty lines before one; else all of it."""
    rest = data.lstrip(b"\r\n")
    return rest if rest.startswith(tuple(method + b" " for method in _METHODS)) else data


class PatientNextLayer(next_layer.NextLayer):
    """See the module docstring; it takes the place of mitmproxy's addon of the same purpose."""

    def __init__(self, observer: Observer) -> None:
        self._observer = observer
        self._overdue: WeakSet[layer.NextLayer] = WeakSet()
        self._waiting: WeakSet[layer.NextLayer] = WeakSet()

    def next_layer(self, nextlayer: layer.NextLayer) -> None:
        """mitmproxy's hook: wait where too little has come to tell by, else decide as it does."""
        context = nextlayer.context
        if nextlayer.layer or context.client.transport_protocol != "tcp":
            super().next_layer(nextlayer)
            return
        sent = nextlayer.data_client()
        reason = "it is not HTTP"
        if nextlayer in self._overdue:
            reason = f"no complete request line came within {format_duration(round(WAIT_SECONDS * SECOND))}"
        elif sent in _TLS_BEGUN:
            self._wait(nextlayer)
            return
        elif self._needs_line(context, sent, nextlayer.data_server()):
            if len(sent) <= MAX_LINE_BYTES:
                self._wait(nextlayer)
                return
            nextlayer.layer = HttpLayer(context, HTTPMode.transparent)
        super().next_layer(nextlayer)
        if nextlayer.layer is None:
            return
        mode = context.client.proxy_mode
        if isinstance(mode, ReverseMode) and mode.scheme in ("tcp", "tls"):
            self._observer.passed_unread(context, sent, f"its tap passes on raw TCP (reverse:{mode.scheme})")
        elif isinstance(nextlayer.layer, TCPLayer):
            if nextlayer.layer.flow is None:
                reason = "its host is ignored"
            elif self._is_destination_in_hosts(context, self.tcp_hosts):
                reason = "its host is among tcp_hosts"
            elif nextlayer.data_server():
                reason = "the server spoke first"
            self._observer.passed_unread(context, sent, reason)

    def _next_layer(self, context: Context, data_client: bytes, data_server: bytes) -> layer.Layer | None:
        return super()._next_layer(context, without_empty_lines(data_client), data_server)

    def _needs_line(self, context: Context, sent: bytes, received: bytes) -> bool:
        """Whether stock mitmproxy would decide by a request line, and has only the beginning of one."""
        if received or not request_has_begun(sent) or context.client.alpn in HTTP_ALPNS:
            return False
        if context.client.tls and not sent.strip(b"\r\n"):
            # Inside TLS nothing ends the wait but the client, and it may be waiting for the server: an empty
            # line is a whole request of Gopher (RFC 1436 section 2) and of Finger (RFC 1288 section 2.3).
            return False
        if len(context.layers) == 1 and isinstance(context.layers[0], _DECIDED_BY_MODE):
            return False
        try:
            is_ignored = bool(self._ignore_connection(context, sent.lstrip(b"\r\n"), received))
        except next_layer.NeedsMoreData:
            return True
        return not is_ignored and not self._is_destination_in_hosts(context, self.tcp_hosts)

    def _wait(self, nextlayer: layer.NextLayer) -> None:
        # Inside TLS no event without data reaches the layer, so there we wait for the end of the line.
        if nextlayer not in self._waiting and not nextlayer.context.client.tls:
            self._waiting.add(nextlayer)
            asyncio.get_running_loop().call_later(WAIT_SECONDS, self._give_up, nextlayer)

    def _give_up(self, nextlayer: layer.NextLayer) -> None:
        client = nextlayer.context.client
        if nextlayer.layer is None and client.connected:
            self._overdue.add(nextlayer)
            Wire.of(nextlayer.context).event(events.DataReceived(client, b""))


def install_next_layer(master: Master, observer: Observer) -> None:
    """Put ours in the place of mitmproxy's addon, or where none is yet."""
    stock = master.addons.get("nextlayer")
    if stock is not None:
        master.addons.remove(stock)
    ours = PatientNextLayer(observer)
    master.addons.add(ours)
    ours.configure({"tcp_hosts", "udp_hosts", "ignore_hosts", "allow_hosts"} & set(master.options.keys()))  # type: ignore[no-untyped-call]
