"""The load client: one process, one WebSocket, one measurement; results are JSON objects, one a line.

``burst PORT --payload N --frames N [--bursts N]`` sends prepared blocks with a blocking socket and waits for
the server's answer after each burst; with more than one burst it waits for a line on standard input between
them.
``open PORT --frames N [--parallel N]`` opens N WebSockets, so many at a time, and closes each with a closing
handshake: how long all took, and how long an opening handshake did, TCP connection included.
``writes PORT --frames N [--apart-us N]`` sends the payload of one frame byte by byte, 1 ms apart: how many
arrived as reads of their own.
``echo PORT --payload N --frames N`` measures round trips with an asyncio protocol, as an
application's event loop would see them; with ``--tls 1`` on a socket whose calls wait, since asyncio's TLS
would cost more than a proxy's. ``burst`` takes ``--tls 1``, too.
``stream PORT`` sends 16 frames of 1 KiB each ms until it is ended, after a line that says that it has begun.
"""

import argparse
import asyncio
import json
import socket
import ssl
import sys
import time

from tests.benchmarks import wsframes

WARM_UP = 500


def connect(port: int, path: str, timeout: float, *, is_tls: bool = False) -> socket.socket:
    """A WebSocket after its opening handshake, as a socket."""
    sock = socket.create_connection(("127.0.0.1", port), timeout=timeout)
    sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    if is_tls:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
        sock = context.wrap_socket(sock)
    sock.sendall(wsframes.request(path, f"127.0.0.1:{port}"))
    head = b""
    while not head.endswith(b"\r\n\r\n"):
        byte = sock.recv(1)
        if not byte:
            break
        head += byte
    if not head.startswith(b"HTTP/1.1 101"):
        raise SystemExit(f"no 101: {head[:80]!r}")
    return sock


def receive(sock: socket.socket, size: int) -> bytes:
    """Exactly ``size`` bytes."""
    data = b""
    while len(data) < size:
        chunk = sock.recv(size - len(data))
        if not chunk:
            raise SystemExit(f"the connection ended after {len(data)} of {size} bytes")
        data += chunk
    return data


def finish(sock: socket.socket) -> None:
    """The closing handshake, then the end of the connection."""
    sock.sendall(wsframes.close_from_client())
    while sock.recv(65536):
        pass
    sock.close()


def burst(args: argparse.Namespace) -> None:
    """Send all frames, wait for the answer, say how long it took."""
    total = args.frames * wsframes.wire_size(args.payload)
    sock = connect(args.port, f"/sink/{total}/{args.bursts}", args.timeout, is_tls=args.tls)
    blocks = list(wsframes.frame_blocks(args.payload, args.frames))
    for number in range(args.bursts):
        if number:
            sys.stdin.readline()
        started_ns = time.time_ns()
        start = time.perf_counter_ns()
        for block in blocks:
            sock.sendall(block)
        if receive(sock, len(wsframes.DONE)) != wsframes.DONE:
            raise SystemExit("the answer to the burst is not the one the server sent")
        seconds = (time.perf_counter_ns() - start) / 1e9
        print(json.dumps({"frames": args.frames, "seconds": seconds, "started_ns": started_ns}), flush=True)
    if args.bursts > 1:
        sys.stdin.readline()
    finish(sock)


class EchoClient(asyncio.Protocol):
    """Sends the next frame when the last one came back."""

    def __init__(self, sock: socket.socket, payload: int, frames: int) -> None:
        self.sock = sock
        self.done: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self.lost = asyncio.Event()
        self.times_ns: list[int] = []
        self._frame = wsframes.client_frame(b"\xa5" * payload, b"\x11\x22\x33\x44")
        self._answer = wsframes.server_frame(b"\xa5" * payload)
        self._left = frames
        self._held = b""
        self._sent_ns = 0
        self._transport: asyncio.Transport | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Begin."""
        assert isinstance(transport, asyncio.Transport)
        self._transport = transport
        self._send()

    def _send(self) -> None:
        if self._transport is not None:
            self._sent_ns = time.perf_counter_ns()
            self._transport.write(self._frame)

    def data_received(self, data: bytes) -> None:
        """Time an answer and send the next frame."""
        now = time.perf_counter_ns()
        self._held += data
        if len(self._held) < len(self._answer) or self.done.done():
            return
        if self._held != self._answer:
            self.done.set_exception(ValueError("the echo differs from what was sent"))
            return
        self._held = b""
        self.times_ns.append(now - self._sent_ns)
        self._left -= 1
        if self._left:
            self._send()
        else:
            self.done.set_result(None)

    def connection_lost(self, exc: Exception | None) -> None:
        """The server ended it: an error unless all was measured."""
        self.lost.set()
        if not self.done.done():
            self.done.set_exception(ConnectionError(f"the connection ended: {exc}"))


async def echo_asyncio(args: argparse.Namespace) -> list[int]:
    """Round trips through an event loop."""
    loop = asyncio.get_running_loop()
    sock = connect(args.port, f"/echo/{args.payload}", args.timeout)
    sock.setblocking(False)
    transport, client = await loop.create_connection(
        lambda: EchoClient(sock, args.payload, args.frames + WARM_UP), sock=sock
    )
    await asyncio.wait_for(client.done, args.timeout)
    transport.write(wsframes.close_from_client())
    await asyncio.wait_for(client.lost.wait(), args.timeout)
    return client.times_ns[WARM_UP:]


def echo_tls(args: argparse.Namespace) -> list[int]:
    """Round trips through TLS."""
    sock = connect(args.port, f"/echo/{args.payload}", args.timeout, is_tls=True)
    frame = wsframes.client_frame(b"\xa5" * args.payload, b"\x11\x22\x33\x44")
    answer = wsframes.server_frame(b"\xa5" * args.payload)
    times_ns = []
    for _ in range(args.frames + WARM_UP):
        began = time.perf_counter_ns()
        sock.sendall(frame)
        if receive(sock, len(answer)) != answer:
            raise SystemExit("the echo differs from what was sent")
        times_ns.append(time.perf_counter_ns() - began)
    finish(sock)
    return times_ns[WARM_UP:]


def stream(args: argparse.Namespace) -> None:
    """Send without an end."""
    sock = connect(args.port, f"/sink/{1 << 60}/1", args.timeout)
    block = b"".join(wsframes.frame_blocks(1024, 16))
    print(json.dumps({"frames": 0}), flush=True)
    due = time.perf_counter()
    while True:
        due = max(due + 0.001, time.perf_counter() - 0.05)
        time.sleep(max(0.0, due - time.perf_counter()))
        sock.sendall(block)


def echo(args: argparse.Namespace) -> None:
    """Print p50 and p99 of the round trips in microseconds."""
    times = sorted(echo_tls(args) if args.tls else asyncio.run(echo_asyncio(args)))
    percentile = {f"p{part}_us": times[len(times) * part // 100] / 1000 for part in (50, 99)}
    print(json.dumps({"frames": args.frames + WARM_UP, **percentile}), flush=True)


async def open_many(args: argparse.Namespace) -> tuple[float, list[int]]:
    """The seconds of all, and the nanoseconds of each opening handshake."""
    times_ns: list[int] = []
    request = wsframes.request("/echo/64", f"127.0.0.1:{args.port}")
    left = iter(range(args.frames))

    async def worker() -> None:
        for _ in left:
            began = time.perf_counter_ns()
            reader, writer = await asyncio.open_connection("127.0.0.1", args.port)
            writer.write(request)
            head = await reader.readuntil(b"\r\n\r\n")
            if not head.startswith(b"HTTP/1.1 101"):
                raise SystemExit(f"no 101: {head[:80]!r}")
            times_ns.append(time.perf_counter_ns() - began)
            writer.write(wsframes.close_from_client())
            await reader.readexactly(len(wsframes.CLOSE_FROM_SERVER))
            writer.close()

    began = time.perf_counter()
    async with asyncio.timeout(args.timeout), asyncio.TaskGroup() as group:
        for _ in range(args.parallel):
            group.create_task(worker())
    return time.perf_counter() - began, times_ns


def openings(args: argparse.Namespace) -> None:
    """Print the seconds of all openings, and p50 and p99 of one in milliseconds."""
    seconds, times_ns = asyncio.run(open_many(args))
    times = sorted(times_ns)
    percentile = {f"p{part}_ms": times[len(times) * part // 100] / 1e6 for part in (50, 99)}
    print(json.dumps({"frames": args.frames, "seconds": seconds, **percentile}), flush=True)


def writes(args: argparse.Namespace) -> None:
    """Print how many bytes were written one by one, and how many the server read so."""
    sock = connect(args.port, f"/reads/{args.frames}", args.timeout)
    frame = wsframes.client_frame(bytes(args.frames), b"\x01\x02\x03\x04")
    header, payload = frame[: -args.frames], frame[-args.frames :]
    sock.sendall(header)
    due = time.perf_counter()
    for number in range(args.frames):
        due += args.apart_us / 1e6
        time.sleep(max(0.0, due - time.perf_counter()))
        sock.sendall(payload[number : number + 1])
    head = receive(sock, 2)
    reads = int(receive(sock, head[1]))
    print(json.dumps({"frames": args.frames, "reads": reads}), flush=True)
    finish(sock)


MEASURES = {"burst": burst, "echo": echo, "open": openings, "writes": writes, "stream": stream}


def main() -> None:
    """Run one measurement."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("measure", choices=list(MEASURES))
    parser.add_argument("port", type=int)
    parser.add_argument("--payload", type=int, default=64)
    parser.add_argument("--frames", type=int, required=True)
    parser.add_argument("--bursts", type=int, default=1)
    parser.add_argument("--parallel", type=int, default=16)
    parser.add_argument("--apart-us", type=int, default=1000)
    parser.add_argument("--tls", type=int, default=0)
    parser.add_argument("--timeout", type=float, default=120)
    args = parser.parse_args()
    MEASURES[args.measure](args)


if __name__ == "__main__":
    main()
