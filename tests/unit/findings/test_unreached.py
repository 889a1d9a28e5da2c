"""What was seen of a TCP connection that was not made: title, party and fixes are about that alone."""

import pytest

from tests.support.every_case import every_case
from tests.unit.findings.facts_made import failed
from tests.unit.findings.pairs_made import pair
from wsinspect.findings.facts import SECOND_NS
from wsinspect.findings.registry import diagnose_connection, diagnose_pair

#: Words of an error; how the title goes on; whose side; what the fix begins with.
SEEN = {
    "cannot connect to 127.0.0.1:9: connection refused": (
        "accepts connections",
        "server",
        "Start the server",
    ),
    "net::ERR_CONNECTION_REFUSED": ("accepts connections", "server", "Start the server"),
    "connect ECONNREFUSED ::1:9": ("accepts connections", "server", "Start the server"),
    # Of several addresses one that refused has answered.
    "[::1]:9: network is unreachable, 127.0.0.1:9: connection refused": (
        "accepts connections",
        "server",
        "Start the server",
    ),
    "cannot connect to 127.0.0.1:9: connection reset by peer": (
        "resets connections",
        "server",
        "Look at what",
    ),
    "cannot connect to 10.0.0.1:9: timed out after 10 s": ("answer within 10 s", "network", "Check the host"),
    "net::ERR_CONNECTION_TIMED_OUT": ("did not answer in time", "network", "Check the host"),
    "connect ETIMEDOUT 10.0.0.1:9": ("did not answer in time", "network", "Check the host"),
    "NS_ERROR_NET_TIMEOUT": ("did not answer in time", "network", "Check the host"),
    "cannot connect to 10.0.0.1:9: network is unreachable": ("no route", "network", "Get this machine"),
    "cannot connect to 10.0.0.1:9: no route to host": ("no route", "network", "Get this machine"),
    "connect EHOSTUNREACH 10.0.0.1:9": ("no route", "network", "Get this machine"),
    "net::ERR_ADDRESS_UNREACHABLE": ("no route", "network", "Get this machine"),
    "net::ERR_INTERNET_DISCONNECTED": ("no route", "network", "Get this machine"),
    "cannot connect to 10.0.0.1:9: operation not permitted": (
        "does not let",
        "network",
        "Allow the outgoing",
    ),
    "cannot connect to 10.0.0.1:9: cannot assign requested address": (
        "failed",
        "network",
        "Start the server",
    ),
}


def test_title_party_and_fix_say_what_was_seen():
    with every_case() as case:
        for error, (words, party, fix) in SEEN.items():
            with case(error):
                [one] = diagnose_connection(failed(error, "connect"))
                assert (one.id, one.fault_of) == ("WS-HS-032", party)
                assert words in one.title
                assert one.fixes[-1].text.startswith(fix)
                # Who got no answer did not see that nothing listens.
                assert ("no program listens" in one.meaning) == ("refused" in error.lower())


def test_how_long_was_waited_is_known_by_the_clock_too():
    error = "cannot connect to 10.0.0.1:9: connection timed out"
    facts = failed(error, "connect")
    assert facts.end_ns is not None
    start = facts.end_ns - 20 * SECOND_NS
    late = failed(error, "connect", times={**facts.times, "server_tcp_start_ns": start})
    [one] = diagnose_connection(late)
    assert one.title == "The server's address did not answer within 20 s"


@pytest.mark.parametrize(
    ("error", "title", "fix"),
    [
        (
            "connection refused",
            "The hop is down: nothing accepts connections at its address",
            "Start the server",
        ),
        ("timed out after 10 s", "The hop's address did not answer within 10 s", "Check the host"),
        ("no route to host", "There is no route to the hop's address", "Get this machine"),
        ("Name or service not known", "The hop's name does not resolve", "Correct the host name"),
    ],
)
def test_a_hop_that_cannot_be_reached_is_not_always_down(error, title, fix):
    [one] = diagnose_pair(pair(failed(f"cannot connect to the hop: {error}", "connect"), None))
    assert (one.id, one.title, one.fault_of) == ("WS-HS-109", title, "hop")
    assert one.fixes[-1].text.startswith(fix)


def test_a_name_without_an_address_is_no_connection_that_failed():
    for error in (
        "cannot connect to the server: Name or service not known",
        "net::ERR_NAME_NOT_RESOLVED",
        "NS_ERROR_UNKNOWN_HOST",
        "getaddrinfo ENOTFOUND api.example",
    ):
        assert [one.id for one in diagnose_connection(failed(error, "connect"))] == ["WS-HS-033"]
