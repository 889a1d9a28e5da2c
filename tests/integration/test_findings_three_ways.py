"""Faults and their near neighbours in three ways: one tap, two taps around a real hop, two captures apart.

A row is what peers do and what has to be said of it first; a column is how they are seen. All rows of a
column are played at once. What is said is what `wsinspect diagnose` prints.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import pytest

from tests.support.beside import Said, beside
from tests.support.bytes_of_frames import CLOSE, TEXT, frame
from tests.support.matrix_alone import NEAR, NEAR_SERVERS
from tests.support.matrix_lab import disagreements
from tests.support.matrix_odd import (
    CLIENTS,
    PATIENT,
    Client,
    Odd,
    Serve,
    Socket,
    refusal,
    says,
    switching,
    visit,
)
from tests.support.matrix_odds import ODDS, TIMED, token
from tests.support.three_ways import WAYS, Seen, Way, echo, play

#: All columns are played for the first test.
pytestmark = [pytest.mark.lab, pytest.mark.slow, pytest.mark.timeout(300)]

Verdict = tuple[Sequence[str], str] | None


@dataclass(frozen=True)
class Row:
    """A row of the table.

    Attributes:
        point: of the promise that it is about.
        odds: what visits, one after the other; the last one is judged.
        around: what two taps say first (one of these ids), and whose fault it is; None for nothing.
        alone: what one tap says with nothing between, where that is not the same.
        hops: the hops that it is played around; all where it is empty.
        cause: what the first cause of it says.
        beside: other errors and warnings that it may have, by id and party.
    """

    point: int
    odds: Sequence[Odd]
    around: Verdict
    alone: Verdict
    hops: Sequence[str] = ()
    cause: str = ""
    beside: Sequence[Said] = ()

    @property
    def name(self) -> str:
        return f"{self.point} {self.odds[-1].name}"


def _known(point: int, *names: str) -> list[Row]:
    """Rows of the matrix, which has them at one tap and in chains."""
    cells = {one.name: one for one in (*ODDS, *NEAR)}
    return [Row(point, [one], one.two, one.alone or one.two) for one in (cells[name] for name in names)]


def _row(
    point: int,
    name: str,
    around: Verdict,
    *,
    alone: Verdict | str = "same",
    hops: Sequence[str] = (),
    before: Sequence[Odd] = (),
    cause: str = "",
    beside: Sequence[Said] = (),
    **does: Any,
) -> Row:
    odd = Odd(name, around, **does)
    one = around if isinstance(alone, str) else alone
    return Row(point, [*before, odd], around, one, hops, cause, beside)


# -- peers


def _body_after_101(*fields: str) -> Serve:
    """A 101 that has a body, as an HTTP response would, and then an echo."""

    async def serve(socket: Socket, head: bytes) -> None:
        chunked = any("chunked" in one for one in fields)
        await socket.say(switching(head, *fields) + (b"5\r\nhello\r\n0\r\n\r\n" if chunked else b"hello"))
        await socket.gone()

    return serve


async def _origin_check(socket: Socket, head: bytes) -> None:
    if b"https://app.example" in head:
        await SERVERS_HERE["echo"](socket, head)
    else:
        await socket.say(refusal(403, "no"))


async def _same_origin(socket: Socket, head: bytes) -> None:
    fields = {one.partition(b": ")[0].lower(): one.partition(b": ")[2] for one in head.split(b"\r\n")}
    if fields.get(b"origin", b"").removeprefix(b"http://") == fields[b"host"]:
        await SERVERS_HERE["echo"](socket, head)
    else:
        await socket.say(refusal(403, "origin not allowed"))


def _needs(part: bytes, status: int) -> Serve:
    """Refuses what has not these bytes in the request."""

    async def serve(socket: Socket, head: bytes) -> None:
        if part in head:
            await SERVERS_HERE["echo"](socket, head)
        else:
            await socket.say(refusal(status))

    return serve


async def _minds_case(socket: Socket, head: bytes) -> None:
    """Knows one spelling of a header's name."""
    if b"\r\nSec-WebSocket-Key: " in head:
        await SERVERS_HERE["echo"](socket, head)
    else:
        await socket.say(refusal(400, "missing Sec-WebSocket-Key header"))


async def _soon_away(socket: Socket, head: bytes) -> None:
    """An echo that hears nothing of a CLOSE and leaves after a while."""
    await socket.say(switching(head))
    body = await socket.until_close(2.5)
    if body is not None:
        await socket.send(CLOSE, body)


#: Ports of servers that have a connection.
_TAKEN: set[int] = set()


async def _one_at_a_time(socket: Socket, head: bytes) -> None:
    """Refuses who comes while another one is there."""
    if socket.ports[0] in _TAKEN:
        await socket.say(refusal(503))
        return
    _TAKEN.add(socket.ports[0])
    try:
        await echo(socket, head)
    finally:
        _TAKEN.discard(socket.ports[0])


def _says_with_status(line: bytes) -> Serve:
    """A refusal that is a status line alone, as Autobahn's."""

    async def serve(socket: Socket, head: bytes) -> None:
        await socket.say(b"HTTP/1.1 " + line + b"\r\n\r\n")

    return serve


async def _mute_at_once(socket: Socket, head: bytes) -> None:
    """A CLOSE without a code, before anything else."""
    await socket.say(switching(head))
    await socket.send(CLOSE)
    await socket.until_close()


async def _greets_and_closes(socket: Socket, head: bytes) -> None:
    """The same, behind a message."""
    await socket.say(switching(head))
    await socket.send(TEXT, b"welcome and goodbye")
    await socket.send(CLOSE)
    await socket.until_close()


def _signalr(*after: float) -> Serve:
    """A hub that accepts the protocol, sends a ping after each of these times, and then nothing more."""

    async def serve(socket: Socket, head: bytes) -> None:
        await socket.say(switching(head))
        await socket.next(PATIENT)
        await socket.send(TEXT, b"{}\x1e")
        for wait in after:
            await asyncio.sleep(wait)
            await socket.send(TEXT, b'{"type":6}\x1e')
        body = await socket.until_close(PATIENT)
        if body is not None:
            await socket.send(CLOSE, body)

    return serve


async def _leaves_soon(socket: Socket, head: bytes) -> None:
    """Leaves before a second has passed, with a CLOSE of its own only where one comes."""
    await socket.say(switching(head))
    body = await socket.until_close(0.7)
    if body is not None:
        await socket.send(CLOSE, body)
    socket.cut()


def _closes_with(code: int, reason: bytes = b"", *fields: str) -> Serve:
    """After the first message a CLOSE with this code."""

    async def serve(socket: Socket, head: bytes) -> None:
        await socket.say(switching(head, *fields))
        await socket.next(PATIENT)
        await socket.send(CLOSE, code.to_bytes(2) + reason)
        await socket.until_close()

    return serve


SERVERS_HERE: dict[str, Serve] = {
    **NEAR_SERVERS,
    "echo": echo,
    "body-101": _body_after_101("Content-Length: 5"),
    "chunks-101": _body_after_101("Transfer-Encoding: chunked"),
    "http-later": says(frame(TEXT, b"fine"), b"HTTP/1.1 502 Bad Gateway\r\nContent-Length: 0\r\n\r\n"),
    "h-in-text": says(frame(TEXT, b"H"), frame(TEXT, b"HTTP/1.1 101")),
    "origin-check": _origin_check,
    "same-origin": _same_origin,
    "needs-cookie": _needs(b"sid=abc", 401),
    "needs-token": _needs(b"token=x", 401),
    "minds-case": _minds_case,
    "one-at-a-time": _one_at_a_time,
    "soon-away": _soon_away,
    "leaves-soon": _leaves_soon,
    "full": _says_with_status(b"503 maximum number of connections reached"),
    "foreign": _says_with_status(
        b"403 WebSocket connection denied: origin 'https://evil.example' not allowed"
    ),
    "mute-at-once": _mute_at_once,
    "greets-and-closes": _greets_and_closes,
    "signalr": _signalr(1.0, 1.0, 1.0),
    "no-subprotocol": _closes_with(1002, b"no recognized subprotocol"),
    "closes-1011": _closes_with(1011, b"it broke"),
    "closes-1000": _closes_with(1000, b"done"),
    "closes-3000": _closes_with(3000, b"Unauthorized"),
    "closes-4321": _closes_with(4321, b"see the log"),
    "closes-4322": _closes_with(4322, b"quota"),
    "closes-4400": _closes_with(4400, b"bad query", "Sec-WebSocket-Protocol: graphql-transport-ws"),
}


async def _closes_4002(socket: Socket) -> None:
    await socket.send(TEXT, b"hello")
    await socket.next(PATIENT)
    await socket.send(CLOSE, (4002).to_bytes(2) + b"left the room")
    await socket.until_close()


async def _brings_another(socket: Socket) -> None:
    """Is open while another one asks for the same."""
    await visit(socket.ports[1], CROWDED, asyncio.Semaphore(1))
    await CLIENTS["talk"](socket)


async def _beats_and_exits(socket: Socket) -> None:
    """A heartbeat, and an end without a CLOSE within a second of the last one, just when the next is due."""
    for _ in range(4):
        await socket.send(TEXT, b'{"type":"heartbeat"}')
        await socket.next(PATIENT)
        await asyncio.sleep(0.9)
    await asyncio.sleep(0.07)
    socket.cut()


async def _cuts_soon(socket: Socket) -> None:
    """Resets while the answer to its message is on its way: behind a FIN that answer still leaves."""
    await socket.send(TEXT, b"hello")
    await socket.next(0.4)
    socket.reset()


async def _closes_at_once(socket: Socket) -> None:
    await socket.send(CLOSE, (1000).to_bytes(2))
    await socket.until_close()


async def _talks_twice(socket: Socket) -> None:
    """A message that is answered, one more, and a CLOSE."""
    await socket.send(TEXT, b"one")
    await socket.next(PATIENT)
    await socket.send(TEXT, b"two")
    await socket.send(CLOSE, (1000).to_bytes(2))
    await socket.until_close()


def _hub(for_seconds: float) -> Client:
    """SignalR's handshake, its first answer, and a CLOSE so many seconds after the last thing it hears."""

    async def talk(socket: Socket) -> None:
        await socket.send(TEXT, b'{"protocol":"json","version":1}\x1e')
        for _ in range(4):
            await socket.next(PATIENT)
        await asyncio.sleep(for_seconds)
        await socket.send(CLOSE, (1000).to_bytes(2))
        await socket.until_close()

    return talk


async def _idles(socket: Socket) -> None:
    """Says something once and then waits for the end."""
    await socket.send(TEXT, b"hello")
    while await socket.next(PATIENT) is not None:
        pass


async def _beats(socket: Socket) -> None:
    """Says something every 0.4 s, longer than a limit of 1 s, then closes."""
    for _ in range(5):
        await socket.send(TEXT, b"beat")
        await socket.next(PATIENT)
        await asyncio.sleep(0.4)
    await socket.send(CLOSE, (1000).to_bytes(2))
    await socket.until_close()


CLIENTS_HERE = {
    **CLIENTS,
    "closes-4002": _closes_4002,
    "idles": _idles,
    "beats": _beats,
    "twice": _talks_twice,
    "another": _brings_another,
    "at-once": _closes_at_once,
    "beats-and-exits": _beats_and_exits,
    "cuts-soon": _cuts_soon,
    "gives-hub-up": _hub(2.2),
    "leaves-hub": _hub(0.5),
}
GOOD_ORIGIN = {"Origin": "https://app.example"}
BAD_ORIGIN = {"Origin": "https://evil.example"}
OWN_ORIGIN = {"Host": "app.example", "Origin": "http://app.example"}
COOKIE = {"Cookie": "sid=abc"}
STALE_COOKIE = {"Cookie": f"session={token(exp=1)}"}
CROWDED = Odd("a place that is taken", None, server="one-at-a-time", client="another")
NO_LOGIN = {"Cookie": "_ga=GA1.1; csrftoken=abc"}
GRAPHQL = {"Sec-WebSocket-Protocol": "graphql-transport-ws"}


def _accepted(name: str, fields: Mapping[str, str]) -> Odd:
    return Odd(name, None, server="origin-check", fields=fields)


# -- the table

ROWS = [
    # 1: the letter case of header names
    _row(1, "refused behind a hop", (("WS-HS-010",), "server"), server="403"),
    _row(
        1,
        "a server that minds the case",
        (("WS-HS-104",), "server"),
        hops=["haproxy"],
        alone=None,
        server="minds-case",
    ),
    _row(1, "such a server, case kept", None, hops=["nginx"], server="minds-case"),
    # 2: what a hop changed, and what that can explain
    _row(
        2,
        "Host for a same-origin check",
        (("WS-HS-105",), "hop"),
        hops=["nginx"],
        route="host",
        server="same-origin",
        fields=OWN_ORIGIN,
    ),
    _row(2, "Host and 401", (("WS-HS-009",), "client"), hops=["nginx"], route="host", server="401"),
    _row(2, "Host and 404", (("WS-HS-011",), "server"), hops=["nginx"], route="host", server="404-json"),
    _row(
        2,
        "Host and a foreign Origin",
        (("WS-HS-010",), "server"),
        hops=["nginx"],
        route="host",
        server="same-origin",
        fields=BAD_ORIGIN,
    ),
    _row(2, "Host, healthy", None, hops=["nginx"], route="host"),
    _row(
        2,
        "Cookie taken",
        (("WS-HS-105",), "hop"),
        hops=["nginx"],
        route="cookie",
        server="needs-cookie",
        fields=COOKIE,
    ),
    _row(
        2,
        "Cookie taken and 404",
        (("WS-HS-011",), "server"),
        hops=["nginx"],
        route="cookie",
        server="404-json",
        fields=COOKIE,
    ),
    _row(
        2,
        "query taken",
        (("WS-HS-106",), "hop"),
        hops=["nginx"],
        route="query",
        server="needs-token",
        tail="?token=x",
    ),
    _row(2, "query taken, healthy", None, hops=["nginx"], route="query", tail="?token=x"),
    # 3: what one tap says, two taps say
    *_known(3, "410", "501", "a page", "dead at once"),
    # 4: what went into a hop and did not come out
    _row(
        4,
        "a message that is swallowed",
        (("WS-CL-101",), "hop"),
        beside=[("WS-MS-102", "hop")],
        hops=["relay"],
        server="soon-away",
        client="twice",
    ),
    _row(
        4,
        "a CLOSE that is swallowed until the server leaves",
        (("WS-CL-101",), "hop"),
        hops=["relay"],
        server="soon-away",
        client="at-once",
    ),
    _row(4, "a CLOSE that comes through, and such a server", None, server="leaves-soon", client="at-once"),
    _row(4, "a CLOSE alone", None, server="soon-away", client="at-once"),
    _row(4, "two messages", None, server="soon-away", client="twice"),
    # 5: silences
    _row(
        5,
        "silences",
        (("WS-DROP-101",), "hop"),
        alone=(("WS-DROP-002", "WS-DROP-006"), "hop"),
        hops=["nginx"],
        route="idle",
        client="idles",
        before=[Odd("silences", None, route="idle", client="idles", tail="?first")],
    ),
    _row(5, "beats", None, hops=["nginx"], route="idle", client="beats"),
    # 6: what never came
    *_known(6, "no pong", "wrong pong", "CLOSE unanswered", "unended message", "101 in HTTP/1.0"),
    *_known(6, "healthy with pings", "late CLOSE", "healthy with a fragmented message"),
    # 7: the words of an answer, and what is none
    *_known(7, "another version", "refuses subprotocols", "misses the key", "disabled", "busy"),
    *_known(7, "another protocol", "a database", "a TLS alert", "a head that never ends"),
    *_known(7, "late blank line", "banner in a message", "404 in chunks", "hints before a 404"),
    # 8: credentials, access lists, gateways
    *_known(8, "no credentials", "a token that the server rejects", "stale token", "503", "502"),
    _row(8, "cookies of no login", (("WS-HS-009",), "client"), server="401", fields=NO_LOGIN),
    _row(
        8,
        "a session's cookie",
        (("WS-HS-009",), "client"),
        server="401",
        fields=COOKIE,
        cause="rejects the credentials",
    ),
    _row(8, "a stale token in a cookie", (("WS-HS-040",), "client"), server="401", fields=STALE_COOKIE),
    _row(8, CROWDED.name, (("WS-HS-048",), "server"), server=CROWDED.server, client=CROWDED.client),
    _row(8, "an access list", (("WS-HS-010",), "hop"), hops=["nginx"], route="403", cause="access list"),
    _row(8, "403 of the server", (("WS-HS-010",), "server"), server="403"),
    _row(8, "a limit in the status line", (("WS-HS-021",), "server"), server="full", cause="limit"),
    _row(8, "an Origin in the status line", (("WS-HS-010",), "server"), server="foreign", fields=BAD_ORIGIN),
    # 9: a 101 with a body, HTTP in the tunnel, unfinished frames
    *_known(9, "chunked 101", "101 with a length", "HTTP in the tunnel", "half of a masked frame"),
    _row(9, "a body behind the 101", (("WS-HS-047",), "server"), server="body-101", client="patient"),
    _row(9, "chunks behind the 101", (("WS-HS-047",), "server"), server="chunks-101", client="patient"),
    _row(9, "HTTP after a message", (("WS-HS-029",), "server"), server="http-later", client="strict"),
    _row(9, "an H in a message", None, server="h-in-text"),
    *_known(9, "more fields", "HTTP in a message"),
    # 10: accepted and refused attempts
    _row(
        10,
        "another Origin",
        (("WS-HS-010",), "server"),
        server="origin-check",
        fields=BAD_ORIGIN,
        before=[_accepted("another Origin", GOOD_ORIGIN)],
        cause="the Origin: an attempt that differs there was accepted",
    ),
    _row(10, "an Origin alone", (("WS-HS-010",), "server"), server="origin-check", fields=BAD_ORIGIN),
    # 11: close codes
    _row(11, "server 1011", (("WS-CL-011",), "server"), server="closes-1011"),
    _row(11, "server 3000", (("WS-CL-030",), "client"), server="closes-3000"),
    _row(11, "server 4321", (("WS-CL-030",), "server"), server="closes-4321"),
    _row(11, "server 4322, a quota", (("WS-CL-030",), "client"), server="closes-4322"),
    _row(11, "server 4400", (("WS-APP-011",), "client"), server="closes-4400", fields=GRAPHQL),
    _row(
        11,
        "no subprotocol",
        (("WS-CL-034",), "client"),
        server="no-subprotocol",
        fields={"Sec-WebSocket-Protocol": "v9"},
    ),
    _row(11, "client 4002", (("WS-CL-030",), "client"), client="closes-4002"),
    _row(11, "server 1000", None, server="closes-1000"),
    _row(11, "a CLOSE without a word", (("WS-CL-035",), "server"), server="mute-at-once", client="patient"),
    _row(11, "a CLOSE behind a message", None, server="greets-and-closes", client="patient"),
    _row(11, "SignalR without pings", (("WS-APP-022",), "server"), server="signalr", client="gives-hub-up"),
    _row(11, "SignalR with pings", None, server="signalr", client="leaves-hub"),
    # 14: a client that gives up
    *_known(14, "gives up", "late answer"),
    # 15: the proxy's own way
    _row(15, "nothing listens", (("WS-HS-032",), "server"), hops=["nginx"], route="dead"),
    _row(15, "untrusted", (("WS-TLS-014",), "server"), hops=["nginx"], route="untrusted"),
    # 21: what never left
    _row(21, "held and lost", None, client="cuts-soon", tail="?byhold"),
    # 22: under a latency that has nothing to do with it
    _row(22, "armed 1011", (("WS-CL-011",), "server"), server="closes-1011", tail="?armed"),
    _row(22, "armed utf8", (("WS-MS-001",), "server"), server="utf8", client="strict", tail="?armed"),
    _row(22, "armed masked", (("WS-FR-002",), "server"), server="masked", client="strict", tail="?armed"),
    _row(22, "armed healthy", None, tail="?armed"),
    # 25: a client that exits when its next heartbeat is due
    _row(25, "beats and exits", None, client="beats-and-exits"),
    # 23: what was done on purpose
    _row(23, "refused by rule", (("WS-TOOL-010",), "tool"), tail="?byrule"),
    _row(23, "cut by rule", (("WS-TOOL-010",), "tool"), tail="?bycut"),
    _row(23, "503 of the server", (("WS-HS-021",), "server"), server="503"),
]
RULES = [
    "latency:s2c,latency=5ms,name=slow,match=path:armed",
    "refuse,status=503,name=outage,match=path:byrule",
    "abort,how=rst,name=cut,match=path:bycut",
    "latency:s2c,latency=3s,name=hold,match=path:byhold",
]
OPTIONS = [part for rule in RULES for part in ("--fault", rule)]


@pytest.fixture(scope="module")
def seen(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Seen]:
    """Every column, played once."""
    folder = tmp_path_factory.mktemp("ways")

    async def all_of_them() -> dict[str, Seen]:
        turn = asyncio.Semaphore(2)

        async def column(way: Way) -> Seen:
            rows = [one.odds for one in ROWS if fits(one, way)]
            async with turn:
                return await play(
                    way, folder / way.name.replace(" ", "-"), rows, SERVERS_HERE, CLIENTS_HERE, OPTIONS
                )

        return dict(zip([way.name for way in WAYS], await asyncio.gather(*map(column, WAYS)), strict=True))

    return asyncio.run(all_of_them())


def fits(row: Row, way: Way) -> bool:
    if way.is_odd:
        return way.name.split()[0] in row.hops
    if way.hop is None:
        return row.hops != ["relay"] and row.odds[0].route in ("", "dead", "untrusted")
    return not row.hops or way.name.split()[0] in row.hops


CELLS = [(row, way) for row in ROWS for way in WAYS if fits(row, way)]


def told(found: Sequence[dict[str, Any]]) -> list[str]:
    return [f"{one['id']} {one['severity']} {one['fault_of']}: {one['title']}" for one in found]


@pytest.mark.parametrize(("row", "way"), CELLS, ids=[f"{row.name}-{way.name}" for row, way in CELLS])
def test_the_first_finding_of_each_way(seen, row, way):
    column = seen[way.name]
    if column.lags and row.odds[-1].name in (*TIMED, "late CLOSE"):
        pytest.skip("an engine got no CPU: what depends on time is rightly not said")
    found = column.found.get(row.odds[-1].path, [])
    wanted = row.alone if way.hop is None else row.around
    worse = [one for one in found if one["severity"] != "note"]
    if wanted is None:
        assert told(worse) == []
        return
    ids, party = wanted
    assert found
    assert found[0]["id"] in ids, told(found)
    assert found[0]["fault_of"] == party, told(found)
    assert list(beside([(one["id"], one["fault_of"]) for one in worse], row.beside)) == [], told(found)
    if row.cause:
        assert row.cause in found[0]["causes"][0]["cause"], found[0]["causes"]


@pytest.mark.parametrize("way", WAYS, ids=lambda way: way.name)
def test_what_was_printed_is_what_is_stored_and_diagnosed(seen, way):
    if not way.apart:
        assert disagreements(seen[way.name].engines[0]) == []
    if way.is_odd:
        return
    assert seen[way.name].code == 1
    acted = {one["rule"] for one in seen[way.name].said["on_purpose"]["acted"]}
    # A frame is held at the tap that is nearer to the server: with two captures in the other one.
    assert acted - {"hold"} == {"slow", "outage", "cut"}
