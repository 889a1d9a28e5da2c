"""The control API of a real engine: what it does, whom it refuses, and that its client commands use it."""

from __future__ import annotations

import asyncio
import http.client
import json
import stat
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest
from websockets.asyncio.client import connect
from websockets.exceptions import ConnectionClosed

from tests.support.echo_engine import EchoEngine, echo_engine
from tests.support.prometheus import read_metrics
from wsinspect.control.client import ControlClient, ControlError

pytestmark = pytest.mark.asyncio


async def raw(
    lab: EchoEngine, headers: dict[str, str], method: str = "GET", path: str = "/v1/status"
) -> tuple[int, Any]:
    def work() -> tuple[int, Any]:
        place = urlsplit(lab.engine.ready["control"]["url"])
        connection = http.client.HTTPConnection(place.hostname or "", place.port, timeout=20)
        try:
            connection.putrequest(method, path, skip_host="Host" in headers)
            for name, value in headers.items():
                connection.putheader(name, value)
            connection.endheaders()
            response = connection.getresponse()
            assert "access-control-allow-origin" not in {name.lower() for name, _ in response.getheaders()}
            return response.status, response.read()
        finally:
            connection.close()

    return await asyncio.to_thread(work)


async def test_strangers_are_refused(tmp_path: Path) -> None:
    async with echo_engine(tmp_path) as lab:
        control = lab.engine.ready["control"]
        token_file = Path(control["token_file"])
        assert stat.S_IMODE(token_file.stat().st_mode) == 0o600
        token = token_file.read_text().strip()
        port = urlsplit(control["url"]).port
        good = {"Authorization": f"Bearer {token}"}
        assert (await raw(lab, good))[0] == 200
        assert (await raw(lab, {}))[0] == 401
        assert (await raw(lab, {"Authorization": "Bearer x"}))[0] == 401
        assert (await raw(lab, {**good, "Host": "evil.example"}))[0] == 403
        assert (await raw(lab, {**good, "Host": f"evil.example:{port}"}))[0] == 403
        assert (await raw(lab, {**good, "Host": "127.0.0.1:1"}))[0] == 403
        for origin in ("http://evil.example", "null", f"http://127.0.0.1:{lab.engine.port('reverse')}"):
            assert (await raw(lab, {**good, "Origin": origin}))[0] == 403
        assert (await raw(lab, {**good, "Origin": control["url"]}))[0] == 200
        assert (await raw(lab, good, "OPTIONS"))[0] == 405
        assert await asyncio.to_thread(lab.engine.stop) == 0  # nobody came, so there is no capture
        assert not token_file.exists()


async def test_a_client_that_sends_too_much_sees_why_at_the_end(tmp_path: Path) -> None:
    """A client that is sending reads no answer: the body is read, and thrown away, before the 413."""
    async with echo_engine(tmp_path) as lab:
        control = lab.engine.ready["control"]
        place, token = urlsplit(control["url"]), Path(control["token_file"]).read_text().strip()
        good = {"Authorization": f"Bearer {token}", "Content-Type": "application/json"}

        def send(pieces: int, length: int | None) -> tuple[int, str]:
            connection = http.client.HTTPConnection(place.hostname or "", place.port, timeout=20)
            try:
                headers = good if length is None else {**good, "Content-Length": str(length)}
                body = (b" " * 65536 for _ in range(pieces))
                connection.request("POST", "/v1/faults", body, headers, encode_chunked=length is None)
                response = connection.getresponse()
                return response.status, json.loads(response.read())["error"]["message"]
            finally:
                connection.close()

        limit, told = 2 << 20, (413, "expected at most 2097152 bytes")
        for length in (limit, None):
            assert (await asyncio.to_thread(send, limit // 65536, length))[0] == 400
        for length in (20 << 20, None):
            assert await asyncio.to_thread(send, (20 << 20) // 65536, length) == told
        waits = {**good, "Content-Length": str(limit + 1), "Expect": "100-continue"}
        assert (await raw(lab, waits, "POST", "/v1/faults"))[0] == 413
        assert (await raw(lab, {**good, "Content-Length": str(1 << 30)}, "POST", "/v1/faults"))[0] == 413


async def test_one_connection_is_closed_aborted_and_written_to_by_hand(tmp_path: Path) -> None:
    async with echo_engine(tmp_path) as lab:
        async with connect(lab.url()) as first, connect(lab.url()) as second:
            await lab.event("open", connection=2)
            await lab.control("POST", "/v1/connections/1/inject", {"direction": "s2c", "payload": "by hand"})
            assert await first.recv() == "by hand"
            await lab.control("POST", "/v1/connections/1/inject", {"direction": "c2s", "payload": "to you"})
            assert await first.recv() == "to you"
            await lab.control("POST", "/v1/connections/1/close", {"code": 4010, "reason": "go"})
            with pytest.raises(ConnectionClosed) as caught:
                await first.recv()
            assert caught.value.rcvd is not None
            assert caught.value.rcvd.code == 4010
            await lab.control("POST", "/v1/connections/2/abort", {"how": "rst"})
            with pytest.raises(ConnectionClosed):
                await second.recv()
            assert second.close_code == 1006
        await lab.event("close", connection=1)
        with pytest.raises(ControlError) as gone:
            await lab.control("POST", "/v1/connections/1/close", {})
        assert gone.value.status == 409
        assert {event["ended_by"] for event in lab.engine.events if event["event"] == "close"} == {"fault"}


async def test_bad_requests_say_what_was_expected(tmp_path: Path) -> None:
    async with echo_engine(tmp_path) as lab:
        for method, path, body, status in (
            ("POST", "/v1/faults", {"kind": "latenzy"}, 400),
            ("POST", "/v1/faults", {"kind": "latency", "latency": "-1s"}, 400),
            ("POST", "/v1/faults", {"kind": "refuse", "match": "op:text"}, 400),
            ("POST", "/v1/faults", {"kind": "refuse", "body": float("inf")}, 400),
            ("PUT", "/v1/scenario", {"version": 2}, 400),
            ("PATCH", "/v1/faults/none", {"armed": True}, 404),
            ("DELETE", "/v1/faults/none", None, 404),
            ("GET", "/v1/connections/77/frames", None, 404),
            ("GET", "/v1/connections?after=x", None, 400),
            ("GET", "/v1/connections?what=1", None, 400),
            ("POST", "/v1/connections/1/inject", {}, 400),
            ("POST", "/v1/connections/9/abort", {}, 409),
            ("GET", "/v1/none", None, 404),
            ("PUT", "/v1/status", {}, 405),
        ):
            with pytest.raises(ControlError) as caught:
                await lab.control(method, path, body)
            assert caught.value.status == status, (method, path, body)
            assert str(caught.value)


async def test_rules_are_listed_changed_and_taken_away(tmp_path: Path) -> None:
    async with echo_engine(tmp_path, "--seed", "5") as lab:
        made = await lab.control(
            "POST", "/v1/faults", {"kind": "latency", "latency": "1s", "direction": "s2c"}
        )
        assert made["name"] == "latency_s2c"
        nowhere = await lab.control("POST", "/v1/faults", {"kind": "drop", "tap": "edge", "name": "nowhere"})
        assert "no tap 'edge' (reverse)" in nowhere["warning"]
        await lab.control("DELETE", "/v1/faults/nowhere")
        again = await lab.control(
            "POST", "/v1/faults", {"kind": "latency", "latency": "2s", "direction": "s2c"}
        )
        assert again["name"] == "latency_s2c-2"
        changed = await lab.control("PATCH", "/v1/faults/latency_s2c", {"latency": "3s", "armed": False})
        assert (changed["latency"], changed["armed"]) == ("3s", False)
        listed = await lab.control("GET", "/v1/faults")
        assert listed["seed"] == 5
        assert [one["name"] for one in listed["faults"]] == ["latency_s2c", "latency_s2c-2"]
        await lab.control("PUT", "/v1/scenario", {"version": 1, "rules": [{"kind": "drop", "armed": False}]})
        assert (await lab.control("GET", "/v1/status"))["faults_armed"] == []
        assert (await lab.control("POST", "/v1/reset"))["removed"] == ["drop"]


async def test_events_metrics_and_frames_show_what_happened(tmp_path: Path) -> None:
    async with echo_engine(tmp_path, "--fault", "drop:s2c,match=op:text,nth=1") as lab:
        async with connect(lab.url()) as client:
            await client.send("a")
            await client.send("b")
            assert await client.recv() == "b"
        await lab.event("close")

        def read() -> list[dict[str, Any]]:
            found = []
            client = ControlClient.open(lab.engine.ready["control"])
            for event in client.events():
                found.append(event)
                if event["event"] == "closed":
                    break
            client.close()
            return found

        events = await asyncio.to_thread(read)
        assert {"attempt", "open", "fault", "closed"} <= {event["event"] for event in events}
        metrics = await lab.control("GET", "/metrics")
        assert read_metrics(metrics)["wsinspect_connections_total", frozenset()] == 1
        assert 'wsinspect_faults_total{rule="drop_s2c",kind="drop"} 1' in metrics
        assert 'wsinspect_frames_total{direction="c2s"} 3' in metrics
        frames = (await lab.control("GET", "/v1/connections/1/frames?limit=2"))["frames"]
        assert [frame["id"] for frame in frames] == [1, 2]
        document = await lab.control("GET", "/openapi.json")
        assert json.dumps(document).startswith('{"openapi": "3.1.0"')


async def test_shutdown_ends_the_engine_cleanly(tmp_path: Path) -> None:
    async with echo_engine(tmp_path) as lab:
        assert await lab.control("POST", "/v1/shutdown") == {"stopping": True}
        assert await asyncio.to_thread(lab.engine.process.wait, 10) == 0
