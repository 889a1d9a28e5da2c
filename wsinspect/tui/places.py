"""Configurations of hops that were read in this session, and what they make of findings. No widget here."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, NamedTuple

from wsinspect.capture.records import FindingRow
from wsinspect.findings.model import Finding

if TYPE_CHECKING:  # the readers take a third of a second to load: not before the first paint
    from wsinspect.doctor.configuration.reading import Configuration
    from wsinspect.doctor.proof.proving import Proof
    from wsinspect.doctor.target import Target

_OFFER = "r reads the proxy's configuration, and names the file, the line and a diff"


class Placed(NamedTuple):
    """A finding as it is shown, and a remark below it."""

    finding: Finding
    words: str = ""


@dataclass
class Places:
    """What was read.

    Attributes:
        paths: as the user named them.
        read: what is in them.
        proofs: of fixes, by the finding's row.
    """

    paths: tuple[str, ...] = ()
    read: Sequence[Configuration] = ()
    proofs: dict[int, Proof] = field(default_factory=dict)

    def take(self, paths: Sequence[str], read: Sequence[Configuration]) -> None:
        """Remember other configurations; proofs of earlier ones are forgotten."""
        self.paths, self.read = tuple(paths), read
        self.proofs.clear()

    def placed(self, row: FindingRow, finding: Finding, target_of: Callable[[int], Target | None]) -> Placed:
        """The finding with its line, where one of the configurations explains it.

        Args:
            target_of: what the hop was asked for by a connection.
        """
        from wsinspect.doctor.configuration.judging import explain_finding, is_explainable, masked
        from wsinspect.doctor.proof.proving import with_proof

        has_place = any(fix.file is not None for fix in finding.fixes)
        if has_place or row.connection_id is None or not is_explainable(finding):
            return Placed(finding)
        target = target_of(row.connection_id)
        if target is None:
            return Placed(finding)
        if not self.read:
            return Placed(finding, _OFFER)
        better, explained = explain_finding(finding, self.read, target)
        if explained is None:
            met = [found.where for one in self.read if (found := one.meets(target)) is not None]
            where = (
                f"this URL meets {masked(met[0])}, which does not explain it" if met else "no place for it"
            )
            return Placed(finding, f"{', '.join(self.paths)}: {where}")
        proof = self.proofs.get(row.id)
        if proof is None:
            return Placed(better)
        return Placed(with_proof(better, proof), "" if proof.proven else proof.words)
