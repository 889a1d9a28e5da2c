"""The handshake inspector on what a real engine recorded over TLS; and its curl command, really run."""

from __future__ import annotations

import hashlib
import os
import ssl
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
from websockets.sync.client import connect

from tests.support.certs import Certificates, client_context, make_certificates
from tests.support.engine import Engine
from tests.support.small_servers import echo_server
from tests.support.tui_pilot import opened

pytestmark = pytest.mark.lab


@pytest.fixture
def certificates(tmp_path: Path) -> Certificates:
    return make_certificates(tmp_path / "certs")


@pytest.fixture(autouse=True)
def private_folders(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("XDG_STATE_HOME", "XDG_CONFIG_HOME"):
        monkeypatch.setenv(name, str(tmp_path / name))


@pytest.fixture(params=["wss", "ws"])
def scheme(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture
def engine(tmp_path: Path, certificates: Certificates, scheme: str) -> Iterator[Engine]:
    """A proxy before an echo server, both legs encrypted or neither."""

    context = certificates.server_context() if scheme == "wss" else None
    if context is not None:
        context.set_alpn_protocols(["http/1.1"])
    with echo_server(context) as port:
        http = "https" if scheme == "wss" else "http"
        options = ("--reverse", f"{http}://localhost:{port}", "--listen", "0", "--insecure")
        with Engine.start(*options, folder=tmp_path / "engine") as running:
            yield running


def talk(engine: Engine, scheme: str) -> None:
    context = None
    if scheme == "wss":
        context = client_context()
        context.set_alpn_protocols(["http/1.1"])
    url = f"{scheme}://localhost:{engine.port('reverse')}/chat?room=1"
    with connect(url, ssl=context, subprotocols=["chat.v2"], compression=None) as client:  # type: ignore[list-item]
        client.send("hello")
        assert client.recv(timeout=20) == "hello"


@pytest.mark.asyncio
async def test_certificate_alpn_and_every_step_of_a_real_handshake(engine, certificates, scheme):
    talk(engine, scheme)
    engine.wait_for_event("open")
    async with opened(engine.capture, size=(160, 50)) as screen:
        await screen.until(lambda: bool(screen.model.connections))
        await screen.press("1", "down")
        await screen.press("h")
        text = "\n".join(screen.pane("handshake"))
    assert "key of 16 bytes, Sec-WebSocket-Accept correct" in text
    assert "request received" in text
    assert "server connected" in text
    if scheme == "ws":
        assert "TLS" not in text
        return
    leaf = ssl.PEM_cert_to_DER_cert(certificates.chain.read_text().split("-----END CERTIFICATE-----")[0]
                                    + "-----END CERTIFICATE-----\n")  # fmt: skip
    fingerprint = hashlib.sha256(leaf).hexdigest()
    assert "client TLS    TLSv1.3" in text
    assert "server TLS    TLSv1.3" in text
    assert "ALPN http/1.1 (offered http/1.1)" in text
    assert "SNI localhost" in text
    assert "NOT verified" in text
    assert "wsinspect lab CA" in text
    assert "for localhost, 127.0.0.1; valid 20" in text
    assert fingerprint in text.replace(":", "").lower()
    assert "client TLS done" in text
    assert "server TLS done" in text


@pytest.mark.asyncio
async def test_the_curl_command_is_answered_with_101(engine, scheme, tmp_path):
    talk(engine, scheme)
    engine.wait_for_event("open")
    async with opened(engine.capture) as screen:
        await screen.until(lambda: bool(screen.model.connections))
        await screen.press("1", "down")
        await screen.press("Y")
        assert "copied the curl command" in screen.line("keys")
    command = (tmp_path / "XDG_STATE_HOME" / "wsinspect" / "copies" / "copied.sh").read_text()
    assert "--http1.1" in command
    # curl waits for frames until its time is over: the answer is what counts.
    (tmp_path / ".curlrc").write_text("insecure\nmax-time = 2\nnoproxy = *\n")
    environment = {**os.environ, "CURL_HOME": str(tmp_path), "HOME": str(tmp_path)}
    answer = subprocess.run(
        ["sh", "-c", command], env=environment, capture_output=True, timeout=30, check=False
    )
    head = answer.stdout.partition(b"\r\n\r\n")[0]
    assert head.startswith(b"HTTP/1.1 101"), answer
    assert b"sec-websocket-accept" in head.lower()
    assert b"chat.v2" not in head or b"sec-websocket-protocol: chat.v2" in head.lower()
