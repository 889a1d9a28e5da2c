"""An opening handshake for other clients: what is left out, what is quoted."""

from __future__ import annotations

import json
import re
import shlex

from hypothesis import given
from hypothesis import strategies as st

from wsinspect.handshake.heads import RawHead
from wsinspect.present.client_commands import (
    CLIENT_COMMANDS,
    OpeningRequest,
    javascript,
    opening_request,
    python,
    websocat,
    wscat,
)
from wsinspect.present.curl import curl_of

HEAD = RawHead.parse(
    b"GET /chat?room=1 HTTP/1.1\r\nHost: example.org:8080\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
    b"Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n"
    b"Sec-WebSocket-Protocol: chat.v2, chat.v1\r\nSec-WebSocket-Extensions: permessage-deflate\r\n"
    b"Origin: https://example.org\r\nCookie: a='1'; b=2\r\nX-Trace: one\r\nX-Trace: two\r\n\r\n"
)
REQUEST = opening_request("ws", "example.org", 8080, "/chat?room=1", HEAD)


def test_what_the_clients_make_themselves_is_left_out():
    assert (
        OpeningRequest(
            "ws://example.org:8080/chat?room=1",
            (("Cookie", "a='1'; b=2"), ("X-Trace", "one"), ("X-Trace", "two")),
            ("chat.v2", "chat.v1"),
            "https://example.org",
            True,
        )
        == REQUEST
    )
    assert opening_request("wss", "::1", None, None, None) == OpeningRequest("wss://[::1]/")


def test_a_shell_reads_the_words_as_they_were():
    assert shlex.split(websocat(REQUEST)) == [
        "websocat",
        "--exit-on-eof",
        "--linemode-strip-newlines",
        "-H=Cookie: a='1'; b=2",
        "-H=X-Trace: one",
        "-H=X-Trace: two",
        "--origin=https://example.org",
        "--protocol=chat.v2, chat.v1",
        "ws://example.org:8080/chat?room=1",
    ]
    words = shlex.split(wscat(REQUEST))
    assert words[:3] == ["wscat", "--connect", "ws://example.org:8080/chat?room=1"]
    assert words[3:5] == ["--header", "Cookie:a='1'; b=2"]
    assert words[-4:] == ["--subprotocol", "chat.v2", "--subprotocol", "chat.v1"]


def test_a_repeated_field_is_a_list_in_javascript():
    text = javascript(REQUEST)
    found = re.search(r"const options = (\{.*?\n\});", text, re.DOTALL)
    assert found is not None
    options = json.loads(found[1])
    assert options["headers"] == {"Cookie": "a='1'; b=2", "X-Trace": ["one", "two"]}
    assert options["perMessageDeflate"] is True


def test_python_offers_compression_only_where_it_was_offered():
    assert "compression=None" not in python(REQUEST)
    assert "compression=None" in python(opening_request("ws", "a", 1, "/", None))


@given(name=st.binary(max_size=20), value=st.binary(max_size=40), path=st.text(max_size=30))
def test_no_bytes_of_a_peer_break_out_of_what_is_copied(name, value, path):
    head = RawHead.parse(b"GET / HTTP/1.1\r\n" + name + b": " + value + b"\r\n\r\n")
    request = opening_request("ws", "host", 1, "/" + path, head)
    for command in CLIENT_COMMANDS.values():
        text = command.make(request)
        assert all(char.isprintable() or char == "\n" for char in text)
        if command.suffix == ".sh":
            assert len(shlex.split(text)) >= 2
            assert "\n" not in text
        elif command.suffix == ".py":
            compile(text, "copied.py", "exec")


def test_a_websocket_over_http2_becomes_an_upgrade():
    """Neither curl nor the others have RFC 8441."""
    head = RawHead.parse(
        b":method: CONNECT\r\n:protocol: websocket\r\n:scheme: https\r\n:path: /a\r\n:authority: h\r\n"
        b"sec-websocket-version: 13\r\ncookie: a=1\r\n\r\n"
    )
    said = curl_of("wss", "h", None, "/a", head)
    assert "':" not in said
    assert said.startswith("curl --http1.1 ")
    assert "-H 'cookie: a=1'" in said
    assert "-H 'Upgrade: websocket'" in said
    assert said.endswith("https://h/a")
    request = opening_request("wss", "h", None, "/a", head)
    assert request.fields == (("cookie", "a=1"),)
    assert websocat(request) == "websocat --exit-on-eof --linemode-strip-newlines '-H=cookie: a=1' wss://h/a"
