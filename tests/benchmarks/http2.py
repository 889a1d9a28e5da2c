"""What HTTP/2 costs against HTTP/1.1, both over TLS: frames, round trips, many streams.

Client and server are in this process, and speak HTTP/2 without a library, which would cost more than the
engine; what is compared is the engine's CPU seconds, apart from the time. DATA frames have as many WebSocket
frames as they take, or one (`each`).

Both are relayed by one engine and measured by turns, in rounds that are short; a ratio is the median of those
of the rounds. A machine that is slow for a while, or a process that has got the slower core, is so for both.
Engines are started, not forked from a process that has imported more than they do, which would count.
"""

import asyncio
import ssl
import statistics
import sys
import time
from collections.abc import Awaitable, Callable
from functools import partial
from pathlib import Path
from typing import Any

from tests.benchmarks import wsframes
from tests.benchmarks.processes import BenchError
from tests.support.certs import Certificates, client_context, make_certificates
from tests.support.engine import Engine
from tests.support.h1_peers import H1Origin, H1Peer, h1_client
from tests.support.h2_peers import ENABLE_CONNECT, H2Origin, H2Peer, Stream, h2_client
from tests.support.processes import resident_bytes
from tests.support.script import response
from wsinspect.capture.reader import Capture
from wsinspect.wire.data_frames import data_frames, plain_stream, read_run

FRAME = wsframes.client_frame(b"\xa5" * 64, b"\x11\x22\x33\x44")
#: Frames in one DATA frame, and so many of these in one write.
BATCH = 16384 // len(FRAME)
WRITES = 4
#: Echoes of each kind in a round, and rounds of them and of bursts.
ECHOES, ECHO_ROUNDS, BURST_ROUNDS = 100, 15, 5
SOCKETS, RATE = 100, 100
CONNECTIONS, STREAMS = 10, 100
WINDOW = (1 << 31) - 1
#: Measures a kind once: two numbers.
Measured = Callable[[], Awaitable[tuple[float, float]]]
#: With a window as large as it gets, so that the load does not have to open it.
SETTINGS = {int(ENABLE_CONNECT): 1, 3: 1000, 4: WINDOW}


def _cpu_s(pid: int) -> float:
    """CPU seconds of a process's first thread, which relays, so far."""
    return int(Path(f"/proc/{pid}/schedstat").read_text().split()[0]) / 1e9


async def _timed(run: Engine, work: Awaitable[Any]) -> tuple[float, float]:
    """Seconds, and CPU seconds of the engine."""
    cpu, begin = _cpu_s(run.pid), time.monotonic()
    await work
    return time.monotonic() - begin, _cpu_s(run.pid) - cpu


async def _rounds(count: int, kinds: dict[str, Measured]) -> dict[str, tuple[float, float, float, float]]:
    """Each kind so often, by turns: medians of its two numbers, and of their ratios to the first kind's."""
    found: dict[str, list[tuple[float, float]]] = {kind: [] for kind in kinds}
    for number in range(count):
        # The first of a round may find caches that the last one of the round before has left.
        for kind in list(kinds)[:: -1 if number % 2 else 1]:
            found[kind].append(await kinds[kind]())
    first = next(iter(found.values()))

    def medians(measured: list[tuple[float, float]]) -> tuple[float, float, float, float]:
        rows = [
            (*mine, mine[0] / his[0], mine[1] / his[1]) for mine, his in zip(measured, first, strict=True)
        ]
        time_, cpu, time_ratio, cpu_ratio = (statistics.median(column) for column in zip(*rows, strict=True))
        return time_, cpu, time_ratio, cpu_ratio

    return {kind: medians(measured) for kind, measured in found.items()}


async def _burst(run: Engine, work: Callable[[int], Awaitable[Any]], frames: int) -> tuple[float, float]:
    """Microseconds of a frame, and of the engine's CPU."""
    took, cpu = await _timed(run, work(frames))
    return took / frames * 1e6, cpu / frames * 1e6


async def _echo(run: Engine, work: Callable[[], Awaitable[float]]) -> tuple[float, float]:
    """The median of its round trips, and the engine's CPU for one, in microseconds."""
    cpu = _cpu_s(run.pid)
    median = await work()
    return median, (_cpu_s(run.pid) - cpu) / ECHOES * 1e6


async def _h1_pair(run: Engine, origin: H1Origin) -> tuple[H1Peer, H1Peer]:
    client = await h1_client(run.port("h1"), client_context())
    client.upgrade("/bench")
    server = await origin.accepted()
    await server.head()
    server.send(data=response())
    await client.head()
    return client, server


async def _h1_burst(client: H1Peer, server: H1Peer, frames: int) -> None:
    async def send() -> None:
        for _ in range(frames // BATCH // WRITES):
            client.writer.write(block)
            await client.writer.drain()

    block = FRAME * (BATCH * WRITES)
    left = frames // BATCH // WRITES * len(block)
    sending = asyncio.create_task(send())
    while left > 0:
        left -= len(await server.reader.read(1 << 16))
    await sending


async def _h1_echo(client: H1Peer, server: H1Peer) -> float:
    times = []
    for _ in range(ECHOES):
        begin = time.perf_counter_ns()
        client.writer.write(FRAME)
        await server.reader.readexactly(len(FRAME))
        server.writer.write(FRAME)
        await client.reader.readexactly(len(FRAME))
        times.append(time.perf_counter_ns() - begin)
    return statistics.median(times) / 1000


class _Raw:
    """One end of one stream without the h2 library, which costs more than what is measured."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, stream_id: int) -> None:
        self.reader = reader
        self.writer = writer
        self.stream_id = stream_id
        self.window = 0
        self._partial = b""

    @classmethod
    async def of(cls, peer: H2Peer, stream_id: int) -> "_Raw":
        """From now on in place of `peer`."""
        peer.h2.increment_flow_control_window(WINDOW - peer.h2.inbound_flow_control_window)
        raw = cls(*await peer.hand_over(), stream_id)
        raw.window = peer.h2.local_flow_control_window(stream_id)
        return raw

    async def read(self) -> int:
        """Bytes of DATA that came with the next read; WINDOW_UPDATE is counted."""
        data = self._partial + await self.reader.read(1 << 16)
        size, at, found = len(data), 0, 0
        while at + 9 <= size:
            end = at + 9 + int.from_bytes(data[at : at + 3], "big")
            if end > size:
                break
            if plain_stream(data, at) and (run := read_run(data, at, end - at, WINDOW)):
                found += run.size
                end = at + len(run.raw)
            elif data[at + 3] == 8 and data[at + 5 : at + 9] == self.stream_id.to_bytes(4, "big"):
                self.window += int.from_bytes(data[at + 9 : end], "big")
            at = end
        self._partial = data[at:]
        return found

    async def burst(self, frames: int, batch: int) -> None:
        """Send so many frames, `batch` of them in a DATA frame."""
        each = FRAME * batch
        block = data_frames(self.stream_id, [each] * (BATCH // batch * WRITES))
        size = len(each) * (BATCH // batch) * WRITES

        async def watch() -> None:
            while True:
                await self.read()
                has_room.set()

        has_room = asyncio.Event()
        watching = asyncio.create_task(watch())
        for _ in range(frames // BATCH // WRITES):
            while self.window < size:
                has_room.clear()
                await has_room.wait()
            self.window -= size
            self.writer.write(block)
            await self.writer.drain()
        watching.cancel()
        await asyncio.gather(watching, return_exceptions=True)

    async def receive(self, size: int) -> None:
        """Until so many bytes of DATA have come."""
        while size > 0:
            size -= await self.read()


async def _h2_burst(client: _Raw, server: _Raw, batch: int, frames: int) -> None:
    size = frames // BATCH // WRITES * WRITES * (BATCH // batch) * batch * len(FRAME)
    await asyncio.gather(client.burst(frames, batch), server.receive(size))


async def _h2_echo(client: _Raw, server: _Raw) -> float:
    times = []
    there, back = data_frames(client.stream_id, [FRAME]), data_frames(server.stream_id, [FRAME])
    for _ in range(ECHOES):
        begin = time.perf_counter_ns()
        client.writer.write(there)
        await server.receive(len(FRAME))
        server.writer.write(back)
        await client.receive(len(FRAME))
        times.append(time.perf_counter_ns() - begin)
    return statistics.median(times) / 1000


def _has(came: Stream, size: int) -> bool:
    return len(came.data) == size


async def _many(client: H2Peer, server: H2Peer, seconds: int) -> int:
    """Frames sent: on many sockets at once, evenly."""
    pairs = [await client.opened(f"/many/{number}", server) for number in range(SOCKETS)]
    begin, sent = time.monotonic(), 0
    for turn in range(RATE * seconds):
        for mine, _ in pairs:
            client.send(mine, FRAME)
        sent += SOCKETS
        await asyncio.sleep(max(0.0, begin + (turn + 1) / RATE - time.monotonic()))
    for _, theirs in pairs:
        came = server.streams[theirs]
        await server.wait(partial(_has, came, RATE * seconds * len(FRAME)))
    return sent


async def _memory(run: Engine, origin: H2Origin) -> float:
    """Resident MB of the engine with all streams open."""
    clients = []
    for number in range(CONNECTIONS):
        client = await h2_client(run.port("h2"))
        server = await origin.accepted()
        await client.wait(partial(getattr, client, "settings"))
        for stream in range(STREAMS):
            mine, _ = await client.opened(f"/{number}/{stream}", server)
            client.send(mine, FRAME)
        clients.append(client)
    found = resident_bytes(run.pid) / 1e6
    for client in clients:
        await client.close()
    return found


async def _with_engine(
    folder: Path, ports: dict[str, int], work: Callable[[Engine], Awaitable[None]]
) -> Engine:
    folder.mkdir()
    options = ["--insecure", "--capture", str(folder / "kept.db")]
    for name, port in ports.items():
        options += ["--tap", f"{name}=127.0.0.1:0=https://127.0.0.1:{port}"]
    run = await asyncio.to_thread(lambda: Engine.start(*options, folder=folder, python=[sys.executable]))
    try:
        await work(run)
    finally:
        await asyncio.to_thread(run.stop, timeout=180.0)
    return run


async def _measure(folder: Path, certificates: Certificates, frames: int, seconds: int) -> dict[str, float]:
    found: dict[str, float] = {}

    async def both(run: Engine) -> None:
        plain = await _h1_pair(run, h1)
        client = await h2_client(run.port("h2"), settings={4: WINDOW})
        server = await h2.accepted()
        await client.wait(lambda: client.settings)
        mine, theirs = await client.opened("/bench", server)
        raw = await _Raw.of(client, mine), await _Raw.of(server, theirs)
        bursts = {
            "h1": partial(_h1_burst, *plain),
            "h2": partial(_h2_burst, *raw, BATCH),
            "h2_each": partial(_h2_burst, *raw, 1),
        }
        part = frames // BURST_ROUNDS
        for burst in bursts.values():
            await burst(part)
        measured = await _rounds(
            BURST_ROUNDS, {kind: partial(_burst, run, burst, part) for kind, burst in bursts.items()}
        )
        for kind, (each_us, cpu_us, times, cpu_times) in measured.items():
            found[f"{kind}_per_s"], found[f"{kind}_cpu_us"] = 1e6 / each_us, cpu_us
            found[f"{kind}_rate"], found[f"{kind}_cpu"] = 1 / times, cpu_times
        echoes = {"h1": partial(_h1_echo, *plain), "h2": partial(_h2_echo, *raw)}
        for kind, (p50_us, cpu_us, times, cpu_times) in (
            await _rounds(ECHO_ROUNDS, {kind: partial(_echo, run, echo) for kind, echo in echoes.items()})
        ).items():
            found[f"{kind}_p50_us"], found[f"{kind}_echo_cpu_us"] = p50_us, cpu_us
            found[f"{kind}_p50"], found[f"{kind}_echo_cpu"] = times, cpu_times
        plain[0].writer.close()
        raw[0].writer.close()
        client = await h2_client(run.port("h2"))
        server = await h2.accepted()
        await client.wait(lambda: client.settings)
        before = resident_bytes(run.pid)
        found["many_sent"] = await _many(client, server, seconds)
        found["many_grew_mb"] = (resident_bytes(run.pid) - before) / 1e6
        await client.close()

    async def memory(run: Engine) -> None:
        found["streams_mb"] = await _memory(run, h2)

    def tls() -> ssl.SSLContext:
        return certificates.server_context()

    async with H1Origin(tls(), ["http/1.1"]) as h1, H2Origin(tls(), SETTINGS) as h2:
        run = await _with_engine(folder / "both", {"h1": h1.port, "h2": h2.port}, both)
        await _with_engine(folder / "memory", {"h2": h2.port}, memory)
    with Capture.open(run.capture) as capture:
        query = "SELECT sum(c2s_frames) FROM connection WHERE path LIKE '/many/%'"
        ((stored,),) = capture.query(query)
    found["lost"] = found["many_sent"] - (stored or 0)
    found["rate_ratio"], found["cpu_ratio"] = found["h2_rate"], found["h2_cpu"]
    found["each_ratio"], found["each_cpu_ratio"] = found["h2_each_rate"], found["h2_each_cpu"]
    found["p50_ratio"], found["echo_cpu_ratio"] = found["h2_p50"], found["h2_echo_cpu"]
    return found


def measure(folder: Path, frames: int, seconds: int = 30) -> dict[str, float]:
    """All of it; files go into folders below `folder`."""
    place = folder / "http2"
    place.mkdir()
    found = asyncio.run(_measure(place, make_certificates(place / "certificates"), frames, seconds))
    if found["lost"]:
        raise BenchError(f"{found['lost']:.0f} frames of {found['many_sent']:.0f} were lost")
    return found


if __name__ == "__main__":
    import tempfile

    with tempfile.TemporaryDirectory() as name:
        for key, value in measure(Path(name), int(sys.argv[1]), int(sys.argv[2])).items():
            print(f"{key:12} {value:.3f}")
