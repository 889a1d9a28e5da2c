"""Long-polling of Engine.IO and SignalR belongs to a client's session, refused requests are tries."""

from __future__ import annotations

import http.client
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from tests.support.engine import Engine
from wsinspect.capture.reader import Capture
from wsinspect.clients.facts import Transport
from wsinspect.control.client import ControlClient
from wsinspect.diagnosis.clients import judged_clients


class Polled(BaseHTTPRequestHandler):
    """Answers an open packet to a poll without a session, and a token to a negotiation."""

    protocol_version = "HTTP/1.1"

    def do_GET(self) -> None:
        if "sid=" in self.path or "id=" in self.path:
            self.answer(b"2")
        else:
            type(self).count += 1
            self.answer(b'0{"sid":"session-%d","upgrades":[]}' % type(self).count)

    def do_POST(self) -> None:
        self.rfile.read(int(self.headers.get("content-length", 0)))
        self.answer(b'{"connectionToken":"token 42/x","negotiateVersion":1}')

    def answer(self, body: bytes) -> None:
        self.send_response(200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *arguments: object) -> None:
        pass

    count = 0


@pytest.fixture
def port() -> Iterator[int]:
    server = ThreadingHTTPServer(("127.0.0.1", 0), Polled)
    server.daemon_threads = True
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    yield server.server_port
    server.shutdown()
    thread.join()
    server.server_close()


def ask(port: int, method: str, path: str) -> tuple[int, bytes]:
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=10)
    connection.request(method, path, headers={"User-Agent": "poller"}, body=b"" if method == "POST" else None)
    answer = connection.getresponse()
    found = answer.status, answer.read()
    connection.close()
    return found


def test_polling_sessions_are_attempts(tmp_path: Path, port: int) -> None:
    target = f"app=127.0.0.1:0=http://127.0.0.1:{port}"
    rule = "refuse,status=503,name=outage"
    with Engine.start("--tap", target, "--fault", rule, folder=tmp_path) as engine:
        at = engine.port("app")
        with ControlClient.open(engine.ready["control"]) as control:
            control.request("PATCH", "/v1/faults/outage", {"armed": False})
            assert ask(at, "GET", "/socket.io/?EIO=4&transport=polling")[0] == 200
            assert ask(at, "GET", "/socket.io/?EIO=4&transport=polling&sid=session-1")[0] == 200
            assert ask(at, "POST", "/hub/negotiate?negotiateVersion=1")[0] == 200
            assert ask(at, "GET", "/hub?id=token%2042%2Fx")[0] == 200
            assert ask(at, "GET", "/other?id=token-of-nobody")[0] == 200
            control.request("PATCH", "/v1/faults/outage", {"armed": True})
            assert ask(at, "GET", "/socket.io/?EIO=4&transport=polling")[0] == 503
            assert ask(at, "POST", "/hub/negotiate?negotiateVersion=1")[0] == 503
            control.request("PATCH", "/v1/faults/outage", {"armed": False})
            assert ask(at, "GET", "/socket.io/?EIO=4&transport=polling")[0] == 200
    with Capture.open(engine.capture) as capture:
        events = [one.detail for one in capture.events(limit=1000) if one.kind == "polling"]
        told = [(one["path"], one.get("protocol"), one["status"], one["sid"]) for one in events]
        assert told == [
            ("/socket.io/", None, 200, "session-1"),
            ("/socket.io/", None, 200, "session-1"),
            ("/hub", "signalr", 200, "token%2042%2Fx"),
            ("/socket.io/", None, 503, None),
            ("/hub/negotiate", "signalr", 503, None),
            ("/socket.io/", None, 200, "session-2"),
        ]
        assert all(one["tap"] == "app" and one["client"].startswith("127.0.0.1:") for one in events)
        found = {one.session.first.path: one for one in judged_clients(capture)}
    assert set(found) == {"/socket.io/", "/hub"}
    polled = found["/socket.io/"]
    assert polled.measures.transport == Transport.POLLING
    assert [one.answer for one in polled.session.attempts] == ["polling", "503", "polling"]
    assert [one.answer for one in found["/hub"].session.attempts] == ["polling", "503"]
