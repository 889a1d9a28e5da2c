"""Oddities of the chains' matrix (tests/integration/test_matrix_chains.py), and what is wrong with a cell.

A new oddity is one line of `ODDS`, with what its peers do in `matrix_odd`. Its columns, from the left:

    name            of the cell.
    two             what all three taps of a chain say first (one of these ids), and whose fault it is; None
                    where nothing is wrong. `diagnose` says the same of the capture.
    server, client  what each peer does: names in `matrix_odd.SERVERS` and `matrix_odd.CLIENTS`.
    route           of the hop that does it; played once with the first hop as that one, once with the second.
    fields, method, tail    of the request, where it is not as a browser's.
    alone           what one tap says with no hop between client and server, where that is not `two`
                    (tests/integration/test_matrix_alone.py); the constant's comment gives the reason.
                    Cells with a route need their hop, so they are not played there.

In a chain the first tap sees what the hops made of an answer: only healthy cells are judged by it alone. The
tap before the server sees what a single tap sees, which is the column `alone`: of what servers do it is held
to that in each chain, too.
"""

from __future__ import annotations

import base64
import json
from collections.abc import Iterator, Mapping, Sequence

from tests.support.beside import beside
from tests.support.engine import Engine
from tests.support.matrix_causes import without_chance
from tests.support.matrix_hops import KINDS
from tests.support.matrix_lab import Seen
from tests.support.matrix_odd import Odd
from wsinspect.capture.reader import Capture


def token(**claims: int) -> str:
    """A JSON Web Token (RFC 7519) that nobody signed."""
    parts = ({"alg": "none"}, claims)
    return (
        ".".join(base64.urlsafe_b64encode(json.dumps(one).encode()).decode().rstrip("=") for one in parts)
        + ".x"
    )


EXTENSION = {"Sec-WebSocket-Extensions": "permessage-deflate"}
SUBPROTOCOL = {"Sec-WebSocket-Protocol": "v1"}

#: With nothing between, who asks such a port is the client, by its URL; behind a hop it is that hop's target.
_NO_HTTP = (("WS-HS-041",), "client")
_NO_TLS = (("WS-TLS-018",), "client")
#: The status is one that proxies give, or one about a request that left the tap whole: with one tap, a proxy
#: that is not seen is the likelier one. Taps on both sides of all hops show that it is the server's own.
_UNSEEN_502 = (("WS-HS-020",), "hop")
_UNSEEN_421 = (("WS-HS-016",), "hop")
_UNSEEN_505 = (("WS-HS-014",), "hop")
#: The server says that it misses what left the tap: a proxy that is not seen could have taken it.
_UNSEEN_KEY = (("WS-HS-044",), "hop")
_UNSEEN_UPGRADE = (("WS-HS-002",), "hop")
#: Such an end is what a proxy makes whose own way fails; all taps together show that the hops passed it on.
_UNSEEN_END = (("WS-DROP-001",), "hop")

ODDS = (
    # name, (ids of which one is first, whose fault)
    Odd("healthy", None),
    Odd("healthy with pings", None, client="pinging"),
    Odd("healthy with a token", None, tail="?token=abc"),
    Odd("healthy with a fragmented message", None, server="fragments"),
    # what the server answers
    Odd("another protocol", (("WS-HS-041",), "hop"), server="ssh", alone=_NO_HTTP),
    Odd("a banner in pieces", (("WS-HS-041",), "hop"), server="ssh-in-pieces", client="soon", alone=_NO_HTTP),
    Odd("a mail server", (("WS-HS-041",), "hop"), server="smtp", client="soon", alone=_NO_HTTP),
    Odd(
        "an FTP server that is late",
        (("WS-HS-041",), "hop"),
        server="late-ftp",
        client="soon",
        alone=_NO_HTTP,
    ),
    Odd("a database", (("WS-HS-041",), "hop"), server="mysql", client="soon", alone=_NO_HTTP),
    Odd("a cache", (("WS-HS-041",), "hop"), server="redis", client="soon", alone=_NO_HTTP),
    Odd(
        "words and blank lines", (("WS-HS-041",), "hop"), server="blank-lines", client="soon", alone=_NO_HTTP
    ),
    Odd("a TLS alert", (("WS-TLS-018",), "hop"), server="tls-alert", client="soon", alone=_NO_TLS),
    Odd("a head that never ends", (("WS-HS-042",), "server"), server="unfinished"),
    Odd("a head that never ends in time", (("WS-HS-042",), "server"), server="open-head", client="soon"),
    Odd("chunked 101", (("WS-HS-047",), "server"), server="chunked-101"),
    Odd("101 with a length", (("WS-HS-047",), "server"), server="length-101"),
    Odd("101 in HTTP/1.0", (("WS-HS-046",), "server"), server="http10-101"),
    Odd("foreign subprotocol", (("WS-HS-027",), "server"), server="foreign-subprotocol"),
    Odd("foreign extension", (("WS-HS-028",), "server"), server="foreign-extension"),
    Odd("another version", (("WS-HS-018",), "server"), server="version"),
    # HAProxy, Envoy and Caddy write the name in other letters, which may be what the server minds.
    Odd("misses the key", (("WS-HS-044", "WS-HS-104"), "server"), server="missing-key", alone=_UNSEEN_KEY),
    Odd("misses the upgrade", (("WS-HS-002",), "server"), server="no-upgrade-seen", alone=_UNSEEN_UPGRADE),
    Odd("disabled", (("WS-HS-045",), "server"), server="disabled"),
    Odd("refuses extensions", (("WS-HS-049",), "client"), server="extension-refused", fields=EXTENSION),
    Odd("refuses subprotocols", (("WS-HS-043",), "client"), server="subprotocol-refused", fields=SUBPROTOCOL),
    Odd("405", (("WS-HS-013",), "server"), server="405"),
    Odd("410", (("WS-HS-011",), "server"), server="410"),
    Odd("413", (("WS-HS-013",), "server"), server="413"),
    Odd("414", (("WS-HS-015",), "client"), server="414"),
    Odd("418", (("WS-HS-023",), "server"), server="418"),
    Odd("421", (("WS-HS-016",), "server"), server="421", alone=_UNSEEN_421),
    Odd("431", (("WS-HS-015",), "client"), server="431"),
    Odd("501", (("WS-HS-019",), "server"), server="501"),
    Odd("502", (("WS-HS-020",), "server"), server="502", alone=_UNSEEN_502),
    Odd("503", (("WS-HS-021",), "server"), server="503"),
    Odd("504", (("WS-HS-022",), "server"), server="504"),
    Odd("505", (("WS-HS-014",), "server"), server="505", alone=_UNSEEN_505),
    Odd("busy", (("WS-HS-021", "WS-HS-048"), "server"), server="busy"),
    Odd("a page", (("WS-HS-004",), "server"), server="page"),
    Odd("404 with words", (("WS-HS-011",), "server"), server="404-json"),
    # what the server sends then
    Odd("HTTP in the tunnel", (("WS-HS-029",), "server"), server="garbage", client="strict"),
    Odd("masked", (("WS-FR-002",), "server"), server="masked", client="strict"),
    Odd("reserved bit", (("WS-FR-003",), "server"), server="rsv", client="strict"),
    Odd("reserved opcode", (("WS-FR-004",), "server"), server="opcode", client="strict"),
    Odd("stray continuation", (("WS-FR-006",), "server"), server="continuation", client="strict"),
    Odd("long ping", (("WS-FR-005",), "server"), server="long-ping", client="strict"),
    Odd("not UTF-8", (("WS-MS-001",), "server"), server="utf8", client="strict"),
    Odd("code 1006", (("WS-CL-020",), "server"), server="code-1006", client="strict"),
    Odd("half a code", (("WS-CL-021",), "server"), server="code-short", client="strict"),
    Odd("unended message", (("WS-MS-003",), "server"), server="unended"),
    Odd("half of a masked frame", (("WS-FR-002",), "server"), server="half-masked", client="patient"),
    Odd("data after CLOSE", (("WS-FR-008",), "server"), server="after-close"),
    Odd(
        "dead at once",
        (("WS-DROP-001", "WS-DROP-004"), "server"),
        server="dead",
        client="patient",
        alone=_UNSEEN_END,
    ),
    Odd("CLOSE unanswered", (("WS-CL-031",), "server"), server="mute-close"),
    Odd("no pong", (("WS-KA-006",), "server"), server="no-pong", client="pinging"),
    Odd("wrong pong", (("WS-KA-007",), "server"), server="wrong-pong", client="pinging"),
    # what the client does
    Odd("unmasked", (("WS-FR-001",), "client"), client="unmasked"),
    Odd("gives up", (("WS-HS-036",), "client"), server="silent", client="gives-up"),
    Odd("version 8", (("WS-HS-018",), "client"), server="400", fields={"Sec-WebSocket-Version": "8"}),
    Odd("short key", (("WS-HS-030",), "client"), server="400", fields={"Sec-WebSocket-Key": "c2hvcnQ="}),
    Odd("POST", (("WS-HS-031",), "client"), server="405", method="POST", fields={"Content-Length": "0"}),
    Odd("stale token", (("WS-HS-040",), "client"), server="401", tail=f"?token={token(exp=1)}"),
    Odd("a token that the server rejects", (("WS-HS-009",), "client"), server="401", tail="?token=abc"),
    Odd("no credentials", (("WS-HS-009",), "client"), server="401"),
    # what a hop does
    Odd("405 of the hop", (("WS-HS-013",), "hop"), route="405"),
    Odd("421 of the hop", (("WS-HS-016",), "hop"), route="421"),
    Odd("413 of the hop", (("WS-HS-013",), "hop"), route="413"),
    Odd("503 of the hop", (("WS-HS-021",), "hop"), route="503"),
    Odd("hang-up of the hop", (("WS-HS-035",), "hop"), route="hang-up"),
    Odd("loses the key", (("WS-HS-104",), "hop"), route="key", server="missing-key"),
)

#: Those that are told by what did not come in time, or by which end came first.
TIMED = (
    *("no pong", "wrong pong", "gives up", "dead at once", "CLOSE unanswered"),
    *("an FTP server that is late", "a banner in pieces", "a head that never ends in time"),
)


def odds_of(hops: Sequence[str], guilty: int) -> list[Odd]:
    """Those of a chain whose guilty hop is the first (0) or the second one (1)."""
    routes = KINDS[hops[guilty]].routes
    return [one for one in ODDS if not one.route or one.route in routes]


def judged_odds(odds: Sequence[Odd], guilty: int, engine: Engine, seen: Mapping[str, Seen]) -> list[str]:
    """A line for each thing that is told wrongly."""
    # A proxy that got no CPU rightly says less, or nothing, of what depends on time.
    with Capture.open(engine.capture) as capture:
        has_lags = capture.query("SELECT id FROM event WHERE kind = 'lag' LIMIT 1")
    kept = [one for one in odds if not has_lags or one.name not in TIMED]
    return [line for one in kept for line in _judged(one, seen.get(one.name), guilty)]


def _judged_last(odd: Odd, seen: Seen) -> Iterator[str]:
    """What the tap directly before the server says by itself: what a single tap says of such a server.

    What a client does, hops make good, refuse, or keep to themselves before it comes there.
    """
    is_clients = odd.server in ("echo", *_CLIENTS_DOING) or odd.client == "gives-up"
    if odd.route or odd.two is None or is_clients or seen.last is None:
        return
    ids, party = odd.alone or odd.two
    told = [f"{one.id} {one.severity} {one.fault_of}" for one in seen.last]
    if not seen.last or seen.last[0].id not in ids or seen.last[0].fault_of != party:
        yield f"{odd.name}: the last tap alone says {told} - not {ids} of: {party}"


#: What servers do that is no failure of theirs, or that shows in what the client does next.
_CLIENTS_DOING = ("400", "401", "405")


def _judged(odd: Odd, seen: Seen | None, guilty: int) -> Iterator[str]:
    """What is wrong with a cell; nothing is right."""
    if seen is None:
        yield f"{odd.name}: not on record"
        return
    where = f"{odd.name}: {seen.status}, " + str(
        [f"{o.id} {o.severity} {o.fault_of} {o.hop or ''}" for o in seen.all]
    )
    seen = without_chance(seen, odd.two)
    worse = [one for one in seen.all if one.severity != "note"]
    if odd.two is None:
        if worse or [one for one in seen.one if one.severity != "note"]:
            yield f"{where} - healthy"
        return
    ids, party = odd.two
    if not seen.all or seen.all[0].id not in ids:
        yield f"{where} - not {ids} first"
    elif seen.all[0].fault_of != party:
        yield f"{where} - not the fault of: {party}"
    for line in beside([(one.id, one.fault_of) for one in worse]):
        yield f"{where} - {line}"
    yield from _judged_last(odd, seen)
    if party == "hop":
        taps = ("edge", "middle", "origin")
        number = guilty if odd.route else 1  # it is the last hop's target that is wrong
        between = f"the hop between {taps[number]} and {taps[number + 1]}"
        if seen.all and between not in (seen.all[0].hop or ""):
            yield f"{where} - not {between}"
