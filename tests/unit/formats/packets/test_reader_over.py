"""Connections of a trace that are over, and more of them than are kept in mind."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.support.packets import CLIENT, REQUEST, RESPONSE, SERVER, Tcp, Wire, said
from tests.support.traces import Imported
from wsinspect.capture.missing import lacks
from wsinspect.capture.reader import Capture
from wsinspect.errors import CaptureError
from wsinspect.formats.packets.link import ACK, PSH, SYN

HELLO = said(b"hello")


@pytest.mark.parametrize("is_reset", [False, True])
def test_late_packets_of_a_connection_that_ended_are_no_other_one(tmp_path: Path, is_reset: bool) -> None:
    """The network doubled one, a FIN was sent again, and others were on their way when the RST came."""
    wire = Wire()
    tcp = Tcp(wire).upgrade()
    at = tcp.seq[SERVER]
    tcp.send(SERVER, HELLO)
    tcp.send(SERVER, HELLO)
    if is_reset:
        tcp.rst(CLIENT)
        tcp.send(SERVER, HELLO)
    else:
        tcp.fin(CLIENT)
        tcp.fin(SERVER)
    wire.add(tcp.packet(SERVER, PSH | ACK, HELLO + HELLO, seq=at))
    tcp.send(CLIENT, flags=ACK)
    found = Imported(tmp_path, wire)
    assert [one.state for one in found.connections] == ["closed"]
    assert found.texts() == [("s2c", b"hello"), ("s2c", b"hello")]
    assert found.notes == ["1 retransmitted TCP segment, each taken once"]


def test_addresses_of_a_connection_that_ended_in_use_again_are_another_one(tmp_path: Path) -> None:
    """Its SYN is not in the trace; its numbers are far from those of the one before."""
    wire = Wire()
    tcp = Tcp(wire).upgrade()
    tcp.fin(CLIENT)
    tcp.fin(SERVER)
    tcp.seq = [one + 1_000_000_000 & 0xFFFFFFFF for one in tcp.seq]
    tcp.send(CLIENT, REQUEST)
    tcp.send(SERVER, RESPONSE)
    found = Imported(tmp_path, wire)
    assert [one.state for one in found.connections] == ["closed", "open"]
    assert found.notes == [
        "1 TCP connection began before the trace: a WebSocket is found by its opening handshake"
    ]


def test_of_a_flood_of_syns_the_oldest_are_forgotten_and_no_websocket(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("wsinspect.formats.packets.reader.MAX_IDLE", 8)
    wire = Wire()
    chats = [Tcp(wire, client=("10.0.0.8", port)).upgrade() for port in range(1, 13)]
    for port in range(2000, 2100):
        Tcp(wire, client=("10.0.0.9", port)).send(CLIENT, flags=SYN)
    for tcp in chats:
        tcp.send(SERVER, HELLO)
    found = Imported(tmp_path, wire)
    assert [one.s2c_frames for one in found.connections] == [1] * 12
    assert found.notes == ["92 idle connections forgotten: too many at once"]


@pytest.mark.parametrize("kept", [3, 4])
def test_more_websockets_at_once_than_can_be_kept_are_one_line(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, kept: int
) -> None:
    monkeypatch.setattr("wsinspect.formats.packets.reader.MAX_IDLE", 1)
    monkeypatch.setattr("wsinspect.formats.packets.reader.MAX_CONVERSATIONS", kept)
    wire = Wire()
    for port in range(4):
        Tcp(wire, client=("10.0.0.8", port + 1)).upgrade()
    Tcp(wire).open()
    if kept == 4:
        assert len(Imported(tmp_path, wire).connections) == 4
        return
    with pytest.raises(CaptureError, match="more than 3 WebSockets at once"):
        Imported(tmp_path, wire)


def test_of_very_many_unanswered_upgrades_the_oldest_are_given_up_and_blame_nobody(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A hundred thousand of them took more memory than an import may."""
    monkeypatch.setattr("wsinspect.formats.packets.reader.MAX_IDLE", 4)
    monkeypatch.setattr("wsinspect.formats.packets.reader.MAX_UNANSWERED", 8)
    wire = Wire()
    chats = [Tcp(wire, client=("10.0.0.8", port)).upgrade() for port in (1, 2)]
    for port in range(2000, 2040):
        Tcp(wire, client=("10.0.0.9", port)).open().send(CLIENT, REQUEST)
    for tcp in chats:
        tcp.send(SERVER, HELLO)
    found = Imported(tmp_path, wire)
    given_up = [one.state for one in found.connections].count("lost")
    assert found.notes == [f"{given_up} unanswered connections not read to the end: too many at once"]
    assert 20 <= given_up <= 34
    assert [one.state for one in found.connections] == [
        *["open"] * 2,
        *["lost"] * given_up,
        *["connecting"] * (40 - given_up),
    ]
    assert [one.s2c_frames for one in found.connections[:2]] == [1, 1]
    with Capture.open(found.path) as capture:
        assert [lacks(one) is not None for one in capture.connections()][2:] == [
            number < given_up for number in range(40)
        ]
