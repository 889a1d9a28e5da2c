"""A load client with many connections and a steady rate: one process, which reads what to do next.

``python -m tests.benchmarks.pacing PORT PATH CONNECTIONS`` opens so many echo connections and says
``{"open": N}``. A line ``pace RATE SECONDS`` on its standard input sends RATE frames of 64 B a second, of all
connections together and evenly spread, and prints the round trips' percentiles; ``close`` ends each
connection with a closing handshake. It ends, and drops what is open, with its standard input.
"""

import asyncio
import contextlib
import json
import resource
import socket
import subprocess
import sys
import time
from typing import Any

from tests.benchmarks import wsframes
from tests.benchmarks.load import connect
from tests.benchmarks.processes import ROOT, BenchError

PAYLOAD = 64
OPEN_S, CLOSE_S = 120.0, 60.0
#: Ends that are asked for at once: more would be one burst, and no listener's business.
CLOSING = 200


class Crowd:
    """The client, as the benchmark holds it."""

    def __init__(self, port: int, connections: int) -> None:
        command = [sys.executable, "-m", "tests.benchmarks.pacing", str(port), "/echo/64", str(connections)]
        self._process = subprocess.Popen(
            command,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            cwd=ROOT,
            text=True,
        )
        try:
            self._answer()
        except BenchError:
            self.leave()
            raise

    def __enter__(self) -> "Crowd":
        return self

    def __exit__(self, *error: object) -> None:
        self.leave()

    def pace(self, rate: int, seconds: int) -> dict[str, Any]:
        """So many frames a second; how many were sent, and p50 and p99 of the round trips."""
        self.begin(rate, seconds)
        return self.paced()

    def begin(self, rate: int, seconds: int) -> None:
        """The same, without waiting for it."""
        self._say(f"pace {rate} {seconds}")

    def paced(self) -> dict[str, Any]:
        """What `begin` began has ended."""
        return self._answer()

    def close(self) -> None:
        """A closing handshake on each connection."""
        self._say("close")
        self._answer()

    def leave(self) -> None:
        """End the client, whatever it does."""
        self._process.kill()
        self._process.communicate()

    def _say(self, line: str) -> None:
        assert self._process.stdin
        self._process.stdin.write(line + "\n")
        self._process.stdin.flush()

    def _answer(self) -> dict[str, Any]:
        assert self._process.stdout
        assert self._process.stderr
        line = self._process.stdout.readline()
        if not line:
            error = self._process.stderr.read().strip().splitlines()[-1:]
            raise BenchError(f"load client: {' '.join(error) or 'no result'}")
        result: dict[str, Any] = json.loads(line)
        return result


class Pacer(asyncio.Protocol):
    """Sends a frame at each beat, and times each answer: they come back in order."""

    def __init__(self) -> None:
        self.times_ns: list[int] = []
        self.lost, self.answered = asyncio.Event(), asyncio.Event()
        self._sent: list[int] = []
        self._held = 0
        self._transport: asyncio.WriteTransport | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Keep it."""
        assert isinstance(transport, asyncio.WriteTransport)
        self._transport = transport

    def beat(self) -> None:
        """One frame."""
        assert self._transport
        self.answered.clear()
        self._sent.append(time.perf_counter_ns())
        self._transport.write(FRAME)

    def close(self) -> None:
        """The closing handshake."""
        assert self._transport
        self._transport.write(wsframes.close_from_client())

    def data_received(self, data: bytes) -> None:
        """One answer or several."""
        now = time.perf_counter_ns()
        whole, self._held = divmod(self._held + len(data), ANSWER_BYTES)
        for sent in self._sent[:whole]:
            self.times_ns.append(now - sent)
        del self._sent[:whole]
        if not self._sent:
            self.answered.set()

    def connection_lost(self, exc: Exception | None) -> None:
        """It is over."""
        self.lost.set()


FRAME = wsframes.client_frame(b"\xa5" * PAYLOAD, b"\x11\x22\x33\x44")
ANSWER_BYTES = len(wsframes.server_frame(b"\xa5" * PAYLOAD))


async def open_all(port: int, path: str, connections: int) -> list[Pacer]:
    """So many connections, one after the other."""
    loop = asyncio.get_running_loop()
    pacers = []
    for _ in range(connections):
        sock = connect(port, path, OPEN_S)
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        sock.setblocking(False)
        pacers.append((await loop.create_connection(Pacer, sock=sock))[1])
    return pacers


async def pace(pacers: list[Pacer], rate: int, seconds: int) -> dict[str, float]:
    """Run the load; beats of all connections are spread evenly over time."""
    loop = asyncio.get_running_loop()
    for pacer in pacers:
        pacer.times_ns.clear()
    start = loop.time()
    beats = rate * seconds
    for number in range(beats):
        pause = start + number / rate - loop.time()
        if pause > 0:
            await asyncio.sleep(pause)
        pacers[number % len(pacers)].beat()
    with contextlib.suppress(TimeoutError):
        async with asyncio.timeout(CLOSE_S):
            for pacer in pacers[:beats]:
                await pacer.answered.wait()
    times = sorted(each for pacer in pacers for each in pacer.times_ns)
    if len(times) != beats:
        raise SystemExit(f"{len(times)} answers to {beats} frames")
    return {"frames": beats} | {f"p{part}_ms": times[len(times) * part // 100] / 1e6 for part in (50, 99)}


async def close_all(pacers: list[Pacer]) -> None:
    """Closing handshakes, some at a time, until the server has ended each connection."""
    for first in range(0, len(pacers), CLOSING):
        group = pacers[first : first + CLOSING]
        for pacer in group:
            pacer.close()
        async with asyncio.timeout(CLOSE_S):
            for pacer in group:
                await pacer.lost.wait()


async def main(port: int, path: str, connections: int) -> None:
    """Do what the lines say."""
    with contextlib.suppress(OSError, ValueError):
        hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
        resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    pacers = await open_all(port, path, connections)
    print(json.dumps({"open": len(pacers)}), flush=True)
    while line := (await asyncio.to_thread(sys.stdin.readline)).split():
        if line[0] == "pace":
            print(json.dumps(await pace(pacers, *map(int, line[1:]))), flush=True)
        else:
            await close_all(pacers)
            print(json.dumps({"closed": len(pacers)}), flush=True)


if __name__ == "__main__":
    asyncio.run(main(int(sys.argv[1]), sys.argv[2], int(sys.argv[3])))
