"""Files of mitmproxy, written by mitmproxy itself: flows and its HAR."""

from __future__ import annotations

import json

import pytest
from mitmproxy.addons.savehar import SaveHar
from mitmproxy.test import tflow
from wsproto.frame_protocol import Opcode

from tests.support.chats import said
from tests.support.flows import websocket_flow, written
from wsinspect.capture.reader import Capture
from wsinspect.diagnosis.facts import diagnose
from wsinspect.errors import CaptureError
from wsinspect.formats.importing import import_file, sniff


def imported(tmp_path, content):
    source = tmp_path / "x.flows"
    source.write_bytes(content)
    return tmp_path / "x.db", import_file(source, tmp_path / "x.db")


def test_messages_and_close_of_a_flow_file(tmp_path):
    flow = websocket_flow(close_code=4001, close_reason="bye", closed_by_client=False)
    target, notes = imported(tmp_path, written(tflow.tflow(resp=True), flow, tflow.ttcpflow()))
    assert (notes.entries, notes.connections) == (3, 1)
    assert [(way, opcode, data) for way, opcode, _, data in said(target, 1)] == [
        ("c2s", 2, b"hello binary"),
        ("c2s", 1, b"hello text"),
        ("s2c", 1, b"it's me"),
    ]
    with Capture.open(target) as capture:
        (one,) = capture.connections()
        assert (one.server_close_code, one.server_close_reason, one.client_close_code) == (4001, "bye", None)
        assert (one.state, one.status, one.js_code, one.js_was_clean) == ("closed", 101, 4001, True)


@pytest.mark.parametrize(
    ("by_client", "party", "severity"), [(False, "network", "warning"), (True, "client", "note")]
)
def test_an_end_without_a_close_frame_says_what_mitmproxy_saw_and_no_more(
    tmp_path, by_client, party, severity
):
    """mitmproxy's 1006: TCP ended at that side, and whether by FIN, RST or mitmproxy itself is nowhere."""
    flow = websocket_flow(close_code=1006, closed_by_client=by_client)
    flow.websocket.timestamp_end = 1_700_000_070.0  # a silence that looks like somebody's limit
    target, _ = imported(tmp_path, written(flow))
    with Capture.open(target) as capture:
        (one,) = capture.connections()
        assert (one.ended_by, one.how, one.js_code, one.js_was_clean) == ("unknown", None, None, None)
        (found,) = [
            each
            for each in diagnose(capture.query)
            if each.id.split("-")[1] in ("CL", "DROP", "KA", "MS", "FR", "TOOL")
        ]
    assert (found.id, found.fault_of, found.severity) == ("WS-CL-032", party, severity)
    assert (
        found.title == f"The {'client' if by_client else 'server'}'s connection ended without a CLOSE frame"
    )
    assert [cause.cause.split()[0] for cause in found.causes] == ["the", "mitmproxy's"]
    words = " ".join((found.title, found.meaning, found.js, *found.evidence))
    assert "FIN came" not in words
    assert "1006, wasClean" not in words


@pytest.mark.parametrize(
    ("code", "reason", "is_own"),
    [
        (1002, "Invalid opcode 0x3", True),
        (1002, "server received unexpected unmasked frame", True),
        (1007, "'utf-8' codec can't decode byte 0xff in position 0: invalid start byte", True),
        (1002, "bad subprotocol message", False),
        (1007, "", False),
        (1000, "Invalid opcode 0x3", False),
    ],
)
def test_a_close_that_mitmproxy_made_is_not_the_peers(tmp_path, code, reason, is_own):
    flow = websocket_flow(close_code=code, close_reason=reason, closed_by_client=True)
    target, _ = imported(tmp_path, written(flow))
    with Capture.open(target) as capture:
        (one,) = capture.connections()
        found = [each for each in diagnose(capture.query) if each.id.startswith(("WS-TOOL", "WS-CL"))]
    assert [each.id == "WS-TOOL-013" for each in found] == ([True] if is_own else [False] * len(found))
    if is_own:
        assert (found[0].fault_of, found[0].evidence) == ("tool", (one.error,))
        assert (one.ended_by, one.client_close_code, one.js_code) == ("proxy", None, 1006)
        assert one.error == f"mitmproxy closed it with {code} ({reason}) for what the client sent"
    else:
        assert (one.ended_by, one.client_close_code, one.error) == ("client", code, None)


def test_mitmproxys_har_is_read(tmp_path):
    flow = websocket_flow()
    har = SaveHar().make_har([flow, tflow.tflow(resp=True)])
    path = tmp_path / "m.har"
    path.write_text(json.dumps(har))
    notes = import_file(path, tmp_path / "x.db")
    assert (notes.connections, notes.frames) == (1, 3)
    assert [(way, opcode, data) for way, opcode, _, data in said(tmp_path / "x.db", 1)] == [
        ("c2s", Opcode.BINARY, b"hello binary"),
        ("c2s", Opcode.TEXT, b"hello text"),
        ("s2c", Opcode.TEXT, b"it's me"),
    ]


@pytest.mark.parametrize("cut", [1, 5, 40, -1])
def test_a_truncated_flow_file_is_one_clear_line(tmp_path, cut):
    with pytest.raises(CaptureError):
        imported(tmp_path, written(websocket_flow())[:cut])


@pytest.mark.parametrize(
    "content",
    [
        b"5:hello,",
        b"999999999999:x",
        b"3:1:a]",
        b"0:}",
        b"0:]",
        b"4:true!",
        b"12:" + b"a" * 20,
        b"8:3:abc,0:~}",
    ],
)
def test_a_file_that_is_not_a_flow_is_one_clear_line(tmp_path, content):
    with pytest.raises(CaptureError):
        imported(tmp_path, content)


def test_a_flow_that_is_too_large_is_not_read(tmp_path, monkeypatch):
    monkeypatch.setattr("wsinspect.formats.flows.MAX_FLOW_BYTES", 100)
    with pytest.raises(CaptureError, match="larger than"):
        imported(tmp_path, written(websocket_flow()))


def test_formats_are_recognised(tmp_path):
    for content, kind in [
        (b"SQLite format 3\0rest", "capture"),
        (b"12:abc", "flows"),
        (b'\xef\xbb\xbf {"log":', "har"),
        (b'{"type":"capture","schema":1,"format":1}\n', "jsonl"),
    ]:
        (tmp_path / "x").write_bytes(content)
        assert sniff(tmp_path / "x") == kind
    for content in (b"", b"<html>", b"\x89PNG"):
        (tmp_path / "x").write_bytes(content)
        with pytest.raises(CaptureError):
            sniff(tmp_path / "x")
