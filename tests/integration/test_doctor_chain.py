"""`--direct`: the hop that fails is named, and the fault that its answer fits; without real hops."""

from __future__ import annotations

import asyncio
from contextlib import AsyncExitStack

import pytest

from tests.support.doctor_lab import (
    TIMEOUT_NS,
    Play,
    examined,
    http,
    ids,
    is_upgrade,
    pongs,
    replies,
    serving,
    switching,
)
from tests.support.small_servers import free_port
from wsinspect.doctor.examination import Examination
from wsinspect.doctor.target import Extras
from wsinspect.handshake.heads import RawHead

NONE = Extras()
DOWN = None


def application(head: RawHead) -> bytes:
    """Says what it misses, as servers do."""
    if head.http_version == b"HTTP/1.0":
        return http("505 HTTP Version Not Supported", b"unsupported HTTP version")
    if "upgrade" not in head.tokens("connection"):
        return http(
            "426 Upgrade Required", b"invalid Connection header: " + (head.get("connection") or b"none")
        )
    if "websocket" not in head.tokens("upgrade"):
        return http("426 Upgrade Required", b"missing Upgrade header")
    if head.get("sec-websocket-version") is None:
        return http("400 Bad Request", b"missing Sec-WebSocket-Version header")
    if head.target.partition(b"?")[0] != b"/chat":
        return http("404 Not Found", b"no such route")
    if b"wsinspect.invalid" in (head.get("origin") or b""):
        return http("403 Forbidden", b"origin not allowed")
    if head.get("x-wants") and head.get("cookie") is None:
        return http("401 Unauthorized")
    return switching(head)


def examine_chain(*plays: Play | None, extras: Extras = NONE, path: str = "/chat") -> Examination:
    """What the doctor says of servers behind each other; one that is None is down."""

    async def run() -> Examination:
        async with AsyncExitStack() as stack:
            ports = [
                free_port() if play is DOWN else await stack.enter_async_context(serving(play))
                for play in plays
            ]
            behind = [f"http://127.0.0.1:{port}" for port in ports[1:]]
            url = f"ws://127.0.0.1:{ports[0]}{path}"
            return await examined(url, extras, behind=behind, timeout_ns=TIMEOUT_NS)

    return asyncio.run(run())


def hop(change):
    """A hop whose request to the application is changed, as far as its answer shows."""

    def reply(head: RawHead) -> bytes:
        lines = change([(field.name, field.value) for field in head.fields])
        start = b"GET /chat HTTP/1.1"
        if isinstance(lines, tuple):
            start, lines = lines
        raw = b"\r\n".join([start, *(name + b": " + value for name, value in lines), b"", b""])
        return application(RawHead.parse(raw))

    return replies(reply)


def dropping(*names: bytes):
    return hop(lambda fields: [one for one in fields if one[0].lower() not in names])


GOOD = replies(application)
WANTS = Extras(headers=(("X-Wants", "1"),), cookies=("a=b",))

CASES = [
    # name, the URL's server, what is sent, first finding, its kind of question
    ("upgrade removed", dropping(b"upgrade", b"connection"), NONE, "WS-HS-101", "hop:upgrade"),
    ("Upgrade alone removed", dropping(b"upgrade"), NONE, "WS-HS-101", "hop:kept"),
    (
        "as nginx does by default",
        hop(
            lambda fields: (
                b"GET /chat HTTP/1.0",
                [one for one in fields if one[0].lower() not in (b"upgrade", b"connection")],
            )
        ),
        NONE,
        "WS-HS-101",
        "hop:nginx",
    ),
    ("version removed", dropping(b"sec-websocket-version"), NONE, "WS-HS-104", "hop:sec-websocket-version"),
    ("cookie removed", dropping(b"cookie"), WANTS, "WS-HS-105", "hop:cookie"),
    (
        "another path",
        hop(lambda fields: (b"GET /other HTTP/1.1", fields)),
        NONE,
        "WS-HS-106",
        "hop:path",
    ),
]


@pytest.mark.parametrize(
    ("edge", "extras", "first", "kind"), [pytest.param(*one[1:], id=one[0]) for one in CASES]
)
def test_a_hop_is_named_with_the_fault_that_fits(edge, extras, first, kind) -> None:
    found = examine_chain(edge, GOOD, extras=extras)
    assert ids(found)[:1] == [first]
    one = found.judgement.findings[0]
    assert one.fault_of == "hop"
    assert one.hop is not None
    assert "the hop between 127.0.0.1:" in one.hop
    assert kind in [answer.question.kind for answer in found.answers]
    assert found.judgement.verdict == "failing"
    assert len(found.answers) <= 22
    assert "nowhere" not in " ".join(one.evidence)
    assert not any("directly" in cause.tell_apart for cause in one.causes)


def test_a_server_that_fails_by_itself_blames_no_hop() -> None:
    broken = replies(lambda head: http("500 Internal Server Error", b"it broke"))
    found = examine_chain(broken, broken)
    assert [(one.id, one.fault_of) for one in found.judgement.findings] == [("WS-HS-019", "server")]
    assert any("the same answer through ws://" in line for line in found.judgement.findings[0].evidence)


def test_a_page_in_place_of_the_servers_refusal_is_the_hops_and_hides_it() -> None:
    page = replies(lambda head: http("200 OK", b"<p>Sorry", Content_Type="text/html"))
    gone = replies(lambda head: http("404 Not Found", b"no such route"))
    found = examine_chain(page, gone)
    refused, hidden = [one for one in found.judgement.findings if one.severity != "note"]
    assert (refused.id, refused.fault_of) == ("WS-HS-011", "server")
    assert (hidden.id, hidden.fault_of, hidden.severity) == ("WS-HS-113", "hop", "warning")
    assert hidden.title == "The hop answers 200 where the server behind it answers 404"
    assert any(cause.cause.startswith("an error page") for cause in hidden.causes)
    # A page with the server's own status hides its words alone: nobody is told that 404 stands for 404.
    not_found = replies(lambda head: http("404 Not Found", b"<p>Sorry", Content_Type="text/html"))
    (same,) = [one for one in examine_chain(not_found, gone).judgement.findings if one.id == "WS-HS-113"]
    assert (same.severity, same.title) == (
        "note",
        "The hop puts a page of its own in the place of the server's 404",
    )
    # The same answer through the hop hides nothing, and a gateway's own has other reasons.
    for edge in (gone, replies(lambda head: http("502 Bad Gateway"))):
        assert "WS-HS-113" not in ids(examine_chain(edge, gone))


def test_a_gateway_whose_server_is_down_says_that_it_is_down() -> None:
    found = examine_chain(replies(lambda head: http("502 Bad Gateway")), DOWN)
    assert ids(found) == ["WS-HS-032"]
    assert found.judgement.verdict == "failing"


def test_another_answer_than_a_gateways_is_not_explained_by_a_server_that_is_down() -> None:
    found = examine_chain(replies(lambda head: http("401 Unauthorized")), DOWN)
    assert ids(found) == ["WS-HS-009", "WS-HS-032"]


def test_a_url_that_is_down_and_a_server_that_works() -> None:
    found = examine_chain(DOWN, GOOD)
    assert ids(found) == ["WS-HS-032"]
    assert (found.judgement.verdict, found.exit_code) == ("unreachable", 1)


def test_the_guilty_hop_of_a_chain_is_the_one_before_the_first_that_works() -> None:
    stripped = dropping(b"upgrade", b"connection")
    found = examine_chain(stripped, stripped, GOOD)
    one = found.judgement.findings[0]
    ports = [target.authority for target in found.targets]
    assert (one.id, one.hop) == ("WS-HS-101", f"the hop between {ports[1]} and {ports[2]}")
    found = examine_chain(stripped, GOOD, GOOD)
    ports = [target.authority for target in found.targets]
    assert found.judgement.findings[0].hop == f"the hop between {ports[0]} and {ports[1]}"


def test_what_works_is_healthy_whatever_is_behind_it() -> None:
    for behind in (GOOD, DOWN):
        found = examine_chain(GOOD, behind)
        assert (found.judgement.verdict, ids(found)) == ("healthy", [])
        assert any(line.startswith("asked directly at ") for line in found.judgement.ruled_out)


def test_a_101_that_the_hop_changes_is_compared_with_the_servers() -> None:
    spoiled = replies(
        lambda head: switching(head, Upgrade="") if is_upgrade(head) else http("400 Bad Request")
    )
    found = examine_chain(spoiled, GOOD)
    assert ids(found) == ["WS-HS-110"]
    assert any("removed  Upgrade: websocket" in line for line in found.judgement.findings[0].evidence)


def test_a_path_of_its_own_is_asked_for() -> None:
    paths: list[bytes] = []

    def note(head: RawHead) -> bytes:
        paths.append(head.target)
        return switching(head)

    async def run() -> None:
        async with serving(GOOD) as edge, serving(replies(note)) as direct:
            url = f"ws://127.0.0.1:{edge}/chat"
            await examined(url, behind=[f"ws://127.0.0.1:{direct}/inside"])

    asyncio.run(run())
    assert paths == [b"/inside"]


# -- what is wrong with an open WebSocket


def opened(data: bytes = b"", *, at_ping: bytes | None = None) -> Play:
    """A 101 and these bytes, or these at a PING; then what a server does."""

    async def play(head: RawHead, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        if not is_upgrade(head):
            writer.write(http("426 Upgrade Required"))
            return
        writer.write(switching(head) + data)
        if at_ping is None:
            await pongs(reader, writer)
            return
        first, second = await reader.readexactly(2)
        await reader.readexactly(4 + (second & 127))
        writer.write(at_ping if first & 15 == 9 else b"\x88\x02\x03\xe8")

    return play


BROKEN = b"\x83\x01x"
UNKNOWN_PING = b"\x88\x02\x03\xea"
TWICE = b"Sec-WebSocket-Accept: "


def accept_twice(head: RawHead) -> bytes:
    answer = switching(head)
    again = next(line for line in answer.split(b"\r\n") if line.startswith(TWICE))
    return answer[:-2] + again + b"\r\n\r\n"


@pytest.mark.parametrize(
    ("edge", "server", "first", "fault_of"),
    [
        (opened(BROKEN), opened(), "WS-FR-004", "hop"),
        (opened(BROKEN), opened(BROKEN), "WS-FR-004", "server"),
        (opened(at_ping=UNKNOWN_PING), opened(), "WS-KA-010", "hop"),
        (opened(at_ping=UNKNOWN_PING), opened(at_ping=UNKNOWN_PING), "WS-KA-010", "server"),
        (opened(UNKNOWN_PING), opened(), "WS-CL-002", "hop"),
        (replies(accept_twice), GOOD, "WS-HS-024", "hop"),
        (replies(accept_twice), replies(accept_twice), "WS-HS-024", "server"),
        (opened(BROKEN), DOWN, "WS-FR-004", "server"),
    ],
)
def test_an_open_websocket_that_only_the_hop_breaks(edge, server, first, fault_of) -> None:
    found = examine_chain(edge, server)
    one = found.judgement.findings[0]
    assert (one.id, one.fault_of) == (first, fault_of), found.judgement.findings
    assert (one.hop or "").startswith("the hop between ") is (fault_of == "hop")
    assert ("hop" in found.judgement.headline) is (fault_of == "hop")


def test_a_path_that_the_hop_should_have_changed() -> None:
    """The user says by --direct that the server has it elsewhere; without an upgrade it answers 404, too."""

    def at(path: bytes) -> Play:
        return replies(
            lambda head: (
                switching(head)
                if is_upgrade(head) and head.target == path
                else http("404 Not Found", b"none")
            )
        )

    async def run(path: str) -> Examination:
        async with serving(at(b"/nowhere")) as edge, serving(at(b"/ws")) as app:
            url, direct = f"ws://127.0.0.1:{edge}{path}", f"http://127.0.0.1:{app}/ws"
            return await examined(url, behind=[direct], timeout_ns=TIMEOUT_NS)

    first, *_ = asyncio.run(run("/api/ws")).judgement.findings
    assert (first.id, first.fault_of) == ("WS-HS-011", "hop")
    assert first.title == "The hop passes the path on as it came; the server has its WebSocket at /ws"
    assert any("Upgrade" in cause.cause for cause in first.causes[1:])
    first, *_ = asyncio.run(run("/ws")).judgement.findings
    assert first.id == "WS-HS-101"
