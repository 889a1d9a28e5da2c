"""Plain requests near a connection: as rows among frames, and as lines of their own."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any, Final, NamedTuple, Self

from wsinspect.capture.records import Connection, Event
from wsinspect.net import bracketed
from wsinspect.present.cells import Line, fit, width_of
from wsinspect.present.rows import Caps, byte_count
from wsinspect.text import escape, pad
from wsinspect.units import format_milliseconds
from wsinspect.vocabulary import EventKind
from wsinspect.vocabulary.events import HttpRequest

_FAILED: Final = 400
#: Requests near an attempt that are listed; `clients.nearby` has fewer of each side.
_MOST: Final = 100
#: What a request is for, as people say it.
_WHAT: Final = {
    "page": "the page",
    "polling": "Socket.IO polling",
    "negotiation": "SignalR negotiation",
    "preflight": "CORS preflight",
}


class Asked(NamedTuple):
    """A request of a connection's client, near its attempt (`http` event).

    Attributes:
        id: of the event.
        connection: the attempt that it is near to.
        time_ns: when it began.
        facts: what is known of it.
    """

    id: int
    connection: int
    time_ns: int
    facts: HttpRequest

    @classmethod
    def of(cls, event: Event) -> Self:
        """What an event of the kind `http` says."""
        return cls(event.id, event.connection_id or 0, event.time_ns, HttpRequest.read(event.detail))

    @property
    def same(self) -> tuple[int, int]:
        """Equal for one request that is near to several attempts."""
        return (self.facts.number, self.time_ns)

    @property
    def is_failed(self) -> bool:
        """Whether it got no answer, or one that says no."""
        return self.facts.status is None or self.facts.status >= _FAILED


def once(asked: Iterable[Asked]) -> list[Asked]:
    """Each request once, with the first attempt that it is near to, in order of time."""
    known: dict[tuple[int, int], Asked] = {}
    for one in asked:
        known.setdefault(one.same, one)
    return sorted(known.values(), key=lambda one: (one.time_ns, one.id))


def asked_of(events: Iterable[Event]) -> list[Asked]:
    """Those that some events say, each once, in order of time."""
    return once(Asked.of(one) for one in events if one.kind == EventKind.HTTP)


def near_lines(asked: Iterable[Asked], near: Connection, arrow: str, *, is_before: bool) -> Iterator[Line]:
    """What the client of an attempt asked for just before it, or soon after it, with a title."""
    attempt_ns = near.attempt_ns or 0
    found = [one for one in asked if (one.time_ns < attempt_ns) == is_before][:_MOST]
    if found:
        yield []
        word = "before this attempt" if is_before else "soon after it"
        yield [(f"HTTP requests from the same client {word}", "title")]
    for one in found:
        at = f"{(one.time_ns - attempt_ns) / 1e9:.3f} s"
        yield [(f"  {at:>10}  ", "muted"), *asked_words(one, arrow, near)]


def request_object(one: Asked, attempt_ns: int | None) -> dict[str, Any]:
    """A request as JSON; `seconds` counts from the attempt, before it below zero."""
    facts = one.facts
    return {
        "time_ns": one.time_ns,
        "seconds": None if attempt_ns is None else round((one.time_ns - attempt_ns) / 1e9, 6),
        "method": facts.method,
        "url": facts.url,
        "what": facts.what,
        "status": facts.status,
        "ms": facts.ms,
        "length": facts.length,
        "media_type": facts.media_type,
        "error": facts.error,
    }


def asked_words(one: Asked, arrow: str, near: Connection | None = None) -> Line:
    """`POST /token -> 401 in 12 ms`, dim but for what failed.

    Args:
        near: the connection that it is near to; where it is of the same host, the path alone is shown.
    """
    facts = one.facts
    line: Line = [(f"{escape(facts.method or '-')} {escape(_place(facts.url, near))} {arrow} ", "muted")]
    if facts.status is None:
        line.append((escape(facts.error or "no answer"), "warn"))
    else:
        line.append((str(facts.status), "warn" if one.is_failed else "muted"))
    took = f" in {format_milliseconds(facts.ms)}" if facts.ms is not None else ""
    parts = [escape(facts.media_type)] if facts.media_type else []
    parts += [byte_count(facts.length)] if facts.length is not None else []
    parts += [_WHAT.get(facts.what, escape(facts.what))] if facts.what else []
    return [*line, (f"{took}{'  ' if parts else ''}{', '.join(parts)}", "muted")]


def _place(url: str | None, near: Connection | None) -> str:
    """A URL without its beginning where that says nothing new."""
    if not url or near is None or not near.host:
        return url or "-"
    begin, slash, path = url.partition("://")[2].partition("/")
    host = bracketed(near.host.strip("[]"))
    return slash + path if slash and begin.lower() in (host, f"{host}:{near.port}") else url


def format_asked(one: Asked, caps: Caps, near: Connection | None = None) -> Line:
    """A row among frames: its time where theirs is, then what was asked and answered (`asked_words`)."""
    before, line = 1, [(" ", "")]
    for name, cells in caps.shown:
        if name == "time":
            cell = caps.clock.cell(one.time_ns, caps.zero_ns, 0)
            line += [(" " * (before - width_of(line)), ""), (pad(cell, cells, right=True), "muted")]
        if name == "lane":
            break
        before += cells + 1
    line.append((" " * max(before - width_of(line), 1), ""))
    return fit([*line, ("HTTP  ", "muted"), *asked_words(one, caps.glyphs.arrow, near)], caps.width)


def asked_lines(one: Asked) -> Iterator[Line]:
    """A request in full."""
    facts = one.facts
    yield [(f"{escape(facts.method or '-')} {escape(facts.url or '-')}", "title")]
    if facts.status is None:
        yield [("answer    ", "muted"), (escape(facts.error or "none"), "warn")]
    else:
        yield [("answer    ", "muted"), (str(facts.status), "warn" if one.is_failed else "")]
    if facts.ms is not None:
        yield [("after     ", "muted"), (format_milliseconds(facts.ms), "")]
    if facts.media_type or facts.length is not None:
        size = byte_count(facts.length) if facts.length is not None else ""
        yield [("body      ", "muted"), (", ".join(filter(None, [escape(facts.media_type or ""), size])), "")]
    if facts.what:
        yield [("for       ", "muted"), (_WHAT.get(facts.what, escape(facts.what)), "")]
    yield [("near      ", "muted"), (f"connection {one.connection}, from the same client", "")]
    yield [("A plain HTTP request: its headers and bodies are not recorded.", "muted")]
