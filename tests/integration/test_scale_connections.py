"""Many connections: at once, one after another, and more than there are file descriptors.

A short form needs only Python; the full one, 1,000 connections and 2,500 in a row, is a `lab` test. With its
figures: `make test-all ARGS="-k 'scale_connections and full' -s"`.
"""

from __future__ import annotations

import os
import socket
import subprocess
import sys
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from tests.support import swarm
from tests.support.engine import Engine
from tests.support.processes import resident_bytes
from tests.support.swarm_run import Probe, Swarm, Watch, descriptors, load, settled, swarm_and_engine
from wsinspect.capture.reader import Capture
from wsinspect.faults.sessions import MAX_SESSIONS

pytestmark = pytest.mark.slow

MIB = 1 << 20
#: The full forms need all cores.
FULL = (pytest.mark.lab, pytest.mark.alone)
#: The most that engine and recorder may hold with 1,000 connections open.
MEMORY_BYTES = 400 * 10**6
_SESSIONS = {f"wsinspect.faults.sessions.{name}" for name in ("Session", "SessionKey")}


def check_all_recorded(path: Path, sent: Mapping[str, int]) -> None:
    """Each frame that was sent is in the capture once, in order, with its payload; and so are the answers."""
    with Capture.open(path) as capture:
        connections = capture.connections()
        assert {one.path: one.c2s_frames - 1 for one in connections} == sent
        assert {one.state for one in connections} == {"closed"}
        for one in connections:
            number = int((one.path or "/0")[1:])
            rows = capture.query(
                "SELECT is_s2c, payload FROM frame WHERE connection_id = ? AND opcode = 2 ORDER BY id",
                (one.id,),
            )
            c2s = [payload for is_s2c, payload in rows if not is_s2c]
            s2c = [payload for is_s2c, payload in rows if is_s2c]
            assert c2s == [swarm.payload(number, each) for each in range(sent[one.path or ""])]
            steps = range(swarm.ANSWER_EVERY, len(c2s) + 1, swarm.ANSWER_EVERY)
            assert s2c == [swarm.payload(number, each) for each in steps]
        assert not capture.query("SELECT 1 FROM event WHERE kind IN ('unstored', 'recorder_error')")


@pytest.mark.timeout(600)
@pytest.mark.parametrize(
    ("connections", "seconds"),
    [
        pytest.param(150, 3, id="short"),
        pytest.param(1000, 10, id="full", marks=FULL),
    ],
)
def test_connections_open_at_once_lose_nothing(connections: int, seconds: int, tmp_path: Path) -> None:
    """10 frames a second on each of them."""
    with swarm_and_engine(tmp_path) as (server, engine):
        at_rest = descriptors(engine.pid)
        with Watch(engine) as watch:
            result = load(engine, "hold", connections=connections, rate=10, seconds=seconds)
        assert settled(engine, at_rest) <= at_rest
        print(f"{connections} connections: engine and recorder {watch.peak_bytes / 1e6:.0f} MB at most")
        assert watch.peak_bytes < MEMORY_BYTES
        assert engine.stop() == 0
        counted = server.stop()
    assert result["disorder"] == counted["disorder"] == 0
    assert result["frames"] == counted["frames"] == connections * 10 * seconds
    assert result["answers"] == counted["answers"] == connections * seconds
    check_all_recorded(engine.capture, result["sent"])


@pytest.mark.timeout(600)
@pytest.mark.parametrize(
    ("warm_up", "total"),
    [pytest.param(300, 1000, id="short"), pytest.param(500, 2500, id="full", marks=FULL)],
)
def test_short_connections_leave_nothing_behind(warm_up: int, total: int, tmp_path: Path) -> None:
    """No descriptor, no task, no object, no memory, however many there were."""
    probe = Probe(tmp_path / "probe")
    with swarm_and_engine(tmp_path, environment=probe.environment) as (_, engine):
        load(engine, "churn", total=warm_up, connections=2)
        at_rest = settled(engine, 11)
        before, memory = probe.ask(engine.pid), resident_bytes(engine.pid)
        result = load(engine, "churn", total=total, connections=2)
        assert settled(engine, at_rest) <= at_rest
        after, growth = probe.ask(engine.pid), resident_bytes(engine.pid) - memory
        print(f"{total} short connections: {growth / 1e6:+.1f} MB")
        assert after["tasks"] <= before["tasks"]
        assert grown(before, after) == {}
        assert growth < 8 * MIB
        assert engine.stop() == 0
    assert result["disorder"] == 0
    with Capture.open(engine.capture) as capture:
        ended = capture.query("SELECT state, count(*), sum(c2s_frames), sum(s2c_frames) FROM connection")
        assert ended == [("closed", warm_up + total, 11 * (warm_up + total), 2 * (warm_up + total))]


def test_the_cycle_collector_finds_nothing_of_a_client_that_has_gone(tmp_path: Path) -> None:
    """While it looks, nothing is relayed."""
    probe = Probe(tmp_path / "probe", collects=False)
    with swarm_and_engine(tmp_path, environment=probe.environment) as (_, engine):
        at_rest = descriptors(engine.pid)
        load(engine, "churn", total=20, connections=2)
        settled(engine, at_rest)
        probe.ask(engine.pid)
        load(engine, "churn", total=50, connections=2)
        settled(engine, at_rest)
        assert probe.ask(engine.pid)["circles"] < 50
        assert engine.stop() == 0


def grown(before: Mapping[str, Any], after: Mapping[str, Any]) -> dict[str, int]:
    """Classes with notably more objects than before."""
    known = before["objects"]
    more = {name: count - known.get(name, 0) for name, count in after["objects"].items()}
    # Client sessions are remembered up to a number, whoever they were: here each connection is another one.
    full = [name for name, count in after["objects"].items() if count <= MAX_SESSIONS and name in _SESSIONS]
    # asyncio keeps up to 100 cancelled timers until their time has come.
    return {
        name: count
        for name, count in more.items()
        if count > (120 if "TimerHandle" in name else 20) and name not in full
    }


def limited(count: int, *, hard: bool) -> tuple[str, ...]:
    """A Python whose limit of file descriptors is lowered."""
    return ("sh", "-c", f'ulimit -{"" if hard else "S"}n {count}; exec "$@"', "sh", sys.executable)


def test_the_limit_of_descriptors_is_raised(tmp_path: Path) -> None:
    with swarm_and_engine(tmp_path, python=limited(100, hard=False)) as (_, engine):
        result = load(engine, "hold", connections=100, rate=10, seconds=1)
        assert result["frames"] == 1000
        assert engine.stop() == 0
        assert engine.stderr == ""
    check_all_recorded(engine.capture, result["sent"])


def test_being_out_of_descriptors_is_said_once_and_passes(tmp_path: Path) -> None:
    """Those that find no descriptor are refused in words, and on record; the engine does not spin."""
    with swarm_and_engine(tmp_path, python=limited(120, hard=True)) as (server, engine):
        at_rest = descriptors(engine.pid)
        waiting = [socket.create_connection(("127.0.0.1", engine.port("plain"))) for _ in range(200)]
        engine.wait_for_stderr("out of file descriptors")
        busy = cpu_seconds(engine.pid)
        time.sleep(2)
        assert cpu_seconds(engine.pid) - busy < 0.5
        for each in waiting:
            each.close()
        assert settled(engine, at_rest) <= at_rest
        assert load(engine, "churn", total=20)["frames"] == 200
        refused = refusals(engine, server)
        assert engine.stop() == 0
        assert engine.stderr.count("\n") == engine.stderr.count("out of file descriptors (120)") == 1
    with Capture.open(engine.capture) as capture:
        errors = capture.query("SELECT error FROM connection WHERE state = 'failed'")
    assert len(errors) == refused > 0
    assert {error for (error,) in errors} == {"cannot connect to the server: too many open files"}


def cpu_seconds(pid: int) -> float:
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def refusals(engine: Engine, server: Swarm) -> int:
    """Opening handshakes that got a 502 while clients alone took all descriptors."""
    held = [socket.create_connection(("127.0.0.1", engine.port("plain"))) for _ in range(130)]
    request = f"GET /0 HTTP/1.1\r\nHost: x:{server.port}\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
    request += "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n\r\n"
    try:
        held[0].sendall(request.encode())
        held[0].settimeout(20)
        assert held[0].recv(1000).startswith(b"HTTP/1.1 502")
    finally:
        for each in held:
            each.close()
    return 1


def test_a_load_that_fails_is_reported(tmp_path: Path) -> None:
    """The load itself: a server that is not there is no success."""
    with swarm_and_engine(tmp_path) as (server, engine):
        server.close()
        with pytest.raises(subprocess.CalledProcessError):
            load(engine, "churn", total=1)
