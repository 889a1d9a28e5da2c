"""`wsinspect diagnose`: "nothing wrong found" only of what was looked at."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from tests.unit.cli.maker import C2S, S2C, CaptureMaker, diagnose, har
from wsinspect.wire.opcodes import Opcode


def healthy(path: Path) -> CaptureMaker:
    maker = CaptureMaker(path)
    maker.attempt(1)
    maker.open(1)
    maker.frame(1, C2S, Opcode.TEXT, b"hello", 10)
    maker.frame(1, S2C, Opcode.TEXT, b"hello", 12)
    maker.frame(1, C2S, Opcode.CLOSE, b"\x03\xe8", 20)
    maker.frame(1, S2C, Opcode.CLOSE, b"\x03\xe8", 21)
    maker.closed(1, 22, side="server", how="fin")
    return maker


PAGE: dict[str, Any] = {
    "startedDateTime": "2026-01-01T00:00:00.000Z",
    "time": 5,
    "request": {"method": "GET", "url": "http://localhost/", "httpVersion": "HTTP/1.1", "headers": []},
    "response": {"status": 200, "statusText": "OK", "httpVersion": "HTTP/1.1", "headers": []},
}


def test_a_healthy_connection_is_nothing_wrong(tmp_path):
    path = healthy(tmp_path / "a.db").finish()
    assert diagnose(tmp_path, path)[0] == "No problems found; 1 connection looked at\n"
    found = json.loads(diagnose(tmp_path, path, "--json")[0])
    assert (found["findings"], found["connections"], found["nothing_to_look_at"]) == ([], 1, None)


@pytest.mark.parametrize(
    ("facts", "words", "advice"),
    [
        (
            {"event": "passed_unread", "server": "db:5432", "reason": "it is not HTTP"},
            "1 connection was passed on unread: it is not HTTP",
            "as HTTP",
        ),
        ({"event": "client_left", "how": "fin"}, "1 connection was ended by the client before", "console"),
        (
            {"event": "request_failed", "where": "connect", "error": "connection refused"},
            "1 request was answered by this proxy alone: connection refused",
            "reachable",
        ),
    ],
    ids=lambda one: one.get("event") if isinstance(one, dict) else "",
)
def test_why_there_is_nothing_to_look_at_though_clients_came(tmp_path, facts, words, advice):
    maker = CaptureMaker(tmp_path / "a.db")
    maker.event(0, 5, **facts)
    lines = diagnose(tmp_path, maker.finish(), code=0)[0].splitlines()
    at = next(n for n, line in enumerate(lines) if line.startswith("Nothing to diagnose: "))
    assert f"no WebSocket attempt was seen: {words}" in lines[at]
    assert advice in lines[at + 1]


@pytest.mark.parametrize("taps", [("main",), ("edge", "origin")])
def test_long_polling_alone_is_said_without_a_count_as_two_taps_see_each_request(tmp_path, taps):
    maker = CaptureMaker(tmp_path / "a.db")
    for tap in taps:
        asked: dict[str, Any] = {"tap": tap, "path": "/socket.io/", "sid": "abcd", "method": "GET"}
        maker.event(0, 5, event="polling", status=200, response="2", **asked)
    lines = diagnose(tmp_path, maker.finish(), code=0)[0].splitlines()
    assert lines[0] == (
        "Nothing to diagnose: no WebSocket attempt was seen: Socket.IO or SignalR used HTTP alone"
    )
    assert "transports" in lines[1]


def test_what_was_passed_unread_next_to_a_connection_is_not_the_reason(tmp_path):
    maker = healthy(tmp_path / "a.db")
    maker.event(0, 5, event="passed_unread", server="db:5432", reason="it is not HTTP")
    said = diagnose(tmp_path, maker.finish())[0]
    assert "Nothing to diagnose" not in said
    assert "1 connection looked at" in said


def test_a_capture_without_connections_is_nothing_to_look_at(tmp_path):
    path = CaptureMaker(tmp_path / "empty.db").finish()
    first, advice = diagnose(tmp_path, path)[0].splitlines()
    assert first == "Nothing to diagnose: no WebSocket attempt has reached the proxy"
    assert "wsinspect browser URL" in advice
    found = json.loads(diagnose(tmp_path, path, "--json")[0])["nothing_to_look_at"]
    assert found["reason"] == "no WebSocket attempt has reached the proxy"
    assert found["advice"]


@pytest.mark.parametrize(
    "made_of", [{"format": []}, {"format": {"packets": 1}}, {"format": "?"}, ["packets"], 3]
)
def test_a_stranger_s_word_of_what_a_capture_was_made_of_is_not_advice(tmp_path, made_of):
    maker = CaptureMaker(tmp_path / "empty.db")
    maker.event(0, 1, event="engine", imported=made_of)
    first = diagnose(tmp_path, maker.finish())[0].splitlines()[0]
    assert first == "Nothing to diagnose: no WebSocket attempt has reached the proxy"


def _listens(*modes: str) -> dict[str, Any]:
    taps = [{"tap": mode[:4], "mode": mode, "host": "::1", "port": 8000 + n} for n, mode in enumerate(modes)]
    return {"event": "listening", "listeners": taps}


@pytest.mark.parametrize(
    ("modes", "advice"),
    [
        (("reverse:http://127.0.0.1:3000",), "let the client connect to [::1]:8000 instead of the server"),
        (("reverse:https://a.test", "reverse:http://b.test"), "connect to [::1]:8000"),
        (("regular",), "wsinspect browser URL"),
        (("reverse:http://127.0.0.1:3000", "socks5"), "wsinspect browser URL"),
        (("reverse:tcp://127.0.0.1:25",), "wsinspect browser URL"),
    ],
)
def test_a_client_is_to_use_what_listens(tmp_path, modes, advice):
    maker = CaptureMaker(tmp_path / "a.db")
    maker.event(0, 5, **_listens(*modes))
    assert advice in diagnose(tmp_path, maker.finish())[0].splitlines()[-1]


def test_a_connection_that_a_browser_opened_to_its_proxy_in_advance_is_no_reason(tmp_path):
    for mode, is_said in (("regular", False), ("reverse:http://a.test", True)):
        maker = CaptureMaker(tmp_path / f"{mode[:4]}.db")
        maker.event(0, 5, **_listens(mode))
        maker.event(0, 6, event="client_left", tap=mode[:4], client="127.0.0.1:4000", how="fin", ms=26.1)
        said = diagnose(tmp_path, maker.finish())[0]
        assert ("no WebSocket attempt has reached the proxy" in said) is not is_said
        assert ("WS-PAGE-006" in said) is is_said


@pytest.mark.parametrize("entries", [(), (PAGE,)])
def test_a_har_without_a_websocket_is_nothing_to_look_at(tmp_path, entries):
    path = har(tmp_path / "page.har", *entries)
    first, advice = diagnose(tmp_path, path)[0].splitlines()
    assert first == f"Nothing to diagnose: {path} has no WebSocket connection"
    assert "DevTools" in advice


@pytest.mark.parametrize(
    "messages", [None, [{"type": "send", "time": 1767225600.1, "opcode": 1, "data": "a"}]]
)
def test_a_browser_s_file_is_fine_in_what_it_contains_and_no_more(tmp_path, messages):
    """It has no PING, no CLOSE and no end, and Firefox's has no messages either."""
    key, accept = "dGhlIHNhbXBsZSBub25jZQ==", "s3pPLMBiTxaQ9kYGzzhZRbK+xOo="
    fields = {"Upgrade": "websocket", "Connection": "Upgrade"}
    asked = {"Host": "localhost", **fields, "Sec-WebSocket-Key": key, "Sec-WebSocket-Version": "13"}
    answered = {**fields, "Sec-WebSocket-Accept": accept}
    entry = json.loads(json.dumps(PAGE))
    entry["request"] |= {"url": "ws://localhost/", "headers": pairs(asked)}
    entry["response"] |= {"status": 101, "headers": pairs(answered)}
    if messages is not None:
        entry["_webSocketMessages"] = messages
    out, err = diagnose(tmp_path, har(tmp_path / "page.har", entry))
    assert out == "No problems found in what the file contains; 1 connection looked at\n"
    assert ("1 WebSocket without messages" in err) is (messages is None)


def pairs(fields):
    return [{"name": name, "value": value} for name, value in fields.items()]


def test_what_was_deleted_is_not_taken_for_healthy(tmp_path):
    path = healthy(tmp_path / "a.db").finish()
    import sqlite3

    database = sqlite3.connect(path)
    database.execute("UPDATE frame SET payload = NULL")
    database.execute("INSERT INTO evicted (connection_id, payloads, bytes, frames) VALUES (1, 4, 14, 0)")
    database.commit()
    database.close()
    out, err = diagnose(tmp_path, path)
    assert out == "No problems found in what was stored; 1 connection looked at\n"
    assert "4 payloads (14 B) deleted to make room" in err


def test_a_connection_that_is_not_there_is_wrong_usage(tmp_path):
    path = healthy(tmp_path / "a.db").finish()
    assert "1 connection looked at" in diagnose(tmp_path, path, "--connection", 1)[0]
    _, err = diagnose(tmp_path, path, "--connection", 2, code=2)
    assert err == f"wsinspect: {path} has no connection 2 (wsinspect show lists them)\n"


def refused_at(path: Path, *others: int) -> Path:
    """Attempt 1 is refused at this tap; the others, whose numbers the other capture has too, are healthy."""
    maker = CaptureMaker(path)
    maker.attempt(1)
    maker.refuse(1, b"no seat for you")
    for number in others:
        maker.attempt(number, 100 * number, path=f"/{path.stem}")
        maker.open(number, 100 * number + 5)
        maker.frame(number, C2S, Opcode.CLOSE, b"\x03\xe8", 100 * number + 20)
        maker.frame(number, S2C, Opcode.CLOSE, b"\x03\xe8", 100 * number + 21)
        maker.closed(number, 100 * number + 22, side="server", how="fin")
    return maker.finish()


def test_of_two_captures_each_failure_is_said_once_counted_and_first(tmp_path):
    edge, origin = refused_at(tmp_path / "edge.db", 2), refused_at(tmp_path / "origin.db", 2, 3)
    found = json.loads(diagnose(tmp_path, edge, "--origin", origin, "--json", code=1)[0])
    assert [one for one in found["findings"] if one["severity"] == "error"] == []
    errors = [one for one in found["origin_findings"] if one["severity"] == "error"]
    assert [(one["id"], one["connection"]) for one in errors] == [("WS-HS-010", 1)]
    lines = diagnose(tmp_path, edge, "--origin", origin, code=1)[0].splitlines()
    assert lines[0] == f"Behind the hop ({origin})"
    assert lines[1].startswith("error  WS-HS-010")
    assert lines[-1].startswith("1 error")
    assert lines[-1].endswith("; 2 connections looked at")
