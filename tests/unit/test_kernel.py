"""What the kernel says of a TCP connection."""

from __future__ import annotations

import socket
import sys
import time

import pytest

from wsinspect.kernel import acknowledged_ns

linux = pytest.mark.skipif(not sys.platform.startswith("linux"), reason="struct tcp_info is Linux's")


@linux
def test_a_fin_that_is_read_late_still_has_its_own_time() -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        client = socket.create_connection(server.getsockname())
        peer, _ = server.accept()
        with client, peer:
            peer.shutdown(socket.SHUT_WR)
            began = time.monotonic_ns()
            # Nobody reads it meanwhile: its age grows until this program looks.
            while (age := acknowledged_ns(client) or 0) < 150_000_000:
                time.sleep(0.01)
            assert age <= time.monotonic_ns() - began + 50_000_000
            assert client.recv(1) == b""


def test_what_is_no_tcp_connection_has_none() -> None:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as udp:
        assert acknowledged_ns(udp) is None
    closed = socket.socket()
    closed.close()
    assert acknowledged_ns(closed) is None
