"""Traffic that triggers the rules about Socket.IO's sessions, and traffic near to it that must not."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from tests.unit.findings.facts_made import SECOND, START, ended, frame, summary
from wsinspect.findings.facts import C2S, S2C, CaptureFacts, EngineEvent

EIO = "/socket.io/?EIO=4&transport=websocket"


def _said(*texts: tuple[Any, float, str]) -> Any:
    return [frame(n, d, at, 1, text.encode()) for n, (d, at, text) in enumerate(texts, 1)]


def polled(
    *requests: tuple[Any, ...],
    refusal: str = '{"code":1,"message":"Session ID unknown"}',
    connections: tuple[Any, ...] = (),
) -> CaptureFacts:
    """Polls of Engine.IO: (session, at, status, what the client said)."""
    events = []
    for sid, at, status, *said in requests:
        detail = {"tap": "main", "host": "example.org", "path": "/socket.io/", "sid": sid, "status": status}
        detail |= {"method": "POST", "request": "40", "refusal": None if status == 200 else refusal}
        events.append(EngineEvent(START + int(at * SECOND), "polling", detail))
        for text in said:  # and after that
            detail = {**detail, "request": text}
            events.append(EngineEvent(START + int(at * SECOND) + 1000, "polling", detail))
    return CaptureFacts(connections=connections, events=tuple(events))


def beating(*more: tuple[Any, float, str], timeout: str | None = "5000", by: str = "server") -> Any:
    """A session of Socket.IO that the server ends 5 s after its heartbeat."""
    told = f',"pingTimeout":{timeout}' if timeout else ""
    said = ((S2C, 0.1, f'0{{"sid":"a"{told}}}'), (S2C, 25, "2"), *more)
    return replace(ended(*_said(*sorted(said, key=lambda one: one[1])), at=30, by=by), path=EIO)


def opened(
    status: int | None,
    *,
    taps: tuple[str, ...] = ("edge", "origin"),
    connections: tuple[Any, ...] = (),
    **detail: Any,
) -> CaptureFacts:
    """A poll that asks for a session, as each tap saw it."""
    base = {"host": "example.org", "path": "/socket.io/", "sid": None, "method": "GET", "status": status}
    listeners = [{"tap": tap, "mode": "reverse:http://127.0.0.1:1"} for tap in ("edge", "origin")]
    events = [EngineEvent(START, "listening", {"listeners": listeners})]
    events += [EngineEvent(START + SECOND, "polling", {**base, "tap": tap, **detail}) for tap in taps]
    return CaptureFacts(connections=connections, events=tuple(events))


def _connecting(
    response: str,
    *,
    request: str = "40",
    frames: int = 2,
    size: int = 12,
    closed: float = 9,
    is_cut: bool = False,
) -> CaptureFacts:
    """A CONNECT by long-polling, and the session's WebSocket."""
    one = summary(1, 1.1, closed, path="/socket.io/?EIO=4&transport=websocket&sid=a")
    polls = opened(200, sid="a", method="POST", request=request, response=response, is_cut=is_cut)
    return replace(polls, connections=(one._replace(s2c_frames=frames, s2c_bytes=size),))


def _with(*both: CaptureFacts) -> CaptureFacts:
    """One after the other, a minute apart."""
    events = [
        one._replace(time_ns=one.time_ns + number * 60 * SECOND)
        for number, facts in enumerate(both)
        for one in facts.events
    ]
    return CaptureFacts(connections=(), events=tuple(events))


def _healed(status: int | None, said: str | None = None, served: str = '0{"sid":"a"}') -> CaptureFacts:
    """A first poll that is not served, and a later one that is."""
    return _with(opened(status, refusal=said), opened(200, sid="a", response=served))


CASES: dict[str, Any] = {
    "WS-APP-015": (
        [beating(), beating((C2S, 20, '42["a"]'))],
        [
            beating((C2S, 25.2, "3")),
            beating((C2S, 30, '42["a"]')),  # it is alive
            beating(timeout="1000"),  # another limit
            beating(timeout="true"),
            beating(timeout=None),
            beating(by="client"),
            replace(beating(), path="/chat"),
        ],
    ),
    "WS-APP-013": (
        [
            opened(404, refusal="not here"),
            opened(400, refusal='{"code":5,"message":"Unsupported protocol version"}'),
            opened(200, refusal="<html>"),
            opened(None),
            opened(502, taps=("edge",)),
            _with(opened(200, sid="a", response='0{"sid":"a"}'), opened(503)),
        ],
        [
            opened(200, sid="a", response='0{"sid":"a"}'),
            opened(200, sid="a", response='97:0{"sid":"a"}'),
            opened(400, sid="a"),  # a session that was there before
            opened(404, protocol="signalr"),
            opened(404, method="POST"),
            opened(200, is_cut=True),  # compressed with Brotli: nobody knows what it says
            opened(301),  # what it leads to has an event of its own
            _healed(502),
            _healed(404, "Cannot GET /socket.io/"),
            _healed(401, served='___eio[0]("97:0{\\"sid\\":\\"a\\"}");'),
            _healed(None, served='\0\t\7\ufffd0{"sid"'),
            opened(404, connections=(summary(1, 0.1, None, path="/socket.io/?EIO=4", open_ns=None),)),
        ],
    ),
    "WS-APP-014": (
        [
            opened(200, sid="a", response='44{"message":"Invalid namespace"}'),
            opened(200, sid="a", response='40{"sid":"b"}\x1e44/admin,{"message":"no"}'),
            _with(
                opened(200, sid="a", response='44/admin,{"message":"no"}'),
                opened(200, sid="a", response='40{"sid":"b"}'),
            ),
        ],
        [
            opened(200, sid="a", response='42["44"]'),
            _with(
                opened(200, sid="a", response='44{"message":"expired"}'),
                opened(200, sid="a", response='40{"sid":"b"}'),
            ),
            opened(200, sid="a", response='40{"sid":"44"}'),
            opened(200, sid="a", response="44", protocol="signalr"),
        ],
    ),
    "WS-APP-016": (
        [replace(ended(*_said((C2S, 0.1, "hi")), at=0.3, by="server", code=None), path=EIO)],
        [
            replace(ended(*_said((C2S, 0.1, "2")), at=0.3, by="server"), path=EIO),
            replace(ended(*_said((C2S, 0.1, "bAAA")), at=0.3, by="server"), path=EIO),
            replace(ended(*_said((C2S, 0.1, "hi")), at=3, by="server"), path=EIO),
            replace(ended(*_said((C2S, 0.1, "hi")), at=0.3, by="client"), path=EIO),
            ended(*_said((C2S, 0.1, "hi")), at=0.3, by="server", code=None),
        ],
    ),
    "WS-APP-017": (
        [
            _connecting("ok"),
            _connecting("ok", request="40/admin,"),
            _connecting("6"),
            _connecting("6", frames=3, size=14),
        ],
        [
            _connecting('40{"sid":"b"}'),
            _connecting('44{"message":"no"}'),
            _connecting("ok", request='42["a"]'),
            _connecting("ok", request='40"1"'),
            _connecting("ok", frames=4),  # it came by the WebSocket
            # 3probe and the answer, where the connect handler took longer than the upgrade
            _connecting("ok", frames=2, size=42),
            _connecting("ok", closed=2),  # it had no time
            _connecting("ok", is_cut=True),
        ],
    ),
    "WS-APP-012": (
        [
            # The WebSocket of the session is open, or the session is served again.
            polled(("a", 0, 200), ("a", 0.1, 400), ("a", 0.2, 200)),
            # What began after it is refused, too.
            polled(("a", 0, 200), ("a", 0.1, 400), ("b", 1, 200), ("b", 1.1, 400)),
            polled(
                *(("a", 0, 200), ("a", 0.1, 400), ("a", 0.3, 200)),
                connections=(summary(1, 0.05, 1, path="/socket.io/?EIO=4&sid=a"),),
            ),
        ],
        [
            polled(("a", 0, 200), ("a", 0.1, 200)),
            # One restart forgets the sessions that were there.
            polled(
                ("a", 0, 200), ("b", 0.1, 200), ("a", 1, 400), ("b", 1.1, 400), ("c", 2, 200), ("c", 3, 200)
            ),
            polled(("a", 0, 400), ("b", 1, 400)),  # nobody saw them begin
            polled(("a", 0, 200), ("a", 30, 400), ("b", 31, 200), ("b", 61, 400)),  # they were over
            polled(("a", 0, 200, "1"), ("a", 0.1, 400), ("b", 1, 200, "1"), ("b", 1.1, 400)),  # they had left
            polled(
                ("a", 0, 200), ("a", 0.1, 400), ("a", 0.2, 200), refusal='{"code":3,"message":"Bad request"}'
            ),
            polled(("a", 0, 200), ("a", 0.1, 503), ("a", 0.2, 200)),
            polled(
                *(("a", 0, 200), ("a", 2, 400), ("b", 3, 200), ("b", 5, 400)),
                connections=(
                    summary(1, 0.1, 1, path="/socket.io/?EIO=4&sid=a"),
                    summary(2, 3.1, 1, path="/socket.io/?EIO=4&sid=b"),
                ),
            ),
            # WS-APP-002 says it of the WebSocket.
            polled(
                *(("a", 0, 200), ("a", 0.1, 400), ("a", 0.2, 200)),
                connections=(
                    summary(1, 0.1, None, path="/socket.io/?EIO=4&sid=a", status=400, open_ns=None),
                ),
            ),
        ],
    ),
}
