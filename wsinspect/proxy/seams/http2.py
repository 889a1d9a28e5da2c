"""Seam: mitmproxy's HTTP/2 layers (`layers.http.Http2Server`, `Http2Client`), as subclasses that tell.

Stock mitmproxy reads a server's SETTINGS and forgets them, and takes an extended CONNECT (RFC 8441) for a
protocol error that ends the client's whole connection. Here the settings are reported, and of an extended
CONNECT only its stream is refused, with HTTP_1_1_REQUIRED, which sends a client that knows how to HTTP/1.1.
Carrying WebSockets over HTTP/2 is not done here.

The names are looked up by mitmproxy as globals of `mitmproxy.proxy.layers.http` at call time.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, Protocol

from h2.errors import ErrorCodes
from h2.events import Event, RemoteSettingsChanged, RequestReceived
from h2.settings import SettingCodes
from mitmproxy.proxy import layer
from mitmproxy.proxy.context import Context
from mitmproxy.proxy.layers import http as http_layers
from mitmproxy.proxy.layers.http._http2 import Http2Client, Http2Server


class Observer(Protocol):
    """Who is notified of extended CONNECT: what a server allows, and what was refused."""

    def settings(self, context: Context, enable_connect: bool) -> None:
        """A server's first SETTINGS, and whether they allow extended CONNECT."""

    def refused_connect(self, context: Context, head: dict[str, str]) -> None:
        """An extended CONNECT of a client was refused; `head` has its pseudo-header fields and `origin`."""


class _Nobody:
    def settings(self, context: Context, enable_connect: bool) -> None:
        return

    def refused_connect(self, context: Context, head: dict[str, str]) -> None:
        return


_observer: Observer = _Nobody()


def observe(observer: Observer) -> None:
    """Tell this one from now on, instead of the one before."""
    global _observer
    _observer = observer


class WatchedHttp2Server(Http2Server):
    """The client's side of the proxy."""

    def handle_h2_event(self, event: Event) -> layer.CommandGenerator[bool]:
        if isinstance(event, RequestReceived):
            head = _pseudo_fields(event.headers or ())
            if ":protocol" in head:
                assert event.stream_id is not None
                self.h2_conn.reset_stream(event.stream_id, ErrorCodes.HTTP_1_1_REQUIRED)
                _observer.refused_connect(self.context, head)
                return False
        return (yield from super().handle_h2_event(event))


class WatchedHttp2Client(Http2Client):
    """The server's side of the proxy."""

    _has_told = False

    def handle_h2_event(self, event: Event) -> layer.CommandGenerator[bool]:
        if isinstance(event, RemoteSettingsChanged) and not self._has_told:
            self._has_told = True
            enabled = self.h2_conn.remote_settings.get(SettingCodes.ENABLE_CONNECT_PROTOCOL, 0)
            _observer.settings(self.context, bool(enabled))
        return (yield from super().handle_h2_event(event))


def _pseudo_fields(fields: Iterable[Any]) -> dict[str, str]:
    """Pseudo-header fields, and `origin`, as text."""
    found: dict[str, str] = {}
    for name, value in fields:
        key = bytes(name).decode("latin-1").lower()
        if key.startswith(":") or key == "origin":
            found.setdefault(key, bytes(value).decode("latin-1"))
    return found


def install_http2() -> None:
    """Rebind the names that HttpLayer and HttpClient look up."""
    names = vars(http_layers)
    names["Http2Server"], names["Http2Client"] = WatchedHttp2Server, WatchedHttp2Client
