"""What an active probe learned: a browser's handshake, and the same asked otherwise (wsinspect/doctor)."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any, Final, NamedTuple

from wsinspect.findings.facts import ConnectionFacts
from wsinspect.findings.held import Held
from wsinspect.findings.quotes import quote

#: Servers quote the Connection header that they got, and every hop writes its own.
_SPELLED: Final = re.compile(r"\b(keep-alive|close)\b", re.I)


class Probe(NamedTuple):
    """One question and its answer.

    Attributes:
        kind: `handshake`, `get`, `bare`, `repeat`, `redirect`, `polling`, `slash`, `scheme`, or with what it
            is about behind a colon: `without:origin`, `only:origin`, `origin:foreign`, `host:localhost`,
            `subprotocol:graphql-ws`, `query:none`.
        asks: in words, behind which the answer can stand.
    """

    kind: str
    asks: str
    facts: ConnectionFacts

    @property
    def about(self) -> str:
        """What stands behind the colon of the kind."""
        return self.kind.partition(":")[2]

    @property
    def is_accepted(self) -> bool:
        """Whether the answer is a 101 that a browser takes."""
        agreed = self.facts.negotiation
        has_chosen = agreed.subprotocol is not None or not agreed.subprotocols_offered
        return self.facts.status == 101 and not agreed.problems and has_chosen

    @property
    def http2(self) -> Mapping[str, Any] | None:
        """What ALPN chose (`alpn`), and whether extended CONNECT is announced (`announced`, RFC 8441)."""
        return next((detail for kind, detail in self.facts.events if kind == "h2"), None)

    @property
    def outcome(self) -> str:
        """The status line, or why there is none."""
        found = self.http2
        if found is not None and self.facts.status is None and not self.facts.error:
            return f"ALPN chose {found['alpn'] or 'nothing'}" + (
                "; extended CONNECT is not announced" if found["alpn"] == "h2" else ""
            )
        head = self.facts.response_in
        if head is not None and head.status is not None:
            return head.start_line.decode("latin-1")[:160]
        return (self.facts.error or "no answer")[:200]

    @property
    def line(self) -> str:
        """What was asked and what came of it, as a line of evidence."""
        return f"{self.asks}: {self.outcome}"


class TriedAddress(NamedTuple):
    """An address of the server's name, and why it does not accept connections; None where it does."""

    address: str
    error: str | None
    is_local: bool = False


@dataclass(frozen=True, kw_only=True)
class ProbeFacts:
    """All that was asked of one URL.

    Attributes:
        main: the handshake that a browser would have sent.
        others: the same asked otherwise, in order.
        addresses: of the server's name.
        held: connections that were held open, to find limits.
        page: addresses of the page's own server, where its Origin says which that is.
    """

    main: Probe
    others: tuple[Probe, ...] = ()
    addresses: tuple[TriedAddress, ...] = ()
    held: tuple[Held, ...] = ()
    page: tuple[str, ...] = ()

    def of_kind(self, *kinds: str) -> Iterator[Probe]:
        """The probes of these kinds, what stands behind a colon aside."""
        return (one for one in self.others if one.kind.partition(":")[0] in kinds)

    def first(self, kind: str) -> Probe | None:
        """The first probe of just this kind."""
        return next((one for one in self.others if one.kind == kind), None)

    def accepted(self, *kinds: str) -> Probe | None:
        """The first of these kinds that was accepted."""
        return next((one for one in self.of_kind(*kinds) if one.is_accepted), None)

    @cached_property
    def same_as_get(self) -> Probe | None:
        """The ordinary GET, where it got the answer that the handshake got."""
        return next((one for one in self.of_kind("get") if is_same_answer(one.facts, self.main.facts)), None)


def is_same_answer(one: ConnectionFacts, other: ConnectionFacts) -> bool:
    """Whether two refusals say the same: status, and the words of the body that matter."""
    if one.status is None or one.status != other.status:
        return False
    return _said(one) == _said(other)


def _said(facts: ConnectionFacts) -> object:
    head = facts.response_in
    location = head.get("location") if head else None
    return _SPELLED.sub("", quote(facts.content) or ""), location


def refused_like(main: Probe, others: Iterable[Probe]) -> Iterator[Probe]:
    """Those that got the same answer: what they differ in does not matter."""
    return (one for one in others if is_same_answer(one.facts, main.facts))
