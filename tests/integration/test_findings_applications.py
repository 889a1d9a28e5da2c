"""SignalR, Action Cable, Phoenix, STOMP and MQTT with their real frames: exact findings, none where healthy.

The servers are small ones of ours; what takes half a minute in life takes a second here, and the capture's
clock is stretched.
"""

import asyncio
import base64
import contextlib
import json
import re
import time

import pytest
from websockets.asyncio.client import connect
from websockets.asyncio.server import serve
from websockets.exceptions import WebSocketException

from tests.support.finding_lab import by_path, factor_for, found_in, in_time, record, record_port, stretched
from tests.support.hop_taps import attempts, nginx_hop, record_around
from tests.support.hops import LOOPBACK
from tests.support.sandwich_lab import afterwards, stored, told
from wsinspect.handshake.negotiation import accept_key

END = "\x1e"
CABLE = ["actioncable-v1-json", "actioncable-unsupported"]


def path_of(socket):
    return socket.request.path.partition("?")[0] if socket.request else ""


async def signalr(socket, path):
    hello = await socket.recv()
    if not hello.endswith(END):
        await asyncio.sleep(0.5)  # its handshake timeout, 15 s in life
        socket.transport.close()
        return
    if json.loads(hello[:-1])["protocol"] != "json":
        await socket.send(json.dumps({"error": "The protocol 'xml' is not supported."}) + END)
        await socket.close(1000)
        return
    await socket.send("{}" + END)
    if path.endswith("/raises"):
        await socket.send(json.dumps({"type": 7, "error": "Connection closed with an error."}) + END)
        await socket.close(1000)
        return
    if not path.endswith("/mute"):
        await socket.send(json.dumps({"type": 6}) + END)
    await socket.wait_closed()


async def cable(socket, path):
    if path.endswith("/refused"):
        await socket.send(json.dumps({"type": "disconnect", "reason": "unauthorized", "reconnect": False}))
        await socket.close(1000)
        return
    await socket.send(json.dumps({"type": "welcome"}))
    await socket.recv()
    await socket.send(json.dumps({"identifier": "{}", "type": "confirm_subscription"}))
    if path.endswith("/restart"):
        again = {"type": "disconnect", "reason": "server_restart", "reconnect": True}
        await socket.send(json.dumps(again))
        await socket.close(1000)
        return
    await socket.send(json.dumps({"type": "ping", "message": 1}))
    await socket.wait_closed()


async def phoenix(socket, path):
    join = json.loads(await socket.recv())
    status = "error" if path.startswith("/join-refused") else "ok"
    reply = {"status": status, "response": {"reason": "unauthorized"} if status == "error" else {}}
    await socket.send(json.dumps([join[0], join[1], join[2], "phx_reply", reply]))
    if path.startswith("/no-heartbeat"):
        await asyncio.sleep(1.5)  # 60 s in life; Cowboy then closes with 1000
        await socket.close(1000)
        return
    with contextlib.suppress(WebSocketException):
        async for text in socket:
            ref = json.loads(text)[1]
            answer = [None, ref, "phoenix", "phx_reply", {"status": "ok", "response": {}}]
            await socket.send(json.dumps(answer))


async def stomp(socket, path):
    await socket.recv()
    beat = "10000,10000" if path.endswith("/beating") else "0,0"
    await socket.send(f"CONNECTED\nversion:1.2\nheart-beat:{beat}\n\n\0")
    if path.endswith("/cut"):
        await asyncio.sleep(1.5)  # a hop's 60 s
        socket.transport.close()
        return
    await socket.wait_closed()


async def mqtt(socket, path):
    if socket.subprotocol != "mqtt":
        await socket.recv()
        socket.transport.close()
        return
    await socket.recv()
    await socket.send(b"\x20\x02\x00\x00")
    if path.endswith("/silent"):
        await asyncio.sleep(1.5)  # one and a half times its keep alive of a second
        socket.transport.close()
        return
    await socket.wait_closed()


async def late(socket, path):
    if path.endswith("/token"):
        await socket.recv()
        await socket.close(4401, "token expired")
        return
    await socket.wait_closed()


FAMILIES = {
    "chatHub": signalr,
    "cable": cable,
    "socket": phoenix,
    "join-refused": phoenix,
    "no-heartbeat": phoenix,
    "stomp": stomp,
    "mqtt": mqtt,
    "late": late,
}


def choose(socket, offered):
    return next((name for name in offered if name in ("mqtt", CABLE[0])), None)


async def application(socket):
    path = path_of(socket)
    with contextlib.suppress(WebSocketException):
        await FAMILIES[path.split("/")[1]](socket, path)


def answer(connection, request):
    path = request.path
    if path.startswith("/chatHub/lost"):
        return connection.respond(404, "No Connection with that ID")
    if path.startswith("/mqtt/wants") and "Sec-WebSocket-Protocol" not in request.headers:
        return connection.respond(400, "")
    if path == "/cable" and request.headers.get("Origin") != "https://app.test":
        return connection.respond(404, "Page not found")
    if path.startswith("/jwt"):
        return connection.respond(401, "token is not valid")
    return None


async def say(url, *messages, subprotocols=None, waits=False, heard=1, quiet=0.0, breaks=False, origin=None):
    """A client: messages, some answers, then a proper close, or the end by the other side."""
    with contextlib.suppress(WebSocketException, OSError, TimeoutError):
        async with connect(
            url, subprotocols=subprotocols, ping_interval=None, proxy=None, origin=origin
        ) as socket:
            for message in messages:
                await socket.send(message)
            for _ in range(heard):
                await asyncio.wait_for(socket.recv(), 20)
            if waits:
                await asyncio.wait_for(socket.wait_closed(), 20)
            await asyncio.sleep(quiet)
            if breaks:
                socket.transport.abort()


HELLO = json.dumps({"protocol": "json", "version": 1}) + END
JOIN = json.dumps(["1", "1", "room:1", "phx_join", {}])
BEAT = json.dumps([None, "2", "phoenix", "heartbeat", {}])
SUBSCRIBE = json.dumps({"command": "subscribe", "identifier": "{}"})
STOMP = "CONNECT\naccept-version:1.2\nheart-beat:%s\n\n\0"


def mqtt_connect(keep_alive):
    return b"\x10\x0d\x00\x04MQTT\x04\x02" + keep_alive.to_bytes(2, "big") + b"\x00\x01a"


def token(expires):
    claims = base64.urlsafe_b64encode(json.dumps({"exp": expires}).encode()).decode().rstrip("=")
    return f"eyJhbGciOiJIUzI1NiJ9.{claims}.c2ln"


async def talk(base):
    """At the speed of life."""
    now = int(time.time())
    await asyncio.gather(
        say(f"{base}/chatHub/good?id=1", HELLO, heard=2),
        say(f"{base}/chatHub/lost?id=gone", HELLO),
        say(f"{base}/chatHub/xml?id=2", HELLO.replace("json", "xml"), waits=True),
        say(f"{base}/chatHub/raises?id=3", HELLO, waits=True, heard=2),
        say(f"{base}/cable", subprotocols=CABLE, origin="https://other.test"),
        say(f"{base}/cable/good", SUBSCRIBE, subprotocols=CABLE, heard=3),
        say(f"{base}/cable/refused", SUBSCRIBE, subprotocols=CABLE, waits=True),
        say(f"{base}/cable/restart", SUBSCRIBE, subprotocols=CABLE, waits=True, heard=3),
        say(f"{base}/socket/websocket?vsn=2.0.0", JOIN, BEAT, heard=2),
        say(f"{base}/join-refused/websocket?vsn=2.0.0", JOIN),
        say(f"{base}/stomp/good", STOMP % "10000,10000"),
        say(f"{base}/mqtt/good", mqtt_connect(60), subprotocols=["mqtt"]),
        say(f"{base}/mqtt/wants/mqtt"),
        say(f"{base}/mqtt/closes", mqtt_connect(60)),
        say(f"{base}/late/token", json.dumps({"type": "auth", "token": "secret-token"}), heard=0, waits=True),
        say(f"{base}/jwt/stale?token={token(now - 60)}"),
        say(f"{base}/jwt/fresh?token={token(now + 3600)}"),
    )


EXPECTED = {
    "/chatHub/good": [],
    "/chatHub/lost": ["WS-APP-020"],
    "/chatHub/xml": ["WS-APP-021"],
    "/chatHub/raises": ["WS-APP-023"],
    "/cable": ["WS-HS-011"],
    "/cable/good": [],
    "/cable/refused": ["WS-APP-030"],
    "/cable/restart": [],
    "/socket/websocket": [],
    "/join-refused/websocket": ["WS-APP-040"],
    "/stomp/good": [],
    "/mqtt/good": [],
    "/mqtt/wants/mqtt": ["WS-APP-060"],
    "/mqtt/closes": ["WS-APP-061"],
    "/late/token": ["WS-APP-070"],
    "/jwt/stale": ["WS-HS-040"],
    "/jwt/fresh": ["WS-HS-009"],
}


def test_application_protocols(tmp_path):
    capture = asyncio.run(
        record(tmp_path, application, talk, process_request=answer, select_subprotocol=choose)
    )
    assert by_path(capture) == EXPECTED
    told = {one.id: one for one in found_in(capture)}
    assert told["WS-APP-030"].fixes[0].for_ == "general"
    assert told["WS-HS-011"].fixes[-1].text.startswith("Put the page's origin")
    assert told["WS-HS-011"].causes[0].cause.startswith("Action Cable answers 404 for an Origin")
    text = repr([one.as_json() for one in told.values()])
    assert "secret-token" not in text
    assert token(0).split(".")[2] not in text


@pytest.mark.lab
def test_application_protocols_before_and_behind_nginx(tmp_path):
    """The same with a tap on either side of a real hop: each attempt is said once, and never of the hop."""

    async def play():
        async with serve(
            application,
            LOOPBACK,
            0,
            process_request=answer,
            select_subprotocol=choose,
            ping_interval=None,
        ) as server:
            app = next(iter(server.sockets)).getsockname()[1]
            return await record_around(tmp_path, nginx_hop, app, lambda port: talk(f"ws://{LOOPBACK}:{port}"))

    engine = asyncio.run(play())
    assert told(engine.events) == stored(engine.capture) == afterwards(engine.capture)
    seen = {one.path.partition("?")[0]: one for one in attempts(engine.capture)}
    assert {path: sorted(one.id for one in seen[path].all) for path in seen} == EXPECTED
    assert {path: sorted(one.id for one in seen[path].one) for path in seen} == EXPECTED


async def slowly(base):
    """What takes long in life; a second here is 40."""
    await asyncio.gather(
        say(f"{base}/chatHub/no-separator?id=4", HELLO.rstrip(END), waits=True, heard=0),
        say(f"{base}/chatHub/mute?id=5", HELLO, quiet=0.77, breaks=True),
        say(f"{base}/chatHub/patient?id=6", HELLO, heard=2, quiet=0.4),
        say(f"{base}/cable/stale", SUBSCRIBE, subprotocols=CABLE, heard=3, quiet=0.3),
        say(f"{base}/cable/lively", SUBSCRIBE, subprotocols=CABLE, heard=3),
        say(f"{base}/no-heartbeat/websocket", JOIN, waits=True),
        say(f"{base}/socket/websocket", JOIN, BEAT, heard=2),
        say(f"{base}/stomp/cut", STOMP % "0,0", waits=True),
        say(f"{base}/stomp/short", STOMP % "0,0"),
        say(f"{base}/mqtt/silent", mqtt_connect(40), subprotocols=["mqtt"], waits=True),
        say(f"{base}/mqtt/left", mqtt_connect(40), subprotocols=["mqtt"], quiet=1.0),
    )


@pytest.mark.slow
def test_application_protocols_that_go_silent(tmp_path):
    capture = asyncio.run(record(tmp_path, application, slowly, select_subprotocol=choose))
    factor = factor_for(capture, "/no-heartbeat/websocket", 60.7)
    assert by_path(stretched(capture, factor)) == {
        "/chatHub/no-separator": ["WS-APP-021"],
        "/chatHub/mute": ["WS-APP-022"],
        "/chatHub/patient": [],
        "/cable/stale": ["WS-APP-031"],
        "/cable/lively": [],
        "/no-heartbeat/websocket": ["WS-APP-041"],
        "/socket/websocket": [],
        "/stomp/cut": ["WS-APP-050", "WS-DROP-002"],
        "/stomp/short": [],
        "/mqtt/silent": ["WS-APP-062"],
        "/mqtt/left": [],
    }


@pytest.mark.slow
def test_messages_that_come_with_the_101_and_are_never_answered(tmp_path):
    async def eager(reader, writer):
        """Answer and first message in one write: between two a busy machine may take its time."""
        head = await reader.readuntil(b"\r\n\r\n")
        (key,) = re.findall(rb"(?i)sec-websocket-key: *(\S+)", head)
        writer.write(
            b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
            b"Sec-WebSocket-Accept: " + accept_key(key) + b"\r\n\r\n\x81\x07welcome"
        )
        with contextlib.suppress(ConnectionError):
            while await reader.read(4096):
                pass
        writer.close()

    async def wait(base):
        await asyncio.gather(
            say(base + "/handlers-too-late", heard=1, quiet=5.6, breaks=True),
            say(base + "/answers", "hello", "thanks", heard=1, quiet=5.6, breaks=True),
        )

    async def play(folder):
        async with await asyncio.start_server(eager, LOOPBACK, 0) as server:
            return await record_port(folder, server.sockets[0].getsockname()[1], wait)

    found = by_path(in_time(tmp_path, lambda folder: asyncio.run(play(folder))))
    assert found == {"/handlers-too-late": ["WS-APP-080", "WS-DROP-007"], "/answers": ["WS-DROP-007"]}
