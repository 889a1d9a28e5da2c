"""Empty lines before a request line, at servers that do not bear them: the client's, with one tap and two.

`websockets` ends TCP without a word, Caddy answers 400; without the lines both accept the same request.
"""

from __future__ import annotations

import base64
import os
import socket

import pytest

from tests.support.engine import Engine
from tests.support.hops import LOOPBACK, caddy
from tests.support.sandwich_lab import echo_server
from tests.support.threaded_loop import ThreadedLoop
from wsinspect.capture.reader import Capture
from wsinspect.diagnosis.facts import diagnose
from wsinspect.diagnosis.hops import Hop as TwoTaps
from wsinspect.diagnosis.hops import diagnose_hop

pytestmark = pytest.mark.lab


def status(port: int, path: str, before: bytes) -> bytes:
    """The first line of the answer; empty where there is none."""
    key = base64.b64encode(os.urandom(16)).decode()
    request = (
        f"GET {path} HTTP/1.1\r\nHost: {LOOPBACK}:{port}\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
        f"Sec-WebSocket-Key: {key}\r\nSec-WebSocket-Version: 13\r\n\r\n"
    )
    with socket.create_connection((LOOPBACK, port), 10) as client:
        client.settimeout(10)
        client.sendall(before + request.encode())
        with client.makefile("rb") as answer:
            return answer.readline()


def test_the_client_sent_them_whichever_server_minds(tmp_path):
    with ThreadedLoop() as apart:
        running = echo_server()
        _, app = apart.run(running.__aenter__())
        try:
            taps = ["--tap", f"origin={LOOPBACK}:0=http://{LOOPBACK}:{app}"]
            with Engine.start(*taps, folder=tmp_path / "origin") as origin:
                with caddy(tmp_path / "hop", f"reverse_proxy {LOOPBACK}:{origin.port('origin')}") as hop:
                    tap = f"edge={LOOPBACK}:0=http://{LOOPBACK}:{hop.port}"
                    with Engine.start("--tap", tap, folder=tmp_path / "edge") as edge:
                        said = [
                            status(edge.port("edge"), "/refused", b"\r\n"),
                            status(edge.port("edge"), "/fine", b""),
                            status(origin.port("origin"), "/hung-up", b"\r\n\r\n"),
                            status(origin.port("origin"), "/fine", b""),
                        ]
                        edge.stop()
                origin.stop()
        finally:
            apart.run(running.__aexit__(None, None, None))
    assert [one.split(b" ")[1:2] for one in said] == [[b"400"], [b"101"], [], [b"101"]]
    with Capture.open(edge.capture) as before, Capture.open(origin.capture) as behind:
        one_tap = diagnose(behind.query)
        both = diagnose_hop(TwoTaps(before.query, behind.query), diagnose(before.query), one_tap)
    worse = [(one.id, one.fault_of) for one in one_tap if one.severity == "error"]
    assert worse == [("WS-HS-035", "client")]
    refused = [(one.id, one.fault_of, one.title) for one in both.findings if one.severity == "error"]
    assert refused == [("WS-HS-012", "client", "400: the request came behind empty lines")]
