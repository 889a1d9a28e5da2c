"""Traces as they come from odd places, from packets to what a capture says of them."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.support.certs import Certificates, make_certificates
from tests.support.packets import CLIENT, REQUEST, RESPONSE, SERVER, Tcp, Tls, Wire, said
from tests.support.traces import Imported

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
