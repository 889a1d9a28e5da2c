"""What a capture says of the sides of a connection of which something is held."""

from __future__ import annotations

from pathlib import Path

from tests.support.chats import Chat, store
from wsinspect.capture.reader import Capture
from wsinspect.diagnosis.waiting import patience_in
from wsinspect.findings.patience import Patience

OPEN = b'0{"sid":"a","upgrades":[],"pingInterval":25000,"pingTimeout":20000,"maxPayload":1000000}'


def found(path: Path, connection: int = 1, *, is_open: bool = True) -> dict[tuple[str, str], Patience]:
    with Capture.open(path) as capture:
        return {(one.side, one.what): one for one in patience_in(capture, connection, is_open=is_open)}


def test_pings_are_found_among_the_newest_frames(tmp_path: Path) -> None:
    script = Chat()
    script.accept(1, path="/socket.io/?EIO=4&transport=websocket")
    script.server(1, OPEN)
    for number in range(400):
        script.client(1, f'42["n",{number}]'.encode())
    script.tick(25_000)
    pinged_ns = script.now
    script.server(1, b"2")
    script.client(1, b'42["more"]')
    known = found(store(tmp_path / "a.db", script))
    asked = known["server", "the pong to its ping"]
    assert (asked.seconds, asked.since_ns) == (20, pinged_ns)
    assert known["client", "a ping"].since_ns is not None


def test_what_a_client_said_first_names_its_protocol(tmp_path: Path) -> None:
    script = Chat()
    script.accept(1, path="/hub")
    script.client(1, b'{"protocol":"json","version":1}\x1e')
    assert {("server", "the handshake of SignalR"), ("client", "a message or a ping")} == set(
        found(store(tmp_path / "a.db", script))
    )


def test_a_handshake_that_is_held_has_a_client_that_waits(tmp_path: Path) -> None:
    request = b"GET / HTTP/1.1\r\nHost: a\r\nUser-Agent: Python/3.13 websockets/15.0\r\n\r\n"
    script = Chat()
    script.begin(1, request, "/")
    path = store(tmp_path / "a.db", script)
    assert found(path, is_open=False)["client", "the answer to its handshake"].seconds == 10
    assert found(path, 7) == {}
