"""No finding quotes a secret, whichever rule quotes what; and what is no secret stays."""

from dataclasses import replace

import pytest

from tests.support.every_case import every_case
from tests.unit.findings.facts_made import HELLO, cut, ended, refused, request
from tests.unit.findings.pairs_made import behind, pair
from wsinspect.findings.quotes import masked
from wsinspect.findings.registry import diagnose_connection, diagnose_pair

SECRET = "eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiIxMjM0In0.dozjgNryP4J3jVmNHl0w5N"
WORDS = f"login failed, token={SECRET}"


def said(findings) -> str:
    return "\n".join(
        line
        for one in findings
        for line in (one.title, one.js, *one.evidence, *(cause.cause for cause in one.causes))
    )


@pytest.mark.parametrize("by", ["client", "server"])
@pytest.mark.parametrize(
    "code",
    [1000, 1001, 1002, 1003, 1007, 1008, 1009, 1010, 1011, 1012, 1013, 3000, 3003, 4000, 4401, 4403, 4999],
)
def test_no_close_reason_shows_a_secret(by, code):
    facts = ended(*HELLO, by=by, code=code, reason=WORDS)
    assert SECRET not in said(diagnose_connection(facts))
    both = pair(facts, behind(replace(facts, server_close_reason="other", client_close_reason="other")))
    assert SECRET not in said(diagnose_pair(both))


@pytest.mark.parametrize(
    "status",
    [
        "302 Found",
        "400 Bad Request",
        "401 Unauthorized",
        "403 Forbidden",
        "404 Not Found",
        "426 Upgrade Required",
        "429 Too Many Requests",
        "500 Internal Server Error",
        "502 Bad Gateway",
        "503 Service Unavailable",
    ],
)
def test_no_answer_and_no_field_shows_one(status):
    head = request(
        f"/chat?token={SECRET}", Authorization=f"Bearer {SECRET}", Cookie=f"session={SECRET}; theme=dark"
    )
    body = f'{{"message": "invalid token: {SECRET}"}}'.encode()
    facts = refused(
        status,
        body,
        head=head,
        path=f"/chat?token={SECRET}",
        Location=f"https://example.org/login?token={SECRET}",
        Set_Cookie=f"sid={SECRET}",
    )
    found = diagnose_connection(facts)
    assert found
    assert SECRET not in said(found)


def test_what_is_masked_and_what_is_not():
    with every_case() as case:
        for line, expected in (
            ("Authorization: Basic dXNlcjpwYXNz", "Authorization: Basic ***"),
            ("Proxy-Authorization: Basic dXNlcjpwYXNz", "Proxy-Authorization: Basic ***"),
            ("Authorization: abc", "Authorization: ***"),
            ("Cookie: a=1; theme=dark", "Cookie: a=***; theme=***"),
            ("Set-Cookie: sid=77; Path=/; HttpOnly", "Set-Cookie: sid=***; Path=/; HttpOnly"),
            ("cookie:sid=abc", "cookie:sid=***"),
            ('{"Authorization": "Bearer abc", "n": 1}', '{"Authorization": "Bearer ***", "n": 1}'),
            ("{'Cookie': 'sid=abc'}", "{'Cookie': 'sid=***'}"),
            ("X-Api-Key: abcdef", "X-Api-Key: ***"),
            ("X-CSRF-Token: abc", "X-CSRF-Token: ***"),
            ("GET /ws?key=hunter HTTP/1.1", "GET /ws?key=*** HTTP/1.1"),
            ("GET /ws?a=1&sig=abc&ticket=def", "GET /ws?a=1&sig=***&ticket=***"),
            ("/login?next=%2Fws%3Faccess_token%3Dabc", "/login?next=%2Fws%3Faccess_token%3D***"),
            ("wss://user:pw@host/", "wss://***@host/"),
            ("wss://token@host/", "wss://***@host/"),
            ("passcode:guest", "passcode:***"),
            ('{"password": "two words"}', '{"password": "***"}'),
            (
                "Sec-WebSocket-Key is there; Authorization: Bearer abc",
                "Sec-WebSocket-Key is there; Authorization: Bearer ***",
            ),
            (
                "the 101 to /ws?token=abc has no Sec-WebSocket-Accept",
                "the 101 to /ws?token=*** has no Sec-WebSocket-Accept",
            ),
            ("/socket.io/?EIO=4&sid=lv_VI97HAXpY6yYWAAAC", "/socket.io/?EIO=4&sid=***"),
            ("server_max_window_bits=15; client_max_window_bits=10", None),
            ("Via: 1.1 a1b2c3d4e5f6a7b8c9d0e1f2a3b4c5d6.cloudfront.net (CloudFront)", None),
            ("X-Request-Id: 4bf92f3577b34da6a3ce929d0e0e4736", None),
            ("WWW-Authenticate: Bearer realm=api", None),
            ("Sec-WebSocket-Protocol: v12.stomp, graphql-transport-ws", None),
            ("invalid token: 3 segments", None),
            ("auth: 401", None),
            ("/login?code=1008", None),
            ('{"token_type":"bearer"}', None),
            ("id 550e8400-e29b-41d4-a716-446655440000", None),
            ("no Authorization", "no Authorization"),
            ("no Cookie", "no Cookie"),
            ("Sec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=", None),
            ("Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==", None),
            ("frame 4 c>s TEXT, header 81 85 37 fa 21 3d", None),
            ("ended by the server (FIN); on the wire: server FIN", None),
            ("the answer says: missing Sec-WebSocket-Key", None),
        ):
            with case(line):
                assert masked(line) == (line if expected is None else expected)


def test_a_cut_connection_keeps_its_evidence():
    (found,) = [one for one in diagnose_connection(cut(*HELLO)) if one.severity == "error"]
    assert "***" not in said([found])
