"""TLS on both legs, and a peer that ends TCP without a close_notify."""

from __future__ import annotations

import contextlib
from pathlib import Path
from types import SimpleNamespace
from typing import cast

import pytest
from mitmproxy.proxy.layers.tls import TLSLayer
from OpenSSL import SSL
from websockets.sync.client import connect

from tests.support.certs import client_context, make_certificates
from tests.support.engine import Engine
from tests.support.small_servers import echo_server
from wsinspect.capture.reader import Capture
from wsinspect.proxy.seams.tls import has_close_notify


@pytest.mark.parametrize("options", [(), ("--no-splice",)], ids=["splice", "layers"])
def test_a_fatal_alert_in_answer_to_a_truncated_stream_is_no_close_notify(
    tmp_path: Path, options: tuple[str, ...]
) -> None:
    """OpenSSL's client answers a FIN without close_notify with an alert; the FIN behind it is the end."""
    certificates = make_certificates(tmp_path / "certificates")
    with echo_server(certificates.server_context()) as port:
        target = f"https://127.0.0.1:{port}"
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
    assert len(ends) == 2
    assert all("fin" in detail for (detail,) in ends)


def _carry(source: SSL.Connection, sink: SSL.Connection) -> None:
    with contextlib.suppress(SSL.WantReadError):
        while True:
            sink.bio_write(source.bio_read(65536))


def _session(folder: Path, version: int) -> tuple[SSL.Connection, SSL.Connection]:
    """A client and a server that have shaken hands in memory."""
    certificates = make_certificates(folder)
    context = SSL.Context(SSL.TLS_METHOD)
    context.set_max_proto_version(version)
    context.use_certificate_chain_file(str(certificates.chain))
    context.use_privatekey_file(str(certificates.key))
    client, server = SSL.Connection(SSL.Context(SSL.TLS_METHOD)), SSL.Connection(context)
    client.set_connect_state()
    server.set_accept_state()
    for _ in range(4):
        for one, other in ((client, server), (server, client)):
            with contextlib.suppress(SSL.WantReadError):
                one.do_handshake()
            _carry(one, other)
    return client, server


@pytest.mark.parametrize("version", [SSL.TLS1_2_VERSION, SSL.TLS1_3_VERSION], ids=["1.2", "1.3"])
@pytest.mark.parametrize("is_alert", [False, True], ids=["close_notify", "alert"])
def test_an_alert_is_not_a_close_notify(tmp_path: Path, version: int, is_alert: bool) -> None:
    client, server = _session(tmp_path, version)
    tls = SimpleNamespace(tls=server)
    assert not has_close_notify(cast(TLSLayer, tls))
    if is_alert:
        client.bio_shutdown()
        with pytest.raises(SSL.Error):
            client.recv(1)
    else:
        client.shutdown()
    _carry(client, server)
    with pytest.raises(SSL.Error) as caught:
        server.recv(1)
    assert isinstance(caught.value, SSL.ZeroReturnError) is not is_alert
    assert server.get_shutdown() & SSL.RECEIVED_SHUTDOWN
    assert has_close_notify(cast(TLSLayer, tls)) is not is_alert
    assert has_close_notify(cast(TLSLayer, tls)) is not is_alert, "asking changes nothing"
