"""Clients of JavaScript libraries, and of bad habits, through outages: each is judged for what it does."""

from __future__ import annotations

import contextlib
from collections.abc import Collection, Iterator, Mapping
from pathlib import Path
from types import MappingProxyType

import pytest

from tests.support.apps import NodeApp
from tests.support.engine import Engine
from tests.support.threaded_loop import ThreadedLoop
from wsinspect.capture.reader import Capture
from wsinspect.clients.backoff import Shape
from wsinspect.clients.facts import Transport
from wsinspect.clients.grading import Client, Reason
from wsinspect.clients.measures import OutageMeasures
from wsinspect.clients.outages import Cause, Ending
from wsinspect.diagnosis.clients import judged_clients

pytestmark = pytest.mark.lab
#: By the path of its connections.
KINDS = {
    "/socket.io/": "socketio",
    "/reconnecting": "reconnecting-websocket",
    "/hub": "signalr",
    "/phoenix/websocket": "phoenix",
    "/graphql": "graphql-ws",
    "/naive": "naive",
    "/storm": "storm",
    "/gives-up": "gives-up",
    "/perfect": "perfect",
}
OUTAGE = """\
version: 1
seed: 7
rules:
  - {name: outage, kind: refuse, status: 503, armed: false}
phases:
  - {for: 4s}
  - {do: {kind: abort, how: rst}}
  - {for: 5s, rules: [outage]}
  - {for: 4s}
"""
HALF_OPEN = """\
version: 1
seed: 7
rules:
  - {name: hole, kind: blackhole, armed: false}
phases:
  - {for: 4s}
  - {for: 5s, rules: [hole]}
  - {for: 2s}
"""


#: SignalR's other transports: the server ends them, for rules end WebSockets.
STREAMS = {"/hub": "signalr", "/hub-sse": "signalr-sse", "/hub-polling": "signalr-polling"}


@contextlib.contextmanager
def lab(
    folder: Path, scenario: str, kinds: Collection[str] = KINDS.values(), *, drop_in: int | None = None
) -> Iterator[Engine]:
    """A server, an engine with a scenario, and one client of each kind; until the phases are over.

    Args:
        drop_in: the phase at whose beginning the server ends all connections to its SignalR hub.
    """
    file = folder / "scenario.yaml"
    file.write_text(scenario)
    with ThreadedLoop() as loop:
        server = loop.run(NodeApp.start("reconnecting.mjs", "server"))
        clients = loop.run(NodeApp.start("reconnecting.mjs", "client"))
        try:
            port = loop.run(server.first_line())["port"]
            target = f"app=127.0.0.1:0=http://127.0.0.1:{port}"
            with Engine.start("--tap", target, "--faults", str(file), folder=folder / "engine") as engine:
                url = f"ws://127.0.0.1:{engine.port('app')}"
                for kind in kinds:
                    assert loop.run(clients.ask(start=kind, url=url)) == {"started": kind}
                if drop_in is not None:
                    engine.wait_for_event("phase", 60.0, phase=drop_in)
                    loop.run(server.ask(do="drop"))
                engine.wait_for_event("phase", 60.0, phase=None)
                loop.run(clients.stop())
                yield engine
        finally:
            if clients.process.returncode is None:
                loop.run(clients.stop())
            loop.run(server.stop())


def judged(
    engine: Engine, silent_ns: int = 0, kinds: Mapping[str, str] = MappingProxyType(KINDS)
) -> dict[str, Client]:
    with Capture.open(engine.capture) as capture:
        last = max(one.closed_ns or 0 for one in capture.connections())
        found = judged_clients(capture, until_ns=last + silent_ns)
    named = {kinds[one.session.first.path]: one for one in found}
    assert len(named) == len(found) == len(kinds)
    return named


def reason(client: Client, key: str) -> Reason:
    return next(one for one in client.grade.reasons if one.key == key)


def cut_off(client: Client) -> OutageMeasures:
    """The outage that the scenario made: on a busy machine a client may have lost its connection before."""
    [found] = [one for one in client.measures.outages if one.outage.cause == Cause.FAULT]
    return found


def test_an_outage(tmp_path: Path) -> None:
    with lab(tmp_path, OUTAGE) as engine:
        pass
    found = judged(engine)
    for name, client in found.items():
        first = cut_off(client).outage
        assert first.rule == "phase-abort", name
        if name != "gives-up":
            assert first.ending == Ending.RESUMED, name
            assert reason(client, "resumes").points == 10, name
            assert reason(client, "one-socket").points == 10, name
    growing = (Shape.EXPONENTIAL, Shape.LINEAR, Shape.GROWING)
    for name in ("reconnecting-websocket", "phoenix", "signalr", "graphql-ws", "perfect"):
        backoff = cut_off(found[name]).backoff
        assert backoff.plausible & set(growing), (name, backoff)
        assert backoff.shape not in (Shape.FIXED, Shape.IMMEDIATE), (name, backoff)
        assert found[name].grade.letter in ("A", "B"), (name, found[name].grade)
    assert cut_off(found["naive"]).backoff.shape == Shape.FIXED
    assert reason(found["naive"], "backoff").points == pytest.approx(4.5)
    assert reason(found["storm"], "pause").points == 0
    assert found["storm"].grade.letter in ("D", "E", "F")
    assert len(cut_off(found["gives-up"]).outage.tries) == 2
    later = judged(engine, 60_000_000_000)["gives-up"]
    assert cut_off(later).outage.ending == Ending.GAVE_UP
    assert reason(found["perfect"], "returns").points == 25
    assert len(cut_off(found["socketio"]).outage.tries) >= 3, "refused polls are tries"
    assert reason(found["socketio"], "transport").points == 10


def test_half_open(tmp_path: Path) -> None:
    with lab(tmp_path, HALF_OPEN) as engine:
        pass
    found = judged(engine)
    for name in ("socketio", "phoenix", "perfect"):
        causes = [one.outage.cause for one in found[name].measures.outages]
        assert Cause.STALL in causes, (name, causes)
        assert reason(found[name], "notices").points == 15, (name, reason(found[name], "notices"))
    for name in ("naive", "reconnecting-websocket"):
        assert found[name].measures.unnoticed, name
        assert not found[name].measures.outages, name


def test_signalr_by_server_sent_events_and_long_polling(tmp_path: Path) -> None:
    """The same outage by each of its transports: the same story, and what was said by HTTP is compared."""
    with lab(tmp_path, OUTAGE, STREAMS.values(), drop_in=2) as engine:
        pass
    found = judged(engine, kinds=STREAMS)
    for name, client in found.items():
        [measured] = client.measures.outages
        outage = measured.outage
        assert outage.ending == Ending.RESUMED, name
        assert [one.answer for one in outage.failures] == ["503"] * len(outage.failures), name
        assert len(outage.failures) >= 3, name
        assert {one.rule for one in outage.failures} == {"outage"}, name
        assert measured.backoff.shape not in (Shape.FIXED, Shape.IMMEDIATE), (name, measured.backoff)
        assert reason(client, "resumes").points == 10, (name, reason(client, "resumes"))
        assert client.grade.letter in ("A", "B"), (name, client.grade)
    for name, cause, rule, answer in (
        ("signalr", Cause.FAULT, "phase-abort", "101"),
        ("signalr-sse", Cause.SERVER, None, "Server-Sent Events"),
        ("signalr-polling", Cause.FAULT, "outage", "polling"),
    ):
        outage = found[name].measures.outages[0].outage
        assert (outage.cause, outage.rule, outage.tries[-1].answer) == (cause, rule, answer)
    assert found["signalr-sse"].measures.transport == Transport.POLLING
    assert reason(found["signalr"], "transport").points == 10
    for name in ("signalr-sse", "signalr-polling"):
        assert reason(found[name], "transport").points is None, "nobody has seen it on WebSocket"
