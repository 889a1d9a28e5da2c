"""Facts out of a capture: which connections are looked at, whatever their numbers and how they ended."""

import sqlite3
from contextlib import closing

import pytest

from tests.support.bytes_of_frames import CLOSE, CONT, KEY, PING, PONG, TEXT, deflate, frame
from tests.support.chats import RESPONSE, Chat, store
from tests.support.journals import Foreign
from wsinspect.capture.reader import Capture
from wsinspect.diagnosis.facts import FactReader, diagnose
from wsinspect.diagnosis.hops import tap_names

REQUEST = (
    b"GET /room HTTP/1.1\r\nHost: chat.example\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
    b"Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n\r\n"
)
CODE = (1000).to_bytes(2)


def politely_ended(tmp_path, odd, side=1):
    """Three connections, each ended by the client's CLOSE with 1000 and the server's; one says something odd.

    Args:
        odd: bytes of the server, or of side 0, the client; the connection is the second one, and none of its
            frames has that number.
    """
    script = Chat()
    for number in (1, 2, 3):
        script.accept(number, REQUEST, "/room")
        for _ in range(number):
            script.data(number, 0, frame(TEXT, b"hello", key=KEY))
            script.data(number, 1, frame(TEXT, b"hello"))
        if number == 2:
            script.data(number, side, odd)
        script.data(number, 0, frame(CLOSE, CODE, key=KEY))
        script.data(number, 1, frame(CLOSE, CODE))
        script.end(number, "server")
    return store(tmp_path / "a.db", script)


@pytest.mark.parametrize(
    ("odd", "side", "expected"),
    [
        (frame(TEXT, b"bare"), 0, "WS-FR-001"),
        (frame(TEXT, b"x", key=KEY, form=16), 0, "WS-FR-007"),
        (frame(TEXT, b"masked", key=KEY), 1, "WS-FR-002"),
        (frame(TEXT, b"x", rsv=2), 1, "WS-FR-003"),
        (frame(CONT, b"stray"), 1, "WS-FR-006"),
        (frame(TEXT, b"\xff\xfe"), 1, "WS-MS-001"),
        (frame(TEXT, b"begun", fin=False), 1, "WS-MS-003"),
    ],
)
def test_what_is_broken_is_found_however_properly_the_connection_ended(tmp_path, odd, side, expected):
    with Capture.open(politely_ended(tmp_path, odd, side)) as capture:
        assert [(one.id, one.connection) for one in diagnose(capture.query)] == [(expected, 2)]
        assert FactReader(capture.query).eventful([1, 2, 3]) == {2}


def test_a_tap_that_ends_tls_is_looked_at(tmp_path):
    """WS-TOOL-011 is about connections that are otherwise healthy."""
    path = politely_ended(tmp_path, b"")
    with closing(sqlite3.connect(path)) as database:
        database.execute("UPDATE handshake SET client_tls = '{}' WHERE connection_id = 2")
        database.commit()
    with Capture.open(path) as capture:
        assert FactReader(capture.query).eventful([1, 2, 3]) == {2}


def test_connections_in_which_nothing_is_odd_are_not_read(tmp_path):
    with Capture.open(politely_ended(tmp_path, b"")) as capture:
        assert FactReader(capture.query).eventful([1, 2, 3]) == set()
        assert diagnose(capture.query) == []


@pytest.mark.parametrize(("side", "others"), [("server", {1, 3}), ("proxy", set())])
def test_what_the_proxy_ended_itself_is_compared_with_nothing(tmp_path, side, others):
    """Thousands end at once when it stops, and no rule has anything to say of that."""
    script = Chat()
    for number in (1, 2, 3):
        script.accept(number, REQUEST, "/room")
        script.data(number, 1, frame(TEXT, b"hello"))
    for number in (1, 2, 3):
        script.end(number, side)
    with Capture.open(store(tmp_path / "a.db", script)) as capture:
        facts = FactReader(capture.query).connection(2)
        assert facts is not None
        assert (facts.how, facts.ended_by) == ("fin", side)
        assert {one.id for one in facts.others} == others
        assert side == "server" or diagnose(capture.query) == []


OFFER = b"Sec-WebSocket-Extensions: permessage-deflate\r\n\r\n"


def stopped_with(tmp_path, *said):
    """A connection with compression of which this was said (side, bytes), and that the proxy ended."""
    script = Chat()
    script.begin(1, REQUEST.removesuffix(b"\r\n") + OFFER, "/room")
    script.answer(1, RESPONSE.partition(b"Set-Cookie")[0] + OFFER)
    script.event(1, "open")
    for side, data in said:
        script.data(1, side, data)
    script.end(1, "proxy")
    return store(tmp_path / "a.db", script)


ASK, ANSWER = (0, frame(TEXT, b"hello", key=KEY)), (1, frame(TEXT, b"hello"))
PING_OF_CLIENT = (0, frame(PING, b"", key=KEY))
FAILED, GONE = (b'{"error":"bad protocol"}\x1e', b'{"type":"disconnect","reason":"unauthorized"}')


def packed(message):
    return 1, frame(TEXT, deflate(message)[0], rsv=4)


@pytest.mark.parametrize(
    ("said", "is_eventful"),
    [
        ((), False),
        ((ASK, ANSWER), False),
        ((ASK, *[ANSWER] * 100), False),
        ((ASK,), False),
        ((ANSWER,), True),
        ((ANSWER, ASK), True),
        ((ANSWER, ASK, ASK), False),
        ((PING_OF_CLIENT, (1, frame(PONG, b"")), ANSWER), True),
        ((PING_OF_CLIENT, ASK), True),
        ((ASK, packed(b"hello" * 9)), False),
        ((ASK, packed(FAILED)), True),
        ((ASK, packed(GONE)), True),
        ((ASK, (1, frame(TEXT, GONE))), True),
        ((ASK, (1, frame(TEXT, FAILED)), *[ANSWER] * 70), True),
        ((ASK, *[ANSWER] * 70, (1, frame(TEXT, FAILED))), True),
        ((ASK, ANSWER, (1, frame(CLOSE, CODE))), True),
        ((ASK, (1, frame(TEXT, b"\xff\xfe"))), True),
    ],
)
def test_what_the_proxy_ended_is_left_out_where_no_rule_has_anything_to_say(tmp_path, said, is_eventful):
    """While it runs, and of a connection that no second tap saw; `diagnose` looks at all of them."""
    with Capture.open(stopped_with(tmp_path, *said)) as capture:
        reader = FactReader(capture.query)
        assert reader.eventful([1], is_live=True, is_alone=True) == ({1} if is_eventful else set())
        assert reader.eventful([1], is_live=True) == reader.eventful([1]) == {1}
        assert is_eventful or diagnose(capture.query) == []


def test_json_that_is_nested_too_deeply_is_no_object(tmp_path):
    """A capture may come from anybody, and `json` gives up on such text with a RecursionError."""
    deep = '{"a":' + "[" * 200_000 + "]" * 200_000 + "}"
    path = politely_ended(tmp_path, b"")
    with closing(sqlite3.connect(path)) as database:
        database.execute(
            "UPDATE handshake SET client_tls = ?, server_tls = ?", (deep, '{"version": "TLSv1.3"}')
        )
        database.execute("UPDATE event SET detail = ?", (deep,))
        database.execute("UPDATE meta SET value = ? WHERE key = 'taps'", (deep,))
        database.execute("INSERT INTO meta (run, key, value) VALUES (1, 'lacks', ?)", (deep,))
        database.commit()
    with Capture.open(path) as capture:
        facts = FactReader(capture.query).connection(2)
        assert facts is not None
        assert (facts.client_tls, facts.server_tls) == (None, {"version": "TLSv1.3"})
        assert tap_names(capture.query) == set()
        diagnose(capture.query)


@pytest.mark.parametrize(
    ("kind", "then", "severity"),
    [
        ("break", [], "note"),
        ("break", ["sent"], "error"),
        ("latency", [], "error"),
        ("", [], "error"),
    ],
)
def test_what_a_breakpoint_still_holds_blames_nobody(tmp_path, kind, then, severity):
    """Behind a held message waits the pong: the server gives up, and the ledger has no decision yet."""
    script = Chat()
    if kind:
        rule = {"event": "rule", "rule": "mine", "kind": kind, "armed": True}
        script._add("event", 0, Foreign(rule), script.now)
    script.accept(1, REQUEST, "/room")
    script.client(1, b"an order")
    if kind:
        script.event(1, "held", direction="c2s", frame=0)
    for kind in then:
        script.event(1, kind, direction="c2s", frame=0)
    script.tick(20_000)
    script.data(1, 1, frame(CLOSE, (1011).to_bytes(2) + b"keepalive ping timeout"))
    script.event(1, "end", side="server", how="fin")
    path = store(tmp_path / "a.db", script)
    with Capture.open(path) as capture:
        (found,) = [one for one in diagnose(capture.query) if one.id == "WS-CL-011"]
    assert found.severity == severity
    assert (found.fault_of == "tool") is (severity == "note")
    assert ("your rule `mine`" in found.evidence[0]) is (severity == "note")


def test_a_refusal_is_compared_with_the_same_path_however_many_others_came_between(tmp_path):
    script = Chat()
    for number, path in enumerate(("/Room/?a=1", *(f"/other-{n}" for n in range(20))), 1):
        script.accept(number, REQUEST, path)
    script.begin(22, REQUEST, "/room")
    script.answer(22, b"HTTP/1.1 403 Forbidden\r\nContent-Length: 0\r\n\r\n")
    script.event(22, "refused", status=403)
    with Capture.open(store(tmp_path / "a.db", script)) as capture:
        refused = FactReader(capture.query).connection(22)
        assert refused is not None
        assert 1 in {one.id for one in refused.others}
        assert len(refused.others) == 6


GRAPHQL = REQUEST.replace(b"\r\n\r\n", b"\r\nSec-WebSocket-Protocol: graphql-transport-ws\r\n\r\n")
CABLE = REQUEST.replace(b"\r\n\r\n", b"\r\nSec-WebSocket-Protocol: actioncable-v1-json\r\n\r\n")
PHOENIX = REQUEST.replace(b"GET /room", b"GET /socket/websocket?vsn=2.0.0")


@pytest.mark.parametrize("size", [10, 1000, 3000, 15_000])
@pytest.mark.parametrize(
    ("head", "message", "expected"),
    [
        (GRAPHQL, '{"payload":[{"message":"%s","extensions":{}}],"id":"1","type":"error"}', "WS-APP-018"),
        (CABLE, '{"identifier":"%s","type":"reject_subscription"}', "WS-APP-032"),
        (PHOENIX, '["1","2","%s","phx_reply",{"response":{"reason":"no"},"status":"error"}]', "WS-APP-040"),
    ],
    ids=["GraphQL", "Action Cable", "Phoenix"],
)
def test_a_long_message_is_read_to_its_end(tmp_path, head, message, expected, size):
    script = Chat()
    path = head.split()[1].decode()
    chosen = head.partition(b"Protocol: ")[2].partition(b"\r\n")[0]
    answer = RESPONSE.replace(b"\r\n\r\n", b"\r\nSec-WebSocket-Protocol: " + chosen + b"\r\n\r\n")
    script.begin(1, head, path)
    script.answer(1, answer if chosen else RESPONSE)
    script.event(1, "open")
    script.data(1, 0, frame(TEXT, b"{}", key=KEY))
    script.data(1, 1, frame(TEXT, (message % ("x" * size)).encode()))
    script.data(1, 0, frame(CLOSE, CODE, key=KEY))
    script.data(1, 1, frame(CLOSE, CODE))
    script.end(1, "server")
    with Capture.open(store(tmp_path / "a.db", script)) as capture:
        assert [one.id for one in diagnose(capture.query)] == [expected]
