"""Words of failure in messages and close reasons, and words that only look like them."""

import time

import pytest

from wsinspect.findings.failures import failure_in, failure_named, is_about_login
from wsinspect.findings.quotes import message_in, without_secrets


@pytest.mark.parametrize(
    "words",
    [
        "Invalid access token or password",
        "unauthenticated",
        "auth_invalid",
        "Not authorised",
        "jwt expired",
        "invalid_api_key",
        "Incorrect API key provided",
        "Token has expired",
        "session is expired",
        "Access denied for user 'a'",
        "No credentials",
        "JSON Web Token expired",
        "JsonWebTokenError: invalid token",
        "invalid x-api-key",
        "You must be logged in",
        "Bad CONNECT: Access refused for user 'guest'",
        "forbidden",
    ],
)
def test_words_about_a_login(words):
    assert is_about_login(words)


@pytest.mark.parametrize(
    "words",
    [
        "Unexpected token < in JSON at position 0",
        "Invalid token '<' while parsing JSON",
        "author not found",
        "authored by nobody",
        "Rate limit reached for tokens per min",
        "method not allowed",
        "the lease expired",
        "max_tokens is invalid",
    ],
)
def test_words_about_no_login(words):
    assert not is_about_login(words)


@pytest.mark.parametrize(
    ("value", "words"),
    [
        ({"type": "error", "error": {"code": None, "message": "Incorrect API key"}}, "Incorrect API key"),
        ({"type": "connectionError", "payload": {"message": "gone"}}, "gone"),
        ({"event": "pusher:error", "data": {"code": 4001, "message": "App not known"}}, "App not known"),
        ({"errors": [{"message": "bad query"}]}, "bad query"),
        ({"jsonrpc": "2.0", "id": None, "error": {"code": -32700, "message": "Parse error"}}, "Parse error"),
        ({"jsonrpc": "2.0", "id": 7, "error": {"code": -32601, "message": "Method not found"}}, None),
        ({"event": "order.denied", "reason": "no stock"}, None),
        ([{"error": "x"}], None),
    ],
)
def test_the_words_of_a_failure(value, words):
    assert failure_in(value) == words


def test_words_are_looked_for_a_few_levels_deep():
    value: object = "deep"
    for _ in range(5000):
        value = [value]
    assert message_in(value) is None
    assert message_in([[["near"]]]) == "near"


@pytest.mark.parametrize(
    ("said", "left"),
    [
        ("Invalid API key sk-live-51H8abcd", "Invalid API key ***"),
        ("bad jwt eyJhbGciOiJIUzI1NiJ9.e30.abc", "bad jwt ***"),
        ('{"token":"abcdef","a":1}', '{"token":"***","a":1}'),
        ("password=hunter2&x=1", "password=***&x=1"),
        ("token: abc123", "token: ***"),
        ("wrong password hunter2", "wrong password ***"),
        ("Bearer abc123 is unknown", "Bearer *** is unknown"),
        ("passcode:s3cretpw", "passcode:***"),
        ("pwd=s3cretpw, session=ab12", "pwd=***, session=***"),
        ("redis://:S3cretpw1@db is down", "redis://***@db is down"),
        ("ERR_HTTP2_PROTOCOL_ERROR", "ERR_HTTP2_PROTOCOL_ERROR"),
        ("us-east-1-prod-cluster-7", "us-east-1-prod-cluster-7"),
        ("token v2 is required", "token v2 is required"),
        ("Bearer token required", "Bearer token required"),
        ("Invalid token: expected a string", "Invalid token: expected a string"),
        ("room general-discussion-of-everything is full", "room general-discussion-of-everything is full"),
    ],
)
def test_a_title_has_no_secrets(said, left):
    assert without_secrets(said) == left


@pytest.mark.parametrize("piece", ["no ", "fail ", "token ", "invalid a ", "a1", "_-", "key=", "error:", "0"])
def test_long_hostile_text_is_read_fast(piece):
    text = piece * 20_000
    begin = time.perf_counter()
    is_about_login(text)
    failure_named(text)
    without_secrets(text[:2000])
    assert time.perf_counter() - begin < 0.5
