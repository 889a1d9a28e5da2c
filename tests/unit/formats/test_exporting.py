"""Every format takes what another version of HTTP carried."""

from __future__ import annotations

import io
from pathlib import Path

import pytest

from tests.support.chats import Chat, said, store
from wsinspect.capture.reader import Capture
from wsinspect.formats.choice import EVERYTHING
from wsinspect.formats.exporting import EXPORTERS
from wsinspect.formats.importing import import_file
from wsinspect.formats.progress import nobody

CONNECT = (
    b":method: CONNECT\r\n:protocol: websocket\r\n:scheme: https\r\n:path: /room\r\n"
    b":authority: chat.example\r\nsec-websocket-version: 13\r\norigin: https://chat.example\r\n\r\n"
)


def over_http2(path: Path) -> Path:
    """A WebSocket over HTTP/2 with a message each way."""
    script = Chat()
    script.begin(1, CONNECT, "/room", "HTTP/2.0")
    script.answer(1, b":status: 200\r\nserver: x\r\n\r\n")
    script.event(1, "open")
    script.client(1, b"hello")
    script.server(1, b"welcome")
    script.end(1, "server")
    return store(path, script)


#: Formats that are read again, each with the version of HTTP that it can say.
AGAIN = {"har": "HTTP/2.0", "jsonl": "HTTP/2.0", "flows": "HTTP/2.0", "pcapng": "HTTP/1.1"}


@pytest.mark.parametrize("name", EXPORTERS)
def test_a_websocket_over_http2_is_written(tmp_path, name):
    out = io.BytesIO()
    with Capture.open(over_http2(tmp_path / "made.db")) as capture:
        written = EXPORTERS[name].write(
            capture, out, choice=EVERYTHING, include_secrets=False, progress=nobody
        )
    assert written.summary
    # A mock server says what the server said, a recorded client what the client did, packets have it masked.
    spoken = {"mock": b"welcome"}.get(name, b"hello")
    assert spoken in out.getvalue() or name == "pcapng"
    if name not in AGAIN:
        return
    made = tmp_path / f"made.{name}"
    made.write_bytes(out.getvalue())
    import_file(made, tmp_path / "again.db")
    assert [(way, data) for way, _, _, data in said(tmp_path / "again.db", 1)] == [
        ("c2s", b"hello"),
        ("s2c", b"welcome"),
    ]
    with Capture.open(tmp_path / "again.db") as capture:
        (one,) = capture.connections()
    assert (one.http_version, one.path) == (AGAIN[name], "/room")
    assert one.open_ns is not None
