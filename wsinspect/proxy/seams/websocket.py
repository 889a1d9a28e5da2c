"""Seam: mitmproxy's WebSocket layer, replaced by the relay.

`HttpStream.flow_done` looks up `mitmproxy.proxy.layers.websocket.WebsocketLayer` at call time; rebinding
that one name puts `RelayLayer` there. `flow.websocket` and the hooks `websocket_start` and `websocket_end`
keep working; messages are not collected in the flow (they are in the capture).
"""

from __future__ import annotations

from mitmproxy import http
from mitmproxy.proxy.layers import websocket
from mitmproxy.websocket import WebSocketData


def install_websocket_layer() -> None:
    """Rebind the name that HttpStream looks up."""
    from wsinspect.proxy.relay import RelayLayer

    websocket.WebsocketLayer = RelayLayer  # type: ignore[misc, assignment]


def relay_upgrade(flow: http.HTTPFlow) -> None:
    """Have the relay take over after this 101, also where stock mitmproxy sees no WebSocket in it.

    Stock mitmproxy wants `Upgrade: websocket` in the response and version 13 in the request, and treats all
    else as raw TCP whose messages it keeps forever. To be called in the `response` hook.
    """
    if flow.response is not None and flow.response.status_code == 101 and flow.websocket is None:
        flow.websocket = WebSocketData()
