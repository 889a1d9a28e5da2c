"""Sending times in the capture are those of bytes that were written; what never left has none."""

from __future__ import annotations

import asyncio
import contextlib
import json
import socket
import struct
from pathlib import Path

import pytest
from websockets.asyncio.client import connect
from websockets.exceptions import ConnectionClosed

from tests.support.echo_engine import echo_engine

pytestmark = pytest.mark.asyncio


async def test_a_frame_that_an_abort_overtakes_has_no_sending_time(tmp_path: Path) -> None:
    async with echo_engine(tmp_path, "--fault", "latency:s2c,latency=60s,name=slow") as lab:
        async with connect(lab.url(), ping_interval=None) as client:
            await client.send("x")
            await lab.event("fault", rule="slow")
            await lab.control("POST", "/v1/connections/1/abort", {"how": "rst"})
            with pytest.raises(ConnectionClosed):
                await client.recv()
        await lab.event("close")
        with await lab.stop() as capture:
            (frame,) = [one for one in capture.frames(1) if one.direction.short == "s2c"]
            assert frame.sent_ns is None
            rows = capture.query("SELECT rule, frame_id, detail FROM fault_event WHERE frame_id IS NOT NULL")
            details = [json.loads(row[2]) for row in rows]
            assert [row[:2] for row in rows] == [("slow", frame.id)] * 2
            assert "delay_ns" not in details[0]
            assert details[1]["dropped"]
            assert "ended" in details[1]["lost"]


async def test_a_client_that_leaves_and_a_stop_lose_what_is_held(tmp_path: Path) -> None:
    async with echo_engine(tmp_path, "--fault", "latency:s2c,latency=60s,name=slow") as lab:
        client = await connect(lab.url("/left"), ping_interval=None)
        await client.send("x")
        await lab.event("fault", rule="slow", connection=1)
        socket_of_client = client.transport.get_extra_info("socket")
        socket_of_client.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        client.transport.abort()
        await lab.event("close", connection=1)
        other = await connect(lab.url("/stays"), ping_interval=None)
        await other.send("y")
        await lab.event("fault", rule="slow", connection=2)
        with await lab.stop() as capture:
            found = [
                frame
                for number in (1, 2)
                for frame in capture.frames(number)
                if frame.direction.short == "s2c"
            ]
            assert [frame.sent_ns for frame in found if frame.opcode == 1] == [None, None]
        other.transport.abort()


async def test_a_client_that_ends_its_side_while_a_frame_is_held_never_gets_it(tmp_path: Path) -> None:
    """A FIN, and no CLOSE frame: the answer waits in the latency, and so does the server's own end."""
    async with echo_engine(tmp_path, "--fault", "latency:s2c,latency=60s,name=slow") as lab:
        client = await connect(lab.url(), ping_interval=None)
        await client.send("x")
        await lab.event("fault", rule="slow")
        client.transport.close()
        await asyncio.wait_for(lab.ended.wait(), 20)  # the server has seen the FIN, and ends its side
        with await lab.stop() as capture:
            (frame,) = [one for one in capture.frames(1) if one.direction.short == "s2c" and one.opcode == 1]
            assert frame.sent_ns is None
            (one,) = capture.connections()
            assert (one.ended_by, one.how) == ("client", "fin")
            rows = capture.query("SELECT detail FROM fault_event WHERE frame_id = ? ORDER BY id", (frame.id,))
            details = [json.loads(row[0]) for row in rows]
            assert [bool(detail.get("lost")) for detail in details] == [False, True]
            assert details[1]["dropped"]


@pytest.mark.parametrize(
    "spec", ["hold:s2c,time=300ms", "blackhole:s2c,for=300ms", "latency:s2c,latency=300ms"]
)
async def test_a_held_frame_has_the_time_at_which_it_left(spec: str, tmp_path: Path) -> None:
    async with echo_engine(tmp_path, "--fault", f"{spec},name=late") as lab:
        async with connect(lab.url(), ping_interval=None) as client:
            await client.send("x")
            assert await asyncio.wait_for(client.recv(), 20) == "x"
        await lab.event("close")
        with await lab.stop() as capture:
            frame = next(one for one in capture.frames(1) if one.direction.short == "s2c")
            assert frame.sent_ns is not None
            assert 0 < frame.sent_ns - frame.time_ns < 5_000_000_000
            if not spec.startswith("blackhole"):
                assert frame.sent_ns - frame.time_ns >= 290_000_000


@pytest.mark.parametrize(
    ("spec", "is_sent"),
    [
        ("limit_data:s2c,bytes=10", False),  # inside of the frame
        ("limit_data:s2c,bytes=14", False),  # before the second one
        ("truncate:s2c,to=3,where=wire,match=body:second", False),
        ("truncate:s2c,to=100,where=wire,match=body:second", True),  # all of it, and then the end
    ],
)
async def test_a_frame_that_a_limit_cuts_off_has_no_sending_time(
    spec: str, is_sent: bool, tmp_path: Path
) -> None:
    """The first echo is 14 bytes on the wire; of the last frame the receiver gets a part, or nothing."""
    async with echo_engine(tmp_path, "--fault", spec, compression=None) as lab:
        async with connect(lab.url(), ping_interval=None, compression=None) as client:
            with contextlib.suppress(ConnectionClosed):
                for word in ("first word..", "second word."):
                    await client.send(word)
                    await client.recv()
            await client.wait_closed()
        await lab.event("close")
        with await lab.stop() as capture:
            frames = [one for one in capture.frames(1) if one.direction.short == "s2c" and one.opcode == 1]
            assert (frames[-1].sent_ns is not None) == is_sent
            rows = capture.query("SELECT detail FROM fault_event WHERE frame_id = ?", (frames[-1].id,))
            assert any(json.loads(row[0]).get("ends") for row in rows)
