"""Real clients in Python through the real engine: each has its grade, and for the right reasons."""

from __future__ import annotations

import asyncio
import contextlib
import random
from collections.abc import Callable, Coroutine, Mapping
from pathlib import Path
from typing import Any

import pytest
from websockets.asyncio.client import connect

from tests.support.client_lab import FAILS, by_its_iterator, half_open, outage, reason, talk
from tests.support.echo_engine import EchoEngine, echo_engine
from wsinspect.capture.reader import Capture
from wsinspect.clients.backoff import Shape
from wsinspect.clients.grading import Client
from wsinspect.clients.outages import Cause, Ending
from wsinspect.diagnosis.clients import judged_clients

pytestmark = pytest.mark.asyncio
SCENARIO = outage("600ms", "3s", "2500ms")
HALF_OPEN = half_open("1500ms", "3s", "1500ms")
Connected = Callable[[str], Coroutine[Any, Any, None]]


async def once(url: str, **options: Any) -> None:
    async with connect(url, **{"open_timeout": 1, "close_timeout": 0.2, **options}) as socket:
        await talk(socket)


async def backing_off(url: str) -> None:
    """Exponential with jitter; a heartbeat."""
    delay = 0.2
    while True:
        with contextlib.suppress(*FAILS):
            async with connect(
                url, open_timeout=1, close_timeout=0.2, ping_interval=0.3, ping_timeout=0.3
            ) as socket:
                delay = 0.2
                await talk(socket)
        await asyncio.sleep(delay * random.uniform(0.6, 1.4))
        delay = min(delay * 2, 1.5)


async def by_a_timer(url: str) -> None:
    while True:
        with contextlib.suppress(*FAILS):
            await once(url, ping_interval=None)
        await asyncio.sleep(0.4)


async def storming(url: str) -> None:
    while True:
        with contextlib.suppress(*FAILS):
            await once(url)
        await asyncio.sleep(0.03)


async def giving_up(url: str) -> None:
    for _ in range(3):
        with contextlib.suppress(*FAILS):
            await once(url)
        await asyncio.sleep(0.2)
    await asyncio.Event().wait()


async def played(lab: EchoEngine, clients: Mapping[str, Connected]) -> dict[str, Client]:
    tasks = [asyncio.create_task(run(lab.url(f"/{name}"))) for name, run in clients.items()]
    try:
        await lab.event("phase", phase=None)
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
    with await lab.stop() as capture:
        found = judged_clients(capture)
    assert len(found) == len(clients)
    return {one.session.first.path.removeprefix("/"): one for one in found}


async def test_an_outage_tells_clients_apart(tmp_path: Path) -> None:
    file = tmp_path / "scenario.yaml"
    file.write_text(SCENARIO)
    async with echo_engine(tmp_path, "--faults", str(file)) as lab:
        clients = {
            "good": backing_off,
            "timer": by_a_timer,
            "storm": storming,
            "iterator": by_its_iterator,
        }
        found = await played(lab, clients)
    good, timer, storm = found["good"], found["timer"], found["storm"]
    iterated = found["iterator"].measures.outages[0]
    assert iterated.backoff.plausible & {Shape.EXPONENTIAL, Shape.GROWING}, iterated.backoff
    assert found["iterator"].grade.letter in ("A", "B")
    assert good.grade.letter in ("A", "B")
    assert reason(good, "jitter").points in (None, 10)
    [outage] = [one.outage for one in good.measures.outages]
    assert (outage.cause, outage.ending, outage.rule) == (Cause.FAULT, Ending.RESUMED, "phase-abort")
    assert outage.reconnect_ns is not None
    assert outage.reconnect_ns < 3_000_000_000
    assert reason(timer, "backoff").seen.startswith("fixed")
    assert timer.grade.letter in ("B", "C")
    assert reason(storm, "pause").points == 0
    assert storm.grade.letter in ("D", "E", "F")
    assert storm.grade.points / storm.grade.tested < timer.grade.points / timer.grade.tested
    for one in found.values():
        assert reason(one, "returns").points == 25
        assert reason(one, "resumes").points == 10
    sessions = [event for event in lab.engine.events if event["event"] == "session"]
    assert {event["grade"] for event in sessions} == {one.grade.letter for one in found.values()}


@pytest.mark.slow
async def test_half_open_tells_clients_with_a_heartbeat_apart(tmp_path: Path) -> None:
    file = tmp_path / "scenario.yaml"
    file.write_text(HALF_OPEN)
    async with echo_engine(tmp_path, "--faults", str(file)) as lab:
        found = await played(lab, {"good": backing_off, "deaf": by_a_timer})
    [outage] = [one.outage for one in found["good"].measures.outages]
    assert outage.cause == Cause.STALL
    assert reason(found["good"], "notices").points == 15
    assert found["deaf"].measures.unnoticed
    assert reason(found["deaf"], "notices").points is None  # three seconds are no proof without a heartbeat


async def test_giving_up_is_seen_once_it_has_been_silent_for_long(tmp_path: Path) -> None:
    async with echo_engine(
        tmp_path,
        "--fault",
        "abort,how=rst,after=200ms,name=cut",
        "--fault",
        "refuse,status=503,name=outage,attempt=2-",
    ) as lab:
        task = asyncio.create_task(giving_up(lab.url()))
        await lab.event("refused")
        await lab.event("refused", connection=3)
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
        with await lab.stop() as capture:
            [now] = judged_clients(capture)
            at = now.session.attempts[-1].attempt_ns
            [later] = judged_clients(capture, until_ns=at + 30_000_000_000)
    assert now.measures.outages[-1].outage.ending == Ending.TRYING
    assert later.measures.outages[-1].outage.ending == Ending.GAVE_UP
    assert reason(later, "returns").points == 0


@pytest.mark.slow
async def test_five_hundred_at_once_are_judged_one_by_one(tmp_path: Path) -> None:
    file = tmp_path / "scenario.yaml"
    file.write_text(outage("15s", "2s", "10s"))

    async def named(url: str, user: int) -> None:
        while True:
            with contextlib.suppress(*FAILS):
                await once(f"{url}?user={user}", open_timeout=20)
            await asyncio.sleep(0.5 + user / 500)

    async with echo_engine(tmp_path, "--faults", str(file)) as lab:
        tasks = [asyncio.create_task(named(lab.url(), user)) for user in range(500)]
        await asyncio.to_thread(lab.engine.wait_for_event, "phase", 90.0, phase=None)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        with await lab.stop() as capture:
            found = judged_clients(capture)
            paths = {one.id: one.path for one in capture.connections()}
    assert len(found) == 500
    for one in found:
        assert len({paths[attempt.id] for attempt in one.session.attempts}) == 1
        assert one.session.confidence.word == "high"
        # Who was slow to connect at first has had an outage before.
        endings = [each.outage.ending for each in one.measures.outages]
        assert endings.count(Ending.RESUMED) >= len(endings) - 1
        assert endings


async def test_a_session_continues_over_a_restart_of_the_proxy(tmp_path: Path) -> None:
    capture = tmp_path / "kept.db"
    listen = "127.0.0.1:0"
    for append in ((), ("--append",)):
        options = ("--capture", str(capture), "--listen", listen, *append)
        async with echo_engine(tmp_path, *options) as lab:
            listen = f"127.0.0.1:{lab.engine.port('reverse')}"
            async with connect(lab.url("/chat?user=ann"), close_timeout=0.2) as socket:
                await socket.send('{"type":"join"}')
                await socket.recv()
                await asyncio.to_thread(lab.engine.stop)
                with contextlib.suppress(*FAILS):
                    await socket.recv()
    with Capture.open(capture) as reader:
        [client] = judged_clients(reader)
    assert [one.run for one in client.session.attempts] == [1, 2]
    assert client.session.doubts == ("the proxy was restarted in between",)
    assert client.session.confidence.word == "medium"
    [outage] = [one.outage for one in client.measures.outages]
    assert (outage.cause, outage.ending) == (Cause.PROXY, Ending.RESUMED)
