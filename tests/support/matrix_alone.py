"""The oddities of the chains' matrix at one tap without a hop (tests/integration/test_matrix_alone.py).

The tap directly before a server sees what a single tap sees. Each oddity of a server or a client is played
once more with nothing between, each on a connection of its own, all in one engine, beside peers that do
nearly the same. A new neighbour is one line of `NEAR`, a new oddity one of `matrix_odds.ODDS`, where the
columns are explained.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Final

from tests.support.bytes_of_frames import BINARY, CLOSE, CONT, PING, TEXT, deflate, frame
from tests.support.engine import Engine
from tests.support.hops import LOOPBACK
from tests.support.matrix_causes import without_chance
from tests.support.matrix_lab import AT_ONCE, Seen, look_by_path
from tests.support.matrix_odd import (
    PATIENT,
    SERVERS,
    Odd,
    Serve,
    Socket,
    refusal,
    says,
    server,
    switching,
    visit,
)
from tests.support.matrix_odds import EXTENSION, ODDS, SUBPROTOCOL, TIMED, token
from wsinspect.capture.reader import Capture

HINTS: Final = b"HTTP/1.1 103 Early Hints\r\nLink: </a.css>; rel=preload\r\n\r\n"
#: 2100-01-01, in seconds since 1970.
_FAR: Final = 4_102_444_800


def _in_pieces(*after: float) -> Serve:
    """A 101 in pieces, each this many seconds after the one before, then an echo."""

    async def serve(socket: Socket, head: bytes) -> None:
        answer = switching(head)
        whole, blank = answer[:-2], answer[-2:]
        size = len(whole) // (len(after) - 1) + 1
        pieces = [*(whole[at : at + size] for at in range(0, len(whole), size)), blank]
        for wait, piece in zip(after, pieces, strict=True):
            await asyncio.sleep(wait)
            await socket.say(piece)
        await _echo(socket)

    return serve


async def _echo(socket: Socket) -> None:
    body = await socket.until_close(4)
    if body is not None:
        await socket.send(CLOSE, body)


def _closes(body: bytes, *before: bytes) -> Serve:
    """After the client's first message: these frames, a CLOSE with this body, and no frame more."""

    async def serve(socket: Socket, head: bytes) -> None:
        await socket.say(switching(head))
        await socket.next(PATIENT)
        for one in before:
            await socket.say(one)
        await socket.send(CLOSE, body)
        await socket.until_close()

    return serve


def _opens(*fields: str) -> Serve:
    async def serve(socket: Socket, head: bytes) -> None:
        await socket.say(switching(head, *fields))
        await _echo(socket)

    return serve


def _answers_close(*frames: bytes, after: float = 0.0) -> Serve:
    """The client's CLOSE is answered later, and behind these frames: the server's direction is still open."""

    async def serve(socket: Socket, head: bytes) -> None:
        await socket.say(switching(head))
        body = await socket.until_close(4)
        if body is not None:
            await asyncio.sleep(after)
            for one in frames:
                await socket.say(one)
            await socket.send(CLOSE, body)

    return serve


def _after(first: bytes, then: Serve) -> Serve:
    """Interim responses, and then what this server does."""

    async def serve(socket: Socket, head: bytes) -> None:
        await socket.say(first)
        await then(socket, head)

    return serve


async def _chunked_404(socket: Socket, head: bytes) -> None:
    fields = "HTTP/1.1 404 Not Found\r\nTransfer-Encoding: chunked\r\nContent-Type: application/json\r\n"
    await socket.say(fields.encode() + b'Connection: close\r\n\r\n5\r\n{"err\r\n')
    await asyncio.sleep(0.02)
    await socket.say(b'a\r\nor":"none"\r\n1\r\n}\r\n0\r\n\r\n')


def _answers(status: int, words: str, *fields: str) -> Serve:
    async def serve(socket: Socket, head: bytes) -> None:
        await socket.say(refusal(status, words, *fields))

    return serve


async def _compressed(socket: Socket, head: bytes) -> None:
    await socket.say(switching(head, "Sec-WebSocket-Extensions: permessage-deflate"))
    await socket.next(PATIENT)
    await socket.say(frame(TEXT, deflate(b"hi")[0], rsv=4))
    await _echo(socket)


NEAR_SERVERS: Mapping[str, Serve] = {
    "502-with-words": _answers(502, '{"error":"the payment provider does not answer"}'),
    "502-of-uvicorn": _answers(502, "", "Server: uvicorn"),
    "505-of-uvicorn": _answers(505, "", "Server: uvicorn"),
    "505-for-1.0": _answers(505, "HTTP/1.0 is not supported"),
    "banner-in-a-message": says(frame(TEXT, b"SSH-2.0-OpenSSH_9.2p1 Debian-2\r\n")),
    "http-in-a-message": says(frame(TEXT, b"HTTP/1.1 400 Bad Request\r\nContent-Length: 0\r\n\r\n")),
    "answer-in-pieces": _in_pieces(0, 0.02, 0.02, 0.02),
    "late-blank-line": _in_pieces(0, 0.3),
    "late-answer": _in_pieces(0.3, 0),
    "hints-101": _after(HINTS, _opens()),
    "hints-404": _after(HINTS, _answers(404, "no such room")),
    "continue-403": _after(b"HTTP/1.1 100 Continue\r\n\r\n", _answers(403, "not allowed here")),
    "chunked-404": _chunked_404,
    "more-fields": _opens("Date: Mon, 30 Nov 2026 12:00:00 GMT", "Content-Type: text/plain"),
    "subprotocol": _opens("Sec-WebSocket-Protocol: v1"),
    "extension": _opens("Sec-WebSocket-Extensions: permessage-deflate"),
    "compressed": _compressed,
    "binary": says(frame(BINARY, b"\xff\xfe")),
    "ping-of-125": says(frame(PING, b"x" * 125)),
    "split-character": says(frame(TEXT, b"\xe2\x82", fin=False), frame(CONT, b"\xac")),
    "ping-between": says(frame(TEXT, b"part", fin=False), frame(PING, b"x"), frame(CONT, b" and end")),
    "code-1000": _closes((1000).to_bytes(2) + b"done"),
    "code-none": _closes(b""),
    "data-then-close": _closes((1000).to_bytes(2), frame(TEXT, b"last")),
    "data-after-the-others-close": _answers_close(frame(TEXT, b"last")),
    "late-close": _answers_close(after=0.1),
}

#: Peers that do nearly what one of `ODDS` does: healthy, or with another finding first.
NEAR = (
    # next to what is no answer, no whole answer, or an answer that comes late
    Odd("banner in a message", None, server="banner-in-a-message"),
    Odd("answer in pieces", None, server="answer-in-pieces"),
    Odd("late blank line", None, server="late-blank-line"),
    Odd("late answer", None, server="late-answer"),
    # interim responses, and a body in chunks
    Odd("hints before the 101", (("WS-HS-038",), "server"), server="hints-101"),
    Odd("hints before a 404", (("WS-HS-011",), "server"), server="hints-404"),
    Odd("100 before a 403", (("WS-HS-010",), "server"), server="continue-403"),
    Odd("404 in chunks", (("WS-HS-011",), "server"), server="chunked-404"),
    # next to a 101 that may not be
    Odd("more fields", None, server="more-fields"),
    Odd("offered subprotocol", None, server="subprotocol", fields=SUBPROTOCOL),
    Odd("offered extension", None, server="extension", fields=EXTENSION),
    # next to refusals that say why
    Odd("400", (("WS-HS-012",), "server"), server="400"),
    Odd("403", (("WS-HS-010",), "server"), server="403"),
    Odd("502 with words", (("WS-HS-020",), "server"), server="502-with-words"),
    Odd("502 of uvicorn", (("WS-HS-020",), "server"), server="502-of-uvicorn"),
    Odd("505 of uvicorn", (("WS-HS-014",), "server"), server="505-of-uvicorn"),
    Odd("505 for HTTP/1.0", (("WS-HS-014",), "hop"), server="505-for-1.0"),
    Odd("not found", (("WS-HS-011",), "server"), server="nothing-of-this-name"),
    Odd("a fresh token", (("WS-HS-009",), "client"), server="401", tail=f"?token={token(exp=_FAR)}"),
    # next to frames that may not be
    Odd("HTTP in a message", None, server="http-in-a-message"),
    Odd("compressed", None, server="compressed", fields=EXTENSION),
    Odd("binary", None, server="binary"),
    Odd("ping of 125", None, server="ping-of-125"),
    Odd("split character", None, server="split-character"),
    Odd("ping between fragments", None, server="ping-between"),
    # next to ends that may not be
    Odd("code 1000", None, server="code-1000"),
    Odd("no code", None, server="code-none"),
    Odd("data, then CLOSE", None, server="data-then-close"),
    Odd("data after the CLOSE of the other side", None, server="data-after-the-others-close"),
    Odd("late CLOSE", None, server="late-close"),
)


#: What the chains' matrix says of a peer, then its near neighbours; what a hop does has no cell here.
CELLS = [one for one in (*ODDS, *NEAR) if not one.route]
#: Told by which side was first, or by what came in time.
_TIMED = (*TIMED, "late blank line", "late answer", "late CLOSE", "data after the CLOSE of the other side")


async def _play(folder: Path) -> Engine:
    async with server({**SERVERS, **NEAR_SERVERS}) as app:
        tap = f"edge={LOOPBACK}:0=http://{LOOPBACK}:{app}"
        engine = await asyncio.to_thread(lambda: Engine.start("--tap", tap, folder=folder / "engine"))
        try:
            turn = asyncio.Semaphore(AT_ONCE)
            await asyncio.gather(*(visit(engine.port("edge"), one, turn) for one in CELLS))
        finally:
            await asyncio.to_thread(engine.stop, PATIENT)
    return engine


def play_alone(folder: Path) -> tuple[Engine, dict[str, Seen]]:
    """Play all cells at one tap; the engine, stopped, and what was found by name."""
    engine = asyncio.run(_play(folder))
    by_path = look_by_path(engine.capture)
    return engine, {one.name: by_path[one.path] for one in CELLS if one.path in by_path}


def judged_alone(engine: Engine, seen: Mapping[str, Seen]) -> list[str]:
    """A line for each thing that is told wrongly."""
    with Capture.open(engine.capture) as capture:
        has_lags = capture.query("SELECT id FROM event WHERE kind = 'lag' LIMIT 1")
    kept = [one for one in CELLS if not has_lags or one.name not in _TIMED]
    return [line for one in kept for line in _judged(one, seen.get(one.name))]


def _judged(odd: Odd, seen: Seen | None) -> Iterator[str]:
    """What is wrong with a cell: one finding is right, and every other one is silent, notes aside."""
    if seen is None:
        yield f"{odd.name}: not on record"
        return
    expected = odd.alone or odd.two
    told = {"of the connection alone": seen.one, "of the capture": without_chance(seen, expected).all}
    for which, findings in told.items():
        where = (
            f"{odd.name}: {seen.status}, {which} {[f'{o.id} {o.severity} {o.fault_of}' for o in findings]}"
        )
        worse = [one.id for one in findings if one.severity != "note"]
        if expected is None:
            if worse:
                yield f"{where} - healthy"
            continue
        ids, party = expected
        if not findings or findings[0].id not in ids:
            yield f"{where} - not {ids} first"
        elif findings[0].fault_of != party:
            yield f"{where} - not the fault of: {party}"
        elif len(worse) > 1:
            yield f"{where} - more than that"
