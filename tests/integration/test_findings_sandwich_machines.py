"""Captures of both sides of a hop, one by a machine whose clock is wrong: joined, the difference stated."""

import asyncio
import os

import pytest
from websockets.asyncio.server import serve

from tests.support.engine import ROOT, Engine, wsinspect_json
from tests.support.hops import LOOPBACK, NGINX_GOOD, nginx
from tests.support.relay_hop import relay_hop
from tests.support.small_servers import free_port
from tests.support.ticking import COUNT, all_closed, client, ticker

pytestmark = pytest.mark.lab

SHIFT = """
import time
_wall, _wall_ns = time.time, time.time_ns
time.time = lambda: _wall() + {seconds}
time.time_ns = lambda: _wall_ns() + int({seconds} * 1e9)
"""


def wrong_clock(folder, seconds):
    """The environment of a process whose wall clock is off by so much."""
    folder.mkdir(parents=True)
    (folder / "sitecustomize.py").write_text(SHIFT.format(seconds=seconds))
    return {"PYTHONPATH": os.pathsep.join((str(folder), str(ROOT)))}


async def _record(folder, make_hop, seconds, clients):
    origin = free_port()
    async with serve(ticker, LOOPBACK, 0, compression=None, ping_interval=None) as server:
        app = next(iter(server.sockets)).getsockname()[1]
        with await asyncio.to_thread(make_hop, origin, folder / "hop") as hop:

            def start(name, *, port=0, to=0, environment=None):
                tap = f"{name}=127.0.0.1:{port}=http://{LOOPBACK}:{to}"
                return Engine.start("--tap", tap, folder=folder / name, environment=environment)

            behind = await asyncio.to_thread(
                lambda: start(
                    "origin", port=origin, to=app, environment=wrong_clock(folder / "clock", seconds)
                )
            )
            before = await asyncio.to_thread(lambda: start("edge", to=hop.port))
            try:
                url = f"ws://{LOOPBACK}:{before.port('edge')}/ws"
                await asyncio.gather(*(client(url, f"client-{n}") for n in range(clients)))
                for engine in (before, behind):
                    await asyncio.to_thread(all_closed, engine)
            finally:
                await asyncio.to_thread(before.stop)
                await asyncio.to_thread(behind.stop)
    return before.capture, behind.capture


def good_nginx(origin, folder):
    return nginx(folder, f"location / {{ proxy_pass http://{LOOPBACK}:{origin}; {NGINX_GOOD} }}")


def own_keys(origin, folder):
    return relay_hop(folder, origin)


@pytest.mark.parametrize("seconds", [7.25, -3600.5])
@pytest.mark.parametrize(("make_hop", "by"), [(good_nginx, "key"), (own_keys, "content")])
def test_the_difference_of_two_clocks_is_estimated_and_stated(tmp_path, make_hop, by, seconds):
    edge, origin = asyncio.run(_record(tmp_path, make_hop, seconds, 3))
    code, told = wsinspect_json(tmp_path, "diagnose", edge, "--origin", origin)
    assert (code, told["findings"], told["origin_findings"]) == (0, [], [])
    assert [pair["joined_by"] for pair in told["sandwich"]] == [by] * 3
    for pair in told["sandwich"]:
        clock = pair["clock"]
        assert clock["same_clock"] is False
        assert abs(clock["difference_ns"] - seconds * 1e9) <= clock["error_ns"] + 1000
        assert clock["error_ns"] < 100_000_000
        assert (pair["c2s"]["sent"], pair["c2s"]["arrived"], pair["c2s"]["lost_count"]) == (COUNT, COUNT, 0)
        # On one clock nothing arrives before it was sent, but for the error that is stated.
        assert pair["c2s"]["delays_ns"]["min_ns"] >= -clock["error_ns"]
        assert pair["s2c"]["delays_ns"]["max_ns"] < 5_000_000_000
