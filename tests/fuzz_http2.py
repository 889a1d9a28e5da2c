"""Peers that break HTTP/2, on either side of the proxy, while somebody else's WebSocket has to live on.

    python -m tests.fuzz_http2 --seconds 900 [--seed N] [--mode mirror|bridge|off]

A sound conversation (requests, WebSockets, bodies, resets, pings, settings) is cut into frames, and frames
are damaged: dropped, repeated, exchanged, floods of one kind, another stream, flags, type or length, noise in
the payload, HPACK that cannot be read. It is sent in pieces by the client, or as the server's answers, and
the connection is ended. The proxy has to end it too, log no crash, keep its memory bounded, and relay the
messages of a WebSocket on another connection all the time; afterwards `diagnose` has to read the capture. A
case is made of its number alone, so `--seed N` repeats it.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import random
import ssl
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Final

from h2.config import H2Configuration
from h2.connection import H2Connection
from h2.events import (
    ConnectionTerminated,
    DataReceived,
    Event,
    RequestReceived,
    StreamEnded,
    StreamReset,
)
from h2.exceptions import ProtocolError
from h2.settings import SettingCodes
from hpack import Encoder
from hyperframe.frame import (
    ContinuationFrame,
    DataFrame,
    Frame,
    GoAwayFrame,
    HeadersFrame,
    PingFrame,
    PriorityFrame,
    RstStreamFrame,
    SettingsFrame,
    WindowUpdateFrame,
)

from tests.support.certs import client_context, make_certificates
from tests.support.engine import Engine, wsinspect_json
from tests.support.h2_lab import HELLO, WORLD, frame
from tests.support.h2_peers import H2Peer, LastingConnection, h2_client
from tests.support.processes import resident_bytes
from wsinspect.closing import abort

#: How long the proxy may take to end a connection whose peer has ended it.
LIMIT_SECONDS: Final = 10.0
#: What the engine may keep of all of it.
LIMIT_BYTES: Final = 150 << 20
_PREFACE: Final = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"
_EVERY: Final = 25
_CONNECT: Final = (
    (":method", "CONNECT"),
    (":protocol", "websocket"),
    (":scheme", "https"),
    (":path", "/chat"),
    (":authority", "localhost"),
    ("sec-websocket-version", "13"),
)


def _get(path: str, method: str = "GET") -> tuple[tuple[str, str], ...]:
    return ((":method", method), (":scheme", "https"), (":path", path), (":authority", "localhost"))


def _flagged(one: Frame, *flags: str) -> bytes:
    for flag in flags:
        one.flags.add(flag)
    return bytes(one.serialize())


class Talk:
    """Frames of one side, each as bytes, with header blocks of one HPACK context."""

    def __init__(self, chance: random.Random) -> None:
        self._hpack = Encoder()
        self._chance = chance

    def headers(self, stream: int, fields: Sequence[tuple[str, str]], *, ends: bool = False) -> list[bytes]:
        """HEADERS, now and then with CONTINUATION behind it."""
        block = self._hpack.encode(list(fields))
        flags = ["END_STREAM"] if ends else []
        if self._chance.random() < 0.7:
            return [_flagged(HeadersFrame(stream, block), "END_HEADERS", *flags)]
        half = len(block) // 2
        return [
            _flagged(HeadersFrame(stream, block[:half]), *flags),
            _flagged(ContinuationFrame(stream, block[half:]), "END_HEADERS"),
        ]

    def data(self, stream: int, data: bytes, *, ends: bool = False) -> bytes:
        """DATA, now and then padded."""
        one = DataFrame(stream, data)
        flags = ["END_STREAM"] if ends else []
        if self._chance.random() < 0.2:
            one.pad_length = self._chance.randrange(100)
            flags.append("PADDED")
        return _flagged(one, *flags)


def client_frames(chance: random.Random) -> list[bytes]:
    """What a client says: two WebSockets, a body, and what belongs to the connection."""
    talk = Talk(chance)
    frames = [SettingsFrame(0, {4: chance.choice((0, 1, 65535, 1 << 20))}).serialize()]
    frames += talk.headers(1, _CONNECT)
    frames += [talk.data(1, HELLO)] * chance.randrange(4)
    frames += talk.headers(3, _get("/page"), ends=True)
    frames += talk.headers(5, _get("/up", "POST"))
    frames += [talk.data(5, b"x" * chance.choice((0, 1, 100, 16384)))] * chance.randrange(3)
    frames.append(talk.data(5, b"", ends=True))
    frames += talk.headers(7, _CONNECT)
    frames += [talk.data(7, frame(b"a" * 50, mask=b"abcd"))]
    frames.append(_flagged(SettingsFrame(0), "ACK"))
    frames.append(PingFrame(0, b"12345678").serialize())
    frames.append(WindowUpdateFrame(0, chance.choice((1, 1 << 16, (1 << 31) - 1))).serialize())
    frames.append(WindowUpdateFrame(1, chance.choice((1, 1 << 16, (1 << 31) - 1))).serialize())
    frames.append(PriorityFrame(9, depends_on=3, stream_weight=1).serialize())
    frames.append(RstStreamFrame(7, chance.choice((0, 8, 99))).serialize())
    frames.append(talk.data(1, frame(b"\x03\xe8", mask=b"abcd", opcode=0x88), ends=True))
    if chance.random() < 0.2:
        frames += talk.headers(5, [("x-trailer", "1")], ends=True)
    if chance.random() < 0.2:
        frames.insert(chance.randrange(len(frames)), GoAwayFrame(0, 0, 0, b"bye").serialize())
    return frames


def server_frames(chance: random.Random) -> list[bytes]:
    """What a server answers on streams 1 (a WebSocket), 3 (a page) and 5 (an upload)."""
    talk = Talk(chance)
    frames = [SettingsFrame(0, {8: 1, 3: chance.choice((1, 5, 100))}).serialize()]
    frames.append(_flagged(SettingsFrame(0), "ACK"))
    if chance.random() < 0.3:
        frames += talk.headers(1, [(":status", "103"), ("link", "</a>")])
    frames += talk.headers(1, [(":status", chance.choice(("200", "200", "200", "404", "101", "999")))])
    frames += [talk.data(1, WORLD)] * chance.randrange(5)
    frames += talk.headers(3, [(":status", "200"), ("content-type", "text/html"), ("alt-svc", 'h3=":1"')])
    frames += [talk.data(3, b"<p>" * chance.choice((1, 1000)))] * chance.randrange(3)
    frames.append(talk.data(3, b"", ends=True))
    frames.append(RstStreamFrame(5, chance.choice((0, 7, 13))).serialize())
    frames.append(PingFrame(0, b"87654321").serialize())
    frames.append(WindowUpdateFrame(0, 1 << 16).serialize())
    frames.append(SettingsFrame(0, {8: chance.randrange(2), 4: chance.choice((0, 100, 65535))}).serialize())
    frames.append(talk.data(1, frame(b"\x03\xe8", opcode=0x88), ends=True))
    if chance.random() < 0.3:
        frames.insert(chance.randrange(len(frames)), GoAwayFrame(0, 1, 11, b"calm").serialize())
    return frames


def damage(frames: list[bytes], chance: random.Random) -> str:
    """Change some of the frames; what was done."""
    done = []
    for _ in range(chance.choice((0, 1, 1, 2, 3, 8))):
        at = chance.randrange(len(frames))
        one = bytearray(frames[at])
        if len(one) < 9:
            continue  # it was cut
        kind = chance.choice(
            ("drop", "repeat", "swap", "stream", "flags", "type", "length", "noise", "cut", "flood", "new")
        )
        done.append(f"{kind} {at}")
        if kind == "drop" and len(frames) > 1:
            del frames[at]
        elif kind == "repeat":
            frames[at:at] = [frames[at]] * chance.choice((1, 3, 50))
        elif kind == "swap":
            other = chance.randrange(len(frames))
            frames[at], frames[other] = frames[other], frames[at]
        elif kind == "stream":
            number = chance.choice((0, 1, 2, 3, 5, 7, 9, 11, 101, (1 << 31) - 1))
            one[5:9] = number.to_bytes(4, "big")
        elif kind == "flags":
            one[4] = chance.randrange(256)
        elif kind == "type":
            one[3] = chance.choice((*range(11), 0xFF))
        elif kind == "length":
            one[0:3] = chance.choice((0, 1, len(one), 16385, (1 << 24) - 1)).to_bytes(3, "big")
        elif kind == "noise" and len(one) > 9:
            place = chance.randrange(9, len(one))
            one[place : place + 8] = chance.randbytes(min(8, len(one) - place))
        elif kind == "cut":
            del one[chance.randrange(len(one)) :]
        elif kind == "flood":
            frames[at:at] = [chance.choice(_FLOODS)(chance)] * chance.choice((100, 2000))
        elif kind == "new":
            frames.insert(at, chance.randbytes(chance.choice((9, 20, 200))))
        if kind in ("stream", "flags", "type", "length", "noise", "cut"):
            frames[at] = bytes(one)
    return ", ".join(done)


_FLOODS: Final[tuple[Callable[[random.Random], bytes], ...]] = (
    lambda _: PingFrame(0, b"12345678").serialize(),
    lambda chance: SettingsFrame(
        0, {chance.choice((1, 3, 4, 5, 8)): chance.choice((0, 1, 70000))}
    ).serialize(),
    lambda chance: DataFrame(chance.choice((1, 3, 5)), b"").serialize(),
    lambda chance: WindowUpdateFrame(chance.choice((0, 1, 3)), 1).serialize(),
    lambda chance: RstStreamFrame(chance.choice((1, 3, 5)), 8).serialize(),
    lambda chance: PriorityFrame(chance.choice((1, 9, 77)), depends_on=1, stream_weight=9).serialize(),
    lambda chance: ContinuationFrame(chance.choice((1, 3)), b"\x82").serialize(),
    lambda _: b"\0\0\4\xbe\0\0\0\0\0abcd",
)


class Attack:
    """One case."""

    def __init__(self, number: int) -> None:
        chance = random.Random(number)
        self.number = number
        self.by_client = chance.random() < 0.6
        frames = (client_frames if self.by_client else server_frames)(chance)
        self.done = f"{'client' if self.by_client else 'server'}: {damage(frames, chance)}"
        self.data = (_PREFACE if self.by_client else b"") + b"".join(frames)
        self.piece = chance.choice((1 << 20, 1 << 20, 1000, 100, 9))
        self.resets = chance.random() < 0.3

    async def say(self, writer: asyncio.StreamWriter) -> None:
        """Send it, and end the connection."""
        # In pieces of nine bytes a flood takes for ever.
        piece = max(self.piece, len(self.data) // 400)
        with contextlib.suppress(ConnectionError, ssl.SSLError):
            for at in range(0, len(self.data), piece):
                writer.write(self.data[at : at + piece])
                await asyncio.sleep(0)
            if not self.resets:
                await asyncio.wait_for(writer.drain(), LIMIT_SECONDS)
        end(writer, resets=self.resets)


def end(writer: asyncio.StreamWriter, *, resets: bool) -> None:
    """FIN or RST."""
    with contextlib.suppress(OSError):
        # TLS that has ended has no socket to ask for.
        is_over = writer.transport.is_closing()
        sock = writer.transport.get_extra_info("socket") if resets and not is_over else None
        if sock is not None:
            sock.setsockopt(1, 13, b"\x01\0\0\0\0\0\0\0")
            abort(writer.transport)
        else:
            writer.close()


class _Echo:
    """A server's side that answers everything and sends WebSockets' bytes back."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._reader, self._writer = reader, writer
        self._h2 = H2Connection(H2Configuration(client_side=False, validate_outbound_headers=False))
        self._h2.local_settings.update({SettingCodes.ENABLE_CONNECT_PROTOCOL: 1})
        self._h2.local_settings.acknowledge()

    async def run(self) -> None:
        """Until the connection ends, or breaks the protocol."""
        self._h2.initiate_connection()
        self._writer.write(self._h2.data_to_send())
        with contextlib.suppress(ConnectionError, ssl.SSLError, ProtocolError):
            while data := await self._reader.read(65536):
                for event in self._h2.receive_data(data):
                    self._take(event)
                self._writer.write(self._h2.data_to_send())
                await self._writer.drain()
        end(self._writer, resets=False)

    def _take(self, event: Event) -> None:
        stream = getattr(event, "stream_id", None) or 0
        # What came behind it in the same read may have ended the stream, or the connection.
        # A stream that h2 has forgotten by then is a KeyError.
        with contextlib.suppress(ProtocolError, KeyError):
            if isinstance(event, RequestReceived):
                is_page = dict(event.headers or ()).get(b":method") != b"CONNECT"
                self._h2.send_headers(stream, [(":status", "200")], end_stream=is_page)
            elif isinstance(event, DataReceived):
                self._h2.acknowledge_received_data(event.flow_controlled_length or 0, stream)
                self._h2.send_data(stream, event.data or b"")
            elif isinstance(event, StreamEnded):
                self._h2.end_stream(stream)


class Origin:
    """Answers, or attacks where an attack waits for the next connection."""

    def __init__(self, context: ssl.SSLContext) -> None:
        context.set_alpn_protocols(["h2"])
        self._context = context
        self._tasks: set[asyncio.Task[None]] = set()
        self.attack: Attack | None = None
        self.attacked = asyncio.Event()

    async def __aenter__(self) -> Origin:
        self._server = await asyncio.start_server(self._accept, "127.0.0.1", 0, ssl=self._context)
        self.port: int = self._server.sockets[0].getsockname()[1]
        return self

    async def __aexit__(self, *_: object) -> None:
        self._server.close()
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        attack, self.attack = self.attack, None
        task = asyncio.get_running_loop().create_task(
            _Echo(reader, writer).run() if attack is None else self._strike(attack, reader, writer)
        )
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _strike(
        self, attack: Attack, reader: asyncio.StreamReader, writer: asyncio.StreamWriter
    ) -> None:
        with contextlib.suppress(ConnectionError, ssl.SSLError, TimeoutError):
            # SETTINGS first, as servers do; the rest once a request has come.
            writer.write(SettingsFrame(0, {8: 1}).serialize())
            got = b""
            while len(got) < 150 and (data := await asyncio.wait_for(reader.read(65536), LIMIT_SECONDS)):
                got += data
            await attack.say(writer)
            while await reader.read(65536):
                pass
        end(writer, resets=False)


async def strike(attack: Attack, port: int) -> str | None:
    """The attack of a client; what went wrong."""
    context = client_context()
    context.set_alpn_protocols(["h2"])
    reader, writer = await asyncio.open_connection("127.0.0.1", port, ssl=context)
    said = asyncio.create_task(attack.say(writer))
    try:
        async with asyncio.timeout(LIMIT_SECONDS):
            while await reader.read(65536):
                pass
    except TimeoutError:
        return f"the connection has not ended after {LIMIT_SECONDS} s"
    except (ConnectionError, ssl.SSLError):
        pass
    finally:
        said.cancel()
        await asyncio.gather(said, return_exceptions=True)
        abort(writer.transport)
    return None


async def suffer(port: int) -> str | None:
    """A client whose server attacks; what went wrong for it."""
    context = client_context()
    context.set_alpn_protocols(["h2"])
    reader, writer = await asyncio.open_connection("127.0.0.1", port, ssl=context)
    h2 = LastingConnection(
        H2Configuration(client_side=True, validate_outbound_headers=False, validate_inbound_headers=False)
    )
    h2.initiate_connection()
    for stream, fields in ((1, _CONNECT), (3, _get("/page")), (5, _get("/up", "POST"))):
        h2.send_headers(stream, list(fields), end_stream=stream == 3)
    # Where another connection to the server has it, nobody attacks it.
    h2.send_data(1, HELLO, end_stream=True)
    h2.send_data(5, b"x" * 1000, end_stream=True)
    writer.write(h2.data_to_send())
    open_streams = {1, 3, 5}
    try:
        async with asyncio.timeout(LIMIT_SECONDS):
            while open_streams and (data := await reader.read(65536)):
                for event in h2.receive_data(data):
                    if isinstance(event, StreamEnded | StreamReset):
                        open_streams.discard(event.stream_id or 0)
                    elif isinstance(event, ConnectionTerminated):
                        open_streams = {one for one in open_streams if one <= (event.last_stream_id or 0)}
                    elif isinstance(event, DataReceived):
                        with contextlib.suppress(ProtocolError):
                            h2.acknowledge_received_data(event.flow_controlled_length or 0, event.stream_id)
                writer.write(h2.data_to_send())
    except TimeoutError:
        return f"streams {sorted(open_streams)} have not ended after {LIMIT_SECONDS} s"
    except ProtocolError as error:
        return f"the client was sent what is not HTTP/2: {error!r}"
    except (ConnectionError, ssl.SSLError):
        pass
    finally:
        abort(writer.transport)
    return None


class Witness:
    """Somebody's WebSocket on another connection; it has to live."""

    def __init__(self, client: H2Peer) -> None:
        self._client = client
        self._sent = 0

    async def open(self) -> None:
        await self._client.wait(lambda: self._client.settings)
        self._stream = self._client.connect("/witness")
        await self._client.answered(self._stream)

    async def lives(self) -> str | None:
        """Whether a message comes back; what went wrong."""
        self._sent += len(HELLO)
        try:
            self._client.send(self._stream, HELLO)
            await self._client.wait(lambda: len(self._client.streams[self._stream].data) == self._sent)
        except (TimeoutError, ProtocolError, AssertionError) as error:
            return f"the WebSocket of another client died: {error!r}"
        return None

    async def close(self) -> None:
        await self._client.close()
        abort(self._client.writer.transport)
        await asyncio.sleep(0)


async def play(folder: Path, seconds: float, first: int, mode: str) -> list[str]:
    """Cases one after the other, for so long; what failed."""
    failures: list[str] = []

    def fail(line: str) -> None:
        print(line, flush=True)
        failures.append(line)

    certificates = make_certificates(folder / "certificates")
    count = done = 0
    async with Origin(certificates.server_context()) as origin:
        tap = f"main=127.0.0.1:0=https://127.0.0.1:{origin.port}"
        options = ("--insecure", "--http2-websocket", mode, "--tap", tap)
        engine = await asyncio.to_thread(lambda: Engine.start(*options, folder=folder / "engine"))
        witness = None if mode == "off" else Witness(await h2_client(engine.port("main")))
        try:
            if witness is not None:
                await witness.open()
            before = resident_bytes(engine.pid)
            until = time.monotonic() + seconds
            while time.monotonic() < until or not count:
                attack = Attack(first + count)
                if attack.by_client:
                    problem = await strike(attack, engine.port("main"))
                else:
                    origin.attack = attack
                    problem = await suffer(engine.port("main"))
                    origin.attack = None
                count += 1
                if problem is None and witness is not None and not count % _EVERY:
                    problem = await witness.lives()
                grown = resident_bytes(engine.pid) - before
                if grown > LIMIT_BYTES:
                    problem = problem or f"the engine has grown by {grown >> 20} MiB"
                said = engine.stderr[done:]
                done += len(said)
                if any(word in said for word in ("Traceback", "crashed", "internal error")):
                    problem = f"{problem or ''} {said[-2000:]}"
                if problem:
                    fail(f"case {attack.number} ({attack.done}): {problem}")
                    if witness is not None and "died" in problem:
                        break
            print(f"memory: {(resident_bytes(engine.pid) - before) >> 20} MiB more after {count} cases")
        finally:
            if witness is not None:
                await witness.close()
            code = await asyncio.to_thread(engine.stop)
    if code:
        fail(f"the engine ended with {code}: {engine.stderr[-500:]}")
    # Thousands of attempts, each with its findings.
    found, said = wsinspect_json(folder, "diagnose", engine.capture, timeout=60.0 + count / 10)
    if found not in (0, 1):
        fail(f"diagnose ended with {found}: {said}")
    print(f"{count} broken conversations in mode {mode}, {len(failures)} failures", flush=True)
    return failures


def fuzz(seconds: float, first: int, mode: str = "mirror") -> list[str]:
    """The same in a folder of its own."""
    with tempfile.TemporaryDirectory(prefix="wsinspect-fuzz-") as name:
        return asyncio.run(play(Path(name), seconds, first, mode))


def main() -> int:
    """Run it from the command line."""
    parser = argparse.ArgumentParser(prog="python -m tests.fuzz_http2", description=__doc__)
    parser.add_argument("--seconds", type=float, default=60.0, help="how long (60)")
    parser.add_argument("--seed", type=int, default=None, help="the number of the first case")
    parser.add_argument("--mode", choices=["mirror", "bridge", "off"], default="mirror")
    options = parser.parse_args()
    first = options.seed if options.seed is not None else random.SystemRandom().randrange(1 << 31)
    return 1 if fuzz(options.seconds, first, options.mode) else 0


if __name__ == "__main__":
    sys.exit(main())
