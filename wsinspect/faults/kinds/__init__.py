"""All kinds of faults, by name and by alias."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from wsinspect.faults.kinds import connections, frames, handshakes
from wsinspect.faults.kinds.base import FaultKind, Scope

_ALL: Final[tuple[type[FaultKind], ...]] = (*frames.KINDS, *connections.KINDS, *handshakes.KINDS)

#: In the order of the documentation.
KINDS: Final[Mapping[str, type[FaultKind]]] = {kind.name: kind for kind in _ALL}
#: Toxiproxy's names: what they stand for, and the fields that they set.
ALIASES: Final[Mapping[str, tuple[str, Mapping[str, object]]]] = {
    "reset_peer": ("abort", {"how": "rst"}),
    "timeout": ("blackhole", {}),
}

__all__ = ["ALIASES", "KINDS", "FaultKind", "Scope"]
