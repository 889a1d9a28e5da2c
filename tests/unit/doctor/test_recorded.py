"""A recorded handshake that is asked again: the same server, and what the client sent along."""

from __future__ import annotations

import pytest

from wsinspect.doctor.recorded import asked_again, without_session
from wsinspect.doctor.target import Extras, parse_target
from wsinspect.handshake.heads import RawHead

TARGET = parse_target("ws://app.test/ws")[0]
HEAD = RawHead.parse(
    b"GET /ws HTTP/1.1\r\nHost: public.test\r\nOrigin: https://public.test\r\nCookie: a=b\r\n"
    b"Connection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Key: x\r\nAuthorization: Bearer t\r\n"
    b"X-Tenant: 7\r\nX-Forwarded-For: 10.0.0.1\r\nSec-WebSocket-Protocol: one, two\r\n\r\n"
)


def test_what_the_client_sent_is_sent_again():
    again = asked_again("wss", "10.0.0.5", 8443, "/ws?x=1", HEAD)
    assert again is not None
    target, extras = again
    assert str(target) == "wss://10.0.0.5:8443/ws?x=1"
    assert extras == Extras(
        origin="https://public.test",
        subprotocols=("one", "two"),
        headers=(("Host", "public.test"), ("Authorization", "Bearer t"), ("X-Tenant", "7")),
        cookies=("a=b",),
    )


def test_a_client_without_origin_is_asked_for_without():
    again = asked_again("ws", "app.test", 80, "/", RawHead.parse(b"GET / HTTP/1.1\r\nHost: app.test\r\n\r\n"))
    assert again is not None
    assert again[1] == Extras(origin="")


@pytest.mark.parametrize(
    ("scheme", "host", "port"),
    [(None, "a", 80), ("ws", None, 80), ("ws", "a", None), ("http", "a", 80), ("ws", "", 80)],
)
def test_a_server_that_is_not_known(scheme, host, port):
    assert asked_again(scheme, host, port, "/", None) is None


@pytest.mark.parametrize(
    ("server", "is_tls", "wanted"),
    [
        ("10.0.0.5:3000", False, "ws://10.0.0.5:3000/ws"),
        ("app.internal:443", True, "wss://app.internal/ws"),
        ("[::1]:3000", False, "ws://[::1]:3000/ws"),
        ("localhost:8080", False, "wss://localhost:8080/ws"),
        (None, False, "wss://localhost:8080/ws"),
    ],
)
def test_behind_a_reverse_tap_it_is_the_server_and_not_our_own_proxy(server, is_tls, wanted):
    again = asked_again("wss", "localhost", 8080, "/ws", HEAD, server=server, is_tls=is_tls)
    assert again is not None
    assert str(again[0]) == wanted


def test_an_address_that_cannot_be_read():
    assert asked_again("ws", "a", 80, "/", None, server="nonsense") is None


def test_a_session_of_engineio_is_left_out():
    target = parse_target("ws://app.test/socket.io/?EIO=4&transport=websocket&sid=abc&t=1&token=x")[0]
    assert without_session(target).query == "EIO=4&transport=websocket&token=x"
    assert without_session(TARGET) == TARGET
    other = parse_target("ws://app.test/?sid=abc")[0]
    assert without_session(other) == other
