"""Causes of the hops' matrix (tests/integration/test_matrix_hops.py), and what is wrong with a cell.

A new cause is one line of `CAUSES`.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace

from tests.support.beside import beside
from tests.support.matrix_hops import KINDS
from tests.support.matrix_lab import Cause, Seen

SAME = "http://127.0.0.1:PORT"
TOKEN = {"Authorization": "Bearer abc"}
COOKIE = {"Cookie": "sid=abc"}
NO_LOGIN = {"Cookie": "_ga=GA1.1; csrftoken=abc"}

GATEWAY = ("WS-HS-020", "WS-HS-021", "WS-HS-019")
#: A hop that does not take the server's 101 answers otherwise: Apache with 502, Caddy with an empty 200.
BAD_101 = ("WS-HS-024", "WS-HS-025", "WS-HS-004", *GATEWAY)
CUT = ("WS-DROP-005", "WS-DROP-001", "WS-DROP-006", "WS-DROP-002", "WS-DROP-003")

CAUSES = (
    # name, path, the sandwich's first (id, fault_of), what one tap may say first
    Cause("healthy", "/app/echo", None, ()),
    Cause("healthy close by the server", "/app/close-1000", None, ()),
    Cause("healthy with a subprotocol", "/app/echo?sub", None, (), subprotocols=["v1"]),
    Cause("healthy same origin", "/app/same-origin", None, (), origin=SAME),
    Cause("healthy with a check after the 101", "/app/checks-late", None, (), origin=SAME),
    Cause("healthy with the Host changed", "/hop/host/echo", None, ()),
    Cause("healthy with the Origin changed", "/hop/origin/echo", None, (), origin=SAME),
    Cause("healthy with the query taken away", "/hop/query/echo?token=x", None, ()),
    Cause("healthy with the Cookie taken away", "/hop/cookie/echo", None, (), headers=COOKIE),
    Cause("healthy with the Authorization taken away", "/hop/authorization/echo", None, (), headers=TOKEN),
    Cause("rewritten path", "/hop/rewritten/echo", ("WS-HS-106", "hop"), ("WS-HS-011",)),
    Cause("login", "/app/302", ("WS-HS-007", "client"), ("WS-HS-007",)),
    Cause("401", "/app/401", ("WS-HS-009", "client"), ("WS-HS-009",)),
    Cause(
        "401 with cookies of no login",
        "/app/401?ga",
        ("WS-HS-009", "client"),
        ("WS-HS-009",),
        headers=NO_LOGIN,
    ),
    Cause("403", "/app/403", ("WS-HS-010", "server"), ("WS-HS-010",)),
    Cause("403 of a browser", "/app/403?browser", ("WS-HS-010", "server"), ("WS-HS-010",), origin=SAME),
    Cause("404", "/app/404", ("WS-HS-011", "server"), ("WS-HS-011",)),
    Cause("429", "/app/429", ("WS-HS-017", "client"), ("WS-HS-017",)),
    Cause("500", "/app/500", ("WS-HS-019", "server"), ("WS-HS-019",)),
    # What a hop passed on is not its own, though its name is in `Server`.
    Cause("503", "/app/503", ("WS-HS-021", "server"), ("WS-HS-021",)),
    Cause("403 without a word", "/app/mute-403", ("WS-HS-010", "server"), ("WS-HS-010",)),
    Cause("wrong path", "/nowhere", ("WS-HS-011", "server"), ("WS-HS-011",)),
    Cause(
        "wrong Origin",
        "/app/allowed-origin",
        ("WS-HS-010", "server"),
        ("WS-HS-010",),
        origin="https://evil.example",
    ),
    Cause(
        "wrong subprotocol", "/app/echo?wrong", ("WS-HS-026", "server"), ("WS-HS-026",), subprotocols=["v9"]
    ),
    Cause(
        "CLOSE for the subprotocol",
        "/app/speaks-v1?v9",
        ("WS-CL-034", "client"),
        ("WS-CL-034",),
        does="wait",
        subprotocols=["v9"],
    ),
    Cause("healthy with the subprotocol it speaks", "/app/speaks-v1", None, (), subprotocols=["v1"]),
    Cause(
        "CLOSE for a subprotocol that the hop took",
        "/hop/subprotocol/speaks-v1",
        ("WS-HS-104", "hop"),
        ("WS-CL-034",),
        does="wait",
        subprotocols=["v1"],
    ),
    # The server's 101 fits the key that it got: at one tap the server may be as wrong as a hop.
    Cause("another key", "/hop/new-key/echo", ("WS-HS-104", "hop"), ("WS-HS-024",)),
    Cause("silent", "/hop/slow/silent", ("WS-HS-108", "server"), ("WS-HS-022", *GATEWAY)),
    Cause("late", "/hop/slow/late", ("WS-HS-108", "server"), ("WS-HS-022", *GATEWAY)),
    Cause("426", "/app/426", ("WS-HS-023", "server"), ("WS-HS-023",)),
    Cause("closing", "/app/closing", ("WS-HS-035", "server"), GATEWAY),
    Cause("dead behind the tap", "/hop/dead/echo", ("WS-HS-032", "server"), GATEWAY),
    Cause("gone", "/hop/gone/echo", (GATEWAY, "hop"), GATEWAY),
    Cause("untrusted", "/hop/tls/echo", (GATEWAY, "hop"), GATEWAY),
    Cause("302 of the hop", "/hop/302/echo", ("WS-HS-007", "client"), ("WS-HS-007",)),
    Cause("401 of the hop", "/hop/401/echo", ("WS-HS-009", "client"), ("WS-HS-009",)),
    Cause("403 of the hop", "/hop/403/echo", ("WS-HS-010", "hop"), ("WS-HS-010",)),
    Cause("404 of the hop", "/hop/404/echo", ("WS-HS-011", "hop"), ("WS-HS-011",)),
    Cause("426 of the hop", "/hop/426/echo", ("WS-HS-002", "hop"), ("WS-HS-002",)),
    Cause("429 of the hop", "/hop/429/echo", ("WS-HS-017", "client"), ("WS-HS-017",)),
    Cause("500 of the hop", "/hop/500/echo", ("WS-HS-019", "hop"), ("WS-HS-019",)),
    Cause("page of the hop", "/hop/page/echo", ("WS-HS-004", "hop"), ("WS-HS-004",)),
    Cause(
        "404 under a page of the hop",
        "/hop/covered/404",
        ("WS-HS-011", "server"),
        ("WS-HS-004", "WS-HS-011"),
        is_covered=True,
        beside=(("WS-HS-113", "hop"),),
    ),
    Cause("429 next to such a page", "/hop/covered/429", ("WS-HS-017", "client"), ("WS-HS-017",)),
    Cause("healthy next to such a page", "/hop/covered/echo", None),
    Cause("stripped", "/hop/stripped/echo", ("WS-HS-101", "hop"), ("WS-HS-002", "WS-HS-012", "WS-HS-014")),
    Cause(
        "Host for a same-origin check",
        "/hop/host/same-origin",
        ("WS-HS-105", "hop"),
        ("WS-HS-010",),
        origin=SAME,
    ),
    Cause(
        "Host for a same-origin check without a word",
        "/hop/host/same-origin-mute",
        ("WS-HS-105", "hop"),
        ("WS-HS-010",),
        origin=SAME,
    ),
    Cause(
        "Host for a same-origin check that answers 404",
        "/hop/host/same-origin-404",
        ("WS-HS-105", "hop"),
        ("WS-HS-011",),
        origin=SAME,
    ),
    Cause(
        "Host for a check after the 101",
        "/hop/host/checks-late",
        ("WS-CL-102", "hop"),
        ("WS-CL-008",),
        does="wait",
        origin=SAME,
    ),
    Cause("Host and 401", "/hop/host/401", ("WS-HS-009", "client"), ("WS-HS-009",)),
    Cause("Host and 403", "/hop/host/403", ("WS-HS-010", "server"), ("WS-HS-010",)),
    Cause("Host and 404", "/hop/host/404", ("WS-HS-011", "server"), ("WS-HS-011",)),
    Cause(
        "Host and another Origin",
        "/hop/host/same-origin?evil",
        ("WS-HS-010", "server"),
        ("WS-HS-010",),
        origin="https://evil.example",
    ),
    Cause("Origin", "/hop/origin/same-origin", ("WS-HS-105", "hop"), ("WS-HS-010",), origin=SAME),
    Cause("query", "/hop/query/needs-token?token=x", ("WS-HS-106", "hop"), ("WS-HS-009",)),
    Cause("Cookie", "/hop/cookie/needs-cookie", ("WS-HS-105", "hop"), ("WS-HS-009",), headers=COOKIE),
    Cause("Cookie and 500", "/hop/cookie/500", ("WS-HS-019", "server"), ("WS-HS-019",), headers=COOKIE),
    Cause(
        "Authorization",
        "/hop/authorization/needs-authorization",
        ("WS-HS-105", "hop"),
        ("WS-HS-009",),
        headers=TOKEN,
    ),
    Cause("version", "/hop/version/echo", ("WS-HS-104", "hop"), ("WS-HS-012", "WS-HS-002", "WS-HS-018")),
    Cause("subprotocol", "/hop/subprotocol/echo", ("WS-HS-104", "hop"), ("WS-HS-026",), subprotocols=["v1"]),
    Cause("an extension in the response", "/hop/extensions/echo", ("WS-HS-104", "hop"), ("WS-FR-003",)),
    Cause("a header that the server names", "/hop/forwarded/untrusted", ("WS-HS-112", "hop"), ("WS-HS-012",)),
    Cause("bare 101", "/hop/bare-101/echo", ("WS-HS-110", "hop"), ("WS-HS-025",)),
    Cause("accept", "/hop/accept/echo", ("WS-HS-104", "hop"), ("WS-HS-024",)),
    Cause(
        "a wrong Sec-WebSocket-Accept of the server",
        "/app/bad-accept",
        ("WS-HS-024", "server"),
        BAD_101,
    ),
    Cause(
        "a 101 without Upgrade of the server",
        "/app/no-upgrade",
        ("WS-HS-025", "server"),
        BAD_101,
    ),
    Cause(
        "HTTP/1.0",
        "/hop/http10/echo",
        ("WS-HS-102", "hop"),
        ("WS-HS-002", "WS-HS-012", "WS-HS-014"),
        is_mended=True,
    ),
    Cause("HTTP/1.0 and 401", "/hop/http10/401", ("WS-HS-009", "client"), ("WS-HS-009",)),
    Cause("idle", "/hop/idle/echo", ("WS-DROP-101", "hop"), CUT, does="wait"),
    Cause(
        "lifetime",
        "/hop/lifetime/ticks",
        ("WS-DROP-101", "hop"),
        (*CUT, "WS-DROP-008"),
        does="wait",
    ),
    Cause("cut by the server", "/app/cut", (CUT, "server"), CUT, does="wait"),
    Cause("reset by the server", "/app/reset", (CUT, "server"), CUT, does="wait"),
    Cause("life of the server", "/app/life", (CUT, "server"), CUT, does="wait"),
    Cause("forwarded twice", "/hop/forwarded-twice/echo", None),
    Cause(
        "an empty Sec-WebSocket-Protocol", "/hop/empty-protocol/echo", ("WS-HS-104", "hop"), ("WS-HS-043",)
    ),
    Cause("1000", "/app/close-1000", None, does="wait"),
    Cause("1002", "/app/close-1002", ("WS-CL-002", "client"), ("WS-CL-002",), does="wait"),
    Cause("1003", "/app/close-1003", ("WS-CL-003", "client"), ("WS-CL-003",), does="wait"),
    Cause("1007", "/app/close-1007", ("WS-CL-007", "client"), ("WS-CL-007",), does="wait"),
    Cause("1009", "/app/close-1009", ("WS-CL-009", "client"), ("WS-CL-009",), does="wait"),
    Cause("1012", "/app/close-1012", ("WS-CL-012", "server"), ("WS-CL-012",), does="wait"),
    Cause("1013", "/app/close-1013", ("WS-CL-013", "server"), ("WS-CL-013",), does="wait"),
    Cause("1014", "/app/close-1014", ("WS-CL-014", "server"), ("WS-CL-014",), does="wait"),
    Cause("3000", "/app/close-3000", ("WS-CL-030", "client"), ("WS-CL-030",), does="wait"),
    Cause("1001", "/app/close-1001", ("WS-CL-001", "server"), ("WS-CL-001",), does="wait"),
    Cause("1008", "/app/close-1008", ("WS-CL-008", "client"), ("WS-CL-008",), does="wait"),
    Cause("1011", "/app/close-1011", ("WS-CL-011", "server"), ("WS-CL-011",), does="wait"),
    Cause("4001", "/app/close-4001", ("WS-CL-030", "server"), ("WS-CL-030",), does="wait"),
    Cause("1011 of the client", "/app/echo?1011", ("WS-CL-011", "client"), ("WS-CL-011",), does="close-1011"),
    Cause("1010 of the client", "/app/echo?1010", ("WS-CL-010", "server"), ("WS-CL-010",), does="close-1010"),
    Cause("1001 of the client", "/app/echo?1001", None, does="close-1001"),
    Cause("4001 of the client", "/app/echo?4001", ("WS-CL-030", "client"), ("WS-CL-030",), does="close-4001"),
    Cause("cut by the client", "/app/echo?cut", ("WS-DROP-007", "client"), ("WS-DROP-007",), does="cut"),
    Cause(
        "reset by the client", "/app/echo?reset", ("WS-DROP-005", "client"), ("WS-DROP-005",), does="reset"
    ),
    Cause("kill", "/app/echo?kill", ("WS-DROP-101", "hop"), CUT, does="kill"),
)


_PAIRS = {"WS-HS-101", "WS-HS-102", "WS-HS-104", "WS-HS-105", "WS-HS-106", "WS-HS-107", "WS-HS-110"}
_PAIRS |= {"WS-DROP-101", "WS-CL-101", "WS-CL-102", "WS-MS-101", "WS-MS-102", "WS-FR-101"}


def causes_of(setup: Sequence[str], guilty: int) -> list[Cause]:
    """Those of one hop, or of a chain whose guilty hop is the first (0) or the second one (1)."""
    routes = KINDS[setup[guilty]].routes
    is_last = guilty == len(setup) - 1
    kept = [
        one for one in CAUSES if (one.route is None or one.route in routes) and (is_last or not one.is_mended)
    ]
    return kept if is_last else [_before(setup[1], one) for one in kept]


def _before(second: str, cause: Cause) -> Cause:
    """What a hop of its own behind the guilty one makes of a cause: it refuses before the server can."""
    if second == "caddy" and cause.route == "host":
        # Its site has the address that clients use, and no other one.
        return replace(cause, two=("WS-HS-105", "hop"), one=("WS-HS-004",))
    if second == "envoy" and cause.route == "http10":
        return replace(cause, two=("WS-HS-102", "hop"), one=("WS-HS-002",))
    return cause


#: Findings about several connections.
_OF_MANY = ("WS-DROP-004", "WS-DROP-008")


def without_chance(seen: Seen, two: tuple[str | Sequence[str], str] | None) -> Seen:
    """Without what is said of several cells that are played at once: what they have in common by chance, as
    the moment of their ends, is about none of them. A blame of somebody else than theirs stays."""
    ids, party = two or ((), "")
    kept = [
        one
        for one in seen.all
        if one.id not in _OF_MANY
        or one.id in ([ids] if isinstance(ids, str) else ids)
        or one.fault_of != party
    ]
    return Seen(seen.status, seen.one, kept, seen.last)


def judged(cause: Cause, seen: Seen | None, setup: Sequence[str], guilty: int) -> Iterator[str]:
    """What is wrong with a cell; nothing is right."""
    if seen is None:
        yield f"{cause.name}: not on record"
        return
    told = [f"{one.id} {one.severity} {one.fault_of} {one.hop or ''}" for one in seen.all]
    where = f"{cause.name}: {seen.status}, {told}"
    seen = without_chance(seen, cause.two)
    errors = [one for one in seen.all if one.severity != "note"]
    if cause.two is None:
        if errors or [one for one in seen.one if one.severity != "note"]:
            yield f"{where} - healthy"
        return
    ids, party = cause.two
    if not seen.all or seen.all[0].id not in ([ids] if isinstance(ids, str) else ids):
        yield f"{where} - not {ids} first"
    elif seen.all[0].fault_of != party:
        yield f"{where} - not the fault of: {party}"
    # A first hop that did nothing may have its own words for what the second one answered.
    others = (*GATEWAY, "WS-HS-004") if len(setup) == 2 else ()
    if seen.one and cause.one and seen.one[0].id not in (*cause.one, *others):
        yield f"{where} - one tap says {seen.one[0].id}"
    # What the server does, the tap before it sees as the only tap there would.
    if cause.route is None and party == "server" and seen.last is not None and cause.does in ("echo", "wait"):
        first = seen.last[0].id if seen.last else "nothing"
        if first not in (*cause.one, *([ids] if isinstance(ids, str) else ids)):
            yield f"{where} - the last tap alone says {first}"
    if cause.one and not seen.one:
        yield f"{where} - one tap says nothing"
    for line in beside([(one.id, one.fault_of) for one in errors], cause.beside):
        yield f"{where} - {line}"
    # Apache keeps the status, and the application behind it says no words that could be lost.
    if (cause.is_covered and seen.status == 200) != any(one.id == "WS-HS-113" for one in seen.all):
        yield f"{where} - whose page it is"
    taps = ["edge", *(["middle"] if len(setup) == 2 else []), "origin"]
    between = f"the hop between {taps[guilty]} and {taps[guilty + 1]}"
    for one in errors:
        if one.id in _PAIRS and between not in (one.hop or ""):
            yield f"{where} - not {between}"
