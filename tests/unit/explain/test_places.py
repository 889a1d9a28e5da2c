"""What a line names: URLs, servers behind, paths, statuses, codes and times."""

import datetime

import pytest

from wsinspect.explain.places import Places, best, read_places
from wsinspect.explain.reading import Line, read_lines


def places(text, **groups):
    [line] = read_lines(text.encode()).lines
    return read_places(line, groups)


@pytest.mark.parametrize(
    ("text", "target"),
    [
        ("connection to 'wss://a.example/ws?x=1&y=2' failed", "wss://a.example/ws?x=1&y=2"),
        (
            "Firefox can’t establish a connection to the server at ws://localhost:7000/.",
            "ws://localhost:7000/",
        ),
        ("see (https://a.example/cable), please", "wss://a.example/cable"),
        ("“ws://a.example/x”", "ws://a.example/x"),
        ("url=WSS://A.example/x;", "wss://A.example/x"),
        ("no url here", None),
    ],
)
def test_a_url_is_what_the_doctor_is_asked_about(text, target):
    assert places(text).target == target


def test_groups_of_a_pattern_are_believed_first():
    found = places("wss://a.example/ws refused", host="10.0.0.1", port="3000")
    assert found.host == "10.0.0.1:3000"
    assert places("x", host="::1", port="3000").host == "[::1]:3000"
    assert places("x", host="a b", port="1").host is None


def test_nginx_names_both_sides():
    found = places(
        'failed, client: 127.0.0.1, server: _, request: "GET /ws?a=1 HTTP/1.1", '
        'upstream: "http://127.0.0.1:9999/ws", host: "app.example:8443"'
    )
    assert (found.host, found.path) == ("app.example:8443", "/ws?a=1")
    assert found.target == "app.example:8443/ws?a=1"
    assert found.direct == "http://127.0.0.1:9999/ws"
    assert found.hosts == ("app.example", "localhost")
    assert found.request_path == "/ws"


def test_fields_of_json_logs():
    found = places('{"ts":1795964415.5,"status":502,"request":{"host":"localhost:9380","uri":"/ws"}}')
    assert found.target == "localhost:9380/ws"
    assert (found.status, found.time_ns) == (502, 1795964415500000000)


def test_an_upstream_alone_is_asked_itself():
    assert places("x", upstream="127.0.0.1:9999").target == "127.0.0.1:9999"
    assert places("x", upstream="127.0.0.1:9999").direct is None
    assert places("x", upstream="$(reboot)").upstream is None


@pytest.mark.parametrize(("status", "code"), [("99", "999"), ("600", "5000"), ("40", "x"), ("", "")])
def test_numbers_that_are_neither_status_nor_code(status, code):
    assert places("x", status=status, code=code) == Places()


@pytest.mark.parametrize(
    "text",
    [
        "2026-11-29T14:31:41.5Z [error] x",
        "2026-11-29 15:31:41,500+01:00 x",
        "10.0.0.1 - - [29/Nov/2026:14:31:41 +0000] x",
        '{"time":"2026-11-29T14:31:41Z","msg":"x"}',
    ],
)
def test_times_with_a_zone(text):
    moment = datetime.datetime(2026, 11, 29, 14, 31, 41, tzinfo=datetime.UTC)
    assert places(text).time_ns == int(moment.timestamp()) * 10**9


@pytest.mark.parametrize(
    "text",
    [
        "2026/11/29 14:31:41 [error] 7#7: x",
        "haproxy[1]: 10.0.0.1:1 [29/Nov/2026:14:31:41.123] f b/s x",
        "[Sun Nov 29 14:31:41.731566 2026] [proxy:error] x",
    ],
)
def test_times_without_a_zone_are_this_machines(text):
    assert places(text).time_ns == int(datetime.datetime(2026, 11, 29, 14, 31, 41).timestamp()) * 10**9


@pytest.mark.parametrize("text", ["2026-99-99T99:99:99Z x", "[99/Nov/0001:14:31:41.123] x", "2026-11-29 x"])
def test_what_is_no_time(text):
    assert places(text).time_ns is None


def test_several_lines_together():
    assert best([Places(status=404), Places(url="ws://a/"), Places(url="ws://b/")]) == Places(
        url="ws://a/", status=404
    )
    assert best([]) == Places()
    assert read_places(Line(1, "http://[", {}), {}).hosts == ()
