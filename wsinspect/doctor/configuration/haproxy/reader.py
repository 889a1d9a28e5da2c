"""HAProxy: the frontend, the backend and the timeouts that a URL meets."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from wsinspect.doctor.configuration.haproxy import choice
from wsinspect.doctor.configuration.haproxy.limits import limits
from wsinspect.doctor.configuration.haproxy.tree import Tree, read_tree
from wsinspect.doctor.configuration.model import Met
from wsinspect.doctor.configuration.sources import Sources
from wsinspect.doctor.target import Target

_SECTION: Final = re.compile(
    r"^(?:frontend|backend|listen)[ \t]+\S+|^defaults\b[^;{]*$|^global[ \t]*(?:#.*)?$", re.M
)
_OWN: Final = re.compile(
    r"^[ \t]*(?:bind|server|default_backend|use_backend|timeout \w+|mode (?:http|tcp)"
    r"|option \w+|balance)\b[^;{]*$",
    re.M,
)


@dataclass(frozen=True)
class HAProxy:
    """Reads haproxy.cfg, or several files that are given to HAProxy together."""

    software: str = "haproxy"

    def recognises(self, name: str, text: str) -> bool:
        """A section at the beginning of a line, and its own keywords."""
        return bool(_SECTION.search(text) and _OWN.search(text))

    def read(self, sources: Sources, files: Sequence[str]) -> Tree | None:
        """All sections; a `defaults` holds for those behind it."""
        return read_tree(sources, files)

    def meets(self, tree: Tree, target: Target, version: tuple[int, ...] | None) -> Met | None:
        """The backend that the frontend for this URL picks, and what both do to a handshake."""
        met = choice.meets(tree, target)
        if met is None:
            return None
        found, defects = met
        place = found.backend or found.frontend
        return Met(
            f"{place.kind} {place.name}".strip(),
            place.head.at,
            tuple(defects),
            tuple(limits(found)),
            tuple(dict.fromkeys(found.unsure)),
            found,
            possible=tuple(found.possible),
        )
