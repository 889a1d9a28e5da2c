"""Reads a hop's own configuration, and names the file and line with a diff; nothing is written.

Only nginx is read so far. What cannot be read is said, never guessed.
"""

from __future__ import annotations

import difflib
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Final

from wsinspect.doctor.judge import Judgement
from wsinspect.doctor.nginx import Defect, Directive, Met, corrected, defects, directives, meets
from wsinspect.doctor.target import Target
from wsinspect.errors import UsageError
from wsinspect.findings.model import MAX_EVIDENCE, Finding, Fix
from wsinspect.formats.secrets import MASK, is_secret_field

#: Findings that a defect of the configuration explains.
_EXPLAINS: Final = {
    "upgrade": frozenset(
        (
            "WS-HS-002",
            "WS-HS-003",
            "WS-HS-012",
            "WS-HS-014",
            "WS-HS-101",
            "WS-HS-102",
            "WS-HS-004",
            "WS-HS-011",
        )
    ),
    "host": frozenset(("WS-HS-105", "WS-HS-010")),
    "answer": frozenset(
        (
            *("WS-HS-002", "WS-HS-004", "WS-HS-005", "WS-HS-007", "WS-HS-008", "WS-HS-009", "WS-HS-010"),
            *("WS-HS-011", "WS-HS-019", "WS-HS-020", "WS-HS-021", "WS-HS-023"),
        )
    ),
}
#: Answers of the server itself, too: a defect is one more reason, and maybe not the first.
_OTHER_CAUSES: Final = frozenset(("WS-HS-004", "WS-HS-011", "WS-HS-012", "WS-HS-019"))
_MAX_FILE: Final = 4 * 1024 * 1024


@dataclass(frozen=True)
class Configuration:
    """What was read.

    Attributes:
        root: all directives, includes in their place.
        problems: what could not be read, a line each.
    """

    root: tuple[Directive, ...]
    problems: tuple[str, ...] = ()


def read_configuration(path: Path) -> Configuration:
    """An nginx configuration, includes followed.

    Args:
        path: nginx.conf, a file that it includes, or a folder with nginx.conf.

    Raises:
        UsageError: it is none, or nginx itself would refuse it.
    """
    import crossplane

    file = path / "nginx.conf" if path.is_dir() else path
    if not file.is_file():
        raise UsageError(f"{file} is not there", hint="give --config the nginx.conf, or its folder")
    # A file that nginx.conf includes has directives that crossplane takes for misplaced.
    read: dict[str, Any] = crossplane.parse(
        str(file), combine=True, check_ctx=False, check_args=False, catch_errors=True
    )
    problems = [_problem(one) for one in read["errors"]]
    root = directives(one for config in read["config"] for one in config["parsed"])
    if not root:
        reason = problems[0] if problems else f"{file} has no directive"
        raise UsageError(f"not an nginx configuration: {reason}")
    return Configuration(root, tuple(problems))


def _problem(error: Any) -> str:
    place = f"{error['file']}:{error['line']}" if error.get("line") else error["file"]
    return f"{place}: {str(error['error']).partition(' in /')[0]}"


def with_configuration(judgement: Judgement, read: Configuration, target: Target) -> Judgement:
    """The judgement with the place in the configuration that its first error comes from."""
    met = meets(read.root, target)
    if met is None:
        return replace(
            judgement, ruled_out=(*judgement.ruled_out, "the configuration has no server for this URL")
        )
    found = list(defects(met))
    errors = [one for one in judgement.findings if one.severity == "error"]
    place = _place(met)
    if not errors:
        return replace(judgement, ruled_out=(*judgement.ruled_out, f"this URL meets {place}"))
    first = errors[0]
    fitting = [one for one in found if first.id in _EXPLAINS[one.kind] and _may_be(one, first)]
    if not fitting:
        line = f"this URL meets {place}, which does not explain it"
        return replace(judgement, ruled_out=(*judgement.ruled_out, line))
    better = _with_place(first, fitting[0], place)
    findings = tuple(better if one is first else one for one in judgement.findings)
    headline = f"{first.title}: {place}: {fitting[0].words}"
    return replace(judgement, findings=findings, headline=headline)


def _may_be(defect: Defect, finding: Finding) -> bool:
    """Whether a defect fits what was seen: a route that nginx does not proxy answers by itself."""
    if defect.kind == "answer" and defect.at.name == "return":
        return any(code in finding.title or code in " ".join(finding.evidence) for code in defect.at.args[:1])
    return True


def _place(met: Met) -> str:
    one = met.innermost
    return f"{one.words} in {one.where}"


def _with_place(finding: Finding, defect: Defect, place: str) -> Finding:
    line = f"{place}: {defect.words}"
    fixes = [
        Fix("nginx", f"{defect.at.where}\n{text}", file=file, line=number, diff=text)
        for file, number, text in _diffs(defect)
    ]
    return replace(
        finding,
        fault_of="hop",
        hop=finding.hop or "nginx",
        confidence="high" if finding.id not in _OTHER_CAUSES else finding.confidence,
        evidence=(line, *finding.evidence)[:MAX_EVIDENCE],
        causes=(),
        fixes=(*fixes, *(one for one in finding.fixes if one.for_ != "nginx")) if fixes else finding.fixes,
    )


def _diffs(defect: Defect) -> list[tuple[str, int, str]]:
    """File, line and diff of each file that has to change."""
    places = [(one.file, one.line) for one, _ in defect.replaced]
    if defect.added:
        places.insert(0, (defect.at.file, defect.at.line))
    found = []
    for file, line in dict(reversed(places)).items():
        lines = _lines_of(Path(file))
        if lines is None:
            continue
        changed = corrected(lines, defect, file)
        # Without context: the lines around may have secrets.
        text = "".join(difflib.unified_diff(lines, changed, file, file, n=0))
        found.append((file, line, _masked(text)))
    return found


def _lines_of(file: Path) -> list[str] | None:
    try:
        if file.stat().st_size > _MAX_FILE:
            return None
        return file.read_text("utf-8", "surrogateescape").splitlines(keepends=True)
    except OSError:
        return None


def _masked(diff: str) -> str:
    """A diff without the values of headers that carry secrets."""
    lines = []
    for line in diff.splitlines():
        words: Sequence[str] = line.lstrip("+- ").split(None, 2)
        if len(words) == 3 and words[0] == "proxy_set_header" and is_secret_field(words[1].encode()):
            line = f"{line.partition(words[1])[0]}{words[1]} {MASK};"
        lines.append(line)
    return "\n".join(lines)
