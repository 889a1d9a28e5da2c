"""Compression contexts that one side keeps and the other does not, and browsers that are suspended."""

from __future__ import annotations

import zlib
from dataclasses import replace
from typing import Any

from tests.unit.findings.facts_made import (
    cut,
    ended,
    frame,
    ping,
    request,
    switching,
    talk,
)
from wsinspect.findings.facts import C2S, S2C, ConnectionFacts, FrameFact, MessageFact
from wsinspect.wire.opcodes import Direction

WORDS = b"the same words, said again and again"
OFFER = "permessage-deflate; client_no_context_takeover; server_no_context_takeover"
SAFARI = (
    "Mozilla/5.0 (iPhone; CPU iPhone OS 17_4 like Mac OS X) AppleWebKit/605.1.15 (KHTML, like Gecko)"
    " Version/17.4 Mobile/15E148 Safari/604.1"
)
CHROME = "Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/146.0 Safari/537.36"


def deflated(count: int, *, keeps: bool = True) -> list[bytes]:
    """The same message so often, as a compressor with one window, or with one a message, makes it."""
    compressor = zlib.compressobj(wbits=-15)
    made = []
    for _ in range(count):
        compressor = compressor if keeps else zlib.compressobj(wbits=-15)
        made.append((compressor.compress(WORDS) + compressor.flush(zlib.Z_SYNC_FLUSH))[:-4])
    return made


def compressed(direction: Direction, payloads: list[bytes]) -> tuple[FrameFact, ...]:
    return tuple(
        frame(number, direction, number / 10, payload=data, header=bytes([0xC1, min(len(data), 126)]))
        for number, data in enumerate(payloads, 1)
    )


def with_deflate(facts: ConnectionFacts, parameters: str = "", *, unread: int = 99) -> ConnectionFacts:
    """Messages from `unread` on did not inflate."""
    accepted = f"permessage-deflate{parameters}"
    heads: dict[str, Any] = {
        "raw_request_in": request(Sec_WebSocket_Extensions=OFFER),
        "raw_request_out": request(Sec_WebSocket_Extensions=OFFER),
        "raw_response_in": switching(Sec_WebSocket_Extensions=accepted),
    }
    said = tuple(
        MessageFact(one.id, one.direction, one.time_ns, 1, one.length, b"", True, "inflate-failed")
        if one.id >= unread
        else MessageFact(one.id, one.direction, one.time_ns, 1, len(WORDS), WORDS, True)
        for one in facts.last_frames
        if one.opcode == 1
    )
    broken = [one for one in facts.last_frames if one.opcode == 1 and one.id >= unread]
    violations = tuple((one._replace(violation="inflate-failed"), len(broken)) for one in broken[:1])
    return replace(facts, **heads, first=said, last=said, violations=violations)


KEPT = compressed(S2C, deflated(2))
SENT = compressed(C2S, deflated(2))
RESET = compressed(C2S, deflated(2, keeps=False))


def refused(frames: tuple[FrameFact, ...], code: int, by: str = "server", at: float = 0.3) -> ConnectionFacts:
    return ended(*frames, at=at, by=by, code=code)


#: A page that sends every 25 s.
BEATS = tuple(frame(number, C2S, 25 * number) for number in range(1, 6))


def page(agent: str, *more: FrameFact, at: float = 205, **facts: Any) -> ConnectionFacts:
    head = request(User_Agent=agent)
    made = cut(*BEATS, *more, at=at, raw_request_in=head, raw_request_out=head)
    return replace(made, **facts)


CASES: dict[str, tuple[list[Any], list[Any]]] = {
    "WS-MS-004": (
        [
            with_deflate(refused(SENT, 1007)),
            with_deflate(refused(SENT, 1002)),
            with_deflate(refused(KEPT, 1002, "client")),
            with_deflate(cut(*SENT, at=0.3)),
        ],
        [
            # Nothing refers back; it was agreed; another reason; much later; what was before is not known.
            with_deflate(refused(RESET, 1007)),
            with_deflate(refused(SENT, 1007), "; client_no_context_takeover", unread=2),
            with_deflate(refused(SENT, 1008)),
            with_deflate(refused(SENT, 1000)),
            with_deflate(refused(SENT, 1007, at=9)),
            with_deflate(refused(compressed(C2S, deflated(3)), 1007)),
            with_deflate(refused(SENT, 1007), unread=2),
            with_deflate(refused(SENT[:1], 1007)),
            replace(with_deflate(refused(SENT, 1007)), evicted_frames=4),
        ],
    ),
    "WS-KA-011": (
        [
            page(SAFARI),
            page(CHROME),
            page(SAFARI, pings=(ping(20, S2C, 150), ping(21, S2C, 180))),
            page(CHROME, pings=(ping(20, S2C, 150, 31), ping(21, S2C, 180, 32))),
        ],
        [
            page("python-websockets/15"),
            page(SAFARI, at=150),
            page(SAFARI, ended_by="client"),
            page(SAFARI, frame(6, C2S, 131), frame(7, C2S, 190)),
            replace(ended(*BEATS, at=205, by="server"), raw_request_in=request(User_Agent=SAFARI)),
        ],
    ),
}

__all__ = ["CASES", "talk"]
