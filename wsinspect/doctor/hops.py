"""Judges a chain of servers: which hop it is, by the rules of a sandwich, or that it is the last server.

What came out of a hop was not seen: it is inferred from what the server behind it answers when it is asked
like that, and each finding of that kind says so first.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import Final

from wsinspect.doctor.answers import Answer, Reached
from wsinspect.doctor.chain import KEPT_PATH, NOWHERE, first_that_works, has_broken
from wsinspect.doctor.judge import (
    Judgement,
    findings_of,
    headline_of,
    in_own_words,
    judge,
    next_steps,
    probe_of,
    ruled_out,
    verdict_of,
    with_accepted,
)
from wsinspect.doctor.target import Target
from wsinspect.findings.changes import Accepted, accepted_of
from wsinspect.findings.facts import ConnectionFacts
from wsinspect.findings.held import Held
from wsinspect.findings.model import MAX_EVIDENCE, Cause, Finding
from wsinspect.findings.probes import Probe, ProbeFacts, is_same_answer
from wsinspect.findings.registry import diagnose_pair, ids_of_families, ids_of_group, ranked
from wsinspect.findings.sandwich import PairFacts
from wsinspect.findings.software import NAMES

#: What a hop answers when it did not reach the server behind it.
_GATEWAY: Final = (502, 503, 504)
_JOINED: Final = "joined by "
#: A hop answered in place of the server's refusal.
_REPLACED: Final = "WS-HS-113"
_CONFIGURATION: Final = "its configuration, or its access log with the headers it sends"


def judge_chain(
    targets: Sequence[Target],
    reached: Sequence[Reached],
    answers: Sequence[Answer],
    held: Sequence[Held] = (),
) -> Judgement:
    """The findings about a URL and the servers behind it.

    Args:
        targets: the URL first; `reached` in the same order.
        answers: the handshake at each place first, then all else.
        held: connections that were held open, to find limits.
    """
    mains, others = answers[: len(targets)], answers[len(targets) :]
    works = first_that_works([one.facts for one in mains])
    lines = [f"asked directly at {one.question.target}: {probe_of(one).outcome}" for one in mains[1:]]
    if works == 0:
        base = judge(reached[0], [mains[0], *others], held)
        findings = _of_the_hop(base.findings, mains, targets)
        return replace(
            base,
            findings=findings,
            headline=headline_of(probe_of(mains[0]), findings),
            ruled_out=(*base.ruled_out, *lines),
        )
    if works is None:
        return _none_works(reached, mains, others)
    return _a_hop(targets, reached, mains, others, works)


def _of_the_hop(
    findings: Sequence[Finding], mains: Sequence[Answer], targets: Sequence[Target]
) -> tuple[Finding, ...]:
    """What is wrong with an open WebSocket, and right where the servers behind are asked: a hop does it."""
    if not has_broken(mains[0].facts):
        return tuple(findings)
    names = [target.authority for target in targets]
    behind = [probe_of(one) for one in mains]
    whole = (place for place, one in enumerate(behind) if one.is_accepted and not has_broken(one.facts))
    place = next(whole, None)
    if place is None:
        return tuple(findings)
    hop, line = f"the hop between {names[place - 1]} and {names[place]}", f"not so at {targets[place]}"
    ids = (*ids_of_families("FR", "MS", "CL", "DROP", "KA"), "WS-HS-029", "WS-KA-010")
    return tuple(
        replace(one, fault_of="hop", hop=hop, evidence=(*one.evidence, line)[:MAX_EVIDENCE])
        if one.id in ids and one.severity != "note"
        else one
        for one in findings
    )


def _none_works(reached: Sequence[Reached], mains: Sequence[Answer], others: Sequence[Answer]) -> Judgement:
    """The last server fails as well, so the hops before it are not why."""
    edge, last = mains[0], with_accepted(mains[-1], others)
    base = judge(reached[-1], [last, *others])
    through = [f"{one.question.target}: {probe_of(one).outcome}" for one in mains[:-1]]
    is_same = is_same_answer(edge.facts, last.facts)
    words = "the same answer through" if is_same else "through"
    attempt = ids_of_group("attempt")
    findings = [
        replace(one, evidence=(*one.evidence, *(f"{words} {line}" for line in through))[:MAX_EVIDENCE])
        if one.severity == "error"
        else one
        for one in base.findings
    ]
    findings = [*findings, *_replaced(edge, last)]
    is_unreached = last.facts.failed_where == "connect"
    if is_unreached and edge.facts.status not in _GATEWAY:
        # The URL's server does not say that it cannot reach what is behind it.
        own = findings_of(ProbeFacts(main=probe_of(edge), addresses=()))
        findings = [*map(in_own_words, own), *findings]
    elif not is_same and edge.facts.failed_where == "connect":
        own = [one for one in findings_of(ProbeFacts(main=probe_of(edge))) if one.id in attempt]
        findings = [*map(in_own_words, own), *findings]
    return replace(
        base,
        verdict=verdict_of(edge.facts, findings),
        headline=headline_of(probe_of(last), findings),
        findings=tuple(findings),
        next_steps=tuple(next_steps(findings)),
    )


def _replaced(edge: Answer, last: Answer) -> list[Finding]:
    """That through the hops another refusal comes than the last server's: its own words are hidden."""
    if edge.question.target.target != last.question.target.target:
        return []
    # They are two attempts, one after the other: which was answered first says nothing.
    pair = PairFacts(edge=edge.facts, origin=replace(last.facts, times={}), joined_by="inference")
    is_same = edge.facts.status == last.facts.status
    title = f"The hop answers {edge.facts.status} where the server behind it answers {last.facts.status}"
    unasked = Cause("the hop does not ask that server at this path: a file or another route", _CONFIGURATION)
    return [
        replace(
            in_own_words(one),
            title=one.title if is_same else title,
            hop="a hop on the way",
            confidence="medium",
            causes=(unasked, *one.causes) if edge.facts.status == 200 else (*one.causes, unasked),
            evidence=(*one.evidence, f"asked directly at {last.question.target}")[:MAX_EVIDENCE],
        )
        for one in diagnose_pair(pair)
        if one.id == _REPLACED
    ]


def _a_hop(
    targets: Sequence[Target],
    reached: Sequence[Reached],
    mains: Sequence[Answer],
    others: Sequence[Answer],
    works: int,
) -> Judgement:
    """The server at `works` accepts, and through the hop before it the same handshake fails."""
    names = [target.authority for target in targets]
    edge = replace(mains[works - 1].facts, tap=names[works - 1])
    direct = replace(mains[works].facts, tap=names[works])
    tried = [probe_of(one) for one in others if one.question.kind.startswith("hop:")]
    same = [one for one in tried if is_same_answer(one.facts, edge)]
    kept = [one for one in same if one.kind == KEPT_PATH]
    same = [one for one in same if one.kind != KEPT_PATH]
    accepted = (accepted_of(direct.request_in),) if direct.request_in else ()
    own = findings_of(ProbeFacts(main=probe_of(mains[works - 1])))
    pairs = [pair for one in same for pair in _as_pair(edge, one, names[works], accepted)]
    if edge.status == 101:  # what the hop did to the server's own 101 can be seen
        pairs = [*_as_pair(edge, probe_of(mains[works]), names[works], accepted), *pairs]
    alternatives: list[Finding] = []
    if kept:
        alternatives = _explained(pairs) if pairs else []
        own = _unexplained(own, edge, direct, kept, names[works - 1 : works + 1])
        findings = ranked(_with_path_kept(one, targets[works], alternatives) for one in own)
    elif pairs:
        likely, *rest = _explained(pairs)
        findings, alternatives = ranked([likely, *own]), rest
    else:
        findings = _unexplained(own, edge, direct, same, names[works - 1 : works + 1])
    findings = [in_own_words(one) for one in findings]
    main = probe_of(mains[0])
    facts = ProbeFacts(main=main, others=tuple(tried))
    return Judgement(
        verdict=verdict_of(mains[0].facts, findings),
        headline=headline_of(main, findings),
        findings=tuple(findings),
        ruled_out=(
            *ruled_out(reached[0], replace(facts, others=())),
            f"the server at {names[works]}: it accepts the same handshake",
            *(f"{one.asks}: another answer ({one.outcome})" for one in tried if one not in same),
        ),
        next_steps=tuple(next_steps(findings)),
        alternatives=tuple(map(in_own_words, alternatives)),
    )


def _with_path_kept(finding: Finding, target: Target, others: Sequence[Finding]) -> Finding:
    """A refusal that the server behind the hop gives at the path that the hop was asked for."""
    if finding.id not in ids_of_group("attempt"):
        return finding
    title = f"The hop passes the path on as it came; the server has its WebSocket at {target.path}"
    causes = [
        Cause("the hop does not rewrite the path", _CONFIGURATION),
        *(Cause(f"{one.title}: the same answer", _CONFIGURATION) for one in others),
    ]
    return replace(finding, title=title, causes=tuple(causes), confidence="medium")


def _as_pair(
    edge: ConnectionFacts, tried: Probe, name: str, accepted: tuple[Accepted, ...]
) -> Iterator[tuple[Probe, Finding]]:
    """The errors of a sandwich whose hop made this request of the one before it."""
    origin = replace(tried.facts, tap=name)
    pair = PairFacts(edge=edge, origin=origin, joined_by="inference", accepted=accepted)
    for one in diagnose_pair(pair):
        if one.severity == "error":
            yield tried, _with_unknown_path(one) if tried.kind == "hop:path" else one


def _with_unknown_path(finding: Finding) -> Finding:
    """Any path that the server does not have gets this answer: which one the hop sends is not known."""
    lines = [line for line in finding.evidence if NOWHERE not in line]
    return replace(
        finding, evidence=(*lines, "out of it: a path that the server does not have"), confidence="medium"
    )


def _explained(pairs: Sequence[tuple[Probe, Finding]]) -> list[Finding]:
    """The likeliest fault of the hop, then the others that would give the same answer; each names all."""
    kinds: dict[str, tuple[Probe, Finding]] = {}
    for tried, one in pairs:
        kinds.setdefault(tried.kind, (tried, one))
    causes = [
        Cause(f"{one.title} (asked {tried.asks}, the same answer)", _CONFIGURATION)
        for tried, one in kinds.values()
    ]
    return [
        replace(
            one,
            evidence=(_inferred(tried), *(line for line in one.evidence if not line.startswith(_JOINED)))[
                :MAX_EVIDENCE
            ],
            causes=tuple(causes) if len(causes) > 1 else one.causes,
            confidence=one.confidence if len(causes) == 1 else "medium",
        )
        for tried, one in kinds.values()
    ]


def _inferred(tried: Probe) -> str:
    """What shows it: a comparison, or what the server behind the hop answers when it is asked like that."""
    if tried.kind == "direct":
        return f"compared with {tried.asks}"
    return f"inferred: the server behind it gives the same answer when it is asked {tried.asks}"


def _unexplained(
    own: Sequence[Finding],
    edge: ConnectionFacts,
    direct: ConnectionFacts,
    same: Sequence[Probe],
    names: Sequence[str],
) -> list[Finding]:
    """What the answer says by itself; it is the hop's doing, since the server behind it accepts."""
    attempt = ids_of_group("attempt")
    hop = f"the hop between {names[0]} and {names[1]}"
    lines = (
        f"asked directly, the server behind it accepts: {Probe('', '', direct).outcome}",
        *(f"it gives the same answer {one.asks}" for one in same),
    )
    return [
        replace(
            one,
            fault_of="hop",
            hop=f"{one.hop}, {hop}" if one.hop and one.hop in NAMES.values() else hop,
            evidence=(*one.evidence[: MAX_EVIDENCE - len(lines)], *lines),
            causes=tuple(_asked(cause) for cause in one.causes if _is_of_hop(cause)),
        )
        # Of a 101 all that is wrong is the hop's: the server behind it sends a right one.
        if one.id in attempt or (edge.status == 101 and one.severity == "error")
        else one
        for one in own
    ]


def _asked(cause: Cause) -> Cause:
    """A cause that asking the server behind the hop would settle; that was done."""
    tell = cause.tell_apart
    return replace(cause, tell_apart=_CONFIGURATION) if "tap" in tell or "directly" in tell else cause


def _is_of_hop(cause: Cause) -> bool:
    """Whether a cause can still be, now that the server behind the hop accepts."""
    return any(word in cause.cause.lower() for word in ("hop", "proxy", "itself", "access list", "path"))
