"""Client sessions: which attempt of its client a handshake is.

A client that reconnects comes from another port, so it is known again by what stays: tap, address without
port, host, path without query, `User-Agent` and `Origin`. Two clients that agree in all of that count as one.
"""

from __future__ import annotations

from collections import OrderedDict
from dataclasses import dataclass
from hashlib import blake2b
from typing import Final, NamedTuple

#: Sessions that are remembered; the one that was quiet longest is forgotten first.
MAX_SESSIONS: Final = 8192
#: Longer parts of a key are known by a hash, so that thousands of sessions stay small.
_LONGEST_PART: Final = 200


class SessionKey(NamedTuple):
    """What stays the same when a client reconnects."""

    tap: str
    address: str
    host: str
    path: str
    user_agent: str
    origin: str

    def short(self) -> SessionKey:
        """The same with long parts hashed."""
        return SessionKey(*(part if len(part) <= _LONGEST_PART else _hashed(part) for part in self))


def _hashed(part: str) -> str:
    return blake2b(part.encode("utf-8", "surrogateescape"), digest_size=16).hexdigest()


@dataclass(slots=True)
class Session:
    """The attempts and connections of one client.

    Attributes:
        number: its first attempt's, which no other session has.
        first_ns: when its first attempt was.
        attempts: so far.
        connections: attempts that opened, so far.
        matches: how often rules on handshakes matched, by rule.
    """

    number: int
    first_ns: int
    attempts: int = 0
    connections: int = 0
    matches: dict[str, int] | None = None

    def count(self, rule: str) -> int:
        """One more match of a rule: its number."""
        if self.matches is None:
            self.matches = {}
        self.matches[rule] = self.matches.get(rule, 0) + 1
        return self.matches[rule]


class Sessions:
    """All of them."""

    def __init__(self) -> None:
        self._sessions: OrderedDict[SessionKey, Session] = OrderedDict()

    def attempt(self, key: SessionKey, number: int, now: int) -> Session:
        """One more attempt of a client, the engine's `number`: its session."""
        key = key.short()
        session = self._sessions.setdefault(key, Session(number, now))
        self._sessions.move_to_end(key)
        session.attempts += 1
        if len(self._sessions) > MAX_SESSIONS:
            self._sessions.popitem(last=False)
        return session
