"""How long sides are known to wait: by what they said, by their software's defaults, and not at all."""

from __future__ import annotations

import json
from itertools import pairwise

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from wsinspect.findings.facts import C2S, S2C
from wsinspect.findings.patience import Patience, Spoken, Talk, patience_of
from wsinspect.handshake.heads import RawHead
from wsinspect.wire.opcodes import Direction, Opcode

SECOND = 10**9
OPEN = b'0{"sid":"a","upgrades":[],"pingInterval":25000,"pingTimeout":20000,"maxPayload":1000000}'


def head(*fields: str, first: str = "HTTP/1.1 101 Switching Protocols") -> RawHead:
    return RawHead.parse("\r\n".join([first, *fields, "", ""]).encode())


def said(
    direction: Direction, data: bytes, at_s: float, *, opcode: int = Opcode.TEXT, is_held: bool = False
) -> Spoken:
    at_ns = round(at_s * SECOND)
    return Spoken(direction, opcode, data, at_ns, None if is_held else at_ns)


def talk(*spoken: Spoken, **facts) -> Talk:
    return Talk(open_ns=0, first=spoken[:8], last=spoken, **facts)


def waits(found: tuple[Patience, ...]) -> list[tuple[str, str, float | None, float | None]]:
    """Side, what for, how long, since when; without what any bytes end."""
    return sorted(
        (one.side, one.what, one.seconds, None if one.since_ns is None else one.since_ns / SECOND)
        for one in found
        if one.what != "any bytes"
    )


# -- Engine.IO


def test_engine_io_a_server_that_pinged_waits_for_its_pong_since_then() -> None:
    found = patience_of(
        talk(
            said(S2C, OPEN, 1),
            said(S2C, b"2", 26),
            said(C2S, b"42[1]", 30),
            said(C2S, b"3", 31, is_held=True),
        )
    )
    assert waits(found) == [("client", "a ping", 45, 26), ("server", "the pong to its ping", 20, 26)]
    assert not any(one.is_default for one in found)


def test_engine_io_a_server_that_has_its_pong_waits_for_the_next_one() -> None:
    found = patience_of(talk(said(S2C, OPEN, 1), said(S2C, b"2", 26), said(C2S, b"3", 26.5)))
    assert waits(found) == [("client", "a ping", 45, 26), ("server", "the pong to its next ping", 45, 26.5)]


def test_engine_io_a_ping_that_is_held_is_none_that_its_client_has() -> None:
    found = patience_of(talk(said(S2C, OPEN, 1), said(S2C, b"2", 26, is_held=True)))
    assert waits(found) == [("client", "a ping", 45, 1), ("server", "the pong to its ping", 20, 26)]


def test_engine_io_before_version_4_the_client_pings() -> None:
    path = "/socket.io/?EIO=3&transport=websocket"
    asked = talk(said(S2C, OPEN, 1), said(C2S, b"2", 26), said(S2C, b"3", 26, is_held=True), path=path)
    assert waits(patience_of(asked)) == [
        ("client", "the pong to its ping", 20, 26),
        ("server", "a ping", 45, None),
    ]
    quiet = talk(said(S2C, OPEN, 1), path=path)
    assert waits(patience_of(quiet)) == [("server", "a ping", 45, None)]


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
        b"\x20\x02\x00\x00",
        b"CONNECTED\nheart-beat:1,1\n\n\0",
        b"{}\x1e",
    ],
)
def test_what_says_nothing_promises_nothing(first: bytes) -> None:
    assert patience_of(talk(said(S2C, first, 1), response=head("Server: something of our own"))) == ()
    assert patience_of(talk(said(C2S, first, 1))) == ()


@given(
    st.dictionaries(st.sampled_from(("pingInterval", "pingTimeout")), st.floats() | st.integers() | st.text())
)
@example({"pingInterval": 5e-324, "pingTimeout": 5e-324})
def test_any_open_packet_is_read(opened: dict[str, object]) -> None:
    for one in patience_of(talk(said(S2C, b"0" + json.dumps(opened).encode(), 1))):
        assert one.seconds is not None
        assert one.seconds > 0


@given(st.binary(max_size=60), st.binary(max_size=60), st.sampled_from(("", "mqtt", "graphql-transport-ws")))
def test_any_bytes_are_read(client: bytes, server: bytes, subprotocol: str) -> None:
    first = (said(C2S, client, 1, opcode=2), said(S2C, server, 2, opcode=2))
    for one in patience_of(talk(*first, subprotocol=subprotocol)):
        assert one.side in ("client", "server")


# -- SignalR, MQTT, STOMP, and others

HUB = b'{"protocol":"json","version":1}\x1e'


def test_signalr_waits_for_its_handshake_and_then_for_anything() -> None:
    begun = said(C2S, HUB, 2, is_held=True)
    assert waits(patience_of(talk(begun))) == [
        ("client", "a message or a ping", 30, None),
        ("server", "the handshake of SignalR", 15, 0),
    ]
    found = patience_of(talk(begun, said(S2C, b"{}\x1e", 3)))
    assert waits(found) == [
        ("client", "a message or a ping", 30, None),
        ("server", "a message or a ping", 30, None),
    ]
    assert all(one.is_default for one in found)


def connect(seconds: int, name: bytes = b"\0\x04MQTT\x04") -> Spoken:
    body = name + b"\x02" + seconds.to_bytes(2) + b"\0\x01a"
    return said(C2S, bytes((0x10, len(body))) + body, 1, opcode=2)


def test_mqtt_a_broker_waits_one_and_a_half_times_the_keep_alive() -> None:
    [one] = patience_of(talk(connect(60), subprotocol="mqtt"))
    assert (one.side, one.what, one.seconds, one.is_default) == ("server", "a packet", 90, False)
    assert "60 s" in one.who
    [old] = patience_of(talk(connect(10, b"\0\x06MQIsdp\x03")))
    assert old.seconds == 15
    assert patience_of(talk(connect(0))) == ()


def test_mqtt_a_packet_may_come_a_field_a_message() -> None:
    whole = connect(60)
    at = (0, 1, 2, 4, 8, 9, 10, 12, 14, 15)
    pieces = [whole._replace(data=whole.data[a:b]) for a, b in pairwise(at)]
    [one] = patience_of(talk(*pieces, subprotocol="mqtt"))
    assert one.seconds == 90


def test_mqtt_5_a_broker_may_put_a_keep_alive_of_its_own_in_the_place() -> None:
    properties = b"\x21\0\x14" + b"\x26\0\x01a\0\x01b" + b"\x13\0\x1e"
    body = b"\0\0" + bytes((len(properties),)) + properties
    answer = said(S2C, bytes((0x20, len(body))) + body, 2, opcode=2)
    [one] = patience_of(talk(connect(60), answer))
    assert one.seconds == 45
    assert "broker's keep alive of 30 s" in one.who


def test_mqtt_a_client_that_asked_waits_for_its_pingresp() -> None:
    asked = said(C2S, b"\xc0\x00", 9, opcode=2)
    held = said(S2C, b"\xd0\x00", 9.1, opcode=2, is_held=True)
    assert waits(patience_of(talk(connect(60), asked, held))) == [
        ("client", "PINGRESP", None, 9),
        ("server", "a packet", 90, None),
    ]
    assert len(patience_of(talk(connect(60), asked, held._replace(sent_ns=10 * SECOND)))) == 1


@pytest.mark.parametrize(
    ("ours", "theirs", "expected"),
    [
        ("10000,20000", "5000,8000", [("client", 20), ("server", 10)]),
        ("0,0", "5000,8000", []),
        ("10000, 0", "5000,8000", [("server", 10)]),
        ("x", "5000,8000", []),
    ],
)
def test_stomp_both_sides_have_agreed(ours: str, theirs: str, expected: list[tuple[str, float]]) -> None:
    found = patience_of(
        talk(
            said(C2S, f"CONNECT\naccept-version:1.2\nheart-beat:{ours}\n\n\0".encode(), 1),
            said(S2C, f"CONNECTED\nversion:1.2\nheart-beat:{theirs}\n\n\0".encode(), 2),
        )
    )
    assert sorted((one.side, one.seconds) for one in found) == expected
    assert not any(one.is_default for one in found)


def test_others_have_defaults() -> None:
    [cable] = patience_of(talk(subprotocol="actioncable-v1-json"))
    assert (cable.side, cable.seconds) == ("client", 6)
    init = said(C2S, b'{"type":"connection_init"}', 1, is_held=True)
    [graphql] = patience_of(talk(init, subprotocol="graphql-transport-ws"))
    assert (graphql.side, graphql.seconds, graphql.since_ns) == ("server", 3, 0)
    answer = said(S2C, b'{"type":"connection_ack"}', 2)
    assert patience_of(talk(init, answer, subprotocol="graphql-transport-ws")) == ()
    [phoenix] = patience_of(talk(said(C2S, b'["1","1","room:1","phx_join",{}]', 1)))
    assert (phoenix.side, phoenix.seconds) == ("server", 60)


# -- PINGs, hops, and the opening handshake


@pytest.mark.parametrize("server", ["uvicorn", "Python/3.13 websockets/15.0"])
def test_the_library_websockets_waits_for_its_pong(server: str) -> None:
    response = head(f"Server: {server}")
    ping = said(S2C, b"abcd", 20, opcode=Opcode.PING)
    pong = said(C2S, b"abcd", 21, opcode=Opcode.PONG)
    for spoken, expected in (
        ((), ("server", "the PONG to its next PING", 40, 0)),
        ((ping,), ("server", "the PONG to its PING", 20, 20)),
        ((ping, pong._replace(sent_ns=None)), ("server", "the PONG to its PING", 20, 20)),
        ((ping, pong), ("server", "the PONG to its next PING", 40, 21)),
    ):
        assert waits(patience_of(talk(*spoken, response=response))) == [expected]


def test_a_ping_of_anybody_is_named_without_a_limit() -> None:
    ping = said(C2S, b"", 5, opcode=Opcode.PING)
    assert waits(patience_of(talk(ping))) == [("client", "the PONG to its PING", None, 5)]
    assert patience_of(talk(ping, said(S2C, b"", 6, opcode=Opcode.PONG))) == ()


@pytest.mark.parametrize(
    ("server", "seconds"), [("nginx/1.29.4", 60), ("Apache/2.4", 60), ("cloudflare", 100)]
)
def test_software_that_names_itself_has_a_default(server: str, seconds: float) -> None:
    found = patience_of(talk(response=head(f"Server: {server}")))
    assert min((one.seconds or 0, one.side, one.what, one.is_default) for one in found) == (
        seconds,
        "server",
        "any bytes",
        True,
    )


@pytest.mark.parametrize(
    ("agent", "seconds"),
    [
        ("Mozilla/5.0 (X11; Linux x86_64; rv:140.0) Gecko/20100101 Firefox/140.0", 20),
        ("Mozilla/5.0 (X11) AppleWebKit/537.36 Chrome/140.0.0.0 Safari/537.36", 240),
        ("Python/3.13 websockets/15.0", 10),
        ("something else", None),
    ],
)
def test_a_client_waits_for_its_answer(agent: str, seconds: float | None) -> None:
    request = head(f"User-Agent: {agent}", first="GET /chat HTTP/1.1")
    [one] = patience_of(Talk(request=request, is_open=False, attempt_ns=7 * SECOND))
    assert waits((one,)) == [("client", "the answer to its handshake", seconds, 7)]
    [one] = patience_of(Talk(is_open=False, attempt_ns=7 * SECOND))
    assert one.seconds is None


# -- as JSON


def test_what_is_left_counts_from_the_question_or_from_the_last_bytes() -> None:
    since = Patience("server", "the pong to its ping", 20, "Engine.IO", False, since_ns=5 * SECOND)
    assert since.as_json(8 * SECOND, 7 * SECOND) == {
        "side": "server",
        "for": "the pong to its ping",
        "waited_ms": 3000,
        "limit_ms": 20_000,
        "left_ms": 17_000,
        "who": "Engine.IO",
        "default": False,
    }
    heard = since._replace(since_ns=None)
    assert heard.as_json(8 * SECOND, 7 * SECOND)["left_ms"] == 19_000
    assert heard.as_json(8 * SECOND, None)["left_ms"] is None
    assert heard.as_json(90 * SECOND, 7 * SECOND)["left_ms"] == 0
    unknown = since._replace(seconds=None).as_json(8 * SECOND, None)
    assert (unknown["limit_ms"], unknown["left_ms"], unknown["waited_ms"]) == (None, None, 3000)
