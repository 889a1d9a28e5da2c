"""Secrets out of sentences: what a capture's header blocks hold as a secret is masked wherever it is
quoted."""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import Any, Final
from urllib.parse import unquote

from wsinspect.formats.secrets import MASK, has_secret, mask_json, mask_target
from wsinspect.handshake.heads import RawHead

#: Shorter ones are no secrets, and would be found in words.
_SHORTEST: Final = 4
_MOST: Final = 20_000
_PAIR: Final = re.compile(r"[^;=\s]+=([^;]*)")
_PARAMETER: Final = re.compile(r"[?&][^=&#\s]+=([^&#\s]*)")
#: `"token": "..."` and `password=...` in what applications say.
_NAMED: Final = re.compile(
    r"""(?ix) ( ["']?[\w.-]*
    (?:token|secret|passw|passphrase|credential|jwt|api[-_]?key|authorization)
    [\w.-]*["']? \s*[:=]\s* )
    ( "(?:[^"\\]|\\.)*"? | '[^']*'? | [^\s,;&}\]]+ )"""
)


class Masker:
    """Masks what is secret.

    Args:
        heads: of the connections that are written about.
        is_off: leave everything as it is.
    """

    def __init__(self, heads: Iterable[bytes], *, is_off: bool = False) -> None:
        self.is_off = is_off
        found: set[str] = set()
        if not is_off:
            for raw in heads:
                if len(found) >= _MOST:
                    break
                found.update(_secrets_of(raw))
        words = sorted((one for one in found if len(one) >= _SHORTEST), key=len, reverse=True)
        self._known = re.compile("|".join(map(re.escape, words))) if words else None

    def text(self, text: str) -> str:
        """A sentence, a line of a header block, or a URL."""
        if self.is_off:
            return text
        text = str(mask_json(text))
        if text.startswith("/"):
            text = mask_target(text.encode("utf-8", "surrogateescape")).decode("utf-8", "surrogateescape")
        return self._known.sub(MASK, text) if self._known is not None else text

    def payload(self, text: str) -> str:
        """The beginning of a message, in which values with telling names are masked, too."""
        if self.is_off:
            return text
        return self.text(_NAMED.sub(lambda match: match[1] + MASK, text))

    def value(self, value: Any) -> Any:
        """JSON, with all its strings."""
        if isinstance(value, str):
            return self.text(value)
        if isinstance(value, list | tuple):
            return [self.value(one) for one in value]
        if isinstance(value, dict):
            return {name: self.value(one) for name, one in value.items()}
        return value


def _secrets_of(raw: bytes) -> Iterable[str]:
    head = RawHead.parse(raw)
    for one in head.fields:
        if not has_secret(one.name, one.value):
            continue
        value, key = one.value.decode("latin-1"), one.key
        if key in (b"cookie", b"set-cookie"):
            yield from (
                match[1].strip()
                for match in _PAIR.finditer(value if key == b"cookie" else value.split(";")[0])
            )
        elif key == b"sec-websocket-protocol":
            yield from (
                part.strip() for part in value.split(",") if has_secret(one.name, part.encode("latin-1"))
            )
        else:
            yield value
            yield value.partition(" ")[2]
    target = (head.get(":path") or head.target).decode("latin-1")
    masked = mask_target(target.encode("latin-1")).decode("latin-1")
    kept = set(_PARAMETER.findall(masked))
    for value in _PARAMETER.findall(target):
        if value not in kept:
            yield value
            yield unquote(value)
