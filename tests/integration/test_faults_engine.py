"""Faults of the real engine, as a Python `websockets` client and server meet them."""

from __future__ import annotations

import asyncio
import ssl
import time
from pathlib import Path

import pytest
from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosed, InvalidStatus, InvalidURI

from tests.support.echo_engine import OUTAGE, echo_engine
from wsinspect.diagnosis.facts import diagnose

pytestmark = pytest.mark.asyncio

LONG = "the quick brown fox jumps over the lazy dog " * 4


async def test_latency_delays_one_direction_and_is_in_the_ledger(tmp_path: Path) -> None:
    async with echo_engine(tmp_path, "--fault", "latency:s2c,latency=200ms,match=op:text") as lab:
        async with connect(lab.url()) as client:
            start = time.perf_counter()
            await client.send("x")
            assert await client.recv() == "x"
            assert time.perf_counter() - start >= 0.2
        await lab.event("close")
        with await lab.stop() as capture:
            (fault,) = capture.query("SELECT rule, kind, frame_id, seed FROM fault_event")
            assert fault[:2] == ("latency_s2c", "latency")
            frame = capture.frame(fault[2])
            assert frame is not None
            assert frame.direction.short == "s2c"
            assert frame.fault_event_id is not None
            assert frame.sent_ns is not None
            assert frame.sent_ns - frame.time_ns >= 200_000_000
            (asked,) = [one for one in capture.frames(1) if one.direction.short == "c2s" and one.opcode == 1]
            assert asked.fault_event_id is None


@pytest.mark.slow
@pytest.mark.parametrize("compression", ["deflate", None])
@pytest.mark.parametrize(
    ("spec", "expected"),
    [
        ("drop:s2c,match=op:text,nth=2", [0, 2, 3]),
        ("duplicate:s2c,match=op:text,nth=2", [0, 1, 1, 2, 3]),
        ("reorder:s2c,match=op:text,nth=2", [0, 2, 1, 3]),
        ("fragment:s2c,size=9", [0, 1, 2, 3]),
        ("slicer:s2c,size=4", [0, 1, 2, 3]),
        ("hold:s2c,match=op:text,count=2", [0, 1, 2, 3]),
        ("bandwidth:s2c,rate=20KiB/s", [0, 1, 2, 3]),
    ],
)
async def test_a_real_client_reads_what_the_fault_leaves(
    spec: str, expected: list[int], compression: str | None, tmp_path: Path
) -> None:
    async with echo_engine(tmp_path, "--fault", spec, compression=compression) as lab:
        async with connect(lab.url(), compression=compression) as client:
            messages = [f"{LONG}{number}" for number in range(4)]
            for message in messages:
                await client.send(message)
            got = [await asyncio.wait_for(client.recv(), 20) for _ in expected]
            assert got == [messages[index] for index in expected]
        await lab.event("fault")
        assert (await lab.event("close"))["js"] == {"code": 1000, "wasClean": True}


async def test_replace_corrupt_truncate_and_inject_reach_a_real_client(tmp_path: Path) -> None:
    specs = ("replace:s2c,with=other,nth=1", "truncate:s2c,to=4,nth=2", "inject:s2c,payload=added,nth=3")
    options = [part for spec in specs for part in ("--fault", spec + ",match=op:text")]
    async with echo_engine(tmp_path, *options) as lab, connect(lab.url()) as client:
        for number in range(3):
            await client.send(f"message {number}")
        got = [await asyncio.wait_for(client.recv(), 20) for _ in range(4)]
        assert got == ["other", "mess", "message 2", "added"]


@pytest.mark.parametrize("how", ["fin", "rst"])
async def test_an_abort_is_1006_to_both_sides(how: str, tmp_path: Path) -> None:
    async with echo_engine(tmp_path, "--fault", f"abort,how={how},match=stop") as lab:
        async with connect(lab.url()) as client:
            await client.send("go on")
            assert await client.recv() == "go on"
            await client.send("stop")
            await asyncio.wait_for(client.wait_closed(), 20)
            assert client.close_code == 1006
        close = await lab.event("close")
        assert (close["ended_by"], close["how"]) == ("fault", how)
        assert close["js"] == {"code": 1006, "wasClean": False}


async def test_a_rule_acts_behind_one_that_concerns_other_connections(tmp_path: Path) -> None:
    rules = ("--fault", "drop,match=path:/other", "--fault", "abort,match=stop")
    async with echo_engine(tmp_path, *rules) as lab, connect(lab.url(), compression=None) as client:
        await client.send("stop")
        await asyncio.wait_for(client.wait_closed(), 20)
        assert client.close_code == 1006


async def test_a_close_is_a_closing_handshake_with_both_sides(tmp_path: Path) -> None:
    async with echo_engine(tmp_path, "--fault", "close,code=4004,reason=enough,after=200ms") as lab:
        async with connect(lab.url()) as client:
            with pytest.raises(ConnectionClosed) as caught:
                await client.recv()
            assert caught.value.rcvd is not None
            assert (caught.value.rcvd.code, caught.value.rcvd.reason) == (4004, "enough")
        close = await lab.event("close")
        assert close["ended_by"] == "fault"
        assert close["js"] == {"code": 4004, "wasClean": True}
        assert lab.seen == [4004]


async def test_a_blackhole_keeps_what_was_sent(tmp_path: Path) -> None:
    options = ("--fault", "blackhole,for=500ms,match=first")
    async with echo_engine(tmp_path, *options) as lab, connect(lab.url()) as client:
        await client.send("first")
        start = time.perf_counter()
        await client.send("second")
        assert await client.recv() == "first"
        assert await client.recv() == "second"
        assert time.perf_counter() - start > 0.4


@pytest.mark.slow
@pytest.mark.parametrize(
    ("spec", "code"),
    [
        ("idle_timeout,after=300ms,how=fin", 1006),
        ("lifetime,after=300ms,how=rst", 1006),
        ("limit_data:s2c,bytes=3", 1006),
        ("max_message_size:c2s,size=10", 1009),
    ],
)
async def test_hops_that_end_connections(spec: str, code: int, tmp_path: Path) -> None:
    async with echo_engine(tmp_path, "--fault", spec, compression=None) as lab:
        async with connect(lab.url(), compression=None) as client:
            await client.send("a message of some length")
            await asyncio.wait_for(client.wait_closed(), 20)
            assert client.close_code == code
        assert (await lab.event("close"))["ended_by"] == "fault"


@pytest.mark.slow
@pytest.mark.parametrize(
    ("spec", "status"),
    [("refuse,status=429,body=slow down", 429), ("redirect,location=https://example.org/", 302)],
)
async def test_a_refusal_is_an_answer_of_ours(spec: str, status: int, tmp_path: Path) -> None:
    async with echo_engine(tmp_path, "--fault", spec) as lab:
        with pytest.raises((InvalidStatus, InvalidURI), match=f"HTTP {status}|example.org"):
            async with connect(lab.url()):
                pass
        assert (await lab.event("refused"))["status"] == status
        with await lab.stop() as capture:
            (connection,) = capture.connections()
            assert (connection.state, connection.ended_by) == ("refused", "fault")
            handshake = capture.handshake(connection.id)
            assert handshake is not None
            assert handshake.response_in is None
            assert handshake.response_out is not None
            assert f" {status} ".encode() in handshake.response_out


async def test_handshakes_are_delayed_changed_and_counted(tmp_path: Path) -> None:
    options = ("--fault", "delay,delay=300ms", "--fault", "bad_accept,attempt=2")
    async with echo_engine(tmp_path, *options) as lab:
        start = time.perf_counter()
        async with connect(lab.url()) as client:
            assert time.perf_counter() - start > 0.3
            await client.send("x")
            assert await client.recv() == "x"
        with pytest.raises(Exception, match="Sec-WebSocket-Accept"):
            async with connect(lab.url()):
                pass
        async with connect(lab.url()):
            pass


async def test_a_hanging_handshake_continues_when_its_rule_is_removed(tmp_path: Path) -> None:
    async with echo_engine(tmp_path, "--fault", "hang") as lab:
        opening = asyncio.create_task(connect(lab.url()).__aenter__())
        await lab.event("fault", kind="hang")
        assert not opening.done()
        await lab.control("DELETE", "/v1/faults/hang")
        client = await asyncio.wait_for(opening, 20)
        await client.send("x")
        assert await client.recv() == "x"
        await client.close()


async def test_connections_are_refused_and_reset_before_the_request(tmp_path: Path) -> None:
    async with echo_engine(tmp_path) as lab:
        await lab.control("POST", "/v1/faults", {"kind": "reset_on_accept", "when": {"nth": 1}})

        async def visit() -> None:
            reader, _ = await asyncio.open_connection("127.0.0.1", lab.engine.port("reverse"))
            assert await asyncio.wait_for(reader.read(), 20) is None

        with pytest.raises(ConnectionResetError):  # while it connects already, where the engine is quick
            await visit()
        async with connect(lab.url()) as client:
            await lab.control("POST", "/v1/faults", {"kind": "refuse_tcp"})
            for _ in range(100):
                try:
                    _, writer = await asyncio.open_connection("127.0.0.1", lab.engine.port("reverse"))
                except ConnectionRefusedError:
                    break
                except ConnectionResetError:
                    continue  # it was in the queue of the listener that closed
                writer.close()
                await asyncio.sleep(0.02)
            else:
                pytest.fail("the listener is still there")
            await client.send("still here")
            assert await client.recv() == "still here"
        await lab.control("POST", "/v1/reset")
        for _ in range(100):
            try:
                async with connect(lab.url()) as client:
                    await client.send("again")
                    assert await client.recv() == "again"
                break
            except ConnectionRefusedError:
                await asyncio.sleep(0.02)


@pytest.mark.slow
async def test_a_client_session_is_known_again_and_its_attempts_and_connections_are_counted(
    tmp_path: Path,
) -> None:
    specs = (
        "refuse,attempt=2",
        "replace:s2c,with=third,match=op:text,connection=3",
        "abort,after=1s,attempt=9",
    )
    options = [part for spec in specs for part in ("--fault", spec)]
    async with echo_engine(tmp_path, *options) as lab:
        told: list[str | int] = []
        for name in ("one", "one", "other", "one", "one"):
            try:
                async with connect(lab.url(f"/chat?{len(told)}"), user_agent_header=name) as client:
                    await client.send(name)
                    told.append(str(await client.recv()))
            except InvalidStatus as error:
                told.append(error.response.status_code)
        assert told == ["one", 503, "other", "one", "third"]
        with await lab.stop() as capture:
            sessions = [one.client_session for one in capture.connections()]
            assert sessions == [1, 1, 3, 1, 1]


@pytest.mark.slow
async def test_the_same_seed_meets_the_same_traffic_with_the_same_faults(tmp_path: Path) -> None:
    runs = []
    for number in range(2):
        options = ("--fault", "drop:s2c,match=op:text !end,probability=0.5", "--seed", "42")
        async with echo_engine(tmp_path / str(number), *options) as lab, connect(lab.url()) as client:
            for index in range(20):
                await client.send(str(index))
            await client.send("end")
            got = [await client.recv()]
            while got[-1] != "end":
                got.append(await client.recv())
            runs.append(got)
    assert runs[0] == runs[1]
    assert 1 < len(runs[0]) < 21


async def test_a_rule_armed_on_an_open_connection_acts_there_and_lets_go(tmp_path: Path) -> None:
    async with echo_engine(tmp_path) as lab, connect(lab.url()) as client:
        await client.send("before")
        assert await client.recv() == "before"
        rule = await lab.control("POST", "/v1/faults", {"kind": "hold", "direction": "s2c", "count": 100})
        for index in range(3):
            await client.send(str(index))
        await lab.event("fault", rule=rule["name"])
        status = await lab.control("GET", "/v1/status")
        assert (status["connections_held"], status["bytes_held"] > 0) == (1, True)
        await lab.control("DELETE", f"/v1/faults/{rule['name']}")
        assert [await client.recv() for _ in range(3)] == ["0", "1", "2"]


async def _round_trip_s(client: ClientConnection) -> float:
    start = time.perf_counter()
    await client.send("x")
    await client.recv()
    return time.perf_counter() - start


async def test_messages_can_be_dropped_on_an_open_connection_with_context_takeover(tmp_path: Path) -> None:
    async with echo_engine(tmp_path) as lab, connect(lab.url()) as client:
        for number in range(30):
            await client.send(f"{LONG}{number}")
            await client.recv()
        await lab.control("POST", "/v1/faults", {"kind": "drop", "direction": "s2c", "match": "secret"})
        for _ in range(200):
            await client.send(LONG + "secret")
            await client.send(LONG + "end")
            if await client.recv() == LONG + "end":
                break
            await client.recv()
            await asyncio.sleep(0.02)
        else:
            pytest.fail("nothing was dropped")
        for number in range(30):
            await client.send(f"{LONG}secret {number}")
            await client.send(f"{LONG}{number}")
            assert await client.recv() == f"{LONG}{number}"


async def test_a_scenario_is_a_story_in_the_capture(tmp_path: Path) -> None:
    scenario = tmp_path / "outage.yaml"
    scenario.write_text(OUTAGE)
    story: list[str] = []
    async with echo_engine(tmp_path, "--faults", str(scenario), "--time-scale", "0.1") as lab:
        for _ in range(200):
            try:
                async with connect(lab.url()) as client:
                    fastest = min([await _round_trip_s(client) for _ in range(3)])
                    story.append("slow" if fastest > 0.025 else "good")
                    if story[-1] == "slow" and "503" in story:
                        break
                    await client.recv()
            except InvalidStatus as error:
                story.append(str(error.response.status_code))
                await asyncio.sleep(0.05)
            except ConnectionClosed as error:
                story.append("1006" if error.rcvd is None else str(error.rcvd.code))
        told = [one for index, one in enumerate(story) if index == 0 or one != story[index - 1]]
        assert told == ["good", "1006", "503", "slow"]
        with await lab.stop() as capture:
            rules = [row[0] for row in capture.query("SELECT rule FROM fault_event ORDER BY id")]
            assert rules[0] == "phase-abort"
            assert set(rules[1:-1]) <= {"outage", "slow"}
            states = [connection.state for connection in capture.connections()]
            assert states[0] == "closed"
            assert "refused" in states


async def test_tls_fails_with_the_alert_asked_for(tmp_path: Path) -> None:
    context = ssl.create_default_context()
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    spec = "tls_error,alert=certificate_expired,sni=*.example.org"
    async with echo_engine(tmp_path, "--tap", "tls=127.0.0.1:0=https://127.0.0.1:9", "--fault", spec) as lab:
        port = lab.engine.port("tls")
        with pytest.raises(ssl.SSLError, match=r"(?i)expired"):
            await asyncio.open_connection("127.0.0.1", port, ssl=context, server_hostname="a.example.org")
        _, writer = await asyncio.open_connection(
            "127.0.0.1", port, ssl=context, server_hostname="other.example"
        )
        writer.close()
        assert (await lab.event("fault"))["kind"] == "tls_error"


async def test_a_preset_behaves_like_the_hop_it_names(tmp_path: Path) -> None:
    options = ("--like", "aws-alb", "--time-scale", "0.01")
    async with echo_engine(tmp_path, *options) as lab, connect(lab.url()) as client:
        await client.send("x")
        assert await client.recv() == "x"
        start = time.perf_counter()
        await asyncio.wait_for(client.wait_closed(), 30)
        assert time.perf_counter() - start > 0.4
        assert client.close_code == 1006
        fault = await lab.event("fault")
        assert (fault["rule"], fault["kind"]) == ("idle_timeout", "idle_timeout")


async def test_nginx_without_upgrade_lets_the_server_refuse_and_nobody_is_blamed(tmp_path: Path) -> None:
    async with echo_engine(tmp_path, "--like", "nginx-no-upgrade") as lab:
        for _ in range(7):
            with pytest.raises(InvalidStatus):
                async with connect(lab.url()):
                    pass
        with await lab.stop() as capture:
            blamed = [one.id for one in diagnose(capture.query) if one.severity != "note"]
            assert blamed == []
            handshake = capture.handshake(1)
            assert handshake is not None
            assert handshake.request_in is not None
            assert b"Upgrade: websocket" in handshake.request_in
            assert handshake.request_out is not None
            assert b"HTTP/1.0\r\n" in handshake.request_out
            assert b"websocket\r\n" not in handshake.request_out.lower()
