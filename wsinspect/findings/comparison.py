"""A refused attempt beside accepted ones at the same path: what differs is the first suspect."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final, NamedTuple
from urllib.parse import parse_qsl

from wsinspect.findings.facts import ConnectionFacts, Other
from wsinspect.handshake.heads import RawHead

#: Fields that servers decide by, the usual suspects first.
_DECIDING: Final = (
    *("Origin", "Cookie", "Authorization", "Sec-WebSocket-Protocol", "Sec-WebSocket-Extensions"),
    *("Sec-WebSocket-Version", "Host", "Connection", "User-Agent"),
)
#: Fields whose values are never shown.
_SECRET: Final = ("Cookie", "Authorization")
#: Fields that differ in each request, or that only say who sends it.
_IGNORED: Final = frozenset(
    (
        *(name.lower() for name in _DECIDING),
        *("sec-websocket-key", "accept-encoding", "accept-language", "cache-control", "pragma"),
        *("content-length", "upgrade", "accept", "dnt"),
    )
)
_SHOWN: Final = 60
_MOST: Final = 4


class Difference(NamedTuple):
    """What a refused request has and an accepted one has not, or the other way round.

    Attributes:
        what: a field's name, or a part of the URL.
        line: both values, as evidence.
    """

    what: str
    line: str


class Comparison(NamedTuple):
    """The accepted attempt that is most like a refused one."""

    other: Other
    differences: tuple[Difference, ...]

    @property
    def lines(self) -> tuple[str, ...]:
        """Evidence."""
        if not self.differences:
            return (f"#{self.other.id} sent the same request headers and was accepted",)
        names = ", ".join(one.what for one in self.differences[:_MOST])
        return (
            f"#{self.other.id} to the same path was accepted; this one differs in {names}",
            *(one.line for one in self.differences[:_MOST]),
        )

    @property
    def cause(self) -> tuple[str, str]:
        """What it points to, and how to tell."""
        if not self.differences:
            return (
                "the server decides by something other than the headers: time, load, or which server it is",
                f"repeat the request of #{self.other.id} now",
            )
        first = self.differences[0].what
        return (
            f"the {first}: an attempt that differs there was accepted",
            f"repeat this request with the {first} of #{self.other.id}",
        )


def compared(facts: ConnectionFacts) -> Comparison | None:
    """The accepted attempt at the same path with the fewest differences; None where there is none."""
    head = facts.request_in
    if head is None:
        return None
    found = [
        Comparison(one, tuple(_differences(facts.path, head, one.path, RawHead.parse(one.request))))
        for one in facts.others
        if one.request and _base(one.path) == _base(facts.path)
    ]
    return min(found, key=lambda one: len(one.differences), default=None)


def _base(path: str) -> str:
    return path.partition("?")[0].rstrip("/").lower()


def _differences(path: str, head: RawHead, other_path: str, other: RawHead) -> Iterator[Difference]:
    plain, _, query = path.partition("?")
    plain_other, _, query_other = other_path.partition("?")
    if plain != plain_other:
        is_slash = plain.rstrip("/") == plain_other.rstrip("/")
        what = "path's trailing slash" if is_slash else "path's letter case"
        yield Difference(what, f"path here: {plain[:_SHOWN]}; there: {plain_other[:_SHOWN]}")
    for name in _DECIDING[:3]:
        yield from _field(name, head, other)
    names, names_other = (dict(parse_qsl(one, keep_blank_values=True)) for one in (query, query_other))
    if names != names_other:
        changed = sorted(name for name in {*names, *names_other} if names.get(name) != names_other.get(name))
        yield Difference("query", f"query parameters that differ: {', '.join(changed)[:_SHOWN]}")
    for name in _DECIDING[3:]:
        yield from _field(name, head, other)
    mine, theirs = ({field.key for field in one.fields} - _bytes_ignored() for one in (head, other))
    for key in sorted(mine ^ theirs):
        name = key.decode("latin-1").title()[:_SHOWN]
        yield Difference(name, f"{name}: only {'here' if key in mine else 'there'}")


def _bytes_ignored() -> set[bytes]:
    return {name.encode() for name in _IGNORED}


def _field(name: str, head: RawHead, other: RawHead) -> Iterator[Difference]:
    here, there = head.get_all(name), other.get_all(name)
    if name == "Connection":
        here, there = (
            [", ".join(sorted(one.tokens(name))).encode()] if one.get_all(name) else []
            for one in (head, other)
        )
    if here != there:
        yield Difference(name, f"{name} here: {_shown(name, here)}; there: {_shown(name, there)}")


def _shown(name: str, values: list[bytes]) -> str:
    if not values:
        return "none"
    if name == "Authorization":
        return "present (not shown)"
    text = b", ".join(values).decode("latin-1")
    if name == "Cookie":
        names = ", ".join(part.partition("=")[0].strip() for part in text.split(";"))
        return f"{names[:_SHOWN]} (values not shown)"
    return text[:_SHOWN]
