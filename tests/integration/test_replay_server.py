"""The recorded server for real clients: gates, pace, ends, several connections, and its report."""

from __future__ import annotations

import asyncio
import json
import time

import pytest
import websockets
from websockets.typing import Subprotocol

from tests.support import warm
from tests.support.chats import RESPONSE, SECRET_REQUEST, Chat, chat_capture, store
from tests.support.engine import private_environment
from tests.support.journals import need
from tests.support.replay_lab import ASKS, ENGINE_PATH, asking, converse, engine_io, serving


def test_what_was_said_then_is_said_after_the_same_message(tmp_path):
    with serving(store(tmp_path / "a.db", asking())) as server:
        got = asyncio.run(converse(server.url + "/room?id=7", ASKS))
        code, events = server.finish()
    assert got == [text for number in range(3) for text in (f'{{"n":{number}}}', '{"push":1}')]
    assert code == 0
    assert [event["event"] for event in events] == ["connection", "summary"]
    assert events[0]["messages"]["equal"] == 3


def test_a_client_that_closes_before_a_recorded_ping_was_due_gets_the_recorded_answer(tmp_path):
    script = Chat()
    script.accept(1, SECRET_REQUEST, "/room?id=7")
    script.client(1, b"hello")
    script.server(1, b"welcome")
    script.tick(3_000)
    script.server(1, b"late", opcode=9)
    script.client(1, b"\x03\xe8bye", opcode=8)
    script.server(1, b"\x03\xe8so long", opcode=8)
    script.end(1, "server")

    async def talk(url, reason):
        async with websockets.connect(url) as client:
            await client.send("hello")
            assert await asyncio.wait_for(client.recv(), 20) == "welcome"
            await client.close(1000, reason)
            close = client.protocol.close_rcvd
            return close and close.reason

    with serving(store(tmp_path / "a.db", script), "--loop") as server:
        assert asyncio.run(talk(server.url + "/room?id=7", "bye")) == "so long"
        assert asyncio.run(talk(server.url + "/room?id=7", "another")) == ""


def test_nothing_is_said_before_its_message(tmp_path):
    async def wait(url):
        async with websockets.connect(url) as client:
            await client.send(ASKS[0])
            assert [await client.recv(), await client.recv()] == ['{"n":0}', '{"push":1}']
            with pytest.raises(TimeoutError):
                await asyncio.wait_for(client.recv(), 0.2)

    with serving(store(tmp_path / "a.db", asking()), "--speed", "max") as server:
        asyncio.run(wait(server.url + "/room"))
        code, events = server.finish()
    assert code == 1
    assert "recorded server messages were left" in events[-2]["problems"][0]


def test_other_values_open_the_gate_and_are_reported_live(tmp_path):
    with serving(store(tmp_path / "a.db", asking())) as server:
        got = asyncio.run(converse(server.url + "/room", [ASKS[0], '{"op":"get","n":77}', ASKS[2]]))
        code, events = server.finish()
    assert len(got) == 6
    assert code == 1
    assert [event["event"] for event in events] == ["divergence", "connection", "summary"]
    assert events[0]["verdict"] == "different"
    assert any("77" in line for line in events[0]["diff"])


@pytest.mark.parametrize(
    ("options", "says"),
    [
        (("--ignore", "json:$.n"), ['{"op":"get","n":5}'] * 3),
        (("--match", "subset"), [f'{{"op":"get","n":{number},"at":1}}' for number in range(3)]),
        (
            ("--gate", "1=regex:hel+o", "--gate", "4=any:", "--gate", '7=subset:{"x":1}'),
            ["hello", "?", '{"x":1,"y":2}'],
        ),
    ],
)
def test_gates_by_choice(tmp_path, options, says):
    with serving(store(tmp_path / "a.db", asking()), *options) as server:
        got = asyncio.run(converse(server.url + "/room", says))
        code, _ = server.finish()
    assert (code, len(got)) == (0, 6)


def test_exact_gates_stay_shut_for_anything_else(tmp_path):
    with serving(store(tmp_path / "a.db", asking(1)), "--match", "exact") as server:

        async def talk():
            async with websockets.connect(server.url + "/room") as client:
                await client.send('{"op":"get","n":99}')
                await client.send(ASKS[0])
                got = [await client.recv(), await client.recv()]
                await client.close(1000, "bye")
                return got

        assert len(asyncio.run(talk())) == 2
        code, events = server.finish()
    assert code == 1
    assert events[-2]["messages"] == {"equal": 1, "ignored": 0, "different": 0, "missing": 0, "extra": 1}


def test_any_order(tmp_path):
    script = Chat()
    script.accept(1)
    script.client(1, b"a")
    script.client(1, b"b")
    script.server(1, b"both")
    script.client(1, b"\x03\xe8bye", opcode=8)
    script.server(1, b"\x03\xe8bye", opcode=8)
    script.end(1, "server")
    path = store(tmp_path / "a.db", script)
    with serving(path, "--any-order", "--match", "exact") as server:

        async def talk():
            async with websockets.connect(server.url + "/room") as client:
                await client.send("b")
                await client.send("a")
                got = await client.recv()
                await client.close(1000, "bye")
                return got

        assert asyncio.run(talk()) == "both"
        assert server.finish()[0] == 0


def test_pauses_are_scaled(tmp_path):
    script = Chat()
    script.accept(1)
    for _ in range(3):
        script.tick(200)
        script.server(1, b"tick")
    script.client(1, b"\x03\xe8", opcode=8)
    script.end(1, "client")
    path = store(tmp_path / "a.db", script)
    took = {}
    for speed in ("1", "4", "max"):
        with serving(path, "--speed", speed) as server:
            started = time.monotonic()

            async def talk(url=server.url):
                async with websockets.connect(url + "/room") as client:
                    for _ in range(3):
                        await client.recv()
                    await client.close()

            asyncio.run(talk())
            took[speed] = time.monotonic() - started
            server.finish()
    assert took["1"] >= 0.6
    assert 0.15 <= took["4"] < took["1"]
    assert took["max"] < took["1"]


@pytest.mark.parametrize(("then", "wanted"), [("rst", 1006), ("fin", 1006), ("close", 1001)])
def test_up_to_a_frame_and_then_abort(tmp_path, then, wanted):
    async def talk(url):
        got = []
        async with websockets.connect(url) as client:
            try:
                for one in ASKS:
                    await client.send(one)
                    got += [await client.recv(), await client.recv()]
            except websockets.ConnectionClosed as closed:
                return got, closed.rcvd.code if closed.rcvd else 1006
        return got, None

    with serving(
        store(tmp_path / "a.db", asking()), "--until", "5", "--then", then, "--speed", "max"
    ) as server:
        got, code = asyncio.run(talk(server.url + "/room"))
        server.finish()
    assert got == ['{"n":0}', '{"push":1}']
    assert code == wanted


def test_several_connections_at_once_each_get_their_recording_and_loop_repeats(tmp_path):
    path = store(tmp_path / "a.db", asking(connections=2))

    async def both(url, count):
        return await asyncio.gather(*(converse(url, ASKS) for _ in range(count)))

    with serving(path) as server:
        assert [len(got) for got in asyncio.run(both(server.url + "/room", 2))] == [6, 6]
        code, events = server.finish()
        assert (code, events[-1]["played"]) == (0, 2)
    with serving(path, "--loop") as server:
        assert [len(got) for got in asyncio.run(both(server.url + "/room", 5))] == [6] * 5
        code, events = server.finish(stop=True)
        assert (code, events[-1]["played"]) == (0, 5)


def test_what_is_not_recorded_is_refused(tmp_path):
    with serving(chat_capture(tmp_path / "a.db")) as server:

        async def refused(path, **options):
            with pytest.raises(websockets.InvalidStatus) as caught:
                async with websockets.connect(server.url + path, **options):
                    pass
            return caught.value.response.status_code, bytes(caught.value.response.body)

        assert asyncio.run(refused("/other"))[0] == 404
        assert asyncio.run(refused("/room", origin="https://evil.example"))[0] == 403
        assert asyncio.run(refused("/admin")) == (403, b"no entry")
        server.finish(stop=True)


def test_pages_of_this_machine_and_of_the_recorded_host_are_let_in(tmp_path):
    path = store(tmp_path / "a.db", asking(1))
    for origin in ("http://localhost:5173", "https://chat.example", None):
        with serving(path) as server:
            assert len(asyncio.run(converse(server.url + "/room", ASKS[:1], origin=origin))) == 2
            assert server.finish()[0] == 0


def test_a_port_that_is_taken_is_exit_code_3(tmp_path):
    path = chat_capture(tmp_path / "a.db")
    with serving(path) as server:
        words = ["replay", str(path), "--serve", str(server.ready["port"])]
        done = warm.run(words, folder=tmp_path, environment=private_environment(tmp_path))
        server.finish(stop=True)
    assert done.returncode == 3
    assert done.stderr.count("\n") == 1


def test_socket_io_gets_new_session_ids_and_living_heartbeats(tmp_path):
    async def talk(url):
        async with websockets.connect(url + ENGINE_PATH) as client:
            opened = json.loads((await client.recv())[1:])
            await client.send("40")
            sid = json.loads((await client.recv())[2:])["sid"]
            pings = 0
            while pings < 3:
                assert await asyncio.wait_for(client.recv(), 20) == "2"
                await client.send("3")
                pings += 1
            await client.send(f'42["join",{{"me":"{sid}"}}]')
            while (joined := await client.recv()) == "2":
                pass
            await client.close(1000)
            return opened["sid"], sid, json.loads(joined[2:])[1]["you"]

    with serving(engine_io(tmp_path / "a.db")) as server:
        opened, sid, you = asyncio.run(talk(server.url))
        code, events = server.finish()
    assert opened not in ("recorded-sid", sid)
    assert you == sid != "recorded-ns-sid"
    assert (code, events[-2]["messages"]["equal"]) == (0, 2)


def test_the_response_is_the_recorded_one(tmp_path):
    script = Chat()
    response = RESPONSE[:-2] + b"Sec-WebSocket-Protocol: chat.v2\r\nX-Server: then\r\n\r\n"
    script.begin(1, SECRET_REQUEST, "/room")
    script.answer(1, response)
    script.event(1, "open")
    script.client(1, b"\x03\xe8", opcode=8)
    script.end(1, "client")
    path = store(tmp_path / "a.db", script)

    async def talk(url):
        offer = [Subprotocol("chat.v1"), Subprotocol("chat.v2")]
        async with websockets.connect(url, subprotocols=offer) as client:
            return client.subprotocol, need(client.response).headers

    with serving(path) as server:
        subprotocol, headers = asyncio.run(talk(server.url + "/room"))
        server.finish()
    assert subprotocol == "chat.v2"
    assert headers["X-Server"] == "then"
    assert "Set-Cookie" not in headers
