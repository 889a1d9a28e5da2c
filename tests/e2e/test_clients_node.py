"""Clients of JavaScript libraries, and of bad habits, through outages: each is judged for what it does."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.support.client_lab import HALF_OPEN, KINDS, OUTAGE, STREAMS, judged, lab, reason
from wsinspect.clients.backoff import Shape
from wsinspect.clients.facts import Transport
from wsinspect.clients.grading import Client
from wsinspect.clients.measures import OutageMeasures
from wsinspect.clients.outages import Cause, Ending

pytestmark = pytest.mark.lab


def cut_off(client: Client) -> OutageMeasures:
    """The outage that the scenario made: on a busy machine a client may have lost its connection before."""
    [found] = [one for one in client.measures.outages if one.outage.cause == Cause.FAULT]
    return found


def test_an_outage(tmp_path: Path) -> None:
    with lab(tmp_path, OUTAGE, back=set(KINDS.values()) - {"gives-up"}) as engine:
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
    with lab(tmp_path, OUTAGE, STREAMS.values(), drop_in=2, back=STREAMS.values()) as engine:
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
