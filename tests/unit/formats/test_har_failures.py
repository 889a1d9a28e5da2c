"""What a browser's HAR says of handshakes that failed: its own words, and no answer."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from wsinspect.capture.reader import Capture
from wsinspect.diagnosis.facts import diagnose
from wsinspect.formats.importing import import_file
from wsinspect.formats.notes import ImportNotes


def changed(**facts: Any) -> dict[str, Any]:
    """A file of one WebSocket as Chrome writes it, with other facts."""
    entry: dict[str, Any] = {
        "_resourceType": "websocket",
        "request": {
            "method": "GET",
            "url": "wss://chat.example/room?id=7",
            "httpVersion": "HTTP/1.1",
            "headers": [
                {"name": "Host", "value": "chat.example"},
                {"name": "Upgrade", "value": "websocket"},
            ],
        },
        "response": {"status": 101, "httpVersion": "HTTP/1.1", "headers": []},
        "startedDateTime": "2023-11-14T22:13:20.123Z",
        "time": 900,
    }
    return {"log": {"version": "1.2", "creator": {"name": "WebInspector"}, "entries": [{**entry, **facts}]}}


def imported(folder: Path, har: dict[str, Any]) -> tuple[Path, ImportNotes]:
    (folder / "a.har").write_text(json.dumps(har))
    target = folder / "imported.db"
    return target, import_file(folder / "a.har", target)


HANDSHAKE = "Error during WebSocket handshake: "
ESTABLISHMENT = "Error in connection establishment: net::ERR_"
#: What Chromium's console says of an attempt, whose fault that is, how sure, and words of the title.
SAYINGS = [
    (
        f"{HANDSHAKE}Sent non-empty 'Sec-WebSocket-Protocol' header but no response was received",
        "server",
        "did not take",
    ),
    (f"{HANDSHAKE}Incorrect 'Sec-WebSocket-Accept' header value", "server", "did not take"),
    (f"{HANDSHAKE}'Upgrade' header is missing", "server", "did not take"),
    (
        f"{HANDSHAKE}Found an unsupported extension 'x' in 'Sec-WebSocket-Extensions' header",
        "server",
        "did not take",
    ),
    (f"{HANDSHAKE}net::ERR_INVALID_HTTP_RESPONSE", "server", "did not take"),
    ("HTTP Authentication failed; no valid credentials available", "client", "asks for a login"),
    ("WebSocket opening handshake timed out", "server", "in time"),
    ("WebSocket opening handshake was canceled", "client", "cancelled"),
    ("WebSocket is closed before the connection is established.", "client", "page or the browser closed"),
    ("Page entered Back-Forward Cache.", "client", "page or the browser closed"),
    ("Insufficient resources", "client", "more WebSockets at a time"),
    (f"{ESTABLISHMENT}UNSAFE_PORT", "client", "never connects to this port"),
    (f"{ESTABLISHMENT}BLOCKED_BY_CLIENT", "client", "blocked"),
    (f"{ESTABLISHMENT}BLOCKED_BY_LOCAL_NETWORK_ACCESS_CHECKS", "client", "Local Network Access"),
    (f"{ESTABLISHMENT}TUNNEL_CONNECTION_FAILED", "hop", "own proxy"),
    (f"{ESTABLISHMENT}INTERNET_DISCONNECTED", "network", "network of the browser"),
    (f"{ESTABLISHMENT}CONNECTION_TIMED_OUT", "network", "did not answer in time"),
    (f"{ESTABLISHMENT}CONNECTION_RESET", "server", "closed the connection without an answer"),
    (
        "Connection closed before receiving a handshake response",
        "server",
        "closed the connection without an answer",
    ),
    ("words of another year", "network", "handshake failed: words of another year"),
]


@pytest.mark.parametrize(("words", "fault_of", "title"), SAYINGS)
@pytest.mark.parametrize("program", ["chrome", "playwright"])
def test_a_failed_attempt_is_what_the_browser_says_it_is(tmp_path, program, words, fault_of, title):
    """The file has its words alone: most are not about a server that gave no answer."""
    error = {"type": "error", "time": 1700000000.5, "opcode": -1, "data": words}
    asked = {
        "Connection": "Upgrade",
        "Sec-WebSocket-Key": "dGhlIHNhbXBsZSBub25jZQ==",
        "Sec-WebSocket-Version": "13",
    }
    if program == "chrome":
        made = changed(response={"status": 0, "headers": []}, _webSocketMessages=[error])
    else:
        made = changed(response={"status": -1, "_failureText": words}, _webSocketMessages=[])
    made["log"]["entries"][0]["request"]["headers"] += [
        {"name": name, "value": value} for name, value in asked.items()
    ]
    target, _ = imported(tmp_path, made)
    with Capture.open(target) as capture:
        (found, *_) = diagnose(capture.query)
    assert (found.fault_of, title in found.title) == (fault_of, True), found
    assert any(words[-40:] in line for line in found.evidence)


def test_over_http2_too_a_browsers_words_are_no_refusal_of_a_hop(tmp_path):
    """Chromium lists an extended CONNECT as an upgrade without a key."""

    def found(words: str) -> str:
        error = {"type": "error", "time": 1700000000.5, "opcode": -1, "data": words}
        made = changed(response={"status": 0, "headers": []}, _webSocketMessages=[error])
        (tmp_path / "imported.db").unlink(missing_ok=True)
        target, _ = imported(tmp_path, made)
        with Capture.open(target) as capture:
            return diagnose(capture.query)[0].id

    assert found(SAYINGS[0][0]) == "WS-HS-066"
    assert found(f"{HANDSHAKE}net::ERR_HTTP2_PROTOCOL_ERROR") == "WS-H2-001"


def test_a_socket_that_never_left_chrome_has_no_time_and_no_length(tmp_path):
    """Its start is one second before 1970, its length the time since this machine was started."""
    error = {"type": "error", "time": 2867.08, "opcode": -1, "data": f"{ESTABLISHMENT}UNSAFE_PORT"}
    nothing = {
        "startedDateTime": "1969-12-31T23:59:59.000Z",
        "time": 2868083.2,
        "_webSocketMessages": [error],
    }
    har = changed(**nothing, response={"status": 0, "headers": []})
    har["log"]["entries"].insert(0, changed()["log"]["entries"][0])
    target, notes = imported(tmp_path, har)
    with Capture.open(target) as capture:
        first, second = capture.connections()
        [found] = [one for one in diagnose(capture.query) if one.connection == second.id]
    assert first.attempt_ns == second.attempt_ns == second.closed_ns
    assert "1 WebSocket without a start time: placed by the entries around them" in list(notes.lines())
    assert found.title == "The browser never connects to this port"
    assert not any("min" in line for line in found.evidence)
