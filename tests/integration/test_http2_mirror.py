"""WebSockets over HTTP/2 (RFC 8441) through the engine, both ends by hand: what each does is passed on."""

import asyncio
import json

import pytest
from hyperframe.frame import ContinuationFrame, GoAwayFrame

from tests.support.certs import client_context, make_certificates
from tests.support.h2_lab import CLOSE, HELLO, WORLD, ends, findings, frame, h2_lab, rows
from tests.support.h2_peers import ENABLE_CONNECT, h2_client
from tests.support.sandwich_lab import stored
from wsinspect.proxy.seams.http2_tunnels import code_name


@pytest.fixture(scope="module")
def certificates(tmp_path_factory):
    return make_certificates(tmp_path_factory.mktemp("certificates"))


def test_what_the_origin_offers_is_offered_and_a_socket_is_recorded(tmp_path, certificates):
    async def play():
        async with h2_lab(tmp_path, certificates) as place:
            client, server = await place.connect()
            await client.wait(lambda: client.settings)
            mine, theirs = await client.opened(
                "/chat?a=1", server, ("origin", "https://localhost"), ("x-a", "1")
            )
            client.send(mine, HELLO)
            await server.has(theirs, HELLO)
            server.send(theirs, WORLD)
            await client.has(mine, WORLD)
            server.send(theirs, CLOSE, end=True)
            await client.has(mine, WORLD + CLOSE)
            client.send(mine, frame(b"\x03\xe8", mask=b"aaaa", opcode=0x88), end=True)
            await server.has_ended(theirs)
            place.run.wait_for_event("close")
        return client, server, mine, theirs, place.run

    client, server, mine, theirs, run = asyncio.run(play())
    assert client.alpn == "h2"
    assert client.settings[0][ENABLE_CONNECT] == 1
    assert client.streams[mine].chunks == [(WORLD, False), (CLOSE, True)]
    assert server.streams[theirs].chunks[-1][1] is True
    assert server.streams[theirs].fields == [
        (":method", "CONNECT"),
        (":protocol", "websocket"),
        (":scheme", "https"),
        (":path", "/chat?a=1"),
        (":authority", "localhost"),
        ("sec-websocket-version", "13"),
        ("origin", "https://localhost"),
        ("x-a", "1"),
    ]
    ((state, js, version, server_version, path, status),) = rows(
        run, "SELECT state, js_code, http_version, server_http_version, path, status FROM connection"
    )
    assert (state, js, version, server_version, path, status) == (
        "closed",
        1000,
        "HTTP/2.0",
        "HTTP/2.0",
        "/chat?a=1",
        200,
    )
    ((request, forwarded, response),) = rows(
        run, "SELECT request_in, request_out, response_in FROM handshake"
    )
    assert request == forwarded
    assert request.startswith(b":method: CONNECT\r\n:protocol: websocket\r\n:scheme: https\r\n")
    assert response == b":status: 200\r\n\r\n"
    assert rows(run, "SELECT direction, payload FROM frame WHERE opcode = 1 ORDER BY id") == [
        ("c2s", b"hello"),
        ("s2c", b"world"),
    ]
    ((streams,),) = rows(run, "SELECT detail FROM event WHERE kind = 'h2_streams'")
    assert json.loads(streams) == {"client": mine, "server": theirs, "allowed": True}
    assert findings(run) == []


def test_the_offer_follows_the_origins_settings(tmp_path, certificates):
    async def play():
        async with h2_lab(tmp_path, certificates, settings=None) as place:
            client, server = await place.connect()
            await client.wait(lambda: client.settings)
            server.change_settings({ENABLE_CONNECT: 1, 3: 7})
            await client.wait(lambda: len(client.settings) > 1)
            mine, theirs = await client.opened("/later", server)
            client.send(mine, HELLO)
            await server.has(theirs, HELLO)
        return client

    client = asyncio.run(play())
    assert client.settings[0].get(ENABLE_CONNECT, 0) == 0
    assert client.settings[1] == {ENABLE_CONNECT: 1, 3: 7}


@pytest.mark.parametrize("by", ["client", "server"])
def test_a_reset_keeps_its_code_and_ends_nothing_else(tmp_path, certificates, by):
    codes = [0, 1, 2, 5, 7, 8, 11, 13, 0x1234]

    async def play():
        async with h2_lab(tmp_path, certificates) as place:
            client, server = await place.connect()
            other, others = await client.opened("/other", server)
            seen = []
            for code in codes:
                mine, theirs = await client.opened(f"/{code}", server)
                client.send(mine, HELLO)
                await server.has(theirs, HELLO)
                if by == "client":
                    client.reset(mine, code)
                    seen.append(await server.was_reset(theirs))
                else:
                    server.send(theirs, WORLD)
                    server.reset(theirs, code)
                    seen.append(await client.was_reset(mine))
                    assert client.streams[mine].data == WORLD
            client.send(other, HELLO)
            await server.has(others, HELLO)
            server.send(others, WORLD, end=True)
            await client.has(other, WORLD)
        return seen, place.run

    seen, run = asyncio.run(play())
    assert seen == codes
    for (side, how, http2), code in zip(ends(run), codes, strict=False):
        assert (side, how) == (by, "rst")
        assert http2 == f"RST_STREAM {code_name(code)}"
    found = rows(run, "SELECT DISTINCT ended_by, how, js_code FROM connection WHERE path != '/other'")
    assert found == [(by, "rst", 1006)]


@pytest.mark.parametrize("by", ["client", "server"])
def test_end_stream_without_close_is_a_fin_and_the_other_direction_continues(tmp_path, certificates, by):
    async def play():
        async with h2_lab(tmp_path, certificates) as place:
            client, server = await place.connect()
            mine, theirs = await client.opened("/chat", server)
            ends = ((client, mine), (server, theirs))
            (first, first_id), (second, second_id) = ends if by == "client" else ends[::-1]
            first.send(first_id, HELLO, end=True)
            await second.has(second_id, HELLO)
            assert second.streams[second_id].chunks == [(HELLO, True)]
            second.send(second_id, WORLD)
            await first.has(first_id, WORLD)
            second.send(second_id, b"", end=True)
            await first.has_ended(first_id)
            place.run.wait_for_event("close")
        return place.run

    run = asyncio.run(play())
    assert ends(run)[0] == (by, "fin", "END_STREAM")
    assert rows(run, "SELECT ended_by, how, js_code FROM connection") == [(by, "fin", 1006)]


@pytest.mark.parametrize("by", ["client", "server"])
def test_a_goaway_is_passed_on_and_ends_no_open_stream(tmp_path, certificates, by):
    async def play():
        async with h2_lab(tmp_path, certificates) as place:
            client, server = await place.connect()
            mine, theirs = await client.opened("/chat", server)
            sender, receiver = (client, server) if by == "client" else (server, client)
            last = theirs if by == "server" else 0
            sender.send_frame(GoAwayFrame(0, last, 11, b"too many"))
            await receiver.wait(lambda: receiver.goaways)
            client.send(mine, HELLO)
            await server.has(theirs, HELLO)
            server.send(theirs, WORLD)
            await client.has(mine, WORLD)
            late = client.connect("/late")
            if by == "server":
                await client.was_reset(late)
            sender.writer.close()
            await receiver.wait(lambda: receiver.ended)
            place.run.wait_for_event("close")
        return receiver.goaways, mine, client.streams[late].reset, place.run

    goaways, mine, reset, run = asyncio.run(play())
    assert goaways == [(11, mine if by == "server" else 0, b"too many")]
    assert ends(run)[0] == (by, "fin", "GOAWAY ENHANCE_YOUR_CALM")
    if by == "server":
        assert reset == 7


@pytest.mark.parametrize("how", ["fin", "rst"])
def test_the_end_of_the_origins_connection_is_the_end_of_the_clients(tmp_path, certificates, how):
    async def play():
        async with h2_lab(tmp_path, certificates) as place:
            client, server = await place.connect()
            mine, _ = await client.opened("/chat", server)
            if how == "rst":
                server.abort()
            else:
                server.writer.close()
            await client.wait(lambda: client.ended)
            place.run.wait_for_event("close")
        return client, place.run, mine

    client, run, mine = asyncio.run(play())
    assert client.ended == how
    assert client.streams[mine].reset is None
    assert ends(run) == [("server", how)]


def test_a_refusal_is_passed_on_as_it_is(tmp_path, certificates):
    statuses = ["302", "400", "403", "404", "503"]

    async def play():
        async with h2_lab(tmp_path, certificates) as place:
            client, server = await place.connect()
            streams = []
            for status in statuses:
                mine = client.connect(f"/{status}")
                theirs = await server.requested(f"/{status}")
                server.respond(theirs, ("x-why", "because"), status=status)
                server.send(theirs, b"no such thing", end=True)
                await client.has_ended(mine)
                client.reset(mine, 8)
                streams.append(client.streams[mine])
            # The connection lives on.
            again, there = await client.opened("/yes", server)
            client.send(again, HELLO)
            await server.has(there, HELLO)
        return streams, place.run

    streams, run = asyncio.run(play())
    for status, stream in zip(statuses, streams, strict=True):
        assert stream.fields == [(":status", status), ("x-why", "because")]
        assert stream.data == b"no such thing"
    found = rows(run, "SELECT state, status FROM connection WHERE path != '/yes' ORDER BY id")
    assert found == [("refused", int(status)) for status in statuses]
    assert set(rows(run, "SELECT body FROM handshake WHERE body IS NOT NULL")) == {(b"no such thing",)}


@pytest.mark.parametrize(
    ("by", "how", "error"),
    [
        ("server", "fin", "server closed connection"),
        ("server", "rst", "server closed connection"),
        ("server", "broken", "server broke HTTP/2: "),
        ("client", "fin", "client ended the connection before the server answered (fin)"),
        ("client", "broken", "client broke HTTP/2: "),
    ],
)
def test_who_ended_the_connection_instead_of_an_answer(tmp_path, certificates, by, how, error):
    async def play():
        async with h2_lab(tmp_path, certificates) as place:
            client, server = await place.connect()
            mine = client.connect("/chat")
            await server.requested("/chat")
            ends = client if by == "client" else server
            if how == "broken":
                ends.send_frame(ContinuationFrame(mine, b"x"))
            elif how == "rst":
                ends.abort()
            else:
                ends.writer.close()
            if how == "broken" or by == "server":
                await client.wait(lambda: client.ended)
            place.run.wait_for_event("refused")
        return place.run

    run = asyncio.run(play())
    ((state, ended_by, said),) = rows(run, "SELECT state, ended_by, error FROM connection")
    assert (state, ended_by) == ("failed", by)
    assert said.startswith(error)


def test_a_reset_instead_of_an_answer_keeps_its_code(tmp_path, certificates):
    codes = [1, 2, 7, 8, 13]

    async def play():
        async with h2_lab(tmp_path, certificates) as place:
            client, server = await place.connect()
            towards_client, towards_server = [], []
            for code in codes:
                mine = client.connect(f"/no{code}")
                theirs = await server.requested(f"/no{code}")
                server.reset(theirs, code)
                towards_client.append(await client.was_reset(mine))
                mine = client.connect(f"/gone{code}")
                theirs = await server.requested(f"/gone{code}")
                client.reset(mine, code)
                towards_server.append(await server.was_reset(theirs))
            await client.opened("/yes", server)
        return towards_client, towards_server, place.run

    towards_client, towards_server, run = asyncio.run(play())
    assert towards_client == towards_server == codes
    found = rows(run, "SELECT state, ended_by, error FROM connection WHERE path != '/yes' ORDER BY id")
    assert [(state, by) for state, by, _ in found] == [("failed", "server"), ("failed", "client")] * 5
    assert found[0][2] == "server reset the stream (PROTOCOL_ERROR)"
    by_server = sorted(rule for rule, _ in stored(run.capture) if rule.startswith("WS-H2"))
    assert by_server == ["WS-H2-001"] * 4 + ["WS-H2-009"]


def test_other_connects_are_passed_on_and_recorded_nowhere(tmp_path, certificates):
    async def play():
        async with h2_lab(tmp_path, certificates) as place:
            client, server = await place.connect()
            mine = client.connect("/udp", protocol="connect-udp")
            theirs = await server.requested("/udp")
            server.respond(theirs)
            assert await client.answered(mine) == "200"
            client.send(mine, b"anything")
            await server.has(theirs, b"anything")
            plain = client.request([(":method", "CONNECT"), (":authority", "example.test:443")])
            there = await server.wait(
                lambda: next(
                    (n for n, one in server.streams.items() if one.fields and len(one.fields) == 2), 0
                )
            )
            server.reset(there, 5)
            await client.was_reset(plain)
            await client.opened("/chat", server)
        return client, server, plain, there, place.run

    client, server, plain, there, run = asyncio.run(play())
    assert client.streams[plain].reset == 5
    assert server.streams[there].fields == [(":method", "CONNECT"), (":authority", "example.test:443")]
    assert rows(run, "SELECT path FROM connection") == [("/chat",)]
    reasons = [
        json.loads(detail)["reason"]
        for (detail,) in rows(run, "SELECT detail FROM event WHERE kind = 'passed_unread' ORDER BY id")
    ]
    assert reasons == [
        "a CONNECT with :protocol connect-udp over HTTP/2, it was opened",
        "a CONNECT over HTTP/2, server reset the stream (STREAM_CLOSED)",
    ]
    assert [one for one in stored(run.capture) if one[0].startswith("WS-H2")] == [("WS-H2-014", None)]


def test_ordinary_requests_pass_as_they_are(tmp_path, certificates):
    head = [
        (":path", "/a?b"),
        (":method", "POST"),
        (":scheme", "https"),
        (":authority", "localhost"),
        ("x-first", "1"),
        ("content-type", "text/plain"),
        ("x-first", "2"),
    ]

    async def play():
        async with h2_lab(tmp_path, certificates) as place:
            client, server = await place.connect()
            mine = client.request(head)
            theirs = await server.requested("/a?b")
            client.send(mine, b"body")
            await server.has(theirs, b"body")
            client.send(mine, b"", end=True)
            server.h2.send_headers(theirs, [(":status", "103"), ("link", "</a>")])
            server.flush()
            server.respond(theirs, ("alt-svc", 'h3=":443"'), ("x", "1"))
            server.send(theirs, b"answer")
            await client.has(mine, b"answer")
            server.h2.send_headers(theirs, [("x-trailer", "1")], end_stream=True)
            server.flush()
            await client.has_ended(mine)
        return client.streams[mine], server.streams[theirs]

    mine, theirs = asyncio.run(play())
    assert theirs.fields == head
    assert mine.informational == [[(":status", "103"), ("link", "</a>")]]
    assert mine.fields == [(":status", "200"), ("alt-svc", 'h3=":443"'), ("x", "1")]
    assert mine.trailers == [("x-trailer", "1")]


@pytest.mark.parametrize("direction", ["c2s", "s2c"])
def test_a_reader_that_stops_stops_its_own_sender_alone(tmp_path, certificates, direction):
    chunk = frame(b"x" * 100) * 100

    async def play():
        async with h2_lab(tmp_path, certificates) as place:
            client, server = await place.connect()
            slow = await client.opened("/slow", server)
            fast = await client.opened("/fast", server)
            sender, reader = (client, server) if direction == "c2s" else (server, client)
            mine, theirs = slow if direction == "c2s" else slow[::-1]
            reader.reads = False
            sent = 0
            while sender.h2.local_flow_control_window(mine) >= len(chunk):
                sender.send(mine, chunk)
                sent += len(chunk)
                await asyncio.sleep(0)
            await reader.wait(lambda: reader.streams[theirs].size >= 60_000)
            # The window is used up, and nobody gives it back.
            client.send(fast[0], HELLO)
            held = reader.streams[theirs]
            reader.reads = True
            reader.h2.increment_flow_control_window(4 << 20)
            reader.h2.increment_flow_control_window(4 << 20, theirs)
            reader.flush()
            await server.has(fast[1], HELLO)
            await reader.wait(lambda: held.size >= sent)
            # Once it has been taken there is room again.
            await sender.wait(lambda: sender.h2.local_flow_control_window(mine) > 100_000)
        return sent, held.data

    sent, data = asyncio.run(play())
    assert 1_000_000 < sent < 1_200_000
    assert data == chunk * (sent // len(chunk))


def test_many_sockets_on_one_connection(tmp_path, certificates):
    rounds = [frame(b"%d" % number, mask=b"abcd") for number in range(5)]

    async def play():
        async with h2_lab(tmp_path, certificates, settings={ENABLE_CONNECT: 1, 3: 300}) as place:
            client, server = await place.connect()
            await client.wait(lambda: client.settings)
            mine = [client.connect(f"/{n}") for n in range(200)]
            theirs = [await server.requested(f"/{n}") for n in range(200)]
            for one in theirs:
                server.respond(one)
            for one in mine:
                await client.answered(one)
            for data in rounds:
                for one in mine:
                    client.send(one, data)
            for one in theirs:
                await server.has(one, b"".join(rounds))
            for one in theirs[::2]:
                server.reset(one, 8)
            await client.wait(lambda: all(client.streams[one].reset == 8 for one in mine[::2]))
            for one in mine[1::2]:
                client.send(one, HELLO)
            for one in theirs[1::2]:
                await server.has(one, b"".join(rounds) + HELLO)
        return client, place.run

    client, run = asyncio.run(play())
    assert client.settings[0][3] == 300
    assert rows(run, "SELECT count(*), sum(c2s_frames) FROM connection") == [(200, 200 * 5 + 100)]


def test_an_origin_that_is_down_is_answered_with_502(tmp_path, certificates):
    async def play():
        async with h2_lab(tmp_path, certificates) as place:
            place.origin._server.close()
            client = await h2_client(place.run.port("main"))
            place.clients.append(client)
            mine = client.connect("/chat")
            status = await client.answered(mine)
            await client.has_ended(mine)
        return status, client.streams[mine].data, place.run

    status, body, run = asyncio.run(play())
    assert status == "502"
    assert body.startswith(b"wsinspect: cannot connect to ")
    assert rows(run, "SELECT state, status FROM connection") == [("failed", 502)]


def test_the_client_gets_the_alpn_that_its_origin_chooses(tmp_path, certificates):
    async def play():
        async with h2_lab(tmp_path, certificates) as place:
            place.origin._context.set_alpn_protocols(["http/1.1"])
            client = await h2_client_alpn(place.run.port("main"))
            place.origin._context.set_alpn_protocols(["h2"])
            return client, await h2_client_alpn(place.run.port("main"))

    async def h2_client_alpn(port):
        _, writer = await asyncio.open_connection("127.0.0.1", port, ssl=alpn_context())
        chosen = writer.get_extra_info("ssl_object").selected_alpn_protocol()
        writer.close()
        return chosen

    assert asyncio.run(play()) == ("http/1.1", "h2")


def alpn_context():
    context = client_context()
    context.set_alpn_protocols(["h2", "http/1.1"])
    return context
