"""A full disk: traffic continues, one line says so, and the capture tells how many bytes it lacks."""

from __future__ import annotations

import contextlib
import hashlib
import json
import shutil
import socket
from pathlib import Path
from typing import Any

from websockets.asyncio.server import Server, ServerConnection, serve
from websockets.exceptions import WebSocketException

from tests.support import warm
from tests.support.engine import Engine, private_environment
from tests.support.forwarder import Forwarder
from tests.support.full_disk import CHUNK, SIZE_MIB, binary, disk, echo
from tests.support.small_servers import free_port
from tests.support.socket_echo import HEAD, EchoServer, read_head, server
from tests.support.threaded_loop import ThreadedLoop
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


async def hears(socket: ServerConnection) -> None:
    """Reads what comes; says that it broke after the last message of a flood, or after the only one."""
    assert socket.request is not None
    count = {"/flood": CHUNKS, "/small": 1}.get(socket.request.path, CHUNKS + 1)
    with contextlib.suppress(WebSocketException):
        async for _ in socket:
            count -= 1
            if not count:
                await socket.close(1011, "it broke")


def talk(port: int, path: str, frames: int) -> None:
    """Send so many frames, answer a CLOSE if frames say that one comes, and leave."""
    request = HEAD.replace(b"/echo", path.encode())
    with socket.create_connection(("127.0.0.1", port), 60) as sock:
        sock.sendall(request)
        read_head(sock)
        frame = binary(CHUNK) if frames > 1 else b"\x82\x85" + bytes(4) + b"small"
        for _ in range(frames):
            sock.sendall(frame)
        if path != "/left":
            assert sock.recv(2) == b"\x88\x0a"
            sock.sendall(b"\x88\x82" + bytes(4) + (1011).to_bytes(2))
            while sock.recv(4096):
                pass


def test_no_finding_reasons_from_what_a_full_disk_lost(disk: Path, tmp_path: Path) -> None:
    """Two connections after it are whole: the same ends are explained there."""

    async def start() -> Server:
        return await serve(hears, "127.0.0.1", 0, ping_interval=None, max_size=None)

    with ThreadedLoop() as loop:
        listening = loop.run(start())
        port = next(iter(listening.sockets)).getsockname()[1]
        ballast = disk / "ballast"
        ballast.write_bytes(bytes((SIZE_MIB - 12) << 20))
        engine = Engine.start(
            *("--reverse", f"http://127.0.0.1:{port}", "--listen", "0", "--capture", str(disk / "x.db")),
            folder=tmp_path / "home",
        )
        talk(engine.port("reverse"), "/flood", CHUNKS)
        assert "cannot store" in engine.stderr
        ballast.unlink()
        for path in ("/small", "/left"):
            talk(engine.port("reverse"), path, 1)
        assert engine.stop(60) == 0, engine.stderr
        listening.close()
        loop.run(listening.wait_closed())

    def said(*words: str) -> str:
        done = warm.run(
            [*words], folder=tmp_path, environment={**private_environment(tmp_path), "NO_COLOR": "1"}
        )
        assert done.returncode in (0, 1), done.stderr
        return done.stdout if "--json" in words else done.stdout + done.stderr

    path = str(disk / "x.db")
    found = json.loads(said("diagnose", "--json", path))["findings"]
    said_of = {(one["connection"], one["id"]) for one in found}
    assert said_of == {(None, "WS-TOOL-003"), (2, "WS-CL-011"), (3, "WS-DROP-007")}
    for words in (("show", path), ("show", path, "1"), ("diagnose", path)):
        assert "could not be stored" in said(*words), words
    for number in ("2", "3"):
        assert "from the client could not be stored" not in said("show", path, number)
    shown = json.loads(said("show", "--json", path))
    assert shown["missing"]["unstored_bytes"] > 0
    gaps = {one["id"]: one["missing"] for one in shown["connections"]}
    assert gaps[1]["c2s"]["bytes"] > 0
    # The server's CLOSE came while the disk was full: that it is not there proves nothing. A short record
    # may still find room.
    lost = gaps[1]["s2c"]
    assert lost in (None, {"bytes": len(b"\x88\x0a\x03\xf3it broke")})
    told = said("show", path, "1")
    assert "client sent   no CLOSE frame on record" in told
    assert ("server sent   1011" in told) is (lost is None)
    assert (gaps[2], gaps[3]) == (None, None)


def test_no_rule_over_two_taps_reasons_from_what_a_full_disk_lost(disk: Path, tmp_path: Path) -> None:
    """The hop passes all of a flood on; what only one of the taps could store is no loss of the hop's."""

    async def start() -> Server:
        return await serve(hears, "127.0.0.1", 0, ping_interval=None, max_size=None)

    with ThreadedLoop() as loop:
        listening = loop.run(start())
        port = next(iter(listening.sockets)).getsockname()[1]
        behind = free_port()
        hop = loop.run(Forwarder(behind).__aenter__())
        ballast = disk / "ballast"
        ballast.write_bytes(bytes((SIZE_MIB - 12) << 20))
        engine = Engine.start(
            *("--tap", f"edge=127.0.0.1:0=http://127.0.0.1:{hop.port}"),
            *("--tap", f"origin=127.0.0.1:{behind}=http://127.0.0.1:{port}"),
            *("--capture", str(disk / "x.db")),
            folder=tmp_path / "home",
        )
        talk(engine.port("edge"), "/flood", CHUNKS)
        assert "cannot store" in engine.stderr
        ballast.unlink()
        talk(engine.port("edge"), "/small", 1)
        assert engine.stop(60) == 0, engine.stderr
        loop.run(hop.__aexit__(None, None, None))
        listening.close()
        loop.run(listening.wait_closed())

    def said(*words: str) -> str:
        environment = {**private_environment(tmp_path), "NO_COLOR": "1"}
        done = warm.run([*words], folder=tmp_path, environment=environment)
        assert done.returncode in (0, 1), done.stderr
        return done.stdout

    def gap_of(one: dict[str, Any]) -> Any:
        return (one["missing"] or {}).get("c2s")

    path = str(disk / "x.db")
    found = json.loads(said("diagnose", "--json", path))["findings"]
    of_silence = ("WS-DROP-", "WS-KA-", "WS-MS-1", "WS-FR-1", "WS-CL-1")
    assert not [one["id"] for one in found if one["id"].startswith(of_silence)]
    assert not [one for one in found if one["fault_of"] == "hop"], found
    # The connection after it is whole at both taps: its CLOSE is explained, once.
    assert [one["id"] for one in found if one["severity"] == "error"][:1] == ["WS-CL-011"]
    shown = json.loads(said("show", "--json", path))
    lacks = {(one["tap"], one["url"].rpartition("/")[2]): gap_of(one) for one in shown["connections"]}
    assert lacks["edge", "flood"] or lacks["origin", "flood"]
    assert not lacks["edge", "small"]
    assert not lacks["origin", "small"]
    for one in shown["connections"]:
        has_gap = bool(gap_of(one))
        assert ("from the client could not be stored" in said("show", path, str(one["id"]))) is has_gap
