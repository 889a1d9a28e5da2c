"""Who ended a connection, how, and what JavaScript sees (RFC 6455 section 7.1)."""

from __future__ import annotations

from dataclasses import replace

import pytest

from wsinspect.vocabulary import Side
from wsinspect.wire.closing import CloseFacts, CloseSeen, TransportEnd, close_facts, refuser
from wsinspect.wire.opcodes import Direction


def client(time_ns: int, code: int | None = 1000) -> CloseSeen:
    return CloseSeen(direction=Direction.CLIENT_TO_SERVER, time_ns=time_ns, code=code)


def server(time_ns: int, code: int | None = 1000, *, is_valid: bool = True) -> CloseSeen:
    return CloseSeen(direction=Direction.SERVER_TO_CLIENT, time_ns=time_ns, code=code, is_valid=is_valid)


def end(side, time_ns: int, how: str = "fin") -> TransportEnd:
    return TransportEnd(side=side, time_ns=time_ns, how=how)


CASES = {
    "nothing yet": ([], [], ("unknown", None, None, None)),
    "client waits for the answer": ([client(1)], [], ("client", "close-frame", None, None)),
    "client closes": ([client(1), server(9)], [end("server", 10)], ("client", "close-frame", 1000, True)),
    "server closes": (
        [server(1, 1011), client(9, 1011)],
        [end("server", 10)],
        ("server", "close-frame", 1011, True),
    ),
    "server closes without code": (
        [server(1, None), client(9, None)],
        [],
        ("server", "close-frame", 1005, True),
    ),
    "server closes and goes": ([server(1, 1001)], [end("server", 1)], ("server", "close-frame", 1001, True)),
    "server closes and resets": (
        [server(1, 1001)],
        [end("server", 2, "rst")],
        ("server", "close-frame", 1001, False),
    ),
    "client goes, then the server resets": (
        [client(1), server(2)],
        [end("client", 3), end("server", 4, "rst")],
        ("client", "close-frame", 1000, True),
    ),
    "closes at the same instant": (
        [client(5, 4000), server(5, 1001)],
        [],
        ("both", "close-frame", 1001, True),
    ),
    "two closes of one side": ([server(1), server(1), client(9)], [], ("server", "close-frame", 1000, True)),
    "server sends FIN": ([], [end("server", 1), end("client", 2)], ("server", "fin", 1006, False)),
    "server resets": ([], [end("server", 1, "rst")], ("server", "rst", 1006, False)),
    "client goes": ([], [end("client", 1)], ("client", "fin", 1006, False)),
    "TLS ends": ([], [end("server", 1, "close_notify")], ("server", "fin", 1006, False)),
    "proxy stops": ([], [end("proxy", 1)], ("proxy", "fin", 1006, False)),
    "time ran out": ([], [end("proxy", 1, "timeout")], ("proxy", "timeout", 1006, False)),
    "server goes, client says so": ([client(5, 1006)], [end("server", 1)], ("server", "fin", 1006, False)),
    "server answers too late": (
        [client(1), server(9)],
        [end("client", 5)],
        ("client", "close-frame", 1006, False),
    ),
    "broken close": ([server(1, 1006, is_valid=False)], [], ("server", "close-frame", 1006, False)),
}


@pytest.mark.parametrize(("closes", "ends", "expected"), CASES.values(), ids=CASES)
def test_facts_follow_from_what_was_seen(closes, ends, expected):
    assert close_facts(closes, ends) == CloseFacts(*expected)


MS = 1_000_000


def sent(seen: CloseSeen, passed_ns: int) -> CloseSeen:
    return replace(seen, passed_ns=passed_ns)


@pytest.mark.parametrize(
    ("first", "second", "expected"),
    [
        # An answer: the same code, or what libraries answer with.
        (client(10, 4001), server(11, 4001), "client"),
        (client(10, 4001), server(10 + MS, 1000), "client"),
        (client(10, 4001), server(10 + MS, None), "client"),
        (server(10, 1001), client(10 + MS, 1001), "server"),
        (server(10, 1001), client(10 + MS, 1000), "server"),
        (server(10, None), client(10 + MS, None), "server"),
        (server(10, 1001), client(10 + MS, 1002), "server"),
        # A code of its own may be an answer, too.
        (client(10, 1000), server(10 + MS, 1001), "client"),
        (client(10, 4001), server(10 + MS, 4002), "client"),
        (server(10, 1012), client(10 + MS, 1001), "server"),
        (client(10, 1000), server(10 + 2000 * MS, 1001), "client"),
        # The second came while the first was still held: whatever it says, it is no answer.
        (sent(client(10, 1000), 10 + 500 * MS), server(10 + 400 * MS, 1000), "both"),
        (sent(client(10, 1000), 10 + 500 * MS), server(10 + 501 * MS, 1000), "client"),
        (sent(server(10, 1000), 10 + 500 * MS), client(10 + 10 * MS, 1000), "both"),
    ],
)
def test_closes_cross_where_neither_side_had_received_the_other_s(first, second, expected):
    assert close_facts([first, second], [end("server", 10**12)]).ended_by == expected


@pytest.mark.parametrize(
    ("where", "ends", "failed_ns", "distrusts", "expected"),
    [
        ("response", [], 5, False, "server"),
        ("response", [end("client", 4)], 5, False, "client"),
        ("response", [end("client", 6)], 5, False, "server"),  # it only followed
        ("response", [end("server", 3), end("client", 4)], 5, False, "server"),
        ("client", [], 5, False, "client"),
        ("request", [], 5, False, "client"),
        ("tls-server", [], 5, True, "proxy"),
        ("stop", [end("proxy", 4)], 5, False, "proxy"),
        ("tls-server", [], 5, False, "server"),
        (None, [end("client", 4)], None, False, "server"),  # answered: a client that half-closes still asked
    ],
)
def test_who_made_a_handshake_fail(where, ends, failed_ns, distrusts, expected):
    assert refuser(where, ends, failed_ns, distrusts_server=distrusts) == expected


@pytest.mark.parametrize("side", list(Side))
def test_a_refused_handshake_is_1006(side):
    assert close_facts([], [end("server", 1)], refused_by=side) == (side, "refused", 1006, False)


def test_a_fault_is_named_whatever_it_did():
    assert close_facts([], [], refused_by=Side.PROXY, by_fault=True) == ("fault", "refused", 1006, False)
    assert close_facts([], [end("proxy", 1, "rst")], by_fault=True) == ("fault", "rst", 1006, False)


def test_the_page_sees_1006_when_the_server_broke_the_protocol_before():
    facts = close_facts([client(3, 1002), server(4, 1002)], [], server_broke_protocol=True)
    assert facts == ("client", "close-frame", 1006, False)
    assert close_facts([], [], server_broke_protocol=True) == ("unknown", None, 1006, False)
