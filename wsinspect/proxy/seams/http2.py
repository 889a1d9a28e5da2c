"""Seam: mitmproxy's HTTP/2 layers (`layers.http.Http2Server`, `Http2Client`), as subclasses that mirror.

Stock mitmproxy announces its own SETTINGS, takes an extended CONNECT (RFC 8441) for a protocol error that
ends the client's whole connection, and a GOAWAY for the end of all streams; it swallows 1xx responses,
reorders pseudo-header fields, and answers a stream that the server reset with a page of its own. Here:

- a client is offered extended CONNECT when, and as soon as, its server offers it;
- a CONNECT that has `:protocol` travels through mitmproxy as a GET whose 2xx is a 101, so that hooks, faults
  and the WebSocket layer see an opening handshake; on both connections it is what it was;
- its DATA frames do not pass the layers: `http2_tunnels`;
- RST_STREAM keeps its code, GOAWAY is passed on as it came and ends no open stream;
- with `bridge`, a WebSocket over HTTP/2 may have a server that speaks HTTP/1.1, and the other way round
  (`bridging`, `http1`);
- a header block leaves as it came wherever nothing was changed.

What is not mirrored (`set_mode`) is refused with HTTP_1_1_REQUIRED, which sends a client that knows how to
HTTP/1.1. The names are looked up by mitmproxy as globals of `mitmproxy.proxy.layers.http` at call time.
"""

from __future__ import annotations

from mitmproxy.proxy.context import Context
from mitmproxy.proxy.layers import http as http_layers
from mitmproxy.proxy.layers.http import HttpLayer, HttpStream

from wsinspect.proxy.seams.http2_client import MirroringClient
from wsinspect.proxy.seams.http2_server import MirroringServer
from wsinspect.proxy.seams.http2_sides import (
    Mode,
    Observer,
    current,
)


def drop_stream(context: Context) -> None:
    """Forget a WebSocket that is over; `context` is its HttpStream's."""
    stream = next((one for one in reversed(context.layers) if isinstance(one, HttpStream)), None)
    http_layer = next((one for one in reversed(context.layers) if isinstance(one, HttpLayer)), None)
    if http_layer is not None and stream is not None:
        http_layer.streams.pop(stream.stream_id, None)


def answer_connects() -> None:
    """Allow extended CONNECT to clients whose server cannot be asked: its place is taken."""
    current.answers_connects = True


def strip_alt_svc() -> None:
    """Pass no offer of HTTP/3 on, in frames (RFC 7838 section 4)."""
    current.strips_alt_svc = True


def is_bridging() -> bool:
    """Whether WebSockets pass between HTTP versions."""
    return current.mode == "bridge"


def install_http2() -> None:
    """Rebind the names that HttpLayer and HttpClient look up."""
    names = vars(http_layers)
    names["Http2Server"], names["Http2Client"] = MirroringServer, MirroringClient


def observe(observer: Observer) -> None:
    """Tell this one from now on, instead of the one before."""
    current.observer = observer


def set_mode(mode: Mode, *, may_shortcut: bool = True) -> None:
    """What to do with WebSockets over HTTP/2.

    Args:
        mode: `mirror` what each server offers, `bridge`, or `off`.
        may_shortcut: whether what one read brings of them may go past the layers (`http2_shortcut`).
    """
    current.mode = mode
    current.may_shortcut = may_shortcut


__all__ = [
    "Mode",
    "answer_connects",
    "drop_stream",
    "install_http2",
    "is_bridging",
    "observe",
    "set_mode",
    "strip_alt_svc",
]
