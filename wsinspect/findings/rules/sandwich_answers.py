"""What two taps around a hop prove of an attempt that failed for another reason than a changed request: who
answered, and what the change does not explain.

These rules come after those of `sandwich.py`; of both, only the first that applies is reported.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from wsinspect.findings.changes import (
    LIKELY,
    POSSIBLE,
    UNTRUSTED,
    field_changes,
    notable,
    unknown_fields,
)
from wsinspect.findings.evidence import JS_FAILED, JS_STATUS, body_line, status_line, two_causes
from wsinspect.findings.model import Found
from wsinspect.findings.own_pages import is_page
from wsinspect.findings.registry import Rules
from wsinspect.findings.rules.around import blamed, covered_by, hop_of, is_connect_lost, lines_of, software_of
from wsinspect.findings.rules.handshake import has_failed, left_before_answer
from wsinspect.findings.rules.kept import NO_WAY, UNANSWERED, elsewhere, has_left
from wsinspect.findings.sandwich import PairFacts
from wsinspect.findings.unreached import is_nameless, unreached
from wsinspect.handshake.bridging import comparable_requests
from wsinspect.vocabulary import Lack

rules = Rules()

#: What a hop answers after its timeout.
_GAVE_UP: Final = (408, 500, 502, 503, 504)
#: Of the answers that refuse, redirects are the first.
_LEAST_REFUSAL: Final = 300


@rules(
    "WS-HS-108",
    "error",
    "server",
    "The server behind the hop did not answer in time, and the hop gave up",
    meaning="The handshake went through the hop and reached the server, which did not answer within the"
    " hop's limit. The hop then answered for it.",
    js=JS_FAILED,
    topic="timeout",
    rows="H24",
    group="attempt",
    scope="pair",
)
def gave_up(pair: PairFacts) -> Iterator[Found]:
    origin = pair.origin
    if origin is None or not has_failed(pair.edge) or pair.edge.status not in _GAVE_UP:
        return
    if left_before_answer(pair.edge):
        return  # WS-HS-036
    is_waiting = not origin.is_over or origin.failed_where == "stop"
    is_silent = has_left(origin) or (is_waiting and origin.raw_response_in is None)
    # What came too late was an answer; bytes that are none, or half a one, have findings of their own.
    is_whole = origin.response_in is not None and origin.response_in.is_complete
    is_late = pair.is_answered_early and origin.status is not None and is_whole
    if (is_silent and origin.failed_where not in NO_WAY) or is_late:
        behind = f"{status_line(origin)}, too late" if origin.raw_response_in else "no byte of an answer"
        yield Found(
            evidence=(f"before the hop: {status_line(pair.edge)}", f"behind it: {behind}"),
            hop=hop_of(pair),
            software=software_of(pair),
            covers=(*covered_by(pair, "attempt"), *covered_by(pair, "end")),
        )


@rules(
    "WS-HS-109",
    "error",
    "hop",
    "The hop is down: nothing accepts connections at its address",
    meaning="The tap before the hop could not connect to it, so nothing arrived behind it either. This proxy"
    " answered the client with 502.",
    js=JS_FAILED,
    topic="connect",
    rows="H24 H30",
    group="attempt",
    scope="pair",
)
def hop_is_down(pair: PairFacts) -> Iterator[Found]:
    edge = pair.edge
    if pair.origin is None and edge.state == "failed" and edge.failed_where == "connect":
        error = edge.error or ""
        seen = None if is_nameless(error) else unreached(error)
        title: str | None = "The hop's name does not resolve"
        if seen is not None:
            title = None if seen.console == "CONNECTION_REFUSED" else seen.titled(edge, "hop")
        yield Found(
            evidence=(f"the hop at {edge.server_address or edge.host}: {error[:200]}",),
            hop=pair.name,
            title=title,
            topic="dns" if seen is None else seen.topic,
            causes=() if seen is None else seen.causes,
            covers=covered_by(pair, "attempt"),
        )


@rules(
    "WS-HS-103",
    "note",
    "hop",
    "The hop answered by itself and did not ask the server",
    meaning="No attempt arrived behind the hop for this one. The hop refused it itself: its configuration or"
    " its log says why.",
    js=JS_STATUS,
    topic="own-answer",
    rows="H9 H14 H17",
    group="attempt",
    scope="pair",
)
def answers_itself(pair: PairFacts) -> Iterator[Found]:
    edge = pair.edge
    # A rule at this tap that refused before the hop was asked leaves nothing of the hop's to judge.
    is_asked = edge.raw_response_in is not None or not edge.is_ended_on_purpose
    if (
        pair.origin is None
        and is_asked
        and has_failed(edge)
        and edge.failed_where not in UNANSWERED
        and not has_left(edge)
    ):
        answer = status_line(edge) if edge.status else str(edge.error)
        other = elsewhere(edge)
        yield Found(
            title=other and "The hop asked another server than the one behind the tap",
            meaning=other
            and "Other attempts at this path arrived behind the hop and this one did not, and the"
            " answer has the mark of an application: the hop shares its requests among several servers.",
            evidence=(answer, "nothing arrived at the tap behind the hop", other or ""),
            hop=hop_of(pair),
            software=software_of(pair),
        )


@rules(
    "WS-HS-112",
    "error",
    "hop",
    "The server refuses because of a header that the hop adds or changes",
    meaning="The server's answer names a header that is not as the client sent it: the hop added, changed or"
    " removed it. The server does not trust this hop, or expects another value.",
    js=JS_STATUS,
    topic="named-header",
    rows="H17 H19",
    group="attempt",
    scope="pair",
)
def names_header(pair: PairFacts) -> Iterator[Found]:
    found = blamed(pair, "named")
    if not found or pair.origin is None or not has_failed(pair.edge):
        return
    yield Found(
        evidence=(
            f"the server answered {status_line(pair.origin)}",
            *body_line(pair.origin),
            *lines_of(found),
        ),
        hop=hop_of(pair),
        software=software_of(pair),
        covers=covered_by(pair, "attempt"),
    )


@rules(
    "WS-HS-111",
    "note",
    "hop",
    "The hop changed the request, which does not explain the answer",
    meaning="Parts of the request left the hop different from how they arrived. They are listed because the"
    " attempt failed, but they do not explain why.",
    js=JS_STATUS,
    topic="changed",
    rows="H17 H18",
    confidence="low",
    scope="pair",
)
def also_changed(pair: PairFacts) -> Iterator[Found]:
    origin = pair.origin
    sent, came = pair.edge.request_out, origin.request_in if origin else None
    if origin is None or sent is None or came is None or not has_failed(pair.edge) or not has_failed(origin):
        return
    if any(one.weight >= LIKELY for one in pair.suspects) or is_connect_lost(pair):
        return
    sent, came = comparable_requests(sent, came)
    could = [one for one in pair.suspects if one.weight == POSSIBLE and one.kind != "upgrade"]
    could_lines = tuple(line for one in could for line in one.lines)
    unknown = unknown_fields(pair.edge, origin)
    changes = [one for one in notable(field_changes(sent, came)) if one.name not in unknown]
    rest = [line for one in changes for line in one.lines if line not in could_lines]
    if sent.target != came.target and not any(one.kind in ("path", "query") for one in could):
        rest.append(
            f"changed  {sent.target.decode('latin-1')[:80]}  ->  {came.target.decode('latin-1')[:80]}"
        )
    if could or rest:
        yield Found(
            title="The hop changed the request, which may explain the answer" if could else None,
            meaning="The server may look at what the hop changed. Its answer does not say so: compare"
            " with a request"
            " where that is kept."
            if could
            else None,
            evidence=(
                *(f"could explain it: {line}" for line in could_lines),
                *dict.fromkeys(one.why for one in could if one.why),
                *(f"does not explain it: {line}" for line in rest),
                f"the server answered {status_line(origin)}" if origin.status else "",
            ),
            hop=hop_of(pair),
            software=software_of(pair),
            topic=None if not could else "named-header" if could[0].why == UNTRUSTED else "host",
        )


@rules(
    "WS-HS-113",
    "warning",
    "hop",
    "The hop answers with a page of its own in place of the server's refusal",
    meaning="The server refused, and the hop replaced that answer with its own: the client does not see what"
    " the server said. Look for the cause in the server's own answer, not in the hop's page.",
    js=JS_STATUS,
    topic="replaced-answer",
    rows="H9 H15",
    scope="pair",
)
def replaces_refusal(pair: PairFacts) -> Iterator[Found]:
    edge, origin = pair.edge, pair.origin
    if origin is None or not has_failed(edge) or not has_failed(origin) or pair.is_answered_early:
        return
    # What is not whole or no HTTP is answered with 502 by every hop, and a slow server with 504.
    said = origin.response_in
    if said is None or not said.is_complete or edge.status is None or edge.status in _GAVE_UP:
        return
    if origin.status is None or origin.status < _LEAST_REFUSAL:
        return
    is_same = origin.status == edge.status
    # The status is the server's, so its cause is found all the same: only the words are lost.
    if is_same and not _are_words_lost(pair):
        return
    has_kind = edge.response_in is not None and edge.response_in.get("content-type") is not None
    yield Found(
        title=f"The hop puts a page of its own in the place of the server's {origin.status}"
        if is_same
        else f"The hop answers {edge.status} in place of the server's {origin.status}",
        severity="note" if is_same else None,
        evidence=(
            f"the server answered {status_line(origin)}",
            f"out of the hop came {status_line(edge)}",
            f"its {edge.response_line('Content-Type')}" if has_kind else "",
            *body_line(origin),
        ),
        causes=two_causes(
            (
                "an error page: error_page with proxy_intercept_errors in nginx, ErrorDocument with"
                " ProxyErrorOverride in Apache, handle_response in Caddy, http-response return in HAProxy",
                "its configuration; without that line the client gets the server's own answer",
            ),
            (
                "the hop asked another server after this answer, and that one gave the other",
                "its access log names the server that answered",
            ),
        ),
        hop=hop_of(pair),
        software=software_of(pair),
    )


def _are_words_lost(pair: PairFacts) -> bool:
    """Whether a page came out of the hop that has nothing of what the server said."""
    before, behind = pair.edge, pair.origin
    if behind is None or not is_page(before) or Lack.BODY in behind.unrecorded | before.unrecorded:
        return False
    said = body_line(behind)
    return bool(said) and said != body_line(before) and behind.content.strip() not in before.content


@rules(
    "WS-TOOL-011",
    "note",
    "tool",
    "The hop and the server behind the tap do not both speak TLS",
    meaning="This proxy ends TLS, or begins it, between the hop and the server. Without the tap the hop would"
    " speak TLS to a plain port, or plain HTTP to a TLS port, and fail.",
    js="Nothing: it works because of this proxy.",
    topic="tool-tls-target",
    rows="H31",
    confidence="medium",
    scope="pair",
)
def joins_tls(pair: PairFacts) -> Iterator[Found]:
    origin = pair.origin
    if origin is None or origin.server is None or (origin.client_tls is None) == (origin.server_tls is None):
        return
    hop, server = (
        ("speaks TLS", "plain") if origin.client_tls is not None else ("speaks plain HTTP", "over TLS")
    )
    yield Found(
        evidence=(
            f"the hop {hop} to the tap {origin.tap or 'behind it'}",
            f"this proxy's connection to {origin.server} is {server}",
        ),
        hop=hop_of(pair),
        software=software_of(pair),
    )
