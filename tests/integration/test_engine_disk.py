"""A full disk: traffic continues, one line says so, and the capture tells how many bytes it lacks."""

from __future__ import annotations

import hashlib
import os
import shutil
import socket
import subprocess
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.engine import Engine
from tests.support.socket_echo import HEAD, EchoServer, read_head, server
from wsinspect.recorder.opening import open_capture

__all__ = ["server"]

SIZE_MIB = 48
CHUNK = os.urandom(1 << 16)
#: Far more than the disk holds.
CHUNKS = 2000


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


def test_traffic_goes_on_and_the_capture_says_what_it_lacks(
    disk: Path, server: EchoServer, tmp_path: Path
) -> None:
    ballast = disk / "ballast"
    ballast.write_bytes(bytes((SIZE_MIB - 12) << 20))
    options = (
        "--reverse",
        f"http://127.0.0.1:{server.port}",
        "--listen",
        "0",
        "--capture",
        str(disk / "x.db"),
    )
    engine = Engine.start(*options, folder=tmp_path / "home")
    frame = binary(CHUNK)
    assert echo(engine.port("reverse"), frame, CHUNKS) == hashlib.sha256(frame * CHUNKS).hexdigest()
    assert shutil.disk_usage(disk).free < 1 << 20, "the disk was never full"
    ballast.unlink()
    small = binary(b"after")
    assert echo(engine.port("reverse"), small, 10) == hashlib.sha256(small * 10).hexdigest()
    assert engine.stop() == 0, engine.stderr
    warnings = [line for line in engine.stderr.splitlines() if "cannot store" in line]
    assert len(warnings) == 1, engine.stderr
    assert "No space left" in warnings[0]
    with open_capture(disk / "x.db") as capture:
        unstored = [event for event in capture.events(limit=100_000) if event.kind == "unstored"]
        missing = sum(event.detail["bytes"] for event in unstored)
        connections = capture.connections()
        assert [frame.payload for frame in capture.frames(connections[-1].id)] == [b"after"] * 20
    assert missing > 2 * CHUNKS * len(CHUNK) - (SIZE_MIB << 20)
