"""What becomes of a URL's query in nginx: the line that drops it is named, and no line that keeps it."""

from __future__ import annotations

import pytest

from tests.support.configurations import git_applies, judgement, mend, read_in
from wsinspect.doctor.configuration.judging import with_configuration
from wsinspect.doctor.configuration.nginx.defects import seconds_of
from wsinspect.doctor.target import parse_target

URL = "ws://localhost/ws?token=1"
TOKEN = ("WS-HS-009", "HTTP/1.1 401", "sent: token in the query (values not shown)")
GOOD = """proxy_http_version 1.1; proxy_set_header Upgrade $http_upgrade;
        proxy_set_header Connection $http_connection; proxy_set_header Host $http_host;"""
PASS = "proxy_pass http://app;"


def read(folder, inside, passes=PASS):
    text = f"server {{\n    location / {{\n        {inside}\n        {passes}\n        {GOOD}\n    }}\n}}\n"
    return read_in(folder, {"app.conf": text}, "app.conf")


@pytest.mark.parametrize(
    ("inside", "line"),
    [
        ('set $args "";', "'set $args \"\"' drops"),
        ("set $args by=nginx;", "'set $args by=nginx' drops"),
        ('rewrite ^/a; set $args "";', "'set $args \"\"' drops"),  # nginx refuses that rewrite
        # A rewrite that does not match drops nothing.
        ('rewrite ^/old$ /new?; set $args "";', "'set $args \"\"' drops"),
        ("rewrite ^/old$ /new?; rewrite ^/ws$ /ws? break;", "'rewrite ^/ws$ /ws? break' drops"),
        ("rewrite ^/ws$ /ws?by=nginx? break;", "'rewrite ^/ws$ /ws?by=nginx? break' drops"),
        ('rewrite "^/w{1}s$" /ws? break;', "'rewrite \"^/w{1}s$\" /ws? break' drops"),
        ("rewrite ^/ws$ /ws? break; set $args $args&ip=$remote_addr;", "'rewrite ^/ws$ /ws? break' drops"),
    ],
)
def test_the_line_that_drops_the_query_is_named_and_its_diff_keeps_it(tmp_path, inside, line) -> None:
    found = read(tmp_path, inside)
    _, explained = with_configuration(judgement(*TOKEN), (found,), parse_target(URL)[0])
    assert explained is not None
    assert line in explained.defect.words
    assert "drops the query" not in str(mend(found, explained.defect, URL).defects)
    git_applies(found, explained.defect)


@pytest.mark.parametrize(
    ("inside", "passes"),
    [
        ("", PASS),
        ("set $args $args&ip=$remote_addr;", PASS),
        ("set $args ${args}&by=nginx;", PASS),
        ("set $args $args&ip=$remote_addr; rewrite ^/ws$ /ws?by=nginx break;", PASS),
        ("set $args $remote_addr;", PASS),
        ("rewrite ^/old$ /new?;", PASS),
        ("rewrite ^/a;", PASS),
        ('set $args ""; set $args token=1;', PASS),
        ('set $args "";', "proxy_pass http://app$request_uri;"),
        # nginx does not start with these: it says that the variable is there already.
        ("set $uri $remote_addr; set $request_uri x; set $http_host $remote_addr;", PASS),
        ("set $server_port $remote_addr;", PASS),
        ("set;", PASS),
        ("include;", PASS),
    ],
)
def test_a_query_that_is_kept_or_not_known_is_nobodys(tmp_path, inside, passes) -> None:
    found = read(tmp_path, inside, passes)
    _, explained = with_configuration(judgement(*TOKEN), (found,), parse_target(URL)[0])
    assert explained is None


@pytest.mark.parametrize(("value", "is_said"), [("$remote_addr", True), ("$args&ip=$remote_addr", False)])
def test_a_query_that_is_not_known_is_said(tmp_path, value, is_said) -> None:
    for url, expected in ((URL, is_said), (URL.partition("?")[0], False)):
        met = read(tmp_path, f"set $args {value};").meets(parse_target(url)[0])
        assert met is not None
        assert any("set $args" in one for one in met.unsure) == expected


def test_a_variable_of_the_query_is_that_of_the_new_one(tmp_path) -> None:
    inside = "set $args token=2; if ($arg_token = 1) { return 403; } if ($is_args = '') { return 404; }"
    met = read(tmp_path, inside).meets(parse_target(URL)[0])
    assert met is not None
    assert [one.kind for one in met.defects] == ["credentials"]


@pytest.mark.parametrize(
    ("text", "seconds"),
    [("60", 60), ("90s", 90), ("1h30m", 5400), ("1h 30", 3630), ("1500ms", 1.5)],
)
def test_a_time_is_read(text, seconds) -> None:
    assert seconds_of(text) == seconds


@pytest.mark.parametrize("text", ["", "s", "60x", "\u00b2", "9" * 5000, "1" * 60 + "!", "1h30m!"])
def test_what_is_no_time_is_refused_at_once(text) -> None:
    assert seconds_of(text) is None
