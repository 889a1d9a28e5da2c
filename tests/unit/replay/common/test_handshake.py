"""Opening handshakes of a replay: what is new in them, and where secrets may go."""

from __future__ import annotations

import pytest

from tests.support.chats import chat_capture
from tests.support.journals import need
from wsinspect.capture.reader import Capture
from wsinspect.errors import UsageError
from wsinspect.handshake.heads import RawHead
from wsinspect.handshake.negotiation import negotiate
from wsinspect.replay.common.handshake import Policy, Target, build_request, build_response, headers_of

KEY = b"dGhlIHNhbXBsZSBub25jZQ=="


@pytest.fixture(scope="module")
def recorded(tmp_path_factory):
    path = chat_capture(tmp_path_factory.mktemp("handshake") / "a.db")
    with Capture.open(path) as capture:
        return need(capture.connection(1)), need(capture.handshake(1))


def request(recorded, url, *headers, one=None, **policy):
    connection, handshake = recorded
    return build_request(
        one or connection, handshake, Target.parse(url), Policy(headers_of(headers), **policy), KEY
    )


def test_key_and_host_are_new_and_the_rest_is_as_recorded(recorded):
    made = request(recorded, "ws://127.0.0.1:3000")
    assert made.raw == (
        b"GET /room?id=7&token=abc123 HTTP/1.1\r\nHost: 127.0.0.1:3000\r\nUpgrade: websocket\r\n"
        b"Connection: Upgrade\r\nSec-WebSocket-Key: " + KEY + b"\r\nSec-WebSocket-Version: 13\r\n"
        b"Cookie: sid=s3cr3t; theme=dark\r\nAuthorization: Bearer t0k3n\r\n\r\n"
    )
    assert made.withheld == ()


@pytest.mark.parametrize(
    "url",
    ["ws://localhost", "ws://[::1]:9", "ws://app.localhost", "ws://chat.example:81", "wss://CHAT.example"],
)
def test_secrets_go_to_this_machine_and_to_the_recorded_host(recorded, url):
    made = request(recorded, url)
    assert (b"s3cr3t" in made.raw, made.withheld) == (True, ())


@pytest.mark.parametrize(
    "url", ["ws://other.example", "wss://chat.example.evil", "ws://10.0.0.1", "ws://localhost.evil"]
)
def test_secrets_go_nowhere_else(recorded, url):
    made = request(recorded, url)
    for secret in (b"s3cr3t", b"t0k3n", b"abc123"):
        assert secret not in made.raw
    assert made.withheld == ("the query's secrets", "Cookie", "Authorization")


def test_secrets_of_tls_do_not_go_in_the_clear(recorded):
    one = recorded[0]._replace(scheme="wss")
    assert b"s3cr3t" not in request(recorded, "ws://chat.example", one=one).raw
    assert b"s3cr3t" in request(recorded, "wss://chat.example", one=one).raw


def test_secrets_go_anywhere_with_send_secrets(recorded):
    made = request(recorded, "ws://other.example", send_secrets=True)
    assert (b"s3cr3t" in made.raw, made.withheld) == (True, ())


def test_given_headers_replace_recorded_ones_and_go_anywhere(recorded):
    made = request(recorded, "ws://other.example/x?y=1", "Cookie: sid=new", "X-New: 1", "Authorization:")
    head = RawHead.parse(made.raw)
    assert head.target == b"/x?y=1"
    assert head.get_all("cookie") == [b"sid=new"]
    assert head.get_all("x-new") == [b"1"]
    assert head.get("authorization") is None
    assert made.withheld == ()


def test_what_an_import_lacks_is_added(recorded):
    connection, _ = recorded
    made = build_request(connection, None, Target.parse("ws://a:1"), Policy(), KEY)
    assert negotiate(RawHead.parse(made.raw), None).problems == ()


@pytest.mark.parametrize("url", ["localhost:1", "ftp://a", "ws://", "ws://a:99999", "ws://a:0", "ws://[a"])
def test_invalid_urls_are_refused(url):
    with pytest.raises(UsageError):
        Target.parse(url)


@pytest.mark.parametrize("text", ["x", ": x", "a\r\nb: c"])
def test_invalid_headers_are_refused(text):
    with pytest.raises(UsageError):
        headers_of([text])


def test_the_answer_is_the_recorded_one_with_a_new_accept(recorded):
    made = request(recorded, "ws://127.0.0.1")
    head = RawHead.parse(made.raw)
    answer = build_response(need(recorded[1].response_in), head, subprotocol="x", send_secrets=False)
    assert negotiate(head, RawHead.parse(answer)).problems == ()
    assert b"c00k1e" not in answer
    assert b"c00k1e" in build_response(recorded[1].response_in, head, subprotocol=None, send_secrets=True)
