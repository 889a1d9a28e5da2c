"""The doctor against servers that do one thing each: the right cause is first, and healthy ones are."""

from __future__ import annotations

import asyncio
import gzip
import struct
from itertools import count

import pytest

from tests.support.doctor_lab import (
    TIMEOUT_NS,
    echo,
    examine_server,
    http,
    ids,
    is_upgrade,
    pongs,
    replies,
    switching,
    unless,
)
from wsinspect.closing import abort
from wsinspect.doctor.target import Extras
from wsinspect.handshake.heads import RawHead


def always(answer: bytes):
    return replies(lambda head: answer)


def has(name: str):
    return lambda head: head.get(name) is not None


def wants(head: RawHead) -> bytes:
    """A GraphQL server, as its library answers without a subprotocol."""
    names = [one for one in head.elements("sec-websocket-protocol") if one == b"graphql-transport-ws"]
    if not names:
        return http("400 Bad Request", b"Subprotocol required, one of: graphql-transport-ws, graphql-ws")
    return switching(head, Sec_WebSocket_Protocol=names[0].decode())


def sometimes():
    turn = count()
    return replies(lambda head: http("503 Service Unavailable") if next(turn) < 3 else echo(head))


def accepts(*chunks: bytes, answers: str = "pc", **fields: str):
    """A 101 with these fields, then these bytes, then what a server does."""

    async def play(head: RawHead, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(switching(head, **fields))
        writer.writelines(chunks)
        if answers != "-":
            await pongs(reader, writer, answers=answers)

    return play


def close(code: int, reason: bytes = b"") -> bytes:
    body = struct.pack("!H", code) + reason
    return bytes((0x88, len(body))) + body


def after(interim: bytes):
    """An interim response before the 101."""

    async def play(head: RawHead, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(interim + switching(head))
        await pongs(reader, writer)

    return play


def twice(name: str, **fields: str):
    """A 101 that has a field twice, the same both times."""

    def reply(head: RawHead) -> bytes:
        answer = switching(head, **fields)
        again = next(line for line in answer.split(b"\r\n") if line.startswith(name.encode()))
        return answer[:-2] + again + b"\r\n\r\n"

    return replies(reply)


async def until_ping(reader: asyncio.StreamReader) -> bool:
    """Whether the client's next frame is a PING; its payload is taken."""
    first, second = await reader.readexactly(2)
    await reader.readexactly(4 + (second & 127))
    return first & 15 == 9


def at_ping(answer: bytes):
    """A hand-made server that knows no PING; without an answer it resets the connection."""

    async def play(head: RawHead, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(switching(head))
        await writer.drain()
        is_ping = await until_ping(reader)
        writer.write(answer if is_ping else close(1000))
        if is_ping and not answer:
            abort(writer.transport)

    return play


async def masked_pong(head: RawHead, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """What no browser sees, because browsers send no PING."""
    writer.write(switching(head))
    if await until_ping(reader):
        writer.write(b"\x8a\x80\0\0\0\0")
        await reader.readexactly(1)
    writer.write(close(1000))


async def hold(head, reader, writer) -> None:
    await reader.read()


async def endless(head, reader, writer) -> None:
    writer.write(b"HTTP/1.1 200 OK\r\n")
    while not reader.at_eof() and not writer.is_closing():
        writer.write(b"X-More: " + b"x" * 8000 + b"\r\n")
        await writer.drain()


async def drip(head, reader, writer) -> None:
    writer.write(b"HTTP/1.1 101 Switching Protocols\r\n")
    while not writer.is_closing():
        writer.write(b"X")
        await writer.drain()
        await asyncio.sleep(0.05)


async def bomb(head, reader, writer) -> None:
    writer.write(http("200 OK", length=False, Content_Type="text/html") + b"<title>app</title>")
    while not writer.is_closing():
        writer.write(b"x" * 65536)
        await writer.drain()


async def interim(head, reader, writer) -> None:
    while not writer.is_closing():
        writer.write(b"HTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\n")
        await writer.drain()
        await asyncio.sleep(0)


async def endless_frame(head, reader, writer) -> None:
    writer.write(switching(head) + b"\x82\x7f\x7f" + b"\xff" * 7)
    while not writer.is_closing():
        writer.write(b"x" * 65536)
        await writer.drain()


async def reset(head, reader, writer) -> None:
    writer.write(switching(head))
    await writer.drain()
    abort(writer.transport)


def page(head: RawHead) -> bytes:
    return http("200 OK", b"<!doctype html><title>my app</title>", Content_Type="text/html")


def same_host(head: RawHead) -> bool:
    return not (head.get("host") or b"").startswith(b"localhost")


#: For servers that never come to an answer.
SHORT_NS = 200_000_000

#: name, server, path, what is sent along, first finding, verdict
FAULTS = [
    ("origin refused", unless(has("origin"), "403 Forbidden"), "/", Extras(), "WS-HS-050", "failing"),
    (
        "extensions",
        unless(has("sec-websocket-extensions"), "400 Bad Request"),
        "/",
        Extras(),
        "WS-HS-050",
        "failing",
    ),
    ("user agent", unless(has("user-agent"), "403 Forbidden"), "/", Extras(), "WS-HS-050", "failing"),
    (
        "a cookie",
        unless(has("cookie"), "400 Bad Request"),
        "/",
        Extras(cookies=("a=b",)),
        "WS-HS-050",
        "failing",
    ),
    (
        "one of many headers",
        unless(has("x-four"), "500 Internal Server Error"),
        "/",
        Extras(headers=tuple((f"X-{name}", "1") for name in ("One", "Two", "Three", "Four", "Five"))),
        "WS-HS-050",
        "failing",
    ),
    (
        "two headers together",
        unless(lambda head: has("x-one")(head) and has("x-two")(head), "400 Bad Request"),
        "/",
        Extras(headers=(("X-One", "1"), ("X-Two", "2"))),
        "WS-HS-050",
        "failing",
    ),
    (
        "not on the list of origins",
        unless(
            lambda head: head.get("origin") != b"https://app.example", "403 Forbidden", b"origin not allowed"
        ),
        "/",
        Extras(),
        "WS-HS-010",
        "failing",
    ),
    ("subprotocol wanted", replies(wants), "/graphql", Extras(), "WS-HS-052", "failing"),
    (
        "subprotocol not chosen",
        replies(lambda head: switching(head)),
        "/",
        Extras(subprotocols=("chat",)),
        "WS-HS-026",
        "failing",
    ),
    (
        "slash",
        unless(lambda head: head.target != b"/chat/", "404 Not Found"),
        "/chat",
        Extras(),
        "WS-HS-051",
        "failing",
    ),
    (
        "no slash",
        unless(lambda head: head.target != b"/chat", "404 Not Found"),
        "/chat/",
        Extras(),
        "WS-HS-051",
        "failing",
    ),
    ("host", unless(same_host, "403 Forbidden", b"Invalid Host"), "/", Extras(), "WS-HS-053", "failing"),
    (
        "host, with the page of another one",
        replies(lambda head: page(head) if same_host(head) else echo(head)),
        "/",
        Extras(),
        "WS-HS-053",
        "failing",
    ),
    (
        "host, hung up on",
        replies(lambda head: b"" if same_host(head) else echo(head)),
        "/",
        Extras(),
        "WS-HS-053",
        "failing",
    ),
    (
        "connection",
        unless(lambda head: head.get("connection") != b"keep-alive, Upgrade", "400 Bad Request"),
        "/",
        Extras(),
        "WS-HS-057",
        "failing",
    ),
    (
        "connection of Firefox",
        unless(lambda head: head.get("connection") == b"keep-alive, Upgrade", "400 Bad Request"),
        "/",
        Extras(),
        "WS-HS-065",
        "degraded",
    ),
    (
        "upgrade lost",
        always(http("426 Upgrade Required", b"Upgrade Required")),
        "/",
        Extras(),
        "WS-HS-002",
        "failing",
    ),
    ("page", replies(page), "/", Extras(), "WS-HS-004", "failing"),
    (
        "redirect to https",
        replies(
            lambda head: http("301 Moved", Location=f"https://{(head.get('host') or b'').decode()}/chat")
        ),
        "/chat",
        Extras(),
        "WS-HS-005",
        "failing",
    ),
    (
        "redirect to the slash",
        unless(lambda head: head.target == b"/chat", "308 Permanent Redirect", Location="/chat/"),
        "/chat",
        Extras(),
        "WS-HS-006",
        "failing",
    ),
    (
        "redirect to itself",
        always(http("302 Found", Location="/chat")),
        "/chat",
        Extras(),
        "WS-HS-008",
        "failing",
    ),
    (
        "login",
        always(http("302 Found", Location="/login?next=/chat")),
        "/chat",
        Extras(),
        "WS-HS-007",
        "failing",
    ),
    ("401", always(http("401 Unauthorized")), "/", Extras(), "WS-HS-009", "failing"),
    ("404", always(http("404 Not Found")), "/", Extras(), "WS-HS-011", "failing"),
    ("429", always(http("429 Too Many Requests")), "/", Extras(), "WS-HS-017", "failing"),
    ("500", always(http("500 Internal Server Error", b"it broke")), "/", Extras(), "WS-HS-019", "failing"),
    ("502", always(http("502 Bad Gateway")), "/", Extras(), "WS-HS-020", "failing"),
    ("503", always(http("503 Service Unavailable")), "/", Extras(), "WS-HS-021", "failing"),
    ("504", always(http("504 Gateway Timeout")), "/", Extras(), "WS-HS-022", "failing"),
    ("sometimes", sometimes(), "/", Extras(), "WS-HS-056", "failing"),
    (
        "wrong accept",
        replies(lambda head: switching(head, Sec_WebSocket_Accept="AAAAAAAAAAAAAAAAAAAAAAAAAAA=")),
        "/",
        Extras(),
        "WS-HS-024",
        "failing",
    ),
    (
        "bare 101",
        replies(lambda head: switching(head, Upgrade="", Connection="")),
        "/",
        Extras(),
        "WS-HS-025",
        "failing",
    ),
    (
        "foreign extension",
        replies(lambda head: switching(head, Sec_WebSocket_Extensions="x-webkit-deflate-frame")),
        "/",
        Extras(),
        "WS-HS-028",
        "failing",
    ),
    ("no answer", replies(lambda head: b""), "/", Extras(), "WS-HS-035", "failing"),
    ("silent", hold, "/", Extras(), "WS-HS-036", "failing"),
    ("not HTTP", always(b"SSH-2.0-OpenSSH_9.2\r\n"), "/", Extras(), "WS-HS-041", "failing"),
    ("endless header block", endless, "/", Extras(), "WS-HS-042", "failing"),
    ("slow header block", drip, "/", Extras(), "WS-HS-042", "failing"),
    ("endless interim responses", interim, "/", Extras(), "WS-HS-035", "failing"),
    ("endless body", bomb, "/", Extras(), "WS-HS-004", "failing"),
    ("FIN after the 101", accepts(answers="-"), "/", Extras(), "WS-DROP-001", "failing"),
    ("RST after the 101", reset, "/", Extras(), "WS-DROP-001", "failing"),
    (
        "HTTP after the 101",
        accepts(b"HTTP/1.1 400 Bad Request\r\n\r\n", answers="-"),
        "/",
        Extras(),
        "WS-HS-029",
        "failing",
    ),
    ("a frame without an end", endless_frame, "/", Extras(), "WS-FR-009", "failing"),
    ("masked frames", accepts(b"\x81\x81\0\0\0\0x"), "/", Extras(), "WS-FR-002", "failing"),
    ("a reserved bit", accepts(b"\xc1\x01x"), "/", Extras(), "WS-FR-003", "failing"),
    ("a reserved opcode", accepts(b"\x83\x01x"), "/", Extras(), "WS-FR-004", "failing"),
    ("a ping in fragments", accepts(b"\x09\x01x"), "/", Extras(), "WS-FR-005", "failing"),
    ("a fragment of nothing", accepts(b"\x80\x01x"), "/", Extras(), "WS-FR-006", "failing"),
    ("a length in too many bytes", accepts(b"\x81\x7e\0\x01x"), "/", Extras(), "WS-FR-007", "failing"),
    ("not UTF-8", accepts(b"\x81\x02\xc3\x28"), "/", Extras(), "WS-MS-001", "failing"),
    (
        "not DEFLATE",
        accepts(b"\xc1\x02\xff\xff", Sec_WebSocket_Extensions="permessage-deflate"),
        "/",
        Extras(),
        "WS-MS-002",
        "failing",
    ),
    ("the last chunk of a body", accepts(b"0\r\n\r\n"), "/", Extras(), "WS-HS-029", "failing"),
    ("a masked pong alone", masked_pong, "/", Extras(), "WS-KA-008", "degraded"),
    ("1002 at a PING", at_ping(close(1002, b"opcode 9")), "/", Extras(), "WS-KA-010", "degraded"),
    ("RST at a PING", at_ping(b""), "/", Extras(), "WS-KA-010", "degraded"),
    ("1002 at anything", accepts(close(1002)), "/", Extras(), "WS-CL-002", "failing"),
    ("Accept twice", twice("Sec-WebSocket-Accept"), "/", Extras(), "WS-HS-024", "failing"),
    ("Upgrade twice", twice("Upgrade"), "/", Extras(), "WS-HS-025", "failing"),
    (
        "the subprotocol twice",
        twice("Sec-WebSocket-Protocol", Sec_WebSocket_Protocol="chat"),
        "/",
        Extras(subprotocols=("chat",)),
        "WS-HS-027",
        "failing",
    ),
    (
        "compression twice",
        accepts(Sec_WebSocket_Extensions="permessage-deflate, permessage-deflate"),
        "/",
        Extras(),
        "WS-HS-028",
        "failing",
    ),
    ("100 Continue", after(b"HTTP/1.1 100 Continue\r\n\r\n"), "/", Extras(), "WS-HS-038", "failing"),
    ("102 Processing", after(b"HTTP/1.1 102 Processing\r\n\r\n"), "/", Extras(), "WS-HS-038", "failing"),
    (
        "a captive portal",
        always(http("511 Network Authentication Required")),
        "/",
        Extras(),
        "WS-HS-064",
        "failing",
    ),
    (
        "lines that end with LF",
        replies(lambda head: echo(head).replace(b"\r\n", b"\n")),
        "/",
        Extras(),
        "WS-HS-059",
        "degraded",
    ),
    (
        "a field on two lines",
        replies(lambda head: echo(head).replace(b"Connection: ", b"Connection:\r\n ")),
        "/",
        Extras(),
        "WS-HS-059",
        "degraded",
    ),
    ("1008", accepts(close(1008, b"token expired")), "/", Extras(), "WS-CL-008", "failing"),
    ("1011", accepts(close(1011)), "/", Extras(), "WS-CL-011", "failing"),
    ("no pong", accepts(answers="c"), "/", Extras(), "WS-KA-008", "degraded"),
    ("CLOSE not answered", accepts(answers="ph"), "/", Extras(), "WS-CL-031", "degraded"),
    (
        "a line without a colon",
        replies(lambda head: echo(head).replace(b"Upgrade: ", b"nonsense\r\nUpgrade: ")),
        "/",
        Extras(),
        "WS-HS-059",
        "degraded",
    ),
]


@pytest.mark.parametrize(
    ("play", "path", "extras", "first", "verdict"),
    [pytest.param(*case[1:], id=case[0]) for case in FAULTS],
)
def test_the_first_finding_is_the_cause(play, path, extras, first, verdict) -> None:
    timeout_ns = SHORT_NS if play in (hold, drip) else TIMEOUT_NS
    found = examine_server(play, path, extras, timeout_ns=timeout_ns)
    assert found.judgement.verdict == verdict, (found.judgement.headline, ids(found))
    if first is not None:
        assert ids(found)[:1] == [first], (ids(found), [one.facts.error for one in found.answers])
    assert len([one for one in found.judgement.findings if one.severity == "error"]) == (verdict == "failing")
    assert len(found.answers) <= 20
    assert found.exit_code == (verdict == "failing")


def subprotocol(head: RawHead) -> bytes:
    return switching(head, Sec_WebSocket_Protocol=(head.get("sec-websocket-protocol") or b"").decode())


def deflating(head: RawHead) -> bytes:
    return switching(head, Sec_WebSocket_Extensions="permessage-deflate")


def checks_origin(head: RawHead) -> bool:
    return head.get("origin") not in (None, b"http://" + (head.get("host") or b""))


CLOSES = accepts(close(1000, b"that is all"))

HEALTHY = [
    ("echo", replies(echo), Extras(), ["WS-HS-055"]),
    ("checks Origin", unless(checks_origin, "403 Forbidden", b"origin not allowed"), Extras(), []),
    ("subprotocol", replies(subprotocol), Extras(subprotocols=("chat",)), ["WS-HS-055"]),
    ("compression", replies(deflating), Extras(), ["WS-HS-055"]),
    ("speaks first", accepts(b"\x81\x05hello"), Extras(), ["WS-HS-055"]),
    ("pings", accepts(b"\x89\x01x"), Extras(), ["WS-HS-055"]),
    ("closes by itself", CLOSES, Extras(), ["WS-HS-055"]),
    ("wants a token", unless(lambda head: not has("authorization")(head), "401 Unauthorized"),
     Extras(headers=(("Authorization", "Bearer x"),)), ["WS-HS-055"]),
]  # fmt: skip


@pytest.mark.parametrize(("play", "extras", "notes"), [pytest.param(*one[1:], id=one[0]) for one in HEALTHY])
def test_a_healthy_server_is_healthy(play, extras, notes) -> None:
    found = examine_server(play, "/chat", extras)
    assert (found.judgement.verdict, ids(found), found.exit_code) == ("healthy", notes, 0)
    assert found.judgement.headline.startswith("The WebSocket works: 101 in ")
    assert "ping answered in" in found.judgement.headline or play is CLOSES
    assert found.judgement.headline.endswith("closed with 1000")


def test_a_server_that_closes_at_once_without_a_word_is_not_healthy() -> None:
    found = examine_server(accepts(close(1000)), "/chat")
    assert (found.judgement.verdict, ids(found)[0], found.exit_code) == ("degraded", "WS-CL-035", 0)


def test_the_header_that_decides_is_found_among_many() -> None:
    names = ("X-One", "X-Two", "X-Three", "X-Four", "X-Five", "X-Six")
    extras = Extras(headers=tuple((name, "1") for name in names))
    found = examine_server(unless(has("x-four"), "403 Forbidden"), "/", extras)
    first = found.judgement.findings[0]
    assert first.title == "X-Four decides: without, the same handshake is accepted"
    assert "X-Four: 1" in first.evidence
    assert found.answers[-1].question.kind == "without:x-four"


def test_a_subprotocol_that_the_answer_does_not_name_is_asked_of_the_user() -> None:
    refuses = replies(
        lambda head: (
            subprotocol(head)
            if head.get("sec-websocket-protocol")
            else http("400 Bad Request", b"missing subprotocol")
        )
    )
    found = examine_server(refuses)
    assert ids(found)[:1] == ["WS-HS-043"]
    assert found.judgement.headline.startswith("The server demands a subprotocol, and none was offered")
    assert any("--subprotocol NAME" in one for one in found.judgement.next_steps)
    given = examine_server(refuses, "/", Extras(subprotocols=("chat.v1",)))
    assert given.judgement.verdict == "healthy"
    assert given.judgement.next_steps == ()


def test_where_a_redirect_leads_and_polling_are_said() -> None:
    slash = unless(lambda head: head.target == b"/chat", "308 Permanent Redirect", Location="/chat/")
    first = examine_server(slash, "/chat").judgement.findings[0]
    assert any(line.startswith("where the redirect leads: ") and "101" in line for line in first.evidence)
    play = replies(
        lambda head: http("200 OK", b"0{}") if b"=polling" in head.target else http("400 Bad Request")
    )
    first = examine_server(play, "/socket.io/?EIO=4&transport=websocket").judgement.findings[0]
    assert "Engine.IO by polling: HTTP/1.1 200 OK" in first.evidence


def test_a_server_that_takes_any_origin_is_a_warning_where_a_cookie_is_sent() -> None:
    found = examine_server(replies(echo), "/", Extras(cookies=("session=abc",)))
    assert [(one.id, one.severity) for one in found.judgement.findings] == [("WS-HS-055", "warning")]
    assert found.judgement.verdict == "degraded"


def test_an_upgrade_that_nobody_takes_has_its_causes() -> None:
    """As Node's http server with Socket.IO at another path: the upgrade is hung up on, a GET gets 404."""

    async def play(head, reader, writer) -> None:
        if not is_upgrade(head):
            writer.write(http("404 Not Found"))

    found = examine_server(play)
    assert ids(found)[0] == "WS-HS-035"
    first = found.judgement.findings[0]
    assert "takes an upgrade at this path" in first.causes[0].cause
    assert any("404" in line for line in first.evidence)


def test_a_slow_server_is_asked_six_questions_at_most() -> None:
    found = examine_server(hold, timeout_ns=300_000_000)  # longer than a busy machine takes to connect
    assert found.stopped is not None or len(found.answers) <= 6
    assert ids(found) == ["WS-HS-036"]


def test_a_bomb_is_not_inflated() -> None:
    bomb = gzip.compress(b"\0" * 50_000_000)
    found = examine_server(always(http("404 Not Found", bomb, Content_Encoding="gzip")), "/")
    assert ids(found) == ["WS-HS-011"]
    assert all(len(one.facts.content) <= 64 * 1024 for one in found.answers)


def test_what_is_behind_a_frame_without_an_end_is_not_missed() -> None:
    """The pong and the CLOSE may be there; nobody can read them."""
    assert ids(examine_server(endless_frame, "/")) == ["WS-FR-009", "WS-HS-055"]


@pytest.mark.slow  # two seconds of listening to a flood, at full speed
def test_a_server_that_never_stops_talking_is_left() -> None:
    async def flood(head: RawHead, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(switching(head))
        while not writer.is_closing():
            writer.write(b"\x89\x01x" * 5000 + b"\x81\x05hello" * 5000)
            await writer.drain()
            await asyncio.sleep(0)

    found = examine_server(flood, "/")
    main = found.answers[0].facts
    assert main.status == 101
    assert len(main.last_frames) <= 64
    assert len(main.pings) <= 256
