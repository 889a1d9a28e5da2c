"""A finding and the rule that makes it.

A rule is a pure function over facts that yields a `Found` for each time it applies; what is the same each
time (title, meaning, whose fault) stands at the rule, what differs (evidence, frame) in the `Found`.
`Rule.finding` puts both together. Evidence is facts: header lines, times, bytes, already short; peers chose
some of its text, so whoever prints it escapes it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace
from typing import Any, Final, Literal, NamedTuple, get_args

from wsinspect.findings.quotes import masked

Severity = Literal["error", "warning", "note"]
FaultOf = Literal["client", "server", "hop", "network", "tool"]
Confidence = Literal["high", "medium", "low"]
Scope = Literal["connection", "capture", "pair", "probes"]

#: The hop of a finding about what recorded the packets of a trace: neither a peer nor this program.
RECORDING: Final = "the recording"
SEVERITIES: Final[tuple[Severity, ...]] = ("error", "warning", "note")
CONFIDENCES: Final[tuple[Confidence, ...]] = ("high", "medium", "low")
FAMILIES: Final = {
    "HS": "Opening handshake",
    "TLS": "TLS",
    "H2": "HTTP/2",
    "DEV": "Development servers",
    "FR": "Frames",
    "MS": "Messages",
    "CL": "Close codes and closing handshake",
    "KA": "Keepalive",
    "DROP": "Drops after the 101",
    "APP": "Application protocols",
    "RC": "Reconnects",
    "PAGE": "Pages that never try",
    "TOOL": "What wsinspect itself does",
}
#: Most lines of evidence in one finding; more say nothing new.
MAX_EVIDENCE: Final = 12


class Proven(NamedTuple):
    """A fix that was tried with the hop's own program.

    Attributes:
        before, after: what a handshake got, with the configuration as it is and with the diff.
        held: how long the connection was held idle, where that is what was wrong.
    """

    program: str
    version: str
    before: str
    after: str
    held: str | None = None

    @classmethod
    def from_json(cls, value: dict[str, Any]) -> Proven:
        """The object in a fix, whoever wrote it."""
        program, version, before, after = (str(value.get(name)) for name in cls._fields[:4])
        held = value.get("held")
        return cls(program, version, before, after, None if held is None else str(held))


@dataclass(frozen=True, slots=True)
class Fix:
    """What to do, `for_` whom: a software's name, or `general`.

    Attributes:
        file, line: the place in the software's configuration, where that was read.
        diff: what to change there.
        proven: what came of it, where it was tried.
    """

    for_: str
    text: str
    file: str | None = None
    line: int | None = None
    diff: str | None = None
    proven: Proven | None = None

    def as_json(self) -> dict[str, Any]:
        """The object in a finding; the place only where it is known."""
        proven = None if self.proven is None else self.proven._asdict()
        place = {"file": self.file, "line": self.line, "diff": self.diff, "proven": proven}
        known = {name: value for name, value in place.items() if value is not None}
        return {"for": self.for_, "text": self.text, **known}

    @classmethod
    def from_json(cls, value: dict[str, Any]) -> Fix:
        """What `as_json` returned, read from a capture that somebody else may have made."""
        file, line, diff, proven = (value.get(name) for name in ("file", "line", "diff", "proven"))
        return cls(
            str(value.get("for")),
            str(value.get("text")),
            str(file) if file is not None else None,
            line if isinstance(line, int) else None,
            str(diff) if diff is not None else None,
            Proven.from_json(proven) if isinstance(proven, dict) else None,
        )


@dataclass(frozen=True, slots=True)
class Cause:
    """One of several causes that look the same from here, and what would tell it apart."""

    cause: str
    tell_apart: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Finding:
    """One diagnosis, as it is printed and stored."""

    id: str
    severity: Severity
    fault_of: FaultOf
    hop: str | None
    title: str
    meaning: str
    js: str
    confidence: Confidence
    evidence: tuple[str, ...]
    fixes: tuple[Fix, ...]
    causes: tuple[Cause, ...] = ()
    connection: int | None = None
    frame: int | None = None
    covers: tuple[tuple[int, str], ...] = ()

    @property
    def rank(self) -> tuple[int, int]:
        """What to sort by, so that the worst comes first, and the surest among equals."""
        return SEVERITIES.index(self.severity), CONFIDENCES.index(self.confidence)

    def as_json(self) -> dict[str, Any]:
        """The JSON object, stable for `"schema": 1`."""
        return {
            "id": self.id,
            "severity": self.severity,
            "fault_of": self.fault_of,
            "hop": self.hop,
            "title": self.title,
            "meaning": self.meaning,
            "js": self.js,
            "confidence": self.confidence,
            "evidence": list(self.evidence),
            "causes": [{"cause": one.cause, "tell_apart": one.tell_apart} for one in self.causes],
            "fixes": [fix.as_json() for fix in self.fixes],
            "connection": self.connection,
            "frame": self.frame,
        }

    @classmethod
    def from_json(cls, value: dict[str, Any]) -> Finding:
        """What `as_json` returned, read from a capture that somebody else may have made."""
        return cls(
            id=_text(value.get("id")),
            severity=value["severity"] if value.get("severity") in SEVERITIES else "note",
            fault_of=value["fault_of"] if value.get("fault_of") in get_args(FaultOf) else "network",
            hop=None if value.get("hop") is None else _text(value["hop"]),
            title=_text(value.get("title")),
            meaning=_text(value.get("meaning")),
            js=_text(value.get("js")),
            confidence=value["confidence"] if value.get("confidence") in CONFIDENCES else "low",
            evidence=tuple(map(_text, _items(value.get("evidence")))),
            fixes=tuple(Fix.from_json(one) for one in _items(value.get("fixes")) if isinstance(one, dict)),
            causes=tuple(
                Cause(_text(one.get("cause")), _text(one.get("tell_apart")))
                for one in _items(value.get("causes"))
                if isinstance(one, dict)
            ),
            connection=_number(value.get("connection")),
            frame=_number(value.get("frame")),
        )


def _items(value: object) -> list[Any]:
    """A list of a finding that somebody else may have made; empty where something else stands there."""
    return value if isinstance(value, list) else []


def _text(value: object) -> str:
    """A text, or what stands in its place; of a list or an object nothing, since it may be of any depth."""
    return "" if isinstance(value, list | dict) else str(value)


def _number(value: object) -> int | None:
    return value if isinstance(value, int) and not isinstance(value, bool) else None


@dataclass(frozen=True, slots=True, kw_only=True)
class Found:
    """What a rule saw; None leaves what the rule says.

    Attributes:
        evidence: facts, one a line.
        frame: row id of the frame that proves it.
        connection: for rules over a whole capture: the connection it is about.
        fixes: instead of those of the rule's topic for the recognised software.
        software: names of recognised software, best known first: their fixes come first.
        title_more: what stands behind the title.
        covers: (connection, finding id) that this finding explains better; left out of a diagnosis.
    """

    evidence: tuple[str, ...]
    frame: int | None = None
    connection: int | None = None
    severity: Severity | None = None
    fault_of: FaultOf | None = None
    confidence: Confidence | None = None
    hop: str | None = None
    title: str | None = None
    title_more: str = ""
    meaning: str | None = None
    js: str | None = None
    software: tuple[str, ...] = ()
    topic: str | None = None
    fixes: tuple[Fix, ...] | None = None
    causes: tuple[Cause, ...] = ()
    covers: tuple[tuple[int, str], ...] = ()


Check = Callable[[Any], Iterable[Found]]


@dataclass(frozen=True, slots=True, kw_only=True)
class Rule:
    """A rule and what is always true of its findings.

    Attributes:
        id: `WS-<family>-<nnn>`, stable forever.
        meaning: two sentences.
        js: what JavaScript sees.
        topic: names the fixes (`fixes.FIXES`).
        rows: rows of the catalogue of causes that it recognises, such as `H1`.
        group: of the rules of one group only the first that applies to a connection is reported; "" is none.
        scope: what `check` takes: ConnectionFacts, CaptureFacts, PairFacts or ProbeFacts.
    """

    id: str
    severity: Severity
    fault_of: FaultOf
    title: str
    meaning: str
    js: str
    confidence: Confidence
    topic: str
    rows: tuple[str, ...]
    group: str
    scope: Scope
    check: Check

    @property
    def family(self) -> str:
        """The middle part of the id: `HS` of `WS-HS-001`."""
        return self.id.split("-")[1]

    def finding(self, found: Found, fixes: tuple[Fix, ...], connection: int | None) -> Finding:
        """The finding that `found` makes."""
        return Finding(
            id=self.id,
            severity=found.severity or self.severity,
            fault_of=found.fault_of or self.fault_of,
            hop=found.hop,
            title=masked((found.title or self.title) + found.title_more),
            meaning=found.meaning or self.meaning,
            js=masked(found.js or self.js),
            confidence=found.confidence or self.confidence,
            evidence=tuple(masked(one) for one in found.evidence if one)[:MAX_EVIDENCE],
            fixes=fixes,
            causes=found.causes,
            connection=found.connection if found.connection is not None else connection,
            frame=found.frame,
            covers=found.covers,
        )


def as_fault(finding: Finding, rules: str) -> Finding:
    """The same finding where the user had asked for it: nobody is to blame, and there is nothing to fix."""
    line = f"done on purpose on this connection: {rules}"
    return replace(
        finding,
        severity="note",
        fault_of="tool",
        hop="wsinspect",
        evidence=(line, *finding.evidence),
        causes=(),
        fixes=(),
    )
