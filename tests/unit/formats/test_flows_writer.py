"""Captures as mitmproxy flows: what mitmproxy's own reader makes of them, and what comes back."""

from __future__ import annotations

import io
from pathlib import Path
from typing import Any

import pytest
from mitmproxy import version
from mitmproxy.io import FlowReader, tnetstring

from tests.support.busy import busy_capture
from tests.support.chats import Chat, chat_capture, said, store
from tests.support.h2_talk import Talk
from tests.support.packets import SERVER, Tcp, Wire
from tests.support.packets import said as frame
from tests.support.traces import Imported
from wsinspect.capture.reader import Capture
from wsinspect.formats import flows_writer
from wsinspect.formats.flows_writer import FlowsWritten, write_flows
from wsinspect.formats.importing import import_file


def written(path: Path, **options: Any) -> tuple[FlowsWritten, bytes]:
    out = io.BytesIO()
    with Capture.open(path) as capture:
        result = write_flows(capture, out, **options)
    return result, out.getvalue()


def flows(data: bytes) -> list[Any]:
    return list(FlowReader(io.BytesIO(data)).stream())


def again(folder: Path, path: Path) -> Path:
    (folder / "again.flows").write_bytes(written(path, include_secrets=True)[1])
    import_file(folder / "again.flows", folder / "again.db")
    return folder / "again.db"


def test_what_mitmproxy_reads(tmp_path: Path) -> None:
    result, data = written(chat_capture(tmp_path / "a.db"), include_secrets=True)
    assert (result.connections, result.messages) == (2, 3)
    first, second = flows(data)
    assert (first.request.method, first.request.pretty_url) == (
        "GET",
        "http://chat.example/room?id=7&token=abc123",
    )
    assert first.request.headers["cookie"] == "sid=s3cr3t; theme=dark"
    assert [(one.from_client, one.is_text, one.content) for one in first.websocket.messages] == [
        (True, True, b'{"op":"join","room":7}'),
        (False, True, b'{"op":"welcome","id":"a1b2"}'),
        (False, False, b"\x00\x01\x02"),
    ]
    assert (first.websocket.closed_by_client, first.websocket.close_code) == (True, 1000)
    assert first.websocket.close_reason == "bye"
    assert first.client_conn.peername == ("127.0.0.1", 5)
    assert first.server_conn.peername == ("10.0.0.1", 80)
    assert (second.response.status_code, second.response.content, second.websocket) == (
        403,
        b"no entry",
        None,
    )


def test_stock_mitmproxy_12_reads_the_version(tmp_path: Path) -> None:
    """mitmproxy 11.0, 12.2 and 12.3 write, and read, version 21 (mitmproxy/version.py)."""
    assert version.FLOW_FORMAT_VERSION == 21
    data = written(chat_capture(tmp_path / "a.db"))[1]
    state: Any = tnetstring.load(io.BytesIO(data))
    assert state["version"] == 21


@pytest.mark.parametrize("seed", [0, 1, 2])
def test_messages_come_back(tmp_path: Path, seed: int) -> None:
    path = busy_capture(tmp_path / "a.db", seed)
    back = again(tmp_path, path)
    for number in (1, 2, 3):
        ours = [(way, opcode, data) for way, opcode, _, data in said(path, number)]
        theirs = [(way, opcode, data) for way, opcode, _, data in said(back, number)]
        assert sorted(theirs) == sorted(ours)
        for one, other in zip(sorted(said(path, number)), sorted(said(back, number)), strict=True):
            assert abs(one[2] - other[2]) < 1000  # a float of today has a quarter of a microsecond


@pytest.mark.parametrize("side", ["client", "server"])
@pytest.mark.parametrize("code", [None, 1000, 4001])
def test_who_closed_with_what_comes_back(tmp_path: Path, side: str, code: int | None) -> None:
    script = Chat()
    script.accept(1)
    script.server(1, b"hello")
    body = b"" if code is None else code.to_bytes(2, "big") + b"why"
    (script.client if side == "client" else script.server)(1, body, opcode=8)
    script.end(1, side)
    path = store(tmp_path / "a.db", script)
    with Capture.open(path) as capture, Capture.open(again(tmp_path, path)) as back:
        [one], [other] = capture.connections(), back.connections()
    assert one.ended_by == other.ended_by
    assert (one.client_close_code, one.server_close_code) == (
        other.client_close_code,
        other.server_close_code,
    )


@pytest.mark.parametrize("side", ["client", "server"])
def test_an_end_without_a_close_frame_is_1006(tmp_path: Path, side: str) -> None:
    script = Chat()
    script.accept(1)
    script.end(1, side, "rst")
    [flow] = flows(written(store(tmp_path / "a.db", script))[1])
    assert (flow.websocket.close_code, flow.websocket.closed_by_client) == (1006, side == "client")


def test_secrets_are_masked_unless_asked(tmp_path: Path) -> None:
    data = written(chat_capture(tmp_path / "a.db"))[1]
    assert not [one for one in (b"s3cr3t", b"t0k3n", b"abc123", b"c00k1e") if one in data]


def test_what_one_flow_may_hold_is_bounded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(flows_writer, "MAX_MESSAGE_BYTES", 250)
    result, data = written(chat_capture(tmp_path / "a.db"))
    assert (result.messages, result.left_out) == (2, 1)
    assert len(flows(data)[0].websocket.messages) == 2


def test_over_http2(tmp_path: Path) -> None:
    wire = Wire()
    tcp = Tcp(wire, server=("10.0.0.2", 8443)).open()
    talk = Talk(lambda side, data: tcp.send(side, data))
    talk.connect(1)
    talk.ends[SERVER].send_data(1, frame(b"hello"))
    talk.flush()
    [flow] = flows(written(Imported(tmp_path, wire).path)[1])
    assert (flow.request.http_version, flow.request.path) == ("HTTP/2.0", "/chat")
    assert (flow.response.status_code, flow.websocket.messages[0].content) == (200, b"hello")


def test_no_answer_is_an_error(tmp_path: Path) -> None:
    script = Chat()
    script.begin(1, b"GET / HTTP/1.1\r\nHost: a\r\nUpgrade: websocket\r\n\r\n", "/")
    script.event(1, "failed", where="connect", error="connection refused")
    script.event(1, "closed")
    [flow] = flows(written(store(tmp_path / "a.db", script))[1])
    assert (flow.response, flow.error.msg) == (None, "connection refused")


def attempted(path: Path, *requests: bytes) -> Path:
    """A capture of attempts that a server refused."""
    script = Chat()
    for number, request in enumerate(requests, 1):
        script.begin(number, request, "/room")
        script.answer(number, b"HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\n\r\n")
        script.event(number, "refused", status=404)
        script.event(number, "closed")
        script.tick()
    return store(path, script)


def test_no_attempt_is_lost_on_the_way_there_and_back(tmp_path: Path) -> None:
    """Whatever a hop took of its header block."""
    start, end = b"GET /room HTTP/1.1\r\nHost: a\r\n", b"\r\n"
    path = attempted(
        tmp_path / "a.db",
        start + b"Upgrade: websocket\r\n" + end,
        start + b"Upgrade: h2c, WebSocket\r\n" + end,
        start + b"Connection: close\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n" + end,
        start + b"Connection: close\r\n" + end,
        b"POST" + start[3:] + end,
    )
    with Capture.open(path) as capture, Capture.open(again(tmp_path, path)) as back:
        ours, theirs = capture.connections(), back.connections()
        assert len(ours) == 5
        assert [(one.state, one.status, one.path) for one in theirs] == [
            (one.state, one.status, one.path) for one in ours
        ]


def test_a_refused_extended_connect_is_one_again(tmp_path: Path) -> None:
    wire = Wire()
    tcp = Tcp(wire, server=("10.0.0.2", 8443)).open()
    talk = Talk(lambda side, data: tcp.send(side, data))
    talk.connect(1, status="403")
    talk.flush()
    source = Imported(tmp_path, wire).path
    with Capture.open(source) as capture, Capture.open(again(tmp_path, source)) as back:
        [one], [other] = capture.connections(), back.connections()
        assert (one.state, one.status, one.http_version) == ("refused", 403, "HTTP/2.0")
        assert (other.state, other.status, other.http_version) == ("refused", 403, "HTTP/2.0")
