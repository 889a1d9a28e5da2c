"""All rules, and running them: facts in, findings out, errors first."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import replace
from functools import cache
from importlib import import_module
from typing import Any, Final

from wsinspect.findings.consequences import without_ends
from wsinspect.findings.evidence import EITHER_SIDE, JS_FAILED, JS_STATUS, js_status, unknown_order
from wsinspect.findings.excuses import excused
from wsinspect.findings.facts import CaptureFacts, ConnectionFacts
from wsinspect.findings.fixes import fixes_for
from wsinspect.findings.model import (
    Check,
    Confidence,
    FaultOf,
    Finding,
    Rule,
    Scope,
    Severity,
)
from wsinspect.vocabulary import NO_SILENCES, Lack

#: One module a family; the order within a group is the order of precedence.
_MODULES: Final = (
    *("tool", "tls", "tls_client", "http2", "development", "socketio", "socketio_openings"),
    *("socketio_polls", "openings", "graphql"),
    *("signalr", "frameworks", "messaging", "xmpp", "ocpp"),
    *(
        "credentials",
        "reported",
        "handshake",
        "requests",
        "switching",
        "syntax",
        "redirects",
        "answers",
        "gateways",
    ),
    *("frames", "messages", "keepalive", "closing", "mute", "drops", "ages", "reconnects", "pages"),
    *("sandwich", "sandwich_answers", "sandwich_ends", "sandwich_refusals", "probes", "held"),
    *("early", "contexts", "sleeping", "stalls", "sandwich_stalls"),
)


class Rules:
    """What a rule module fills: use an instance as a decorator.

    The decorated function stays as it is.
    """

    def __init__(self) -> None:
        self.all: list[Rule] = []

    def __call__(
        self,
        rule_id: str,
        severity: Severity,
        fault_of: FaultOf,
        title: str,
        *,
        meaning: str,
        js: str,
        confidence: Confidence = "high",
        topic: str = "",
        rows: str = "",
        group: str = "",
        scope: Scope = "connection",
    ) -> Callable[[Check], Check]:
        """Register the decorated check; the arguments are `Rule`'s."""

        def register(check: Check) -> Check:
            self.all.append(
                Rule(
                    id=rule_id,
                    severity=severity,
                    fault_of=fault_of,
                    title=title,
                    meaning=meaning,
                    js=js,
                    confidence=confidence,
                    topic=topic,
                    rows=tuple(rows.split()),
                    group=group,
                    scope=scope,
                    check=check,
                )
            )
            return check

        return register


@cache
def all_rules() -> tuple[Rule, ...]:
    """Every rule, in the order of precedence."""
    found: list[Rule] = []
    for name in _MODULES:
        found += import_module(f"wsinspect.findings.rules.{name}").rules.all
    return tuple(found)


@cache
def _of_scope(scope: Scope) -> tuple[Rule, ...]:
    return tuple(rule for rule in all_rules() if rule.scope == scope)


@cache
def ids_of_group(group: str, scope: Scope = "connection") -> tuple[str, ...]:
    """The ids of the rules of a group: those over one connection, or those over both taps around a hop."""
    return tuple(rule.id for rule in _of_scope(scope) if rule.group == group)


def ids_of_families(*families: str) -> tuple[str, ...]:
    """The ids of the rules over one connection that are of these families (`FAMILIES`)."""
    return tuple(rule.id for rule in _of_scope("connection") if rule.id.split("-")[1] in families)


def diagnose_connection(facts: ConnectionFacts) -> list[Finding]:
    """What is to be said of one connection, errors first."""
    found = run(_of_scope("connection"), facts, facts.id, facts)
    if facts.has_gap:
        found = _proven_with_gap(found, facts)
    if facts.unrecorded:
        found = [one for one in found if not _is_about_unrecorded(one, facts)]
    if (line := unknown_order(facts)) is not None:
        found = [_in_doubt(one, line) for one in found]
    is_said = facts.is_ended_on_purpose and facts.rule is not None
    return _without_guesses(without_ends(ranked(excused(found, facts.faults, is_said=is_said)), facts))


def _in_doubt(finding: Finding, line: str) -> Finding:
    """A finding that says who ended the connection, where that was seen by order alone."""
    if finding.id not in _BY_ORDER or finding.fault_of == "tool":
        return finding
    return replace(
        finding,
        severity="warning" if finding.severity == "error" else finding.severity,
        confidence="low",
        evidence=(*finding.evidence, line),
        causes=(*finding.causes, *EITHER_SIDE),
    )


#: Rules that depend only on whose end came first.
_BY_ORDER: Final = frozenset(f"WS-DROP-{number:03}" for number in (1, 2, 3, 5, 6, 7))
#: Findings supported only by the length of a silence, or an age.
_GUESSES: Final = frozenset(("WS-DROP-002", "WS-DROP-003"))


def _without_guesses(findings: list[Finding]) -> list[Finding]:
    """Nothing is guessed about an end next to an error that explains it."""
    is_explained = any(
        one.severity == "error" and one.confidence != "low" and one.id not in _GUESSES for one in findings
    )
    if not is_explained:
        return findings
    return [one for one in findings if one.id not in _GUESSES or one.confidence != "low"]


#: Findings that say what an imported file reports of an end, and no more.
_REPORTED: Final = frozenset(("WS-CL-032",))
#: Families that judge what was seen. The others also reason from what did not come, which proves nothing
#: where bytes are missing.
_FROM_PRESENCE: Final = frozenset(("HS", "TLS", "H2", "DEV", "FR", "TOOL"))


def _is_about_unrecorded(finding: Finding, facts: ConnectionFacts) -> bool:
    """Whether a finding reasons from what an imported format does not have, and not from what it says."""
    family = finding.id.split("-")[1]
    if finding.id in _REPORTED:
        return False
    if family == "KA":
        return bool(facts.unrecorded & {Lack.PINGS, Lack.MESSAGES})
    has_no_end = bool(facts.unrecorded & {Lack.END, Lack.TRANSPORT})
    return has_no_end and (family == "DROP" or (family == "CL" and not facts.has_close))


#: What is said of a direction that stopped in the middle of something; the rest may not have been stored.
_OF_A_STUMP: Final = frozenset(("WS-FR-010", "WS-HS-029", "WS-HS-042"))


def _proven_with_gap(findings: Iterable[Finding], facts: ConnectionFacts) -> Iterable[Finding]:
    """Of a connection that lacks bytes: the findings that what is there proves."""
    kept = {*_FROM_PRESENCE, "CL"} if _closes_are_known(facts) else _FROM_PRESENCE
    return [one for one in findings if one.id.split("-")[1] in kept and one.id not in _OF_A_STUMP]


def _closes_are_known(facts: ConnectionFacts) -> bool:
    """Whether no CLOSE frame can be missing: a direction that lacks bytes had its own before.

    Else the other side's may be the answer to it, so that nobody knows who closed, and why.
    """
    if facts.has_lost_records or not facts.has_close:
        return False
    reasons = (facts.client_close_reason, facts.server_close_reason)
    return all(reasons[direction] is not None for direction in facts.gaps)


def diagnose_capture(facts: CaptureFacts) -> list[Finding]:
    """What only a look at all connections and at the engine's events shows, errors first."""
    return ranked(run(_of_scope("capture"), facts, None))


def diagnose_pair(facts: Any) -> list[Finding]:
    """What two taps around a hop show of one connection, errors first."""
    found = run(_of_scope("pair"), facts, facts.edge.id, facts.edge)
    taps = [facts.edge, *([facts.origin] if facts.origin is not None else [])]
    if any(one.has_lost_records for one in taps):
        return []  # a header block that is not there may have been sent all the same
    if any(one.has_gap or one.unrecorded & NO_SILENCES for one in taps):
        found = [one for one in found if one.id.split("-")[1] in ("HS", "TLS", "H2")]
    return ranked(excused(found, facts.faults))


def diagnose_probes(facts: Any) -> list[Finding]:
    """What asking the same otherwise shows, errors first."""
    main = facts.main.facts
    return ranked(run(_of_scope("probes"), facts, main.id, main))


def run(
    rules: Sequence[Rule], facts: Any, connection: int | None, answered: ConnectionFacts | None = None
) -> Iterable[Finding]:
    """Run rules in order; of a group only the first that applies.

    `answered` is the connection whose client saw what the findings are about: the status of a refusal decides
    the line in the browser's console, whatever was the cause.
    """
    seen = JS_FAILED
    if answered is not None and answered.status is not None and not answered.is_accepted:
        seen = js_status(answered.status)
    taken: set[str] = set()
    for rule in rules:
        if rule.group and rule.group in taken:
            continue
        for found in rule.check(facts):
            if rule.group:
                taken.add(rule.group)
            fixes = found.fixes
            if fixes is None:
                fixes = fixes_for(found.topic or rule.topic, found.software)
            finding = rule.finding(found, fixes, connection)
            yield replace(finding, js=seen) if finding.js in (JS_FAILED, JS_STATUS) else finding


def ranked(findings: Iterable[Finding]) -> list[Finding]:
    """Errors first, the surer ones first among equals; what another finding covers is left out."""
    findings = list(findings)
    covered = {pair for one in findings for pair in one.covers}
    kept = [one for one in findings if (one.connection, one.id) not in covered]
    return sorted(kept, key=lambda one: (*one.rank, one.connection or 0))
