"""Faults on WebSockets over HTTP/2: each acts on its stream, and other streams go on."""

import asyncio

import pytest

from tests.support.certs import make_certificates
from tests.support.h2_lab import CLOSE, HELLO, WORLD, ends, frame, h2_lab, rows


@pytest.fixture(scope="module")
def certificates(tmp_path_factory):
    return make_certificates(tmp_path_factory.mktemp("certificates"))


def test_faults_on_frames_act_on_their_stream_alone(tmp_path, certificates):
    rules = (
        *("--fault", "drop,name=lose,direction=c2s,match=path:/drop"),
        *("--fault", "latency,name=slow,latency=200ms,direction=s2c,match=path:/slow"),
        *("--fault", "close,name=shut,code=4009,match=path:/close op:text"),
        *("--fault", "abort,name=cut,how=rst,match=path:/abort op:text"),
    )

    async def play():
        async with h2_lab(tmp_path, certificates, *rules) as place:
            client, server = await place.connect()
            plain = await client.opened("/plain", server)
            drop = await client.opened("/drop", server)
            slow = await client.opened("/slow", server)
            close = await client.opened("/close", server)
            abort = await client.opened("/abort", server)
            for mine, _ in (drop, close, abort, plain):
                client.send(mine, HELLO)
            server.send(slow[1], WORLD)
            server.send(slow[1], CLOSE, end=True)
            codes = await client.was_reset(abort[0]), await server.was_reset(abort[1])
            late = await client.has_ended(slow[0])
            await server.has(plain[1], HELLO)
            await client.wait(lambda: b"\x0f\xa9" in client.streams[close[0]].data)
            server.send(plain[1], WORLD)
            await client.has(plain[0], WORLD)
            assert server.streams[drop[1]].data == b""
        return codes, late, place.run

    codes, late, run = asyncio.run(play())
    assert codes == (8, 8)
    # What was held, and END_STREAM on the DATA frame behind it.
    assert late.data == WORLD + CLOSE
    found = rows(run, "SELECT path, ended_by, how FROM connection WHERE path = '/abort'")
    assert found == [("/abort", "fault", "rst")]


def test_a_preset_acts_on_each_stream(tmp_path, certificates):
    """A satellite holds back what each WebSocket of a connection says, both ways."""

    async def play():
        async with h2_lab(tmp_path, certificates, "--like", "satellite", "--time-scale", "0.05") as place:
            client, server = await place.connect()
            pairs = [await client.opened(path, server) for path in ("/one", "/two")]
            for mine, theirs in pairs:
                client.send(mine, HELLO)
                server.send(theirs, WORLD)
            for mine, theirs in pairs:
                await server.has(theirs, HELLO)
                await client.has(mine, WORLD)
        return place.run

    run = asyncio.run(play())
    found = rows(
        run,
        "SELECT path, count(*) FROM fault_event JOIN connection ON connection.id = connection_id"
        " WHERE kind = 'latency' GROUP BY 1 ORDER BY 1",
    )
    assert found == [("/one", 2), ("/two", 2)]


@pytest.mark.parametrize(
    ("rule", "status"),
    [("refuse,status=503,match=path:/x", "503"), ("redirect,location=/other,match=path:/x", "302")],
)
def test_a_refusal_of_ours_is_one_of_http2(tmp_path, certificates, rule, status):
    async def play():
        async with h2_lab(tmp_path, certificates, "--fault", rule) as place:
            client, server = await place.connect()
            mine = client.connect("/x")
            stream = await client.has_ended(mine)
            again, there = await client.opened("/y", server)
            client.send(again, HELLO)
            await server.has(there, HELLO)
        return stream, place.run

    stream, run = asyncio.run(play())
    assert stream.status == status
    found = rows(run, "SELECT state, status, ended_by FROM connection WHERE path = '/x'")
    assert found == [("refused", int(status), "fault")]
    ((sent,),) = rows(run, "SELECT response_out FROM handshake WHERE connection_id = 1")
    assert sent.startswith(b":status: " + status.encode())


def test_a_hanging_handshake_hangs_alone_and_its_client_may_leave(tmp_path, certificates):
    async def play():
        async with h2_lab(tmp_path, certificates, "--fault", "hang,match=path:/x") as place:
            client, server = await place.connect()
            mine = client.connect("/x")
            again, there = await client.opened("/y", server)
            client.send(again, frame(b"1", mask=b"abcd"))
            await server.has(there, frame(b"1", mask=b"abcd"))
            client.reset(mine, 8)
            place.run.wait_for_event("refused")
        return place.run

    run = asyncio.run(play())
    assert ends(run)[0] == ("client", "rst", "RST_STREAM CANCEL")
    assert rows(run, "SELECT state, ended_by FROM connection WHERE path = '/x'") == [("failed", "client")]


@pytest.mark.parametrize("how", ["goaway", "connection"])
def test_an_abort_of_the_connection_ends_all_its_streams(tmp_path, certificates, how):
    async def play():
        rule = f"abort,name=cut,how={how},match=path:/x op:text"
        async with h2_lab(tmp_path, certificates, "--fault", rule) as place:
            client, server = await place.connect()
            await client.opened("/y", server)
            mine, _ = await client.opened("/x", server)
            client.send(mine, HELLO)
            await client.wait(lambda: client.ended)
            await server.wait(lambda: server.ended)
            again, there = await place.connect()
            await again.opened("/y", there)
        return client, server, place.run

    client, server, run = asyncio.run(play())
    if how == "goaway":
        assert client.goaways == [(0, 3, b"")]
        assert client.ended == server.ended == "fin"
    else:
        assert client.goaways == []
        assert client.ended == "rst"
    http2 = ("GOAWAY NO_ERROR",) if how == "goaway" else ()
    assert ends(run)[:2] == [("proxy", "fin" if how == "goaway" else "rst", *http2)] * 2
    found = rows(run, "SELECT path, ended_by, js_code FROM connection WHERE id < 3 ORDER BY id")
    assert found == [("/y", "proxy", 1006), ("/x", "fault", 1006)]
