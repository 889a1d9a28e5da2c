"""Values with units, addresses and taps."""

from __future__ import annotations

import click
import pytest

from wsinspect.cli import options
from wsinspect.cli.options import Address, TapSpec, Target


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("0B", 0),
        ("64KiB", 65536),
        ("64 kib", 65536),
        ("1.5MB", 1_500_000),
        ("4GiB", 4 << 30),
        ("4096B", 4096),
    ],
)
def test_size_is_read(text, expected):
    assert options.parse_size(text) == expected


@pytest.mark.parametrize(
    ("text", "words"),
    [("4096", "no unit"), ("", "no size"), ("-1B", "no size"), ("1QB", "unknown unit 'QB'")],
)
def test_wrong_size_says_what_to_write(text, words):
    with pytest.raises(ValueError, match=words):
        options.parse_size(text)


@pytest.mark.parametrize(
    ("text", "expected"),
    [("250ms", 250_000_000), ("1.5s", 1_500_000_000), ("2m", 120 * 10**9), ("7ns", 7), ("0s", 0)],
)
def test_duration_is_read(text, expected):
    assert options.parse_duration(text) == expected


@pytest.mark.parametrize(
    ("text", "words"),
    [("250", "no unit"), ("x", "no duration"), ("1d", "unknown unit"), ("1S", "unknown unit")],
)
def test_wrong_duration_says_what_to_write(text, words):
    with pytest.raises(ValueError, match=words):
        options.parse_duration(text)


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
    address = options.parse_address(text)
    assert address == Address(host, port)
    assert str(address) == written
    assert options.parse_address(written) == address


@pytest.mark.parametrize("text", ["", "x", ":80", "::1:80", "h:", "h:65536", "h:-1", "h:８０"])
def test_wrong_address_is_refused(text):
    with pytest.raises(ValueError, match="write"):
        options.parse_address(text)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("http://localhost", Target("http", "localhost", 80)),
        ("wss://example.org/", Target("https", "example.org", 443)),
        ("ws://[::1]:9000", Target("http", "::1", 9000)),
    ],
)
def test_target_is_read(text, expected):
    assert options.parse_target(text) == expected


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("localhost:3000", "no URL"),
        ("ftp://x", "no URL"),
        ("http://", "no URL"),
        ("http://x/path", "path comes from the client"),
        ("http://x?y", "path comes from the client"),
        ("http://u@x", "only scheme"),
        ("http://x:99999", "99999"),
        ("http://x:0", "port 0"),
        ("http://[x", "Invalid"),
    ],
)
def test_wrong_target_is_refused(text, words):
    with pytest.raises(ValueError, match=words):
        options.parse_target(text)


def test_tap_is_read():
    tap = options.parse_tap("edge=8081=http://127.0.0.1:80")
    assert tap == TapSpec("edge", Address("127.0.0.1", 8081), Target("http", "127.0.0.1", 80))
    assert str(tap.target) == "http://127.0.0.1:80"


@pytest.mark.parametrize(
    "text", ["", "edge", "edge=8081", "=1=http://x", "a b=1=http://x", "e=x=http://x", "e=1=x"]
)
def test_wrong_tap_is_refused(text):
    with pytest.raises(ValueError, match=r"tap|port|URL"):
        options.parse_tap(text)


def test_types_refuse_as_click_does():
    assert options.SIZE.convert(7, None, None) == 7
    with pytest.raises(click.BadParameter, match="no unit"):
        options.SIZE.convert("7", None, None)
