"""Long-polling of Engine.IO and SignalR belongs to a client's session, refused requests are tries."""

from __future__ import annotations

import http.client
import threading
import time
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from tests.support.engine import Engine
from wsinspect.capture.reader import Capture
from wsinspect.clients.facts import Transport
from wsinspect.control.client import ControlClient
from wsinspect.diagnosis.clients import judged_clients


class Quiet(BaseHTTPRequestHandler):
    """Answers over HTTP/1.1 and logs nothing."""

    protocol_version = "HTTP/1.1"

    def answer(self, body: bytes) -> None:
        self.send_response(200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *arguments: object) -> None:
        pass


class Polled(Quiet):
    """Answers an open packet to a poll without a session, and a token to a negotiation."""

    def do_GET(self) -> None:
        if "sid=" in self.path or "id=" in self.path:
            self.answer(b"2")
        else:
            type(self).count += 1
            self.answer(b'0{"sid":"session-%d","upgrades":[]}' % type(self).count)

    def do_POST(self) -> None:
        self.rfile.read(int(self.headers.get("content-length", 0)))
        self.answer(b'{"connectionToken":"token 42/x","negotiateVersion":1}')

    count = 0


@pytest.fixture
def port() -> Iterator[int]:
    yield from serving(Polled)


def serving(kind: type[BaseHTTPRequestHandler]) -> Iterator[int]:
    server = ThreadingHTTPServer(("127.0.0.1", 0), kind)
    server.daemon_threads = True
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    yield server.server_port
    server.shutdown()
    thread.join()
    server.server_close()


def ask(port: int, method: str, path: str) -> tuple[int, bytes]:
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=20)
    connection.request(method, path, headers={"User-Agent": "poller"}, body=b"" if method == "POST" else None)
    answer = connection.getresponse()
    found = answer.status, answer.read()
    connection.close()
    return found


class Streaming(Quiet):
    """SignalR's Server-Sent Events: a negotiation, a stream that ends when it is told to, and posts."""

    over = threading.Event()

    def do_GET(self) -> None:
        self.send_response(200)
        self.send_header("Content-Type", "text/event-stream")
        self.send_header("Connection", "close")
        self.end_headers()
        self.wfile.write(b"data: {}\x1e\r\n\r\n")
        self.wfile.flush()
        self.over.wait(20)
        self.close_connection = True

    def do_POST(self) -> None:
        self.rfile.read(int(self.headers.get("content-length", 0)))
        body = b'{"connectionToken":"stream-42","negotiateVersion":1}' if "negotiate" in self.path else b""
        self.answer(body)


@pytest.fixture
def streaming() -> Iterator[int]:
    Streaming.over.clear()
    yield from serving(Streaming)


@pytest.mark.parametrize("end", ["ended", "left"])
def test_server_sent_events_are_a_connection_until_they_end(tmp_path: Path, streaming: int, end: str) -> None:
    with Engine.start("--tap", f"app=127.0.0.1:0=http://127.0.0.1:{streaming}", folder=tmp_path) as engine:
        at = engine.port("app")
        assert ask(at, "POST", "/hub/negotiate?negotiateVersion=1")[0] == 200
        stream = http.client.HTTPConnection("127.0.0.1", at, timeout=20)
        stream.request("GET", "/hub?id=stream-42", headers={"Accept": "text/event-stream"})
        answer = stream.getresponse()
        assert answer.readline() == b"data: {}\x1e\r\n"
        until_recorded(engine.capture, "begun")
        with Capture.open(engine.capture) as capture:
            later = time.time_ns() + 300 * 10**9  # nothing was said for five minutes
            [client] = judged_clients(capture, until_ns=later)
            assert [one.end_ns for one in client.session.attempts] == [None]
        if end == "ended":
            Streaming.over.set()
            answer.read()
        else:
            answer.close()
            stream.close()
        until_recorded(engine.capture, end)
        Streaming.over.set()
    with Capture.open(engine.capture) as capture:
        [client] = judged_clients(capture)
        [attempt] = client.session.attempts
    assert attempt.transport == Transport.POLLING
    assert attempt.end_ns is not None
    assert attempt.ended_by == ("server" if end == "ended" else "client")


def until_recorded(path: Path, stream: str) -> None:
    """Wait until the capture has the event."""
    deadline = time.monotonic() + 20
    while time.monotonic() < deadline:
        with Capture.open(path) as capture:
            if any(one.detail.get("stream") == stream for one in capture.events(limit=1000)):
                return
        time.sleep(0.02)
    pytest.fail(f"no stream that is {stream}")


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
