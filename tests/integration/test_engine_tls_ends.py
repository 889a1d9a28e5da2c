"""TLS on both legs, and a peer that ends TCP without a close_notify."""

from __future__ import annotations

import threading
from pathlib import Path

import pytest
from websockets.sync.client import connect
from websockets.sync.server import ServerConnection, serve

from tests.support.certs import client_context, make_certificates
from tests.support.engine import Engine
from wsinspect.capture.reader import Capture


def _echo(connection: ServerConnection) -> None:
    for message in connection:
        connection.send(message)


@pytest.mark.parametrize("options", [(), ("--no-splice",)], ids=["splice", "layers"])
def test_a_fatal_alert_in_answer_to_a_truncated_stream_is_no_close_notify(
    tmp_path: Path, options: tuple[str, ...]
) -> None:
    """OpenSSL's client answers a FIN without close_notify with an alert; the FIN behind it is the end."""
    certificates = make_certificates(tmp_path / "certificates")
    with serve(_echo, "127.0.0.1", 0, ssl=certificates.server_context()) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        target = f"https://127.0.0.1:{server.socket.getsockname()[1]}"
        tap = f"--tap=app=127.0.0.1:0={target}"
        with Engine.start("--insecure", tap, *options, folder=tmp_path / "engine") as engine:
            url = f"wss://127.0.0.1:{engine.port('app')}/x"
            with connect(url, ssl=client_context(), proxy=None) as client:
                client.send("a")
                assert client.recv() == "a"
            close = engine.wait_for_event("close")
            assert close["js"] == {"code": 1000, "wasClean": True}
            assert engine.stop() == 0
            with Capture.open(engine.capture) as capture:
                ends = capture.query("SELECT detail FROM event WHERE kind = 'end' ORDER BY id")
        server.shutdown()
    assert len(ends) == 2
    assert all("fin" in detail for (detail,) in ends)
