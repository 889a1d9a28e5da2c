"""A finding with the line of the hop's configuration that it comes from, and the diff that mends it.

A defect that does not explain what was seen is not mentioned: a wrong blame is worse than silence.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Final

from wsinspect.doctor.behind import Behind
from wsinspect.doctor.configuration.diffs import Diff, diffs, masked_line
from wsinspect.doctor.configuration.model import DROPS_QUERY, Defect, Edit, Kind, Met, edited
from wsinspect.doctor.configuration.passed_on import as_asked
from wsinspect.doctor.configuration.reading import Configuration
from wsinspect.doctor.judge import Judgement
from wsinspect.doctor.target import Target
from wsinspect.findings.model import MAX_EVIDENCE, Cause, Confidence, Finding, Fix
from wsinspect.findings.own_pages import BARE
from wsinspect.findings.software import NAMES
from wsinspect.formats.secrets import mask_json
from wsinspect.handshake.heads import RawHead

_REFUSED: Final = ("WS-HS-004", "WS-HS-011", "WS-HS-012", "WS-HS-019")
#: Findings that a defect explains.
_EXPLAINS: Final[Mapping[Kind, frozenset[str]]] = {
    "upgrade": frozenset(
        (
            *("WS-HS-001", "WS-HS-002", "WS-HS-003", "WS-HS-004", "WS-HS-011", "WS-HS-012", "WS-HS-014"),
            *(
                "WS-HS-051",
                "WS-HS-101",
                "WS-HS-102",
                "WS-HS-103",
                "WS-DEV-003",
                "WS-DEV-004",
                "WS-DEV-005",
                "WS-PAGE-004",
            ),
        )
    ),
    "h2": frozenset(
        (
            *("WS-HS-002", "WS-HS-019", "WS-HS-020", "WS-HS-021", "WS-HS-101", "WS-HS-103"),
            *("WS-H2-001", "WS-H2-005"),
        )
    ),
    "websocket": frozenset(
        (
            *("WS-HS-012", "WS-HS-018", "WS-HS-026", "WS-HS-030", "WS-HS-044", "WS-HS-052", "WS-HS-104"),
            *("WS-HS-002", "WS-HS-024", "WS-HS-043"),
        )
    ),
    "host": frozenset(("WS-HS-105", "WS-CL-102", "WS-HS-010", "WS-HS-050", "WS-HS-053", "WS-DEV-002")),
    "credentials": frozenset(("WS-HS-105", "WS-CL-102", "WS-HS-009", "WS-HS-010", "WS-HS-050")),
    "path": frozenset(("WS-HS-106", "WS-HS-011", "WS-HS-004", "WS-HS-013", "WS-HS-051")),
    "route": frozenset(("WS-HS-004", "WS-HS-011", "WS-HS-103", "WS-HS-013", "WS-HS-002")),
    "response": frozenset(("WS-HS-025", "WS-HS-107", "WS-HS-110", "WS-HS-024", "WS-HS-020")),
    "answer": frozenset(
        (
            *("WS-HS-002", "WS-HS-004", "WS-HS-005", "WS-HS-007", "WS-HS-008", "WS-HS-009", "WS-HS-010"),
            *(
                "WS-HS-011",
                "WS-HS-019",
                "WS-HS-020",
                "WS-HS-021",
                "WS-HS-023",
                "WS-HS-103",
                "WS-HS-017",
                "WS-HS-053",
                "WS-HS-051",
            ),
        )
    ),
    "cover": frozenset(
        (*_REFUSED, "WS-HS-009", "WS-HS-010", "WS-HS-013", "WS-HS-020", "WS-HS-021", "WS-HS-023")
    ),
    "covered": frozenset(("WS-HS-011", "WS-HS-010", "WS-HS-012", "WS-HS-019")),
    "silent": frozenset(("WS-HS-032", "WS-HS-035", "WS-HS-036", "WS-DEV-005")),
    "slash": frozenset(("WS-HS-006", "WS-HS-008", "WS-HS-051", "WS-HS-103")),
    "tls": frozenset(("WS-TLS-019",)),
    "certificate": frozenset(("WS-TLS-015",)),
    "size": frozenset(("WS-HS-015",)),
    "upstream": frozenset(("WS-HS-019", "WS-HS-020", "WS-HS-021")),
    # Only where a connection was made: it is no reason for HAProxy's own 503.
    "preamble": frozenset(("WS-HS-020", "WS-HS-012", "WS-HS-035", "WS-HS-041")),
    "idle": frozenset(("WS-DROP-002", "WS-DROP-006", "WS-DROP-101", "WS-KA-002", "WS-DROP-009")),
    "lifetime": frozenset(
        ("WS-DROP-003", "WS-DROP-008", "WS-DROP-101", "WS-DROP-006", "WS-DROP-002", "WS-DROP-010")
    ),
    # httpd answers 502 when the application takes longer than ProxyTimeout.
    "handshake": frozenset(("WS-HS-022", "WS-HS-108", "WS-HS-020")),
    "reload": frozenset(("WS-DROP-004",)),
}
#: Servers answer these themselves, too: a defect is one more reason, maybe not the first.
_OTHER_CAUSES: Final = frozenset(
    (
        *(*_REFUSED, "WS-HS-010", "WS-HS-009", "WS-HS-050", "WS-DROP-006", "WS-HS-022", "WS-DROP-004"),
        # No server took the connection: it may be down all the same.
        "WS-HS-021",
    )
)
#: Kinds that are the hop's fault even where the server may have a reason of its own.
_OF_THE_HOP: Final = ("upgrade", "h2", "websocket", "answer", "slash", "idle", "lifetime", "certificate")
#: Kinds that are right as often as wrong: the server may have nothing at a path that a healthy line makes.
_ABOUT_PATHS: Final = ("route", "path")
#: Findings for which the same was asked at another path.
_OF_OTHER_PATHS: Final = ("WS-HS-051",)
#: Pages in the place of the server's answer, and what a finding without a configuration calls that.
_COVERS: Final = ("cover", "covered")
_IN_PLACE: Final = " in the place of "
#: What the pages say that are built in, where these do not say who wrote them; None where they always do.
_BUILT_IN: Final[Mapping[str, re.Pattern[str] | None]] = {
    "nginx": None,
    "haproxy": re.compile(
        r"administrative rules|valid user and password|sent too many requests|No server is"
    ),
    "apache": re.compile(r"permission to access|could not verify that you|not found on this server"),
}
#: Envoy's words for a server that did not even accept the connection: no protocol was spoken there.
_NOT_CONNECTED: Final = re.compile(r"connection failure|connection refused|no healthy upstream")
#: Apache calls its own failure of TLS with a server "500 Proxy Error".
_OF_GATEWAY: Final = re.compile(r"\b50[234]\b|\b500 Proxy Error\b")
_SAYS: Final = "the answer says: "
#: What a server can only speak of when it has read the request.
_OF_REQUEST: Final = re.compile(
    r"websocket|upgrade|connection header|origin|\bpath\b|session|transport|cookie|token|host"
    r"|protocol version",
    re.IGNORECASE,
)
#: Kinds that are only as good as the number in them.
_MEASURED: Final = ("idle", "lifetime", "handshake")
#: Limits that `--idle` measured: no errors, and the title has their length.
_LIMITS_MEASURED: Final = ("WS-DROP-009", "WS-DROP-010")
_SECONDS: Final = re.compile(r"(\d+(?:\.\d+)?) ?(ms|s|min|h)\b")
_UNITS: Final = {"ms": 0.001, "s": 1.0, "min": 60.0, "h": 3600.0}
#: How far a measured time may be from the limit that ended it: timers are late, and rarely early.
_EARLY: Final = 0.03
_LATE_SECONDS: Final = 2.5
#: No hop is configured to wait for less.
_SHORTEST_SECONDS: Final = 0.5


@dataclass(frozen=True)
class Explained:
    """A finding and the defect that it comes from.

    Attributes:
        configuration: the one that has it.
        index: which of the findings it is.
        diffs: what mends it, a file each.
    """

    configuration: Configuration
    met: Met
    defect: Defect
    index: int
    diffs: tuple[Diff, ...]

    @property
    def line(self) -> str:
        """The place, what is wrong there, and where that stands if it is in another file."""
        elsewhere = f" ({self.defect.at})" if self.defect.at.file != self.met.at.file else ""
        return f"{self.met.where}: {self.defect.words}{elsewhere}"


def with_configuration(
    judgement: Judgement,
    read: Sequence[Configuration],
    target: Target,
    versions: Mapping[str, tuple[int, ...]] | None = None,
    behind: Behind | None = None,
) -> tuple[Judgement, Explained | None]:
    """The judgement with the place in a configuration that its first error comes from, and what that is.

    Args:
        versions: of the software on the way, as far as its answers say so.
        behind: what the server said that a place passes requests on to, where it was asked.
    """
    places = [(one, one.meets(target, (versions or {}).get(one.software))) for one in read]
    errors = [one for one in judgement.findings if one.severity == "error" or one.id in _LIMITS_MEASURED]
    lines = [line for one, met in places for line in _remarks(one, met)]
    if errors:
        index = judgement.findings.index(errors[0])
        # What the answers fit as well, the configuration may tell apart.
        for finding in (errors[0], *judgement.alternatives):
            explained = _explain(index, finding, places)
            if explained is None:
                continue
            if behind is not None and explained.defect.backend is not None:
                finding, explained = _as_asked(finding, explained, behind)
                if explained is None:
                    findings = tuple(finding if one is errors[0] else one for one in judgement.findings)
                    return replace(judgement, findings=findings, headline=masked(finding.title)), None
            better = with_place(finding, explained)
            findings = tuple(better if one is errors[0] else one for one in judgement.findings)
            joint = ": " if _is_shown(finding, explained.defect) else "; possible cause: "
            words = masked(f"{better.title}{joint}{explained.line}")
            return replace(judgement, findings=findings, headline=words), explained
        lines = [
            f"{line}, which does not explain it" if line.startswith("this URL meets") else line
            for line in lines
        ]
    return replace(judgement, ruled_out=(*judgement.ruled_out, *lines)), None


def _as_asked(finding: Finding, explained: Explained, behind: Behind) -> tuple[Finding, Explained | None]:
    """The same once the server behind the hop was asked."""
    read = explained.configuration
    better, defect = as_asked(finding, explained.defect, read.software, read.sources.texts, behind)
    if defect is None:
        return better, None
    return better, replace(explained, defect=defect, diffs=_diffs(read, defect))


def passed_on_to(explained: Explained | None, target: Target) -> Target | None:
    """Where a hop that got no valid answer passes a URL on to, if its configuration says so."""
    backend = explained.defect.backend if explained is not None else None
    if backend is None:
        return None
    return Target("wss" if backend.is_tls else "ws", backend.host, backend.port, target.target)


def explain_finding(
    finding: Finding, read: Sequence[Configuration], target: Target
) -> tuple[Finding, Explained | None]:
    """A recorded finding with its place in a configuration; the same where none explains it."""
    explained = _explain(0, finding, [(one, one.meets(target)) for one in read])
    return (finding, None) if explained is None else (with_place(finding, explained), explained)


def is_explainable(finding: Finding) -> bool:
    """Whether a line of the configuration of a hop could be why: by its rule, and by what was seen."""
    return any(finding.id in rules and _may_be(kind, finding) for kind, rules in _EXPLAINS.items())


def masked(words: str) -> str:
    """Words that quote a configuration, without secrets in what is quoted."""
    quoted = re.sub(r"'([^']*)'", lambda match: f"'{masked_line(match[1])}'", words)
    return str(mask_json(quoted))


def _remarks(read: Configuration, met: Met | None) -> Iterator[str]:
    if met is None:
        yield f"the configuration of {NAMES[read.software]} has no server for this URL"
        return
    yield f"this URL meets {masked(met.where)}"
    yield from (f"not decided: {masked(one)}" for one in met.unsure)


def _explain(
    index: int, finding: Finding, places: Sequence[tuple[Configuration, Met | None]]
) -> Explained | None:
    for read, met in places:
        if met is None or not _may_be_of(finding, read.software):
            continue
        for defect in (*met.defects, *met.limits, *met.possible):
            if (
                finding.id in _EXPLAINS[defect.kind]
                and _fits(defect, finding)
                and _may_have_written(read.software, defect, finding)
            ):
                return Explained(read, met, defect, index, _diffs(read, defect))
    return None


def _may_be_of(finding: Finding, software: str) -> bool:
    """Not what another product's own page or header says it did."""
    hop = (finding.hop or "").lower()
    kin = (software, "general", "npm", "k8s-ingress", *_KIN.get(software, ()))
    others = [name.lower() for key, name in NAMES.items() if key not in kin]
    named = [one for one in others if hop == one or hop.startswith(f"{one} ")]
    return not named


def _may_have_written(software: str, defect: Defect, finding: Finding) -> bool:
    """Not where the page that the hop would have answered with is another one: then it passed that on."""
    if defect.kind == "covered" and software == "nginx":
        # The page that `error_page` names is another one than the one that is built in.
        return not any(line.startswith(f"{NAMES[software]} itself wrote") for line in finding.evidence)
    if not defect.is_built_in or software not in _BUILT_IN:
        return True
    authors = tuple(
        f"{NAMES[one]} itself wrote" for one in (software, *(key for key in _KIN if software in _KIN[key]))
    )
    if any(line.startswith(authors) for line in finding.evidence):
        return True
    words = _BUILT_IN[software]
    said = [line for line in finding.evidence if line.startswith(_SAYS)]
    return words is not None and any(words.search(line) for line in said)


def _fits(defect: Defect, finding: Finding) -> bool:
    """Whether a defect fits what was seen: the status that it answers with, the seconds that it waits."""
    said = _said(finding)
    if defect.status is not None:
        codes = {int(one) for one in re.findall(r"\b[1-5]\d\d\b", said)}
        return defect.status in codes or (
            defect.status in (301, 302, 303, 307, 308) and finding.id in _REDIRECTS
        )
    if not _may_be(defect.kind, finding):
        return False
    if finding.id == "WS-HS-050" and defect.kind == "host":
        return True
    if DROPS_QUERY in defect.words:
        return "query" in said
    if defect.kind in _MEASURED:
        if defect.seconds is None:
            return False
        low, high = defect.seconds * (1 - _EARLY), defect.seconds + _LATE_SECONDS
        return any(low <= one <= high for one in _times(said))
    return True


def _said(finding: Finding) -> str:
    """Its title and its evidence; not the ages of all that was held open."""
    return " ".join((finding.title, *(() if finding.id in _LIMITS_MEASURED else finding.evidence)))


def _times(said: str) -> list[float]:
    """The times in a text, in seconds."""
    return [float(count) * _UNITS[unit] for count, unit in _SECONDS.findall(said)]


def _may_be(kind: Kind, finding: Finding) -> bool:
    """Whether any defect of a kind can be why: what was seen may rule all of them out."""
    said = _said(finding)
    if finding.id == "WS-HS-050" and kind == "host":
        return _is_of_its_page(finding)
    if kind in ("host", "credentials") and _is_own_refusal(finding):
        return False  # no server was asked, so nothing that it gets decides
    if kind == "upstream":
        # A hop answers these for a server that it cannot reach or read; its own 500 has another reason.
        return _OF_GATEWAY.search(said) is not None
    if kind == "preamble" and finding.id == "WS-HS-012":
        return _may_not_have_read(finding)
    if kind == "h2" and finding.id == "WS-HS-021":
        return _NOT_CONNECTED.search(said) is None
    if finding.id == "WS-HS-032":  # who refuses a connection has not read a configuration
        return "reset" in said
    if kind in _MEASURED:
        return any(one >= _SHORTEST_SECONDS for one in _times(said))
    return True


def _may_not_have_read(finding: Finding) -> bool:
    """Whether a 400 may come of what stood in front of the request: not where it speaks of what is in it."""
    is_own = any(line.startswith("HAProxy itself wrote") for line in finding.evidence)
    said = " ".join((finding.title, *(line for line in finding.evidence if line.startswith(_SAYS))))
    return not is_own and finding.fault_of != "client" and _OF_REQUEST.search(said) is None


def _is_own_refusal(finding: Finding) -> bool:
    """Whether a 401 or 403 is the hop's own, by its page or by what it says."""
    if finding.id not in ("WS-HS-009", "WS-HS-010"):
        return False
    return "itself refuses" in finding.title or any("itself wrote" in line for line in finding.evidence)


def _is_of_its_page(finding: Finding) -> bool:
    """Whether the refused Origin is that of the Host that was asked: a foreign one is refused anyhow."""
    said = {name: value for name, _, value in (line.partition(": ") for line in finding.evidence)}
    return "Host" in said and said.get("Origin", "").partition("//")[2] == said["Host"]


#: What else answers for a configuration: an Ingress is served by one of these.
_KIN: Final = {
    "k8s-ingress": ("nginx", "traefik", "haproxy", "envoy", "aws", "gcp", "azure"),
    "npm": ("nginx",),
}
_REDIRECTS: Final = frozenset(("WS-HS-005", "WS-HS-006", "WS-HS-007", "WS-HS-008"))


def _diffs(read: Configuration, defect: Defect) -> tuple[Diff, ...]:
    """What mends it, if the text that comes of it can still be read."""
    if not defect.edits:
        return ()
    files = list(dict.fromkeys(one.file for one in defect.edits))
    if any(file not in read.sources.texts for file in files) or mended(read, defect.edits) is None:
        return ()
    return tuple(diffs(defect.edits, read.sources, read.base(files)))


def mended(read: Configuration, edits: Sequence[Edit]) -> Configuration | None:
    """The configuration with these edits; None if it cannot be read any more."""
    files = dict.fromkeys(one.file for one in edits)
    texts = {file: edited(read.sources.texts[file], file, edits) for file in files}
    after = read.with_texts(texts)
    if after is None or len(after.problems) > len(read.problems):
        return None
    return after


def _is_shown(finding: Finding, defect: Defect) -> bool:
    """Whether what was seen shows that a line is why, and not only that the request meets it.

    Of a path that is false until the server accepts the original one, or the hop is known to have answered.
    """
    if defect.kind not in _ABOUT_PATHS:
        return True
    return finding.fault_of == "hop" or finding.id in _OF_OTHER_PATHS


def with_place(finding: Finding, explained: Explained) -> Finding:
    """A finding with the place, and the fix that mends it in front of the others.

    What may be why, and as well not, stands behind what the finding says by itself.
    """
    defect, software = explained.defect, explained.configuration.software
    line = masked(explained.line)
    fixes = [
        Fix(
            software,
            _fix_text(one, defect),
            file=one.file,
            line=_line_of(one, defect),
            diff=one.shown.rstrip("\n"),
        )
        for one in explained.diffs
    ]
    if not fixes:
        advice = defect.advice or defect.words
        fixes = [Fix(software, masked(f"{defect.at}: {advice}"), file=defect.at.file, line=defect.at.line)]
    rest = [one for one in finding.fixes if one.for_ != software] if explained.diffs else list(finding.fixes)
    unsure = tuple(f"not decided: {masked(one)}" for one in explained.met.unsure)
    # Of where it is passed on, what is still open is among the causes.
    is_asked = defect.backend is not None and defect not in explained.met.possible
    is_possible = bool(finding.causes) if is_asked else defect in explained.met.possible
    # Where the answer itself shows that another Host arrived, the line that changes it needs no rival.
    is_known = finding.id not in _OTHER_CAUSES or (defect.kind == "host" and finding.fault_of == "hop")
    is_shown = _is_shown(finding, defect)
    is_sure = is_known and is_shown and not unsure and not is_possible
    rival = Cause(
        line, "apply the diff, or add --prove" if explained.diffs else "change that line, and ask again"
    )
    fault_of, title = finding.fault_of, finding.title
    if is_sure or (defect.kind in _OF_THE_HOP and not is_possible):
        fault_of = "hop"
    elif defect.kind == "cover" and BARE in finding.evidence:
        fault_of, title = "hop", f"{NAMES[software]} may have answered with a page of its own instead of 101"
    elif defect.kind == "covered" and finding.fault_of == "hop":
        # It passes this request on, so a status that is not its own came from behind it.
        fault_of = "server"
        title = f"{defect.status}: the server's answer, under a page of {NAMES[software]}"
    confidence: Confidence = "high" if is_sure else finding.confidence
    if defect.kind in _COVERS and fault_of != finding.fault_of and confidence == "high":
        confidence = "medium"  # the hop's own failures have the same status and the same page
    causes = tuple(one for one in finding.causes if defect.kind not in _COVERS or _IN_PLACE not in one.cause)
    # How many of its own evidence, causes and fixes stand in front of the line.
    before = 0 if is_shown else 1
    return replace(
        finding,
        title=title,
        fault_of=fault_of,
        hop=finding.hop or NAMES[software],
        confidence=confidence,
        evidence=(*finding.evidence[:before], line, *unsure, *finding.evidence[before:])[:MAX_EVIDENCE],
        causes=() if is_sure or not finding.causes else (*causes[:before], rival, *causes[before:]),
        fixes=(*fixes, *rest) if is_shown else (*rest, *fixes),
    )


def _line_of(diff: Diff, defect: Defect) -> int:
    """The first line that changes; what is only taken out may take the comma of the line before along."""
    is_removal = diff.file == defect.at.file and not any(one.text for one in defect.edits)
    return defect.at.line if is_removal else diff.line


def _fix_text(diff: Diff, defect: Defect) -> str:
    parts = [
        f"{diff.file}:{_line_of(diff, defect)}",
        *([defect.advice] if defect.advice else []),
        diff.shown.rstrip("\n"),
    ]
    if not diff.applies:
        parts.insert(1, "values of secrets are masked here: --write saves a patch that applies")
    return "\n".join(parts)


def versions_of(heads: Iterable[bytes | None]) -> dict[str, tuple[int, ...]]:
    """Versions that answers name in `Server`, by software.

    Args:
        heads: response header blocks.
    """
    found: dict[str, tuple[int, ...]] = {}
    for raw in heads:
        server = RawHead.parse(raw).get("server") if raw else None
        match = _SERVER.match((server or b"").decode("latin-1"))
        if match and match[1].lower() in _CALLED:
            found[_CALLED[match[1].lower()]] = tuple(map(int, match[2].split(".")))
    return found


#: `Server: nginx/1.22.1`; what builds on nginx has its version's numbers.
_SERVER: Final = re.compile(r"([A-Za-z]+)/(\d{1,4}(?:\.\d{1,4}){1,3})")
_CALLED: Final = {"nginx": "nginx", "openresty": "nginx", "apache": "apache", "envoy": "envoy"}
