"""Report 4, why did the wss connection fail: TLS of each kind, both wrong schemes, a token sent too late."""

from __future__ import annotations

import asyncio
import contextlib
import json
import ssl
from pathlib import Path
from typing import Any

import pytest
from websockets.asyncio.server import serve

from tests.support.certs import DAY, dated_certificate, make_certificates
from tests.support.engine import Engine
from tests.support.field_reports import application, by_path, converse, diagnose, ids, record
from tests.support.hops import LOOPBACK, nginx

pytestmark = pytest.mark.lab


def test_report_4_tls_of_each_kind_and_the_wrong_scheme(tmp_path):
    """A server for each certificate, one engine with a tap to each of them."""
    kinds: dict[str, tuple[str, dict[str, Any]]] = {
        "expired": ("WS-TLS-010", dict(begin=-9 * DAY, end=-DAY)),
        "self-signed": ("WS-TLS-012", dict(is_signed=False)),
        "issuer": ("WS-TLS-014", {}),
    }

    async def play() -> Path:
        async with contextlib.AsyncExitStack() as stack:
            taps, ports, known = [], {}, tmp_path / "known.pem"
            plain = await stack.enter_async_context(serve(application, LOOPBACK, 0, ping_interval=None))
            ports["plain"] = next(iter(plain.sockets)).getsockname()[1]
            for name, (_, options) in kinds.items():
                chain, key, ca = dated_certificate(tmp_path / name, name, **options)
                if name == "expired":
                    known.write_bytes(ca.read_bytes())
                context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
                context.load_cert_chain(chain, key)
                server = await stack.enter_async_context(
                    serve(application, LOOPBACK, 0, ssl=context, ping_interval=None)
                )
                ports[name] = next(iter(server.sockets)).getsockname()[1]
                taps += ["--tap", f"{name}={LOOPBACK}:0=https://{LOOPBACK}:{ports[name]}"]
            other = make_certificates(tmp_path / "other", ("other.test",))
            known.write_bytes(known.read_bytes() + other.ca.read_bytes())
            context = other.server_context()
            server = await stack.enter_async_context(serve(application, LOOPBACK, 0, ssl=context))
            port = next(iter(server.sockets)).getsockname()[1]
            taps += ["--tap", f"name={LOOPBACK}:0=https://{LOOPBACK}:{port}"]
            lines = f"ssl_certificate {chain}; ssl_certificate_key {key};"
            https = stack.enter_context(
                nginx(tmp_path / "nginx", "location / { return 404; }", server=lines, listen=" ssl")
            )
            http = stack.enter_context(nginx(tmp_path / "http", "location / { return 404; }"))
            taps += ["--tap", f"ws-to-tls={LOOPBACK}:0=http://{LOOPBACK}:{https.port}"]
            taps += ["--tap", f"wss-to-plain={LOOPBACK}:0=https://{LOOPBACK}:{http.port}"]
            taps += ["--tap", f"right={LOOPBACK}:0=http://{LOOPBACK}:{ports['plain']}"]
            taps += ["--set", f"ssl_verify_upstream_trusted_ca={known}"]
            engine = await asyncio.to_thread(lambda: Engine.start(*taps, folder=tmp_path / "engine"))
            for name in (*kinds, "name", "ws-to-tls", "wss-to-plain", "right"):
                await converse(f"ws://{LOOPBACK}:{engine.port(name)}/{name}")
            await asyncio.to_thread(engine.stop)
        return engine.capture

    capture = asyncio.run(play())
    code, told = diagnose(tmp_path, capture)
    assert code == 1
    assert by_path(told, capture) == {
        **{f"/{name}": [found] for name, (found, _) in kinds.items()},
        "/name": ["WS-TLS-013"],
        "/ws-to-tls": ["WS-TLS-018"],
        "/wss-to-plain": ["WS-TLS-017"],
        "/right": [],
    }


def test_report_4_the_token_that_comes_too_late(tmp_path):
    async def talk(base):
        await converse(
            f"{base}/cable", says=json.dumps({"type": "initial_connect", "token": "secret-token"}), waits=True
        )

    capture = asyncio.run(record(tmp_path, None, talk))
    code, told = diagnose(tmp_path, capture)
    assert code == 1
    assert ids(told) == ["WS-APP-070"]
    assert "secret-token" not in json.dumps(told)
