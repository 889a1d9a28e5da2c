"""What `diagnose` looks at: reading the file by its kind, and running the rules."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from wsinspect.capture.diagnosis import diagnose
from wsinspect.capture.reader import Capture
from wsinspect.findings.model import Finding


@dataclass(frozen=True, kw_only=True)
class Diagnosis:
    """The findings of a file.

    Attributes:
        connections: how many connections there were to look at.
    """

    file: str
    connections: int
    findings: list[Finding] = field(default_factory=list)

    def as_json(self) -> dict[str, Any]:
        """The object of `--json`."""
        return {
            "file": self.file,
            "connections": self.connections,
            "findings": [one.as_json() for one in self.findings],
        }


def diagnose_file(path: Path, origin: Path | None, connection: int | None) -> Diagnosis:
    """All findings of a file, errors first."""
    with Capture.open(path) as capture:
        findings = diagnose(capture.query)
        count = capture.query("SELECT count(*) FROM connection")[0][0]
    if connection is not None:
        findings = [one for one in findings if one.connection == connection]
    return Diagnosis(file=str(path), connections=count, findings=findings)
