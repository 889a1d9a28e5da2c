"""Apache httpd: the virtual host that a URL meets, and whether it carries an upgrade to the server."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from wsinspect.doctor.configuration.apache import choice
from wsinspect.doctor.configuration.apache.defects import before_requests, covers, defects, limits
from wsinspect.doctor.configuration.apache.tree import HTACCESS, Tree, read_tree, shown, spelled
from wsinspect.doctor.configuration.model import Defect, Met, backend_of
from wsinspect.doctor.configuration.sources import Sources
from wsinspect.doctor.target import Target

_OWN: Final = re.compile(
    r"^[ \t]*(?:<(?:VirtualHost|Location|LocationMatch|Directory|IfModule|Proxy|Macro|RequireA\w+)\b[^>\n]*>"
    r"|ProxyPass(?:Match|Reverse)?[ \t]"
    r"|RewriteEngine[ \t]|RewriteRule[ \t]|LoadModule[ \t]|DocumentRoot[ \t]|ProxyPreserveHost[ \t])",
    re.M | re.I,
)


@dataclass(frozen=True)
class Apache:
    """Reads httpd.conf or apache2.conf, or files that one of them includes."""

    software: str = "apache"

    def recognises(self, name: str, text: str) -> bool:
        """Its sections in angle brackets, and its own directives."""
        return bool(_OWN.search(text))

    def read(self, sources: Sources, files: Sequence[str]) -> Tree | None:
        """All directives; conditions on modules are decided by what is loaded."""
        return read_tree(sources, files)

    def meets(self, tree: Tree, target: Target, version: tuple[int, ...] | None) -> Met | None:
        """The virtual host for this URL, and where it passes the request."""
        found, answer = choice.meets(tree, target)
        wrong = [answer] if answer is not None else list(defects(found, target, version))
        wrong = [*before_requests(found), *wrong]
        passing = found.passing
        possible: tuple[Defect, ...] = ()
        if passing is not None:
            goes = f"'{shown(passing.directive)}' is where it goes: no valid answer came from there"
            at = passing.directive.at
            leads = backend_of(passing.url, at)
            possible = (*covers(found), Defect("upstream", goes, at, backend=leads))
        size = found.effective("limitrequestfieldsize")
        if size is not None:
            limit = f"'LimitRequestFieldSize {' '.join(size.args)}': a header may not be longer"
            possible += (Defect("size", limit, size.at, advice="LimitRequestFieldSize 16380"),)
        place = passing.location or passing.directive if passing else found.host
        if place is None:
            place = tree.first
        if passing is not None and passing.location is None:
            words = " ".join((spelled(passing.directive.name), *passing.directive.args[:1]))
        elif place is found.host or passing is not None:
            words = f"<{spelled(place.name)} {' '.join(place.args)}>"
        else:
            words = "the main server" if tree.root else HTACCESS
        return Met(
            words.strip(),
            place.at,
            tuple(wrong),
            tuple(limits(found)),
            tuple(dict.fromkeys(found.unsure)),
            found,
            possible=possible,
        )
