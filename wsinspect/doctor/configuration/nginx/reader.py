"""nginx as one of the readers."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from wsinspect.doctor.configuration.model import Met
from wsinspect.doctor.configuration.nginx import choice, streams
from wsinspect.doctor.configuration.nginx.defects import defects, limits, possible
from wsinspect.doctor.configuration.nginx.tree import Tree, read_tree
from wsinspect.doctor.configuration.sources import Sources
from wsinspect.doctor.target import Target

_BLOCKS: Final = re.compile(
    r"^\s*(?:http|server|events|location\s[^{;\n]+|upstream\s+\S+|map\s+\S+\s+\S+|stream)\s*\{", re.M
)
_DIRECTIVES: Final = re.compile(
    r"^\s*(?:proxy_\w+|worker_processes|server_name|listen|include|return|ssl_certificate)\s[^{}\n]*;", re.M
)


@dataclass(frozen=True)
class Nginx:
    """nginx, Nginx Proxy Manager, OpenResty."""

    software: str = "nginx"

    def recognises(self, name: str, text: str) -> bool:
        """Its blocks and its directives that end in a semicolon."""
        return bool(_BLOCKS.search(text) or _DIRECTIVES.search(text)) and "=>" not in text

    def read(self, sources: Sources, files: Sequence[str]) -> Tree | None:
        """All directives, includes in their place."""
        tree = read_tree(sources, files)
        return tree if tree.root else None

    def meets(self, tree: Tree, target: Target, version: tuple[int, ...] | None) -> Met | None:
        """The location that nginx picks, and what it lacks."""
        if (of_stream := streams.meets(tree, target)) is not None:
            return of_stream
        met = choice.meets(tree.root, target)
        if met is None:
            return None
        found = tuple(defects(met, tree, version, target.path))
        waits = tuple(limits(met, tree))
        for unread in [one for block in met.chain for one in choice.unread_in(block)]:
            met.unsure.append(f"'{unread.words}' in {unread.where} was not read: what it sets is not known")
        inner = met.innermost
        doubts = tuple(possible(met, tree))
        return Met(
            inner.words, inner.at, found, waits, tuple(dict.fromkeys(met.unsure)), met, possible=doubts
        )
