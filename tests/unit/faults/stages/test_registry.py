"""Each kind that acts on an open connection has its stage, and no other kind has."""

from __future__ import annotations

from wsinspect.faults.kinds import KINDS, Scope
from wsinspect.faults.stages.registry import STAGES
from wsinspect.faults.stages.scripted import Scripted


def test_kinds_of_frames_and_connections_have_stages():
    acting = {kind for kind in KINDS.values() if kind.scope in (Scope.FRAME, Scope.CONNECTION)}
    assert set(STAGES) == acting | {Scripted}
    assert len(set(STAGES.values())) == len(STAGES)
