"""The measurements, each of one peer in one round; a result is a flat mapping from metric to number.

(a) ``small``: 64 B frames pipelined. (b) ``bulk``: 64 KiB frames. (c) ``echo``: round trips of one 64 B
frame. (d) ``open``: opening handshakes. (e) ``memory``: resident memory after a first and a second burst of
1 KiB frames on one connection. (f) ``many``: connections that are open, with a frame a second each. (g)
``writes``: bytes one by one. (h) ``calls``: system calls. (i) ``tls``: bulk and echo with TLS on both legs.
(j) ``start``: CPU until the proxy listens. (k) ``pauses``: the longest collection of the engine.
(l) ``instructions``: of a frame, counted.
Where there is a capture, the time until the last frame's row can be read in it counts from the first byte
sent, and the rows are counted: those of the burst, the server's answers, both CLOSE frames.
"""

import contextlib
import dataclasses
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

from tests.benchmarks.peers import Peer, Running
from tests.benchmarks.processes import BenchError, Load, wait_for
from tests.support.certs import Certificates

Result = dict[str, float]
INDEX_WAIT_S = 180.0
SLOW_DISK = 60e6
#: The proxy whose journal's writes take as long as on such a disk.
_ON_SLOW_DISK = f"""
import os, time
from wsinspect.__main__ import main

def writev(fd, buffers, write=os.writev):
    global due
    written = write(fd, buffers)
    due = max(due, time.monotonic()) + written / {SLOW_DISK}
    time.sleep(max(0, due - time.monotonic()))
    return written

due, os.writev = 0.0, writev
main()
"""
ALL_ROWS = "SELECT count(*) FROM frame"
LAST_ROW = "SELECT max(id) FROM frame"
OPENED = "SELECT count(*) FROM connection WHERE state = 'closed'"
BYTES = "SELECT sum(length(payload)) FROM frame"


@dataclass(frozen=True)
class Sizes:
    """How much each measurement sends."""

    small_frames: int = 1_000_000
    bulk_frames: int = 32_768
    echoes: int = 5_000
    memory_frames: int = 1_000_000
    openings: int = 2_000
    screen_frames: int = 1_000_000
    replay_messages: int = 200_000
    replay_bytes: int = 1 << 30
    finding_frames: int = 400_000
    many_seconds: int = 30
    connections: int = 10_000
    slow_connections: int = 500
    paced_seconds: int = 8
    tls_frames: int = 8_192
    writes: int = 2_000
    starts: int = 5
    #: Seconds that a slow peer takes for its frames, and what part it gets of what is counted otherwise.
    slow_s: float = 3.0
    slow_part: int = 4
    watch_s: float = 6.0
    repeats: int = 3
    delayed_s: int = 6

    @classmethod
    def quick(cls) -> "Sizes":
        """A tenth or less, for a look."""
        return cls(
            small_frames=100_000,
            bulk_frames=3_072,
            echoes=2_000,
            memory_frames=100_000,
            openings=500,
            screen_frames=100_000,
            replay_messages=20_000,
            replay_bytes=1 << 27,
            finding_frames=40_000,
            many_seconds=3,
            connections=1_000,
            slow_connections=100,
            paced_seconds=2,
            tls_frames=1_024,
            writes=400,
            starts=3,
            slow_s=1.0,
            slow_part=10,
            watch_s=2.0,
            repeats=1,
            delayed_s=3,
        )

    @property
    def is_quick(self) -> bool:
        """Whether this is a look."""
        return self == Sizes.quick()

    def of(self, peer: Peer, count: int) -> int:
        """So many, or as many of them as a slow peer gets."""
        return count // self.slow_part if peer.is_bounded else count


@dataclass(frozen=True)
class Place:
    """Where a run keeps its files, and the port of its target."""

    folder: Path
    target: int
    tls_target: int
    certificates: Certificates


def _bounded(peer: Peer, port: int, payload: int, frames: int, slow_s: float) -> int:
    """As many frames as a slow peer relays in so many seconds, by a trial."""
    trial = min(frames, 2_000 if payload < 65_536 else 64)
    if not peer.is_bounded or trial == frames:
        return frames
    load = Load("burst", port, payload=payload, frames=trial)
    try:
        seconds = load.result()["seconds"]
    finally:
        load.finish()
    return max(trial, min(frames, int(trial / seconds * slow_s)))


def wait_rows(running: Running, count: int, statement: str = LAST_ROW) -> float:
    """The moment (monotonic) at which the capture has so many; a peer without one has nothing left to do."""

    def probe() -> bool | None:
        return True if (running.query(statement) or 0) >= count else None

    if running.capture is not None:
        try:
            wait_for(f"{count} rows", probe, seconds=INDEX_WAIT_S, alive=lambda: True, every=0.05)
        except BenchError:
            have = running.query(ALL_ROWS if statement == LAST_ROW else statement) or 0
            raise BenchError(f"{have} of {count} are in the capture after {INDEX_WAIT_S:g} s") from None
    return time.monotonic()


def run_burst(
    peer: Peer, place: Place, payload: int, frames: int, *, is_tls: bool = False, slow_s: float = 3.0
) -> Result:
    with peer.serve(place.folder, place.tls_target if is_tls else place.target) as running:
        count = _bounded(peer, running.port, payload, frames, slow_s)
        cpu_before, relay_before = running.cpu_s(), running.relay_cpu_s()
        load = Load("burst", running.port, payload=payload, frames=count, tls=int(is_tls))
        try:
            measured = load.result()
            ended = time.monotonic()
        finally:
            load.finish()
        seconds = float(measured["seconds"])
        result = {"frames": count, "seconds": seconds, "frames_per_s": count / seconds}
        result["mb_per_s"] = count * payload / seconds / 1e6
        if running.capture is not None:
            indexed = seconds + wait_rows(running, count + 1) - ended
            wait_rows(running, count + 3)
            rows = running.query(ALL_ROWS) or 0
            result |= {
                "indexed_s": indexed,
                "indexed_per_s": count / indexed,
                "indexed_ratio": indexed / seconds,
            }
            result["indexed_mb_per_s"] = count * payload / indexed / 1e6
            result |= {"lost": count + 3 - rows, "payload_bytes": running.query(BYTES) or 0}
        if relay_before is not None:
            result["relay_cpu_us"] = ((running.relay_cpu_s() or 0) - relay_before) / count * 1e6
        return result | _cpu(running, cpu_before, count)


def _cpu(running: Running, before: float | None, count: int) -> Result:
    """CPU microseconds of all the peer's processes for each frame or round trip, recording included."""
    return {} if before is None else {"cpu_us": ((running.cpu_s() or 0) - before) / count * 1e6}


def small(peer: Peer, place: Place, sizes: Sizes) -> Result:
    """64 B frames pipelined."""
    return run_burst(peer, place, 64, sizes.small_frames, slow_s=sizes.slow_s)


def bulk(peer: Peer, place: Place, sizes: Sizes) -> Result:
    """64 KiB frames."""
    result = run_burst(peer, place, 65_536, sizes.bulk_frames, slow_s=sizes.slow_s)
    if "payload_bytes" in result and not peer.only:
        result["lost_bytes"] = result["frames"] * 65_536 + 8 - result["payload_bytes"]
    return result


def echo(peer: Peer, place: Place, sizes: Sizes) -> Result:
    """Round trips of one 64 B frame; again while another connection streams."""
    count = sizes.of(peer, sizes.echoes)
    result = _echo(peer, place, count)
    with peer.serve(place.folder, place.target) as running:
        stream = Load("stream", running.port, payload=1024, frames=0)
        try:
            stream.result()
            busy = _round_trips(running, count)
        finally:
            stream.abandon()
    return result | {"beside_p50_us": busy["p50_us"], "beside_p99_us": busy["p99_us"]}


def _echo(peer: Peer, place: Place, count: int, *, is_tls: bool = False) -> Result:
    with peer.serve(place.folder, place.tls_target if is_tls else place.target) as running:
        cpu_before = running.cpu_s()
        measured = _round_trips(running, count, is_tls=is_tls)
        result = {"p50_us": measured["p50_us"], "p99_us": measured["p99_us"]}
        if running.capture is not None:
            rows = 2 * int(measured["frames"]) + 2
            wait_rows(running, rows)
            result["lost"] = rows - (running.query(ALL_ROWS) or 0)
        return result | _cpu(running, cpu_before, int(measured["frames"]))


def _round_trips(running: Running, count: int, *, is_tls: bool = False) -> Result:
    load = Load("echo", running.port, payload=64, frames=count, tls=int(is_tls))
    try:
        return load.result()
    finally:
        load.finish()


def tls(peer: Peer, place: Place, sizes: Sizes) -> Result:
    """64 KiB frames and round trips with TLS on both legs."""
    over_tls = peer.over_tls(place.certificates)
    if over_tls is None or peer.only:
        return {}
    burst = run_burst(over_tls, place, 65_536, sizes.tls_frames, is_tls=True)
    trips = _echo(over_tls, place, sizes.echoes, is_tls=True)
    result = {"frames": burst["frames"], "mb_per_s": burst["mb_per_s"]}
    result |= {name: trips[name] for name in ("p50_us", "p99_us")}
    for name in ("cpu_us", "relay_cpu_us"):
        if name in burst:
            result[name] = burst[name]
    if "cpu_us" in trips:
        result["echo_cpu_us"] = trips["cpu_us"]
    if "lost" in burst:
        result["lost"] = burst["lost"] + trips["lost"]
    return result


def start(peer: Peer, place: Place, sizes: Sizes) -> Result:
    """CPU seconds of `run` until it listens: the least of some starts, since a start is never too fast."""
    if peer.name != "wsinspect":
        return {}
    seconds = []
    for _ in range(sizes.starts):
        with peer.serve(place.folder, place.target) as running:
            seconds.append(running.ready_cpu_s)
    return {"starts": sizes.starts, "cpu_s": min(seconds)}


def pauses(peer: Peer, place: Place, sizes: Sizes) -> Result:
    """How long the engine stands still for Python's cycle collector, in CPU time."""
    if peer.name != "wsinspect":
        return {}
    from tests.benchmarks import pausing

    return pausing.measure(peer, place, sizes)


def openings(peer: Peer, place: Place, sizes: Sizes) -> Result:
    """WebSockets opened and closed, 16 at a time; a quarter as many before that, one at a time."""
    with peer.serve(place.folder, place.target) as running:
        count = sizes.of(peer, sizes.openings)
        first = count // 4
        alone = open_all(running, first, parallel=1)["p50_ms"]
        cpu_before = running.cpu_s()
        measured = open_all(running, count)
        result = {"openings_per_s": count / measured["seconds"]}
        result |= {name: measured[name] for name in ("p50_ms", "p99_ms")}
        result["alone_ms"] = alone
        if running.capture is not None:
            made = first + count
            wait_rows(running, made, OPENED)
            result["lost"] = made - (running.query(OPENED) or 0)
        if cpu_before is not None:
            result["cpu_ms"] = ((running.cpu_s() or 0) - cpu_before) / count * 1000
        return result


def open_all(running: Running, count: int, parallel: int = 16) -> dict[str, float]:
    load = Load("open", running.port, payload=64, frames=count, parallel=parallel)
    try:
        return load.result()
    finally:
        load.finish()


@contextlib.contextmanager
def _peak(running: Running) -> Iterator[Callable[[], float]]:
    """The largest memory seen, sampled ten times a second while the body runs."""
    seen = [running.resident_mb() or 0.0]
    over = threading.Event()

    def sample() -> None:
        while not over.wait(0.1):
            seen.append(running.resident_mb() or 0.0)

    thread = threading.Thread(target=sample)
    thread.start()
    try:
        yield lambda: max(seen)
    finally:
        over.set()
        thread.join()


def memory(peer: Peer, place: Place, sizes: Sizes) -> Result:
    """Resident memory before, after a burst of 1 KiB frames, after a second one, and at most."""
    with peer.serve(place.folder, place.target) as running:
        if running.pid is None:
            return {}
        count = _bounded(peer, running.port, 1024, sizes.memory_frames, sizes.slow_s)
        result: Result = {"frames": count, "before_mb": running.resident_mb() or 0.0}
        load = Load("burst", running.port, payload=1024, frames=count, bursts=2)
        try:
            with _peak(running) as peak:
                for number, name in enumerate(("first_mb", "second_mb"), 1):
                    seconds = load.result()["seconds"]
                    result["frames_per_s"] = max(result.get("frames_per_s", 0), count / seconds)
                    if running.capture is not None:
                        wait_rows(running, number * (count + 1))
                    result[name] = running.resident_mb() or 0.0
                    load.go_on()
                result["peak_mb"] = peak()
        except BenchError:
            load.abandon()
            raise
        load.finish()
    if peer.name == "wsinspect":
        result["slow_peak_mb"] = _slow_disk(peer, place, 2 * count)
    return result


def _slow_disk(peer: Peer, place: Place, count: int) -> float:
    """The largest memory in a burst of 1 KiB frames that a disk of `SLOW_DISK` bytes a second has to take."""
    slow = dataclasses.replace(peer, program=("-c", _ON_SLOW_DISK))  # type: ignore[call-arg]
    with slow.serve(place.folder, place.target) as running, _peak(running) as peak:
        load = Load("burst", running.port, payload=1024, frames=count)
        try:
            load.result()
            wait_rows(running, count + 1)
        finally:
            load.finish()
        return peak()


def many(peer: Peer, place: Place, sizes: Sizes) -> Result:
    """Connections that are open with a frame a second each: memory, a quiet neighbour, and a stop."""
    from tests.benchmarks import crowds

    return crowds.measure(peer, place, sizes)


def screens(peer: Peer, place: Place, sizes: Sizes) -> Result:
    """The terminal program; and what it costs the proxy when it looks on."""
    if peer.name != "wsinspect":
        return {}
    from tests.benchmarks import screens as screens_module

    result = screens_module.measure(place.folder, sizes.screen_frames, sizes.watch_s)
    with peer.serve(place.folder, place.target) as running:
        alone = echo_p50(running, sizes)
        assert running.capture is not None
        with screens_module.looking_on(running.capture, place.folder):
            watched = echo_p50(running, sizes)
    return {**result, "p50_us": alone, "watched_p50_us": watched, "of_headless": watched / alone}


def show(peer: Peer, place: Place, sizes: Sizes) -> Result:
    """``show --filter`` over a large capture."""
    if peer.name != "wsinspect":
        return {}
    from tests.benchmarks import shows

    return shows.measure(place.folder, sizes.screen_frames, sizes.repeats)


def echo_p50(running: Running, sizes: Sizes) -> float:
    load = Load("echo", running.port, payload=64, frames=sizes.echoes)
    try:
        return float(load.result()["p50_us"])
    finally:
        load.finish()


def faults(peer: Peer, place: Place, sizes: Sizes) -> Result:
    """What faults cost, and how exact they are."""
    if peer.name != "wsinspect":
        return {}
    from tests.benchmarks import faulted

    return faulted.measure(peer, place, sizes)


def findings(peer: Peer, place: Place, sizes: Sizes) -> Result:
    """What the rules cost the recorder, and `diagnose`; no proxy takes part."""
    if peer.name != "wsinspect":
        return {}
    from tests.benchmarks import finding_speed

    return finding_speed.measure(place.folder, sizes.finding_frames, sizes.screen_frames)


def replay(peer: Peer, place: Place, sizes: Sizes) -> Result:
    """A capture played as the client, exported and imported; no proxy takes part."""
    if peer.name != "wsinspect":
        return {}
    from tests.benchmarks import replaying

    return replaying.measure(place.folder, sizes.replay_messages, sizes.replay_bytes)


def http2(peer: Peer, place: Place, sizes: Sizes) -> Result:
    """WebSockets over HTTP/2 against HTTP/1.1, both over TLS, on engines of their own."""
    if peer.name != "wsinspect":
        return {}
    from tests.benchmarks import http2 as http2_module

    return http2_module.measure(place.folder, sizes.small_frames, sizes.many_seconds)


def calls(peer: Peer, place: Place, sizes: Sizes) -> Result:
    """System calls and copied bytes."""
    from tests.benchmarks import counting

    return counting.measure(peer, place, sizes)


def instructions(peer: Peer, place: Place, sizes: Sizes) -> Result:
    """What is executed, counted by the processor or by callgrind."""
    from tests.benchmarks import instructions as instructions_module

    return instructions_module.measure(peer, place, is_quick=sizes.is_quick)


def writes(peer: Peer, place: Place, sizes: Sizes) -> Result:
    """How many of so many writes of one byte, 1 ms apart, arrive as reads of their own."""
    if peer.only or peer.is_bounded:  # they put messages together
        return {}
    with peer.serve(place.folder, place.target) as running:
        load = Load("writes", running.port, payload=1, frames=sizes.writes)
        try:
            measured = load.result()
        finally:
            load.finish()
        result = {"writes": measured["frames"], "reads": measured["reads"]}
    with peer.serve(place.folder, place.target) as running:
        load = Load("writes", running.port, payload=1, frames=sizes.writes, apart_us=200)
        try:
            return result | {"close_reads": load.result()["reads"]}
        finally:
            load.finish()


MEASURES: dict[str, Callable[[Peer, Place, Sizes], Result]] = {
    "small": small,
    "bulk": bulk,
    "echo": echo,
    "open": openings,
    "memory": memory,
    "many": many,
    "screens": screens,
    "show": show,
    "faults": faults,
    "findings": findings,
    "replay": replay,
    "http2": http2,
    "tls": tls,
    "writes": writes,
    "start": start,
    "pauses": pauses,
    "calls": calls,
    "instructions": instructions,
}
TITLES = {
    "small": "64 B frames pipelined",
    "bulk": "64 KiB frames",
    "echo": "Echo round trip, one 64 B frame",
    "open": "Opening handshakes, 16 at a time",
    "memory": "Resident memory, 1 KiB frames",
    "many": "Many connections, one frame a second each",
    "screens": "The terminal program",
    "show": "show --filter, seconds from the command's start to its end",
    "faults": "Faults",
    "findings": "Findings: the rules' share of the recorder's CPU seconds, and diagnose",
    "replay": "Replay, export and import, 64 B messages",
    "http2": "HTTP/2 against HTTP/1.1 over TLS",
    "tls": "TLS on both legs: 64 KiB frames, and round trips of one of 64 B",
    "writes": "Writes of one byte, 1 ms and 0.2 ms apart",
    "start": "From the command to listening, CPU",
    "pauses": "Pauses of the engine for Python's cycle collector, CPU",
    "calls": "System calls, and bytes copied by them",
    "instructions": "Instructions, in thousands",
}
