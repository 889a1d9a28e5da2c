from tests.unit.clients.made import digest, lost, refused, tried
from wsinspect.clients.facts import keyed_digest, known_by, retry_after
from wsinspect.faults.sessions import SessionBy
from wsinspect.handshake.heads import RawHead

REQUEST = RawHead.parse(
    b"GET /ws HTTP/1.1\r\nHost: a\r\nUser-Agent: Firefox\r\nOrigin: http://a\r\n"
    b"Cookie: sid=secret; theme=dark\r\n"
    b"Authorization: Bearer t0k3n\r\nX-User: ann\r\n\r\n"
)


def test_secrets_are_kept_as_digests_alone():
    known = known_by(REQUEST, "/ws?token=abcdefgh&t=1&EIO=4", digest)
    assert (known.user_agent, known.origin) == ("Firefox", "http://a")
    assert set(known.parts) == {"cookie sid", "cookie theme", "query token", "Authorization"}
    for secret in ("secret", "t0k3n", "abcdefgh"):
        assert secret not in repr(known)


def test_digests_are_equal_for_equal_values_and_differ_by_key():
    other = keyed_digest(b"another key")
    assert digest("a") == digest("a") != digest("b")
    assert digest("a") != other("a")


def test_the_users_choice():
    for by, is_there in (
        ("header:X-User", True),
        ("cookie:sid", True),
        ("query:user", True),
        ("query:no", False),
    ):
        known = known_by(REQUEST, "/ws?user=ann", digest, SessionBy.parse(by))
        assert (known.chosen is not None) == is_there, by
    by_header = known_by(REQUEST, "/", digest, SessionBy.parse("header:X-User")).chosen
    by_query = known_by(None, "/?user=ann", digest, SessionBy.parse("query:user")).chosen
    assert by_header == by_query == digest("ann")


def test_without_a_request_nothing_is_known():
    assert known_by(None, "/", digest).parts == {}


def test_retry_after():
    assert retry_after(b"3") == 3_000_000_000
    assert retry_after(" 10 ") == 10_000_000_000
    for value in (None, b"", b"soon", b"Wed, 21 Oct 2026 07:28:00 GMT", b"-1", b"99999999999"):
        assert retry_after(value) is None


def test_an_end_at_once_is_a_failed_try_but_not_of_the_clients_own_choice():
    assert lost(0, 1, "server", frames=(1, 0)).is_rejected
    assert lost(0, 1, "server", server_code=4401).is_rejected
    assert not lost(0, 1, "server", frames=(1, 1)).is_rejected
    assert not lost(0, 9, "server", server_code=4401, frames=(1, 0)).is_rejected
    assert not lost(0, 1, "client", frames=(1, 0)).is_rejected
    assert not lost(0, 0.5, "fault", frames=(1, 0)).is_rejected
    assert refused(0).is_failure


def test_lasting_answers():
    assert refused(0, 401).is_lasting
    assert not refused(0, 503).is_lasting
    assert lost(0, 9, "server", server_code=1008).is_lasting
    assert not lost(0, 9, "server", server_code=1012).is_lasting
    assert tried(0).answer == "101"
    assert refused(0, None, error="connection refused").answer == "connection refused"
