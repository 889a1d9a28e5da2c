"""Attempts that a hop makes are no client's: what it tries again, and what it asks for several clients."""

from typing import Any

from tests.support.every_case import every_case
from tests.unit.findings.facts_made import capture, summary
from wsinspect.findings.facts import CaptureFacts
from wsinspect.findings.registry import diagnose_capture


def tried(
    *tries: int, open_for: float | None = None, path: str = "/chat", keyed: bool | str = False, **facts: Any
) -> CaptureFacts:
    """Attempts at a tap before a hop, a second apart, each tried so many times at the tap behind it.

    Args:
        open_for: how long what is before the hop is open, opened at once; None where it is refused last.
        path: of the attempts before the hop.
        keyed: whether the hop passes the client's keys on; a text is the key of all of them.
        facts: of the attempts behind it.
    """
    refused = {"status": 502}
    found = []
    for at, count in enumerate(tries):
        before = refused if open_for is None else {}
        key = None if not keyed else f" {keyed if isinstance(keyed, str) else at}==\r\nSec-WebSocket-Version"
        found.append(summary(100 * at + 1, at, open_for or 0.9, tap="edge", path=path, key=key, **before))
        found += [
            summary(100 * at + 2 + n, at + 0.1 * (n + 1), 0.05, tap="middle", key=key, **{**refused, **facts})
            for n in range(count)
        ]
    return capture(*found)


def said(facts: CaptureFacts) -> list[tuple[str, int | None]]:
    return [(one.id, one.connection) for one in diagnose_capture(facts) if one.id.startswith("WS-RC-")]


def test_what_a_hop_tries_again_is_no_clients_storm() -> None:
    cases = {
        "again": tried(8),
        "a path without its prefix": tried(8, path="/api/chat"),
        "for two clients": tried(4, 4),
        "once for each of three": tried(1, 1, 1),
        "in vain": tried(8, status=401),
        "one that is still waited for": tried(8, status=401, closed_ns=None),
        "another path with the client's key": tried(8, path="/rooms/7", keyed=True),
        "the root, with the client's key": tried(4, 4, path="/", keyed=True),
    }
    with every_case() as case:
        for name, facts in cases.items():
            with case(name):
                assert said(facts) == []


def test_a_clients_storm_is_said_where_the_client_is_seen() -> None:
    cases = {
        "through a hop": (tried(*[1] * 7), ("WS-RC-001", 1)),
        "next to a socket that is open at another tap": (tried(8, open_for=20), ("WS-RC-001", 2)),
        "next to another path that is slow": (tried(8, path="/other"), ("WS-RC-001", 2)),
        "with a key that never changes": (tried(*[1] * 7, path="/rooms/7", keyed="same"), ("WS-RC-001", 1)),
    }
    with every_case() as case:
        for name, (facts, wanted) in cases.items():
            with case(name):
                assert said(facts) == [wanted]
