"""A recording of Engine.IO played by long-polling: sessions, the upgrade, who may ask, what is refused."""

from __future__ import annotations

import asyncio
import http.client
import json
import threading

import pytest
import websockets

from tests.support.replay_lab import ENGINE_PATH, engine_io, serving

POLL = "/socket.io/?EIO=4&transport=polling"


def ask(server, method: str, path: str, body: str | None = None, **headers: str) -> tuple[int, str, dict]:
    connection = http.client.HTTPConnection("127.0.0.1", server.ready["port"], timeout=20)
    try:
        connection.request(
            method, path, body, {name.replace("_", "-"): value for name, value in headers.items()}
        )
        response = connection.getresponse()
        return response.status, response.read().decode(), dict(response.getheaders())
    finally:
        connection.close()


def opened(server) -> str:
    status, body, _ = ask(server, "GET", POLL)
    assert status == 200
    sid: str = json.loads(body[1:])["sid"]
    return f"{POLL}&sid={sid}"


@pytest.fixture
def recording(tmp_path):
    return engine_io(tmp_path / "a.db")


def test_a_session_by_polls_alone(recording):
    with serving(recording, "--speed", "max") as server:
        session = opened(server)
        assert ask(server, "POST", session, "40")[:2] == (200, "ok")
        said = ask(server, "GET", session)[1]
        sid = json.loads(said[2:])["sid"]
        assert ask(server, "POST", session, f'42["join",{{"me":"{sid}"}}]\x1e3')[0] == 200
        while "joined" not in said:
            said = ask(server, "GET", session)[1]
        assert sid in said
        assert ask(server, "POST", session, "1")[0] == 200
        code, events = server.finish()
    assert (code, events[-2]["messages"]["equal"]) == (0, 2)


def test_a_poll_waits_for_something_to_say_and_the_upgrade_ends_it(recording):
    answers: list[str] = []
    with serving(recording, "--speed", "max") as server:
        session = opened(server)
        ask(server, "POST", session, "40")
        ask(server, "GET", session)
        waiting = threading.Thread(target=lambda: answers.append(ask(server, "GET", session)[1]))
        waiting.start()

        async def upgrade() -> str:
            path = session.replace("polling", "websocket")
            async with websockets.connect(server.url + path) as client:
                await client.send("2probe")
                assert await client.recv() == "3probe"
                await asyncio.to_thread(waiting.join)
                await client.send("5")
                await client.send('42["join",{"me":"x"}]')
                while not str(said := await client.recv()).startswith("42"):
                    assert said == "2"
                await client.close(1000)
                return str(said)

        assert "joined" in asyncio.run(upgrade())
        server.finish()
    assert answers in (["6"], ["2"])


def test_a_client_that_stops_polling_is_gone(recording):
    with serving(recording) as server:
        opened(server)
        # Its open packet promised an interval and a timeout of 200 ms each.
        code, events = server.finish()
    assert code == 1
    assert "server messages were left" in events[-2]["problems"][0]


@pytest.mark.parametrize(
    ("method", "path", "headers", "status"),
    [
        ("GET", POLL + "&sid=unknown", {}, 400),
        ("POST", POLL, {}, 400),
        ("GET", POLL.replace("EIO=4", "EIO=3"), {}, 400),
        ("GET", POLL.replace("socket.io", "other"), {}, 404),
        ("GET", POLL, {"Origin": "https://evil.example"}, 403),
        ("GET", POLL, {"Host": "evil.example"}, 403),
        ("GET", POLL, {"Sec_Fetch_Site": "cross-site"}, 403),
        ("PUT", POLL, {}, 426),
    ],
)
def test_what_is_refused(recording, method, path, headers, status):
    with serving(recording) as server:
        assert ask(server, method, path, **headers)[0] == status
        server.finish(stop=True)


def test_bodies_are_bounded_and_must_be_packets(recording):
    with serving(recording) as server:
        session = opened(server)
        assert ask(server, "POST", session, "bno base64!")[0] == 400
        assert ask(server, "POST", session, "", Content_Length="2000000")[0] == 413
        server.finish(stop=True)


def test_a_page_of_this_machine_may_read_the_answers(recording):
    with serving(recording) as server:
        origin = "http://localhost:5173"
        _, _, fields = ask(server, "GET", POLL, Origin=origin)
        assert fields["Access-Control-Allow-Origin"] == origin
        status, _, fields = ask(
            server, "OPTIONS", POLL, Origin=origin, Access_Control_Request_Headers="x-trace"
        )
        assert (status, fields["Access-Control-Allow-Headers"]) == (204, "x-trace")
        server.finish(stop=True)


def test_the_websocket_of_an_unknown_session_is_refused(recording):
    with serving(recording) as server:

        async def connect() -> int:
            with pytest.raises(websockets.InvalidStatus) as caught:
                async with websockets.connect(server.url + ENGINE_PATH + "&sid=unknown"):
                    pass
            return caught.value.response.status_code

        assert asyncio.run(connect()) == 400
        server.finish(stop=True)
