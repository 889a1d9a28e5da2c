"""Transports that are closed at once."""

from __future__ import annotations

import asyncio
import contextlib
from pathlib import Path

from tests.support.certs import client_context, make_certificates
from wsinspect.closing import abort


def test_a_tls_transport_that_has_ended_is_aborted_without_an_error(tmp_path: Path) -> None:
    tls = make_certificates(tmp_path)

    async def run() -> None:
        server = await asyncio.start_server(
            lambda _, writer: writer.close(), "127.0.0.1", 0, ssl=tls.server_context()
        )
        async with server:
            port = server.sockets[0].getsockname()[1]
            reader, writer = await asyncio.open_connection("127.0.0.1", port, ssl=client_context())
            assert await reader.read() == b""
            writer.close()
            with contextlib.suppress(OSError):
                await writer.wait_closed()
            # `wait_closed` is told before asyncio lets go of TLS.
            for _ in range(3):
                await asyncio.sleep(0)
                abort(writer.transport)

    asyncio.run(run())
