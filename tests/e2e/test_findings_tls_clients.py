"""Clients that do not trust our CA, or speak to the wrong kind of port: real ones, and the exact findings."""

from __future__ import annotations

import asyncio
import contextlib
import ssl
from pathlib import Path
from typing import Any

import pytest
from websockets.asyncio.client import connect
from websockets.asyncio.server import serve
from websockets.exceptions import WebSocketException

from tests.support.app_capture import asked, node
from tests.support.certs import client_context, make_certificates
from tests.support.engine import Engine
from tests.support.finding_lab import LOOPBACK, found_in
from tests.support.small_servers import echo
from tests.support.threaded_loop import ThreadedLoop
from wsinspect.closing import abort
from wsinspect.findings.model import Finding

pytestmark = pytest.mark.lab


class Lab:
    """A TLS server and a plain one behind an engine with a regular listener and a tap to each."""

    def __init__(self, folder: Path, loop: ThreadedLoop) -> None:
        self.folder, self.loop = folder, loop

    def __enter__(self) -> Lab:
        self.secure, self.plain = self.loop.run(self._start())
        self.engine = Engine.start(
            *("--listen", f"{LOOPBACK}:0", "--insecure"),
            *("--tap", f"plain={LOOPBACK}:0=http://{LOOPBACK}:{self.port(self.plain)}"),
            *("--tap", f"secure={LOOPBACK}:0=https://{LOOPBACK}:{self.port(self.secure)}"),
            folder=self.folder / "engine",
        )
        return self

    def __exit__(self, *_: object) -> None:
        self.engine.stop()
        self.loop.run(self._stop())

    @staticmethod
    def port(server: Any) -> int:
        return int(next(iter(server.sockets)).getsockname()[1])

    async def _start(self) -> tuple[Any, Any]:
        context = make_certificates(self.folder / "certs").server_context()
        return await serve(echo, LOOPBACK, 0, ssl=context), await serve(echo, LOOPBACK, 0)

    async def _stop(self) -> None:
        for server in (self.secure, self.plain):
            server.close()
            await server.wait_closed()

    def found(self) -> list[Finding]:
        self.engine.stop()
        return [one for one in found_in(self.engine.capture) if one.id not in BESIDE]


#: --insecure bears the lab's certificate; the server behind speaks HTTP/1.1 alone.
BESIDE = ("WS-TLS-020", "WS-H2-004", "WS-TOOL-001")


@pytest.fixture
def lab(tmp_path):
    with ThreadedLoop() as loop, Lab(tmp_path, loop) as made:
        yield made


async def dial(url: str, context: ssl.SSLContext | None, proxy: int | None = None) -> str | None:
    through = f"http://{LOOPBACK}:{proxy}" if proxy else None
    try:
        async with connect(url, ssl=context, proxy=through, open_timeout=20) as socket:
            await socket.send("hello")
            await asyncio.wait_for(socket.recv(), 20)
    except (WebSocketException, OSError, TimeoutError, EOFError) as error:
        return f"{type(error).__name__}: {error}"
    return None


def test_websockets_does_not_trust_our_ca(lab):
    url = f"wss://{LOOPBACK}:{lab.port(lab.secure)}/"
    told = lab.loop.run(dial(url, ssl.create_default_context(), lab.engine.port("regular")))
    assert told is not None
    assert "CERTIFICATE_VERIFY_FAILED" in told
    (found,) = lab.found()
    assert (found.id, found.severity, found.fault_of) == ("WS-TLS-001", "error", "tool")
    assert "wsinspect ca" in found.fixes[0].text


@pytest.mark.parametrize(
    ("client", "told"),
    [("node", {"error": "UNABLE_TO_VERIFY_LEAF_SIGNATURE"}), ("chromium", {"code": 1006, "wasClean": False})],
)
def test_node_and_chromium_do_not_trust_our_ca(lab, client, told):
    with node(lab.loop, "refuse_tls.mjs") as (app, _):
        proxy = lab.engine.port("regular")
        url = f"wss://localhost:{lab.port(lab.secure)}/"
        assert asked(lab.loop, app, 40, client=client, url=url, proxy=proxy) == told
    # Chromium also asks its maker's hosts: it trusts us there as little, and some cannot be reached.
    assert {one.id for one in lab.found()} - {"WS-TOOL-008"} == {"WS-TLS-001"}


def test_a_client_that_trusts_it_has_no_finding(lab):
    url = f"wss://{LOOPBACK}:{lab.port(lab.secure)}/"
    assert lab.loop.run(dial(url, client_context(), lab.engine.port("regular"))) is None
    assert lab.found() == []


@pytest.mark.parametrize(
    ("end", "said"),
    [(None, ("WS-TLS-003", "note")), ("fin", ("WS-TLS-001", "error")), ("rst", ("WS-TLS-001", "error"))],
)
def test_a_stop_in_the_middle_of_tls_is_no_refusal(lab, end, said):
    """The client has our certificate and has not answered it when the proxy stops, or when it leaves."""

    async def wait_for_certificate() -> asyncio.StreamWriter:
        reader, writer = await asyncio.open_connection(LOOPBACK, lab.engine.port("regular"))
        writer.write(f"CONNECT localhost:{lab.port(lab.secure)} HTTP/1.1\r\n\r\n".encode())
        await reader.readuntil(b"\r\n\r\n")
        outgoing = ssl.MemoryBIO()
        with contextlib.suppress(ssl.SSLWantReadError):
            client_context().wrap_bio(ssl.MemoryBIO(), outgoing, server_hostname="localhost").do_handshake()
        writer.write(outgoing.read())
        assert await asyncio.wait_for(reader.read(5), 20)
        return writer

    async def leave(writer: asyncio.StreamWriter) -> None:
        if end == "rst":
            abort(writer.transport)
        else:
            writer.close()

    writer = lab.loop.run(wait_for_certificate())
    if end is not None:
        lab.loop.run(leave(writer))
        lab.engine.wait_for_event("tls_failed", sni="localhost")
    (found,) = lab.found()
    assert (found.id, found.severity) == said
    assert ("wsinspect ca" in found.fixes[0].text) == (end is not None)
    lab.loop.run(leave(writer))


def test_a_client_with_other_versions_of_tls(lab):
    old = client_context()
    old.maximum_version = ssl.TLSVersion.TLSv1_2
    old.set_ciphers("NULL-SHA256:@SECLEVEL=0")  # no encryption: nobody takes it any more
    url = f"wss://{LOOPBACK}:{lab.port(lab.secure)}/"
    assert lab.loop.run(dial(url, old, lab.engine.port("regular"))) is not None
    assert [one.id for one in lab.found()] == ["WS-TLS-002"]


def test_wss_to_a_tap_that_is_plain(lab):
    """mitmproxy takes TLS on any listener: the server behind is what is spoken to plainly."""
    url = f"wss://{LOOPBACK}:{lab.engine.port('plain')}/"
    assert lab.loop.run(dial(url, client_context())) is None
    assert lab.found() == []


def test_wss_through_the_proxy_to_a_plain_port(lab):
    url = f"wss://{LOOPBACK}:{lab.port(lab.plain)}/"
    assert lab.loop.run(dial(url, client_context(), lab.engine.port("regular"))) is not None
    (found,) = lab.found()
    # This server says nothing to a TLS greeting and closes; one that answers in HTTP is WS-TLS-017.
    assert (found.id, found.severity) == ("WS-TLS-019", "error")
    assert found.causes[0].cause.startswith("the port speaks plain HTTP")


def test_ws_through_the_proxy_to_a_tls_port(lab):
    url = f"ws://{LOOPBACK}:{lab.port(lab.secure)}/"
    assert lab.loop.run(dial(url, None, lab.engine.port("regular"))) is not None
    (found,) = lab.found()
    assert (found.id, found.severity) == ("WS-HS-035", "error")
