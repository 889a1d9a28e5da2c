"""Who made an answer of 502 or 505: a hop's own marks make it sure, an application's make it the server's."""

from dataclasses import replace

import pytest

from tests.unit.findings.facts_made import START, refused, request, switching
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
