"""Looking through pages while they pass: what is found, whatever the pieces, and that it is bounded."""

import gzip
import zlib
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from wsinspect.findings.page_scan import MAX_BYTES, Scanner, inflater

TEXT = b"""<meta http-equiv="Content-Security-Policy" content="connect-src 'self'">
<script>const socket = new WebSocket("ws://example.org/ws");
navigator.serviceWorker.register('/sw.js')</script>
0{"sid":"x","upgrades":["websocket"]}"""


def scan(*pieces, inflate=None):
    scanner = Scanner(inflate)
    for piece in pieces:
        scanner.feed(piece)
    return scanner


@given(st.lists(st.integers(0, len(TEXT)), max_size=6))
def test_the_same_is_found_in_any_pieces(cuts):
    at = [0, *sorted(cuts), len(TEXT)]
    found = scan(*(TEXT[a:b] for a, b in pairwise(at)))
    assert found.urls == ["ws://example.org/ws"]
    assert found.code == "new WebSocket("
    assert found.worker == "/sw.js"
    assert found.policies == ["connect-src 'self'"]
    assert found.upgrades == ["websocket"]


@pytest.mark.parametrize(("name", "pack"), [("gzip", gzip.compress), ("deflate", zlib.compress), ("", bytes)])
def test_compressed_bodies_are_read(name, pack):
    assert scan(pack(TEXT), inflate=inflater(name)).code == "new WebSocket("


def test_broken_compression_and_unknown_encodings_are_nothing():
    assert scan(b"\x1f\x8bnot really", TEXT, inflate=inflater("gzip")).code is None
    with pytest.raises(ValueError, match="br"):
        inflater("br")


def test_only_the_beginning_is_looked_at():
    assert scan(b" " * MAX_BYTES, TEXT).urls == []


def test_a_bomb_is_cut():
    packed = gzip.compress(bytes(50_000_000))
    scanner = scan(packed, TEXT, inflate=inflater("gzip"))
    assert scanner.urls == []


@given(st.binary(max_size=2000))
def test_no_bytes_raise(data):
    scan(data)


@pytest.mark.parametrize(
    ("code", "urls"),
    [
        (b'new WebSocket("http://example.org/ws")', ["http://example.org/ws"]),
        (b"new WebSocket ( 'https://example.org/ws' )", ["https://example.org/ws"]),
        (b'fetch("http://example.org/ws")', []),
    ],
)
def test_the_constructor_takes_http_addresses_too(code, urls):
    assert scan(code).urls == urls
