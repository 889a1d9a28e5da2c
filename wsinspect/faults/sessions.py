"""Client sessions: which attempt of its client a handshake is.

A client that reconnects comes from another port, so it is known again by what stays: tap, address without
port, host, path without query, `User-Agent` and `Origin`. Clients without a `User-Agent` are told apart by
their credentials: cookie, Authorization, or the query without what a new connection changes. Two clients that
agree in all of that count as one; `SessionBy` is the user's own choice of what tells them apart.
"""

from __future__ import annotations

import re
from collections import OrderedDict
from dataclasses import dataclass
from hashlib import blake2b
from typing import Final, NamedTuple

#: How many sessions are remembered; the one that was quiet longest is forgotten first.
MAX_SESSIONS: Final = 8192
#: Longer parts of a key are hashed, so that thousands of sessions stay small.
_LONGEST_PART: Final = 200
_NAME: Final = re.compile(r"[A-Za-z0-9!#$%&'*+.^_`|~-]{1,64}")
#: Parameters that differ in each connection of a client: Engine.IO's and SignalR's.
PER_CONNECTION: Final = frozenset(("", "sid", "t", "EIO", "transport", "id"))


class SessionKey(NamedTuple):
    """What stays the same when a client reconnects."""

    tap: str
    address: str
    host: str
    path: str
    user_agent: str
    origin: str
    credentials: str = ""

    def short(self) -> SessionKey:
        """The same with long parts hashed."""
        if max(map(len, self)) <= _LONGEST_PART:
            return self
        return SessionKey(*(part if len(part) <= _LONGEST_PART else _hashed(part) for part in self))


def _hashed(part: str) -> str:
    return blake2b(part.encode("utf-8", "surrogateescape"), digest_size=16).hexdigest()


class SessionBy(NamedTuple):
    """What tells clients apart in place of all else: `header:X-User`, `cookie:sid`, `query:user`.

    Attributes:
        part: "header", "cookie" or "query".
    """

    part: str
    name: str

    def __str__(self) -> str:
        return f"{self.part}:{self.name}"

    @classmethod
    def parse(cls, text: str) -> SessionBy:
        """Read it.

        Raises:
            ValueError: with one line that says what to write.
        """
        part, colon, name = text.partition(":")
        if part not in ("header", "cookie", "query") or not colon or not _NAME.fullmatch(name):
            raise ValueError(
                f"not a part of a request: {text!r}; write header:NAME, cookie:NAME or query:NAME"
            )
        return cls(part, name)


def credentials_of(cookie: str, authorization: str, query: str) -> str:
    """What stays of a client that names no `User-Agent`.

    Args:
        query: without the question mark.
    """
    if cookie or authorization:
        return f"{cookie}\n{authorization}"
    return "&".join(part for part in query.split("&") if part.partition("=")[0] not in PER_CONNECTION)


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
    """The sessions of all clients; beyond MAX_SESSIONS the least recently used is forgotten."""

    def __init__(self) -> None:
        self._sessions: OrderedDict[SessionKey, Session] = OrderedDict()

    def known(self, key: SessionKey) -> Session | None:
        """The session of a client that has made an attempt before."""
        return self._sessions.get(key.short())

    def attempt(self, key: SessionKey, number: int, now: int) -> Session:
        """One more attempt of a client, the engine's `number`: its session."""
        key = key.short()
        session = self._sessions.setdefault(key, Session(number, now))
        self._sessions.move_to_end(key)
        session.attempts += 1
        if len(self._sessions) > MAX_SESSIONS:
            self._sessions.popitem(last=False)
        return session
