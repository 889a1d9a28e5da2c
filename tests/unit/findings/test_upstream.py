"""What Envoy and Cloudflare say about the way behind them: each of their words is another failure."""

from dataclasses import replace

import pytest

from tests.unit.findings.facts_made import START, refused
from wsinspect.findings.facts import Other
from wsinspect.findings.registry import diagnose_connection
from wsinspect.findings.upstream import CAUSES, failure_of

BEFORE = "upstream connect error or disconnect/reset before headers. "
TLS = "TLS_error:|268435703:SSL routines:OPENSSL_internal:WRONG_VERSION_NUMBER:TLS_error_end"


def of_envoy(reason, status="503 Service Unavailable"):
    return refused(status, (BEFORE + reason).encode(), Server="envoy", Content_Type="text/plain")


def judged(facts):
    (found,) = [one for one in diagnose_connection(facts) if one.severity == "error"]
    return found


@pytest.mark.parametrize(
    ("reason", "cause", "party", "words"),
    [
        ("reset reason: connection failure", "refused", "hop", "cannot connect"),
        ("reset reason: local connection failure", "refused", "hop", "cannot connect"),
        (
            "retried and the latest reset reason: remote connection failure, transport failure reason:"
            " delayed connect error: Connection refused",
            "refused",
            "hop",
            "cannot connect",
        ),
        (f"reset reason: connection failure, transport failure reason: {TLS}", "scheme", "hop", "TLS"),
        ("reset reason: connection timeout", "dropped", "hop", "in time"),
        ("reset reason: connection termination", "closed", "server", "before it answered"),
        ("reset reason: remote reset", "http2", "hop", "stream was reset"),
        ("reset reason: remote refused stream reset", "stopping", "server", "refused"),
        ("reset reason: local reset", "own", "hop", "gave the request up"),
        ("reset reason: overflow", "breaker", "hop", "limit on connections"),
        ("reset reason: protocol error", "answer", "hop", "cannot read"),
        ("reset reason: overload manager reset", "overload", "hop", "overloaded"),
    ],
)
def test_each_reset_reason_of_envoy_is_a_failure_of_its_own(reason, cause, party, words):
    found = judged(of_envoy(reason))
    assert (found.id, found.fault_of) in (("WS-HS-021", party),)
    assert found.causes[0].cause == CAUSES[cause][0]
    assert words in found.title
    assert "no server takes" not in found.title
    assert found.fixes


def test_a_502_with_a_reset_reason_is_the_same():
    found = judged(of_envoy("reset reason: protocol error", "502 Bad Gateway"))
    assert (found.id, found.causes[0].cause) == ("WS-HS-020", CAUSES["answer"][0])


@pytest.mark.parametrize(
    "facts",
    [
        of_envoy("reset reason: something new"),
        refused("503 Service Unavailable", b"no healthy upstream", Server="envoy"),
        refused("503 Service Unavailable", b"reset reason: overflow"),  # an application's words
        refused("500 Internal Server Error", (BEFORE + "reset reason: overflow").encode()),
        refused("503 Service Unavailable", b"error code: 1033", Server="cloudflare"),
        refused("530 <none>", b"", Server="cloudflare"),
        refused("530 <none>", b"error code: 1042", Server="cloudflare"),
    ],
)
def test_other_answers_name_no_failure(facts):
    assert failure_of(facts) is None
    assert judged(facts).causes is not None


@pytest.mark.parametrize(("reason", "expected"), [("overflow", "WS-HS-048"), ("remote reset", "WS-HS-021")])
def test_only_a_limit_is_one_while_another_connection_is_open(reason, expected):
    one = Other(2, "/chat", START - 10**9, START - 10**9)
    facts = of_envoy(f"reset reason: {reason}")
    assert judged(replace(facts, others=(one,))).id == expected


@pytest.mark.parametrize(
    ("status", "body", "cause"),
    [
        (520, b"error code: 520", "answer"),
        (521, b"error code: 521", "refused"),
        (522, b"error code: 522", "firewall"),
        (523, b"error code: 523", "address"),
        (525, b"error code: 525", "no-tls"),
        (526, b"error code: 526", "tls"),
        (530, b"error code: 1033", "connector"),
        (530, b"<h1>Error 1033</h1>", "connector"),
        (530, b"error code: 1016", "dns"),
    ],
)
def test_each_status_of_cloudflare_says_what_to_do(status, body, cause):
    found = judged(refused(f"{status} <none>", body, Server="cloudflare", Cf_Ray="8a-FRA"))
    assert found.id == ("WS-HS-022" if status == 522 else "WS-HS-020")
    assert (found.fault_of, found.confidence) == ("hop", "high")
    assert found.title.startswith(f"{status}: ")
    assert found.causes[0].cause == CAUSES[cause][0]
    assert [one.for_ for one in found.fixes] == ["general"]
    assert judged(refused(f"{status} No", body)).confidence == "medium"  # the number alone


def test_tls_to_the_application_is_not_a_matter_of_starting_it():
    body = b"<p>Reason: <strong>Error during SSL Handshake with remote server</strong></p>"
    found = judged(refused("502 Proxy Error", body, Server="Apache/2.4.57", Content_Type="text/html"))
    assert found.causes[0].cause == CAUSES["tls"][0]
    assert "listening" not in str(found.fixes)
    assert "plain HTTP" in found.fixes[-1].text
