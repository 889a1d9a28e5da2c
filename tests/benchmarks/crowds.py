"""Many connections: memory for each, what is given back, a stop with all of them open, a quiet neighbour.

Ten thousand need twenty thousand descriptors of a proxy. Where the system allows fewer, as many are opened as
they are enough for.
"""

import resource
import time

from tests.benchmarks.measures import ALL_ROWS, OPENED, Place, Result, Sizes, wait_rows
from tests.benchmarks.pacing import Crowd
from tests.benchmarks.peers import Peer, Running
from tests.benchmarks.processes import resident_mb

#: Memory is looked at so long after the last connection was opened, and for so long after all have closed.
SETTLE_S, GIVEN_BACK_S = 1.0, 10.0
#: Descriptors that are not a connection's.
OTHER_FILES = 200
#: A hundred connections with 1,000 frames a second, and one with 50.
BUSY, BUSY_RATE, QUIET_RATE = 100, 1_000, 50


def measure(peer: Peer, place: Place, sizes: Sizes) -> Result:
    """Each part with a proxy of its own, where the benchmark starts it."""
    if peer.only:
        return {}
    wanted = sizes.slow_connections if peer.is_bounded else sizes.connections
    count = min(wanted, (_allowed(2 * wanted + OTHER_FILES) - OTHER_FILES) // 2)
    with peer.serve(place.folder, place.target) as running:
        result = _crowd(running, count, sizes.paced_seconds)
    if not result or peer.is_bounded:
        return result
    with peer.serve(place.folder, place.target) as running:
        result |= _quiet(running, sizes.paced_seconds)
    if running.capture is not None:
        with peer.serve(place.folder, place.target) as running:
            result |= _stopped(running, count)
    return result


def _allowed(wanted: int) -> int:
    """How many descriptors a process may have; root may ask for more than the hard limit."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if hard < wanted:
        try:
            resource.setrlimit(resource.RLIMIT_NOFILE, (soft, wanted))
        except (OSError, ValueError):
            return hard
    return max(wanted, hard)


def _crowd(running: Running, count: int, seconds: int) -> Result:
    """Memory before connections are opened, while all are open, and after they closed."""
    time.sleep(SETTLE_S)  # our recorder starts when the engine is listening already
    before, pid = running.resident_mb(), running.pid
    if before is None or pid is None:
        return {}
    engine = resident_mb(pid, alone=True)
    with Crowd(running.port, count) as crowd:
        crowd.pace(count, seconds)
        time.sleep(SETTLE_S)
        during = running.resident_mb() or before
        engine = resident_mb(pid, alone=True) - engine
        crowd.close()
    left, ended = during, time.monotonic()
    while time.monotonic() - ended < GIVEN_BACK_S and left - before > 1:
        time.sleep(SETTLE_S)
        left = running.resident_mb() or before
    result = {"connections": count, "kb_each": (during - before) / count * 1000}
    if running.capture is not None:
        result["engine_kb_each"] = engine / count * 1000
        rows = 2 * count * (seconds + 1)
        wait_rows(running, rows)
        result["lost"] = rows - (running.query(ALL_ROWS) or 0)
    return result | {"before_mb": before, "during_mb": during, "left_mb": left - before}


def _quiet(running: Running, seconds: int) -> Result:
    with Crowd(running.port, BUSY) as busy, Crowd(running.port, 1) as quiet:
        busy.begin(BUSY_RATE, seconds + 2)
        found = quiet.pace(QUIET_RATE, seconds)
        busy.paced()
    return {"quiet_p50_ms": found["p50_ms"], "quiet_p99_ms": found["p99_ms"]}


def _stopped(running: Running, count: int) -> Result:
    """Seconds from SIGTERM to the end, with so many connections open; what is missing then."""
    assert running.child is not None
    with Crowd(running.port, count) as crowd:
        crowd.pace(count, 1)
        began = time.monotonic()
        running.child.stop(seconds=120)
        seconds = time.monotonic() - began
    lost = 2 * count - (running.query(ALL_ROWS) or 0)
    return {"stop_s": seconds, "lost_stop": lost, "lost_ends": count - (running.query(OPENED) or 0)}
