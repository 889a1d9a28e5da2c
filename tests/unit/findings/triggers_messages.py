"""Rules about what messages and close reasons say of a failure: facts that trigger each, and near ones."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import Any

from tests.unit.findings.facts_made import (
    HELLO,
    SECOND,
    START,
    cut,
    ended,
    failed,
    frame,
    ping,
    refused,
    request,
    silent,
    switching,
    talk,
)
from wsinspect.findings.facts import C2S, S2C, ConnectionFacts, EndFact, FrameFact, Other

CONNECT = "CONNECT\naccept-version:1.2\nheart-beat:{}\n\n\0"
CONNECTED = "CONNECTED\nversion:1.2\nheart-beat:{}\n\n\0"
ERROR = "ERROR\nmessage:Session closed.\ncontent-length:0\n\n\0"
XMPP_OPEN = '<open xmlns="urn:ietf:params:xml:ns:xmpp-framing" to="other.example" version="1.0"/>'
XMPP_ERROR = (
    "<stream:error xmlns:stream='http://etherx.jabber.org/streams'><host-unknown"
    " xmlns='urn:ietf:params:xml:ns:xmpp-streams'/><text>no such host</text></stream:error>"
)
XMPP_REFUSED = "<failure xmlns='urn:ietf:params:xml:ns:xmpp-sasl'><not-authorized/></failure>"
OF_XMPP: dict[str, Any] = {
    "raw_request_out": request(Sec_WebSocket_Protocol="xmpp"),
    "raw_response_in": switching(Sec_WebSocket_Protocol="xmpp"),
}
BARE_101 = switching().replace(b"\r\n", b"\n")
LF_ALONE = replace(
    cut(at=0.01, by="client", raw_response_in=BARE_101),
    frames=(0, 0),
    sizes=(0, 0),
    first=(),
    last=(),
    last_frames=(),
    last_ns=(None, None),
)
MQTT = b"\x10\x0d\x00\x04MQTT\x04\x02\0\x3c\0\x01a"
OF_MQTT: dict[str, Any] = {
    "head": request(Sec_WebSocket_Protocol="mqtt"),
    "answer": switching(Sec_WebSocket_Protocol="mqtt"),
}
OF_STOMP: dict[str, Any] = {
    "raw_request_out": request(Sec_WebSocket_Protocol="v12.stomp"),
    "raw_response_in": switching(Sec_WebSocket_Protocol="v12.stomp"),
}
UNMASKED: dict[str, Any] = {"violations": ((frame(1, C2S, 0.1, violation="unmasked-client-frame"), 1),)}
TAKEN: dict[str, Any] = {"raw_request_in": OF_MQTT["head"], "raw_response_in": OF_MQTT["answer"]}
#: Reasons in which words of a failure say that there was none.
ALL_WELL = (
    *("3 passed, 0 failed", "0 errors", "error-free shutdown", "error=0", "errorCode=0", '{"error":null}'),
    *('{"error": false}', '{"errors":[]}', "terror", "no longer required", "not required", "nothing missing"),
    *("without failure", "no messages rejected", "errors: none", "failover done", "error resolved"),
    *("noError", "NO_ERROR", "error (none)", "error: -", "game time expired", "0 of 5 failed", "fail-fast"),
)
PART = frame(1, C2S, 0.1)._replace(fin=False)
FIREFOX = request(Connection="keep-alive, Upgrade")
WANTS = b'"Connection: Upgrade" header required'
#: What servers say of a Connection that a hop has removed or replaced.
LOST = (
    b"Failed to open a WebSocket connection: invalid Connection header: close.",
    b"Failed to open a WebSocket connection: missing Connection header.",
    b'WebSocket protocol violation: Connection header "close" does not contain Upgrade',
    b"websocket: the client is not using the websocket protocol: 'upgrade' token not found in"
    b" 'Connection' header",
    b"Connection header 'Close' must contain Upgrade",
    b"Your connection: upgrade to https",
)


def mute(*frames: FrameFact, at: float = 0.3, code: int | None = None, **facts: Any) -> ConnectionFacts:
    """The server closes with CLOSE frames on both sides, and no frames but these."""
    given = {"by": "server", "at": at, "code": code, **facts}
    made = ended(*(frames or HELLO), **given)
    if frames or "last_frames" in facts:
        return made
    return replace(made, **talk(*made.last_frames[len(HELLO) :]))


def accepted(head: bytes) -> dict[str, Any]:
    """Another attempt at the same path, which was accepted."""
    return {"others": (Other(7, "/chat", START, START + 1000, request=head, response=switching()),)}


def _said(*texts: tuple[Any, float, str]) -> list[Any]:
    return [frame(n, side, at, 1, text.encode()) for n, (side, at, text) in enumerate(texts, 1)]


def _said_from(number: int, *texts: tuple[Any, float, str]) -> list[Any]:
    return [frame(n, side, at, 1, text.encode()) for n, (side, at, text) in enumerate(texts, number)]


def stomp(ours: str, theirs: str, *texts: tuple[Any, float, str]) -> list[Any]:
    """A session of STOMP with these heart-beats, and what was said after it had begun."""
    return _said((C2S, 0.1, CONNECT.format(ours)), (S2C, 0.2, CONNECTED.format(theirs)), *texts)


def beats(side: Any, every: float, until: float) -> list[tuple[Any, float, str]]:
    """Line feeds of one side."""
    return [(side, number * every, "\n") for number in range(1, int(until / every) + 1)]


def _gateway(**fields: str) -> str:
    return json.dumps(
        {"message": "Forbidden", "connectionId": "Mdnv8dwhoAMCIqg=", "requestId": "a", **fields}
    )


WEBSOCKIFY = switching(Server="WebSockify Python/3.11")
INVALID = '{"type":"auth_invalid","message":"Invalid access token or password"}'
BAD_FRAME = '{"type":"error","message":"bad frame"}'
RPC = '{"jsonrpc":"2.0","id":7,"error":{"code":-32601,"message":"Method not found"}}'
#: Payloads with the words of a failure, and none in them.
NO_FAILURES = (
    *('{"type":"measurement","error":0.02}', '{"type":"stats","errors":3}', '{"status":"failed","job":"x"}'),
    *('{"status":"denied","order":4}', '{"event":"build.failed"}', '{"error":"none"}', '{"error":"OK"}'),
    *(
        '{"error":{"code":0,"message":"accepted"}}',
        '{"error":true}',
        '{"error":[null]}',
        '{"error":1,"type":5}',
    ),
    *('{"event":"build.failed","message":"tests"}', '{"error":{}}', '{"type":"error"}'),
    *('{"type":"pose","error":"within limits"}', '{"query":"ab","error":"no match for ab"}'),
)
API = "abc.execute-api.eu-west-1.amazonaws.com"
GATEWAY: dict[str, Any] = {"x_amzn_ErrorType": "ForbiddenException", "x_amz_apigw_id": "Mdnv8"}
SERVER_SILENT = stomp("10000,10000", "10000,10000", *beats(C2S, 10, 20))
PROMISED = stomp("4000,10000", "10000,10000", *beats(S2C, 10, 30))

CASES: dict[str, tuple[list[Any], list[Any]]] = {
    "WS-APP-033": (
        [
            ended(*_said((S2C, 0.1, '{"type":"disconnect","reason":"too_many_websockets"}')), by="server"),
            ended(*_said((S2C, 0.1, '{"type":"disconnect","reason":"link_disabled"}')), by="server"),
            silent(
                1.4,
                **talk(
                    *_said((S2C, 0.1, '{"type":"disconnect","reason":"refresh_requested","debug_info":{}}'))
                ),
            ),
            ended(
                *_said(
                    (S2C, 0.1, '{"type":"disconnect","reason":"warning","debug_info":{"host":"applink-1"}}')
                ),
                by="server",
            ),
        ],
        [
            ended(*_said((S2C, 0.1, '{"type":"disconnect","reason":"unauthorized","reconnect":false}'))),
            ended(*_said((S2C, 0.1, '{"type":"disconnect","reason":"warning"}'))),
            ended(*_said((S2C, 0.1, '{"type":"disconnect","reason":"bye"}'))),
            ended(*_said((S2C, 0.1, '{"type":"disconnect","reason":["too_many_websockets"]}'))),
            ended(*_said((C2S, 0.1, '{"type":"disconnect","reason":"too_many_websockets"}'))),
        ],
    ),
    "WS-APP-051": (
        [
            # A client that only pings: what it promised is a line feed every 10 s.
            ended(*PROMISED, frame(9, C2S, 25, 9, b"abcd"), at=30.3, by="server", code=1002),
            cut(*PROMISED, at=30.3),
            # A server that stopped: the client's library ends it after twice the interval.
            ended(*SERVER_SILENT, at=20.4, code=4001, reason="heart-beat lost"),
            cut(*SERVER_SILENT, at=20.4, by="client"),
            # As stomp.js does it, whose subprotocol is that.
            ended(*SERVER_SILENT, at=20.4, code=None, **OF_STOMP),
        ],
        [
            # It ended for another reason, which its code or its reason says; or less than two intervals late.
            ended(*SERVER_SILENT, at=20.4, code=4000, reason="user logged out"),
            ended(*SERVER_SILENT, at=20.4, code=None),
            ended(*SERVER_SILENT, at=90, code=None, **OF_STOMP),
            ended(
                *PROMISED, at=30.3, by="server", code=4001, reason="Session timeout: token lifetime is over"
            ),
            ended(*PROMISED, at=30.3, by="server", code=1009, reason="too big"),
            ended(*PROMISED, at=30.3, by="server", code=1011, reason="kaboom"),
            cut(*PROMISED, at=18),
            # Numbers that no 64-bit clock has, and digits that are none of ASCII's.
            cut(*stomp("9" * 320 + ",1", "10000,10000"), at=30.3),
            cut(*stomp("\u0664\u0660\u0660\u0660,0", "10000,10000"), at=30.3),
            ended(*stomp("4000,10000", "10000,10000", *beats(C2S, 4, 30)), at=30.3, by="server", code=1002),
            # One side alone wants them, or it ended for another reason, or by the other side.
            ended(*stomp("4000,10000", "10000,0", *beats(S2C, 10, 30)), at=30.3, by="server", code=1002),
            ended(*PROMISED, at=30.3, by="server", code=1001),
            cut(*PROMISED, at=30.3, by="client"),
            cut(*PROMISED, at=12),
        ],
    ),
    "WS-APP-052": (
        [
            ended(*stomp("0,0", "0,0", (S2C, 0.4, ERROR)), by="server", code=1002),
            cut(*_said((C2S, 0.1, CONNECT.format("0,0")), (S2C, 0.3, ERROR))),
            # Of a session that is known by its subprotocol alone; and a client that leaves because of it.
            ended(*_said((S2C, 0.4, ERROR)), by="server", code=1002, **OF_STOMP),
            ended(*stomp("0,0", "0,0", (S2C, 0.4, ERROR)), code=None, **OF_STOMP),
            ended(*stomp("0,0", "0,0", (S2C, 0.4, ERROR)), code=4000),
        ],
        [
            # No session of STOMP; long before the end; an end whose code has a reason; a broken frame.
            ended(*_said((S2C, 0.4, "ERROR\nno such room")), at=60),
            cut(*_said((C2S, 0.1, "hello"), (S2C, 0.4, ERROR))),
            ended(*stomp("0,0", "0,0", (S2C, 0.4, ERROR)), at=60, code=4000),
            ended(*stomp("0,0", "0,0", (S2C, 0.4, ERROR))),
            ended(*stomp("0,0", "0,0", (S2C, 0.4, ERROR)), by="server", code=1008, reason="too many rooms"),
            ended(*stomp("0,0", "0,0", (S2C, 0.4, ERROR)), by="server", code=1002, **UNMASKED),
            # Another message came after it, or it is a message that speaks of one.
            ended(*stomp("0,0", "0,0", (S2C, 0.4, ERROR), (S2C, 0.5, "MESSAGE\n\nhi\0")), by="server"),
            ended(*stomp("0,0", "0,0", (S2C, 0.4, "MESSAGE\n\nERROR\n\0")), by="server"),
        ],
    ),
    "WS-APP-063": (
        [
            cut(frame(1, C2S, 0.1, 1, MQTT), **{"raw_response_in": OF_MQTT["answer"]}),
            cut(frame(1, C2S, 0.1, 1, MQTT), at=30, by="client"),
        ],
        [
            cut(frame(1, C2S, 0.1, 2, MQTT)),
            # It was understood all the same, or is no CONNECT.
            cut(frame(1, C2S, 0.1, 1, MQTT), frame(2, S2C, 0.2, 2, b"\x20\x02\0\0"), at=30, by="client"),
            cut(frame(1, C2S, 0.1, 1, b"MQTT"), at=30, by="client"),
        ],
    ),
    "WS-APP-090": (
        [
            ended(*_said((C2S, 0.1, '{"action":"x"}'), (S2C, 0.2, _gateway())), host=API),
            ended(*_said((C2S, 0.1, "x"), (S2C, 0.2, _gateway(message="Internal server error"))), host=API),
        ],
        [
            ended(*_said((C2S, 0.1, _gateway()))),
            ended(*_said((S2C, 0.1, _gateway(user="an application's own message")))),
            ended(*_said((S2C, 0.1, '{"message": "Forbidden"}'))),
            # An application that has the same three fields.
            ended(*_said((S2C, 0.1, _gateway(message="hello"))), host=API),
        ],
    ),
    "WS-CL-035": (
        [
            mute(),
            mute(code=1000),
            mute(frame(1, C2S, 0.1, 1, b'{"user":7}'), code=1000),
            # Long after the 101, and at once after the first message; a PING is no message.
            mute(frame(1, C2S, 20, 2, b"x"), at=20.4),
            mute(frame(1, C2S, 0.1, 9, b""), frame(2, S2C, 0.1, 10, b"")),
        ],
        [
            # Later, after an answer, with a reason or a code of its own, by the client.
            mute(at=1.5),
            mute(frame(1, C2S, 0.1), at=2),
            mute(frame(1, S2C, 0.1)),
            mute(frame(1, C2S, 0.1), frame(2, S2C, 0.2)),
            mute(reason="bye", code=1000),
            mute(code=1008),
            mute(by="client"),
            # A goodbye of the client's own, an end of its data, several messages, one in fragments.
            mute(frame(1, C2S, 0.1, 1, b'{"type":"CloseStream"}')),
            mute(frame(1, C2S, 0.1, 1, b"quit")),
            mute(frame(1, C2S, 0.1, 2, b"")),
            mute(frame(1, C2S, 0.1), frame(2, C2S, 0.2), code=1000),
            mute(PART, frame(2, C2S, 0.2, 0), code=1000),
            mute(PART, code=1000),
            # A file that does not have the frames, and bytes that could not be stored.
            mute(last_frames=()),
            mute(gaps=frozenset((S2C,))),
        ],
    ),
    "WS-CL-034": (
        [
            ended(by="server", code=1002, reason="no recognized subprotocol"),
            ended(by="server", code=1008, reason="Unsupported sub-protocol: v9"),
            ended(by="client", code=1002, reason="Server sent no subprotocol"),
        ],
        [
            ended(by="server", code=1002, reason="invalid opcode"),
            ended(by="server", code=1002, reason="protocol error"),
            ended(by="server", code=1000, reason="subprotocol v1 finished"),
            # A failure of the server's own, and a message that is wrong by the subprotocol agreed on.
            ended(by="server", code=1011, reason="error in the subprotocol handler"),
            ended(by="server", code=1008, reason="not allowed by the subprotocol", **OF_STOMP),
        ],
    ),
    "WS-CL-033": (
        [
            ended(by="server", reason='{"server_error_msg":"4400: Connection initialization failed: x'),
            ended(by="server", reason="Unauthorized"),
            ended(by="client", reason="heartbeat failed"),
            ended(by="server", reason="3 passed, 2 failed"),
            ended(by="server", reason="no response: connection refused"),
            ended(by="server", reason="InternalServerError"),
            ended(by="server", reason="session expired"),
        ],
        [
            *(ended(by="server", reason=reason) for reason in ALL_WELL),
            ended(by="server", reason="bye"),
            ended(by="server", reason="finished without error"),
            ended(by="server", reason="done, no errors; error: 0"),
            ended(by="server", reason="Unauthorized", code=1008),
        ],
    ),
    "WS-APP-053": (
        [
            ended(*_said((C2S, 0.1, XMPP_OPEN), (S2C, 0.3, XMPP_ERROR)), reason="Stream closed", by="server"),
            ended(*_said((S2C, 0.3, XMPP_ERROR)), **OF_XMPP),
            ended(*_said((C2S, 0.1, XMPP_OPEN), (S2C, 0.3, XMPP_REFUSED))),
        ],
        [
            # Another protocol's text; long before the end; a stanza's error, which ends no stream.
            ended(*_said((C2S, 0.1, "hello"), (S2C, 0.3, XMPP_ERROR))),
            ended(*_said((S2C, 0.3, XMPP_ERROR)), at=60, **OF_XMPP),
            ended(*_said((S2C, 0.3, "<iq type='error' id='1'><query/></iq>")), **OF_XMPP),
        ],
    ),
    "WS-APP-054": (
        [
            refused("501 Not Implemented", path="/xmpp-websocket"),
            refused("400 Bad Request", path="/xmpp-websocket/"),
        ],
        [
            refused("501 Not Implemented", path="/other"),
            refused("503 Service Unavailable", path="/xmpp-websocket"),
            refused(
                "501 Not Implemented",
                path="/xmpp-websocket",
                head=request("/xmpp-websocket", Sec_WebSocket_Protocol="xmpp"),
            ),
        ],
    ),
    "WS-HS-067": (
        [LF_ALONE, replace(LF_ALONE, raw_response_in=switching().replace(b"\r\n", b"\r\n ", 1))],
        [
            replace(LF_ALONE, raw_response_in=switching()),
            # A client that takes it sends something, stays, or closes.
            cut(frame(1, C2S, 0.1), by="client", raw_response_in=BARE_101),
            ended(raw_response_in=BARE_101),
            replace(LF_ALONE, ended_by="server"),
        ],
    ),
    "WS-APP-064": (
        [
            cut(frame(1, C2S, 0.1, 2, MQTT), frame(2, S2C, 0.2, 2, b"\x20\x02\0\x05"), **TAKEN),
            ended(
                *(frame(1, C2S, 0.1, 2, MQTT), frame(2, S2C, 0.2, 2, b"\x20\x03\0\x87\0")),
                by="server",
                **TAKEN,
            ),
            cut(frame(1, C2S, 0.1, 2, MQTT), frame(2, S2C, 0.2, 2, b"\x20\x03\0\x89\0"), **TAKEN),
        ],
        [
            cut(frame(1, C2S, 0.1, 2, MQTT), frame(2, S2C, 0.2, 2, b"\x20\x02\0\0")),
            # Not a session of MQTT.
            cut(frame(1, C2S, 0.1, 2, b"hello"), frame(2, S2C, 0.2, 2, b"\x20\x02\0\x05")),
        ],
    ),
    "WS-APP-091": (
        [
            cut(raw_response_in=WEBSOCKIFY, **talk()),
            ended(
                frame(1, C2S, 0.1, 2),
                by="server",
                code=1011,
                reason="Failed to connect to downstream server",
            ),
        ],
        [
            cut(*HELLO, raw_response_in=WEBSOCKIFY),
            # Its target took what the client sent, for an hour; or something came that is no message.
            cut(frame(1, C2S, 0.1, 2), frame(2, C2S, 3599, 2), at=3600, raw_response_in=WEBSOCKIFY),
            cut(frame(1, S2C, 0.1, 9), raw_response_in=WEBSOCKIFY),
            cut(frame(1, C2S, 0.1)),
            ended(frame(1, C2S, 0.1), by="server", code=1011, reason="Failed to connect to the database"),
        ],
    ),
    "WS-APP-092": (
        [refused("403 Forbidden", b'{"message":"Forbidden"}', **GATEWAY)],
        [
            refused("403 Forbidden", body=b'{"message":"Forbidden"}'),
            # What a function answers has no such mark.
            refused("403 Forbidden", x_amz_apigw_id="Mdnv8"),
        ],
    ),
    "WS-APP-093": (
        [
            ended(*_said((C2S, 0.1, '{"type":"auth"}'), (S2C, 0.9, INVALID)), by="server"),
            ended(*_said((C2S, 0.1, "x"), (S2C, 0.9, '{"error":{"message":"No quota"}}')), by="server"),
            # The client's library reacts.
            ended(*_said((C2S, 0.1, "x"), (S2C, 0.9, INVALID)), code=3000),
            cut(
                *_said(
                    (C2S, 0.1, "x"), (S2C, 0.9, '{"type":"connection_error","payload":{"message":"gone"}}')
                )
            ),
            ended(*_said((C2S, 0.1, "x"), (S2C, 0.9, BAD_FRAME)), by="server", code=1008),
            ended(*_said((C2S, 0.1, "x"), (S2C, 0.9, INVALID)), by="server", at=4, code=1011),
        ],
        [
            # An answer to one request, and ends with another cause.
            ended(*_said((C2S, 0.1, "x"), (S2C, 0.9, RPC)), by="server", code=1011),
            *(
                ended(*_said((S2C, 0.9, INVALID)), by="server", code=code)
                for code in (1001, 1009, 1012, 1013)
            ),
            *(ended(*_said((S2C, 0.9, INVALID)), code=code) for code in (1002, 1007)),
            *(cut(*_said((S2C, 0.9, INVALID)), at=4.6, how=how) for how in ("fin", "rst")),
            ended(*_said((S2C, 0.9, BAD_FRAME)), by="server", code=1002, **UNMASKED),
            ended(
                *(frame(1, S2C, 0.1, 9, b"p"), *_said_from(2, (S2C, 20, INVALID))),
                by="server",
                at=21,
                code=1011,
                pings=(ping(1, S2C, 0.1),),
            ),
            *(ended(*_said((C2S, 0.1, "x"), (S2C, 0.9, said)), by="server") for said in NO_FAILURES),
            # Long before the end, or the client's end, or no failure; or the reason says it.
            ended(*_said((C2S, 0.1, "x"), (S2C, 0.9, INVALID)), by="server", at=30),
            ended(*_said((C2S, 0.1, "x"), (S2C, 0.9, INVALID)), code=3000, at=4),
            # A page that is left ends so, whatever was said last.
            ended(*_said((C2S, 0.1, "x"), (S2C, 0.9, INVALID))),
            ended(*_said((C2S, 0.1, "x"), (S2C, 0.9, INVALID)), code=1001),
            ended(*_said((C2S, 0.1, "x"), (S2C, 0.9, '{"type":"result","error":null}')), by="server"),
            ended(*_said((S2C, 0.8, INVALID), (C2S, 0.9, "x")), by="server"),
            ended(*_said((S2C, 0.9, INVALID)), by="server", code=1008, reason="bad token"),
        ],
    ),
    "WS-HS-071": (
        [
            refused("400 Bad Request", head=FIREFOX, body=b"invalid Connection header: keep-alive, Upgrade"),
            refused(
                "426 Upgrade Required",
                head=FIREFOX,
                body=b'Connection header "keep-alive,Upgrade" is not Upgrade',
            ),
            # The same path accepts Chrome's.
            refused("426 Upgrade Required", head=FIREFOX, body=WANTS, facts=accepted(request())),
        ],
        [
            # Only the words, and words that say what a hop has made of it.
            refused("426 Upgrade Required", head=FIREFOX, body=WANTS),
            *(refused("400 Bad Request", head=FIREFOX, body=body) for body in LOST),
            *(refused("426 No", head=FIREFOX, body=body, facts=accepted(request())) for body in LOST[:4]),
            # Firefox's own was accepted, or its request is only repeated.
            refused("426 Upgrade Required", head=FIREFOX, body=WANTS, facts=accepted(FIREFOX)),
            refused("400 Bad Request", head=FIREFOX, body=b"bad request:\n" + FIREFOX),
            # Chrome's says what the server wants, so a hop changed it.
            refused("426 Upgrade Required", body=b'"Connection: Upgrade" header required'),
            refused(
                "400 Bad Request", head=FIREFOX, body=b"missing 'Connection: Upgrade' and Upgrade header"
            ),
            refused("400 Bad Request", head=FIREFOX, body=b"connection refused"),
        ],
    ),
}

#: Findings whose title and blame depend on what was seen.
NEXT = replace(
    failed(
        "server ended the connection before a response (fin)", "response", raw_response_in=b"Unauthorized"
    ),
    path="/_next/webpack-hmr?id=1",
)
A_WORD = failed(
    "server ended the connection before a response (fin)",
    "response",
    raw_response_in=b"Not allowed\n",
)
#: Greetings and prompts, and a refusal after which the server waits.
OTHER_WORDS = (
    *(
        replace(A_WORD, raw_response_in=words)
        for words in (b"Welcome", b"Ready.\n", b"Password", b"Hello there")
    ),
    replace(A_WORD, error="the server's bytes are not HTTP"),
    replace(A_WORD, ends=(EndFact("client", "fin", START + SECOND),)),
)
A_FRAME = failed(
    "server ended the connection before a response (fin)",
    "response",
    raw_response_in=b'\x81\x0b{"event":1}',
)
DEFLATE = "permessage-deflate"
AGREED: dict[str, Any] = {
    "raw_request_in": request(Sec_WebSocket_Extensions=DEFLATE),
    "raw_request_out": request(Sec_WebSocket_Extensions=DEFLATE),
    "raw_response_in": switching(Sec_WebSocket_Extensions=DEFLATE),
}
SAFARI = request(
    Sec_WebSocket_Extensions=DEFLATE,
    User_Agent="Mozilla/5.0 (Macintosh; Intel Mac OS X 10_15_7) AppleWebKit/605.1.15 (KHTML, like Gecko)"
    " Version/15.2 Safari/605.1.15",
)


def with_bit(side: Any, opcode: int, **facts: Any) -> Any:
    """A connection whose second frame has RSV1."""
    bad = frame(3, side, 0.4, opcode, b"x", header=bytes([0xC0 | opcode, 1]), violation="reserved-bit")
    return cut(*HELLO, bad, violations=((bad, 1),), by="server" if side == C2S else "client", **facts)
