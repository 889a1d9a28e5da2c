"""Which software answered, by its fingerprint in a response: header fields, and bodies of its error pages
(`data/software.toml`).

A vendor is named on such evidence alone. `Mark.is_author` tells software that wrote this very answer (its
error page, a code of its own) from software that only handled it on the way.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import Final, NamedTuple

from wsinspect.findings.data import table
from wsinspect.handshake.heads import RawHead


class Mark(NamedTuple):
    """Software recognised in a response.

    Attributes:
        software: its name in `fixes.FIXES`.
        evidence: the line that shows it.
        is_author: whether it made this answer itself.
    """

    software: str
    evidence: str
    is_author: bool = False


_DATA: Final = table("software")
#: Field, pattern of its value, software. The first match of each software counts.
_FIELDS: Final = tuple(
    (name, re.compile(pattern, re.I), software) for name, pattern, software in _DATA["fields"]
)
#: Proxy Manager answers as openresty and names itself in X-Served-By.
_NPM: Final = re.compile(r"^openresty", re.I)
#: Bodies that only one software writes.
_BODIES: Final = tuple(
    (re.compile(pattern.encode(), re.I), software) for pattern, software in _DATA["bodies"]
)
#: Status lines whose words are one software's.
_REASONS: Final = {(status, reason.encode()): software for status, reason, software in _DATA["reasons"]}
_BODY_SCAN: Final = 8192
PROXIES: Final = frozenset(_DATA["proxies"])
NAMES: Final[dict[str, str]] = _DATA["names"]


def recognise(response: RawHead | None, body: bytes = b"") -> tuple[Mark, ...]:
    """The software that left its marks in a response, the author of the answer first."""
    if response is None:
        return ()
    found: dict[str, Mark] = {}
    for shape, software in _BODIES:
        match = shape.search(body[:_BODY_SCAN])
        if match:
            line = f"body: {match[0].decode('latin-1')[:80]}"
            found.setdefault(software, Mark(software, line, True))
    own = _REASONS.get((response.status or 0, response.reason))
    is_bare = own is not None and not body and response.get("content-type") is None
    for name, pattern, software in _FIELDS:
        for value in response.get_all(name):
            text = value.decode("latin-1")
            if pattern.search(text):
                found.setdefault(software, Mark(software, f"{name.title()}: {text[:120]}"))
    if own is not None and is_bare and PROXIES.issuperset(found):
        # The words are no proof: whoever writes a status line by hand may choose them.
        found = {own: Mark(own, f"the words of the status line are those of {NAMES[own]}"), **found}
    if "heroku" in found:
        found.pop("phoenix", None)  # its router calls itself Cowboy, as Phoenix' server does
    served_by = response.get("x-served-by")
    if served_by and any(_NPM.search(value.decode("latin-1")) for value in response.get_all("server")):
        mark = Mark("npm", f"Server: openresty with X-Served-By: {served_by.decode('latin-1')[:80]}")
        found = {"npm": mark, **found}
    return tuple(sorted(found.values(), key=lambda mark: not mark.is_author))


def hop_of(marks: Iterable[Mark]) -> str | None:
    """The first recognised proxy, as a finding names it."""
    return next((NAMES[mark.software] for mark in marks if mark.software in PROXIES), None)


def author_of(marks: Iterable[Mark]) -> Mark | None:
    """The software that made the answer itself, if its page shows that."""
    return next((mark for mark in marks if mark.is_author), None)


def hop_author(marks: Iterable[Mark]) -> Mark | None:
    """The proxy that made the answer itself, if its page shows that."""
    return next((mark for mark in marks if mark.is_author and mark.software in PROXIES), None)
