"""Pages of a hop's own: a file that it served is known by its tag, what may be a page of it is ranked."""

from __future__ import annotations

from typing import Any

import pytest

from tests.unit.findings.facts_made import refused
from wsinspect.findings.own_pages import served_file
from wsinspect.findings.registry import diagnose_connection

TIME = "Mon, 30 Nov 2026 10:00:00 GMT"
#: The same, in seconds since 1970.
SECONDS = 1_796_032_800
PAGE: dict[str, Any] = {"Content_Type": "text/html"}
NGINX = {"Server": "nginx/1.22.1", "ETag": f'"{SECONDS:x}-10"', "Last_Modified": TIME}
APACHE = {"Server": "Apache/2.4.71", "ETag": f'"10-{SECONDS * 10**6 + 7:x}"', "Last_Modified": TIME}
#: 1796032800 and 16 to the base 36, then 1796032800000000007.
CADDY = {"Server": "Caddy", "ETag": '"tpb7s0g"', "Last_Modified": TIME, "Content_Length": "16"}
CADDY_2_8 = {**CADDY, "ETag": '"dn8ghpvjaps7g"'}


def first(facts):
    return diagnose_connection(facts)[0]


@pytest.mark.parametrize(
    ("fields", "name"),
    [
        (NGINX, "nginx"),
        ({**NGINX, "ETag": f'W/"{SECONDS:x}-10"'}, "nginx"),
        (APACHE, "Apache httpd"),
        ({**APACHE, "ETag": f'"10-{SECONDS * 10**6:x}-gzip"'}, "Apache httpd"),
        (CADDY, "Caddy"),
        (CADDY_2_8, "Caddy"),
    ],
)
def test_a_file_of_the_hop_is_known_by_its_entity_tag(fields, name):
    found = first(refused("200 OK", b"<!doctype html>x", **PAGE, **fields))
    assert (found.id, found.fault_of, found.hop, found.confidence) == ("WS-HS-004", "hop", name, "high")
    assert found.title == f"{name} itself answered with a file instead of 101 Switching Protocols"


@pytest.mark.parametrize(
    "fields",
    [
        {**NGINX, "ETag": f'"{SECONDS + 1:x}-10"'},  # another time than Last-Modified
        {**NGINX, "Server": "Werkzeug/3.0"},
        {**NGINX, "ETag": 'W/"10-18f3a2b"'},  # Express
        {**NGINX, "ETag": f'"{"f" * 5000}-10"'},
        {"Server": "nginx", "ETag": NGINX["ETag"]},
        {**NGINX, "Last_Modified": "yesterday"},
        {**CADDY, "Content_Length": "17"},
        {**CADDY, "Content_Length": "\u00b2"},  # a digit for `str.isdigit`, and no number
        {**CADDY, "Content_Length": "9" * 5000},
        {**CADDY, "ETag": '"g"'},
        {**APACHE, "ETag": '"10-0"'},
    ],
)
def test_another_tag_names_nobody(fields):
    facts = refused("200 OK", b"<!doctype html>x", **PAGE, **fields)
    assert served_file(facts) is None
    assert (first(facts).id, first(facts).fault_of) == ("WS-HS-004", "server")


def test_a_page_that_a_proxy_may_have_written_has_that_beside_its_rivals():
    found = first(refused("200 OK", b"<p>Sorry", Server="nginx", **PAGE))
    assert (found.fault_of, found.confidence) == ("server", "medium")
    assert "nginx answers so in the place of a server's refusal" in found.causes[1].cause
    unnamed = first(refused("200 OK", b"<p>Sorry", **PAGE))
    assert unnamed.confidence == "medium"
    assert unnamed.causes[1].cause.startswith("a hop answers so in the place")
    # A mark of an application's framework says whose page it is.
    own = first(refused("200 OK", b"<p>Sorry", Server="nginx", X_Powered_By="Express", **PAGE))
    assert (own.fault_of, own.confidence) == ("server", "high")
    assert not any("in the place of" in one.cause for one in own.causes)


def causes_of(status, body=b"<p>Sorry", **fields):
    return [one.cause for one in first(refused(status, body, **fields)).causes]


def test_an_error_page_of_a_named_hop_may_stand_for_the_servers_answer():
    assert any("(error_page)" in one for one in causes_of("404 Not Found", Server="nginx", **PAGE))
    built_in = b'<!DOCTYPE HTML PUBLIC "-//IETF//DTD HTML 2.0//EN"><p>The requested URL was not found'
    said = causes_of("404 Not Found", built_in, Server="Apache/2.4.71", **PAGE)
    assert any("ProxyErrorOverride" in one for one in said)
    # Nobody is named, or the answer is no page.
    assert not any("in the place" in one for one in causes_of("404 Not Found", **PAGE))
    plain = causes_of(
        "404 Not Found", b'{"error":"no room"}', Server="nginx", Content_Type="application/json"
    )
    assert not any("in the place" in one for one in plain)
