"""HAR on Chrome's convention: what we write is one, and what others write is read."""

from __future__ import annotations

import io
import json
from typing import Any

import pytest

from tests.support.chats import Chat, chat_capture, random_capture, said, store
from tests.support.har_check import problems
from tests.support.journals import need
from wsinspect.capture.reader import Capture
from wsinspect.diagnosis.facts import FactReader, diagnose
from wsinspect.errors import CaptureError
from wsinspect.formats import har_writer
from wsinspect.formats.har_writer import write_har
from wsinspect.formats.importing import import_file

CHROME: dict[str, Any] = {
    "log": {
        "version": "1.2",
        "creator": {"name": "WebInspector", "version": "537.36"},
        "pages": [],
        "entries": [
            {
                "_initiator": {"type": "script"},
                "_resourceType": "websocket",
                "_webSocketMessages": [
                    {"type": "send", "time": 1700000000.5, "opcode": 1, "data": '{"a":"ü"}'},
                    {"type": "receive", "time": 1700000000.75, "opcode": 2, "data": "AAEC"},
                    {"type": "error", "time": 1700000000.8, "opcode": -1, "data": "Invalid frame header"},
                ],
                "cache": {},
                "request": {
                    "method": "GET",
                    "url": "wss://chat.example/room?id=7",
                    "httpVersion": "HTTP/1.1",
                    "headers": [
                        {"name": "Host", "value": "chat.example"},
                        {"name": "Upgrade", "value": "websocket"},
                    ],
                    "queryString": [{"name": "id", "value": "7"}],
                    "cookies": [],
                    "headersSize": 300,
                    "bodySize": 0,
                },
                "response": {
                    "status": 101,
                    "statusText": "Switching Protocols",
                    "httpVersion": "HTTP/1.1",
                    "headers": [{"name": "Sec-WebSocket-Protocol", "value": "chat.v2"}],
                    "cookies": [],
                    "content": {"size": 0, "mimeType": "x-unknown"},
                    "redirectURL": "",
                    "headersSize": 100,
                    "bodySize": 0,
                },
                "serverIPAddress": "93.184.216.34",
                "startedDateTime": "2023-11-14T22:13:20.123Z",
                "time": 2000.5,
                "timings": {"blocked": -1, "send": 0, "wait": 1, "receive": 0},
            },
            {"request": {"method": "GET", "url": "https://chat.example/"}, "response": {"status": 200}},
        ],
    }
}


def exported(path, **options):
    out = io.BytesIO()
    with Capture.open(path) as capture:
        result = write_har(capture, out, **options)
    return json.loads(out.getvalue()), result


def imported(tmp_path, har, name="imported.db"):
    source = tmp_path / "x.har"
    source.write_bytes(har if isinstance(har, bytes) else json.dumps(har).encode())
    return tmp_path / name, import_file(source, tmp_path / name)


@pytest.mark.parametrize("seed", [2, 5, 7])
def test_an_export_is_valid_har_with_all_messages(tmp_path, seed):
    path = random_capture(tmp_path / "a.db", seed)
    har, result = exported(path)
    assert list(problems(har)) == []
    with Capture.open(path) as capture:
        for entry, one in zip(har["log"]["entries"], capture.connections(), strict=True):
            assert len(entry["_webSocketMessages"]) == len(capture.messages(one.id, limit=100_000))
    assert result.messages == sum(len(entry["_webSocketMessages"]) for entry in har["log"]["entries"])


def test_messages_are_as_chrome_writes_them(tmp_path):
    har, _ = exported(chat_capture(tmp_path / "a.db"))
    first, refused = har["log"]["entries"]
    assert [
        {key: message[key] for key in ("type", "opcode", "data")} for message in first["_webSocketMessages"]
    ] == [
        {"type": "send", "opcode": 1, "data": '{"op":"join","room":7}'},
        {"type": "receive", "opcode": 1, "data": '{"op":"welcome","id":"a1b2"}'},
        {"type": "receive", "opcode": 2, "data": "AAEC"},
    ]
    assert first["_resourceType"] == "websocket"
    assert refused["response"]["status"] == 403
    assert refused["response"]["content"]["text"] == "no entry"


def test_a_round_trip_keeps_messages_control_frames_and_the_end(tmp_path):
    path = chat_capture(tmp_path / "a.db")
    har, _ = exported(path)
    target, notes = imported(tmp_path, har)
    assert said(target, 1) == said(path, 1)
    assert notes.connections == 2
    with Capture.open(path) as before, Capture.open(target) as after:
        for old, new in zip(before.connections(), after.connections(), strict=True):
            for name in (
                "state",
                "status",
                "ended_by",
                "how",
                "js_code",
                "js_was_clean",
                "host",
                "attempt_ns",
            ):
                assert getattr(old, name) == getattr(new, name), name
            assert (old.client_close_code, old.client_close_reason) == (
                new.client_close_code,
                new.client_close_reason,
            )
        assert [(f.direction, f.opcode, f.payload, f.time_ns) for f in before.frames()] == [
            (f.direction, f.opcode, f.payload, f.time_ns) for f in after.frames()
        ]
        assert after.meta["imported"] == {"from": "x.har", "format": "har"}


def test_secrets_are_masked_unless_wanted(tmp_path):
    path = chat_capture(tmp_path / "a.db")
    masked = json.dumps(exported(path)[0])
    whole = json.dumps(exported(path, include_secrets=True)[0])
    for secret in ("s3cr3t", "t0k3n", "abc123", "c00k1e"):
        assert secret in whole
        assert secret not in masked


def test_what_is_not_whole_says_so(tmp_path):
    script = Chat(meta={"snaplen": 4})
    script.accept(1)
    script.client(1, b"0123456789")
    script.server(1, b"\xff\xfe")
    har, result = exported(store(tmp_path / "a.db", script))
    cut, broken = har["log"]["entries"][0]["_webSocketMessages"]
    assert (cut["data"], cut["_truncated"], cut["_length"]) == ("0123", True, 10)
    assert broken["_base64"] == "//4="
    assert result.truncated == 1
    _, notes = imported(tmp_path, har)
    assert list(notes.lines()) == ["1 message cut before the export"]


def test_long_messages_are_written_in_pieces(tmp_path, monkeypatch):
    monkeypatch.setattr(har_writer, "_PIECE", 6)
    path = chat_capture(tmp_path / "a.db")
    assert [message["data"] for message in exported(path)[0]["log"]["entries"][0]["_webSocketMessages"]] == [
        '{"op":"join","room":7}',
        '{"op":"welcome","id":"a1b2"}',
        "AAEC",
    ]


REQUEST2 = (
    b":method: CONNECT\r\n:protocol: websocket\r\n:scheme: https\r\n:path: /room\r\n"
    b":authority: chat.example\r\nsec-websocket-version: 13\r\norigin: https://chat.example\r\n\r\n"
)


def test_a_websocket_over_http2_is_one_after_a_round_trip(tmp_path):
    script = Chat()
    script.begin(1, REQUEST2, "/room", "HTTP/2.0")
    script.answer(1, b":status: 200\r\nserver: x\r\n\r\n")
    script.event(1, "open")
    script.client(1, b"hello")
    script.end(1, "server")
    with Capture.open(store(tmp_path / "made.db", script)) as capture:
        out = io.BytesIO()
        write_har(capture, out)
    (entry,) = json.loads(out.getvalue())["log"]["entries"]
    # As DevTools write ordinary requests of HTTP/2.
    assert entry["request"]["httpVersion"] == entry["response"]["httpVersion"] == "http/2.0"
    names = [field["name"] for field in entry["request"]["headers"]]
    assert names[:5] == [":method", ":protocol", ":scheme", ":path", ":authority"]
    path = tmp_path / "made.har"
    path.write_bytes(out.getvalue())
    import_file(path, tmp_path / "again.db")
    with Capture.open(tmp_path / "again.db") as capture:
        (one,) = capture.connections()
        shake = capture.handshake(one.id)
    assert (one.http_version, one.status, one.path) == ("HTTP/2.0", 200, "/room")
    assert one.open_ns is not None
    assert shake is not None
    assert shake.request_in == REQUEST2
    assert shake.response_in == b":status: 200\r\nserver: x\r\n\r\n"


#: How Chromium 156 lists an extended CONNECT: an upgrade of HTTP/1.1, without a key.
LISTED2 = {
    "Upgrade": "websocket",
    "Origin": "https://chat.example",
    "Connection": "Upgrade",
    "Sec-WebSocket-Version": "13",
    "Host": "chat.example:8443",
    "Sec-WebSocket-Extensions": "permessage-deflate; client_max_window_bits",
}
NO_ANSWER = {"status": 0, "httpVersion": "", "headers": [], "content": {"size": 0, "mimeType": "x-unknown"}}


def listed(fields, response, **more):
    """An entry of a WebSocket with these request fields."""
    request = {
        "method": "GET",
        "url": "wss://chat.example:8443/room?id=7",
        "httpVersion": "HTTP/1.1",
        "headers": [{"name": name, "value": value} for name, value in fields.items()],
    }
    return {
        "_resourceType": "websocket",
        "startedDateTime": "2026-11-30T00:56:38.033Z",
        "time": 64.1,
        "request": request,
        "response": response,
        **more,
    }


def browsers_answer(status, *fields, body=None):
    headers = [{"name": name, "value": value} for name, value in (("server", "x"), *fields)]
    content = {"size": 0, "mimeType": "x-unknown"} if body is None else {"size": len(body), "text": body}
    return {"status": status, "httpVersion": "HTTP/1.1", "headers": headers, "content": content}


REFUSED = "Error during WebSocket handshake: Unexpected response code: 403"
CHROME_REFUSED = {
    "_webSocketMessages": [{"type": "error", "time": 1796000274.0, "opcode": -1, "data": REFUSED}]
}
SPOKEN = {"_webSocketMessages": [{"type": "send", "time": 1796000198.1, "opcode": 1, "data": "hello"}]}


@pytest.mark.parametrize(
    ("response", "more", "expected"),
    [
        (browsers_answer(200, ("sec-websocket-extensions", "permessage-deflate")), SPOKEN, ("closed", 200)),
        (browsers_answer(200), {"_webSocketMessages": []}, ("closed", 200)),
        (NO_ANSWER, CHROME_REFUSED, ("refused", 403)),
        # Playwright has the failure in the response.
        ({**NO_ANSWER, "status": -1, "_failureText": REFUSED}, {}, ("refused", 403)),
    ],
)
def test_a_browsers_websocket_over_http2_is_an_extended_connect(tmp_path, response, more, expected):
    path = tmp_path / "made.har"
    path.write_text(json.dumps({"log": {"entries": [listed(LISTED2, response, **more)]}}))
    import_file(path, tmp_path / "made.db")
    with Capture.open(tmp_path / "made.db") as capture:
        (one,) = capture.connections()
        shake = capture.handshake(one.id)
        found = [one.id for one in diagnose(capture.query) if one.severity == "error"]
    assert (one.state, one.status, one.http_version) == (*expected, "HTTP/2.0")
    assert shake is not None
    assert shake.request_in == (
        b":method: CONNECT\r\n:authority: chat.example:8443\r\n:scheme: https\r\n:path: /room?id=7\r\n"
        b":protocol: websocket\r\norigin: https://chat.example\r\nsec-websocket-version: 13\r\n"
        b"sec-websocket-extensions: permessage-deflate; client_max_window_bits\r\n\r\n"
    )
    assert found == ([] if expected == ("closed", 200) else ["WS-HS-010"])


KEY = {"Sec-WebSocket-Key": "dGhlIHNhbXBsZSBub25jZQ=="}
SWITCH = (("Upgrade", "websocket"), ("Connection", "Upgrade"))


@pytest.mark.parametrize(
    ("fields", "response", "more"),
    [
        ({**LISTED2, **KEY}, browsers_answer(101, *SWITCH), SPOKEN),
        ({**LISTED2, **KEY}, browsers_answer(200), {"_webSocketMessages": []}),
        ({**LISTED2, **KEY}, NO_ANSWER, CHROME_REFUSED),
        # Clients that forget the key, and what they get.
        (LISTED2, browsers_answer(101, *SWITCH), SPOKEN),
        (LISTED2, browsers_answer(400, body="Bad Request"), {}),
        (LISTED2, browsers_answer(200, body="<title>a page</title>"), {}),
        # It never had a connection.
        ({}, NO_ANSWER, CHROME_REFUSED),
    ],
)
def test_any_other_upgrade_of_a_har_is_one_of_http1(tmp_path, fields, response, more):
    path = tmp_path / "made.har"
    path.write_text(json.dumps({"log": {"entries": [listed(fields, response, **more)]}}))
    import_file(path, tmp_path / "made.db")
    with Capture.open(tmp_path / "made.db") as capture:
        (one,) = capture.connections()
        shake = capture.handshake(one.id)
    assert one.http_version == "HTTP/1.1"
    assert shake is not None
    assert shake.request_in is not None
    assert shake.request_in.startswith(b"GET /room?id=7 HTTP/1.1\r\n")


def test_chromes_file_is_read(tmp_path):
    target, notes = imported(tmp_path, CHROME)
    assert said(target, 1) == [
        ("c2s", 1, 1_700_000_000_500_000_000, '{"a":"ü"}'.encode()),
        ("s2c", 2, 1_700_000_000_750_000_000, b"\x00\x01\x02"),
    ]
    assert (notes.entries, notes.connections, notes.frames, notes.unreadable) == (2, 1, 2, 0)
    with Capture.open(target) as capture:
        (one,) = capture.connections()
        assert one.error == "Invalid frame header"
        assert (one.url, one.state, one.subprotocol) == ("wss://chat.example/room?id=7", "closed", "chat.v2")
        assert one.attempt_ns == 1_700_000_000_123_000_000
        assert one.closed_ns == 1_700_000_002_123_500_000
        assert need(need(capture.handshake(1)).request_in).startswith(
            b"GET /room?id=7 HTTP/1.1\r\nHost: chat.example\r\n"
        )


@pytest.mark.parametrize("creator", [{"name": "Playwright", "version": "1.65.1"}, {}, "Firefox", None])
def test_who_exports_messages_is_not_said_to_export_none(tmp_path, creator):
    """Playwright leaves the list out for a WebSocket on which nothing was said."""
    har = json.loads(json.dumps(CHROME))
    del har["log"]["entries"][0]["_webSocketMessages"]
    har["log"]["creator"] = creator
    _, notes = imported(tmp_path, har)
    assert list(notes.lines()) == ["1 WebSocket without messages"]


def test_firefoxs_file_has_handshakes_alone_and_that_is_said(tmp_path):
    har = json.loads(json.dumps(CHROME))
    entry = har["log"]["entries"][0]
    del entry["_webSocketMessages"], entry["_resourceType"]
    har["log"]["creator"] = {"name": "Firefox", "version": "143.0"}
    target, notes = imported(tmp_path, har)
    assert list(notes.lines()) == ["1 WebSocket without messages (Firefox exports none)"]
    with Capture.open(target) as capture:
        assert capture.connections()[0].status == 101


def test_connections_are_put_in_the_order_of_time(tmp_path):
    har = json.loads(json.dumps(CHROME))
    other = json.loads(json.dumps(har["log"]["entries"][0]))
    other["_webSocketMessages"][0]["time"] = 1700000000.6
    har["log"]["entries"].insert(0, other)
    target, _ = imported(tmp_path, har)
    with Capture.open(target) as capture:
        frames = capture.frames()
    assert [frame.time_ns for frame in frames] == sorted(frame.time_ns for frame in frames)
    assert {frame.connection_id for frame in frames} == {1, 2}


def test_a_failed_attempt_keeps_its_error(tmp_path):
    har = json.loads(json.dumps(CHROME))
    entry = har["log"]["entries"][0]
    entry["response"] = {"status": 0, "_error": "net::ERR_CONNECTION_REFUSED"}
    entry["_webSocketMessages"] = []
    target, _ = imported(tmp_path, har)
    with Capture.open(target) as capture:
        (one,) = capture.connections()
    assert (one.state, one.error) == ("failed", "net::ERR_CONNECTION_REFUSED")


def changed(**facts):
    """Chrome's file with other facts in its WebSocket; None takes one out."""
    har = json.loads(json.dumps(CHROME))
    entry = har["log"]["entries"][0]
    entry.update(facts)
    for name in [name for name, value in facts.items() if value is None]:
        del entry[name]
    return har


def messages(*times):
    return [{"type": "receive", "time": time, "opcode": 1, "data": str(n)} for n, time in enumerate(times)]


def only(target):
    with Capture.open(target) as capture:
        (one,) = capture.connections()
        return one, [frame.time_ns for frame in capture.frames()]


@pytest.mark.parametrize(
    "times",
    [
        (1700000000.5, 1700000001.25),
        (1700000000500, 1700000001250),
        (1700000000500.0, "1700000001250.0"),
        (1700000000500000, 1700000001250000),
        (1700000000500000000, 1700000001250000000),
    ],
    ids=["seconds", "Playwright's milliseconds", "fractions and text", "microseconds", "nanoseconds"],
)
def test_message_times_are_read_in_the_unit_they_are_in(tmp_path, times):
    target, notes = imported(tmp_path, changed(_webSocketMessages=messages(*times)))
    assert only(target)[1] == [1_700_000_000_500_000_000, 1_700_000_001_250_000_000]
    assert list(notes.lines()) == []


@pytest.mark.parametrize("times", [(0.5, 1.25), (500, 1250), (0, 0.5)])
def test_relative_message_times_count_from_the_start_and_that_is_said(tmp_path, times):
    target, notes = imported(tmp_path, changed(_webSocketMessages=messages(*times)))
    one, found = only(target)
    factor = 1_000_000 if times[1] > 100 else 10**9
    assert found == [one.attempt_ns + round(time * factor) for time in times]
    assert list(notes.lines()) == ["1 WebSocket with relative message times: counted from the start time"]
    assert one.closed_ns == 1_700_000_002_123_500_000


def test_playwrights_failures_are_kept(tmp_path):
    failed = {"status": -1, "_failureText": "net::ERR_CONNECTION_REFUSED"}
    target, _ = imported(tmp_path, changed(response=failed, _webSocketMessages=[]))
    one, _ = only(target)
    assert (one.state, one.error, one.status) == ("failed", "net::ERR_CONNECTION_REFUSED", None)


@pytest.mark.parametrize(
    ("close", "ended"),
    [
        ({"code": 1011, "reason": "boom"}, ("unknown", "close-frame", 1011, True)),
        ({"code": 1005}, ("unknown", "close-frame", 1005, True)),
        ("aborted", ("unknown", None, 1006, False)),
        (None, ("unknown", None, None, None)),
        ({"code": "x"}, ("unknown", None, None, None)),
    ],
)
def test_http_toolkits_close_says_the_code_and_not_who_sent_it(tmp_path, close, ended):
    har = changed(_webSocketMessages=messages(1700000000.5))
    if close is not None:
        har["log"]["entries"][0]["_webSocketClose"] = close
    target, _ = imported(tmp_path, har)
    one, _ = only(target)
    assert (one.ended_by, one.how, one.js_code, one.js_was_clean) == ended
    assert (one.client_close_code, one.server_close_code) == (None, None)


@pytest.mark.parametrize(
    ("facts", "expected"),
    [
        ({"_webSocketClose": {"code": 1011, "reason": "boom"}}, [("WS-CL-032", "warning")]),
        ({"_webSocketClose": "aborted"}, [("WS-CL-032", "warning")]),
        ({"_webSocketClose": {"code": 1000}}, []),
        ({"_webSocketClose": {"code": 1005}}, []),
        ({}, []),
        (
            {
                "_webSocketMessages": [
                    {"type": "error", "time": 1, "opcode": -1, "data": "Invalid frame header"}
                ]
            },
            [("WS-FR-011", "error")],
        ),
        ({"_webSocketMessages": [{"type": "error", "time": 1, "opcode": -1, "data": ""}]}, []),
    ],
)
def test_what_a_file_says_of_an_end_is_a_finding_and_nothing_more(tmp_path, facts, expected):
    target, _ = imported(tmp_path, changed(**{"_webSocketMessages": messages(1700000000.5), **facts}))
    with Capture.open(target) as capture:
        found = [
            one
            for one in diagnose(capture.query)
            if one.id.split("-")[1] in ("CL", "FR", "DROP", "KA", "TOOL")
        ]
    assert [(one.id, one.severity) for one in found] == expected
    for one in found:
        assert any(
            word in " ".join((one.title, *one.evidence)) for word in ("boom", "aborted", "Invalid frame")
        )


@pytest.mark.parametrize("name", ["CONNECTION_REFUSED", "NAME_NOT_RESOLVED", "ADDRESS_UNREACHABLE"])
def test_an_attempt_that_a_browser_could_not_make_has_nothing_to_do_with_a_proxy(tmp_path, name):
    failed = {"status": -1, "_failureText": f"net::ERR_{name}"}
    target, _ = imported(tmp_path, changed(response=failed, _webSocketMessages=[]))
    with Capture.open(target) as capture:
        (found, *_) = diagnose(capture.query)
    assert found.js.endswith(f"Chrome's console has net::ERR_{name}.")
    assert "roxy" not in f"{found.meaning} {found.js}"


def test_entries_without_times_are_taken_and_that_is_said(tmp_path):
    har = changed(startedDateTime=None, time=None, _webSocketMessages=messages(1700000005.5))
    target, notes = imported(tmp_path, har)
    assert only(target)[0].attempt_ns == 1_700_000_005_500_000_000
    assert list(notes.lines()) == ["1 WebSocket without a start time: placed by the entries around them"]


def test_nothing_is_concluded_from_what_a_har_does_not_record(tmp_path):
    """No PING, no CLOSE and a long silence before the end: the format has none of these."""
    har = changed(time=600_000, _webSocketMessages=messages(1700000000.5))
    target, _ = imported(tmp_path, har)
    with Capture.open(target) as capture:
        facts = need(FactReader(capture.query).connection(1))
        assert facts.unrecorded == {"pings", "end", "credentials"}
        assert facts.silence_ns() is None
        assert [
            one.id for one in diagnose(capture.query) if one.id.split("-")[1] in ("KA", "DROP", "CL")
        ] == []


def test_what_wsinspect_exported_lacks_nothing(tmp_path):
    har, _ = exported(chat_capture(tmp_path / "a.db"))
    target, _ = imported(tmp_path, har)
    with Capture.open(target) as capture:
        assert need(FactReader(capture.query).connection(1)).unrecorded == frozenset()


def test_an_engine_io_refusal_is_diagnosed_though_no_websocket_was_tried(tmp_path):
    poll = {
        "startedDateTime": "2023-11-14T22:13:20Z",
        "request": {"method": "GET", "url": "http://a.example/socket.io/?EIO=3&transport=polling"},
        "response": {
            "status": 400,
            "content": {"text": '{"code":5,"message":"Unsupported protocol version"}'},
        },
    }
    near = json.loads(json.dumps(poll))
    near["response"]["content"]["text"] = "no"
    target, notes = imported(tmp_path, {"log": {"entries": [poll, near]}})
    assert (notes.entries, notes.connections, list(notes.lines())) == (2, 1, [])
    with Capture.open(target) as capture:
        assert "WS-APP-005" in [one.id for one in diagnose(capture.query)]


def test_a_file_without_websockets_is_an_empty_capture(tmp_path):
    _, notes = imported(tmp_path, {"log": {"entries": [CHROME["log"]["entries"][1]]}})
    assert (notes.entries, notes.connections) == (1, 0)


@pytest.mark.parametrize(
    ("content", "problem"),
    [
        (b"{}", "it has no log.entries"),
        (b'{"log":{"entries":{}}}', "it has no log.entries"),
        (b'{"log":[]}', "it has no log.entries"),
        (b'{"log":{"entries":[', "cut off"),
        (b'{"log":{"entries":[{"request":{"url":"ws://a/"}', "cut off"),
        (b'{"log":{"entries":[{"_webSocketMessages":[{"type":"send"', "cut off"),
        (b'{"log":{"entries":[{"_resourceType":"websocket"}]}}', "without a URL"),
        (b'{"log":{"entries":[{"time":' + b"[" * 100_000, "nested too deeply"),
        (b'{"log":{"x":' + b"[" * 200_000, "nested too deeply"),
        (b'{"log":\xff', "no UTF-8"),
        (b'{"log":{"entries":[1 2]}}', "missing"),
        (b'{"log":{"entries":[{"time":' + b"1" * 5000 + b"}]}}", "too many digits"),
        (
            b'{"log":{"entries":[{"startedDateTime":"2023-11-14T22:13:20Z","_webSocketMessages":'
            b'[{"type":"send","time":1e300,"data":"x"}]}]}}',
            "is not a valid time",
        ),
    ],
)
def test_a_broken_file_is_one_clear_line(tmp_path, content, problem):
    with pytest.raises(CaptureError) as caught:
        imported(tmp_path, content)
    assert problem in str(caught.value)
    assert not (tmp_path / "imported.db").exists()
    assert not list(tmp_path.glob(".import-*"))


def test_a_value_that_is_too_large_is_refused_in_bounded_memory(tmp_path, monkeypatch):
    monkeypatch.setattr("wsinspect.formats.jsonstream.MAX_VALUE", 1 << 20)
    with pytest.raises(CaptureError, match=r"larger than 1\.0 MiB"):
        imported(
            tmp_path, b'{"log":{"entries":[{"_webSocketMessages":[{"data":"' + b"x" * (4 << 20) + b'"}]}]}}'
        )


def test_a_large_body_of_another_request_is_passed_over(tmp_path, monkeypatch):
    monkeypatch.setattr("wsinspect.formats.jsonstream.MAX_VALUE", 1 << 18)
    har = json.loads(json.dumps(CHROME))
    har["log"]["entries"].insert(
        0,
        {
            "request": {"url": "https://a/"},
            "response": {"status": 200, "content": {"text": '\\"[{' * (1 << 17)}},
            "other": ["]" * (1 << 19)],
        },
    )
    assert imported(tmp_path, har)[1].connections == 1


def test_stock_mitmproxy_reads_what_we_write(tmp_path):
    from mitmproxy import io as mitmproxy_io

    har, _ = exported(chat_capture(tmp_path / "a.db"), include_secrets=True)
    (tmp_path / "x.har").write_text(json.dumps(har))
    with (tmp_path / "x.har").open("rb") as file:
        flows: list[Any] = list(mitmproxy_io.FlowReader(file).stream())
    assert [(flow.request.path, flow.response.status_code) for flow in flows] == [
        ("/room?id=7&token=abc123", 101),
        ("/admin", 403),
    ]


def test_server_sent_events_pass_through(tmp_path):
    """Chrome has them in an entry of their own: nothing for a capture, and not lost on the way."""
    entry = {
        "_eventSourceMessages": [{"time": 1.5, "eventName": "tick", "eventId": "7", "data": '{"n":1}'}],
        "_resourceType": "eventsource",
        "startedDateTime": "2024-01-01T00:00:00.000Z",
        "time": 12.5,
        "request": {
            "method": "GET",
            "url": "https://chat.example/events?token=abc123",
            "headers": [
                {"name": "Cookie", "value": "sid=s3cr3t"},
                {"name": "Accept", "value": "text/event-stream"},
            ],
            "cookies": [{"name": "theme", "value": "s3cr3t"}],
        },
        "response": {"status": 200, "headers": [], "content": {"size": 0}, "redirectURL": "", "_x": [1]},
        "cache": {},
        "timings": {"send": 0, "wait": 1, "receive": 2},
    }
    plain = {
        "request": {"url": "https://chat.example/", "method": "GET"},
        "startedDateTime": "2024-01-01T00:00:00Z",
    }
    (tmp_path / "a.har").write_text(json.dumps({"log": {"entries": [plain, entry]}}))
    notes = import_file(tmp_path / "a.har", tmp_path / "a.db")
    assert [*notes.lines()] == ["1 entry with Server-Sent Events kept for export as HAR"]

    def exported(**options):
        out = io.BytesIO()
        with Capture.open(tmp_path / "a.db") as capture:
            result = write_har(capture, out, **options)
        assert (result.connections, result.kept) == (0, 1)
        return json.loads(out.getvalue())["log"]["entries"]

    assert exported(include_secrets=True) == [entry]
    [masked] = exported()
    assert masked["_eventSourceMessages"] == entry["_eventSourceMessages"]
    assert masked["request"]["headers"] == [
        {"name": "Cookie", "value": "sid=***"},
        {"name": "Accept", "value": "text/event-stream"},
    ]
    assert "s3cr3t" not in json.dumps(masked)
    assert "abc123" not in json.dumps(masked)


def test_server_sent_events_that_are_too_large_are_counted(tmp_path, monkeypatch):
    monkeypatch.setattr("wsinspect.formats.staging.MAX_KEPT_BYTES", 1000)
    entry = {"request": {"url": "https://a/"}, "_eventSourceMessages": [{"data": "x" * 100_000}]}
    (tmp_path / "a.har").write_text(json.dumps({"log": {"entries": [entry]}}))
    notes = import_file(tmp_path / "a.har", tmp_path / "a.db")
    assert [*notes.lines()] == ["1 entry with Server-Sent Events left out: too large"]


def test_half_of_a_surrogate_pair_is_what_a_browser_sends_in_its_place(tmp_path):
    """JSON can have what no text message can; it is not said that somebody sent invalid UTF-8."""
    sent = {"type": "send", "time": 1796014800.1, "opcode": 1, "data": "a\ud83d \U0001f600 b"}
    made = json.loads(json.dumps(CHROME))
    made["log"]["entries"][0]["_webSocketMessages"] = [sent]
    (tmp_path / "half.har").write_text(json.dumps(made))
    import_file(tmp_path / "half.har", tmp_path / "half.db")
    with Capture.open(tmp_path / "half.db") as capture:
        [frame] = capture.frames(1)
        assert frame.payload.decode() == "a\ufffd \U0001f600 b"


def test_the_first_error_of_a_browser_is_why_and_later_ones_are_not(tmp_path):
    made = json.loads(json.dumps(CHROME))
    made["log"]["entries"][0]["_webSocketMessages"] += [
        {"type": "error", "time": 1700000000.9, "opcode": -1, "data": "WebSocket is closed"}
    ]
    (tmp_path / "two.har").write_text(json.dumps(made))
    import_file(tmp_path / "two.har", tmp_path / "two.db")
    with Capture.open(tmp_path / "two.db") as capture:
        [found] = [one for one in diagnose(capture.query) if one.id == "WS-FR-011"]
        assert found.title == "The browser ended the connection: Invalid frame header"


@pytest.mark.parametrize("odd", [[], {}, [["fin"]], None])
def test_words_that_are_no_text_say_nothing(tmp_path, odd):
    """A list is no key of a table: neither what kind of resource it was, nor how its transport ended."""
    har = changed(_wsinspect={"lacks": [], "end": {"side": "client", "how": odd}})
    plain = {**har["log"]["entries"][0], "_resourceType": odd, "_wsinspect": None}
    plain["request"] = {**plain["request"], "url": "https://chat.example/socket.io/", "headers": []}
    plain["response"] = {**plain["response"], "status": 404}
    plain.pop("_webSocketMessages")
    har["log"]["entries"].append(plain)
    with Capture.open(imported(tmp_path, har)[0]) as capture:
        assert [one.kind for one in capture.events(1) if one.kind == "end"] == []
