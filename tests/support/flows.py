"""WebSocket flows as mitmproxy makes and writes them."""

from __future__ import annotations

import io
from typing import Any

from mitmproxy import io as mitmproxy_io
from mitmproxy.test import tflow


def websocket_flow(**facts):
    flow: Any = tflow.twebsocketflow()
    flow.request.timestamp_start = 1_700_000_000.0
    for number, message in enumerate(flow.websocket.messages):
        message.timestamp = 1_700_000_001.0 + number
    flow.websocket.timestamp_end = 1_700_000_009.0
    for name, value in facts.items():
        setattr(flow.websocket, name, value)
    return flow


def written(*flows):
    out = io.BytesIO()
    writer = mitmproxy_io.FlowWriter(out)
    for flow in flows:
        writer.add(flow)
    return out.getvalue()
