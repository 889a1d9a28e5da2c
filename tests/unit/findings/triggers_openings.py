"""What libraries ask for before a WebSocket: requests that trigger the rules about them, and near ones."""

from __future__ import annotations

from typing import Any

from tests.unit.findings.facts_made import SECOND, START, summary
from wsinspect.findings.facts import CaptureFacts, EngineEvent


def library(*later: dict[str, Any], sockets: tuple[Any, ...] = (), **facts: Any) -> CaptureFacts:
    """SignalR's negotiation at /chat that was answered with 404, and what was reported afterwards."""
    base: dict[str, Any] = {
        "tap": "main",
        "library": "signalr",
        "part": "begin",
        "base": "/chat",
        "host": "example.org",
    }
    base |= {
        "url": "https://example.org/chat/negotiate",
        "method": "POST",
        "status": 404,
        "problem": "failed",
    }
    events = [EngineEvent(START, "library_asked", {**base, **facts})]
    for more in later:
        events.append(EngineEvent(START + SECOND, "library_asked", {**base, **facts, **more}))
    return CaptureFacts(connections=sockets, events=tuple(events))


CASES: dict[str, tuple[list[Any], list[Any]]] = {
    "WS-APP-094": (
        [
            library(),
            library(status=405),
            library(problem="page", status=200, media_type="text/html"),
            library(problem="redirected", status=302, location="/login"),
            library(problem="unanswered", status=None, error="net::ERR_FAILED", origin="https://page.test"),
            library(library="sockjs", part="session", base="/ws", status=404),
            # of a session that went on: the next message is smaller
            library(
                {"problem": "served", "status": 200},
                library="socketio",
                part="session",
                base="/socket.io/",
                status=413,
            ),
            # another part of the same library works, this one does not
            library({"problem": "served", "status": 200, "part": "begin"}, library="sockjs", part="session"),
            # a WebSocket of another place, or before the request
            library(sockets=(summary(1, 9, 1, path="/other"),)),
            library(sockets=(summary(1, -9, 1, path="/chat?id=1"),)),
            # the body of a poll is too large, while the WebSocket cannot be had
            library(
                library="socketio",
                part="session",
                base="/socket.io/",
                status=413,
                sockets=(summary(1, -1, 0.1, path="/socket.io/?EIO=4", status=400),),
            ),
        ],
        [
            library(sockets=(summary(1, 1, 1, path="/chat?id=1"),)),
            library(sockets=(summary(1, 1, 0.1, path="/chat", status=404),)),
            library(library="sockjs", part="send", base="/ws", problem="lost"),
            library(library="socketio", base="/socket.io/", status=502, server="nginx"),  # WS-APP-013
            library({"problem": "served", "status": 200}, status=502),  # well at the second try
            library(problem="cors", status=200),
            library({"problem": "served", "status": 200}, status=401),
            library(
                library="sockjs",
                part="session",
                base="/ws",
                status=403,
                sockets=(summary(1, -1, 0.1, path="/ws/1/a/websocket", status=400),),
            ),
        ],
    ),
    "WS-APP-095": (
        [
            library(problem="cors", status=200, origin="https://page.test"),
            library(problem="cors", status=200, origin="https://page.test", allowed="https://other.test"),
            library(part="preflight", status=405, origin="https://page.test"),
        ],
        [
            library(),
            library(problem="cors", status=200, sockets=(summary(1, 1, 1, path="/chat"),)),
            library({"problem": "served", "status": 200}, part="preflight", status=405),
        ],
    ),
    "WS-APP-096": (
        [
            library(problem="no_websocket", status=200),
            library(library="sockjs", problem="no_websocket", status=200),
        ],
        [
            library(),
            library(problem="no_websocket", status=200, sockets=(summary(1, 1, 1, path="/chat"),)),
        ],
    ),
    "WS-APP-097": (
        [
            library(library="sockjs", part="send", base="/ws", problem="lost"),
            library(
                library="sockjs",
                part="send",
                base="/ws",
                problem="lost",
                sockets=(summary(1, 1, 0.1, path="/ws/1/a/websocket", status=400),),
            ),
        ],
        [
            library(library="sockjs", part="session", base="/ws"),
            library(
                library="sockjs",
                part="send",
                base="/ws",
                problem="lost",
                sockets=(summary(1, 1, 9, path="/ws/1/a/websocket"),),
            ),
        ],
    ),
}
