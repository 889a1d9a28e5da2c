"""Plain requests near attempts, on their way into HAR and mitmproxy flows: each once, with whose it is."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Iterable
from typing import Final

from wsinspect.capture.records import Connection, Event
from wsinspect.clients.nearby import Asked, whose
from wsinspect.handshake.heads import RawHead
from wsinspect.net import host_of
from wsinspect.vocabulary import EventKind
from wsinspect.vocabulary.events import HttpRequest

#: What both formats say of such an entry.
COMMENT: Final = "recorded near an attempt, without headers and bodies"
#: One that is near to several attempts is known again among so many.
_MOST_KNOWN: Final = 50_000


class OnceEach:
    """Requests that were not handed out before: one may be near to several attempts."""

    def __init__(self) -> None:
        self._known: OrderedDict[tuple[int, int], None] = OrderedDict()

    def of(self, events: Iterable[Event]) -> list[Asked]:
        """The requests among the events of a connection, in order of time."""
        found = []
        for event in events:
            if event.kind != EventKind.HTTP:
                continue
            facts = HttpRequest.read(event.detail)
            key = (facts.number, event.time_ns)
            if key not in self._known:
                self._known[key] = None
                found.append(Asked(event.time_ns, facts))
        while len(self._known) > _MOST_KNOWN:
            self._known.popitem(last=False)
        return sorted(found, key=lambda one: one.began_ns)


def client_of(one: Connection, head: RawHead) -> str:
    """What a connection has in common with its client's requests; empty where nobody knows the client."""

    def header(name: str) -> str | None:
        value = head.get(name)
        return None if value is None else value.decode("latin-1")

    return whose(host_of(one.client), header) if one.client else ""
