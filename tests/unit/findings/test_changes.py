"""What a hop changed, and whether it can explain an answer: the fields' names, lists, and statuses."""

import pytest

from tests.unit.findings.facts_made import failed, refused, request
from tests.unit.findings.pairs_made import at_origin, behind, pair
from wsinspect.findings.changes import LIKELY, POSSIBLE, PROVEN, field_changes
from wsinspect.findings.registry import diagnose_pair
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
def test_spelling_is_no_change(before, after):
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
        ("403 Forbidden", HOST, {}, ("identity", POSSIBLE)),
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


def test_nothing_is_suspected_where_nobody_answered():
    edge = refused("502 Bad Gateway")
    dead = failed("connection refused", "connect")
    assert pair(edge, behind(dead, HOST)).suspects == []


def test_cookies_are_not_shown():
    (one,) = diagnose_pair(at_origin("401 Unauthorized", request(), sent=request(Cookie="sid=secret")))
    assert one.id == "WS-HS-105"
    assert "secret" not in str(one.as_json())
