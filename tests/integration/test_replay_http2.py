"""Replay over HTTP/2 (RFC 8441): the recorded client, and the recorded server, each on its streams."""

import asyncio
import json

import pytest

from tests.support import warm
from tests.support.certs import make_certificates
from tests.support.chats import Chat, store
from tests.support.engine import private_environment
from tests.support.h1_peers import H1Origin
from tests.support.h2_lab import CLOSE, OFFERS, frame
from tests.support.h2_peers import ENABLE_CONNECT, H2Origin, h2_client
from tests.support.replay_lab import serving
from wsinspect.closing import abort
from wsinspect.handshake.negotiation import accept_key

REQUEST = (
    b":method: CONNECT\r\n:protocol: websocket\r\n:scheme: https\r\n:path: /room\r\n"
    b":authority: chat.example\r\nsec-websocket-version: 13\r\norigin: https://chat.example\r\n\r\n"
)
HELLO, WELCOME = b"hello", b"welcome"


@pytest.fixture(scope="module")
def certificates(tmp_path_factory):
    return make_certificates(tmp_path_factory.mktemp("certificates"))


@pytest.fixture
def recording(tmp_path):
    """One socket over HTTP/2: hello, welcome, and a proper close by the client."""
    script = Chat()
    script.begin(1, REQUEST, "/room", "HTTP/2.0")
    script.answer(1, b":status: 200\r\nserver: recorded\r\n\r\n")
    script.event(1, "open")
    script.client(1, HELLO)
    script.tick()
    script.server(1, WELCOME)
    script.tick()
    script.client(1, b"\x03\xe8", opcode=8)
    script.server(1, b"\x03\xe8", opcode=8)
    script.end(1, "server")
    return store(tmp_path / "recorded.db", script)


def replay(recording, *options):
    """`wsinspect replay`: its exit code, stdout and stderr."""
    said = recording.with_suffix(".stderr")
    with said.open("wb") as stderr:
        process = warm.start(
            ["replay", str(recording), *options],
            folder=recording.parent,
            environment=private_environment(recording.parent),
            stderr=stderr,
        )
    assert process.stdout is not None
    out = process.stdout.read()
    process.stdout.close()
    return process.wait(20), out, said.read_text()


async def replaying(recording, port):
    """The recorded client played to this port: exit code and report."""
    options = ("--to", f"wss://localhost:{port}", "--insecure", "--json")
    code, out, _ = await asyncio.to_thread(replay, recording, *options)
    return code, json.loads(out)


def test_the_recorded_client_over_http2(tmp_path, certificates, recording):
    async def play():
        async with H2Origin(certificates.server_context(), OFFERS) as origin:
            run = asyncio.create_task(replaying(recording, origin.port))
            server = await origin.accepted()
            theirs = await server.requested("/room")
            server.respond(theirs, ("server", "today"))
            stream = server.streams[theirs]
            await server.wait(lambda: len(stream.data) >= 6 + len(HELLO))
            server.send(theirs, frame(WELCOME))
            await server.wait(lambda: stream.data.count(b"\x88"))
            server.send(theirs, CLOSE, end=True)
            await server.has_ended(theirs)
            return *await run, stream

    code, report, stream = asyncio.run(play())
    assert code == 0, report
    assert report["equal"] is True
    fields = dict(stream.fields)
    assert (fields[":method"], fields[":protocol"], fields[":path"]) == ("CONNECT", "websocket", "/room")
    assert fields["origin"] == "https://chat.example"
    assert "sec-websocket-key" not in fields


def test_a_server_without_it_gets_http1_and_the_report_says_so(tmp_path, certificates, recording):
    async def play():
        async with H1Origin(certificates.server_context(), ["http/1.1"]) as origin:
            run = asyncio.create_task(replaying(recording, origin.port))
            server = await origin.accepted()
            head = await server.head()
            key = next(line for line in head.split("\r\n") if line.startswith("Sec-WebSocket-Key"))[19:]
            accept = accept_key(key.encode()).decode()
            server.send(
                *("HTTP/1.1 101 Switching Protocols", "Upgrade: websocket", "Connection: Upgrade"),
                f"Sec-WebSocket-Accept: {accept}",
                data=frame(WELCOME) + CLOSE,
            )
            server.writer.write_eof() if server.writer.can_write_eof() else server.writer.close()
            return await run

    _, report = asyncio.run(play())
    assert any("HTTP/1.1 is used" in note for note in report["connections"][0]["notes"])


def test_the_recorded_server_over_http2(tmp_path, certificates, recording):
    pem = tmp_path / "both.pem"
    pem.write_text(certificates.chain.read_text() + certificates.key.read_text())

    async def play(port):
        client = await h2_client(port)
        await client.wait(lambda: client.settings)
        unknown = client.connect("/nowhere")
        assert (await client.has_ended(unknown)).status == "404"
        mine = client.connect("/room")
        assert await client.answered(mine) == "200"
        client.send(mine, frame(HELLO, mask=b"abcd"))
        await client.wait(lambda: WELCOME in client.streams[mine].data)
        client.send(mine, frame(b"\x03\xe8", mask=b"abcd", opcode=0x88))
        await client.wait(lambda: client.streams[mine].data.endswith(CLOSE))
        await client.has_ended(mine)
        await client.close()
        abort(client.writer.transport)  # the server may be over already, and says no more
        await asyncio.sleep(0)
        return client.settings[0]

    with serving(recording, "--cert", str(pem)) as server:
        settings = asyncio.run(play(server.ready["port"]))
        code, events = server.finish()
    assert settings[ENABLE_CONNECT] == 1
    assert code == 0
    assert [one["event"] for one in events] == ["connection", "summary"]
    assert events[0]["messages"]["equal"] == 1


def test_a_certificate_that_cannot_be_used_is_one_line(recording):
    code, _, said = replay(recording, "--serve", "0", "--cert", str(recording))
    assert code == 3
    assert "cannot use" in said
    assert "Traceback" not in said
