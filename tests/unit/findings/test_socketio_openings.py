"""Polls of Socket.IO that are refused before a WebSocket is tried: why, and by whom."""

import pytest

from tests.unit.findings.facts_made import SECOND, START
from tests.unit.findings.triggers_socketio import beating, opened
from tests.unit.findings.triggers_socketio import polled as polled_in_turn
from wsinspect.findings.facts import C2S, S2C, CaptureFacts, EngineEvent
from wsinspect.findings.registry import diagnose_capture, diagnose_connection


def first(facts):
    return diagnose_capture(facts)[0]


@pytest.mark.parametrize(
    ("status", "said", "title", "fault_of"),
    [
        (400, '{"code":5,"message":"Unsupported protocol version"}', "protocol versions", "client"),
        (
            400,
            '"The client is using an unsupported version of the Socket.IO protocols"',
            "versions",
            "client",
        ),
        (403, '{"code":4,"message":"not for you"}', "allowRequest or the CORS check", "server"),
        (400, '"http://evil.example is not an accepted origin."', "allowRequest or the CORS check", "server"),
        (400, '{"code":0,"message":"Transport unknown"}', "does not allow long-polling", "client"),
        (400, '"Invalid transport"', "does not allow long-polling", "client"),
        (404, "Cannot GET /socket.io/", "no server at /socket.io/ (404)", "server"),
        (200, "<!doctype html>", "something else answers at /socket.io/", "server"),
        (401, "", "refused with 401", "server"),
        (503, "", "answered with 503", "server"),
        (None, None, "gets no answer", "server"),
    ],
)
def test_the_answer_s_own_words_say_why(status, said, title, fault_of):
    found = first(opened(status, refusal=said))
    assert (found.id, found.fault_of) == ("WS-APP-013", fault_of)
    assert title in found.title


def test_what_the_tap_behind_the_hop_did_not_see_is_the_hop_s():
    assert first(opened(404, taps=("edge",))).fault_of == "hop"
    assert first(opened(404)).fault_of == "server"


def test_of_two_taps_what_the_server_said_is_told_once():
    found = diagnose_capture(opened(404))
    assert [one.id for one in found] == ["WS-APP-013"]
    assert "time" not in found[0].evidence[0]


def test_a_code_that_is_no_number_decides_nothing():
    found = first(opened(400, refusal='{"code":true,"message":"unsupported version"}'))
    assert "answered with 400" in found.title


def polled(*answers, kind="polling"):
    """Requests for a session, one after another, with these answers: status, and how the body begins."""
    said = []
    for number, (status, body) in enumerate(answers):
        is_served = body.startswith("0{")
        if kind == "polling":
            detail = {"path": "/socket.io/", "sid": "a" if is_served else None}
            detail |= {"response": body if is_served else "", "refusal": None if is_served else body}
        else:
            detail = {"base": "/socket.io/", "library": "socketio", "part": "begin", "refusal": body}
            detail["problem"] = "served" if is_served else "failed"
        detail |= {"tap": "main", "method": "GET", "status": status}
        said.append(EngineEvent(START + number * SECOND, kind, detail))
    return CaptureFacts(connections=(), events=tuple(said))


SERVED = (200, '0{"sid":"a"}')


@pytest.mark.parametrize("kind", ["polling", "library_asked"])
@pytest.mark.parametrize(
    ("answers", "severity"),
    [
        ([(503, "starting"), SERVED], None),
        ([(404, "no route yet"), (404, "no route yet"), SERVED, SERVED], None),
        ([SERVED, (502, "restarts"), SERVED], None),
        ([(301, "")], None),
        ([(308, "")], None),
        ([SERVED], None),
        ([SERVED, (403, "no"), SERVED], "warning"),
        ([SERVED, (502, "gone")], "warning"),
        ([(302, "to the login")], "error"),
        ([(503, "starting"), (503, "starting")], "error"),
    ],
)
def test_what_is_over_once_a_later_one_was_served_is_no_refusal(kind, answers, severity):
    found = [(one.id, one.severity) for one in diagnose_capture(polled(*answers, kind=kind))]
    assert found == ([("WS-APP-013", severity)] if severity else [])


def test_jsonp_is_an_answer():
    assert diagnose_capture(polled((200, r'___eio[0]("0{\"sid\":\"a\"}");'))) == []


def test_of_a_file_only_some_are_known_and_none_are_counted():
    (found,) = diagnose_capture(polled((404, "no"), (404, "no"), kind="library_asked"))
    assert found.evidence[0] == "GET /socket.io/, without a session: 404"
    (found,) = diagnose_capture(polled((404, "no"), (404, "no")))
    assert found.evidence[0].endswith("404, 2 times of 2")


def test_a_client_that_had_answered_is_not_told_to_answer():
    beats = [((S2C, 20, "2"), (C2S, 20.1, "3")), ()]
    fell_silent, never = (diagnose_connection(beating(*one))[0] for one in beats)
    assert (fell_silent.id, never.id) == ("WS-APP-015", "WS-APP-015")
    assert "no longer answered" in fell_silent.title
    assert any("suspended" in one.cause for one in fell_silent.causes)
    assert not any("answer each" in one.text.lower() for one in fell_silent.fixes)
    assert any("answer each" in one.text.lower() for one in never.fixes)


def test_what_a_rule_of_ours_refused_is_no_answer_of_a_server():
    assert diagnose_capture(opened(503, rule="outage")) == []
    assert first(opened(503, rule=None)).id == "WS-APP-013"


def at_hosts(*asked):
    """Requests for a session, refused with 404 or served: (tap, host, whether it was served)."""
    events = [
        EngineEvent(
            START + number * SECOND,
            "polling",
            {
                **{"path": "/socket.io/", "host": host, "tap": tap, "method": "GET"},
                **{"status": 200 if is_served else 404, "sid": "a" if is_served else None},
                **{"response": SERVED[1] if is_served else "", "refusal": None if is_served else "no"},
            },
        )
        for number, (tap, host, is_served) in enumerate(asked)
    ]
    there = EngineEvent(START, "listening", {"listeners": [{"tap": "edge"}, {"tap": "origin"}]})
    return CaptureFacts(events=(there, *events))


@pytest.mark.parametrize(
    ("asked", "expected"),
    [
        ([("main", "a.example", False), ("main", "b.example", True)], [("a.example", "server")]),
        (
            [("main", "a.example", False), ("main", "b.example", False)],
            [("a.example", "server"), ("b.example", "server")],
        ),
        # behind the hop only one of the two hosts was asked: the hop answered for the other itself
        (
            [("edge", "a.example", False), ("edge", "b.example", True), ("origin", "b.example", True)],
            [("a.example", "hop")],
        ),
        ([("edge", "a.example", False), ("origin", "a.example", False)], [("", "server")]),
        # a hop that sends another Host
        ([("edge", "a.example", True), ("origin", "app", True)], []),
        ([("edge", "a.example", False), ("origin", "app", False)], [("", "server")]),
        ([("edge", "a.example", False)], [("", "hop")]),
    ],
)
def test_two_hosts_with_one_path_are_two_servers(asked, expected):
    found = diagnose_capture(at_hosts(*asked))
    assert [one.id for one in found] == ["WS-APP-013"] * len(expected)
    for one, (host, party) in zip(found, expected, strict=True):
        assert one.fault_of == party
        assert one.evidence[0].startswith(f"GET {host}/socket.io/")


def test_requests_that_two_taps_saw_are_in_turn_once():
    def at(tap, sid):
        events = polled_in_turn((sid, 0, 200), (sid, 0.1, 400), (sid, 0.2, 200)).events
        return tuple(EngineEvent(one.time_ns, one.kind, {**one.detail, "tap": tap}) for one in events)

    def ids(*events):
        return [one.id for one in diagnose_capture(CaptureFacts(connections=(), events=events))]

    assert ids(*at("edge", "a"), *at("origin", "a")) == ["WS-APP-012"]
    assert ids(*at("edge", "a"), *at("other", "b")) == ["WS-APP-012", "WS-APP-012"]
