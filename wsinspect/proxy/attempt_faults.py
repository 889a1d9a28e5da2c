"""One attempt as faults see it: its facts for filters, its client session, and its link once it is open."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import cached_property

from mitmproxy import http

from wsinspect.faults.seeded import Place
from wsinspect.faults.sessions import Session
from wsinspect.handshake.negotiation import Negotiation
from wsinspect.proxy.link_faults import FaultedLink


class LiveFacts:
    """An open connection, or an attempt at one, for filters."""

    client_close_code = server_close_code = js_code = None
    how = ended_by = js_was_clean = None
    is_closed = False
    faults: Sequence[str] = ()
    findings: Sequence[tuple[str, str]] = ()

    def __init__(self, number: int, tap: str | None, flow: http.HTTPFlow) -> None:
        self.id = number
        self.tap = tap
        self._flow = flow
        request = flow.request
        self.host: str | None = request.pretty_host
        self.port: int | None = request.port
        self.path: str | None = request.path

    @property
    def subprotocol(self) -> str | None:
        response = self._flow.response
        return response.headers.get("sec-websocket-protocol") if response else None

    def header_values(self, name: str) -> Sequence[str]:
        response = self._flow.response
        found = self._flow.request.headers.get_all(name)
        return [*found, *(response.headers.get_all(name) if response else ())]


class AttemptFaults:
    """One attempt as faults see it.

    Attributes:
        facts: for filters.
        session: of its client.
        place: for chance.
        negotiate: reads what was agreed on, once it is open.
        link: once it is open.
    """

    def __init__(self, facts: LiveFacts, session: Session, place: Place, begun_ns: int) -> None:
        self.facts = facts
        self.session = session
        self.place = place
        self.begun_ns = begun_ns
        self.opened_ns = 0
        self.connection_number = session.connections + 1
        self.negotiate: Callable[[], Negotiation] = Negotiation
        self.link: FaultedLink | None = None

    @cached_property
    def negotiation(self) -> Negotiation:
        """What client and server agreed on: read only where a rule needs it."""
        return self.negotiate()
