"""Facts for the tests of rules: a healthy connection, and changes to it."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from wsinspect.findings.facts import (
    C2S,
    S2C,
    CaptureFacts,
    ConnectionFacts,
    EndFact,
    EngineEvent,
    FrameFact,
    MessageFact,
    PingFact,
    Summary,
)
from wsinspect.handshake.negotiation import accept_key
from wsinspect.wire.opcodes import Direction

KEY = b"dGhlIHNhbXBsZSBub25jZQ=="
START = 1_767_225_600_000_000_000
SECOND = 10**9
MS_NS = 1_000_000
OPEN = START + SECOND // 100
#: The same handshake over HTTP/2 (RFC 8441 section 5).
CONNECT = (
    b":method: CONNECT\r\n:protocol: websocket\r\n:scheme: https\r\n:path: /chat\r\n"
    b":authority: example.org\r\norigin: https://example.org\r\nsec-websocket-version: 13\r\n\r\n"
)


def request(
    path: str = "/chat",
    *,
    version: str = "HTTP/1.1",
    without: tuple[str, ...] = (),
    **fields: str,
) -> bytes:
    """A correct opening handshake, changed: `X_Real_IP="1"` adds or replaces `X-Real-IP`."""
    lines = {
        "Host": "example.org",
        "Connection": "Upgrade",
        "Upgrade": "websocket",
        "Origin": "http://example.org",
        "Sec-WebSocket-Version": "13",
        "Sec-WebSocket-Key": KEY.decode(),
    }
    lines |= {name.replace("_", "-"): value for name, value in fields.items()}
    kept = [f"{name}: {value}" for name, value in lines.items() if name not in without]
    return "\r\n".join([f"GET {path} {version}", *kept, "", ""]).encode()


def response(status: str, **fields: str) -> bytes:
    """A response head."""
    lines = [f"{name.replace('_', '-')}: {value}" for name, value in fields.items()]
    return "\r\n".join([f"HTTP/1.1 {status}", *lines, "", ""]).encode()


def switching(without: tuple[str, ...] = (), **fields: str) -> bytes:
    """A correct 101, changed."""
    lines = {
        "Upgrade": "websocket",
        "Connection": "Upgrade",
        "Sec-WebSocket-Accept": accept_key(KEY).decode(),
    }
    lines |= {name.replace("_", "-"): value for name, value in fields.items()}
    kept = {name.replace("-", "_"): value for name, value in lines.items() if name not in without}
    return response("101 Switching Protocols", **kept)


def _attempt(head: bytes, path: str, **more: Any) -> ConnectionFacts:
    values: dict[str, Any] = {
        "id": 1,
        "tap": "main",
        "client": "127.0.0.1:5000",
        "host": "example.org",
        "port": 80,
        "path": path,
        "server": "10.0.0.1:80",
        "attempt_ns": START,
        "raw_request_in": head,
        "raw_request_out": head,
        "times": {"request_out_ns": START + 1_000_000, "response_in_ns": START + 4_000_000},
    }
    return ConnectionFacts(**{**values, **more})


def refused(
    status: str,
    body: bytes = b"",
    *,
    path: str = "/chat",
    head: bytes | None = None,
    facts: Any = None,
    **fields: str,
) -> ConnectionFacts:
    """A refused attempt: `refused("403 Forbidden", Server="nginx")`."""
    more = dict(
        state="refused",
        status=int(status[:3]),
        closed_ns=START + 5_000_000,
        ended_by="server",
        how="refused",
        js_code=1006,
        js_was_clean=False,
        raw_response_in=response(status, **fields),
        body=body,
    )
    return _attempt(head or request(path), path, **{**more, **(facts or {})})


def failed(
    error: str, where: str, *, waited: float = 2.0, head: bytes | None = None, **facts: Any
) -> ConnectionFacts:
    """An attempt without an answer."""
    more = dict(
        state="failed",
        error=error,
        failed_where=where,
        closed_ns=START + 1_000_000 + int(waited * SECOND),
        ended_by="server",
        how="refused",
        js_code=1006,
        js_was_clean=False,
        times={"request_out_ns": START + 1_000_000, "response_in_ns": None},
    )
    return _attempt(head or request(), "/chat", **{**more, **facts})


def left_at(seconds: float) -> dict[str, Any]:
    """The client ends its side so long after its request; the answer comes 3 s after that request."""
    sent = START + 1_000_000
    return {
        "ends": (EndFact("client", "fin", sent + int(seconds * SECOND)),),
        "times": {"request_out_ns": sent, "response_in_ns": sent + 3 * SECOND},
        "closed_ns": sent + 4 * SECOND,
    }


def frame(
    number: int, direction: Direction, at: float, opcode: int = 1, payload: bytes = b"hello", **more: Any
) -> FrameFact:
    """A frame `at` seconds after the 101."""
    header = bytes([0x80 | opcode, len(payload) & 0x7F])
    values = dict(header=header, payload=payload, message_id=number if opcode < 8 else None)
    return FrameFact(
        number, direction, OPEN + int(at * SECOND), opcode, True, len(payload), **{**values, **more}
    )


def talk(*frames: FrameFact, **facts: Any) -> dict[str, Any]:
    """The facts that follow from these frames."""
    said = tuple(
        MessageFact(one.id, one.direction, one.time_ns, one.opcode, one.length, one.payload)
        for one in frames
        if one.opcode in (1, 2)
    )
    last = tuple(
        next((one.time_ns for one in reversed(frames) if one.direction == side), None) for side in (C2S, S2C)
    )
    counts = tuple(sum(one.direction == side for one in frames) for side in (C2S, S2C))
    sizes = tuple(sum(one.length + 2 for one in frames if one.direction == side) for side in (C2S, S2C))
    found = dict(last_frames=frames, first=said, last=said, last_ns=last, frames=counts, sizes=sizes)
    return {**found, **facts}


HELLO = (frame(1, C2S, 0.1), frame(2, S2C, 0.2))


def opened(
    *frames: FrameFact,
    head: bytes | None = None,
    answer: bytes | None = None,
    path: str = "/chat",
    **facts: Any,
) -> ConnectionFacts:
    """A connection that is open; frames default to one each way."""
    more = {
        "state": "open",
        "status": 101,
        "open_ns": OPEN,
        "raw_response_in": answer or switching(),
        "raw_response_out": answer or switching(),
        **talk(*(frames or HELLO)),
    }
    return _attempt(head or request(path), path, **{**more, **facts})


def ended(
    *frames: FrameFact,
    at: float = 1.0,
    by: str = "client",
    code: int | None = 1000,
    reason: str = "",
    **facts: Any,
) -> ConnectionFacts:
    """Closed properly, with the same code from both sides."""
    said = frames or HELLO
    number = max(one.id for one in said) + 1
    first = C2S if by == "client" else S2C
    payload = b"" if code is None else code.to_bytes(2, "big") + reason.encode()
    closes = (frame(number, first, at, 8, payload), frame(number + 1, first.other, at, 8, payload))
    more = dict(
        state="closed",
        closed_ns=OPEN + int(at * SECOND) + 1000,
        ended_by=by,
        how="close-frame",
        js_code=1005 if code is None else code,
        js_was_clean=True,
        client_close_code=code,
        client_close_reason=reason,
        server_close_code=code,
        server_close_reason=reason,
        ends=(EndFact("server", "fin", OPEN + int(at * SECOND) + 500),),
    )
    return replace(opened(*said, *closes), **{**more, **facts})


def cut(
    *frames: FrameFact, at: float = 1.3, by: str = "server", how: str = "fin", **facts: Any
) -> ConnectionFacts:
    """Ended without a CLOSE frame."""
    end = OPEN + int(at * SECOND)
    more = dict(
        state="closed",
        closed_ns=end + 1000,
        ended_by=by,
        how=how,
        js_code=1006,
        js_was_clean=False,
        ends=(EndFact(by, how, end),),
    )
    made = opened(*frames)
    if frames == ():
        made = opened()
    return replace(made, **{**more, **facts})


def silent(at: float, by: str = "server", how: str = "fin", **facts: Any) -> ConnectionFacts:
    """Cut with no frame at all."""
    return cut(at=at, by=by, how=how, **{**talk(), **facts})


def ping(number: int, direction: Direction, at: float, pong: int | None = None) -> PingFact:
    """A ping, answered or not."""
    return PingFact(number, direction, OPEN + int(at * SECOND), pong, None if pong is None else 1_000_000)


def summary(number: int, at: float, lived: float | None = 1.0, **facts: Any) -> Summary:
    """A connection of a capture: attempted `at` seconds, open for `lived`; `status=` makes it refused."""
    attempt = START + int(at * SECOND)
    values: dict[str, Any] = dict(
        id=number,
        tap="main",
        client=f"10.0.0.9:{5000 + number}",
        scheme="ws",
        host="example.org",
        port=80,
        path="/chat",
        subprotocol=None,
        attempt_ns=attempt,
        open_ns=attempt + 1000,
        closed_ns=None if lived is None else attempt + int(lived * SECOND),
        state="closed",
        status=101,
        error=None,
        ended_by="client",
        how="close-frame",
        client_close_code=1000,
        server_close_code=1000,
        server_close_reason="",
        c2s_frames=5,
        s2c_frames=5,
        s2c_bytes=500,
        is_faulted=facts.get("ended_by") == "fault",
    )
    if facts.get("status", 101) != 101:
        values.update(
            open_ns=None,
            state="refused",
            ended_by="server",
            how="refused",
            client_close_code=None,
            server_close_code=None,
            server_close_reason=None,
        )
    return Summary(**{**values, **facts})


def dropped(number: int, at: float, lived: float, **facts: Any) -> Summary:
    """A connection that the server's side ended without a CLOSE frame."""
    how = dict(
        ended_by="server", how="fin", client_close_code=None, server_close_code=None, server_close_reason=None
    )
    return summary(number, at, lived, **{**how, **facts})


def capture(
    *connections: Summary, events: tuple[tuple[str, dict[str, Any]], ...] = (), is_trace: bool = False
) -> CaptureFacts:
    """A capture of these."""
    made = tuple(EngineEvent(START, kind, detail) for kind, detail in events)
    return CaptureFacts(connections=connections, events=made, is_trace=is_trace)


def stopped(facts: ConnectionFacts, how: str = "fin", after_ns: int = 0) -> ConnectionFacts:
    """The same, without a CLOSE frame, and ended by this proxy as it was stopped."""
    end_ns = (facts.end_ns or facts.closed_ns or OPEN + SECOND) + after_ns
    return replace(
        facts,
        state="closed",
        how=how,
        ended_by="proxy",
        client_close_code=None,
        client_close_reason=None,
        server_close_code=None,
        server_close_reason=None,
        js_code=1006,
        js_was_clean=False,
        ends=(EndFact("proxy", how, end_ns),),
        closed_ns=end_ns + MS_NS,
        last_frames=tuple(one for one in facts.last_frames if not one.is_close),
        others=(),
    )
