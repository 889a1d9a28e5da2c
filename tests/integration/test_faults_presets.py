"""Each preset does to a real client what its source says of the hop or network, played faster."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from pathlib import Path

import pytest
from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosed, InvalidStatus

from tests.support.echo_engine import EchoEngine, echo_engine

pytestmark = [pytest.mark.asyncio, pytest.mark.slow]


@asynccontextmanager
async def behind(preset: str, folder: Path, scale: float) -> AsyncIterator[EchoEngine]:
    async with echo_engine(folder, "--like", preset, "--time-scale", str(scale), "--seed", "3") as lab:
        yield lab


def opened(lab: EchoEngine) -> connect:
    return connect(lab.url(), ping_interval=None, close_timeout=1, process_exception=lambda error: error)


async def lifetime(client: ClientConnection, *, busy: str = "", seconds: float = 3.0) -> float:
    """Seconds until the connection is over; meanwhile "both" sides or the "client" alone keep it busy."""
    start = time.perf_counter()
    while time.perf_counter() - start < seconds:
        with suppress(TimeoutError):
            await asyncio.wait_for(client.wait_closed(), 0.05)
            return time.perf_counter() - start
        with suppress(ConnectionClosed):
            if busy == "both":
                await client.ping()
            elif busy == "client":
                await client.pong()  # unasked, so that nobody answers
    return seconds


@pytest.mark.parametrize(
    ("preset", "idle_s", "scale"),
    [("aws-alb", 60, 0.01), ("cloudflare", 100, 0.006), ("heroku", 55, 0.01), ("nginx-default", 60, 0.01)],
)
async def test_hops_that_end_idle_connections(
    preset: str, idle_s: float, scale: float, tmp_path: Path
) -> None:
    async with behind(preset, tmp_path, scale) as lab:
        async with opened(lab) as client:
            assert await lifetime(client, busy="client", seconds=idle_s * scale * 2) == idle_s * scale * 2
            assert idle_s * scale * 0.8 < await lifetime(client) < 3
            assert client.close_code == 1006
        assert (await lab.event("close"))["how"] == "fin"


async def test_nginx_without_the_lines_for_websockets(tmp_path: Path) -> None:
    async with behind("nginx-no-upgrade", tmp_path, 1) as lab:
        with pytest.raises(InvalidStatus):
            async with opened(lab):
                pass


@pytest.mark.parametrize(("preset", "age_s", "scale"), [("gcp-lb", 30, 0.02), ("ingress-reload", 240, 0.002)])
async def test_hops_that_end_busy_connections(
    preset: str, age_s: float, scale: float, tmp_path: Path
) -> None:
    async with behind(preset, tmp_path, scale) as lab, opened(lab) as client:
        assert age_s * scale * 0.8 < await lifetime(client, busy="both") < 3
        assert client.close_code == 1006


async def test_azure_forgets_without_a_word(tmp_path: Path) -> None:
    async with behind("azure-lb", tmp_path, 0.002) as lab:
        async with opened(lab) as client:
            assert await lifetime(client, seconds=1) == 1
            with suppress(ConnectionClosed):
                await client.send("anybody?")
            assert await lifetime(client) < 3
            assert client.close_code == 1006
        assert (await lab.event("close"))["how"] == "rst"


async def test_a_firewall_answers_500(tmp_path: Path) -> None:
    async with behind("coraza-waf", tmp_path, 1) as lab:
        with pytest.raises(InvalidStatus) as caught:
            async with opened(lab):
                pass
        assert caught.value.response.status_code == 500
        assert b"Hijacker" in (caught.value.response.body or b"")


async def test_offline_nothing_is_answered(tmp_path: Path) -> None:
    async with echo_engine(tmp_path) as lab, opened(lab) as client:
        for rule in ({"kind": "blackhole", "name": "silence"}, {"kind": "hang"}):
            await lab.control("POST", "/v1/faults", rule)
        await client.send("x")
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(client.recv(), 0.4)
        assert client.close_code is None
        await lab.control("POST", "/v1/reset")
        assert await asyncio.wait_for(client.recv(), 20) == "x"
    async with behind("offline", tmp_path / "second", 1) as lab:
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(opened(lab).__aenter__(), 0.5)


async def round_trips(client: ClientConnection, count: int) -> list[float]:
    found = []
    for number in range(count):
        start = time.perf_counter()
        await client.send(str(number))
        assert await asyncio.wait_for(client.recv(), 20) == str(number)
        found.append(time.perf_counter() - start)
    return sorted(found)


@pytest.mark.parametrize(
    ("preset", "least_s", "scale"),
    [("mobile-3g", 0.32, 0.2), ("satellite", 0.58, 0.2), ("train-tunnel", 0.06, 1)],
)
async def test_networks_take_their_time(preset: str, least_s: float, scale: float, tmp_path: Path) -> None:
    async with behind(preset, tmp_path, scale) as lab, opened(lab) as client:
        found = await round_trips(client, 5)
        assert found[0] >= least_s * scale


async def test_a_slow_line_is_slow(tmp_path: Path) -> None:
    async with behind("mobile-3g", tmp_path, 0.01) as lab, connect(lab.url(), compression=None) as client:
        start = time.perf_counter()
        await client.send("x" * 20_000)
        await client.recv()
        assert time.perf_counter() - start > 2 * 20_000 * 8 / 400_000 * 0.9


async def test_wifi_is_uneven_and_silent_for_a_while_and_loses_nothing(tmp_path: Path) -> None:
    async with behind("flaky-wifi", tmp_path, 0.1) as lab, opened(lab) as client:
        found = await round_trips(client, 150)
        assert found[-1] > 0.25  # the gap of 4 s, played ten times as fast
        kinds = {event["rule"] for event in lab.engine.events if event["event"] == "fault"}
        assert {"jitter", "gap"} <= kinds


async def test_a_connection_survives_the_tunnel(tmp_path: Path) -> None:
    async with behind("train-tunnel", tmp_path, 0.02) as lab, opened(lab) as client:
        await lab.event("fault", rule="tunnel")
        start = time.perf_counter()
        await client.send("are you there?")
        assert await asyncio.wait_for(client.recv(), 20) == "are you there?"
        assert time.perf_counter() - start > 0.4


async def test_a_deployment_is_1012_then_503_then_good_again(tmp_path: Path) -> None:
    story: list[object] = []
    waits: set[str] = set()
    async with behind("server-deploy", tmp_path, 0.05) as lab:
        for _ in range(200):
            try:
                async with opened(lab) as client:
                    story.append("good")
                    if 503 in story:
                        break
                    await asyncio.wait_for(client.wait_closed(), 20)
                    story.append(client.close_code)
            except InvalidStatus as error:
                story.append(error.response.status_code)
                waits.add(error.response.headers["Retry-After"])
                await asyncio.sleep(0.05)
    told = [one for index, one in enumerate(story) if story[index - 1 : index] != [one]]
    assert told == ["good", 1012, 503, "good"]
    assert waits == {"5"}
