"""HTTP that is not WebSocket passes through unharmed, streamed, and with no body kept in memory."""

from __future__ import annotations

import hashlib
import http.client
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from tests.support.engine import Engine
from tests.support.processes import resident_bytes

BLOCK = bytes(range(256)) * 4096  # 1 MiB
DOWNLOAD_MIB = 200
UPLOAD_MIB = 50


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    more = threading.Event()

    def do_GET(self) -> None:
        if self.path == "/download":
            self.send_response(200)
            self.send_header("Content-Length", str(DOWNLOAD_MIB * len(BLOCK)))
            self.end_headers()
            for _ in range(DOWNLOAD_MIB):
                self.wfile.write(BLOCK)
        else:
            self.send_events()

    def send_events(self) -> None:
        self.send_response(200)
        self.send_header("Content-Type", "text/event-stream")
        self.send_header("Connection", "close")
        self.end_headers()
        for number in range(3):
            self.wfile.write(b"data: %d\n\n" % number)
            if not self.more.wait(20):
                return
            self.more.clear()
        self.close_connection = True

    def do_POST(self) -> None:
        digest = hashlib.sha256()
        left = int(self.headers["Content-Length"])
        while left:
            data = self.rfile.read(min(left, 65536))
            digest.update(data)
            left -= len(data)
        body = digest.hexdigest().encode()
        self.send_response(200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: object) -> None:
        return


@pytest.fixture(scope="module")
def server() -> Iterator[int]:
    httpd = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=httpd.serve_forever)
    thread.start()
    yield httpd.server_address[1]
    httpd.shutdown()
    thread.join()
    httpd.server_close()


@pytest.fixture(scope="module")
def engine(server: int, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Engine]:
    folder: Path = tmp_path_factory.mktemp("engine")
    with Engine.start("--listen", "0", "--tap", f"app=0=http://127.0.0.1:{server}", folder=folder) as running:
        yield running


@pytest.fixture(params=["reverse", "regular"])
def connection(request, engine: Engine, server: int) -> Iterator[tuple[http.client.HTTPConnection, str]]:
    """A connection through the proxy, and what goes before the path."""
    is_reverse = request.param == "reverse"
    client = http.client.HTTPConnection(
        "127.0.0.1", engine.port("app" if is_reverse else "regular"), timeout=30
    )
    yield client, "" if is_reverse else f"http://127.0.0.1:{server}"
    client.close()


def test_a_large_download_is_streamed(connection, engine: Engine) -> None:
    client, prefix = connection
    before = resident_bytes(engine.pid)
    client.request("GET", prefix + "/download")
    response = client.getresponse()
    digest, size, peak = hashlib.sha256(), 0, before
    while data := response.read(1 << 20):
        digest.update(data)
        size += len(data)
        peak = max(peak, resident_bytes(engine.pid))
    expected = hashlib.sha256()
    for _ in range(DOWNLOAD_MIB):
        expected.update(BLOCK)
    assert (size, digest.digest()) == (DOWNLOAD_MIB << 20, expected.digest())
    assert peak - before < 40 << 20


def test_a_large_upload_is_streamed(connection, engine: Engine) -> None:
    client, prefix = connection
    before = resident_bytes(engine.pid)
    body = (BLOCK for _ in range(UPLOAD_MIB))
    client.request("POST", prefix + "/upload", body=body, headers={"Content-Length": str(UPLOAD_MIB << 20)})
    answer = client.getresponse().read()
    expected = hashlib.sha256()
    for _ in range(UPLOAD_MIB):
        expected.update(BLOCK)
    assert answer.decode() == expected.hexdigest()
    assert resident_bytes(engine.pid) - before < 40 << 20


def test_server_sent_events_arrive_one_by_one(connection) -> None:
    client, prefix = connection
    client.request("GET", prefix + "/events", headers={"Accept": "text/event-stream"})
    response = client.getresponse()
    assert response.getheader("Content-Type") == "text/event-stream"
    for number in range(3):
        assert response.fp.readline() == b"data: %d\n" % number
        assert response.fp.readline() == b"\n"
        Handler.more.set()
    assert response.read() == b""


def test_several_requests_use_one_connection(connection, engine: Engine) -> None:
    client, prefix = connection
    for _ in range(3):
        client.request("POST", prefix + "/upload", body=b"abc")
        assert client.getresponse().read().decode() == hashlib.sha256(b"abc").hexdigest()
