"""Attempts that fail at a hop between two taps of one run: one error each, told live, that names the hop."""

import asyncio

import pytest

from tests.support.engine import Engine
from tests.support.hops import LOOPBACK, NGINX_GOOD, nginx
from tests.support.sandwich_lab import afterwards, echo_server, stored, talk, told
from tests.support.small_servers import free_port, mute

pytestmark = pytest.mark.lab

DEFAULT = "location / {{ proxy_pass http://{origin}; }}"
GOOD = "location / {{ proxy_pass http://{origin}; proxy_read_timeout 1s; {good} }}"


async def _run(folder, config, app, attempts):
    """Attempts through nginx, one after another; without a configuration nginx is down."""
    origin = free_port()
    hop_port = free_port()
    hop = None
    if config:
        text = config.format(origin=f"{LOOPBACK}:{origin}", good=NGINX_GOOD)
        hop = await asyncio.to_thread(nginx, folder / "hop", text)
        hop_port = hop.port
    engine = await asyncio.to_thread(
        lambda: Engine.start(
            *("--tap", f"edge=127.0.0.1:0=http://{LOOPBACK}:{hop_port}"),
            *("--tap", f"origin=127.0.0.1:{origin}=http://{LOOPBACK}:{app}"),
            folder=folder / "engine",
        )
    )
    try:
        for _ in range(attempts):
            await talk(f"ws://{LOOPBACK}:{engine.port('edge')}/ws")
        if attempts:
            await asyncio.to_thread(engine.wait_for_event, "finding", severity="error")
    finally:
        await asyncio.to_thread(engine.stop)
        if hop:
            await asyncio.to_thread(hop.stop)
    assert told(engine.events) == stored(engine.capture) == afterwards(engine.capture)
    return engine


def errors(engine):
    found = [one for one in engine.events if one["event"] == "finding" and one["severity"] == "error"]
    assert not any("replaces" in one for one in found), "something else had been said first"
    return found


def test_the_default_nginx_is_one_error_for_each_attempt_with_the_line(tmp_path):
    async def play():
        async with echo_server() as (_, app):
            return await _run(tmp_path, DEFAULT, app, 8)

    engine = asyncio.run(play())
    found = errors(engine)
    assert [one["id"] for one in found] == ["WS-HS-101"] * 8
    assert {one["connection"] for one in found} == {
        event["connection"]
        for event in engine.events
        if event["event"] == "attempt" and event["tap"] == "edge"
    }
    for one in found:
        assert "nginx" in one["hop"]
        assert any("Upgrade" in line and line.startswith("removed") for line in one["evidence"])
        assert "proxy_set_header Upgrade $http_upgrade;" in one["fixes"][0]["text"]
    # The storm is reported once, at the tap that the client is at.
    (storm,) = (event for event in engine.events if event.get("id") == "WS-RC-001")
    assert storm["connection"] in {one["connection"] for one in found}


def test_a_dead_server_behind_the_hop_is_blamed_and_not_the_hop(tmp_path):
    (one,) = errors(asyncio.run(_run(tmp_path, GOOD, free_port(), 1)))
    assert (one["id"], one["fault_of"]) == ("WS-HS-032", "server")


def test_a_hop_that_is_down_is_named(tmp_path):
    (one,) = errors(asyncio.run(_run(tmp_path, None, free_port(), 1)))
    assert (one["id"], one["hop"]) == ("WS-HS-109", "the hop between edge and origin")


def test_a_server_that_never_answers_is_blamed_and_not_the_hop(tmp_path):
    async def play():
        server = await asyncio.start_server(mute, LOOPBACK, 0)
        try:
            return await _run(tmp_path, GOOD, server.sockets[0].getsockname()[1], 1)
        finally:
            server.close()

    (one,) = errors(asyncio.run(play()))
    assert (one["id"], one["fault_of"]) == ("WS-HS-108", "server")
    assert "nginx" in one["hop"]
