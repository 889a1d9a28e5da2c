"""Addresses and URLs of servers: read, refused, and written back."""

from __future__ import annotations

import pytest

from wsinspect.net import (
    Address,
    Endpoint,
    authority_of,
    bracketed,
    host_of,
    parse_address,
    parse_endpoint,
    unbracketed,
    url_of,
)


@pytest.mark.parametrize(
    ("text", "host", "port", "written"),
    [
        ("8080", "127.0.0.1", 8080, "127.0.0.1:8080"),
        ("0", "127.0.0.1", 0, "127.0.0.1:0"),
        ("0.0.0.0:80", "0.0.0.0", 80, "0.0.0.0:80"),
        ("[::1]:81", "::1", 81, "[::1]:81"),
    ],
)
def test_address_is_read_and_written(text, host, port, written):
    address = parse_address(text)
    assert address == Address(host, port)
    assert str(address) == written
    assert parse_address(written) == address
    assert Address.read(written) == address
    assert host_of(written) == host


@pytest.mark.parametrize("text", ["", "x", ":80", "::1:80", "h:", "h:65536", "h:-1", "h:８０"])
def test_wrong_address_is_refused(text):
    with pytest.raises(ValueError, match="write"):
        parse_address(text)


@pytest.mark.parametrize("text", ["", "80", "h:", "h:x", "h:65536", "h:８０"])
def test_text_that_no_address_was_written_as_gives_none(text):
    assert Address.read(text) is None


def test_address_of_a_socket():
    assert str(Address.of_socket(("::1", 80, 0, 0))) == "[::1]:80"
    assert str(Address.of_socket(["10.0.0.1", 9])) == "10.0.0.1:9"
    assert host_of(None) == ""


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("http://localhost", Endpoint("http", "localhost", 80)),
        ("wss://example.org/", Endpoint("https", "example.org", 443)),
        ("ws://[::1]:9000", Endpoint("http", "::1", 9000)),
    ],
)
def test_endpoint_is_read(text, expected):
    assert parse_endpoint(text) == expected


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("localhost:3000", "not a server URL"),
        ("ftp://x", "not a server URL"),
        ("http://", "not a server URL"),
        ("http://x/path", "only scheme, host and port"),
        ("http://x?y", "only scheme, host and port"),
        ("http://u@x", "only scheme, host and port"),
        ("http://x:99999", "99999"),
        ("http://x:0", "port 0"),
        ("http://[x", "Invalid"),
    ],
)
def test_wrong_endpoint_is_refused(text, words):
    with pytest.raises(ValueError, match=words):
        parse_endpoint(text)


def test_endpoint_is_written_with_its_port_and_its_authority_without_a_default_one():
    endpoint = Endpoint("https", "::1", 443)
    assert str(endpoint) == "https://[::1]:443"
    assert endpoint.authority == "[::1]"
    assert authority_of("ws", "a", 443) == "a:443"
    assert authority_of("ws", "a", None) == "a"


def test_brackets_are_set_once_and_taken_off():
    assert bracketed("::1") == bracketed("[::1]") == "[::1]"
    assert unbracketed("[::1]") == unbracketed("::1") == "::1"
    assert bracketed("a") == unbracketed("a") == "a"


@pytest.mark.parametrize(
    ("parts", "url"),
    [
        (("ws", "a", 80, "/x"), "ws://a/x"),
        (("wss", "a", 443, None), "wss://a/"),
        (("wss", "::1", 8443, "/x?y"), "wss://[::1]:8443/x?y"),
        ((None, None, None, None), "ws:///"),
    ],
)
def test_url_is_put_together(parts, url):
    assert url_of(*parts) == url
