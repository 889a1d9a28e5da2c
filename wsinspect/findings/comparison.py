"""A refused attempt compared with accepted ones at the same path: what differs is the first suspect.

A server may refuse after its 101, by a close code. Such an attempt is compared with those that stayed open.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator
from typing import Final, NamedTuple
from urllib.parse import parse_qsl

from wsinspect.findings.facts import SECOND_NS, ConnectionFacts, Other
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
        there: how the accepted one was: `with another Origin`.
    """

    what: str
    line: str
    there: str


class Comparison(NamedTuple):
    """The accepted attempt that is most like a refused one.

    Attributes:
        became: what the accepted one did that the refused one did not.
    """

    other: Other
    differences: tuple[Difference, ...]
    became: str = "was accepted"

    @property
    def lines(self) -> tuple[str, ...]:
        """Lines of evidence: the names of what differs, then each difference, at most _MOST of them."""
        if not self.differences:
            return (f"#{self.other.id} sent the same request headers and {self.became}",)
        names = ", ".join(one.what for one in self.differences[:_MOST])
        return (
            f"#{self.other.id} to the same path {self.became}; this one differs in {names}",
            *(one.line for one in self.differences[:_MOST]),
        )

    @property
    def suffix(self) -> str:
        """Behind a title: the first suspect; empty where nothing differs."""
        if not self.differences:
            return ""
        more = len(self.differences) - 1
        others = "" if not more else f" (and {more} more difference{'' if more == 1 else 's'})"
        return f"; #{self.other.id} {self.became} {self.differences[0].there}{others}"

    @property
    def cause(self) -> tuple[str, str]:
        """What it points to, and how to check that."""
        if not self.differences:
            return (
                "the server decides by something other than the headers: time, load, or which server it is",
                f"repeat the request of #{self.other.id} now",
            )
        first = self.differences[0].what
        return (
            f"the {first}: an attempt that differs there {self.became}",
            f"repeat this request with the {first} of #{self.other.id}",
        )


def compared(facts: ConnectionFacts) -> Comparison | None:
    """The accepted attempt at the same path with the fewest differences; None without one."""
    accepted = (one for one in facts.others if not one.is_taken_back)
    return _nearest(facts, accepted, "was accepted")


def compared_late(facts: ConnectionFacts) -> Comparison | None:
    """The same of an attempt that was refused after its 101, next to those that stayed open.

    None also where the client had said more than one message: what it said may be why.
    """
    if not facts.is_refused_late or facts.frames[0] - (facts.client_close_reason is not None) > 1:
        return None
    return _nearest(facts, stayed_open(facts), "stayed open")


def stayed_open(facts: ConnectionFacts) -> Iterator[Other]:
    """Other attempts at the same host and port where the server kept to its 101."""
    return (one for one in facts.others if _has_stayed(facts, one))


def _has_stayed(facts: ConnectionFacts, one: Other) -> bool:
    """Whether the server kept to its 101 there: it said more than here, or clearly waited longer."""
    if one.is_taken_back:
        return False
    lived, age = one.lived_ns, facts.age_ns or 0
    if lived is None:
        lived = (facts.end_ns or 0) - one.open_ns
    said = facts.frames[1] - (facts.server_close_reason is not None)
    return lived > max(2 * age, age + SECOND_NS) or (one.server_frames or 0) > said


def _nearest(facts: ConnectionFacts, others: Iterable[Other], became: str) -> Comparison | None:
    head = facts.request_in
    if head is None:
        return None
    found = [
        Comparison(one, tuple(_differences(facts.path, head, one.path, RawHead.parse(one.request))), became)
        for one in others
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
        there = "with" if len(plain_other) > len(plain) else "without"
        yield Difference(
            what,
            f"path here: {plain[:_SHOWN]}; there: {plain_other[:_SHOWN]}",
            f"{there} the {what}" if is_slash else "with the path in other letters",
        )
    for name in _DECIDING[:3]:
        yield from _field(name, head, other)
    names, names_other = (dict(parse_qsl(one, keep_blank_values=True)) for one in (query, query_other))
    if names != names_other:
        changed = sorted(name for name in {*names, *names_other} if names.get(name) != names_other.get(name))
        line = f"query parameters that differ: {', '.join(changed)[:_SHOWN]}"
        yield Difference("query", line, f"{_there(names, names_other)} query")
    for name in _DECIDING[3:]:
        yield from _field(name, head, other)
    mine, theirs = ({field.key for field in one.fields} - _bytes_ignored() for one in (head, other))
    for key in sorted(mine ^ theirs):
        name = key.decode("latin-1").title()[:_SHOWN]
        is_here = key in mine
        there = f"{'without' if is_here else 'with'} {name}"
        yield Difference(name, f"{name}: only {'here' if is_here else 'there'}", there)


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
        line = f"{name} here: {_shown(name, here)}; there: {_shown(name, there)}"
        yield Difference(name, line, f"{_there(here, there)} {name}")


def _there(here: Collection[object], there: Collection[object]) -> str:
    if not here:
        return "with"
    return "with another" if there else "without"


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
