"""Traces as they come from odd places, from packets to what a capture says of them."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.support.certs import Certificates, make_certificates
from tests.support.packets import CLIENT, REQUEST, RESPONSE, SERVER, Tcp, Tls, Wire, said
from tests.support.traces import Imported
from wsinspect.formats.packets.link import ACK, SYN

HELLO, HI = said(b"hello"), said(b"hi", masked=True)
CONNECT = b"CONNECT chat.example:80 HTTP/1.1\r\nHost: chat.example:80\r\n\r\n"
TALK = [("c2s", b"hi"), ("s2c", b"hello")]


@pytest.fixture(scope="module")
def certificates(tmp_path_factory: pytest.TempPathFactory) -> Certificates:
    return make_certificates(tmp_path_factory.mktemp("tls"))


@pytest.mark.parametrize("segment", [1, 5, 7])
def test_tls_in_tiny_segments(tmp_path: Path, certificates: Certificates, segment: int) -> None:
    wire = Wire()
    tls = Tls(Tcp(wire, segment=segment).open(), certificates, tmp_path / "keys").handshake()
    for side, data in ((CLIENT, REQUEST), (SERVER, RESPONSE), (CLIENT, HI), (SERVER, HELLO)):
        tls.send(side, data)
    found = Imported(tmp_path / "to", wire, key_log=tmp_path / "keys")
    assert (found.texts(), found.notes) == (TALK, [])


@pytest.mark.parametrize("is_early", [False, True])
def test_a_tunnel_of_a_proxy_that_is_spoken_to_in_tls(
    tmp_path: Path, certificates: Certificates, is_early: bool
) -> None:
    """Also where the client does not wait for the answer to its CONNECT."""
    wire = Wire()
    tls = Tls(Tcp(wire).open(), certificates, tmp_path / "keys").handshake()
    tls.send(CLIENT, CONNECT + (REQUEST if is_early else b""))
    tls.send(SERVER, b"HTTP/1.1 200 Connection established\r\n\r\n")
    if not is_early:
        tls.send(CLIENT, REQUEST)
    for side, data in ((SERVER, RESPONSE), (CLIENT, HI), (SERVER, HELLO)):
        tls.send(side, data)
    found = Imported(tmp_path / "to", wire, key_log=tmp_path / "keys")
    assert (found.texts(), found.notes) == (TALK, [])


@pytest.mark.parametrize(
    ("fields", "body"),
    [
        (b"Expect: 100-continue\r\nContent-Length: 5\r\n", b"body!"),
        (b"Transfer-Encoding: chunked\r\n", b"3\r\nabc\r\n0\r\n\r\n"),
        (b"Content-Length: 0\r\n", b""),
    ],
)
@pytest.mark.parametrize("is_refused", [False, True])
def test_the_body_of_an_opening_handshake_is_no_frame(
    tmp_path: Path, fields: bytes, body: bytes, is_refused: bool
) -> None:
    wire = Wire()
    tcp = Tcp(wire).open()
    for attempt in range(1 + is_refused):
        tcp.send(CLIENT, REQUEST[:-2] + fields + b"\r\n")
        tcp.send(SERVER, b"HTTP/1.1 100 Continue\r\n\r\n")
        tcp.send(CLIENT, body)
        is_last = attempt == is_refused
        tcp.send(SERVER, RESPONSE if is_last else b"HTTP/1.1 401 No\r\nContent-Length: 0\r\n\r\n")
    tcp.send(CLIENT, HI)
    tcp.send(SERVER, HELLO)
    found = Imported(tmp_path, wire)
    assert [one.state for one in found.connections] == ["refused"] * is_refused + ["open"]
    assert found.texts(1 + is_refused) == TALK


@pytest.mark.parametrize("first", [CLIENT, SERVER])
@pytest.mark.parametrize("is_repeated", [False, True])
def test_both_sides_open_at_once(tmp_path: Path, first: int, is_repeated: bool) -> None:
    wire = Wire()
    tcp = Tcp(wire)
    for side in (first, 1 - first):
        packet = tcp.packet(side, SYN, ack=0)
        for _ in range(1 + is_repeated):
            wire.add(packet)
    tcp.seq = [one + 1 for one in tcp.seq]
    for side in (first, 1 - first):
        wire.add(tcp.packet(side, SYN | ACK, seq=tcp.seq[side] - 1))
    for side, data in ((CLIENT, REQUEST), (SERVER, RESPONSE), (CLIENT, HI), (SERVER, HELLO)):
        tcp.send(side, data)
    found = Imported(tmp_path, wire)
    assert [(one.state, one.client) for one in found.connections] == [("open", "10.0.0.1:50000")]
    assert found.texts() == TALK
