"""How long sides are known to wait: by what they said, by their software's defaults, and not at all."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from wsinspect.findings.patience import patience_of
from wsinspect.handshake.heads import RawHead

OPEN = b'0{"sid":"a","upgrades":[],"pingInterval":25000,"pingTimeout":20000,"maxPayload":1000000}'


def head(*fields: str) -> RawHead:
    return RawHead.parse("\r\n".join(["HTTP/1.1 101 Switching Protocols", *fields, "", ""]).encode())


def test_engine_io_says_it_itself() -> None:
    found = patience_of(head("Upgrade: websocket"), None, OPEN)
    assert [(one.side, one.seconds, one.is_default) for one in found] == [
        ("client", 45, False),
        ("server", 45, False),
    ]


@pytest.mark.parametrize(
    ("server", "seconds"),
    [
        ("nginx/1.29.4", 60),
        ("Apache/2.4", 60),
        ("uvicorn", 40),
        ("Python/3.13 websockets/15.0", 40),
        ("cloudflare", 100),
    ],
)
def test_software_that_names_itself_has_a_default(server: str, seconds: float) -> None:
    found = patience_of(head(f"Server: {server}"))
    assert [(one.side, one.seconds, one.is_default) for one in found][:1] == [("server", seconds, True)]


def test_the_shortest_of_a_side_comes_first() -> None:
    found = patience_of(head("Server: nginx"), None, OPEN)
    assert [(one.side, one.seconds) for one in found] == [("client", 45), ("server", 45), ("server", 60)]
    [client] = patience_of(head(), "actioncable-v1-json")
    assert (client.side, client.seconds) == ("client", 6)


@pytest.mark.parametrize(
    "first",
    [
        b"",
        b"hello",
        b"0{",
        b"0[]",
        b'0{"pingInterval":true,"pingTimeout":1}',
        b'0{"pingInterval":25000}',
        b'0{"pingInterval":-1,"pingTimeout":5}',
        b"0{" + b" " * 20_000 + b"}",
        b'0{"a":' + b"[" * 10_000,
    ],
)
def test_what_says_nothing_promises_nothing(first: bytes) -> None:
    assert patience_of(head("Server: something of our own"), None, first) == ()
    assert patience_of(None, None, first) == ()


@given(
    st.dictionaries(st.sampled_from(("pingInterval", "pingTimeout")), st.floats() | st.integers() | st.text())
)
def test_any_open_packet_is_read(opened: dict[str, object]) -> None:
    for one in patience_of(None, None, b"0" + json.dumps(opened).encode()):
        assert one.seconds > 0
