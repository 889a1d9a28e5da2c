"""What faults cost: a rule that matches nothing, an armed neighbour, and how exact a delay is.

``python -m tests.benchmarks.faulted PORT PATH CONNECTIONS RATE SECONDS`` is the load client of the last two:
it opens so many echo connections, sends RATE frames of 64 B a second on each, evenly spread, and prints the
round trips' percentiles.
"""

import asyncio
import dataclasses
import json
import socket
import subprocess
import sys
import time

from tests.benchmarks import wsframes
from tests.benchmarks.load import connect
from tests.benchmarks.measures import Place, Result, Sizes, _burst, _echo_p50, _wait_rows
from tests.benchmarks.peers import Peer
from tests.benchmarks.processes import ROOT, BenchError

#: Looked at for every frame, and never true of one.
NOTHING = "drop,match=op:pong"
#: The first connection is the busy one, and its frames are delayed.
NEIGHBOUR = "latency,latency=5ms,match=conn:1"
DELAY_MS = 100.0
DELAY = f"latency:s2c,latency={DELAY_MS:.0f}ms"
DELAYED, DELAYED_RATE, DELAYED_SECONDS = 200, 5, 6
NEIGHBOUR_RATE, NEIGHBOUR_SECONDS = 1_000, 30


def measure(peer: Peer, place: Place, sizes: Sizes) -> Result:
    """All of it; each part on engines of its own."""
    armed = with_fault(peer, NOTHING)
    result: Result = {"armed_per_s": _burst(armed, place, 64, sizes.small_frames)["frames_per_s"]}
    unarmed_us, armed_us = (_p50(one, place, sizes) for one in (peer, armed))
    result |= {"unarmed_p50_us": unarmed_us, "armed_p50_us": armed_us, "armed_ratio": armed_us / unarmed_us}
    beside = [_beside(one, place, sizes) for one in (peer, with_fault(peer, NEIGHBOUR))]
    result |= {"beside_unarmed_us": beside[0], "beside_armed_us": beside[1]}
    result["beside_ratio"] = beside[1] / beside[0]
    with with_fault(peer, DELAY).serve(place.folder, place.target) as running:
        found = json.loads(_client(running.port, "/echo/64", DELAYED, DELAYED_RATE, DELAYED_SECONDS))
    result["delay_error_p50_ms"] = abs(found["p50_ms"] - DELAY_MS)
    result["delay_error_p99_ms"] = abs(found["p99_ms"] - DELAY_MS)
    return result


def with_fault(peer: Peer, spec: str) -> Peer:
    """The same peer with a rule armed."""
    return dataclasses.replace(peer, options=("--fault", spec))  # type: ignore[call-arg]


def _p50(peer: Peer, place: Place, sizes: Sizes) -> float:
    with peer.serve(place.folder, place.target) as running:
        return _echo_p50(running, sizes)


def _beside(peer: Peer, place: Place, sizes: Sizes) -> float:
    """Echo p50 of a connection without a rule while another one is busy."""
    with peer.serve(place.folder, place.target) as running:
        busy = _start(running.port, "/echo/64", 1, NEIGHBOUR_RATE, NEIGHBOUR_SECONDS)
        try:
            _wait_rows(running, NEIGHBOUR_RATE // 10)
            return _echo_p50(running, sizes)
        finally:
            busy.kill()
            busy.communicate()


def _start(port: int, path: str, *numbers: int) -> subprocess.Popen[str]:
    command = [sys.executable, "-m", "tests.benchmarks.faulted", str(port), path, *map(str, numbers)]
    return subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, cwd=ROOT, text=True)


def _client(port: int, path: str, *numbers: int) -> str:
    out, error = (process := _start(port, path, *numbers)).communicate(timeout=120)
    if process.returncode:
        raise BenchError(f"load client: {error.strip().splitlines()[-1:]}")
    return out


class Pacer(asyncio.Protocol):
    """Sends a frame at each beat, and times each answer: they come back in order."""

    def __init__(self) -> None:
        self.times_ns: list[int] = []
        self._sent: list[int] = []
        self._frame = wsframes.client_frame(b"\xa5" * 64, b"\x11\x22\x33\x44")
        self._size = len(wsframes.server_frame(b"\xa5" * 64))
        self._held = 0
        self._transport: asyncio.WriteTransport | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Keep it."""
        assert isinstance(transport, asyncio.WriteTransport)
        self._transport = transport

    def beat(self) -> None:
        """One frame."""
        assert self._transport
        self._sent.append(time.perf_counter_ns())
        self._transport.write(self._frame)

    def data_received(self, data: bytes) -> None:
        """One answer or several."""
        now = time.perf_counter_ns()
        whole, self._held = divmod(self._held + len(data), self._size)
        for sent in self._sent[:whole]:
            self.times_ns.append(now - sent)
        del self._sent[:whole]


async def pace(port: int, path: str, connections: int, rate: int, seconds: int) -> dict[str, float]:
    """Run the load; beats of all connections are spread evenly over time."""
    loop = asyncio.get_running_loop()
    pacers = []
    for _ in range(connections):
        sock = connect(port, path, 30.0)
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        sock.setblocking(False)
        pacers.append((await loop.create_connection(Pacer, sock=sock))[1])
    start = loop.time()
    beats = connections * rate * seconds
    for number in range(beats):
        pause = start + number / (connections * rate) - loop.time()
        if pause > 0:
            await asyncio.sleep(pause)
        pacers[number % connections].beat()
    await asyncio.sleep(1)
    times = sorted(each for pacer in pacers for each in pacer.times_ns)
    if len(times) != beats:
        raise SystemExit(f"{len(times)} answers to {beats} frames")
    return {f"p{part}_ms": times[len(times) * part // 100] / 1e6 for part in (50, 99)}


if __name__ == "__main__":
    _port, _path, *_numbers = sys.argv[1:]
    print(json.dumps(asyncio.run(pace(int(_port), _path, *map(int, _numbers)))))
