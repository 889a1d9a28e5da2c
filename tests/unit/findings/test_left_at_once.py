"""A client that connects and leaves without a byte: a browser's block, or a check that the port is open."""

from __future__ import annotations

import pytest

from tests.unit.findings.facts_made import SECOND, START, summary
from wsinspect.findings.facts import CaptureFacts, EngineEvent
from wsinspect.findings.registry import diagnose_capture

OTHERS = (summary(1, 0, client="10.0.0.77:5000"),)


def found(*seconds, client="10.0.0.9", others=()):
    events = tuple(
        EngineEvent(
            START + int(at * SECOND),
            "client_left",
            {"tap": "main", "client": f"{client}:{4000 + number}", "how": "fin", "ms": 0.4},
        )
        for number, at in enumerate(seconds)
    )
    facts = CaptureFacts(connections=others, events=events)
    return [one for one in diagnose_capture(facts) if one.id == "WS-PAGE-006"]


@pytest.mark.parametrize("client", ["10.0.0.9", "127.0.0.1", "[::1]", "[fd00::9]"])
@pytest.mark.parametrize("seconds", [(0,), (0, 4), (0, 1, 7), (0, 0.001, 0.002, 0.003)])
def test_where_nothing_speaks_for_a_check_the_browser_is_named_first(client, seconds):
    [one] = found(*seconds, client=client)
    assert (one.severity, one.confidence) == ("warning", "low")
    assert "Local Network Access" in one.causes[0].cause
    assert (f"{len(seconds)} times" in one.evidence[1]) == (len(seconds) > 1)


@pytest.mark.parametrize(
    ("seconds", "facts", "words"),
    [
        ((0, 5, 10), {}, "every 5 s"),
        ((0, 10.1, 20, 30.2), {}, "health checks"),
        ((0,), {"client": "8.8.8.8"}, "address is public"),
        ((0,), {"client": "[2606:4700::1111]"}, "address is public"),
        ((0,), {"others": OTHERS}, "of others were opened"),
    ],
)
def test_what_is_rather_a_check_of_the_port_is_a_note(seconds, facts, words):
    [one] = found(*seconds, **facts)
    assert one.severity == "note"
    assert "health check" in one.causes[0].cause
    assert any(words in line for line in one.evidence)


def test_others_at_another_tap_or_refused_there_say_nothing():
    for other in (OTHERS[0]._replace(tap="else"), OTHERS[0]._replace(open_ns=None, status=403)):
        [one] = found(0, others=(other,))
        assert one.severity == "warning"


def test_each_address_is_one_finding():
    assert len(found(0, 3, 9)) == 1


@pytest.mark.parametrize(
    ("mode", "count"),
    [
        *(("regular", 0), ("upstream:http://127.0.0.1:3128", 0), ("socks5", 0)),
        *(("reverse:http://127.0.0.1:3000", 1), ("transparent", 1)),
    ],
)
def test_a_browser_opens_connections_to_its_proxy_in_advance(mode, count):
    listener = {"tap": "main", "mode": mode, "host": "127.0.0.1", "port": 8080}
    listening = EngineEvent(START, "listening", {"listeners": [listener]})
    left = EngineEvent(
        START, "client_left", {"tap": "main", "client": "127.0.0.1:4000", "how": "fin", "ms": 26.1}
    )
    findings = diagnose_capture(CaptureFacts(events=(listening, left)))
    assert [one.id for one in findings] == ["WS-PAGE-006"] * count


def listener(tap: str, mode: str) -> dict[str, object]:
    return {"tap": tap, "mode": mode, "host": "127.0.0.1", "port": 8080}


@pytest.mark.parametrize(
    ("tap", "client", "severity"),
    [
        ("origin", "10.0.0.2", "note"),
        # The tap in front of the hop, and a machine that is no hop.
        ("edge", "10.0.0.2", "warning"),
        ("origin", "10.0.0.9", "warning"),
    ],
)
def test_who_connects_behind_a_hop_from_its_address_is_the_hop(tap, client, severity):
    taps = [
        listener("edge", "reverse:http://10.0.0.2:80"),
        listener("origin", "reverse:http://10.0.0.2:3000"),
    ]
    listening = EngineEvent(START, "listening", {"listeners": taps})
    left = EngineEvent(START, "client_left", {"tap": tap, "client": f"{client}:4000", "how": "rst", "ms": 1})
    (one,) = diagnose_capture(CaptureFacts(events=(listening, left)))
    assert (one.id, one.severity) == ("WS-PAGE-006", severity)
    assert ("hop behind tap edge" in " ".join(one.evidence)) == (severity == "note")
