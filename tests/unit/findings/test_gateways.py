"""Who made an answer of 502 or 505: a hop's own marks make it sure, an application's make it the server's."""

from dataclasses import replace
from typing import Any

import pytest

from tests.unit.findings.facts_made import START, refused, request, switching
from tests.unit.findings.triggers_answers import other
from tests.unit.findings.triggers_attempts import NGINX_502
from wsinspect.findings.facts import Other
from wsinspect.findings.registry import diagnose_connection

HAPROXY = (
    b"<html><body><h1>502 Bad Gateway</h1>\nThe server returned an invalid or incomplete response.\n</body>"
)
OWN = b'{"error":"the payment provider does not answer"}'
SORRY = b"<html><h1>We are sorry</h1></html>"


def judged(facts):
    (found,) = [one for one in diagnose_connection(facts) if one.severity == "error"]
    return found


@pytest.mark.parametrize(
    ("body", "fields", "party", "sure"),
    [
        # a hop's own page, or its name and nobody's words
        (NGINX_502, {"Server": "nginx/1.22.1"}, "hop", "high"),
        (HAPROXY, {}, "hop", "high"),
        (b"", {"Server": "Caddy"}, "hop", "high"),
        (b"<center><h1>502 Bad Gateway</h1></center>", {"Server": "awselb/2.0"}, "hop", "high"),
        (b"dial tcp: connection refused", {"Server": "Caddy"}, "hop", "high"),
        # a hop's name over what it does not write by itself
        (b"", {"Server": "nginx"}, "hop", "medium"),
        (SORRY, {"Server": "nginx"}, "hop", "medium"),
        (OWN, {"Server": "nginx"}, "server", "medium"),
        (OWN, {"Server": "Caddy"}, "server", "medium"),
        (b'{"message": "Internal server error"}', {"X_Amzn_Requestid": "1"}, "hop", "medium"),
        (OWN, {"Server": "envoy", "X_Envoy_Upstream_Service_Time": "3"}, "server", "medium"),
        # an application's name
        (b"", {"Server": "uvicorn"}, "server", "medium"),
        (OWN, {"Server": "nginx", "X_Powered_By": "Express"}, "server", "medium"),
        (b"connection refused", {"Server": "Kestrel"}, "server", "medium"),
        (OWN, {"Server": "MyApp/1.0"}, "server", "medium"),
        # a name that nobody knows, which proxies have as well as applications
        (b"", {"Server": "BunnyCDN-DE1-1047"}, "hop", "medium"),
        (SORRY, {"Server": "AkamaiGHost"}, "hop", "medium"),
        (SORRY, {"Server": "ATS/9.2.3", "Content_Type": "text/html; charset=utf-8"}, "hop", "medium"),
        (b"502 - sorry", {"Content_Type": "text/html"}, "hop", "medium"),
        (b"502 - sorry", {"Content_Type": "text/plain"}, "server", "medium"),
        (NGINX_502.replace(b"nginx", b"tengine"), {"Server": "Tengine"}, "hop", "high"),
        # nobody's
        (b"", {}, "hop", "medium"),
        (b"Bad Gateway", {}, "hop", "medium"),
        (b"Error occurred while trying to proxy: localhost:3000", {}, "hop", "medium"),
        (b"upstream prematurely closed the connection", {}, "hop", "medium"),
        (SORRY, {}, "hop", "medium"),
        (OWN, {}, "server", "medium"),
    ],
)
def test_who_made_a_502(body, fields, party, sure):
    found = judged(refused("502 Bad Gateway", body, **fields))
    assert (found.id, found.fault_of, found.confidence) == ("WS-HS-020", party, sure)
    assert sure == "high" or len(found.causes) >= 2
    assert party == "hop" or found.hop is None
    assert found.title.startswith("502 with an application's" if party == "server" else "502: a proxy got")


@pytest.mark.parametrize(
    ("mine", "theirs", "party", "line"),
    [
        ({}, "MyApp/1.0", "hop", "Server: MyApp/1.0; this one with none"),
        ({"Server": "other"}, "MyApp/1.0", "hop", "this one with other"),
        ({"Server": "MyApp/1.0"}, "MyApp/1.0", "server", "as in the answers to accepted attempts"),
    ],
)
def test_other_answers_from_the_same_place_count(mine, theirs, party, line):
    accepted = Other(7, "/chat", START, START, request=request(), response=switching(Server=theirs))
    found = judged(replace(refused("502 Bad Gateway", b"sorry", **mine), others=(accepted,)))
    assert (found.fault_of, found.confidence) == (party, "medium")
    assert any(line in one for one in found.evidence)


@pytest.mark.parametrize("status", [520, 521, 525])
def test_a_status_of_cloudflare_is_sure_with_its_name_alone(status):
    assert judged(refused(f"{status} <none>", Server="cloudflare")).confidence == "high"
    assert judged(refused(f"{status} <none>")).confidence == "medium"


@pytest.mark.parametrize(
    ("body", "fields", "party", "sure"),
    [
        (b"unsupported protocol: HTTP/1.0", {}, "hop", "high"),
        (b"this server does not support HTTP/1.0; use HTTP/1.1", {}, "hop", "high"),
        (b"HTTP/2.0 not supported", {}, "hop", "high"),
        # what it takes, and not what it got
        (b"only HTTP/1.1 and HTTP/2 are supported", {}, "server", "medium"),
        (b"this server supports HTTP/1.1 and HTTP/1.0", {}, "server", "medium"),
        (b"requires HTTP/2", {}, "hop", "medium"),
        (b"", {"Server": "nginx"}, "hop", "medium"),
        (b"", {}, "hop", "medium"),
        (b"", {"Server": "uvicorn"}, "server", "medium"),
        (OWN, {}, "server", "medium"),
    ],
)
def test_who_made_a_505(body, fields, party, sure):
    found = judged(refused("505 HTTP Version Not Supported", body, **fields))
    assert (found.id, found.fault_of, found.confidence) == ("WS-HS-014", party, sure)


@pytest.mark.parametrize(
    ("status", "rule"),
    [("500 Error", "WS-HS-019"), ("503 Unavailable", "WS-HS-021"), ("504 Timeout", "WS-HS-022")],
)
def test_the_other_ones_of_an_application_are_the_servers(status, rule):
    found = judged(refused(status, OWN, Server="uvicorn"))
    assert (found.id, found.fault_of) == (rule, "server")


@pytest.mark.parametrize(
    ("status", "body", "fields"),
    [
        ("503 maximum number of connections reached", b"", {}),  # Autobahn's maxConnections
        ("503 Service Unavailable", b"too many connections", {}),
        ("503 Server Too Busy", b"", {"Server": "Microsoft-HTTPAPI/2.0"}),
    ],
)
def test_a_503_that_speaks_of_a_limit_is_one(status, body, fields):
    found = judged(refused(status, body, **fields))
    assert (found.id, found.fault_of) == ("WS-HS-021", "server")
    assert found.title == "503: a limit or too much load, as the answer says"
    assert "limit on connections" in found.causes[0].cause
    other = Other(7, "/chat", START, START)
    assert judged(replace(refused(status, body, **fields), others=(other,))).id == "WS-HS-048"


@pytest.mark.parametrize("status", ["503 Service Unavailable", "503 Service Temporarily Unavailable", "503"])
def test_another_503_is_no_limit(status):
    assert judged(refused(status)).title == "503: no server takes the connection"


JETTY: dict[str, Any] = {"Server": "Jetty(9.4.57.v20241219)", "Content_Type": "text/html;charset=iso-8859-1"}
FAILED = b"<h2>HTTP ERROR 503 Endpoint Creation Failed</h2><hr/>Powered by Jetty:// 9.4.57"


def test_jetty_s_503_is_an_endpoint_that_could_not_be_made():
    found = judged(refused("503 Service Unavailable", FAILED, **JETTY))
    assert (found.id, found.fault_of, found.confidence) == ("WS-HS-021", "server", "high")
    assert "could not make the endpoint" in found.title
    assert ["returned null" in found.causes[0].cause, "not public" in found.causes[1].cause] == [True, True]


@pytest.mark.parametrize(
    ("body", "fields"),
    [(FAILED, {**JETTY, "Server": "other"}), (b"<h2>HTTP ERROR 503 Service Unavailable</h2>", JETTY)],
)
def test_another_503_is_not_jetty_s(body, fields):
    assert "endpoint" not in judged(refused("503 Service Unavailable", body, **fields)).title


LIMIT = "the upstream's limit is reached: max_conns"


@pytest.mark.parametrize(
    ("others", "place"),
    [
        ((other(),), 0),
        ((), -1),
        # It had ended before, or is to another path, which another upstream may serve.
        ((other(lived=0.5),), -1),
        ((other(path="/other"),), 1),
    ],
)
def test_a_502_of_nginx_may_be_its_limit_on_connections(others, place):
    found = judged(replace(refused("502 Bad Gateway", NGINX_502, Server="nginx/1.22.1"), others=others))
    assert (found.id, found.fault_of) == ("WS-HS-020", "hop")
    limits = [cause.cause.startswith(LIMIT) for cause in found.causes]
    assert limits[place]
    assert limits.count(True) == 1
    assert ("max_conns" in found.fixes[0].text) == (place == 0)


def test_what_is_not_nginx_s_has_no_max_conns():
    for name in ("awselb/2.0", "Apache/2.4.57"):
        found = judged(replace(refused("502 Bad Gateway", Server=name), others=(other(),)))
        assert not [cause for cause in found.causes if cause.cause.startswith(LIMIT)]


def test_a_503_of_nginx_is_a_limit_of_its_own_first():
    page = NGINX_502.replace(b"502 Bad Gateway", b"503 Service Temporarily Unavailable")
    found = judged(refused("503 Service Temporarily Unavailable", page, Server="nginx/1.22.1"))
    assert (found.id, found.fault_of) == ("WS-HS-021", "hop")
    assert found.causes[0].cause.startswith("nginx's limit_conn or limit_req")


def test_a_504_may_be_a_connection_that_was_not_made():
    """nginx says so where a firewall drops its packets, too: then the application never saw the request."""
    page = NGINX_502.replace(b"502 Bad Gateway", b"504 Gateway Time-out")
    found = judged(refused("504 Gateway Time-out", page, Server="nginx/1.22.1"))
    assert (found.id, found.confidence) == ("WS-HS-022", "medium")
    assert ["did not answer in time" in one.cause for one in found.causes] == [True, False]
    assert found.causes[1].cause.startswith("packets to the application's address are dropped")
