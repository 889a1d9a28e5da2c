"""Answers in, findings and a verdict out. Pure: the rules are those of recorded traffic, and the probes' own.

The attempt that a browser would have made is judged like a recorded one, next to those that were accepted
(`ConnectionFacts.others`), so what differs between them is named in the same words as elsewhere.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Final, Literal

from wsinspect.doctor.answers import Answer, Reached
from wsinspect.findings.evidence import answer_hop
from wsinspect.findings.facts import ConnectionFacts, Other
from wsinspect.findings.held import Held, opened, own_interval_ns, without_heartbeat
from wsinspect.findings.model import MAX_EVIDENCE, Cause, Finding
from wsinspect.findings.probes import Probe, ProbeFacts, TriedAddress, is_same_answer
from wsinspect.findings.registry import diagnose_connection, diagnose_probes, ids_of_group, ranked
from wsinspect.findings.rules.switching import interim_before
from wsinspect.handshake.heads import loose_syntax
from wsinspect.net import Address
from wsinspect.text import counted
from wsinspect.units import format_duration
from wsinspect.wire.opcodes import Opcode

Verdict = Literal["healthy", "degraded", "failing", "unreachable"]

#: Findings about what the doctor itself does on purpose.
_OUR_DOING: Final = frozenset(("WS-DROP-007", "WS-TOOL-001"))
#: What an answer that did not come is blamed for, where it may be among what was not read.
_OF_SILENCE: Final = frozenset(("WS-KA-008", "WS-CL-031"))
#: What is said of a CLOSE with a reason of the application's.
_OF_CLOSE: Final = frozenset(("WS-APP-011", "WS-CL-002", "WS-CL-008", "WS-CL-011", "WS-CL-030"))
#: What Chromium refuses and the doctor does not, so that it sees more (measured: Chromium 156,
#: tests/e2e/test_chromium_blocks.py). After a CLOSE, or where boundaries are lost, it has ended for us, too.
_BROWSERS_END: Final = frozenset(
    (
        *("WS-HS-038", "WS-FR-002", "WS-FR-003", "WS-FR-004", "WS-FR-005", "WS-FR-006", "WS-FR-007"),
        *("WS-MS-001", "WS-MS-002"),
    )
)
_JS_ENDED: Final = (
    "An error event, then close with code 1006, wasClean false. Chrome's console names the broken frame."
)
#: Rules speak of a tap; here there is none.
_WORDS: Final = (
    ("a second tap behind it shows the request that arrives there", "--direct URL asks the server behind it"),
    (
        "a second tap between it and the application (wsinspect run --tap) shows the request there",
        "--direct URL asks the application itself",
    ),
    ("a second tap behind it shows whether they arrive", "--direct URL asks the server behind it"),
    ("connect to the application directly", "--direct URL asks the application itself"),
    ("The proxy answered the client with 502.", "No request was sent."),
    ("The client got 502.", "No request was sent."),
    ("the client ended the connection", "the doctor gave up"),
    ("behind this tap", "on the way"),
    ("before this tap", "on the way"),
    ("between this proxy and the application", "between here and the application"),
    ("Without the proxy Chrome's console", "Chrome's console"),
    ("A browser that connects directly", "A browser"),
)
#: What a server that takes the handshake for an ordinary GET answers to both.
_OF_A_GET: Final = (200, 400, 426, 501, 505)
_BLIND: Final = "what answers does not see that a WebSocket is asked for"
_WAS_ASKED: Final = "asked: "
#: What rules suggest to check for a cause, and the probe that did check it.
_ASKED: Final = (
    ("with and without slash", "slash"),
    ("repeat the request without Origin", "bare"),
    ("an ordinary GET of the same path", "get"),
)


@dataclass(frozen=True, kw_only=True)
class Judgement:
    """What the doctor says.

    Attributes:
        headline: the verdict in words.
        findings: most likely cause first.
        ruled_out: what was looked at and is right, or does not matter.
        next_steps: what to do where nothing is sure.
        alternatives: findings that the answers fit as well as the first one; a configuration may tell.
    """

    verdict: Verdict
    headline: str
    findings: tuple[Finding, ...]
    ruled_out: tuple[str, ...] = ()
    next_steps: tuple[str, ...] = ()
    alternatives: tuple[Finding, ...] = ()


def judge(
    reached: Reached,
    answers: Sequence[Answer],
    held: Sequence[Held] = (),
    *,
    page: Sequence[Address] = (),
) -> Judgement:
    """The findings about one URL.

    Args:
        answers: the browser's handshake first.
        held: connections that were held open, to find limits.
        page: addresses of the server that the page is from.
    """
    probes = [probe_of(one) for one in answers]
    facts = ProbeFacts(
        main=probes[0],
        others=tuple(probes[1:]),
        addresses=tuple(TriedAddress(str(one.address), one.error, one.is_local) for one in reached.addresses),
        held=tuple(held),
        page=tuple(one.host for one in page),
    )
    findings = tuple(in_own_words(one) for one in findings_of(facts))
    verdict = verdict_of(facts.main.facts, findings)
    return Judgement(
        verdict=verdict,
        headline=headline_of(facts.main, findings),
        findings=findings,
        ruled_out=(*ruled_out(reached, facts), *ruled_out_by_holding(held)),
        next_steps=tuple(next_steps(findings)),
    )


def findings_of(facts: ProbeFacts) -> list[Finding]:
    """What rules say of the handshake alone, and of all probes together, most likely cause first."""
    own = [one for one in diagnose_connection(facts.main.facts) if one.id not in _OUR_DOING]
    own = [_of_our_limits(_with_controls(one, facts), facts.main.facts) for one in own]
    own = [_of_our_silence(_as_a_browser(one, facts.main.facts), facts.main.facts) for one in own]
    over_http2 = [one for probe in facts.of_kind("h2") for one in _of_http2(probe, facts)]
    is_unread = any(kind == "unread" for kind, _ in facts.main.facts.events)
    # What the answer itself names (no key, CONNECT not known) is more than that it was refused.
    asked = [one for one in diagnose_probes(facts) if not (over_http2 and one.id == "WS-H2-020")]
    found = (*asked, *own, *over_http2)
    return ranked(one for one in found if not (is_unread and one.id in _OF_SILENCE))


def _of_http2(probe: Probe, facts: ProbeFacts) -> list[Finding]:
    """What is refused over HTTP/2 alone; what is refused over HTTP/1.1 as well has that cause."""
    if not facts.main.is_accepted or not (probe.http2 or {}).get("announced"):
        return []
    return [one for one in diagnose_connection(probe.facts) if one.id.startswith("WS-H2-")]


def probe_of(answer: Answer) -> Probe:
    """An answer as the rules take it."""
    facts = answer.facts
    if answer.strict is not None:
        facts = replace(facts, events=(*facts.events, ("strict", {"error": answer.strict})))
    elif (problem := loose_syntax(facts.raw_response_in or b"")) is not None:
        strict = {"error": problem, "judge": "RFC 9112"}
        facts = replace(facts, events=(*facts.events, ("strict", strict)))
    return Probe(answer.question.kind, answer.question.asks, facts)


def with_accepted(main: Answer, others: Sequence[Answer]) -> Answer:
    """The first attempt, with the accepted ones next to it that its rules compare it with."""
    accepted = tuple(
        Other(
            id=one.facts.id,
            path=one.facts.path,
            attempt_ns=one.facts.attempt_ns,
            open_ns=one.facts.open_ns,
            closed_ns=one.facts.closed_ns,
            end_ns=one.facts.end_ns,
            ended_by=one.facts.ended_by,
            how=one.facts.how,
            has_close=one.facts.has_close,
            server_close_code=one.facts.server_close_code,
            server_frames=one.facts.frames[1] - (one.facts.server_close_reason is not None),
            request=one.facts.raw_request_in,
            response=one.facts.raw_response_in,
        )
        for one in others
        if one.facts.open_ns is not None and probe_of(one).is_accepted and one.question.kind != "repeat"
    )
    return main._replace(facts=replace(main.facts, others=accepted))


def _with_controls(finding: Finding, facts: ProbeFacts) -> Finding:
    """A finding about a refusal, with what an ordinary GET got."""
    get = next(facts.of_kind("get"), None)
    if finding.id == "WS-HS-035" and get is not None and get.facts.status is not None:
        return _without_a_taker(finding, get)
    if finding.id not in ids_of_group("attempt") or facts.main.facts.status is None or get is None:
        return finding
    answers = [
        one.line
        for one in facts.of_kind("redirect", "polling", "slash")
        if not is_same_answer(one.facts, facts.main.facts)
    ]
    finding = replace(finding, evidence=(*finding.evidence, *answers)[:MAX_EVIDENCE])
    is_same = facts.same_as_get is not None
    is_blind = is_same and facts.main.facts.status in _OF_A_GET
    line = f"{get.asks}: the same answer" if is_same else get.line
    return replace(
        finding,
        evidence=(*finding.evidence, f"{line}: {_BLIND}" if is_blind else line)[:MAX_EVIDENCE],
        confidence="high" if is_blind and finding.id == "WS-HS-002" else finding.confidence,
        causes=tuple(_with_answer(one, facts) for one in finding.causes),
    )


def _without_a_taker(finding: Finding, get: Probe) -> Finding:
    """A server of HTTP that ends upgrades alone: Node's, where no handler takes the path, does that."""
    causes = (
        Cause(
            "nothing in the application takes an upgrade at this path: Socket.IO and ws in Node then hang up",
            "the path that the server is given (Socket.IO: path, ws: path or the upgrade handler)",
        ),
        Cause("the server failed while it handled the upgrade", "its log for this moment"),
    )
    return replace(finding, evidence=(*finding.evidence, get.line)[:MAX_EVIDENCE], causes=causes)


#: Why a server closes a connection that says nothing.
_WAITED: Final = re.compile(
    r"(initiali[sz]ation|init|handshake|auth\w*|log-?in|identif\w*|hello|join|register\w*|connect\w*|message)"
    r"[^.]{0,30}(time[d ]?-? ?out|too (late|long)|not received|missing|required|expected)"
    r"|time[d ]?-? ?out[^.]{0,30}(wait|init|auth|handshake|log-?in|hello|first)"
    r"|(no|waiting for|expected) (an? )?(init|auth|handshake|log-?in|hello|first|connection_init)",
    re.I,
)
#: graphql-ws: no connection_init in time.
_NO_INIT: Final = 4408


def _of_our_silence(finding: Finding, main: ConnectionFacts) -> Finding:
    """A server that closes because nothing was said: the doctor sends no message of any application."""
    code, reason = main.server_close_code, main.server_close_reason or ""
    if not main.was_open or code is None or finding.severity == "note":
        return finding
    if finding.id not in _OF_CLOSE or not (code == _NO_INIT or _WAITED.search(reason)):
        return finding
    title = f"The server waits for the application's first message, then closes with {code} {reason}".rstrip()
    line = "the doctor sends no message; a client that sends its first one in time is not closed for that"
    return replace(
        finding, severity="note", title=title, evidence=(*finding.evidence, line)[:MAX_EVIDENCE], causes=()
    )


def _of_our_limits(finding: Finding, main: ConnectionFacts) -> Finding:
    """An attempt that the doctor gave up: that is not a page which was left, and the server had its time."""
    if finding.id == "WS-HS-036":
        waited = main.error or "no answer"
        title = f"The server did not answer the handshake: {waited}"
        causes = tuple(one for one in finding.causes if "page" not in one.cause)
        return replace(finding, severity="error", fault_of="server", title=title, causes=causes)
    if finding.id == "WS-HS-038" and main.status is None and main.failed_where == "client":
        # The limit was ours; a browser ends the handshake at that response, however soon the answer comes.
        waited = main.error or "no answer"
        first = interim_before(main)
        title = f"{first.partition(' ')[2] or first} came before the answer, and then: {waited}"
        evidence = (first, waited)
        mended = replace(finding, title=title, evidence=evidence, confidence="medium", causes=())
        return replace(mended, fault_of="server")
    if finding.id == "WS-HS-042":
        return replace(finding, severity="error", confidence="high", causes=())
    if finding.id == "WS-HS-035" and not main.ends:
        return replace(finding, title=f"The answer never came to its end: {main.error}")
    return finding


def _as_a_browser(finding: Finding, main: ConnectionFacts) -> Finding:
    """What we put up with and a browser does not: there it is the end of the connection."""
    if finding.id not in _BROWSERS_END or finding.severity != "warning" or finding.fault_of == "client":
        return finding
    if any(one.id == finding.frame and one.opcode == Opcode.PONG for one in main.last_frames):
        return finding  # a browser gets no pong, because it sends no PING
    js, words = finding.js, "wsinspect continued; Chromium ends the connection here"
    if finding.id != "WS-HS-038":
        js = _JS_ENDED
    else:
        words = "wsinspect continued; Chromium ends the handshake here"
    return replace(finding, severity="error", js=js, evidence=(*finding.evidence, words)[:MAX_EVIDENCE])


def _with_answer(cause: Cause, facts: ProbeFacts) -> Cause:
    """A cause whose question was asked already, with the answer."""
    for words, kind in _ASKED:
        if words in cause.tell_apart:
            asked = next(facts.of_kind(kind), None)
            if asked is not None:
                is_same = is_same_answer(asked.facts, facts.main.facts)
                return replace(
                    cause,
                    tell_apart=f"{_WAS_ASKED}{asked.asks}: {'the same answer' if is_same else asked.outcome}",
                )
    return cause


def in_own_words(finding: Finding) -> Finding:
    """A finding that speaks of probes instead of taps."""
    return replace(
        finding,
        meaning=_reworded(finding.meaning),
        js=_reworded(finding.js),
        hop=None if finding.hop is None else _reworded(finding.hop),
        causes=tuple(Cause(_reworded(one.cause), _reworded(one.tell_apart)) for one in finding.causes),
    )


def _reworded(text: str) -> str:
    for words, instead in _WORDS:
        text = text.replace(words, instead)
    return text


def verdict_of(main: ConnectionFacts, findings: Sequence[Finding]) -> Verdict:
    """The verdict on a URL: unreachable, or by the severest finding failing, degraded or healthy."""
    if main.failed_where == "connect":
        return "unreachable"
    if any(one.severity == "error" for one in findings):
        return "failing"
    return "degraded" if any(one.severity == "warning" for one in findings) else "healthy"


def headline_of(main: Probe, findings: Sequence[Finding]) -> str:
    """The verdict in words: the first finding's, else what works."""
    if findings and findings[0].severity != "note":
        first = findings[0]
        return f"{first.title} [{first.hop}]" if first.hop else first.title
    facts = main.facts
    took = facts.answer_ms
    parts = [f"101 in {format_duration(round((took or 0) * 1e6))}"]
    rtt = next((one.rtt_ns for one in facts.pings if one.rtt_ns is not None), None)
    if rtt is not None:
        parts.append(f"ping answered in {format_duration(rtt)}")
    if facts.js_code is not None:
        parts.append(f"closed with {facts.js_code}")
    return f"The WebSocket works: {', '.join(parts)}"


def ruled_out(reached: Reached, facts: ProbeFacts) -> Iterator[str]:
    """What was looked at and is right, or does not matter."""
    main = facts.main.facts
    works = [str(one.address) for one in reached.addresses if one.error is None]
    if works:
        yield f"TCP: {', '.join(works)} {'accepts' if len(works) == 1 else 'accept'} connections"
    tls = main.server_tls
    if tls is not None and tls.get("verified"):
        until = str((tls.get("certificate") or {}).get("not_after"))[:10]
        yield f"TLS: {tls.get('version')}, certificate trusted, valid until {until}"
    yield from map(_http2_line, facts.of_kind("h2"))
    if facts.main.is_accepted:
        hop = answer_hop(main)
        if hop:
            yield f"{hop} on the way passes the upgrade on"
        refused = facts.first("origin:foreign")
        if refused is not None and not refused.is_accepted:
            yield f"the server checks Origin: another site's is refused ({refused.outcome})"
        for one in (*facts.of_kind("without"), *facts.of_kind("query", "subprotocol")):
            if one.kind == "without:sec-websocket-extensions" and one.is_accepted:
                yield "compression: offered or not, the server accepts"
            elif one.about != "origin" and one.kind != "without:sec-websocket-extensions":
                yield f"{one.asks}: {'accepted' if one.is_accepted else one.outcome}"
        return
    for one in facts.others:
        if (
            one.kind not in ("get", "h2")
            and not one.kind.startswith("only:")
            and is_same_answer(one.facts, main)
        ):
            yield f"{one.asks}: the same answer"


def ruled_out_by_holding(held: Sequence[Held]) -> Iterator[str]:
    """The limits that are not there, or longer than the trial: a lower bound."""
    tried = opened(held)
    open_ones = [one for one in tried if one.how is None]
    if not open_ones or any(one.has_ended or one.how for one in without_heartbeat(tried)[0]):
        return
    least = format_duration(min(one.age_ns for one in open_ones))
    silence = format_duration(max(one.most("any") for one in open_ones))
    count = counted(len(open_ones), "connection")
    yield f"limits: {count} stayed open for {least}, the longest silence {silence}"
    interval = own_interval_ns(tried)
    if interval is not None:
        yield f"limits: the server speaks by itself every {format_duration(interval)}, which may keep it open"


def _http2_line(probe: Probe) -> str:
    """What HTTP/2 has to do with it; curl takes it where it can, and an upgrade does not exist there."""
    found = probe.http2 or {}
    if found.get("alpn") != "h2":
        return "HTTP/2: the server does not choose it, so nothing here depends on it"
    curl = "curl needs --http1.1 here"
    if not found.get("announced"):
        return f"HTTP/2: no WebSockets over it (RFC 8441), so browsers open them over HTTP/1.1; {curl}"
    return f"HTTP/2: the server announces WebSockets over it (RFC 8441): {probe.outcome}; {curl}"


def next_steps(findings: Sequence[Finding]) -> Iterator[str]:
    """What tells the causes of the first finding apart, and what only the user knows."""
    if not findings or findings[0].severity != "error":
        return
    if findings[0].id == "WS-HS-043":
        yield "offer a subprotocol that the application speaks: --subprotocol NAME"
    if findings[0].confidence == "high":
        return
    yield from dict.fromkeys(
        one.tell_apart for one in findings[0].causes if not one.tell_apart.startswith(_WAS_ASKED)
    )
