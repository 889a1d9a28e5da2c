"""Outages hold for every request of a host, and a TLS failure without alert closes the connection."""

from __future__ import annotations

import asyncio
import http.client
import ssl
from pathlib import Path

import pytest
from websockets.asyncio.client import connect
from websockets.exceptions import InvalidStatus

from tests.support.echo_engine import EchoEngine, echo_engine

pytestmark = pytest.mark.asyncio
POLLING = "/socket.io/?EIO=4&transport=polling"


async def _status(lab: EchoEngine, path: str = POLLING, timeout: float = 10) -> int:
    def ask() -> int:
        link = http.client.HTTPConnection("127.0.0.1", lab.engine.port("reverse"), timeout=timeout)
        try:
            link.request("GET", path)
            return link.getresponse().status
        finally:
            link.close()

    return await asyncio.to_thread(ask)


async def test_a_refusal_answers_long_polling_too(tmp_path: Path) -> None:
    async with echo_engine(tmp_path, "--fault", "refuse,status=503,name=outage") as lab:
        assert await _status(lab) == 503
        with pytest.raises(InvalidStatus) as caught:
            await connect(lab.url())
        assert caught.value.response.status_code == 503
        with await lab.stop() as capture:
            rows = capture.query("SELECT connection_id, rule, detail FROM fault_event ORDER BY id")
            assert [(row[0], row[1]) for row in rows] == [(None, "outage"), (1, "outage")]
            assert "/socket.io/" in rows[0][2]


@pytest.mark.parametrize("spec", ["refuse,status=503,only=websocket", "refuse,status=503,match=path:/chat"])
async def test_a_narrowed_refusal_leaves_other_requests_alone(spec: str, tmp_path: Path) -> None:
    async with echo_engine(tmp_path, "--fault", spec) as lab:
        assert await _status(lab) != 503
        with pytest.raises(InvalidStatus):
            await connect(lab.url())


async def test_a_refused_connection_is_refused_to_long_polling_too(tmp_path: Path) -> None:
    async with echo_engine(tmp_path, "--fault", "refuse_tcp,name=down") as lab:
        with pytest.raises(ConnectionRefusedError):
            await _status(lab)
        await lab.control("DELETE", "/v1/faults/down")
        assert await _status(lab) == 426


@pytest.mark.parametrize("spec", ["hang,for=30s", "blackhole"])
async def test_silence_answers_no_request_until_the_rule_is_gone(spec: str, tmp_path: Path) -> None:
    async with echo_engine(tmp_path, "--fault", f"{spec},name=silence") as lab:
        waiting = asyncio.create_task(_status(lab, timeout=20))
        await lab.event("fault", rule="silence")
        assert not waiting.done()
        await lab.control("DELETE", "/v1/faults/silence")
        assert await waiting == 426  # what the echo server says to plain HTTP
        assert await _status(lab) == 426


async def test_a_tls_error_without_alert_closes_tcp(tmp_path: Path) -> None:
    context = ssl.create_default_context()
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    options = ("--tap", "tls=127.0.0.1:0=https://127.0.0.1:9", "--fault", "tls_error,alert=close")
    async with echo_engine(tmp_path, *options) as lab:
        with pytest.raises((ssl.SSLError, ConnectionError)):
            await asyncio.wait_for(
                asyncio.open_connection(
                    "127.0.0.1", lab.engine.port("tls"), ssl=context, server_hostname="a.example"
                ),
                5,
            )
