"""`run --replay`: handshakes that a recording knows are answered from it, everything else passes.

A replay server listens on loopback for this engine alone; the addon sends matching handshakes there instead
of to their server. So the relay, the capture and faults work as with any server. It answers only keys
(Sec-WebSocket-Key) that this engine has just seen, and requests that carry its token, so nobody else on this
machine can ask it. A handshake over HTTP/2 gets there by a bridge, whatever `--http2-websocket` says.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from mitmproxy import http

from wsinspect.capture.reader import Capture
from wsinspect.capture.records import Connection
from wsinspect.proxy.attempts import is_opening_handshake
from wsinspect.proxy.seams.http1 import wire_head
from wsinspect.proxy.seams.http2 import answer_connects
from wsinspect.proxy.taps import LOOPBACK
from wsinspect.recorder.opening import open_capture
from wsinspect.replay.as_server.server import PROOF_FIELD, ReplayServer, ServerOptions
from wsinspect.replay.common.handshake import is_loopback
from wsinspect.replay.common.matching import Divergence
from wsinspect.replay.common.report import ConnectionReport, describe, summary
from wsinspect.replay.common.script import cut_frames
from wsinspect.replay.socketio.polling import is_polling
from wsinspect.wire.opcodes import Direction

#: Keys of handshakes on their way to the replay server; more are forgotten.
_MAX_KEYS = 1000


class RecordedServer:
    """The addon, and the server behind it.

    Args:
        path: the recording.
        warn: tells the user one line.
    """

    def __init__(self, path: Path, warn: Callable[[str], None]) -> None:
        self.path = path
        self._warn = warn
        self._capture: Capture | None = None
        self._server: ReplayServer | None = None
        self._port = 0

    async def start(self) -> None:
        """Open the recording and listen.

        Raises:
            CaptureError: it cannot be read.
            LocalError: nothing can be listened on.
        """
        self._capture = open_capture(self.path)
        connections = self._capture.connections()
        cut = sum(cut_frames(self._capture, one.id, Direction.SERVER_TO_CLIENT).ours for one in connections)
        if cut:
            self._warn(
                f"{cut} frames to send were cut in {self.path} (--snaplen): only the recorded part is sent"
            )
        # The proxy is in front: the keys say who may ask.
        options = ServerOptions(loop=True, checks_origin=False)
        self._server = ReplayServer(
            self._capture,
            connections,
            options,
            on_divergence=self._on_divergence,
            on_report=self._report,
        )
        self._server.keys = set()
        self._port = await self._server.start(LOOPBACK, 0)
        answer_connects()
        self._warn(
            f"{len(connections)} recorded connections from {self.path} are played to clients that open them"
        )

    async def close(self) -> None:
        """Stop, and say how it went."""
        if self._server is not None:
            await self._server.close()
            diverged = sum(not report.is_equal for report in self._server.reports)
            self._warn(f"played {len(self._server.reports)} connections of {self.path}, {diverged} diverged")
            self._server = None
        if self._capture is not None:
            self._capture.close()
            self._capture = None

    def requestheaders(self, flow: http.HTTPFlow) -> None:
        """mitmproxy's hook: a recorded handshake, or its long-polling, goes to the replay server."""
        server, request = self._server, flow.request
        if server is None or server.keys is None:
            return
        if is_polling(request.method, request.path):
            known = server.knows(request.path)
            if known is not None and self._is_same_host(flow, known):
                request.headers[PROOF_FIELD] = server.token
                self._redirect(request)
            return
        if not is_opening_handshake(request):
            return
        one = server.find(request.path)
        key = request.headers.get("sec-websocket-key", "")
        if one is None or not self._is_same_host(flow, one):
            return
        head = wire_head(request)
        if head is not None and head.protocol is not None:
            # It came over HTTP/2 and leaves as an upgrade, whose key is made there.
            head.may_bridge = True
            request.headers[PROOF_FIELD] = server.token
        else:
            if len(server.keys) >= _MAX_KEYS:
                server.keys.clear()
            server.keys.add(key.encode("utf-8", "surrogateescape"))
        self._redirect(request)

    def _redirect(self, request: http.Request) -> None:
        host, authority = request.headers.get("host"), request.authority
        request.scheme, request.host, request.port = "http", LOOPBACK, self._port
        if host is not None:
            request.headers["host"] = host
        request.authority = authority

    def _is_same_host(self, flow: http.HTTPFlow, one: Connection) -> bool:
        """In front of a single server all of its paths count; else the recorded host alone does."""
        if flow.client_conn.proxy_mode.type_name == "reverse":
            return True
        host, recorded = flow.request.pretty_host, one.host or ""
        return host.lower() == recorded.lower() or (is_loopback(host) and is_loopback(recorded))

    def _report(self, report: ConnectionReport) -> None:
        self._warn(summary(report))

    def _on_divergence(self, report: ConnectionReport, what: Divergence | str) -> None:
        for line in describe(report, what):
            self._warn(line)
