"""Multipath TCP: what is in a second subflow is missing in the first one, and that is said."""

from __future__ import annotations

import hashlib
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.support.packets import CLIENT, REQUEST, RESPONSE, SERVER, Tcp, Wire, said
from tests.support.traces import Imported
from wsinspect.capture.missing import lacks
from wsinspect.formats.packets.mptcp import token_joined, token_of

HELLO, HI = said(b"hello"), said(b"hi", masked=True)
KEY = b"01234567"
USUAL = b"\x02\x04\x05\xb4\x01\x01"  # segment size, two NOPs
PAD = b"\x01\x01"
NOTE = (
    "1 Multipath TCP subflow not read, nor what else its connection sent from then on"
    " (record with Multipath TCP off: sysctl net.mptcp.enabled=0)"
)


def capable(version: int) -> tuple[bytes, bytes]:
    """The options of both SYNs; in version 0 the client's has a key, too."""
    first = b"\x1e\x04\x01\x81" if version else b"\x1e\x0c\x00\x81" + b"87654321"
    return USUAL + PAD + first, USUAL + PAD + b"\x1e\x0c" + bytes((version, 0x81)) + KEY


def join(token: bytes) -> tuple[bytes, bytes]:
    return USUAL + PAD + b"\x1e\x0c\x10\x02" + token + b"rand", USUAL + PAD + b"\x1e\x10\x10\x02" + b"m" * 12


def token(version: int) -> bytes:
    return (hashlib.sha256 if version else hashlib.sha1)(KEY).digest()[:4]


@pytest.mark.parametrize("version", [0, 1])
def test_a_second_subflow_with_data_ends_the_reading(tmp_path: Path, version: int) -> None:
    wire = Wire()
    tcp = Tcp(wire).open(capable(version))
    other = Tcp(wire, client=("10.0.1.1", 50001)).open(join(token(version)))
    for side, data in ((CLIENT, REQUEST), (SERVER, RESPONSE), (CLIENT, HI)):
        tcp.send(side, data)
    other.send(SERVER, HELLO[:3])
    tcp.send(SERVER, HELLO[3:])
    tcp.send(SERVER, HELLO)
    tcp.fin(SERVER)
    tcp.fin(CLIENT)
    found = Imported(tmp_path, wire)
    assert (found.texts(), found.notes) == ([("c2s", b"hi")], [NOTE])
    [one] = found.connections
    gone = lacks(one)
    assert gone is not None
    assert gone.words == "bytes from the client not read, bytes from the server not read"
    assert one.ended_by == "unknown"


def test_a_second_subflow_without_data_takes_nothing_away(tmp_path: Path) -> None:
    wire = Wire()
    tcp = Tcp(wire).open(capable(1))
    other = Tcp(wire, client=("10.0.1.1", 50001)).open(join(token(1)))
    for side, data in ((CLIENT, REQUEST), (SERVER, RESPONSE), (CLIENT, HI), (SERVER, HELLO)):
        tcp.send(side, data)
    other.fin(CLIENT)
    found = Imported(tmp_path, wire)
    assert (found.texts(), found.notes) == ([("c2s", b"hi"), ("s2c", b"hello")], [])


def test_a_subflow_of_another_connection_leaves_this_one_alone(tmp_path: Path) -> None:
    """Its own may be outside the trace: it is said."""
    wire = Wire()
    tcp = Tcp(wire).open(capable(1))
    other = Tcp(wire, client=("10.0.1.1", 50001)).open(join(b"else"))
    tcp.send(CLIENT, REQUEST)
    tcp.send(SERVER, RESPONSE)
    other.send(CLIENT, REQUEST)  # a part of something: no opening handshake
    tcp.send(SERVER, HELLO)
    found = Imported(tmp_path, wire)
    assert (len(found.connections), found.texts(), found.notes) == (1, [("s2c", b"hello")], [NOTE])


@given(st.binary(max_size=40))
def test_any_options_are_read(options: bytes) -> None:
    for found in (token_joined(options), token_of(options)):
        assert found is None or len(found) == 4


@pytest.mark.parametrize(
    "options",
    [b"\x1e\x00\x10\x02" + bytes(8), b"\x00\x1e\x0c\x10\x02" + bytes(8), b"\x1e\x0c\x10\x02" + bytes(7)],
)
def test_what_is_behind_an_end_or_cut_is_no_option(options: bytes) -> None:
    assert token_joined(options) is None
    assert token_joined(b"\x01\x1e\x0c\x10\x02abcdrand") == b"abcd"
