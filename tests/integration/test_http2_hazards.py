"""What a peer can do to an HTTP/2 connection through us: memory stays bounded, other streams live."""

import asyncio
import socket

import pytest
from hyperframe.frame import (
    AltSvcFrame,
    ContinuationFrame,
    DataFrame,
    GoAwayFrame,
    HeadersFrame,
    PingFrame,
    PriorityFrame,
    RstStreamFrame,
    SettingsFrame,
    WindowUpdateFrame,
)

from tests.fuzz_http2 import fuzz
from tests.support.certs import make_certificates
from tests.support.h2_lab import HELLO, OFFERS, WORLD, frame, h2_lab, rows
from tests.support.h2_peers import ENABLE_CONNECT
from tests.support.processes import resident_bytes
from tests.support.sandwich_lab import afterwards, stored

GET = [(":method", "GET"), (":scheme", "https"), (":authority", "localhost")]


@pytest.fixture(scope="module")
def certificates(tmp_path_factory):
    return make_certificates(tmp_path_factory.mktemp("certificates"))


def test_streams_that_are_reset_at_once_leave_others_alive(tmp_path, certificates):
    """Rapid reset (CVE-2023-44487), also beyond what the origin allows at once."""

    async def play():
        async with h2_lab(tmp_path, certificates, settings={8: 1, 3: 5}) as place:
            client, server = await place.connect()
            mine, theirs = await client.opened("/chat", server)
            for number in range(600):
                stream = client.request([*GET, (":path", f"/{number}")], end=True)
                client.reset(stream, 8)
                await asyncio.sleep(0)
            client.send(mine, HELLO)
            await server.has(theirs, HELLO)
            last = client.request([*GET, (":path", "/last")], end=True)
            server.respond(await server.requested("/last"), end=True)
            assert await client.answered(last) == "200"
            server.send(theirs, WORLD)
            await client.has(mine, WORLD)

    asyncio.run(play())


def test_streams_that_the_server_resets_at_once_leave_others_alive(tmp_path, certificates):
    async def play():
        async with h2_lab(tmp_path, certificates) as place:
            client, server = await place.connect()
            mine, theirs = await client.opened("/chat", server)
            for number in range(200):
                stream = client.request([*GET, (":path", f"/{number}")], end=True)
                server.reset(await server.requested(f"/{number}"), 8)
                assert await client.was_reset(stream) == 8
            client.send(mine, HELLO)
            await server.has(theirs, HELLO)
            server.send(theirs, WORLD)
            await client.has(mine, WORLD)

    asyncio.run(play())


@pytest.mark.parametrize("flood", ["continuation", "headers"])
def test_header_blocks_without_end_end_the_clients_connection_alone(tmp_path, certificates, flood):
    async def play():
        async with h2_lab(tmp_path, certificates) as place:
            other, server = await place.connect()
            mine, theirs = await other.opened("/chat", server)
            client, _ = await place.connect()
            await client.wait(lambda: client.settings)
            head = HeadersFrame(1, b"")
            client.send_frame(head)
            piece = (
                b"\x00"
                if flood == "continuation"
                else b"\x40\x0a" + b"x" * 10 + b"\x7f\x81\x7e" + b"y" * 16384
            )
            for _ in range(100):
                client.send_frame(ContinuationFrame(1, piece[:16384]))
            await client.wait(lambda: client.goaways or client.ended)
            other.send(mine, HELLO)
            await server.has(theirs, HELLO)

    asyncio.run(play())


@pytest.mark.slow
@pytest.mark.timeout(300)
@pytest.mark.parametrize(("kind", "has_chat"), [(PingFrame, True), (SettingsFrame, False)])
def test_a_client_that_takes_no_answers_is_not_read(tmp_path, certificates, kind, has_chat):
    """With an open WebSocket its reads go past the layers, which wait for slow receivers."""

    async def play():
        async with h2_lab(tmp_path, certificates) as place:
            other, server = await place.connect()
            mine, theirs = await other.opened("/chat", server)
            client, its_server = await place.connect()
            await client.wait(lambda: client.settings)
            if has_chat:
                await client.opened("/its", its_server)
            client.writer.transport.pause_reading()
            sock = client.writer.get_extra_info("socket")
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
            one = kind(0, b"12345678") if kind is PingFrame else kind(0)
            before = resident_bytes(place.run.pid)
            flood = one.serialize() * 10_000
            sent = 0
            while sent < 40 << 20:
                client.writer.write(flood)
                sent += len(flood)
                try:
                    await asyncio.wait_for(client.writer.drain(), 20)
                except TimeoutError:
                    break
            assert sent < 40 << 20
            assert resident_bytes(place.run.pid) - before < 60 << 20
            other.send(mine, HELLO)
            await server.has(theirs, HELLO)

    asyncio.run(play())


@pytest.mark.parametrize("sender", ["client", "server"])
@pytest.mark.parametrize("end", ["END_STREAM", "FIN", "RST_STREAM"])
def test_messages_among_tiny_frames_arrive_whole_before_the_end(tmp_path, certificates, sender, end):
    """Each read is handled in portions, and what comes behind waits."""

    async def play():
        async with h2_lab(tmp_path, certificates) as place:
            client, server = await place.connect()
            mine, theirs = await client.opened("/chat", server)
            if sender == "client":
                source, stream, sink, there = client, mine, server, theirs
            else:
                source, stream, sink, there = server, theirs, client, mine
            mask = b"\1\2\3\4" if sender == "client" else None
            tiny = [PriorityFrame(1001), WindowUpdateFrame(0, window_increment=1)]
            if end != "FIN":
                # Who has closed and is answered ends with a RST, which takes with it what was not read.
                tiny.append(PingFrame(0, b"12345678"))
            noise = b"".join(one.serialize() for one in tiny) + DataFrame(stream).serialize()
            messages = [frame(b"%d" % number, mask=mask) for number in range(3000)]
            for message in messages:
                source.writer.write(noise + DataFrame(stream, message).serialize())
            if end == "END_STREAM":
                source.send_raw(stream, b"", end=True)
            elif end == "RST_STREAM":
                source.send_frame(RstStreamFrame(stream, 8))
            else:
                source.writer.close()
            await sink.has(there, b"".join(messages))
            if end == "RST_STREAM":
                assert await sink.was_reset(there) == 8
            elif end == "END_STREAM":
                await sink.has_ended(there)
            else:
                await sink.wait(lambda: sink.ended or sink.streams[there].has_ended)
        return place.run

    run = asyncio.run(play())
    direction = {"client": "c2s", "server": "s2c"}[sender]
    assert rows(run, f"SELECT {direction}_frames FROM connection") == [(3000,)]


MORE = b"x" * 200
#: Frames of a server that no window holds back, and that are passed on, by the stream of a request. Each has
#: some size, for it is bytes that could pile up; what many small ones cost is another question.
PASSED_ON = {
    "103": lambda stream: HeadersFrame(
        stream, b"\x08\x03103\x00\x04link\x7f\x49" + MORE, flags=["END_HEADERS"]
    ).serialize(),
    "ALTSVC": lambda _: AltSvcFrame(0, b"https://localhost", b'h3=":443"; a=' + MORE).serialize(),
    "GOAWAY": lambda _: GoAwayFrame(0, (1 << 31) - 1, 0, MORE).serialize(),
}


@pytest.mark.slow
@pytest.mark.timeout(300)  # what fills the buffers of two kernels is 30,000 frames of each kind
def test_a_server_whose_client_takes_nothing_is_not_read(tmp_path, certificates):
    async def attack(place, name, flood):
        client, server = await place.connect()
        await client.wait(lambda: client.settings)
        client.request([*GET, (":path", f"/{name}")], end=True)
        stream = await server.requested(f"/{name}")
        client.writer.transport.pause_reading()
        sock = client.writer.get_extra_info("socket")
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        return client, server, flood(stream) * 100

    async def until_blocked(_, server, block):
        for sent in range(0, 40 << 20, len(block)):
            server.writer.write(block)
            try:
                await asyncio.wait_for(server.writer.drain(), 20)
            except TimeoutError:
                return sent
        raise AssertionError("all was read")

    async def play():
        async with h2_lab(tmp_path, certificates) as place:
            other, its_server = await place.connect()
            mine, theirs = await other.opened("/chat", its_server)
            attacks = [await attack(place, name, flood) for name, flood in PASSED_ON.items()]
            before = resident_bytes(place.run.pid)
            await asyncio.gather(*(until_blocked(*one) for one in attacks))
            assert resident_bytes(place.run.pid) - before < 60 << 20
            other.send(mine, HELLO)
            await its_server.has(theirs, HELLO)
            for client, server, _ in attacks:
                client.abort()
                server.abort()

    asyncio.run(play())


def about_http2(run):
    """The findings about HTTP/2 in the capture, which are those of `diagnose`."""
    found = stored(run.capture)
    assert found == afterwards(run.capture)
    return sorted((rule, number) for rule, number in found if rule.startswith("WS-H2"))


def test_who_breaks_http2_is_named(tmp_path, certificates):
    async def play():
        async with h2_lab(tmp_path, certificates) as place:
            client, server = await place.connect()
            mine, theirs = await client.opened("/chat", server)
            client.send(mine, HELLO)
            await server.has(theirs, HELLO)
            client.send_frame(ContinuationFrame(mine, b"x"))
            await client.wait(lambda: client.ended)
            place.run.wait_for_event("close")
            idle, _ = await place.connect()
            await idle.wait(lambda: idle.settings)
            idle.send_frame(ContinuationFrame(1, b"x"))
            await idle.wait(lambda: idle.ended)
            _, broken = await place.connect()
            broken.send_frame(ContinuationFrame(1, b"x"))
            await broken.wait(lambda: broken.ended)
        return place.run

    run = asyncio.run(play())
    assert about_http2(run) == [("WS-H2-010", 1), ("WS-H2-011", None)]
    told = [one["title"] for one in run.events if one["event"] == "finding" and one["id"] == "WS-H2-011"]
    assert {title.split()[1] for title in told} == {"client", "server"}


def test_floods_and_an_offer_that_is_taken_back_are_named(tmp_path, certificates):
    async def play():
        async with h2_lab(tmp_path, certificates, settings={**OFFERS, 3: 5}) as place:
            client, server = await place.connect()
            mine, theirs = await client.opened("/chat", server)
            client.writer.write(PingFrame(0, b"12345678").serialize() * 5000)
            server.writer.write(SettingsFrame(0, {4: 65535}).serialize() * 5000)
            server.change_settings({ENABLE_CONNECT: 0})
            await client.wait(lambda: client.settings[-1].get(ENABLE_CONNECT) == 0)
            client.send(mine, HELLO)
            await server.has(theirs, HELLO)
            server.send(theirs, WORLD)
            await client.has(mine, WORLD)
        return place.run

    run = asyncio.run(play())
    kinds = [rule for rule, _ in about_http2(run)]
    assert "WS-H2-012" in kinds
    assert "WS-H2-013" in kinds


@pytest.mark.slow
@pytest.mark.parametrize("mode", ["mirror", "bridge", "off"])
def test_broken_conversations_end_and_nobody_elses_does(mode):
    assert fuzz(2.0, 1, mode) == []
