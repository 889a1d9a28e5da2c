from __future__ import annotations

import pytest

from tests.support.chats import RESPONSE, SECRET_REQUEST
from wsinspect.formats.masking import Masker

HEADS = [SECRET_REQUEST, RESPONSE]


@pytest.mark.parametrize(
    "line",
    [
        "Cookie: sid=s3cr3t; theme=dark",
        "the header was Authorization: Bearer t0k3n, 30 bytes",
        "GET /room?id=7&token=abc123 HTTP/1.1",
        "Set-Cookie: fresh=c00k1e; Path=/",
        "wss://chat.example/room?id=7&token=abc123 was refused",
        "/room?id=7&token=abc123",
    ],
)
def test_what_a_handshake_holds_as_a_secret_is_masked_wherever_it_is_quoted(line: str) -> None:
    masked = Masker(HEADS).text(line)
    for secret in ("s3cr3t", "t0k3n", "abc123", "c00k1e"):
        assert secret not in masked
    assert "***" in masked
    assert Masker(HEADS, is_off=True).text(line) == line


@pytest.mark.parametrize("odd", ["it's", '"a"', "<b>", "a b", "\u202e"])
def test_a_whole_url_is_masked_whatever_characters_it_has(odd: str) -> None:
    """In a sentence a URL ends at a quote; clients other than browsers send them as they are."""
    for url in (
        f"ws://chat.example/?q={odd}&token=abc123",
        f"ws://{odd}.example/?token=abc123",
        f"/{odd}?token=abc123",
    ):
        assert Masker([]).url(url) == url.replace("abc123", "***")
        assert Masker([], is_off=True).url(url) == url


def test_words_that_are_no_secrets_stay() -> None:
    masker = Masker(HEADS)
    for line in ("id=7 in room 7", "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==", "a dark theme is bad"):
        assert masker.text(line).replace("***", "dark") == line


@pytest.mark.parametrize(
    ("text", "masked"),
    [
        ('{"op":"login","token":"eyJhbGciOi"}', '{"op":"login","token":***}'),
        ('{"accessToken": "a\\"b", "n": 1}', '{"accessToken": ***, "n": 1}'),
        ("password=hunter2&x=1", "password=***&x=1"),
        ('{"token":"cut of', '{"token":***'),
        ('{"n":1}', '{"n":1}'),
        ('"a":"token":"b"', '"a":"token":***'),
        ("api_key = 1, apikey=2; x-api-key: 3", "api_key = ***, apikey=***; x-api-key: ***"),
        ("token token: , token", "token token: , token"),
    ],
)
def test_what_messages_name_a_secret_is_masked(text: str, masked: str) -> None:
    assert Masker([]).payload(text) == masked


def test_json_is_masked_as_a_whole() -> None:
    value = {"evidence": ["Cookie: sid=s3cr3t"], "n": 1, "none": None, "fix": ("t0k3n",)}
    assert Masker(HEADS).value(value) == {
        "evidence": ["Cookie: sid=***"],
        "n": 1,
        "none": None,
        "fix": ["***"],
    }


def test_header_blocks_of_strangers_raise_nothing() -> None:
    masker = Masker([b"\xff\0cookie: \xff=\xff\r\n\r\n", b":path: /?token=%zz\r\ncookie: x\r\n\r\n", b""])
    assert masker.text("plain") == "plain"


LONG = "L0ng" + "abcdef0123456789" * 40
CUT = Masker([f"GET / HTTP/1.1\r\nCookie: sid={LONG}; b=L0nz9\r\n\r\n".encode()])


@pytest.mark.parametrize("kept", [4, 9, 70, 300, len(LONG) - 1, len(LONG)])
@pytest.mark.parametrize("cut", ["", "…", "... (40 characters more)", "… and more"])
def test_a_secret_that_is_cut_off_is_masked(kept: int, cut: str) -> None:
    said = f'["hello","{LONG[:kept]}{cut}'
    for mask in (CUT.text, CUT.payload):
        assert mask(said) == f'["hello","***{cut}'


def test_what_only_begins_as_a_secret_does_stays() -> None:
    for words in ("L0ng live the cat", f"{LONG[:40]} is not all", "L0n", "L0n…", f"{LONG[:9]}x…", ""):
        assert CUT.text(words) == words


def test_a_json_web_token_in_a_message_needs_no_name() -> None:
    token = "eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiIxMjM0In0"
    for said in (f'["{token}.c2lnbmF0dXJl"]', f'["{token}."]', f'["{token}"]', f'["{token[:30]}"]'):
        assert Masker([]).payload(said) == '["***"]'
    header = '["eyJhbGciOiJIUzI1NiJ9"]'
    assert Masker([]).payload(header) == header


def test_of_several_secrets_at_a_place_the_longest_is_masked() -> None:
    head = b"GET /?token=s3cr3t&key=s3cr HTTP/1.1\r\nCookie: a=s3cr3t9; b=t9xyz\r\n\r\n"
    masked = Masker([head]).text("s3cr3t9 s3cr3t s3cr s3c s3cr3t9xyz xs3cr3tx")
    assert masked == "*** *** *** s3c ***xyz x***x"


@pytest.mark.parametrize(
    "word", ["x", "token", "a-", "token ", 'token"', "token:", "token='", "eyJ-", "eyJ."]
)
def test_what_a_peer_says_is_masked_in_time_that_grows_with_its_length_alone(word: str) -> None:
    # With a square of steps these would take minutes each.
    long = word * 200_000
    assert Masker([]).payload(f"{long} token: s3cr3t").count("s3cr3t") == 0
