"""Which plain requests of a client belong near its attempts: what a page, a token's endpoint or a polling
transport said just before is half of every diagnosis.

Sans-I/O: the clock is an argument. A request is recorded with the attempt that follows it within
`BEFORE_SECONDS`, and with the one that it follows within `AFTER_SECONDS`; with a client that tries again and
again it may be both. Bounded: requests of an attempt, and clients.
"""

from __future__ import annotations

from collections import OrderedDict, deque
from collections.abc import Hashable
from dataclasses import dataclass, field
from typing import Final, NamedTuple

from wsinspect.vocabulary.events import HttpRequest

BEFORE_SECONDS: Final = 30
AFTER_SECONDS: Final = 10
#: At most so many requests are recorded with one attempt, before it and after it.
MOST_BEFORE: Final = 20
MOST_AFTER: Final = 20
#: The client that was quiet longest is forgotten first.
MAX_CLIENTS: Final = 512
_SECOND_NS: Final = 10**9


class Asked(NamedTuple):
    """A request that has its answer, or failed.

    Attributes:
        began_ns: when its header block was there.
        event: what is recorded of it.
    """

    began_ns: int
    event: HttpRequest


@dataclass(slots=True)
class _Client:
    asked: deque[Asked] = field(default_factory=lambda: deque(maxlen=MOST_BEFORE))
    attempt: int = 0
    attempt_ns: int = 0
    after: int = 0


class Nearby:
    """The clients of an engine, each with its last requests and its last attempt."""

    def __init__(self) -> None:
        self._clients: OrderedDict[Hashable, _Client] = OrderedDict()

    def attempt(self, who: Hashable, number: int, now_ns: int) -> list[Asked]:
        """A client asks for a WebSocket.

        Returns:
            What it asked for just before, oldest first, to be recorded with this attempt.
        """
        client = self._client(who)
        client.attempt, client.attempt_ns, client.after = number, now_ns, 0
        since_ns = now_ns - BEFORE_SECONDS * _SECOND_NS
        return [one for one in client.asked if one.began_ns >= since_ns]

    def asked(self, who: Hashable, one: Asked, now_ns: int) -> int | None:
        """A client got the answer to a request.

        Returns:
            The attempt just before, to record it with; None if there was none.
        """
        client = self._client(who)
        client.asked.append(one)
        if not client.attempt or now_ns - client.attempt_ns > AFTER_SECONDS * _SECOND_NS:
            return None
        client.after += 1
        return client.attempt if client.after <= MOST_AFTER else None

    def _client(self, who: Hashable) -> _Client:
        client = self._clients.get(who)
        if client is None:
            client = self._clients[who] = _Client()
            if len(self._clients) > MAX_CLIENTS:
                self._clients.popitem(last=False)
        else:
            self._clients.move_to_end(who)
        return client
