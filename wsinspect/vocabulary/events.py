"""The events of the journal as typed records: what the engine says, and the recorder reads.

`as_json` gives the stored object, `event` naming its kind. `read` takes such an object of any engine, also of
a damaged or a stranger's journal: a value of a wrong type is as good as none. Times are epoch nanoseconds,
addresses `host:port`.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, fields
from typing import Any, ClassVar, Final, Self

from wsinspect.vocabulary import EventKind

_MOST: Final = 1 << 63  # an SQLite integer


def _text(value: Any) -> str | None:
    """Text that SQLite and UTF-8 take."""
    return None if value is None else str(value).encode("utf-8", "backslashreplace").decode()


def _integer(value: Any) -> int | None:
    return int(value) if isinstance(value, int) and -_MOST < value < _MOST else None


def _object(value: Any) -> dict[str, Any] | None:
    return value if isinstance(value, dict) else None


def _list(value: Any) -> list[Any]:
    return value if isinstance(value, list) else []


#: By the annotation of a field, how its value is read.
_READERS: Final[dict[str, Callable[[Any], Any]]] = {
    "str | None": _text,
    "int | None": _integer,
    "bool": bool,
    "Mapping[str, Any] | None": _object,
    "Mapping[str, Any]": lambda value: _object(value) or {},
    "list[Any]": _list,
}
_IF_SET: Final = {"if_set": True}


def _if_set() -> Any:
    """A field that is left out of the object while it is None."""
    return field(default=None, metadata=_IF_SET)


#: Of each record: name, reader and whether it is left out while it is None, of each field.
_PARTS: Final[dict[str, tuple[tuple[str, Callable[[Any], Any], bool], ...]]] = {}


def _parts(kind: type[Event]) -> tuple[tuple[str, Callable[[Any], Any], bool], ...]:
    found = _PARTS.get(kind.KIND)
    if found is None:
        found = tuple((one.name, _READERS[str(one.type)], bool(one.metadata)) for one in fields(kind))
        _PARTS[kind.KIND] = found
    return found


@dataclass(frozen=True, slots=True, kw_only=True)
class Event:
    """What all have in common: the kind."""

    KIND: ClassVar[EventKind]

    def as_json(self) -> dict[str, Any]:
        """The object that is stored."""
        found: dict[str, Any] = {"event": self.KIND.value}
        for name, _, is_optional in _parts(type(self)):
            value = getattr(self, name)
            if value is not None or not is_optional:
                found[name] = value
        return found

    @classmethod
    def read(cls, found: Mapping[str, Any]) -> Self:
        """The record that an object stands for."""
        return cls(**{name: reader(found.get(name)) for name, reader, _ in _parts(cls)})


# -- of a connection


@dataclass(frozen=True, slots=True, kw_only=True)
class Attempt(Event):
    """A client asks for a WebSocket, as it put it."""

    KIND = EventKind.ATTEMPT
    tap: str | None = None
    client: str | None = None
    listener: str | None = None
    scheme: str | None = None
    host: str | None = None
    port: int | None = None
    path: str | None = None
    http_version: str | None = None
    tcp_ns: int | None = None
    tls_ns: int | None = None
    client_tls: Mapping[str, Any] | None = None
    client_session: int | None = _if_set()


@dataclass(frozen=True, slots=True, kw_only=True)
class Server(Event):
    """The leg behind the proxy, as far as it came."""

    KIND = EventKind.SERVER
    address: str | None = None
    peer: str | None = None
    sockname: str | None = None
    tcp_start_ns: int | None = None
    tcp_done_ns: int | None = None
    tls_done_ns: int | None = None
    reused: bool = False
    tls: Mapping[str, Any] | None = None
    error: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Open(Event):
    """The 101 was passed on."""

    KIND = EventKind.OPEN


@dataclass(frozen=True, slots=True, kw_only=True)
class Refused(Event):
    """Another answer than the 101; `by` is `fault` where a rule of the user's made it."""

    KIND = EventKind.REFUSED
    status: int | None = None
    by: str | None = _if_set()


@dataclass(frozen=True, slots=True, kw_only=True)
class Failed(Event):
    """No answer; `where` is how far it came, `status` what the proxy answered instead."""

    KIND = EventKind.FAILED
    where: str | None = None
    error: str | None = None
    status: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class TransportEnded(Event):
    """A side (`vocabulary.Side`) ended its transport (`vocabulary.End`)."""

    KIND = EventKind.END
    side: str | None = None
    how: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Closed(Event):
    """Nothing more will come; `reported` is what an imported file says of the end: code and reason."""

    KIND = EventKind.CLOSED
    reported: Mapping[str, Any] | None = _if_set()


@dataclass(frozen=True, slots=True, kw_only=True)
class Imported(Event):
    """The connection comes from a format that lacks `pings`, or `end`."""

    KIND = EventKind.IMPORTED
    lacks: list[Any]


@dataclass(frozen=True, slots=True, kw_only=True)
class ReportedError(Event):
    """What a client's console said of an open connection."""

    KIND = EventKind.REPORTED_ERROR
    error: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Fault(Event):
    """A rule acted: on the frame of that number in that direction, where there is one."""

    KIND = EventKind.FAULT
    rule: str | None = None
    kind: str | None = None
    seed: int | None = None
    direction: str | None = None
    frame: int | None = None
    detail: Mapping[str, Any] | None = None


# -- of the engine


@dataclass(frozen=True, slots=True, kw_only=True)
class EngineStopped(Event):
    """The engine ended in order; nothing follows."""

    KIND = EventKind.ENGINE_STOP


@dataclass(frozen=True, slots=True, kw_only=True)
class Listening(Event):
    """The listeners, each with tap, mode, host and port."""

    KIND = EventKind.LISTENING
    listeners: list[Any]


@dataclass(frozen=True, slots=True, kw_only=True)
class WallStep(Event):
    """The wall clock was set."""

    KIND = EventKind.WALL_STEP
    step_ns: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class TlsFailed(Event):
    """TLS with a client failed before any request; `rule` names the fault that made it fail."""

    KIND = EventKind.TLS_FAILED
    side: str | None = None
    tap: str | None = None
    client: str | None = None
    sni: str | None = None
    error: str | None = None
    rule: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Unstored(Event):
    """What could not be stored.

    Attributes:
        bytes, records: how much, and in how many records.
        reason: by the system's own words.
        streams: [connection, direction] of those that lost bytes.
        stream_bytes: how many, in the same order; older engines did not say.
        connections: those that lost a header block, a body or an event.
    """

    KIND = EventKind.UNSTORED
    bytes: int | None = None
    records: int | None = None
    reason: str | None = None
    streams: list[Any]
    stream_bytes: list[Any]
    connections: list[Any]

    def lost_streams(self) -> list[tuple[int, int, int | None]]:
        """Connection, direction (0 or 1) and lost bytes (None: not known)."""
        is_counted = len(self.stream_bytes) == len(self.streams)
        sizes = self.stream_bytes if is_counted else [None] * len(self.streams)
        return [
            (entry[0], entry[1] & 1, size if isinstance(size, int) else None)
            for entry, size in zip(self.streams, sizes, strict=True)
            if isinstance(entry, list) and len(entry) == 2 and all(isinstance(one, int) for one in entry)
        ]

    def lost_records(self) -> list[int]:
        """Connections that lost a header block, a body or an event."""
        return [one for one in self.connections if isinstance(one, int) and one > 0]


@dataclass(frozen=True, slots=True, kw_only=True)
class Gap(Event):
    """At a connection: bytes of a direction (`c2s`, `s2c`; None: header blocks or events) are not stored."""

    KIND = EventKind.GAP
    direction: str | None = None
    bytes: int | None = None
    reason: str | None = None
