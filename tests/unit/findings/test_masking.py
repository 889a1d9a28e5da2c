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
            ("Set-Cookie: sid=77; Path=/", "Set-Cookie: sid=***; Path=***"),
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
