"""What a hop changed, and whether it can explain an answer: the fields' names, lists, and statuses."""

import gzip
from dataclasses import replace
from typing import Any

import pytest

from tests.unit.findings.facts_made import failed, refused, request, response
from tests.unit.findings.pairs_made import at_origin, behind, closed_behind, pair, stayed
from wsinspect.findings.changes import (
    LIKELY,
    POSSIBLE,
    PROVEN,
    Accepted,
    accepted_of,
    closing_suspects,
    field_changes,
    suspects,
)
from wsinspect.findings.registry import diagnose_connection, diagnose_pair
from wsinspect.handshake.heads import RawHead

KEY = "dGhlIHNhbXBsZSBub25jZQ=="


def head(*lines):
    return RawHead.parse("\r\n".join(["GET /chat HTTP/1.1", *lines, "", ""]).encode())


def changed(before, after):
    return [(one.name, one.before, one.after) for one in field_changes(head(*before), head(*after))]


@pytest.mark.parametrize(
    ("before", "after"),
    [
        ([f"Sec-WebSocket-Key: {KEY}"], [f"sec-websocket-key: {KEY}"]),
        ([f"Sec-WebSocket-Key: {KEY}"], [f"Sec-Websocket-Key:{KEY}"]),
        (["Connection: Upgrade"], ["connection: upgrade"]),
        (["Connection: keep-alive, Upgrade"], ["Connection: Upgrade", "Connection: keep-alive"]),
        (["Upgrade: websocket"], ["Upgrade: WebSocket"]),
        (["Host: Example.org"], ["host: example.org"]),
        (["Sec-WebSocket-Protocol: a, b"], ["sec-websocket-protocol: a", "sec-websocket-protocol: b"]),
        (["A: 1", "B: 2"], ["B: 2", "A: 1"]),
    ],
)
def test_spelling_is_not_a_change(before, after):
    assert changed(before, after) == []


@pytest.mark.parametrize(
    ("before", "after", "what"),
    [
        ([], ["Sec-WebSocket-Protocol:"], ("sec-websocket-protocol", (), (b"",))),
        (["X-Forwarded-For: 1"], ["X-Forwarded-For: 1", "x-forwarded-for: 2"],
         ("x-forwarded-for", (b"1",), (b"1", b"2"))),
        ([f"Sec-WebSocket-Key: {KEY}"], [f"Sec-WebSocket-Key: {KEY}", f"sec-websocket-key: {KEY}"],
         ("sec-websocket-key", (KEY.encode(),), (KEY.encode(),) * 2)),
        (["Sec-WebSocket-Protocol: a, b"], ["Sec-WebSocket-Protocol: b, a"],
         ("sec-websocket-protocol", (b"a, b",), (b"b, a",))),
        (["Cookie: a=1"], [], ("cookie", (b"a=1",), ())),
    ],
)  # fmt: skip
def test_what_is_added_counts_as_what_is_removed(before, after, what):
    assert changed(before, after) == [what]


def suspect(status, came, **more):
    """The surest suspect's kind and weight."""
    found = at_origin(status, came, **more).suspects
    return (found[0].kind, found[0].weight) if found else None


EMPTY = request(Sec_WebSocket_Protocol="")
HOST = request(Host="app:3000")


@pytest.mark.parametrize(
    ("status", "came", "more", "what"),
    [
        ("400 Bad Request", EMPTY, {}, ("sec", PROVEN)),
        ("404 Not Found", EMPTY, {}, None),
        ("426 Upgrade Required", request(without=("Sec-WebSocket-Version",)), {}, ("sec", PROVEN)),
        ("401 Unauthorized", request(without=("Sec-WebSocket-Version",)), {}, None),
        ("403 Forbidden", HOST, {"body": b"origin not allowed"}, ("identity", PROVEN)),
        ("404 Not Found", HOST, {"body": b"no such host"}, ("identity", PROVEN)),
        ("403 Forbidden", HOST, {}, ("identity", LIKELY)),  # Phoenix and Rails refuse without a word
        ("403 Forbidden", HOST, {"body": b"banned"}, ("identity", POSSIBLE)),
        ("421 Misdirected Request", HOST, {}, ("identity", LIKELY)),
        ("500 Internal Server Error", HOST, {"body": b"origin"}, None),
        # Origin was another one before the hop: a same-origin check fails without the hop, too.
        (
            "403 Forbidden",
            request(Host="app:3000", Origin="http://evil.example"),
            {"sent": request(Origin="http://evil.example"), "body": b"origin not allowed"},
            None,
        ),
        ("505 HTTP Version Not Supported", request(version="HTTP/1.0"), {}, ("http10", PROVEN)),
        ("401 Unauthorized", request(version="HTTP/1.0"), {}, None),
        ("401 Unauthorized", request(without=("Upgrade",)), {}, ("upgrade", POSSIBLE)),
        ("404 Not Found", request(without=("Upgrade",)), {}, ("upgrade", PROVEN)),
    ],
)
def test_a_change_is_a_suspect_only_where_it_fits_the_answer(status, came, more, what):
    assert suspect(status, came, **more) == what


def test_names_in_other_letters_are_said_low_where_the_server_misses_what_is_there():
    lower = request().replace(b"Sec-WebSocket-Key", b"sec-websocket-key")
    said = at_origin("400 Bad Request", lower, body=b"missing Sec-WebSocket-Key header")
    (one,) = diagnose_pair(said)
    assert (one.id, one.fault_of, one.confidence) == ("WS-HS-104", "server", "low")
    assert diagnose_pair(at_origin("400 Bad Request", lower, body=b"bad token")) == []
    assert diagnose_pair(at_origin("400 Bad Request", request(), body=b"missing Sec-WebSocket-Key")) == []


CADDY: Any = {"Server": "Caddy", "Content_Length": "0"}


def test_a_hop_that_changes_host_is_why_a_caddy_behind_it_has_no_site_for_it():
    """With no site for a Host Caddy answers an empty 200, whatever Origin says."""
    changed = request(Host="app.internal")

    def found(*, came=changed, body=b"", accepted=(), **fields):
        edge = refused("200 OK", body, **fields)
        edge = replace(edge, raw_request_in=request(), raw_request_out=request())
        return [one.id for one in diagnose_pair(pair(edge, behind(edge, came), accepted=accepted))]

    assert found(**CADDY) == ["WS-HS-105"]
    assert found(came=request(), **CADDY) == []
    assert found(Server="nginx", Content_Length="0") == ["WS-HS-111"]
    assert found(body=b"<p>hello", **{**CADDY, "Content_Length": "8"}) == ["WS-HS-111"]
    assert found(X_Powered_By="Express", **CADDY) == ["WS-HS-111"]
    taken = accepted_of(RawHead.parse(request(path="/other", Host="app.internal")))
    assert found(accepted=(taken,), **CADDY) == ["WS-HS-111"]


def test_a_caddy_without_a_site_is_the_first_cause_at_one_tap():
    (one,) = diagnose_connection(refused("200 OK", **CADDY))
    assert one.title == "Caddy answered 200 with nothing instead of 101"
    assert one.causes[0].cause == (
        "none of Caddy's sites has this Host, or nothing in that site takes the request"
    )
    assert "Caddy" not in str(diagnose_connection(refused("200 OK", Server="nginx"))[0].causes[0])


def test_an_empty_field_that_the_server_minds_is_not_there_under_another_name():
    lower = request(Sec_WebSocket_Protocol="").replace(b"Sec-WebSocket-Protocol", b"sec-websocket-protocol")
    sent = request(Sec_WebSocket_Protocol="")
    said = at_origin("400 Bad Request", lower, sent=sent, body=b"missing Sec-WebSocket-Protocol header")
    assert [one.id for one in diagnose_pair(said)] == []


def test_nothing_is_suspected_where_nobody_answered():
    edge = refused("502 Bad Gateway")
    dead = failed("connection refused", "connect")
    assert pair(edge, behind(dead, HOST)).suspects == []


def test_cookies_are_not_shown():
    (one,) = diagnose_pair(at_origin("401 Unauthorized", request(), sent=request(Cookie="sid=secret")))
    assert one.id == "WS-HS-105"
    assert "secret" not in str(one.as_json())


@pytest.mark.parametrize(
    ("status", "came", "more", "what"),
    [
        ("400 Bad Request", request(Sec_WebSocket_Key="short"), {}, ("sec", PROVEN)),
        ("403 Forbidden", request(Sec_WebSocket_Key="short"), {}, None),
        ("400 Bad Request", request(Sec_WebSocket_Key="AAAAAAAAAAAAAAAAAAAAAA=="), {}, None),  # another one
        ("400 Bad Request", request(Sec_WebSocket_Extensions="x-own"), {}, ("sec", POSSIBLE)),
        ("403 Forbidden", request(Sec_WebSocket_Extensions="x-own"), {}, None),
        ("400 Bad Request", request(), {"sent": request(Sec_WebSocket_Extensions="x-own")}, None),
        ("400 Bad Request", request(), {"sent": request(Sec_WebSocket_Protocol="chat")}, ("sec", LIKELY)),
        ("403 Forbidden", request(), {"sent": request(Sec_WebSocket_Protocol="chat")}, ("sec", POSSIBLE)),
        (
            "403 Forbidden",
            request(),
            {"sent": request(Sec_WebSocket_Protocol="chat"), "body": b"no subprotocol"},
            ("sec", PROVEN),
        ),
        ("403 Forbidden", request("/chat"), {"sent": request("/chat?a=1")}, ("query", LIKELY)),
        (
            "403 Forbidden",
            request("/chat"),
            {"sent": request("/chat?a=1"), "body": b"origin not allowed"},
            ("query", POSSIBLE),
        ),
        (
            "403 Forbidden",
            request(X_Forwarded_For="1, 2"),
            {"sent": request(X_Forwarded_For="1")},
            ("identity", POSSIBLE),  # without a word: it may be a list of addresses
        ),
        (
            "403 Forbidden",
            request(X_Forwarded_For="1, 2"),
            {"sent": request(X_Forwarded_For="1"), "body": b"banned"},
            None,
        ),
    ],
)
def test_fields_of_the_handshake_and_the_query_are_suspects_where_they_fit(status, came, more, what):
    assert suspect(status, came, **more) == what


def redirected(location, came, **more):
    made = at_origin("302 Found", came, **more)
    assert made.origin is not None
    head = response("302 Found", Location=location)
    return [
        (one.kind, one.weight)
        for one in replace(
            made,
            edge=replace(made.edge, raw_response_in=head),
            origin=replace(made.origin, raw_response_in=head),
        ).suspects
    ]


def test_a_redirect_to_tls_is_for_a_scheme_that_the_hop_took_away():
    plain, tls = request(X_Forwarded_Proto="http"), request(X_Forwarded_Proto="https")
    assert redirected("https://example.org/chat", plain, sent=tls) == [("identity", LIKELY)]
    assert redirected("http://example.org/other", plain, sent=tls) == []
    assert redirected("https://example.org/chat", tls, sent=plain) == []
    assert redirected("https://example.org/chat", tls, sent=request()) == []


def test_a_redirect_to_a_login_is_for_credentials_that_the_hop_took_away():
    with_cookie = request(Cookie="sid=1")
    assert redirected("/login", request(), sent=with_cookie) == [("identity", LIKELY)]
    assert redirected("/elsewhere", request(), sent=with_cookie) == []


def test_a_client_address_given_twice_may_be_refused():
    once = request(X_Forwarded_For="1")
    twice = once.replace(b"X-Forwarded-For: 1", b"X-Forwarded-For: 1\r\nX-Forwarded-For: 2")
    assert suspect("403 Forbidden", twice, sent=once) == ("identity", POSSIBLE)
    assert suspect("404 Not Found", twice, sent=once) is None


def test_what_was_accepted_another_time_is_not_a_suspect():
    here = Accepted(b"/chat", b"app:3000", b"http://example.org", b"HTTP/1.1")
    assert suspect("403 Forbidden", HOST, accepted=(here,)) is None
    elsewhere = here._replace(path=b"/other")
    assert suspect("403 Forbidden", HOST, accepted=(elsewhere,)) == ("identity", POSSIBLE)
    before = here._replace(host=b"example.org")
    assert suspect("403 Forbidden", HOST, accepted=(before,)) == ("identity", PROVEN)


@pytest.mark.parametrize("origin", ["http://[broken", "http://example.org:port"])
def test_an_origin_that_cannot_be_read_is_not_the_same_one(origin):
    sent, came = request(Origin=origin), request(Origin=origin, Host="app:3000")
    assert suspect("403 Forbidden", came, sent=sent, body=b"origin not allowed") is None


def test_without_an_origin_a_changed_host_breaks_no_same_origin_check():
    sent, came = request(without=("Origin",)), request(without=("Origin",), Host="app:3000")
    assert suspect("403 Forbidden", came, sent=sent, body=b"host not allowed") == ("identity", LIKELY)


@pytest.mark.parametrize(
    ("name", "came"),
    [
        (b"Upgrade", request().replace(b"Upgrade: websocket", b"upgrade: websocket")),
        (b"Sec-WebSocket-Version", request().replace(b"Sec-WebSocket-Version", b"sec-websocket-version")),
    ],
)
def test_a_field_in_other_letters_is_there_where_it_says_what_it_has_to(name, came):
    said = b"missing " + name + b" header"
    assert suspect("400 Bad Request", came, body=said) == ("case", LIKELY)
    assert suspect("500 Internal Server Error", came, body=said) is None
    assert suspect("400 Bad Request", request(), body=said) is None


def test_changes_are_shown_as_added_removed_or_changed():
    (added,) = field_changes(head(), head("X-A: 1"))
    (removed,) = field_changes(head("x-websocket: 1"), head())
    (changed_one,) = field_changes(head("X-A: 1"), head("X-A: 2"))
    assert added.lines == ("added    X-A: 1",)
    assert removed.lines == ("removed  X-WebSocket: 1",)
    assert changed_one.lines == ("changed  X-A: 1  ->  X-A: 2",)
    (cookie,) = field_changes(head("Cookie: a=secret"), head())
    assert cookie.lines == ("removed  Cookie: (not shown)",)


def test_what_a_compressed_answer_says_counts_as_much():
    said = gzip.compress(b"origin not allowed")
    plain = at_origin("403 Forbidden", request(Host="app:3000"), body=b"origin not allowed")
    packed = refused("403 Forbidden", body=said, Content_Encoding="gzip")
    origin = replace(
        packed, raw_request_in=request(Host="app:3000"), raw_request_out=request(Host="app:3000")
    )
    assert suspects(plain.edge, origin) == plain.suspects != []


def test_another_attempt_that_stayed_open_proves_a_check_after_the_101():
    changed = request(Host="app:3000")
    (alone,) = closing_suspects(*_both(closed_behind(1008, "", changed)))
    assert alone.weight == POSSIBLE
    (found,) = closing_suspects(*_both(closed_behind(1008, "", changed, others=(stayed(request()),))))
    assert found.weight == PROVEN
    assert "another attempt, where this had not been changed, stayed open" in found.why
    for other in (stayed(request(), 1.2), stayed(request("/other"), path="/other")):
        (found,) = closing_suspects(*_both(closed_behind(1008, "", changed, others=(other,))))
        assert found.weight == POSSIBLE


def _both(pair):
    return pair.edge, pair.origin


@pytest.mark.parametrize(
    ("sent", "came", "is_hops"),
    [
        ("/app/socket.io/", "//socket.io/", True),
        ("/app/socket.io/", "/socket.io/", False),  # a hop may take its prefix away: then the server hung up
        ("/app//socket.io/", "//socket.io/", False),
    ],
)
def test_a_server_that_hangs_up_on_a_slipped_slash_did_so_for_the_path(sent, came, is_hops):
    edge = refused("502 Bad Gateway", head=request(sent))
    origin = failed("connection closed", "response", head=request(came))
    found = diagnose_pair(pair(edge, behind(origin)))
    assert ("WS-HS-106" in [one.id for one in found]) is is_hops
