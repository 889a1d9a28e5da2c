"""A small file system to fill, and the traffic that fills it."""

from __future__ import annotations

import hashlib
import os
import socket
import subprocess
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.socket_echo import HEAD, read_head

SIZE_MIB = 48
CHUNK = os.urandom(1 << 16)


@pytest.fixture
def disk(tmp_path: Path) -> Iterator[Path]:
    """A file system of its own, small."""
    place = tmp_path / "disk"
    place.mkdir()
    options = f"size={SIZE_MIB}m,mode=0700"
    mounted = subprocess.run(["mount", "-t", "tmpfs", "-o", options, "tmpfs", place], capture_output=True)
    if mounted.returncode:
        pytest.skip(f"needs the right to mount: {mounted.stderr.decode().strip()}")
    yield place
    subprocess.run(["umount", "--lazy", place], check=True)


def binary(payload: bytes) -> bytes:
    return b"\x82\xff" + len(payload).to_bytes(8, "big") + bytes(4) + payload


def echo(port: int, frame: bytes, count: int) -> str:
    """Send frames through the proxy and read all of them back; the digest of what came."""
    digest = hashlib.sha256()
    with socket.create_connection(("127.0.0.1", port), 30) as sock:
        sock.sendall(HEAD)
        read_head(sock)
        sender = threading.Thread(target=sock.sendall, args=(frame * count,))
        sender.start()
        left = count * len(frame)
        while left:
            data = sock.recv(1 << 20)
            assert data, "the proxy ended the connection"
            digest.update(data)
            left -= len(data)
        sender.join()
    return digest.hexdigest()
