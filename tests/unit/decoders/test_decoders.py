"""Every decoder on what its protocol's document says, on cut bytes, and on bytes that were made to harm."""

from __future__ import annotations

import json
import struct
import time
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from wsinspect import decoders
from wsinspect.decoders import Decoded, Decoder, Payload
from wsinspect.decoders.engineio import is_polling_path
from wsinspect.decoders.limits import MAX_BYTES, MAX_LINES, MAX_SUMMARY
from wsinspect.decoders.messagepack import Reader
from wsinspect.decoders.model import Malformed

EIO = "/socket.io/?EIO=4&transport=websocket"
BY_NAME = {decoder.name: decoder for decoder in decoders.known()}


def text(data: str, **facts: Any) -> Payload:
    return Payload(data.encode(), True, **facts)


def binary(data: bytes, **facts: Any) -> Payload:
    return Payload(data, False, **facts)


def names(payload: Payload) -> list[str]:
    return [decoder.name for decoder in decoders.decoders_for(payload)]


def read(name: str, payload: Payload) -> Decoded:
    return decoders.decode(BY_NAME[name], payload)


def lines(name: str, payload: Payload) -> list[str]:
    decoded = read(name, payload)
    assert decoded.problem is None, decoded
    return list(decoded.lines)


def phoenix_push() -> bytes:
    return b"\x00\x01\x01\x04\x0411roompush\x01\x02\x03"


def stomp(data: bytes) -> Payload:
    return Payload(data, True, "v12.stomp")


def mqtt_packet(first: int, body: bytes) -> bytes:
    return bytes([first, len(body)]) + body


def mqtt_text(word: str) -> bytes:
    return struct.pack(">H", len(word)) + word.encode()


CONNECT = mqtt_packet(
    0x10,
    mqtt_text("MQTT")
    + b"\x04\xc6\x00\x3c"
    + mqtt_text("me")
    + mqtt_text("gone")
    + mqtt_text("bye")
    + mqtt_text("user")
    + mqtt_text("secret"),
)
PUBLISH = mqtt_packet(0x32, mqtt_text("a/b") + b"\x00\x07" + b"hello")
SIGNALR = '{"type":1,"invocationId":"7","target":"Send","arguments":["hi",{"n":1.50}]}\x1e'
GRAPHQL = (
    '{"id":"1","type":"subscribe","payload":{"operationName":"Watch",'
    '"query":"subscription Watch {\\n  a\\n}",'
    '"variables":{"n":1.0}}}'
)

#: name, payload, the decoder that is to fit first, its lines, its summary.
CASES = [
    ("open", text('0{"sid":"x","pingInterval":25000}'), "socket.io",
     ["Engine.IO   0 open", "{", '  "sid": "x",', '  "pingInterval": 25000', "}"], "open"),
    ("probe", text("2probe", path=EIO), "socket.io",
     ["Engine.IO   2 ping", "data        probe"], "ping probe"),
    ("connect", text("40/admin,", path=EIO), "socket.io",
     ["Engine.IO   4 message", "Socket.IO   0 CONNECT", "namespace   /admin"], "CONNECT /admin"),
    ("connect of old", text("40/admin?t=1", path=EIO), "socket.io",
     ["Engine.IO   4 message", "Socket.IO   0 CONNECT", "namespace   /admin?t=1"], "CONNECT /admin?t=1"),
    ("event", text('42/chat,12["say",{"n":1.0},"b"]'), "socket.io",
     ["Engine.IO   4 message", "Socket.IO   2 EVENT", "namespace   /chat",
      "ack         12, is wanted", "event       say", "argument 1", "  {", '    "n": 1.0', "  }",
      "argument 2", '  "b"'], "EVENT /chat say ack 12"),
    ("ack", text("4312[true]"), "socket.io",
     ["Engine.IO   4 message", "Socket.IO   3 ACK", "namespace   /",
      "ack         12, answers the event of that number", "data", "  [", "    true", "  ]"], "ACK ack 12"),
    ("binary event", text('451-["up",{"_placeholder":true,"num":0}]', path=EIO), "socket.io", None,
     "BINARY_EVENT up +1 binary"),
    ("attachment", binary(b"\xde\xff", path=EIO), "socket.io",
     ["Engine.IO   binary message",
      "Socket.IO   an attachment of the BINARY_EVENT or BINARY_ACK before it",
      "length      2 bytes", "data        de ff"], "attachment"),
    ("attachment of 3", binary(b"\x04\xde", path="/socket.io/?EIO=3&transport=websocket"), "socket.io",
     None, "attachment"),
    ("subscribe", text(GRAPHQL, subprotocol="graphql-transport-ws"), "graphql",
     ["type        subscribe, run this operation", "id          1", "operation   Watch", "query",
      "  subscription Watch {", "    a", "  }", "variables", "  {", '    "n": 1.0', "  }"],
     "subscribe #1 Watch"),
    ("foreign type", text('{"type":"start","id":"1"}', subprotocol="graphql-transport-ws"), "graphql",
     ["type        start, run this operation; graphql-transport-ws does not have it", "id          1"],
     "start #1"),
    ("result", text('{"type":"data","id":"1","payload":{"data":null},"x":2}', subprotocol="graphql-ws"),
     "graphql",
     ["type        data, a result", "id          1", "payload", "  {", '    "data": null', "  }", "more",
      "  {", '    "x": 2', "  }"], "data #1"),
    ("init without subprotocol", text('{"type":"connection_init"}'), "graphql",
     ["type        connection_init, the client asks to be let in"], "connection_init"),
    ("cable", text('{"command":"subscribe","identifier":"{\\"channel\\":\\"Room\\"}"}'), "actioncable",
     ["command     subscribe", "identifier", "  {", '    "channel": "Room"', "  }"], "subscribe Room"),
    ("welcome", text('{"type":"welcome"}', subprotocol="actioncable-v1-json"), "actioncable",
     ["type        welcome, the server lets the client in"], "welcome"),
    ("cable's broadcast", text('{"identifier":"{\\"channel\\":\\"Room\\"}","message":"hi"}'), "actioncable",
     ["type        a broadcast to a subscription", "identifier", "  {", '    "channel": "Room"', "  }",
      'message     "hi"'], "broadcast Room"),
    ("join", text('["1","2","room:1","phx_join",{"t":1}]'), "phoenix",
     ["event       phx_join, join the topic", "topic       room:1", "ref         2", "join ref    1",
      "payload", "  {", '    "t": 1', "  }"], "phx_join room:1 ref 2"),
    ("reply", text('[null,"2","room:1","phx_reply",{"status":"error","response":{}}]'), "phoenix",
     ["event       phx_reply, the answer to the message of that ref", "topic       room:1", "ref         2",
      "join ref    none", "status      error", "payload", "  {", '    "status": "error",',
      '    "response": {}', "  }"], "phx_reply room:1 ref 2"),
    ("version 1", text('{"topic":"t","event":"e","payload":1,"ref":null}', path="/s/websocket?vsn=1.0.0"),
     "phoenix", ["event       e", "topic       t", "ref         none", "join ref    none", "payload", "  1"],
     None),
    ("packed push", binary(phoenix_push(), path="/s/websocket?vsn=2.0.0"), "phoenix",
     ["kind        push", "join ref    1", "ref         1", "topic       room", "event       push",
      "payload     3 bytes", "  01 02 03"], None),
    ("packed broadcast", binary(b"\x02\x01\x01tehi", path="/s/websocket?vsn=2.0.0", is_s2c=True), "phoenix",
     ["kind        broadcast", "topic       t", "event       e", "payload     2 bytes", "  hi"], None),
    ("call", text(SIGNALR), "signalr",
     ["record      1 Invocation", 'invocationId"7"', 'target      "Send"', "arguments", "  [", '    "hi",',
      "    {", '      "n": 1.50', "    }", "  ]"], "Invocation Send #7"),
    ("two records", text('{"type":6}\x1e{"type":3,"invocationId":"7","result":1}\x1e'), "signalr",
     ["record      6 Ping", "", "record      3 Completion", 'invocationId"7"', "result      1"],
     "Ping #7 +1 more"),
    ("hello", text('{"protocol":"json","version":1}\x1e'), "signalr",
     ["record      the handshake's request", 'protocol    "json"', "version     1"], "handshake"),
    ("hello's answer", text("{}\x1e"), "signalr", ["record      the handshake's answer"], "handshake"),
    ("packed call", binary(b"\x0b\x95\x01\x80\xc0\xa4Send\x91\x05", path="/hub?id=abc"), "signalr",
     ["message     1 Invocation", "headers: {}", "invocationId: nil", 'target: "Send"', "arguments: [", "  5",
      "]"], 'Invocation "Send"'),
    ("send", stomp(b"SEND\ndestination:/q/a\ncontent-length:3\n\n\x00{}\x00"), "stomp",
     ["command     SEND", "  destination: /q/a", "  content-length: 3", "body        3 bytes", "  00 7b 7d"],
     "SEND /q/a"),
    ("escaped header", stomp(b"MESSAGE\r\na:b\\cc\\nd\r\n\r\n{\"x\":1}\0\n"), "stomp",
     ["command     MESSAGE", "  a: b:c\nd", "body        7 bytes", "  {", '    "x": 1', "  }"], "MESSAGE"),
    ("connect is not escaped", stomp(b"CONNECT\npasscode:a\\cb\n\n\0"), "stomp",
     ["command     CONNECT", "  passcode: a\\cb"], "CONNECT"),
    ("beat", stomp(b"\n"), "stomp", ["heartbeat   1 bytes"], "heartbeat"),
    ("two frames", stomp(b"BEGIN\nt:1\n\n\0\nCOMMIT\nt:1\n\n\0"), "stomp",
     ["command     BEGIN", "  t: 1", "", "command     COMMIT", "  t: 1"], "BEGIN"),
    ("mqtt", binary(CONNECT + PUBLISH), "mqtt",
     ["packet      CONNECT, 39 bytes", "protocol    MQTT 3.1.1", "keep alive  60 s", "clean start yes",
      "client id   me", "will topic  gone", "will        bye", "user name   user", "password    secret", "",
      "packet      PUBLISH, 12 bytes", "topic       a/b", "packet id   7", "QoS         1",
      "payload     5 bytes; of MQTT 5 they begin with properties", "  hello"], "CONNECT PUBLISH a/b"),
    ("connack", binary(b"\x20\x02\x00\x05", subprotocol="mqtt"), "mqtt",
     ["packet      CONNACK, 2 bytes", "session     new", "answer      5 not authorised"], "CONNACK"),
    ("subscribe of 3", binary(b"\x82\x08\x00\x01" + mqtt_text("a/#") + b"\x01", subprotocol="mqtt"), "mqtt",
     ["packet      SUBSCRIBE, 8 bytes", "packet id   1", "topic       a/#, QoS 1"], "SUBSCRIBE"),
    ("subscribe of 5",
     binary(b"\x82\x0b\x00\x01\x02\x0b\x01" + mqtt_text("a/#") + b"\x01", subprotocol="mqtt"),
     "mqtt",
     ["packet      SUBSCRIBE, 11 bytes", "packet id   1", "properties  0b 01", "topic       a/#, QoS 1"],
     "SUBSCRIBE"),
    ("ping", binary(b"\xc0\x00\xd0\x00", subprotocol="mqtt"), "mqtt",
     ["packet      PINGREQ, 0 bytes", "", "packet      PINGRESP, 0 bytes"], "PINGREQ PINGRESP"),
    ("sockjs", text('a["{\\"a\\":1}","plain"]', path="/e/000/abc/websocket"), "sockjs",
     ["SockJS      a messages", "message 1", "  {", '    "a": 1', "  }", "message 2", "  plain"], None),
    ("sockjs' end", text('c[3000,"Go away!"]', path="/e/000/abc/websocket"), "sockjs",
     ["SockJS      c close", "code        3000", "reason      Go away!"], 'close [3000,"Go away!"]'),
]  # fmt: skip


@pytest.mark.parametrize(
    ("payload", "name", "expected", "words"), [case[1:] for case in CASES], ids=[case[0] for case in CASES]
)
def test_what_the_protocols_documents_say(payload, name, expected, words):
    assert names(payload)[0] == name
    decoded = lines(name, payload)
    assert decoded
    if expected is not None:
        assert decoded == expected
    assert decoders.summary(payload) == words


@pytest.mark.parametrize(("payload", "name"), [case[1:3] for case in CASES], ids=[case[0] for case in CASES])
def test_every_cut_is_read_as_far_as_it_goes(payload, name):
    whole = len(lines(name, payload))
    for size in range(len(payload.data)):
        cut = payload._replace(data=payload.data[:size])
        decoded = read(name, cut)
        assert len(decoded.lines) <= whole + 1
        words = decoders.summary(cut._replace(is_whole=False))
        assert words is None or 0 < len(words) <= MAX_SUMMARY


@pytest.mark.parametrize(
    "payload",
    [
        text('{"type":"message","id":"1"}'),
        text('{"type":1}'),
        text("hello"),
        text("42"),
        text("[1,2,3,4,5]"),
        text('{"message":"hi","identifier":"x"}'),
        text("SENDING\nx\n"),
        text(""),
        binary(b""),
        binary(b"\x00\x01\x02"),
        binary(b"\x89PNG\r\n\x1a\n"),
        binary(b"\x10\x05hello"),
    ],
)
def test_what_is_another_protocol_is_no_decoders(payload):
    assert names(payload) == []
    assert decoders.summary(payload) is None


@pytest.mark.parametrize(
    ("name", "payload", "problem"),
    [
        ("socket.io", text("x", path=EIO), "no Engine.IO packet"),
        ("socket.io", text("49", path=EIO), "no Socket.IO packet"),
        ("socket.io", text("42{}", path=EIO), "an array that begins with its name"),
        ("socket.io", text('42["a"', path=EIO), "Expecting ',' delimiter at character 4"),
        ("socket.io", text('421-["a"]', path=EIO), "EVENT has no attachments"),
        ("socket.io", binary(b"\x05", path="?EIO=3&transport=websocket"), "begins with the byte 4"),
        ("graphql", text("[]", subprotocol="graphql-ws"), "is an object with a type"),
        ("actioncable", text("[]", subprotocol="actioncable-v1-json"), "is an object"),
        ("phoenix", text("{}", path="/websocket?vsn=1"), "an array of five"),
        ("phoenix", binary(b"\x07", path="/websocket?vsn=2"), "begins with 0, 1 or 2"),
        ("phoenix", binary(b"\x02\x09\x09", path="/websocket?vsn=2"), "ends within its head"),
        ("signalr", text("{}"), "the last record does not end with 0x1e"),
        ("signalr", text('{"type":1}\x1e[]\x1e'), "a SignalR record is an object"),
        ("signalr", binary(b"\xff\xff\xff\xff\x7f"), "a message of"),
        ("signalr", binary(b"\x80"), "ends within a length"),
        ("signalr", binary(b"\x02\x91\x63"), "an array that begins with its type"),
        ("stomp", stomp(b"HELLO\n\n\0"), "'HELLO' is no STOMP command"),
        ("stomp", stomp(b"SEND\nx\n\n\0"), "has no colon"),
        ("stomp", stomp(b"SEND\ncontent-length:9\n\nhi\0"), "no NUL stands there"),
        ("stomp", stomp(b"SEND\n\nhi"), "does not end with NUL"),
        ("stomp", stomp(b"SEND\nx:y"), "has no end"),
        ("mqtt", binary(b"\x30\x09\x00"), "PUBLISH of 9 bytes, of which 1 are in this message"),
        ("mqtt", binary(b"\x30\xff\xff\xff\xff\xff"), "a length of more than four bytes"),
        ("mqtt", binary(b"\x30\x80"), "ends within a length"),
        ("mqtt", binary(b"\x00\x00"), "packet type 0 is reserved"),
        ("mqtt", binary(b"\x30\x01\x00"), "ends 1 bytes before one of its fields does"),
        ("mqtt", binary(b"\x82\x02\x00\x01"), "within a length"),
        ("sockjs", text("a[1]"), "is a string"),
        ("msgpack", binary(b"\xc1"), "byte 0 is 0xc1, which MessagePack does not use"),
        ("msgpack", binary(b"\xdd\xff\xff\xff\xff\x00"), "promises 4294967295 values and has 1 bytes"),
        ("msgpack", binary(b"\x91" * 200 + b"\x01"), "nested deeper than"),
        ("msgpack", binary(b"\xdc\x75\x30" + b"\x01" * 30_000), "more than 20000 values"),
        ("msgpack", binary(b"\xa5ab"), "it ends at byte 3, 3 before the value does"),
    ],
)
def test_what_is_wrong_is_said_in_words(name, payload, problem):
    assert problem in (read(name, payload).problem or "")


def test_what_was_read_before_an_error_is_kept():
    decoded = read("socket.io", text("42/a,[", path=EIO))
    assert decoded.lines == ("Engine.IO   4 message", "Socket.IO   2 EVENT", "namespace   /a")
    assert decoded.problem


MSGPACK = [
    (b"\x00\x7f\xff\xe0", ["0", "127", "-1", "-32"]),
    (b"\xc0\xc2\xc3", ["nil", "false", "true"]),
    (b"\xcc\xff\xcd\xff\xff\xce\xff\xff\xff\xff\xcf" + b"\xff" * 8,
     ["255", "65535", "4294967295", str(2**64 - 1)]),
    (b"\xd0\x80\xd1\x80\x00\xd2\x80\x00\x00\x00\xd3\x80" + bytes(7),
     ["-128", "-32768", str(-(2**31)), str(-(2**63))]),
    (b"\xca\x3f\x80\x00\x00\xcb\x3f\xf0" + bytes(6), ["1.0", "1.0"]),
    (b"\xa2hi\xd9\x02hi\xda\x00\x02hi\xdb\x00\x00\x00\x02hi", ['"hi"'] * 4),
    (b"\xc4\x02hi\xc5\x00\x02\xff\xfe\xc6\x00\x00\x00\x00", ["bytes(2) hi", "bytes(2) ff fe", "bytes(0)"]),
    (b"\x92\x01\x90", ["[", "  1", "  []", "]"]),
    (b"\x82\xa1a\x01\x02\x80", ["{", '  "a": 1', "  2: {}", "}"]),
    (b"\xdc\x00\x01\x01\xdd\x00\x00\x00\x01\x01", ["[", "  1", "]"] * 2),
    (b"\xde\x00\x01\x01\x02\xdf\x00\x00\x00\x00", ["{", "  1: 2", "}", "{}"]),
    (b"\xd4\x05\x01\xd5\x05\x01\x02\xc7\x01\x06\xff",
     ["extension 5 (1) 01", "extension 5 (2) 01 02", "extension 6 (1) ff"]),
    (b"\xd6\xff\x00\x00\x00\x01", ["timestamp 1.000000000 s since 1970"]),
    (b"\xd7\xff" + (5 << 34 | 2).to_bytes(8), ["timestamp 2.000000005 s since 1970"]),
    (b"\xc7\x0c\xff" + struct.pack(">Iq", 7, -1), ["timestamp -1.000000007 s since 1970"]),
]  # fmt: skip


@pytest.mark.parametrize(("data", "expected"), MSGPACK)
def test_messagepack_by_its_specification(data, expected):
    assert lines("msgpack", binary(data)) == expected
    for size in range(len(data)):
        reader = Reader(data[:size])
        try:
            while not reader.is_done:
                reader.value()
        except Malformed:
            continue


def test_messagepack_is_offered_for_whole_values_and_never_first():
    assert names(binary(b"\x82\xa1a\x01\xa1b\x02")) == ["msgpack"]
    assert not BY_NAME["msgpack"].is_sure
    assert names(binary(b"\x82\xa1a\x01\xa1b")) == []
    assert names(binary(b"\x82\xa1a\x01\xa1b\x02" + b"junk")) == []
    assert names(binary(b"\x01", subprotocol="x.msgpack")) == ["msgpack"]
    long = binary(b"\x92\xc5\x02\x00" + bytes(512) + b"\x01")
    assert names(long) == ["msgpack"]


@given(st.binary(max_size=400), st.booleans(), st.booleans())
def test_no_bytes_raise(data, is_text, is_whole):
    for payload in (
        Payload(data, is_text, None, "", is_whole=is_whole),
        Payload(data, is_text, "mqtt", EIO, is_whole=is_whole),
        Payload(data, is_text, "v12.stomp", "/a/000/x/websocket?vsn=2&id=1", is_whole=is_whole),
    ):
        decoders.decoders_for(payload)
        decoders.summary(payload)
        for decoder in decoders.known():
            decoded = decoders.decode(decoder, payload._replace(is_whole=True))
            assert len(decoded.lines) <= MAX_LINES


@given(
    st.recursive(st.none() | st.integers() | st.text(), lambda x: st.lists(x) | st.dictionaries(st.text(), x))
)
def test_any_event_is_read_back(value):
    body = json.dumps(["name", value])
    decoded = lines("socket.io", text("42" + body, path=EIO))
    begin = decoded.index("argument 1")
    assert json.loads("\n".join(decoded[begin + 1 :])) == value


@pytest.mark.parametrize(
    ("name", "payload"),
    [
        ("socket.io", text("42" + "[" * 100_000, path=EIO)),
        ("socket.io", text('42["a",' + "[" * 500 + "]" * 500 + "]", path=EIO)),
        ("socket.io", text("4" + "2" * 200_000, path=EIO)),
        ("socket.io", text('42["a",' + "9" * 100_000 + "]", path=EIO)),
        ("graphql", text('{"type":"' + "\\" * 50_001, subprotocol="graphql-ws")),
        ("actioncable", text('{"identifier":"' + '\\"' * 50_000, subprotocol="actioncable-v1-json")),
        ("phoenix", text('["' + "\\\\" * 50_000, path="/websocket?vsn=2")),
        ("stomp", stomp(b"SEND\n" + b"a:b\n" * 30_000)),
        ("stomp", stomp(b"\n" * 100_000)),
        ("signalr", text("\x1e" * 100_000)),
        ("mqtt", binary(b"\xc0\x00" * 100_000)),
        ("msgpack", binary(b"\xdf\x7f\xff\xff\xff" + b"\x80" * 100_000)),
        ("sockjs", text("a[" + '"",' * 50_000 + '""]')),
    ],
)
def test_what_was_made_to_harm_is_bounded(name, payload):
    before = time.process_time()
    decoded = read(name, payload)
    decoders.summary(payload)
    decoders.decoders_for(payload)
    assert len(decoded.lines) <= MAX_LINES
    assert all(len(line) < 5_000 for line in decoded.lines)
    assert time.process_time() - before < 5  # seconds, against hours: not a benchmark


def test_what_is_too_long_is_not_decoded():
    assert "longer than" in (read("msgpack", binary(bytes(MAX_BYTES + 1))).problem or "")
    assert "longer than" in (read("msgpack", binary(b"\x01", is_whole=False)).problem or "")
    many = read("msgpack", binary(b"\x01" * (MAX_LINES + 5)))
    assert len(many.lines) == MAX_LINES
    assert "only the first" in (many.problem or "")


def test_a_decoder_can_be_registered_replaced_and_withdrawn():
    mine = Decoder("mine", lambda one: one.data[:1] == b"!", lambda one: iter([one.text]), lambda one: "mine")
    decoders.register(mine)
    try:
        assert names(text("!x")) == ["mine"]
        assert decoders.summary(text("!x")) == "mine"
        assert list(decoders.decode(mine, text("!x")).lines) == ["!x"]
    finally:
        decoders.unregister("mine")
    assert names(text("!x")) == []
    decoders.register(Decoder("stomp", lambda one: False, lambda one: iter(()), lambda one: None))
    assert names(stomp(b"\n")) == []
    decoders.unregister("stomp")
    assert names(stomp(b"\n")) == ["stomp"]


@pytest.mark.parametrize(
    ("path", "is_polling"),
    [
        ("/socket.io/?EIO=4&transport=polling", True),
        ("/socket.io/?transport=polling&sid=x&EIO=3", True),
        ("/socket.io/?EIO=4&transport=websocket", False),
        ("/socket.io/?EIO=4&transport=pollings", False),
        ("/socket.io/?NEIO=4&transport=polling", False),
        ("/talk?transport=polling", False),
        ("/EIO=4&transport=polling", False),
    ],
)
def test_engine_io_s_long_polling_is_told_by_its_query(path, is_polling):
    assert is_polling_path(path) is is_polling
