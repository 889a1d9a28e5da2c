"""Lines of evidence that rules share: marks of proxies in a request, ends, what a page sees."""

from dataclasses import replace

import pytest

from tests.unit.findings.facts_made import CONNECT, cut, ended, opened, refused, request
from wsinspect.findings.evidence import cache_lines, end_line, js_sees, named, request_marks, status_line
from wsinspect.handshake.heads import RawHead


def marks(**fields):
    return request_marks(RawHead.parse(request(**fields)))


@pytest.mark.parametrize(
    ("fields", "software"),
    [
        ({"Via": "1.1 Caddy"}, ("caddy",)),
        ({"Via": "1.1 abc.cloudfront.net (CloudFront)"}, ("aws",)),
        ({"Via": "1.1 google"}, ("gcp",)),
        ({"Via": "1.1 vegur"}, ("heroku",)),
        ({"Via": "1.1 somebody"}, ()),
        ({"CF_Ray": "8f"}, ("cloudflare",)),
        ({"X_Amzn_Trace_Id": "Root=1"}, ("aws",)),
        ({"X_Forwarded_For": "10.0.0.1"}, ()),
        ({}, ()),
    ],
)
def test_a_proxy_before_the_tap_is_named_only_by_a_field_of_its_own(fields, software):
    found = marks(**fields)
    assert named(found) == software
    assert len(found) == len(fields)


def test_fields_that_name_somebody_come_first():
    found = marks(X_Forwarded_For="10.0.0.1", CF_Ray="8f")
    assert [mark.software for mark in found] == ["cloudflare", ""]
    assert found[1].evidence == "request x-forwarded-for: 10.0.0.1"
    assert request_marks(None) == ()


def test_a_status_without_headers_or_a_time_is_shown_as_far_as_it_is_known():
    assert status_line(refused("403 Forbidden")) == "HTTP/1.1 403 Forbidden after 3 ms"
    bare = replace(refused("403 Forbidden"), raw_response_in=None, times={})
    assert status_line(bare) == "status 403"


def test_what_a_page_sees_has_the_reason_of_the_code_that_it_sees():
    assert js_sees(opened()) == "Nothing yet: the connection is open."
    assert js_sees(ended(reason="bye")) == "close with code 1000, wasClean true, reason 'bye'"
    assert js_sees(cut()) == "close with code 1006, wasClean false, empty reason"


def test_who_ended_it_and_how_is_one_line():
    assert end_line(cut(how="rst")) == "ended by the server (RST); on the wire: server RST"
    nobody = replace(cut(), ended_by="both", ends=())
    assert end_line(nobody) == "ended by both sides (FIN); on the wire: no end of a TCP connection"
    unsure = replace(cut(how="rst"), ended_by="unknown", how=None)
    assert end_line(unsure) == "ended by an unknown side; on the wire: server RST"


@pytest.mark.parametrize("by", [None, "unknown"])
def test_of_what_has_not_ended_or_whose_end_is_missing_no_end_is_said(by):
    assert end_line(replace(opened(), ended_by=by)) == "the connection is open"
    lost = replace(opened(), state="lost", ended_by=by)
    assert end_line(lost) == "its end was not recorded: the proxy exited"
    assert end_line(replace(lost, has_lost_records=True)) == "its end was not recorded"
    assert js_sees(lost) == "Not known: the end of the connection was not recorded."


def test_what_a_cache_says_is_quoted_and_silence_is_not():
    assert cache_lines(refused("403 Forbidden", X_Cache="HIT", Age="5")) == ("X-Cache: HIT", "Age: 5")
    assert cache_lines(refused("403 Forbidden")) == ()
    assert cache_lines(replace(refused("403 Forbidden"), raw_response_in=None)) == ()


def test_the_authority_of_http2_stands_for_host():
    over2 = replace(refused("403 Forbidden"), raw_request_in=CONNECT)
    assert over2.request_line("Host") == ":authority: example.org"
    assert refused("403 Forbidden").request_line("Host") == "Host: example.org"
    assert over2.request_line("Cookie") == "no Cookie"
