"""Opening handshakes refused with 5xx, or with a status that has no usual cause.

These come last of the group "attempt".
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import replace
from typing import Final

from wsinspect.findings.evidence import answer_hop, answer_marks
from wsinspect.findings.facts import ConnectionFacts, Other
from wsinspect.findings.limits import LIMITS
from wsinspect.findings.model import Found
from wsinspect.findings.registry import Rules
from wsinspect.findings.rules.answers import JS_STATUS, answer, has_own_words
from wsinspect.findings.rules.handshake import is_refused
from wsinspect.findings.software import hop_author
from wsinspect.vocabulary import Lack

rules = Rules()


#: What a 502 or 503 says about the failure behind the hop, and which of `_CAUSES` that is.
_SAYS: Final = (
    ("tls", re.compile(rb"tls error|ssl|certificate", re.I)),
    (
        "refused",
        re.compile(rb"connection failure|connection refused|remote connection failure|no route", re.I),
    ),
    ("dns", re.compile(rb"dns (lookup )?(failure|resolution)|could not resolve", re.I)),
    (
        "answer",
        re.compile(
            rb"invalid or incomplete response|invalid response|connection termination|protocol error"
            rb"|error reading from remote server|prematurely closed|upstream reset",
            re.I,
        ),
    ),
    ("none", re.compile(rb"no server is available|no healthy upstream", re.I)),
)
_CAUSES: Final = {
    "refused": (
        "nothing listens at the application's address, or it refuses connections",
        "connect to it directly from the proxy's machine",
    ),
    "answer": (
        "the application closes the connection without an answer, or its answer is not valid HTTP (an"
        " invalid 101 is one)",
        "connect to the application directly and look at the raw answer",
    ),
    "scheme": (
        "the proxy speaks plain HTTP to a TLS port, or TLS or HTTP/2 to a plain one",
        "compare the scheme of the proxy's target with what listens there; force http/1.1",
    ),
    "tls": (
        "the proxy does not trust the application's certificate",
        "its error log names the certificate; openssl s_client shows it",
    ),
    "dns": (
        "the name of the application's host does not resolve for the proxy",
        "resolve it on that machine",
    ),
    "none": (
        "the proxy's health check says that no server is up",
        "its status page or log; connect to the application directly",
    ),
    "size": (
        "the answer's headers are too large for the proxy's buffer",
        "its error log: upstream sent too big header",
    ),
}
#: Cloudflare's statuses for what it met at the origin (its documentation, "Cloudflare 5xx errors"): which of
#: `_CAUSES` each is. 522 and 524 are timeouts.
_CLOUDFLARES: Final[Mapping[int, tuple[str, ...]]] = {
    520: ("answer", "size"),
    521: ("refused", "scheme"),
    523: ("refused", "dns"),
    525: ("scheme", "tls"),
    526: ("tls",),
    530: ("dns",),
}
#: The order where the answer does not say.
_USUAL: Final = ("refused", "answer", "scheme", "tls", "size")
_LIMIT_SAID: Final = re.compile(
    rb"too many|limit|capacity|overload|max(imum)? (number|connections)|busy", re.I
)


#: What an application that answers itself says with 503.
_BUSY: Final = (
    "the application answers 503 itself: maintenance, overload, or a limit of its own",
    "the words of the answer; it is the same without the proxy",
)


def is_of_hop(facts: ConnectionFacts) -> bool:
    """Whether a gateway's status is the hop's own: its page or its words, or nothing that is anybody's."""
    said = any(shape.search(facts.content[:4096]) for _, shape in _SAYS)
    return said or hop_author(answer_marks(facts)) is not None or not has_own_words(facts)


def _gateway_causes(facts: ConnectionFacts) -> tuple[tuple[str, str], ...]:
    """The causes of a gateway's failure, the one that its words point to first."""
    said = next((name for name, shape in _SAYS if shape.search(facts.content[:4096])), None)
    order = dict.fromkeys(([said] if said else []) + list(_USUAL))
    if said == "answer":  # the connection was made
        order = dict.fromkeys(("answer", "scheme", "tls", "size"))
    if said in ("refused", "dns", "none", "tls"):
        order = dict.fromkeys(
            (said, *(("scheme",) if said == "tls" else ()), *_USUAL[: 2 if said == "none" else 1])
        )
    return tuple(_CAUSES[name] for name in order)


@rules(
    "WS-HS-020",
    "error",
    "hop",
    "502: a proxy got no valid answer from the application",
    meaning="A proxy behind this tap could not reach the application, or did not understand its answer. The"
    " proxy's error log for this moment says which.",
    js=JS_STATUS,
    topic="bad-gateway",
    rows="H24 H6 H22 H31",
    group="attempt",
)
def bad_gateway(facts: ConnectionFacts) -> Iterator[Found]:
    if not is_refused(facts) or facts.status is None:
        return
    if facts.status == 502:
        yield answer(facts, causes=_gateway_causes(facts))
    elif facts.status in _CLOUDFLARES:
        causes = tuple(_CAUSES[name] for name in _CLOUDFLARES[facts.status])
        title = f"{facts.status}: a proxy got no valid answer from the application"
        yield answer(facts, title=title, causes=causes)


@rules(
    "WS-HS-048",
    "error",
    "hop",
    "503, while a connection to the same path is open: a limit on connections",
    meaning="This path is being served at this very moment, so the server is not down. A limit on"
    " connections, per client or in total, refused this one.",
    js=JS_STATUS,
    topic="connection-limit",
    rows="H24 T10",
    confidence="medium",
    group="attempt",
)
def connection_limit(facts: ConnectionFacts) -> Iterator[Found]:
    if not is_refused(facts) or facts.status not in (503, 500) or Lack.TIMES in facts.unrecorded:
        return
    open_then = [
        one for one in facts.others if _was_open_at(one, facts.attempt_ns) and _is_same_path(one, facts)
    ]
    says = _LIMIT_SAID.search(facts.content[:4096]) is not None
    if not open_then or (facts.status != 503 and not says):
        return
    ids = ", ".join(f"#{one.id}" for one in sorted(open_then)[:6])
    noun = "connection was" if len(open_then) == 1 else "connections were"
    found = answer(
        facts,
        f"{len(open_then)} {noun} open to the same path at this moment: {ids}",
        facts.response_line("Retry-After")
        if facts.response_in and facts.response_in.get("retry-after")
        else "",
        fault_of="hop" if answer_hop(facts) and is_of_hop(facts) else "server",
        causes=(
            ("a limit on connections is reached", "close one of those: is the next attempt accepted?"),
            ("one of several servers is down", "the log of whichever one answered"),
        ),
    )
    yield replace(found, confidence="high" if says else None)


def _was_open_at(one: Other, time_ns: int) -> bool:
    return one.open_ns <= time_ns and (one.end_ns or one.closed_ns or time_ns + 1) > time_ns


def _is_same_path(one: Other, facts: ConnectionFacts) -> bool:
    return one.path.partition("?")[0].rstrip("/") == (facts.path or "").partition("?")[0].rstrip("/")


@rules(
    "WS-HS-021",
    "error",
    "server",
    "503: no server takes the connection",
    meaning="A proxy has no healthy backend, or the server is overloaded or in maintenance. The log of"
    " whichever one answered says which.",
    js=JS_STATUS,
    topic="bad-gateway",
    rows="H24 T10",
    group="attempt",
)
def unavailable(facts: ConnectionFacts) -> Iterator[Found]:
    if is_refused(facts) and facts.status == 503:
        hop = answer_hop(facts)
        is_hops = hop is not None and is_of_hop(facts)
        found = answer(
            facts,
            facts.response_line("Retry-After"),
            fault_of="hop" if is_hops else None,
            causes=_gateway_causes(facts) if is_hops else (_BUSY, *_gateway_causes(facts)[:2]) if hop else (),
        )
        yield replace(found, confidence="medium") if hop and not is_hops else found


@rules(
    "WS-HS-022",
    "error",
    "server",
    "504: the application did not answer the handshake in time",
    meaning="A proxy waited for the application's answer and gave up. The time until the status is the"
    " proxy's timeout.",
    js=JS_STATUS,
    topic="timeout",
    rows="H24",
    group="attempt",
)
def gateway_timeout(facts: ConnectionFacts) -> Iterator[Found]:
    if is_refused(facts) and facts.status in (504, 408, 524, 522):
        took = (facts.answer_ms or 0) / 1000
        near = [
            limit for limit in LIMITS if abs(limit.seconds - took) <= 1 and limit.seconds in (30, 60, 100)
        ]
        lines = [f"known limit: {limit.who}, {limit.seconds:g} s" for limit in near[:4]]
        yield answer(
            facts, *lines, title=f"{facts.status}: the application did not answer the handshake in time"
        )


@rules(
    "WS-HS-014",
    "error",
    "hop",
    "505: the server got another HTTP version than was sent from here",
    meaning="The request left here as HTTP/1.1, and the server says that it does not support the version it"
    " got. A hop in between speaks HTTP/1.0 to the application.",
    js=JS_STATUS,
    topic="http10",
    rows="H2",
    group="attempt",
)
def version_refused(facts: ConnectionFacts) -> Iterator[Found]:
    head = facts.request_out or facts.request_in
    if is_refused(facts) and facts.status == 505 and head is not None and head.http_version == b"HTTP/1.1":
        yield answer(facts, f"sent on as {head.start_line.decode('latin-1')[:160]}")


@rules(
    "WS-HS-019",
    "error",
    "server",
    "The server failed while it handled the handshake (5xx)",
    meaning="The application, or a hop before it, raised an error when the client connected. The page cannot"
    " see the status or the body; the evidence has both.",
    js=JS_STATUS,
    topic="server-error",
    rows="H24",
    group="attempt",
)
def server_error(facts: ConnectionFacts) -> Iterator[Found]:
    if is_refused(facts) and facts.status is not None and facts.status >= 500:
        yield answer(facts, fault_of="hop" if hop_author(answer_marks(facts)) else None)


@rules(
    "WS-HS-023",
    "error",
    "server",
    "The handshake was refused",
    meaning="The status is not 101 and has no usual cause. Where the answer has a text, it says more.",
    js=JS_STATUS,
    topic="app",
    confidence="low",
    rows="H22",
    group="attempt",
)
def other_status(facts: ConnectionFacts) -> Iterator[Found]:
    if is_refused(facts):
        yield answer(facts)
