"""What the kernel knows of a TCP connection, beyond its bytes."""

from __future__ import annotations

import socket
import sys

#: Where Linux's `struct tcp_info` has the milliseconds since the last ACK, and how much of it is read.
_LAST_ACK_AT, _TCP_INFO_BYTES = 56, 60


def acknowledged_ns(sock: socket.socket) -> int | None:
    """How long ago the peer acknowledged anything; None where the system does not say."""
    if not sys.platform.startswith("linux"):
        return None
    try:
        info = sock.getsockopt(socket.IPPROTO_TCP, socket.TCP_INFO, _TCP_INFO_BYTES)
    except OSError:
        return None
    if len(info) < _TCP_INFO_BYTES:
        return None
    return int.from_bytes(info[_LAST_ACK_AT:_TCP_INFO_BYTES], sys.byteorder) * 1_000_000
