"""Rules of frames, messages, keepalive, closes and drops: facts that trigger each, and near ones."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from tests.unit.findings.facts_made import (
    HELLO,
    OPEN,
    SECOND,
    capture,
    cut,
    dropped,
    ended,
    frame,
    left_at,
    opened,
    ping,
    request,
    silent,
    summary,
    switching,
)
from wsinspect.findings.facts import C2S, S2C, ConnectionFacts, EndFact, FrameFact, OpaqueFact, Problem
from wsinspect.findings.lag import Lag
from wsinspect.wire import violations as v

HEALTHY = ended()
#: An HTTP response behind everything else on the connection, read as a frame.
HTTP_LATE = frame(99, S2C, 2, 8, b"/1.1 200 OK", header=b"HTTP", violation=v.RESERVED_BIT)


def _broken(code: str, direction: Any = S2C, opcode: int = 1, close: int = 1002, **more: Any) -> Any:
    """A connection with one frame that has this violation, for which the other side closed."""
    bad = frame(3, direction, 0.3, opcode, b"x" * 10, violation=code)
    made = ended(
        *HELLO, bad, by="client" if direction == S2C else "server", code=close, violations=((bad, 1),)
    )
    return replace(made, **more)


TIMED_OUT = "keepalive ping timeout"


def _answered(sent: float, came: float, direction: Any = C2S) -> Any:
    """A ping, and when its pong came."""
    return ping(9, direction, sent, 12)._replace(rtt_ns=int((came - sent) * SECOND))


#: MQTT's DISCONNECT: of 3.1.1, in the pieces in which mqtt.js sends it, and of 5.0 with a reason.
LEFT = ([b"\xe0\x00"], [b"\xe0", b"\x00"], [b"\x30\x03\x00\x01a", b"\xe0\x02\x04\x00"])


def _goodbye(subprotocol: str, *packets: bytes) -> Any:
    """A client says this last, and the server ends TCP then."""
    opcode = 1 if "stomp" in subprotocol else 2
    said = [frame(n, C2S, 0.5 + n / 100, opcode, packet) for n, packet in enumerate(packets, 3)]
    head = request(Sec_WebSocket_Protocol=subprotocol)
    answer = switching(Sec_WebSocket_Protocol=subprotocol)
    made = cut(*HELLO, *said, at=0.63)
    return replace(made, raw_request_in=head, raw_request_out=head, raw_response_in=answer)


def _from_a_har(**facts: Any) -> Any:
    """A browser's file, which has neither control frames nor how TCP ended."""
    lacks: dict[str, Any] = {"unrecorded": frozenset(("pings", "end")), "ends": (), "how": None}
    return replace(opened(*HELLO), state="closed", ended_by="unknown", **lacks, **facts)


def _reported(code: int, reason: str = "") -> Any:
    """What HTTP Toolkit's file says of an end; 1006 stands for "aborted"."""
    said = {"code": None if code == 1006 else code, "reason": reason or None}
    return _from_a_har(js_code=code, js_was_clean=code != 1006, events=(("closed", {"reported": said}),))


def _said_by_the_browser(error: str) -> Any:
    return _from_a_har(error=error, events=(("reported_error", {"error": error}),))


def closed_late(direction: Any, at: float) -> Any:
    """The server ends TCP after 0.63 s; one side has a CLOSE frame of its own, at this time."""
    made = cut(*HELLO, at=0.63)
    said: dict[str, Any] = {"client_close_code": 1000, "client_close_reason": ""}
    if direction == S2C:
        said = {"server_close_code": 1000, "server_close_reason": ""}
    close = frame(9, direction, at, 8, b"\x03\xe8")
    return replace(made, last_frames=(*made.last_frames, close), **said)


def _alive(count: int, *, since: float) -> list[Any]:
    """Connections that are open to the end."""
    return [summary(100 + n, since + n / 100, None) for n in range(count)]


BEATS = [frame(n, C2S, n * 1.0, 1, b"ping") for n in range(1, 7)]

PING = frame(3, C2S, 1.0, 9, b"abc")

#: Pings without an answer among the last frames, where more had gone before.
FLOOD = [frame(n, C2S, 1.0, 9, str(n).encode()) for n in range(3, 68)]
FLOOD_PINGS = tuple(ping(one.id, C2S, 1.0) for one in FLOOD)

TAB = [frame(n, C2S, at, 1, b"hb") for n, at in enumerate((25, 50, 75, 135, 195), 1)]


#: A compressed frame where compression was agreed, so that RSV1 is as it has to be.
COMPRESSED: dict[str, Any] = {
    "raw_request_in": request(Sec_WebSocket_Extensions="permessage-deflate"),
    "raw_request_out": request(Sec_WebSocket_Extensions="permessage-deflate"),
    "raw_response_in": switching(Sec_WebSocket_Extensions="permessage-deflate"),
    "raw_response_out": switching(Sec_WebSocket_Extensions="permessage-deflate"),
}
#: A message in two fragments with a control frame between them, and its answer.
IN_PARTS = (
    frame(1, C2S, 0.1)._replace(fin=False),
    frame(2, C2S, 0.15, 10, b""),
    frame(3, C2S, 0.2, 0),
    frame(4, S2C, 0.3),
)
UNFINISHED = cut(opaque=(OpaqueFact(S2C, OPEN, 20, b"\x82\x7e\x10\x00abc", "unfinished-frame", 2),))


def _kept_alive(code: int) -> Any:
    """Closed for a ping without a pong, which has a rule of its own."""
    reason = "keepalive ping timeout"
    return ended(*HELLO, at=41, by="server", code=code, reason=reason, pings=(ping(9, S2C, 20),))


def _heartbeat(pinged: float, gone: float, *frames: FrameFact, **more: Any) -> ConnectionFacts:
    """A server that pings after a silence, gets no pong and ends TCP without a CLOSE frame."""
    pings = {"pings": (ping(9, S2C, pinged),), **more}
    return cut(*HELLO, frame(9, S2C, pinged, 9, b""), *frames, at=gone, **pings)


CASES: dict[str, tuple[list[Any], list[Any]]] = {
    "WS-FR-001": ([_broken(v.MASK_MISSING, C2S)], [HEALTHY, _broken(v.MASK_UNEXPECTED)]),
    "WS-FR-002": ([_broken(v.MASK_UNEXPECTED)], [HEALTHY, _broken(v.MASK_MISSING, C2S)]),
    "WS-FR-003": (
        [_broken(v.RESERVED_BIT)],
        [HEALTHY, ended(*HELLO, frame(3, S2C, 0.3, header=b"\xc1\x05"), **COMPRESSED)],
    ),
    "WS-FR-004": (
        [_broken(v.RESERVED_OPCODE, opcode=3)],
        [HEALTHY, ended(*HELLO, frame(3, S2C, 0.3, 10, b""))],
    ),
    "WS-FR-005": (
        [_broken(v.CONTROL_FRAGMENTED, opcode=9), _broken(v.CONTROL_TOO_LONG, opcode=9)],
        [HEALTHY, ended(*HELLO, frame(3, S2C, 0.3, 10, b"x" * 125)), _broken(v.RESERVED_OPCODE, opcode=11)],
    ),
    "WS-FR-006": (
        [_broken(v.CONTINUATION_UNEXPECTED, opcode=0), _broken(v.MESSAGE_INTERRUPTED)],
        [HEALTHY, ended(*IN_PARTS)],
    ),
    "WS-FR-007": (
        [_broken(v.LENGTH_NOT_MINIMAL)],
        [HEALTHY, ended(*HELLO, frame(3, S2C, 0.3, 1, b"x" * 126, header=b"\x81\x7e\x00\x7e"))],
    ),
    "WS-FR-008": (
        [
            _broken(v.DATA_AFTER_CLOSE),
            # A server that ends the request in the usual way, behind the closing handshake (Werkzeug's).
            ended(violations=((HTTP_LATE, 1),)),
            ended(by="server", code=1011, violations=((HTTP_LATE, 1),)),
            ended(
                opaque=(OpaqueFact(S2C, OPEN + 2 * SECOND, 30, b"HTTP/1.1 200 OK", v.LENGTH_TOP_BIT, None),)
            ),
        ],
        [HEALTHY, cut(violations=((HTTP_LATE, 1),)), ended(violations=((HTTP_LATE._replace(id=1), 1),))],
    ),
    "WS-FR-009": (
        [cut(opaque=(OpaqueFact(S2C, OPEN, 20, b"\x82\x7f" + b"\xff" * 8, v.LENGTH_TOP_BIT, 2),))],
        [cut(opaque=(OpaqueFact(S2C, OPEN, 20, b"\x82\x7f", "unfinished-frame", 2),))],
    ),
    "WS-FR-010": (
        [cut(opaque=(OpaqueFact(S2C, OPEN, 20, b"\x82\x7e\x10\x00abc", "unfinished-frame", 2),))],
        [
            HEALTHY,
            cut(opaque=(OpaqueFact(S2C, OPEN, 20, b"SSH-2.0-x", "unread", 2),)),
            replace(UNFINISHED, ended_by="proxy"),
            replace(UNFINISHED, state="open"),
        ],
    ),
    "WS-MS-001": (
        [_broken(v.INVALID_UTF8, close=1007)],
        [HEALTHY, _broken(v.INFLATE_FAILED, close=1007), ended(*HELLO, frame(3, S2C, 0.3, 2, b"\xff\xfe"))],
    ),
    "WS-MS-002": (
        [
            _broken(v.INFLATE_FAILED, close=1007),
            ended(*HELLO, problems=(Problem(S2C, "inflate-failed", 2, 3),)),
        ],
        [ended(*HELLO, problems=(Problem(S2C, "unfinished", 2, 1),))],
    ),
    "WS-KA-001": (
        [
            ended(
                *HELLO,
                at=41,
                by="server",
                code=1011,
                reason="keepalive ping timeout",
                pings=(ping(9, S2C, 20),),
            ),
            silent(25, pings=(ping(9, S2C, 5, 10), ping(11, S2C, 20))),
            # Several in a row: the wait began with the first.
            ended(
                *HELLO,
                at=1.7,
                by="server",
                code=1011,
                pings=tuple(ping(9 + n, S2C, 0.4 * n) for n in range(5)),
            ),
            ended(*HELLO, at=0.6, by="server", code=1011, reason="ping timeout", pings=(ping(9, S2C, 0.4),)),
            # The other side was blocked: its pong comes behind the CLOSE of who had given up.
            ended(*HELLO, at=41, by="client", code=1011, reason=TIMED_OUT, pings=(_answered(20, 44),)),
            ended(*HELLO, at=41, by="server", code=1011, pings=(ping(7, S2C, 5, 8), _answered(20, 44, S2C))),
            # aiohttp's heartbeat: a ping 0.8 s after the last message, the end 0.4 s after that.
            _heartbeat(1.0, 1.4),
            # The usual loop: whoever has not answered by the next ping is ended.
            _heartbeat(0.7, 1.2),
            _heartbeat(0.7, 1.2, how="rst"),
            _heartbeat(1.0, 1.4, pings=(ping(7, S2C, 0.15, 8), ping(9, S2C, 1.0))),
        ],
        [
            ended(*HELLO, at=41, by="server", code=1011, pings=(ping(9, S2C, 20, 10),)),
            ended(*HELLO, at=41, by="client", code=1011, reason=TIMED_OUT, pings=(_answered(20, 20.5),)),
            ended(*HELLO, at=41, by="client", code=1011, reason="boom", pings=(_answered(20, 44),)),
            ended(*HELLO, at=41, by="client", pings=(_answered(20, 44),)),
            ended(*HELLO, by="client", pings=(ping(9, S2C, 0.9),)),
            ended(*HELLO, at=0.6, by="server", code=1011, reason="boom", pings=(ping(9, S2C, 0.4),)),
            # An end soon after a ping that fits no heartbeat, or just when the pong was on its way.
            _heartbeat(1.0, 1.6),
            _heartbeat(1.0, 1.25),
            _heartbeat(0.45, 0.57),
            _heartbeat(
                1.0, 1.4, pings=(ping(7, S2C, 0.15, 8)._replace(rtt_ns=250_000_000), ping(9, S2C, 1.0))
            ),
            _heartbeat(1.0, 1.4, pings=(ping(9, S2C, 1.0, 10),)),
            # The server goes on speaking after it; the client does.
            _heartbeat(1.0, 1.4, frame(10, S2C, 1.2)),
            _heartbeat(1.0, 1.4, frame(10, C2S, 1.2)),
            replace(_heartbeat(1.0, 1.4), lags=(Lag(OPEN + SECOND, OPEN + 13 * SECOND // 10),)),
        ],
    ),
    "WS-CL-032": (
        [_reported(1011, "boom"), _reported(4999), _reported(1006)],
        [
            _reported(1000),
            _reported(1001),
            _reported(1005),
            replace(_reported(1011), unrecorded=frozenset()),
            replace(_reported(1011), server_close_code=1011, server_close_reason="boom"),
            replace(_reported(1011), events=()),
        ],
    ),
    "WS-FR-011": (
        [
            _said_by_the_browser("Invalid frame header"),
            _said_by_the_browser("Could not decode a text frame as UTF-8."),
            _said_by_the_browser("net::ERR_CONNECTION_RESET"),
        ],
        [
            _said_by_the_browser(""),
            _said_by_the_browser(
                "Error during WebSocket handshake: Incorrect 'Sec-WebSocket-Accept' header value"
            ),
            replace(_said_by_the_browser("Invalid frame header"), open_ns=None, status=None),
            replace(_said_by_the_browser("Invalid frame header"), ended_by="proxy"),
            replace(_said_by_the_browser("Invalid frame header"), events=()),
        ],
    ),
    "WS-KA-002": (
        [cut(*BEATS, at=7.1)],
        [
            cut(*BEATS, at=6.3),
            ended(*BEATS, at=7.1),
            cut(*BEATS, at=7.0),
            cut(*BEATS, at=8.0),
            # A client that leaves within a second of its last message, or just when the next one was due.
            cut(*BEATS, at=6.9, by="client"),
            cut(*BEATS, at=7.1, by="client"),
            cut(*BEATS, at=7.1, by="client", how="rst"),
        ],
    ),
    "WS-KA-004": (
        [ended(*TAB, at=215, by="server", code=1000, reason="heartbeat")],
        [ended(*TAB[:3], at=80, by="server")],
    ),
    "WS-KA-005": (
        [opened(*HELLO, pings=tuple(ping(n, S2C, n * 10) for n in range(3, 6)))],
        [opened(*HELLO, pings=(ping(3, S2C, 10, 4),))],
    ),
    "WS-KA-006": (
        [
            ended(*HELLO, frame(5, S2C, 4.0), at=5, pings=(ping(3, C2S, 1),)),
            ended(*HELLO, at=6, pings=(ping(3, S2C, 1), ping(4, S2C, 2))),
            opened(*HELLO, frame(5, S2C, 9.0), pings=(ping(3, C2S, 1), ping(4, C2S, 5))),
        ],
        [
            ended(*HELLO, at=5, pings=(ping(3, C2S, 1, 4),)),
            ended(*HELLO, at=1.5, pings=(ping(3, C2S, 1),)),
            ended(*HELLO, at=5, pings=(ping(3, C2S, 1, 4), ping(6, C2S, 4.9))),
            ended(*HELLO, frame(5, S2C, 4.0), at=5, pings=(ping(3, C2S, 1),), has_lost_records=True),
            # A flood: the pong answers a ping that is not among the last ones.
            ended(*HELLO, *FLOOD, frame(90, S2C, 4.0, 10, b"0"), at=5, pings=FLOOD_PINGS),
        ],
    ),
    "WS-KA-007": (
        [ended(*HELLO, PING, frame(4, S2C, 1.1, 10, b"other"), at=5, pings=(ping(3, C2S, 1),))],
        [
            ended(*HELLO, PING, frame(4, S2C, 1.1, 10, b"abc"), at=5, pings=(ping(3, C2S, 1, 4),)),
            # A pong that nobody asked for is allowed (RFC 6455, 5.5.3).
            ended(*HELLO, frame(4, S2C, 1.1, 10, b"beat"), at=5),
            ended(
                *HELLO,
                frame(3, S2C, 0.5, 10, b"beat"),
                frame(4, C2S, 0.9, 9, b"x"),
                pings=(ping(4, C2S, 0.9),),
            ),
            ended(*HELLO, *FLOOD, frame(90, S2C, 4.0, 10, b"0"), at=5, pings=FLOOD_PINGS),
        ],
    ),
    "WS-MS-003": (
        [
            ended(*HELLO, at=5, problems=(Problem(S2C, "unfinished", 2, 1),), by="server"),
            cut(*HELLO, at=9, by="client", problems=(Problem(S2C, "unfinished", 2, 1),)),
            cut(*HELLO, at=0.4, by="client", problems=(Problem(C2S, "unfinished", 2, 1),)),
        ],
        [
            cut(*HELLO, at=0.4, by="server", problems=(Problem(C2S, "unfinished", 1, 1),)),
            cut(*HELLO, at=9, problems=(Problem(S2C, "unfinished", 2, 1),), gaps=frozenset({S2C})),
            opened(*HELLO, problems=(Problem(S2C, "unfinished", 2, 1),)),
            HEALTHY,
        ],
    ),
    "WS-CL-001": ([ended(by="server", code=1001)], [ended(code=1001)]),
    "WS-CL-002": ([ended(by="client", code=1002)], [_broken(v.MASK_UNEXPECTED), HEALTHY]),
    "WS-CL-003": (
        [ended(by="server", code=1003)],
        [HEALTHY, ended(by="server", code=1002), ended(by="server", code=1007)],
    ),
    "WS-CL-007": ([ended(by="server", code=1007)], [_broken(v.INVALID_UTF8, close=1007)]),
    "WS-CL-008": (
        [ended(by="server", code=1008, reason="no seat")],
        [
            HEALTHY,
            ended(by="server", code=1007),
            ended(by="server", code=1009),
            ended(by="server", code=4008),
        ],
    ),
    "WS-CL-009": (
        [
            ended(*HELLO, by="server", code=1009),
            silent(
                1.37,
                opaque=(
                    OpaqueFact(
                        C2S, OPEN, 300, b"\x82\xff" + (1_048_700).to_bytes(8, "big"), "unfinished-frame", None
                    ),
                ),
            ),
        ],
        [
            silent(
                1.37,
                opaque=(
                    OpaqueFact(
                        C2S, OPEN, 300, b"\x82\xff" + (700_000).to_bytes(8, "big"), "unfinished-frame", None
                    ),
                ),
            )
        ],
    ),
    "WS-CL-010": (
        [ended(by="client", code=1010)],
        [HEALTHY, ended(by="client", code=1011), ended(by="client", code=4010)],
    ),
    "WS-CL-011": (
        [ended(by="server", code=1011)],
        [HEALTHY, _kept_alive(1011), ended(by="server", code=1012)],
    ),
    "WS-CL-012": (
        [ended(by="server", code=1012)],
        [HEALTHY, ended(by="server", code=1001), ended(by="server", code=1013)],
    ),
    "WS-CL-013": (
        [ended(by="server", code=1013)],
        [HEALTHY, ended(by="server", code=1012), ended(by="server", code=1014)],
    ),
    "WS-CL-014": (
        [ended(by="server", code=1014)],
        [HEALTHY, ended(by="server", code=1013), ended(by="server", code=1011)],
    ),
    "WS-CL-020": (
        [_broken(v.CLOSE_CODE, opcode=8)],
        [
            HEALTHY,
            ended(by="server", code=1014),
            ended(by="server", code=3000),
            _broken(v.CLOSE_TRUNCATED, opcode=8),
        ],
    ),
    "WS-CL-021": (
        [_broken(v.CLOSE_TRUNCATED, opcode=8), _broken(v.CLOSE_UTF8, opcode=8)],
        [
            HEALTHY,
            ended(by="server", code=None),
            ended(by="server", code=1000, reason="g\u00fcle g\u00fcle"),
            _broken(v.CLOSE_CODE, opcode=8),
        ],
    ),
    "WS-CL-030": (
        [ended(by="server", code=4321, reason="kicked"), ended(by="client", code=4321), ended(code=3000)],
        [
            HEALTHY,
            ended(by="server", code=1008),
            ended(by="server", code=1014),
            _broken(v.CLOSE_CODE, opcode=8),
        ],
    ),
    "WS-CL-031": (
        [
            replace(
                ended(), server_close_code=None, server_close_reason=None, js_code=1006, js_was_clean=False
            )
        ],
        [
            HEALTHY,
            replace(
                ended(),
                server_close_code=None,
                server_close_reason=None,
                js_code=1006,
                js_was_clean=False,
                ends=(EndFact("client", "fin", OPEN + SECOND),),
            ),
        ],
    ),
    "WS-DROP-001": ([silent(0.2)], [cut(*HELLO, at=0.4), silent(0.2, by="client")]),
    "WS-DROP-002": (
        [cut(*HELLO, at=60.3), silent(60.02), cut(frame(1, S2C, 1), frame(2, C2S, 50), at=61.1)],
        [ended(*HELLO, at=60.3), cut(*HELLO, at=37.6)],
    ),
    "WS-DROP-003": (
        [
            cut(*(frame(n, S2C, n * 1.7) for n in range(1, 18)), at=30.05),
            cut(*BEATS, at=6.3),
            cut(*BEATS, at=7.0),
        ],
        [cut(*(frame(n, S2C, n * 1.7, 1, b"x" * 300) for n in range(1, 18)), at=33.7), cut(*BEATS, at=9.0)],
    ),
    "WS-DROP-004": (
        [
            capture(*(dropped(n, n, 20 - n) for n in range(1, 5))),
            # Those that live on began when the reload was over; or one of several servers restarts.
            capture(*(dropped(n, n, 20 - n) for n in range(1, 5)), *_alive(6, since=5)),
            capture(*(dropped(n, n, 20 - n) for n in range(1, 13)), *_alive(30, since=0.5)),
        ],
        [
            # A coincidence: most lived on.
            capture(*(dropped(n, n, 20 - n) for n in range(1, 5)), *_alive(5, since=0.5)),
            capture(*(dropped(n, 1 + n / 1000, 20) for n in range(1, 5))),
            capture(*(dropped(n, n, 5) for n in range(1, 5))),
        ],
    ),
    "WS-DROP-005": ([cut(*HELLO, at=0.63, how="rst")], [cut(*HELLO, at=0.63)]),
    "WS-DROP-006": (
        [
            cut(*HELLO, at=0.63),
            closed_late(C2S, 1.2),
            # No goodbye: another packet, one that looks like it at its end, not the last, another protocol.
            _goodbye("mqtt", b"\xc0\x00"),
            _goodbye("mqtt", b"\x30\x04\x00\x00\xe0\x00"),
            _goodbye("mqtt", b"\xe0\x00", b"\xc0\x00"),
            _goodbye("binary", b"\xe0\x00"),
            _goodbye("v12.stomp", b"SEND\ndestination:/q\n\nDISCONNECT\n\0"),
        ],
        [
            cut(*HELLO, at=0.63, by="client"),
            # A CLOSE that came first ended it, and one of the server's own is no silence.
            closed_late(C2S, 0.5),
            closed_late(S2C, 1.2),
            *(_goodbye("mqtt", *packets) for packets in LEFT),
            _goodbye("v12.stomp", b"DISCONNECT\nreceipt:77\n\n\0"),
        ],
    ),
    "WS-DROP-007": (
        [cut(*HELLO, at=0.63, by="client")],
        [HEALTHY, cut(at=5, by="client", **left_at(0.5))],
    ),
    "WS-DROP-008": (
        [capture(*(dropped(n, n * 7, 30) for n in range(1, 5)))],
        [capture(*(dropped(n, n * 7, 30 + n) for n in range(1, 5)))],
    ),
    "WS-DROP-017": (
        [
            capture(*(summary(n, n * 9, 20 + n / 2, ended_by="server") for n in (1, 2, 3))),
            capture(*(summary(n, n * 9, 60, ended_by="server", server_close_code=None) for n in (1, 2, 3))),
        ],
        [
            # Two, other ages, a reason, another code, the client's, opened together, soon, one that lives on.
            capture(*(summary(n, n * 9, 20, ended_by="server") for n in (1, 2))),
            capture(*(summary(n, n * 9, 20 + 3 * n, ended_by="server") for n in (1, 2, 3))),
            capture(
                *(summary(n, n * 9, 20, ended_by="server", server_close_reason="bye") for n in (1, 2, 3))
            ),
            capture(*(summary(n, n * 9, 20, ended_by="server", server_close_code=1001) for n in (1, 2, 3))),
            capture(*(summary(n, n * 9, 20) for n in (1, 2, 3))),
            capture(*(summary(n, n / 2, 20, ended_by="server") for n in (1, 2, 3))),
            capture(*(summary(n, n * 9, 4, ended_by="server") for n in (1, 2, 3))),
            capture(*(summary(n, n * 9, 20, ended_by="server") for n in (1, 2, 3)), summary(4, 5, 31)),
        ],
    ),
}
