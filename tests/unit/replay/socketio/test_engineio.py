"""Engine.IO on a played server and client: payloads of long-polling, what a recording tells of sessions."""

from __future__ import annotations

import json

import pytest

from wsinspect.formats.transcript import Said
from wsinspect.replay.common.script import Send
from wsinspect.replay.socketio.engine_client import EngineClient, upgraded_path
from wsinspect.replay.socketio.engineio import EngineIo, connects_to, facts_of, session_of
from wsinspect.wire.opcodes import Direction

C2S, S2C = Direction
PATH = "/socket.io/?EIO=4&transport=websocket"
OPEN = b'0{"sid":"engine-1","upgrades":[],"pingInterval":300,"pingTimeout":200}'


def said(*packets: tuple[Direction, bytes]) -> list[Said]:
    return [
        Said(number, side, 1, number * 10**9, data, False, len(data), None, number)
        for number, (side, data) in enumerate(packets)
    ]


def ids():
    numbers = iter(range(100))
    return lambda: f"new-{next(numbers)}"


@pytest.mark.parametrize(
    ("packet", "namespace"),
    [
        (b"40", b""),
        (b'40{"token":"x"}', b""),
        (b"40/admin,", b"/admin"),
        (b'40/admin,{"sid":"x"}', b"/admin"),
        (b"41", None),
        (b'42["a"]', None),
    ],
)
def test_connects(packet, namespace):
    assert connects_to(packet) == namespace


def test_a_recording_from_its_beginning_says_what_its_session_was():
    facts = facts_of(PATH, said((S2C, OPEN), (C2S, b"40"), (S2C, b'40{"sid":"socket-1"}'), (C2S, b"40/b,")))
    assert (facts.sid, facts.is_begun, facts.interval_ms) == ("engine-1", False, 300)
    assert facts.namespaces == {b"", b"/b"}
    session = EngineIo(4, ids(), facts)
    opened = json.loads(session.greeting(may_upgrade=True)[0][1:])
    assert opened == {"sid": "new-0", "upgrades": ["websocket"], "pingInterval": 300, "pingTimeout": 200} | {
        "maxPayload": 1_000_000
    }
    assert session.is_ready
    assert session.outgoing(b'40{"sid":"socket-1"}') == b'40{"sid":"new-1"}'
    assert session.outgoing(b'42["you","socket-1"]') == b'42["you","new-1"]'
    assert session.incoming(b'42["me","new-1"]') == (b'42["me","socket-1"]', None)
    assert session.incoming(b"40") == (b"40", None)


def test_a_recording_from_the_middle_is_connected_as_any_server_would():
    path = PATH + "&sid=engine-1"
    facts = facts_of(
        path, said((C2S, b"2probe"), (S2C, b"3probe"), (C2S, b"5"), (S2C, b"2"), (S2C, b'42["a"]'))
    )
    assert session_of(path) == facts.sid == "engine-1"
    session = EngineIo(4, ids(), facts)
    was_ready = session.is_ready
    assert session.incoming(b"40/chat,{}") == (None, b'40/chat,{"sid":"new-1"}')
    assert (was_ready, session.is_ready) == (False, True)
    assert session.incoming(b"2probe") == (None, b"3probe")
    assert session.incoming(b"5") == (None, None)
    assert session.incoming(b'42["b"]') == (b'42["b"]', None)


def test_in_version_3_the_server_connects_unasked_and_the_client_pings():
    facts = facts_of("/?EIO=3&sid=engine-1", said((S2C, b'42["a"]')))
    session = EngineIo(3, ids(), facts)
    assert session.greeting(may_upgrade=False)[1:] == [b"40"]
    assert (session.is_ready, session.interval_s) == (True, None)
    assert session.incoming(b"2") == (None, b"3")


def test_the_interval_of_heartbeats_is_that_which_was_seen():
    facts = facts_of("/?EIO=4&sid=engine-1", said((S2C, b"2"), (C2S, b"3"), (S2C, b"2")))
    assert facts.interval_ms == 2000


def test_a_client_takes_the_servers_ids_for_the_recorded_ones():
    client = EngineClient(4, facts_of(PATH, said((S2C, OPEN), (C2S, b"40"), (S2C, b'40{"sid":"socket-1"}'))))
    assert client.incoming(b'0{"sid":"engine-2"}') == (None, [])
    assert client.is_ready
    assert client.incoming(b"2") == (None, [b"3"])
    assert client.incoming(b'40{"sid":"socket-2"}') == (b'40{"sid":"socket-1"}', [])
    assert client.incoming(b'42["you","socket-2"]')[0] == b'42["you","socket-1"]'
    sent = client.outgoing(Send(b"wire", 0, 5, 1, True, b'42["me","socket-1"]'))
    assert sent.data == b'42["me","socket-2"]'


def test_a_client_from_the_middle_connects_first():
    client = EngineClient(4, facts_of(PATH + "&sid=engine-1", said((C2S, b"5"), (C2S, b'42["a"]'))))
    assert client.incoming(b'0{"sid":"engine-2"}') == (None, [b"40"])
    was_ready = client.is_ready
    assert client.incoming(b'40{"sid":"socket-2"}') == (None, [])
    assert (was_ready, client.is_ready) == (False, True)


@pytest.mark.parametrize(
    ("path", "now"),
    [
        ("/s/?EIO=4&transport=websocket&sid=abcd", "/s/?EIO=4&transport=websocket"),
        ("/s/?sid=abcd&EIO=4&transport=websocket&x=1", "/s/?EIO=4&transport=websocket&x=1"),
        ("/s/?EIO=4&transport=websocket", "/s/?EIO=4&transport=websocket"),
    ],
)
def test_a_session_begins_with_the_websocket(path, now):
    assert upgraded_path(path) == now
