"""WebSockets behind proxies: SOCKS of all versions, and tunnels in tunnels."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.support.certs import Certificates, make_certificates
from tests.support.packets import CLIENT, REQUEST, RESPONSE, SERVER, Tcp, Tls, Wire, said
from tests.support.traces import Imported
from wsinspect.formats.packets.socks import NotSocksError, Socks, SocksRefusedError

HELLO, HI = said(b"hello"), said(b"hi", masked=True)
TALK = [("c2s", b"hi"), ("s2c", b"hello")]
CONNECT = b"CONNECT chat.example:80 HTTP/1.1\r\nHost: chat.example:80\r\n\r\n"
PASSES = b"HTTP/1.1 200 OK\r\n\r\n"
PORT = (443).to_bytes(2, "big")
NAMED = b"\x03\x0cchat.example" + PORT
IPV4 = b"\x01\x7f\x00\x00\x01" + PORT
IPV6 = b"\x04" + bytes(15) + b"\x01" + PORT
#: What each side says in turn, the client first.
OPEN = (b"\5\1\0", b"\5\0", b"\5\1\0" + NAMED, b"\5\0\0" + IPV4)
PASSWORD = (
    *(b"\5\2\0\2", b"\5\2", b"\1\4user\6secret", b"\1\0"),
    *(b"\5\1\0" + IPV6, b"\5\0\0\3\0\0\0"),
)
V4 = (b"\4\1" + PORT + b"\x0a\0\0\2user\0", b"\0\x5a" + bytes(6))
V4A = (b"\4\1" + PORT + b"\0\0\0\1user\0chat.example\0", b"\0\x5a" + bytes(6))


@pytest.fixture(scope="module")
def certificates(tmp_path_factory: pytest.TempPathFactory) -> Certificates:
    return make_certificates(tmp_path_factory.mktemp("tls"))


def talk(tcp: Tcp, words: tuple[bytes, ...]) -> Tcp:
    for number, word in enumerate(words):
        tcp.send(number % 2, word)
    return tcp


@pytest.mark.parametrize("segment", [1, 3, 1400])
@pytest.mark.parametrize("words", [OPEN, PASSWORD, V4, V4A])
def test_a_websocket_behind_a_socks_proxy(tmp_path: Path, words: tuple[bytes, ...], segment: int) -> None:
    wire = Wire()
    tcp = talk(Tcp(wire, server=("10.0.0.2", 1080), segment=segment).open(), words)
    for side, data in ((CLIENT, REQUEST), (SERVER, RESPONSE), (CLIENT, HI), (SERVER, HELLO)):
        tcp.send(side, data)
    tcp.fin(SERVER)
    tcp.fin(CLIENT)
    found = Imported(tmp_path, wire)
    assert (found.texts(), found.notes) == (TALK, [])
    assert (found.connections[0].url, found.connections[0].how) == (
        "ws://chat.example:443/chat?room=1",
        "fin",
    )
    assert b"secret" not in found.path.read_bytes()


@pytest.mark.parametrize("segment", [1, 1400])
@pytest.mark.parametrize("words", [OPEN, V4A])
def test_tls_behind_a_socks_proxy(
    tmp_path: Path, certificates: Certificates, words: tuple[bytes, ...], segment: int
) -> None:
    wire, keys = Wire(), tmp_path / "keys"
    tcp = talk(Tcp(wire, server=("10.0.0.2", 1080), segment=segment).open(), words)
    tls = Tls(tcp, certificates, keys).handshake()
    for side, data in ((CLIENT, REQUEST), (SERVER, RESPONSE), (CLIENT, HI), (SERVER, HELLO)):
        tls.send(side, data)
    found = Imported(tmp_path / "to", wire, key_log=keys)
    assert (found.texts(), found.notes) == (TALK, [])
    assert found.connections[0].url == "wss://chat.example/chat?room=1"


@pytest.mark.parametrize("words", [OPEN, PASSWORD, V4])
def test_a_client_that_does_not_wait_for_its_proxy(tmp_path: Path, words: tuple[bytes, ...]) -> None:
    """Also where the proxy's answers come in one packet with the server's."""
    wire = Wire()
    tcp = Tcp(wire).open()
    tcp.send(CLIENT, b"".join(words[::2]) + REQUEST)
    tcp.send(SERVER, b"".join(words[1::2]) + RESPONSE + HELLO)
    found = Imported(tmp_path, wire)
    assert (found.texts(), found.notes) == (TALK[1:], [])


@pytest.mark.parametrize(
    ("words", "note"),
    [
        ((*OPEN[:3], b"\5\2"), "1 request refused by a SOCKS proxy: connection not allowed by ruleset"),
        ((*OPEN[:3], b"\5\5\0" + IPV4), "1 request refused by a SOCKS proxy: connection refused"),
        ((*OPEN[:3], b"\5\x63\0" + IPV4), "1 request refused by a SOCKS proxy: reply code 99"),
        ((*V4A[:1], b"\0\x5b" + bytes(6)), "1 request refused by a SOCKS proxy: request rejected or failed"),
        (
            (CONNECT.replace(b":80", b":443"), b"HTTP/1.1 403 Not \x1b[31mhere\r\nContent-Length: 0\r\n\r\n"),
            "1 request refused by an HTTP proxy: 403 Not \N{SYMBOL FOR ESCAPE}[31mhere",
        ),
        (OPEN[:3], "1 request not answered by a SOCKS proxy"),
    ],
)  # fmt: skip
def test_a_refused_request_is_said_with_what_was_asked_for(
    tmp_path: Path, words: tuple[bytes, ...], note: str
) -> None:
    wire = Wire()
    tcp = talk(Tcp(wire).open(), words)
    tcp.fin(SERVER)
    tcp.fin(CLIENT)
    found = Imported(tmp_path, wire)
    assert (found.connections, found.notes) == ([], [f"{note} (chat.example:443)"])


ASKS = b"HTTP/1.1 407 Proxy Authentication Required\r\nProxy-Authenticate: Basic\r\nContent-Length: 0\r\n\r\n"


@pytest.mark.parametrize("logs_in", ["on the same connection", "on another one", "never"])
def test_a_proxy_that_asks_for_a_login_has_not_refused_who_logs_in(tmp_path: Path, logs_in: str) -> None:
    wire = Wire()
    tcp = talk(Tcp(wire).open(), (CONNECT, ASKS))
    if logs_in == "on another one":
        tcp = Tcp(wire, client=("10.0.0.1", 50001)).open()
    if logs_in != "never":
        talk(tcp, (CONNECT, PASSES, REQUEST, RESPONSE + HELLO))
    found = Imported(tmp_path, wire)
    refused = "1 request refused by an HTTP proxy: 407 Proxy Authentication Required (chat.example:80)"
    assert found.notes == ([refused] if logs_in == "never" else [])
    assert found.texts() == ([] if logs_in == "never" else TALK[1:])


@pytest.mark.parametrize(
    ("words", "note"),
    [
        ((b"\5\1\0", b"\5\xff"), "refused by a SOCKS proxy: no acceptable authentication method"),
        (
            (b"\5\1\2", b"\5\2", b"\1\1u\1p", b"\1\1"),
            "refused by a SOCKS proxy: user name or password not accepted",
        ),
        ((b"\5\2\0\1", b"\5\1"), "through a SOCKS proxy not read: authentication method 1"),
    ],
)
def test_what_comes_before_a_request_is_said_too(tmp_path: Path, words: tuple[bytes, ...], note: str) -> None:
    wire = Wire()
    talk(talk(Tcp(wire).open(), words), (REQUEST, RESPONSE))
    talk(Tcp(wire, client=("10.0.0.1", 50001)).open(), words)
    found = Imported(tmp_path, wire)
    assert (found.connections, found.notes) == ([], [f"2 requests {note}"])


@pytest.mark.parametrize(
    "words",
    [
        (b"\5\1\0", b"\5\2"),  # a method that was not offered
        (b"\5\1\0", b"HTTP/1.1 400 Bad Request\r\n\r\n"),
        (b"\5\0", b"\5\0"),
        (*OPEN[:2], b"\5\2\0" + IPV4, b"\5\0\0" + IPV4),  # BIND: its peer connects to the proxy
        (*OPEN[:2], b"\5\1\0\7", b""),
        (b"\4\2" + PORT + b"\x0a\0\0\2\0", b"\0\x5a" + bytes(6)),
        (V4[0], b"\0\1" + bytes(6)),
        (b"\4\1" + PORT + b"\x0a\0\0\2" + b"u" * 600, b""),
    ],
)
def test_what_only_looks_like_socks_is_left_alone(tmp_path: Path, words: tuple[bytes, ...]) -> None:
    wire = Wire()
    tcp = talk(Tcp(wire).open(), words)
    tcp.send(CLIENT, REQUEST)
    tcp.send(SERVER, RESPONSE)
    tcp.rst(SERVER)
    found = Imported(tmp_path, wire)
    assert (found.connections, found.notes) == ([], [])


def test_a_lost_packet_of_the_conversation_is_said(tmp_path: Path) -> None:
    wire = Wire()
    tcp = Tcp(wire).open()
    for number, word in enumerate((*OPEN, REQUEST, RESPONSE)):
        tcp.send(number % 2, word, is_lost=number == 2)
    wire.now += 10**9
    tcp.send(SERVER, HELLO)
    found = Imported(tmp_path, wire)
    assert found.connections == []
    assert "1 TCP connection not read: bytes of an opening handshake may be missing" in found.notes[1]


def test_a_websocket_behind_two_proxies(tmp_path: Path) -> None:
    wire = Wire()
    talk(talk(Tcp(wire).open(), OPEN), (CONNECT, PASSES, REQUEST, RESPONSE, HI, HELLO))
    assert Imported(tmp_path, wire).texts() == TALK


def test_very_many_tunnels_in_tunnels_end_the_reading(tmp_path: Path) -> None:
    wire = Wire()
    tcp = Tcp(wire).open()
    tcp.send(CLIENT, CONNECT * 2000)
    tcp.send(SERVER, PASSES * 2000)
    tcp.send(CLIENT, REQUEST)
    assert Imported(tmp_path, wire).connections == []


@pytest.mark.parametrize("has_tls_inside", [False, True])
def test_the_scheme_is_that_of_what_is_in_the_tunnel(
    tmp_path: Path, certificates: Certificates, has_tls_inside: bool
) -> None:
    """A proxy may be spoken to in TLS, whatever the WebSocket in its tunnel is in."""
    wire, keys = Wire(), tmp_path / "keys"
    outer = Tls(Tcp(wire).open(), certificates, keys).handshake()
    outer.send(CLIENT, CONNECT)
    outer.send(SERVER, PASSES)
    inner = Tls(outer, certificates, keys).handshake() if has_tls_inside else outer
    for side, data in ((CLIENT, REQUEST), (SERVER, RESPONSE), (CLIENT, HI), (SERVER, HELLO)):
        inner.send(side, data)
    found = Imported(tmp_path / "to", wire, key_log=keys)
    assert (found.texts(), found.notes) == (TALK, [])
    assert found.connections[0].url == (
        "wss://chat.example:80/chat?room=1" if has_tls_inside else "ws://chat.example/chat?room=1"
    )


PIECES = st.sampled_from([b"\5", b"\4", b"\1", b"\0", b"\2", b"\x5a", b"\xff", *OPEN, *PASSWORD, *V4, *V4A])


@given(st.lists(st.tuples(st.integers(0, 1), st.one_of(PIECES, st.binary(max_size=40))), max_size=30))
def test_hostile_bytes_are_read_bounded(pieces: list[tuple[int, bytes]]) -> None:
    """Whatever comes, it ends in one of three ways, and what is behind a tunnel is handed on whole."""
    socks, sent = Socks(), [b"", b""]
    try:
        for side, data in pieces:
            if socks.is_done:
                break
            sent[side] += data
            socks.feed(side, data)
    except (NotSocksError, SocksRefusedError):
        return
    if socks.is_done:
        assert all(whole.endswith(rest) for whole, rest in zip(sent, socks.rest(), strict=True))


def test_a_client_that_never_stops_is_not_kept() -> None:
    socks = Socks()
    socks.feed(CLIENT, b"\5\1\0")
    socks.feed(CLIENT, bytes(60_000))
    with pytest.raises(NotSocksError):
        socks.feed(CLIENT, bytes(10_000))
