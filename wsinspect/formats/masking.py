"""Secrets out of sentences: what a capture's header blocks hold as a secret is masked wherever it is
quoted."""

from __future__ import annotations

import re
from bisect import bisect_left
from collections.abc import Iterable
from typing import Any, Final
from urllib.parse import unquote

from wsinspect.formats.secrets import MASK, has_secret, mask_json, mask_target, mask_url
from wsinspect.handshake.heads import RawHead

#: Shorter ones are no secrets, and would be found in words.
_SHORTEST: Final = 4
_MOST: Final = 20_000
_PAIR: Final = re.compile(r"[^;=\s]+=([^;]*)")
_PARAMETER: Final = re.compile(r"[?&][^=&#\s]+=([^&#\s]*)")
#: `"token": "..."` and `password=...` in what applications say: a name up to its value, the value, and what
#: makes a name one of a secret. Names are found first and judged then: in one pattern, the words would be
#: tried at each character of each run of them.
_NAME: Final = re.compile(r"""(?:["']|(?<![\w.-]))[\w.-]++["']?\s*+[:=]\s*+""")
_VALUE: Final = re.compile(r""""(?:[^"\\]|\\.)*"?|'[^']*'?|[^\s,;&}\]]+""")
#: A JSON Web Token (RFC 7519 section 3), from its second part on. The first part alone holds no secret.
_JWT: Final = re.compile(r"(?<![\w-])eyJ[\w-]{8,}+\.[\w-]++(?:\.[\w-]*+)?")
#: What stands where a text was cut.
_CUTS: Final = ("…", "...")
_HINTS: Final = (
    *("token", "secret", "passw", "passphrase", "credential", "jwt", "authorization"),
    *("apikey", "api-key", "api_key"),
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
        self._known = _Known(one for one in found if len(one) >= _SHORTEST)

    def text(self, text: str) -> str:
        """A sentence, or a line of a header block; URLs in it end at quotes and angle brackets."""
        if self.is_off:
            return text
        text = str(mask_json(text))
        if text.startswith("/"):
            text = mask_url(text)
        return self._known.mask(text)

    def url(self, text: str) -> str:
        """A whole URL, or a path with its query, whatever characters it has."""
        return text if self.is_off else self._known.mask(mask_url(text))

    def payload(self, text: str) -> str:
        """The beginning of a message: values with telling names are masked, too, and JSON Web Tokens."""
        if self.is_off:
            return text
        return self.text(_JWT.sub(MASK, _mask_named(text)))

    def value(self, value: Any) -> Any:
        """JSON, with all its strings."""
        if isinstance(value, str):
            return self.text(value)
        if isinstance(value, list | tuple):
            return [self.value(one) for one in value]
        if isinstance(value, dict):
            return {name: self.value(one) for name, one in value.items()}
        return value


class _Known:
    """Words that are masked wherever they stand, the longest of those that begin at a place.

    Who cuts a text does not know of secrets: what begins as a word does and is cut off there, at the end of
    the text or before an ellipsis, is masked as well.

    There may be a cookie for each of thousands of connections, and each text is looked through for all of
    them: one of which no four characters in a row begin a word is passed on after one look at a set.
    """

    def __init__(self, words: Iterable[str]) -> None:
        self._words: dict[str, dict[int, set[str]]] = {}
        self._sorted = sorted(words)
        self._longest = max(map(len, self._sorted), default=0)
        for one in self._sorted:
            self._words.setdefault(one[:_SHORTEST], {}).setdefault(len(one), set()).add(one)
        self._starts = frozenset(map(tuple, self._words))
        for start, by_length in self._words.items():
            self._words[start] = dict(sorted(by_length.items(), reverse=True))

    def mask(self, text: str) -> str:
        """The text without them."""
        starts = self._starts
        if not starts or starts.isdisjoint(zip(text, text[1:], text[2:], text[3:], strict=False)):
            return text
        pieces: list[str] = []
        place = done = 0
        while place <= len(text) - _SHORTEST:
            by_length = self._words.get(text[place : place + _SHORTEST], {})
            for length, words in by_length.items():
                if text[place : place + length] in words:
                    pieces += (text[done:place], MASK)
                    place = done = place + length
                    break
            else:
                if by_length and (end := self._cut_off(text, place)):
                    pieces += (text[done:place], MASK)
                    place = done = end
                else:
                    place += 1
        return "".join((*pieces, text[done:]))

    def _cut_off(self, text: str, place: int) -> int | None:
        """Where the beginning of a word ends that the text has no more of; None where it has none here."""
        last = place + self._longest
        ends = [end for cut in _CUTS if (end := text.find(cut, place, last + len(cut))) >= 0]
        if len(text) < last:
            ends.append(len(text))
        for end in ends:
            begin = text[place:end]
            near = bisect_left(self._sorted, begin)
            if len(begin) >= _SHORTEST and near < len(self._sorted) and self._sorted[near].startswith(begin):
                return end
        return None


def _mask_named(text: str) -> str:
    """A text without the values of what it names a token, a password and the like."""
    if not _is_secret(text):
        return text
    pieces: list[str] = []
    place = done = 0
    while name := _NAME.search(text, place):
        place = name.end()
        if _is_secret(name[0]) and (value := _VALUE.match(text, place)):
            pieces += (text[done:place], MASK)
            place = done = value.end()
    return "".join((*pieces, text[done:]))


def _is_secret(name: str) -> bool:
    lower = name.lower()
    return any(hint in lower for hint in _HINTS)


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
