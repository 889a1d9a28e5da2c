"""Findings of several taps put together: each failure once, by whoever is nearest to its cause."""

from dataclasses import replace
from itertools import pairwise
from typing import Any

import pytest

from tests.unit.findings.facts_made import (
    HELLO,
    MS_NS,
    OPEN,
    SECOND,
    START,
    capture,
    cut,
    dropped,
    ended,
    failed,
    frame,
    left_at,
    ping,
    refused,
    request,
    silent,
    switching,
)
from tests.unit.findings.pairs_made import NO_UPGRADE, pair
from wsinspect.findings.facts import C2S, S2C, EndFact, Other
from wsinspect.findings.lag import Lag
from wsinspect.findings.registry import diagnose_capture, diagnose_connection, diagnose_pair, ranked
from wsinspect.findings.together import link_of, once, together
from wsinspect.wire.violations import RESERVED_BIT, RESERVED_OPCODE

HOST = request(Host="app:3000")
ORIGIN = b"origin not allowed"


def tap(number, name, facts, head=None):
    heads = {} if head is None else {"raw_request_in": head, "raw_request_out": head}
    return replace(facts, id=number, tap=name, **heads)


def found(*taps, answered=True):
    """What is said of one connection at these taps; without an answer the last hop did not ask any more."""
    pairs = [pair(one, other) for one, other in pairwise(taps)]
    pairs = [replace(one, edge=edge) for one, edge in zip(pairs, taps, strict=False)]
    if not answered:
        pairs.append(replace(pair(taps[-1], None), edge=taps[-1]))
    ours = [one for each in pairs for one in diagnose_pair(each)]
    own = [one for each in taps for one in diagnose_connection(each)]
    kept = ranked(together(ours, own, map(link_of, pairs)))
    return [(one.id, one.fault_of, one.connection) for one in kept if one.severity != "note"]


def chain(facts, *heads):
    names = ("edge", "middle", "origin")
    return [tap(n + 1, names[n], facts, head) for n, head in enumerate(heads)]


def test_a_chain_blames_the_second_hop_where_it_did_it():
    stripped = chain(refused("426 Upgrade Required"), request(), request(), NO_UPGRADE)
    assert found(*stripped) == [("WS-HS-101", "hop", 2)]


def test_a_chain_blames_the_first_hop_where_it_did_it():
    changed = chain(refused("403 Forbidden", body=ORIGIN), request(), HOST, HOST)
    assert found(*changed) == [("WS-HS-105", "hop", 1)]
    stripped = chain(refused("426 Upgrade Required"), request(), NO_UPGRADE, NO_UPGRADE)
    assert found(*stripped) == [("WS-HS-101", "hop", 1)]


def test_a_chain_that_changes_nothing_blames_no_hop():
    passed = chain(refused("500 Internal Server Error"), request(), request(), request())
    assert found(*passed) == [("WS-HS-019", "server", 3)]
    login = chain(refused("401 Unauthorized"), request(), request(), request())
    assert [(rule, party) for rule, party, _ in found(*login)] == [("WS-HS-009", "client")]


@pytest.mark.parametrize("without", [("Upgrade",), ("Connection",), ("Upgrade", "Connection")])
@pytest.mark.parametrize("status", ["502 Bad Gateway", "200 OK", "101"])
def test_a_chain_of_which_the_server_made_a_bad_101_blames_the_server_alone(status, without):
    """The hop next to the server passes it on; whatever the one before it answers is its consequence."""
    bad = cut(at=0.1, by="client", raw_response_in=switching(without=without))
    first = bad if status == "101" else refused(status, Server="Caddy")
    taps = [tap(1, "edge", first), tap(2, "middle", bad), tap(3, "origin", bad)]
    said = found(*taps)
    assert said[0] == ("WS-HS-025", "server", 3)
    assert {party for _, party, _ in said} <= {"server", "client"}
    assert not {"WS-HS-020", "WS-HS-004"} & {rule for rule, _, _ in said}


def test_a_good_101_behind_a_refusal_covers_nothing():
    good = cut(at=0.1, by="client")
    taps = [tap(1, "edge", refused("502 Bad Gateway")), tap(2, "middle", good), tap(3, "origin", good)]
    assert {party for _, party, number in found(*taps) if number == 1} == {"hop"}


def test_a_hop_that_answers_itself_is_not_the_servers_fault():
    edge = tap(1, "edge", refused("404 Not Found"))
    assert found(edge, answered=False) == [("WS-HS-011", "hop", 1)]


def test_a_hop_that_answers_426_itself_has_not_lost_the_upgrade():
    edge = tap(1, "edge", refused("426 Upgrade Required"))
    link = link_of(replace(pair(edge, None), edge=edge))
    (kept,) = together((), diagnose_connection(edge), [link])
    assert (kept.id, kept.fault_of) == ("WS-HS-002", "hop")
    assert kept.title == "The hop answered as to an ordinary GET, and did not ask the server"
    assert "a rule of the hop answers so by itself" in [one.cause for one in kept.causes]
    # Where the server answered so, the upgrade was lost on the way, or it has no WebSocket there.
    (alone,) = diagnose_connection(edge)
    assert alone.title.startswith("The server did not see the upgrade")


def test_a_hop_that_hangs_up_without_asking_is_not_the_servers_fault():
    """nginx's `return 444`, HAProxy's `http-request reject`: no answer, and nothing arrives behind them."""
    edge = tap(1, "edge", failed("server ended the connection before a response (fin)", "response"))
    assert found(edge, answered=False) == [("WS-HS-035", "hop", 1)]
    [alone] = diagnose_connection(edge)
    assert (alone.fault_of, alone.confidence) == ("server", "medium")
    assert "proxy or firewall in the server's place" in alone.causes[1].cause
    gone = tap(1, "edge", failed("connection refused", "connect"))
    assert [party for _, party, _ in found(gone, answered=False)] == ["hop"]
    left = tap(1, "edge", failed("Client disconnected.", "client", waited=0.1))
    assert found(left, answered=False) == [("WS-HS-036", "client", 1)]


def test_a_client_that_left_at_an_interim_response_is_told_of_once():
    """As one that left without it: the tap nearest to it says so, and the hop's own leaving is no finding."""
    hints = {"informational": b"HTTP/1.1 103 Early Hints\r\n\r\n"}
    edge = tap(1, "edge", failed("Client disconnected.", "client", waited=1.2, **hints))
    origin = tap(2, "origin", failed("Client disconnected.", "client", waited=1.2, **hints))
    assert [one for one in found(edge, origin) if one[0] != "WS-HS-107"] == [("WS-HS-038", "client", 1)]


def test_a_hop_that_takes_a_request_and_does_not_pass_it_on_is_named():
    """Vite's proxy without `ws: true`, a limit on connections that lets a request wait."""
    edge = tap(1, "edge", failed("Client disconnected.", "client", waited=1.5))
    assert found(edge, answered=False) == [("WS-HS-036", "hop", 1)]
    came = {"request_in_ns": START + 2 * SECOND, "response_in_ns": START + 2 * SECOND}
    late = tap(1, "edge", cut(at=5, by="client", **left_at(1.5)))
    assert found(late, tap(2, "origin", cut(at=5, by="client", times=came))) == [("WS-HS-036", "hop", 1)]


def test_a_refusal_that_the_hop_keeps_is_the_servers_all_the_same():
    edge = tap(1, "edge", failed("Client disconnected.", "client", waited=4))
    origin = tap(2, "origin", refused("401 Unauthorized"))
    assert found(edge, origin) == [("WS-HS-009", "client", 2)]


def test_a_101_that_the_second_hop_keeps_is_its_doing():
    left = failed("Client disconnected.", "client", waited=4)
    taps = [tap(1, "edge", left), tap(2, "middle", left), tap(3, "origin", cut(at=4, by="client"))]
    assert found(*taps) == [("WS-HS-107", "hop", 2)]


def test_a_hop_that_accepted_before_it_asked_is_not_also_a_server_that_cut():
    """A hop that ends WebSockets: its client sees 101 and an end, and the server refused the hop."""
    client, server = tap(1, "edge", cut(frame(1, C2S, 0.1, 1, b"x"), at=0.5)), refused("401 Unauthorized")
    assert found(client) == [("WS-DROP-001", "server", 1)]
    assert found(client, tap(2, "origin", server, request())) == [("WS-HS-009", "client", 2)]


def test_a_client_of_such_a_hop_that_ended_it_itself_is_still_said():
    client = tap(1, "edge", ended(by="client", code=1011))
    assert ("WS-CL-011", "client", 1) in found(
        client, tap(2, "origin", refused("401 Unauthorized"), request())
    )


def test_a_ping_without_a_pong_before_a_hop_that_ends_late_is_said_by_two_taps_too():
    """The server waits 0.3 s for the pong; the hop passes its end on later, and one tap sees 1.5 s."""
    mute = (ping(3, S2C, 1),)
    client = tap(1, "edge", cut(*HELLO, at=2.5, pings=mute))
    server = tap(2, "origin", cut(*HELLO, at=1.3, pings=mute))
    assert found(client) == [("WS-KA-001", "client", 1)]
    assert found(client, server) == [("WS-KA-001", "client", 1)]
    # A wait that is a heartbeat's shows it right before the server as well.
    beating = tap(2, "origin", cut(*HELLO, at=1.5, pings=mute))
    assert found(client, beating) == [("WS-KA-001", "client", 2)]


def test_an_end_that_has_another_reason_behind_the_hop_keeps_it():
    mute = (ping(3, S2C, 1),)
    client = tap(1, "edge", cut(*HELLO, at=2.5, pings=mute))
    server = tap(2, "origin", ended(*HELLO, at=1.5, by="server", code=1011, pings=mute))
    assert ("WS-KA-001", "client", 1) not in found(client, server)


def test_what_another_server_behind_the_hop_answers_is_not_the_hops():
    others = (Other(7, "/chat", START, START),)
    edge = tap(1, "edge", replace(refused("404 Not Found", Server="uvicorn"), others=others))
    assert found(edge, answered=False) == [("WS-HS-011", "server", 1)]


@pytest.mark.parametrize(("direction", "party", "at"), [(S2C, "server", 3), (C2S, "client", 1)])
def test_what_all_taps_of_a_chain_see_alike_is_said_once(direction, party, at):
    """A broken frame that both hops passed on: at the tap next to whoever sent it."""
    bad = frame(3, direction, 0.3, 3, b"x", violation=RESERVED_OPCODE)
    broken = ended(*HELLO, bad, violations=((bad, 1),))
    assert found(*chain(broken, request(), request(), request())) == [("WS-FR-004", party, at)]


def test_what_hops_do_after_their_client_had_left_is_no_failure_of_theirs():
    """HAProxy goes on waiting at a client's FIN, and the Apache behind it gives up later."""
    sent = START + 1_000_000
    late = {
        "ends": (EndFact("client", "fin", sent + SECOND // 2),),
        "times": {"request_out_ns": sent, "response_in_ns": sent + 2 * SECOND},
        "closed_ns": sent + 3 * SECOND,
    }
    edge = tap(1, "edge", refused("502 Proxy Error", facts=late))
    middle = tap(2, "middle", refused("502 Proxy Error"))
    origin = tap(3, "origin", failed("client ended the connection", "client", waited=2.0))
    assert found(middle, origin) == [("WS-HS-108", "server", 2)]
    assert found(edge, middle, origin) == [("WS-HS-036", "client", 1)]


@pytest.mark.parametrize(
    ("status", "rule"), [("421 Misdirected Request", "WS-HS-016"), ("502 Bad Gateway", "WS-HS-020")]
)
def test_what_the_server_behind_the_last_tap_answers_is_its_own(status, rule):
    assert found(*chain(refused(status), request(), request(), request())) == [(rule, "server", 3)]


def test_bytes_that_are_not_http_are_said_where_they_began():
    """nginx passes them on, as HTTP/0.9."""
    ssh = failed("invalid response", "response", raw_response_in=b"SSH-2.0-OpenSSH_9.2\r\n")
    assert found(*chain(ssh, request(), request(), request())) == [("WS-HS-041", "hop", 3)]


@pytest.mark.parametrize(
    "bad",
    [
        switching(Transfer_Encoding="chunked"),
        switching(Content_Length="5"),
        switching().replace(b"HTTP/1.1", b"HTTP/1.0"),
        switching()[:-2],
    ],
)
def test_a_101_that_no_hop_has_to_pass_on_is_the_servers_fault(bad):
    edge = refused("502 Bad Gateway", Server="nginx")
    origin = replace(failed("closed", "response"), status=101, raw_response_in=bad)
    assert "WS-HS-107" not in [one for one, _, _ in found(tap(1, "edge", edge), tap(2, "origin", origin))]


def with_text(first, head):
    """An open connection on which these bytes came in place of the first frame."""
    read = frame(3, S2C, 0.1, 5, first[2:], header=first[:2], violation=RESERVED_BIT)
    return cut(at=0.4, violations=((read, 1),), raw_response_in=head)


CHUNK = b"5\r\nhello\r\n0\r\n\r\n"


def test_a_body_whose_announcement_the_hop_drops_is_said_once_where_it_was_announced():
    edge = tap(1, "edge", with_text(CHUNK, switching()))
    middle = tap(2, "middle", with_text(CHUNK, switching()))
    origin = tap(3, "origin", with_text(CHUNK, switching(Transfer_Encoding="chunked")))
    assert "WS-HS-029" in {one.id for one in diagnose_connection(edge)}
    for taps in ((edge, origin), (edge, middle, origin)):
        said = found(*taps)
        assert ("WS-HS-047", "server", 3) in said
        assert "WS-HS-029" not in {one[0] for one in said}


@pytest.mark.parametrize(
    ("text", "before", "behind", "is_body"),
    [
        (CHUNK, switching(), switching(Transfer_Encoding="chunked"), True),
        (CHUNK, switching(), switching(), False),
        (CHUNK, switching(), switching(Content_Length="5"), False),
        (CHUNK, *[switching(Transfer_Encoding="chunked")] * 2, False),
        (b"HTTP/1.1 502 Bad Gateway", switching(), switching(Transfer_Encoding="chunked"), False),
    ],
)
def test_only_a_chunk_that_was_announced_is_a_body(text, before, behind, is_body):
    taps = tap(1, "edge", with_text(text, before)), tap(2, "origin", with_text(text, behind))
    assert link_of(pair(*taps)).is_body_behind is is_body


def test_a_server_that_closed_is_not_also_a_bad_gateway():
    edge = tap(1, "edge", refused("502 Bad Gateway", Server="nginx"))
    dead = tap(2, "origin", failed("server closed the connection", "server"))
    assert found(edge, dead) == [("WS-HS-035", "server", 2)]


LATE: dict[str, Any] = {
    "ends": (EndFact("client", "fin", START + SECOND // 2),),
    "times": {"request_out_ns": START, "response_in_ns": START + SECOND},
    "closed_ns": START + SECOND,
}
LEFT: dict[str, Any] = {"ends": LATE["ends"], "times": {"request_out_ns": START}, "closed_ns": START + SECOND}


@pytest.mark.parametrize(
    ("first", "rule", "party"),
    [
        (b"SSH-2.0-OpenSSH_9.2\r\n", "WS-HS-041", "hop"),
        (b"\x15\x03\x01\x00\x02\x02\x46", "WS-TLS-018", "hop"),
        (b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\n", "WS-HS-042", "server"),
    ],
)
def test_a_client_that_gives_up_at_what_is_no_response_is_told_of_that(first, rule, party):
    """nginx keeps a banner back, Caddy answers 200 to a client that has left, Envoy closes at once."""
    origin = tap(3, "origin", failed("ended", "response", raw_response_in=first))
    silent = tap(2, "middle", failed("client ended the connection", "client", waited=1.0))
    late = tap(1, "edge", refused("200 OK", Server="Caddy", facts=LATE))
    assert found(late, silent, origin) == [(rule, party, 3)]
    left = tap(1, "edge", failed("client ended the connection", "client", waited=0.5))
    assert found(left, silent, origin) == [(rule, party, 3)]
    mute = tap(2, "middle", failed("left", "client", raw_response_in=b"HTTP/1.1 200 OK\r\n\r\n", **LEFT))
    assert found(left, mute, origin) == [(rule, party, 3)]
    assert found(tap(1, "edge", refused("200 OK")), mute, origin) == [(rule, party, 3)]


def test_a_client_that_gives_up_at_silence_is_told_of_that():
    """The same chain whose server says nothing."""
    late = tap(1, "edge", refused("200 OK", Server="Caddy", facts=LATE))
    silent = [
        tap(n, name, failed("ended", "client", waited=1.0)) for n, name in ((2, "middle"), (3, "origin"))
    ]
    assert found(late, *silent) == [("WS-HS-036", "client", 1)]


@pytest.mark.parametrize("guilty", [1, 2])
def test_an_extension_that_a_hop_took_out_of_the_101_is_its_doing_at_every_tap(guilty):
    """What the client then takes for a broken frame is the consequence."""
    with_it = switching(Sec_WebSocket_Extensions="permessage-deflate")
    bad = frame(9, S2C, 0.1, 1, b"\xf2H\xcd", violation=RESERVED_BIT)
    taps = []
    for number, name in enumerate(("edge", "middle", "origin"), 1):
        is_before = number <= guilty
        head = request(Sec_WebSocket_Extensions="permessage-deflate")
        facts = ended(
            *HELLO,
            raw_response_in=switching() if is_before else with_it,
            raw_response_out=switching() if is_before else with_it,
            violations=((bad, 1),) if is_before else (),
        )
        taps.append(tap(number, name, facts, head))
    assert found(*taps) == [("WS-HS-104", "hop", guilty)]


def test_a_port_that_speaks_something_else_behind_a_hop_is_the_hops_target():
    banner = failed("no response", "response", raw_response_in=b"SSH-2.0-OpenSSH_9.2\r\n")
    edge = tap(1, "edge", refused("502 Bad Gateway", Server="nginx"))
    assert found(edge, tap(2, "origin", banner)) == [("WS-HS-041", "hop", 2)]
    assert found(tap(1, "edge", banner), answered=False)[0][1] == "client"


def test_what_ended_behind_the_last_tap_is_the_servers_side():
    edge, origin = tap(1, "edge", cut(at=0.5)), tap(2, "origin", cut(at=0.5))
    (one,) = found(edge, origin)
    assert one[1:] == ("server", 2)


def ended_at(*sides, at=2.2):
    """A chain of three taps, cut after a round silence by the first side each of them saw."""
    return [
        tap(n + 1, name, cut(*HELLO, at=at, by=side))
        for n, (name, side) in enumerate(zip(("edge", "middle", "origin"), sides, strict=True))
    ]


@pytest.mark.parametrize("at", [0.5, 2.2, 17.3])
def test_the_end_that_a_hop_made_is_said_once_in_a_chain(at):
    assert found(*ended_at("server", "client", "client", at=at)) == [("WS-DROP-101", "hop", 1)]
    assert found(*ended_at("server", "server", "client", at=at)) == [("WS-DROP-101", "hop", 2)]


def test_what_the_client_ended_is_never_said_to_have_come_from_behind_the_last_tap():
    for one in found(*ended_at("client", "client", "client")):
        assert one[1] != "server"
    assert [one[1] for one in found(*ended_at("server", "server", "server"))] == ["server"]


def test_an_end_by_a_hop_that_is_in_doubt_covers_what_a_tap_before_it_guesses():
    """Envoy's lifetime limit behind HAProxy, on a machine on which the taps were blind at the end."""
    talk = [frame(n, S2C, 0.1 * n, 1, b"x" * 300) for n in range(1, 26)]

    def blind(by, other):
        ends = tuple(EndFact(side, "fin", OPEN + 3500 * MS_NS + n) for n, side in enumerate((by, other)))
        lag = Lag(OPEN + 3300 * MS_NS, OPEN + 3510 * MS_NS)
        return cut(*talk, at=3.5, by=by, ends=ends, lags=(lag,))

    edge, middle = tap(1, "edge", blind("server", "client")), tap(2, "middle", blind("server", "client"))
    origin = tap(3, "origin", blind("client", "server"))
    assert [one.id for one in diagnose_connection(edge)][:1] == ["WS-DROP-002"]
    assert found(edge, middle, origin) == [("WS-DROP-101", "hop", 2)]


def test_a_healthy_chain_has_no_finding():
    assert found(*chain(ended(), request(), request(), request())) == []


def test_a_loop_of_hops_ends():
    edge, origin = tap(1, "edge", ended()), tap(2, "origin", ended())
    links = [link_of(pair(edge, origin)), link_of(pair(origin, edge))]
    links = [links[0]._replace(edge=1, origin=2), links[1]._replace(edge=2, origin=1)]
    assert together([], [], links) == []


def test_what_the_server_says_to_a_hop_that_had_left_is_not_a_failure_of_its_own():
    edge = tap(1, "edge", refused("504 Gateway Timeout", Server="nginx"))
    left = tap(2, "origin", failed("client disconnected", "client", waited=60.0))
    assert [connection for _, _, connection in found(edge, left)] == [1]


def test_findings_of_no_connection_pass_as_they_are():
    (one,) = diagnose_connection(refused("500 Internal Server Error"))[:1]
    about_all = replace(one, connection=None)
    assert together((), [about_all], []) == [about_all]


def test_what_both_taps_say_about_many_connections_is_said_once_nearest_to_the_server():
    (one, *_) = diagnose_connection(refused("500 Internal Server Error"))
    at_edge, at_origin, elsewhere = (replace(one, connection=number) for number in (1, 2, 3))
    kept = once([at_edge, at_origin, elsewhere], {1: 2})
    assert [found.connection for found in kept] == [2, 3]
    assert kept[0].covers == ((1, one.id),)
    by_client = [replace(found, fault_of="client") for found in (at_edge, at_origin)]
    assert [found.connection for found in once(by_client, {1: 2})] == [1]
    assert once([at_edge, elsewhere], {1: 2}) == [at_edge, elsewhere]


@pytest.mark.parametrize("first", [(1, 3, 5), (5, 1, 3)])
def test_several_ends_at_once_are_said_at_the_tap_nearest_to_who_did_it(first):
    """A server that is killed: every tap sees its connections end, in any order."""
    edges, origins = first, (6, 4, 2)
    at_edge = [dropped(n, 0.5 * i, 9 - 0.5 * i + i / 1000, tap="edge") for i, n in enumerate(edges)]
    at_origin = [dropped(n, 0.5 * i, 9 - 0.5 * i - i / 1000, tap="origin") for i, n in enumerate(origins)]
    partner = {n: n + 1 for n in edges}
    both = once(diagnose_capture(capture(*at_edge, *at_origin)), partner, origins)
    assert [(one.id, one.fault_of) for one in both] == [("WS-DROP-004", "server")]
    assert both[0].connection in origins
    # Behind the hop they ended one after the other, or too few of them, for a cluster.
    (passed_on,) = once(diagnose_capture(capture(*at_edge)), partner, origins[:2])
    assert (passed_on.id, passed_on.fault_of, passed_on.hop) == ("WS-DROP-004", "server", None)
    (most_alone,) = once(diagnose_capture(capture(*at_edge)), partner, origins[:1])
    assert most_alone.fault_of == "hop"
    # The hop: behind it nothing ended by the server.
    (alone,) = once(diagnose_capture(capture(*at_edge)), partner)
    assert (alone.id, alone.fault_of) == ("WS-DROP-004", "hop")
    # Other connections at the other tap: two events.
    elsewhere = once(diagnose_capture(capture(*at_edge, *at_origin)), {}, origins)
    assert [one.id for one in elsewhere] == ["WS-DROP-004"] * 2


def several(number, ended, *, by_hop=(), behind=()):
    """A hop's connections that end together: some by the hop itself, the others by the server behind it."""
    edges = range(1, 2 * number, 2)
    at_edge = [dropped(n, 0.5 * i, 9 - 0.5 * i + i / 1000, tap="edge") for i, n in enumerate(edges)]
    at_origin = [
        dropped(n + 1, 0.5 * i, ended - 0.5 * i + i / 1000, tap="origin")
        for i, n in enumerate(edges)
        if n in behind
    ]
    partner = {n: n + 1 for n in edges}
    found = diagnose_capture(capture(*at_edge, *at_origin))
    return once(found, partner, [n + 1 for n in behind], by_hop)


@pytest.mark.parametrize(
    ("by_hop", "behind"), [((1, 3, 5, 7), (9, 11, 13, 15)), ((9, 11, 13, 15), (1, 3, 5, 7))]
)
def test_of_ends_of_which_half_came_from_behind_the_hop_is_blamed_for_its_own_alone(by_hop, behind):
    """A reload of the hop while the server restarts, too."""
    at_hop, at_server = several(8, 8.99, by_hop=by_hop, behind=behind)
    if at_hop.fault_of == "server":
        at_hop, at_server = at_server, at_hop
    assert (at_hop.id, at_hop.fault_of, at_hop.connection) == ("WS-DROP-004", "hop", by_hop[0])
    assert at_hop.evidence[-1] == "the hop itself ended 4 of them; the ends of 4 came from behind it"
    assert {number for number, _ in at_hop.covers} == set(by_hop)
    assert (at_server.id, at_server.connection) == ("WS-DROP-004", behind[0] + 1)


@pytest.mark.parametrize(("by_hop", "behind"), [((1, 3), (5, 7)), ((1, 3), (5, 7, 9)), ((1,), (3,))])
def test_few_ends_by_the_hop_among_others_from_behind_it_are_said_one_by_one(by_hop, behind):
    number = len(by_hop) + len(behind) + (len(behind) == 1)
    said = several(number, 8.99, by_hop=by_hop, behind=behind)
    assert [one.connection for one in said] == ([6] if len(behind) > 2 else [])


@pytest.mark.parametrize(("server", "software"), [("Caddy", "caddy"), (None, "general")])
def test_a_403_that_the_hop_gave_without_asking_is_about_its_own_rules(server, software):
    fields = {} if server is None else {"Server": server}
    edge = tap(1, "edge", refused("403 Forbidden", **fields))
    alone = pair(edge, None)
    own = diagnose_connection(edge)
    kept = together(diagnose_pair(alone), own, [link_of(alone)])
    (said,) = [one for one in kept if one.id == "WS-HS-010"]
    assert (said.fault_of, said.title) == ("hop", "403: the hop itself refuses this request")
    assert said.fixes[0].for_ == software
    assert "access list" in said.fixes[-1].text
    assert not any("Origin is not on the server's list" in cause.cause for cause in said.causes)
    # A server behind it that refused is asked about its own list.
    origin = tap(2, "origin", refused("403 Forbidden"))
    both = pair(edge, origin)
    kept = together(diagnose_pair(both), (*own, *diagnose_connection(origin)), [link_of(both)])
    (said,) = [one for one in kept if one.id == "WS-HS-010"]
    assert (said.fault_of, said.connection) == ("server", 2)


def test_what_ends_many_at_once_mends_each_of_them():
    """A reload: neither a duration nor a silence of the hop's has to be raised."""
    busy = [frame(n, S2C, n / 4) for n in range(1, 24)]
    edges = [tap(n, "edge", cut(*busy, at=6 + n / 100)) for n in (1, 2, 3, 4)]
    origins = [tap(n + 10, "origin", cut(*busy, at=6 + n / 100, by="client")) for n in (1, 2, 3, 4)]
    pairs = [pair(edge, origin) for edge, origin in zip(edges, origins, strict=True)]
    at_edge = [dropped(n, -n, 6 + n, tap="edge") for n in (1, 2, 3, 4)]
    many = [one for one in diagnose_capture(capture(*at_edge)) if one.id == "WS-DROP-004"]
    ours = [one for each in pairs for one in diagnose_pair(each)]
    kept = together(ours, many, map(link_of, pairs))
    (group,) = [one for one in kept if one.id == "WS-DROP-004"]
    each = [one for one in kept if one.id == "WS-DROP-101"]
    assert (group.fault_of, group.confidence, len(each)) == ("hop", "high", 4)
    assert [one.fixes for one in each] == [group.fixes] * 4


@pytest.mark.parametrize("said", [(), (frame(1, C2S, 0.1, 1, b"hi"),)], ids=["mute", "spoken"])
def test_an_end_right_behind_the_last_tap_is_rather_the_servers_than_a_firewalls(said):
    one = cut(*said, at=0.2) if said else silent(0.2)
    edge, origin = tap(1, "edge", one), tap(2, "origin", one)
    linked = pair(edge, origin)
    own = [each for facts in (edge, origin) for each in diagnose_connection(facts)]
    kept = ranked(together(diagnose_pair(linked), own, [link_of(linked)]))
    (found,) = [one for one in kept if one.id == "WS-DROP-001"]
    assert (found.fault_of, found.connection) == ("server", 2)
    assert "the server's application crashed" in found.causes[0].cause
    assert "firewall" not in found.fixes[0].text


def test_with_one_tap_a_firewall_behind_it_comes_first_where_the_client_said_nothing():
    (found,) = [one for one in diagnose_connection(silent(0.2)) if one.id == "WS-DROP-001"]
    assert "firewall" in found.causes[0].cause
