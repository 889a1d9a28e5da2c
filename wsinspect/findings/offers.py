"""Offers of extensions that are wrong in themselves, behind a refusal that does not say so."""

from __future__ import annotations

import re
from dataclasses import replace
from typing import Final

from wsinspect.findings.answering import answer
from wsinspect.findings.facts import ConnectionFacts
from wsinspect.findings.model import Found
from wsinspect.handshake.heads import RawHead
from wsinspect.handshake.negotiation import faults_of_offer
from wsinspect.vocabulary import Lack

#: Statuses of servers whose code fails on a field of the request.
_STATUSES: Final = (400, 500)
_TAGS: Final = re.compile(rb"<(style|script)\b.*?</\1>|<[^>]*>|&#?\w+;", re.S)
#: What servers write around a status and no cause.
_SAYS_NOTHING: Final = frozenset(
    b"http status bad request internal server error type report description message exception the and was"
    b" this that has not could cannot unable due which from sent your you something went wrong please try"
    b" again later encountered unexpected condition prevented fulfilling understand process client apache"
    b" tomcat code application administrator contact browser proxy whitelabel page title html body".split()
)


def has_wrong_offer(facts: ConnectionFacts) -> bool:
    """Whether a server that says no more than 400 or 500 got an offer that breaks the extensions' rules."""
    if facts.status not in _STATUSES or not _faults(facts.request_in) or Lack.BODY in facts.unrecorded:
        return False
    words = re.findall(rb"[a-z]{3,}", _TAGS.sub(b" ", facts.wording))
    if any(word not in _SAYS_NOTHING for word in words):
        return False  # it says what it does not like
    return not any(_disproves(facts, one.request, one.response) for one in facts.others)


def _faults(head: RawHead | None) -> tuple[str, ...]:
    return () if head is None else faults_of_offer(head.get_all("sec-websocket-extensions"))


def _disproves(facts: ConnectionFacts, request: bytes | None, response: bytes | None) -> bool:
    """Whether such an offer was accepted there, or a request without one was refused in the same way."""
    if request is None or response is None:
        return False
    status = RawHead.parse(response).status
    is_faulty = bool(_faults(RawHead.parse(request)))
    return status == 101 if is_faulty else status == facts.status


def wrong_offer(facts: ConnectionFacts) -> Found:
    """The finding about it: what the offer breaks is sure, that the server fails because of it is not."""
    faults = _faults(facts.request_in)
    found = answer(
        facts,
        facts.request_line("Sec-WebSocket-Extensions"),
        *faults,
        fault_of="client",
        title=f"{facts.status}, and the request's offer of extensions is invalid: {faults[0]}",
        meaning="A server has to ignore such an offer (RFC 7692, 7.1), and several fail on it instead. The"
        " answer does not say what it was.",
        causes=(
            (
                "the server fails on the invalid offer",
                "the same request without Sec-WebSocket-Extensions: is it 101?",
            ),
            ("the server failed for another reason", "its log for this moment"),
        ),
    )
    return replace(found, confidence="medium")
