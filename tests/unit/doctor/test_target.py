"""What the user writes: URLs, headers, cookies, subprotocols."""

from __future__ import annotations

import pytest

from wsinspect.doctor.target import (
    Target,
    origin_address,
    parse_cookie,
    parse_header,
    parse_subprotocols,
    parse_target,
    query_of,
    target_of_handshake,
    with_query,
    without_query,
)


@pytest.mark.parametrize(
    ("text", "target", "is_assumed"),
    [
        ("ws://example.org", Target("ws", "example.org", 80, "/"), False),
        ("wss://Example.org:8443/a?b=c", Target("wss", "example.org", 8443, "/a?b=c"), False),
        ("ws://[::1]:3000/", Target("ws", "::1", 3000, "/"), False),
        ("wss://bücher.example/ä", Target("wss", "xn--bcher-kva.example", 443, "/%C3%A4"), False),
        ("example.org/socket", Target("wss", "example.org", 443, "/socket"), True),
        ("example.org:443", Target("wss", "example.org", 443, "/"), True),
        ("localhost", Target("ws", "localhost", 80, "/"), True),
        ("localhost:3000/x", Target("ws", "localhost", 3000, "/x"), True),
        # A container's name.
        ("ws:8080/chat", Target("ws", "ws", 8080, "/chat"), True),
        ("ws/chat", Target("ws", "ws", 80, "/chat"), True),
        ("wss.example.org", Target("wss", "wss.example.org", 443, "/"), True),
        ("10.0.0.1", Target("ws", "10.0.0.1", 80, "/"), True),
        ("[::1]:3000", Target("ws", "::1", 3000, "/"), True),
        (" ws://example.org/a%20b ", Target("ws", "example.org", 80, "/a%20b"), False),
    ],
)
def test_urls(text, target, is_assumed) -> None:
    found, assumed = parse_target(text)
    assert found == target
    assert (assumed is not None) == is_assumed
    if assumed:
        assert f"{target.scheme}://" in assumed


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("http://example.org/a", "ws://example.org/a"),
        ("https://example.org", "wss://example.org"),
        ("ftp://example.org", "not a WebSocket URL"),
        ("ws://exa\0mple.org", "not a host name"),
        ("ws://<b>/", "not a host name"),
        ("ws://", "no host"),
        ("", "no host"),
        ("ws://user:pass@example.org", "--header"),
        ("ws://example.org/#top", "fragment"),
        ("ws://example.org:0/", "port 0"),
        ("ws://example.org:99999/", "Port"),
        ("example.org:port", "Port"),
        ("ws://[::1/", "Invalid"),
        ("ws//example.org/a", "write ws://example.org/a"),
        ("ws:/example.org", "write ws://example.org"),
        ("WSS:example.org:1", "write wss://example.org:1"),
        ("ws:\\\\example.org", "write ws://example.org"),
        ("http:/example.org", "write http://example.org"),
    ],
)
def test_invalid_urls_are_refused(text, words) -> None:
    with pytest.raises(ValueError, match=r".") as caught:
        parse_target(text)
    assert words in str(caught.value)


def test_a_target_says_what_a_page_from_its_server_sends() -> None:
    target = Target("wss", "example.org", 443, "/a?b")
    assert (target.authority, target.origin, target.path, target.query) == (
        "example.org",
        "https://example.org",
        "/a",
        "b",
    )
    assert str(target) == "wss://example.org/a?b"
    assert Target("ws", "::1", 81, "/").origin == "http://[::1]:81"
    assert str(target.with_path("/c")) == "wss://example.org/c?b"


def test_parameters_are_added() -> None:
    target = Target("ws", "example.org", 80, "/a")
    assert with_query(target, ()) is target
    assert with_query(target, ("token=a b&c",)).target == "/a?token=a%20b%26c"
    assert with_query(target._replace(target="/a?x=1"), ("y=2", "z=3")).target == "/a?x=1&y=2&z=3"


def test_what_was_added_to_a_query_can_be_left_out() -> None:
    for text in ("ws://example.org/chat", "ws://example.org/chat?a=1", "ws://example.org/?x=y&b"):
        target, _ = parse_target(text)
        pairs = ("token=a&b", "x=y")
        assert without_query(with_query(target, pairs), query_of(pairs)) == target
        assert without_query(target, "") is None
        assert without_query(target, "other=1") is None
    assert without_query(parse_target("ws://example.org/?notx=y")[0], "x=y") is None


def test_headers_cookies_and_subprotocols() -> None:
    assert parse_header("Authorization:  Bearer x:y ") == ("Authorization", "Bearer x:y")
    assert parse_header("X-Empty:") == ("X-Empty", "")
    assert parse_cookie("a=b; c=d") == "a=b; c=d"
    assert parse_subprotocols(("chat, v2", "chat")) == ("chat", "v2")
    assert parse_subprotocols(()) == ()


@pytest.mark.parametrize("text", ["nothing", ": x", "a b: c", "a: b\r\nc: d", "a\0: b"])
def test_invalid_headers_are_refused(text) -> None:
    with pytest.raises(ValueError, match="not a header"):
        parse_header(text)


@pytest.mark.parametrize("text", ["session", "a=b\r\nX: y"])
def test_invalid_cookies_are_refused(text) -> None:
    with pytest.raises(ValueError, match="not a cookie"):
        parse_cookie(text)


@pytest.mark.parametrize("text", ["", "a b", "a,,b", "ä"])
def test_invalid_subprotocols_are_refused(text) -> None:
    with pytest.raises(ValueError, match="not a subprotocol"):
        parse_subprotocols((text,))


@pytest.mark.parametrize(
    ("request_head", "expected"),
    [
        (b"GET /ws HTTP/1.1\r\nHost: app.example:8443\r\n\r\n", "app.example"),
        (b"GET /ws HTTP/1.1\r\nHost: [::1]:80\r\n\r\n", "::1"),
        (b"GET /ws HTTP/1.1\r\nHost: [broken\r\n\r\n", None),
        (b"GET /ws HTTP/1.1\r\n\r\n", "10.0.0.1"),
        (None, "10.0.0.1"),
    ],
)
def test_a_recorded_attempt_is_for_the_name_in_its_host(request_head, expected) -> None:
    found = target_of_handshake("ws", "10.0.0.1", 8080, "/ws", request_head)
    assert (None if found is None else found.host) == expected
    assert found is None or (found.port, found.path) == (8080, "/ws")
    assert target_of_handshake("ws", "h", 80, "*", request_head) is None


@pytest.mark.parametrize(
    ("origin", "place"),
    [
        ("https://app.example", ("app.example", 443)),
        ("http://localhost:3000", ("localhost", 3000)),
        ("https://[::1]:8443", ("::1", 8443)),
        *(
            (one, None)
            for one in ("", "null", "file:///x", "chrome-extension://abc", "http://[", "http://x:99999")
        ),
    ],
)
def test_an_origin_says_where_its_pages_are_from(origin, place) -> None:
    assert origin_address(origin) == place
