"""A full disk: traffic continues, one line says so, and the capture tells how many bytes it lacks."""

from __future__ import annotations

import hashlib
import shutil
from pathlib import Path

from tests.support.engine import Engine
from tests.support.full_disk import CHUNK, SIZE_MIB, binary, disk, echo
from tests.support.socket_echo import EchoServer, server
from wsinspect.recorder.opening import open_capture

__all__ = ["disk", "server"]

#: Far more than the disk holds.
CHUNKS = 2000


def test_traffic_continues_and_the_capture_says_what_it_lacks(
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
