"""Whether a WebSocket works through a hop, and the applications that the question needs behind it."""

import asyncio
import contextlib
import re
import signal

from websockets.asyncio.client import connect
from websockets.asyncio.server import serve
from websockets.exceptions import WebSocketException
from websockets.typing import Origin, Subprotocol

from tests.support.certs import make_certificates
from tests.support.hops import LOOPBACK
from tests.support.matrix_lab import application
from tests.support.small_servers import echo
from wsinspect.findings.csp import blocks_websocket
from wsinspect.handshake.negotiation import accept_key

# -- checks


async def works(port, behaviour):
    """Whether a browser's socket opens and stays, as it does without a hop."""
    query = "?token=x" if behaviour == "needs-token" else ""
    big = {f"X-Big-{number}": "x" * 7000 for number in range(3)} if behaviour == "big" else {}
    with contextlib.suppress(WebSocketException, OSError, TimeoutError, EOFError):
        async with connect(
            f"ws://{LOOPBACK}:{port}/ws/{behaviour}{query}",
            origin=Origin(f"http://{LOOPBACK}:{port}"),
            additional_headers={"Cookie": "sid=1", **big},
            subprotocols=[Subprotocol("v1")] if behaviour == "v1" else None,
            ping_interval=None,
            proxy=None,
        ) as socket:
            if behaviour == "v1" and socket.subprotocol != "v1":
                return False
            if behaviour == "idle":
                await asyncio.sleep(2)
            await socket.send("hello")
            return await asyncio.wait_for(socket.recv(), 3) == "hello"
    return False


async def opens_like_firefox(hop):
    """Whether a handshake with `Connection: keep-alive, Upgrade` is accepted."""
    reader, writer = await asyncio.open_connection(LOOPBACK, hop.port)
    fields = {
        "Host": f"{LOOPBACK}:{hop.port}",
        "Upgrade": "websocket",
        "Connection": "keep-alive, Upgrade",
        "Sec-WebSocket-Key": "dGhlIHNhbXBsZSBub25jZQ==",
        "Sec-WebSocket-Version": "13",
    }
    lines = [f"{name}: {value}" for name, value in fields.items()]
    writer.write("\r\n".join(["GET /ws/echo HTTP/1.1", *lines, "", ""]).encode())
    answer = await asyncio.wait_for(reader.readline(), 5)
    writer.close()
    return b" 101 " in answer


async def several(hop, *, at_once, count=4):
    """Whether so many sockets open, one after the other or at once."""
    async with contextlib.AsyncExitStack() as held:
        for _ in range(count):
            try:
                socket = await connect(
                    f"ws://{LOOPBACK}:{hop.port}/ws/echo", ping_interval=None, proxy=None, open_timeout=3
                )
            except (WebSocketException, OSError, TimeoutError):
                return False
            if at_once:
                held.push_async_callback(socket.close)
            else:
                await socket.close()
    return True


async def survives(hop, *, number=signal.SIGHUP):
    """Whether an open socket lives on after a reload or a soft stop."""
    async with connect(f"ws://{LOOPBACK}:{hop.port}/ws/echo", ping_interval=None, proxy=None) as socket:
        await socket.send("before")
        await socket.recv()
        await asyncio.sleep(0.3)
        hop.process.send_signal(number)
        await asyncio.sleep(2.5)
        try:
            await socket.send("after")
            return await asyncio.wait_for(socket.recv(), 3) == "after"
        except (WebSocketException, TimeoutError):
            return False


async def survives_apache(hop):
    """The same of a restart of the first Apache, and of a graceful one of the second."""
    return await survives(hop, number=signal.SIGHUP if hop.folder.name == "hop-0" else signal.SIGUSR1)


async def _fetched(hop, path="/", cookie=""):
    """A response of the hop, whole."""
    reader, writer = await asyncio.open_connection(LOOPBACK, hop.port)
    fields = f"Host: {LOOPBACK}:{hop.port}\r\nConnection: close\r\n{cookie}"
    writer.write(f"GET {path} HTTP/1.1\r\n{fields}\r\n".encode())
    answer = await asyncio.wait_for(reader.read(), 5)
    writer.close()
    return answer


async def is_allowed_by_csp(hop):
    """Whether the page's policy lets it open the socket."""
    head, _, _ = (await _fetched(hop)).partition(b"\r\n\r\n")
    policies = [
        line.partition(b":")[2].strip().decode()
        for line in head.split(b"\r\n")
        if line.lower().startswith(b"content-security-policy:")
    ]
    assert policies, head
    return not any(blocks_websocket(one, "https://your.site:8443/", "wss://your.site/ws") for one in policies)


async def stays_with_its_server(hop):
    """Whether sockets reach the server that made their session."""
    for _ in range(3):
        answer = await _fetched(hop, "/session")
        session = answer.rpartition(b"\r\n\r\n")[2].decode().strip()
        cookies = "; ".join(found.decode() for found in re.findall(rb"(?i)\r\nset-cookie: ([^;\r]+)", answer))
        try:
            async with connect(
                f"ws://{LOOPBACK}:{hop.port}/ws/{session}",
                additional_headers={"Cookie": cookies} if cookies else None,
                proxy=None,
            ):
                pass
        except WebSocketException:
            return False
    return True


async def opens_polling(hop):
    try:
        async with connect(f"ws://{LOOPBACK}:{hop.port}/socket.io/", proxy=None):
            return True
    except WebSocketException:
        return False


# -- applications that a check needs


class Two(int):
    """The port of an application, with that of another one."""

    other: int


async def _picky(reader, writer):
    """A server that knows headers by one spelling alone."""
    with contextlib.suppress(asyncio.IncompleteReadError, ConnectionError):
        head = await reader.readuntil(b"\r\n\r\n")
        key = re.search(rb"\r\nSec-WebSocket-Key: (\S+)", head)
        if key is None:
            writer.write(b"HTTP/1.1 400 Bad Request\r\nContent-Length: 0\r\nConnection: close\r\n\r\n")
        else:
            lines = [b"HTTP/1.1 101 Switching Protocols", b"Upgrade: websocket", b"Connection: Upgrade"]
            lines.append(b"Sec-WebSocket-Accept: " + accept_key(key[1]))
            writer.write(b"\r\n".join([*lines, b"", b""]))
            await reader.read(14)
            writer.write(b"\x81\x05hello")
        await writer.drain()
        writer.close()


@contextlib.asynccontextmanager
async def picky_server(_):
    server = await asyncio.start_server(_picky, LOOPBACK, 0)
    async with server:
        yield server.sockets[0].getsockname()[1]


@contextlib.asynccontextmanager
async def two_with_sessions(_):
    """Two applications: `/session` makes a session, `/ws/<session>` is open to it alone."""

    def application_of(name):
        made: set[str] = set()

        def answer(connection, request):
            if request.path == "/session":
                made.add(f"{name}{len(made)}")
                return connection.respond(200, f"{name}{len(made) - 1}")
            if request.path.rpartition("/")[2] not in made:
                return connection.respond(404, "unknown session")
            return None

        return answer

    async with contextlib.AsyncExitStack() as running:
        ports = []
        for name in "ab":
            server = await running.enter_async_context(
                serve(echo, LOOPBACK, 0, process_request=application_of(name))
            )
            ports.append(next(iter(server.sockets)).getsockname()[1])
        first = Two(ports[0])
        first.other = ports[1]
        yield first


@contextlib.asynccontextmanager
async def not_behind(hop_header, _):
    """A server that trusts no hop: it refuses a request with this header."""

    def answer(connection, request):
        if hop_header in request.headers:
            return connection.respond(400, f"{hop_header} from an untrusted proxy")
        return None

    async with serve(echo, LOOPBACK, 0, process_request=answer) as server:
        yield next(iter(server.sockets)).getsockname()[1]


@contextlib.asynccontextmanager
async def matrix(folder):
    async with application(make_certificates(folder / "certificates").server_context()) as (app, _):
        yield app


@contextlib.asynccontextmanager
async def socketio(_):
    async with serve(echo, LOOPBACK, 0) as server:
        yield next(iter(server.sockets)).getsockname()[1]
