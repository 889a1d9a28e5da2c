"""The events of the journal as typed records: what the engine says, and the recorder reads.

`as_json` gives the stored object, `event` naming its kind. `read` takes such an object of any engine, also of
a damaged or a stranger's journal: a value of a wrong type is as good as none. Times are epoch nanoseconds,
addresses `host:port`.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from wsinspect.vocabulary import EventKind
from wsinspect.vocabulary.plain_events import HttpRequest as HttpRequest
from wsinspect.vocabulary.plain_events import LibraryAsked as LibraryAsked
from wsinspect.vocabulary.plain_events import PageWatched as PageWatched
from wsinspect.vocabulary.plain_events import Polled as Polled
from wsinspect.vocabulary.record import IF_SET, if_set, shape_of
from wsinspect.vocabulary.record import Event as Event  # each of them is one

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
    client_session: int | None = if_set()


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
    reused: bool | None = if_set()
    tls: Mapping[str, Any] | None = None
    error: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Open(Event):
    """The 101 was passed on."""

    KIND = EventKind.OPEN


@dataclass(frozen=True, slots=True, kw_only=True)
class EarlyData(Event):
    """The client had sent so many bytes behind its request when the 101 was passed on to it."""

    KIND = EventKind.EARLY_DATA
    bytes: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Refused(Event):
    """Another answer than the 101; `by` is `fault` where a rule of the user's made it."""

    KIND = EventKind.REFUSED
    status: int | None = None
    by: str | None = if_set()


@dataclass(frozen=True, slots=True, kw_only=True)
class Failed(Event):
    """No answer; `where` is how far it came, `status` what the proxy answered instead."""

    KIND = EventKind.FAILED
    where: str | None = None
    error: str | None = None
    status: int | None = None

    @classmethod
    def by_stop(cls) -> Failed:
        """The proxy's own end came before an answer."""
        return cls(where="stop", error="wsinspect stopped before the server answered")


@dataclass(frozen=True, slots=True, kw_only=True)
class TransportEnded(Event):
    """A side (`vocabulary.Side`) ended its transport (`vocabulary.End`).

    Attributes:
        http2: the frame that did it, of a stream: END_STREAM is like a FIN, RST_STREAM with its code like a
            RST (RFC 8441 section 5).
    """

    KIND = EventKind.END
    side: str | None = None
    how: str | None = None
    http2: str | None = if_set()


@dataclass(frozen=True, slots=True, kw_only=True)
class Stalled(Event):
    """A side did not take what it was sent: its buffer was full for longer than a second.

    Without a later `Drained` it was when the connection began to end; then there is one more, with the time
    until then.

    Attributes:
        bytes: that wait for it here.
        for_ns: how long the buffer has been full.
        acked_ns: how long ago its TCP acknowledged anything: a peer that does not read still does.
        still_ns: at the end, the longest time in which none of it was taken, looked at each second.
    """

    KIND = EventKind.STALLED
    side: str | None = None
    bytes: int | None = None
    for_ns: int | None = None
    acked_ns: int | None = if_set()
    still_ns: int | None = if_set()


@dataclass(frozen=True, slots=True, kw_only=True)
class Drained(Event):
    """A side that was `Stalled` takes again what it is sent, after so long in all."""

    KIND = EventKind.DRAINED
    side: str | None = None
    for_ns: int | None = None
    still_ns: int | None = if_set()


@dataclass(frozen=True, slots=True, kw_only=True)
class H2Streams(Event):
    """The numbers of the HTTP/2 streams that carry it (RFC 8441); None for a side that speaks HTTP/1.1.

    Attributes:
        allowed: whether the server's SETTINGS allowed the extended CONNECT of a client that sent one.
    """

    KIND = EventKind.H2_STREAMS
    client: int | None = None
    server: int | None = None
    allowed: bool | None = if_set()


@dataclass(frozen=True, slots=True, kw_only=True)
class Closed(Event):
    """Nothing more will come; `reported` is what an imported file says of the end: code and reason."""

    KIND = EventKind.CLOSED
    reported: Mapping[str, Any] | None = if_set()


@dataclass(frozen=True, slots=True, kw_only=True)
class Imported(Event):
    """The connection comes from a format that lacks these; see `Lack`."""

    KIND = EventKind.IMPORTED
    lacks: list[Any]


@dataclass(frozen=True, slots=True, kw_only=True)
class ReportedError(Event):
    """What a client's console said of an open connection."""

    KIND = EventKind.REPORTED_ERROR
    error: str | None = None


@dataclass(slots=True, kw_only=True)  # not frozen: there may be one for each frame
class Fault(Event):
    """A rule acted: on the frame of that number in that direction, where there is one.

    Attributes:
        rule, kind: what acted.
        seed: of the run's decisions.
        detail: what it did, in the rule's own words.
        planned_ns: for how long the frame is to be held.
        dropped: whether the frame goes no further.
        ends: whether it ends the connection.
        injected: whether it sent something of its own, and the frame is only where that was.
        delay_ns: for how long the frame was held; older engines said so at once.
    """

    KIND = EventKind.FAULT
    rule: str | None = None
    kind: str | None = None
    seed: int | None = None
    direction: str | None = None
    frame: int | None = None
    detail: Mapping[str, Any] | None = None
    planned_ns: int | None = if_set()
    dropped: bool | None = if_set()
    ends: bool | None = if_set()
    injected: bool | None = if_set()
    delay_ns: int | None = if_set()


@dataclass(slots=True, kw_only=True)
class Held(Event):
    """A fault keeps back the frame of that number in that direction."""

    KIND = EventKind.HELD
    direction: str | None = None
    frame: int | None = None


@dataclass(slots=True, kw_only=True)
class Sent(Event):
    """The last byte of a frame that was kept back is written."""

    KIND = EventKind.SENT
    direction: str | None = None
    frame: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class FaultSkipped(Event):
    """A rule cannot act on this connection."""

    KIND = EventKind.FAULT_SKIPPED
    rule: str | None = None
    kind: str | None = None
    reason: str | None = None


# -- of the engine


@dataclass(frozen=True, slots=True, kw_only=True)
class EngineStarted(Event):
    """A run begins; all of it becomes the run's `meta`.

    Attributes:
        anchor_wall_ns, anchor_mono_ns: the wall clock and the monotonic one at the same moment.
        max_capture_size, snaplen, inflate_cap: the user's limits in bytes; None for none.
        hostname: of the machine.
        run_file: where the engine is registered.
        session_by: the user's choice of what tells clients apart.
        taps: the listeners, as objects.
        changes: what is different from stock mitmproxy, in sentences.
    """

    KIND = EventKind.ENGINE
    versions: Mapping[str, Any]
    argv: list[Any]
    anchor_wall_ns: int | None = None
    anchor_mono_ns: int | None = None
    max_capture_size: int | None = None
    hostname: str | None = if_set()
    run_file: str | None = None
    snaplen: int | None = None
    inflate_cap: int | None = if_set()
    session_by: str | None = if_set()
    taps: list[Any]
    changes: list[Any]


@dataclass(frozen=True, slots=True, kw_only=True)
class ImportStarted(Event):
    """What follows comes from a file of another format: `imported` says which, instead of an engine."""

    KIND = EventKind.ENGINE
    versions: Mapping[str, Any]
    imported: Mapping[str, Any]
    argv: list[Any]
    anchor_wall_ns: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class HarEntry(Event):
    """An entry of an imported HAR that passes through as it is: one with `_eventSourceMessages`."""

    KIND = EventKind.HAR_ENTRY
    entry: Mapping[str, Any]


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
class Lag(Event):
    """The engine's event loop did not run in time: what it read at the end of these nanoseconds, or soon
    after, may have come at any moment since they began."""

    KIND = EventKind.LAG
    for_ns: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Late(Event):
    """How late a timer of the event loop was at worst in these nanoseconds: on this machine those of others
    were no better."""

    KIND = EventKind.LATE
    worst_ns: int
    for_ns: int


@dataclass(frozen=True, slots=True, kw_only=True)
class TlsFailed(Event):
    """TLS with a client failed before any request; `rule` names the fault that made it fail.

    `how` is how the client ended the connection ("fin", "rst" or "timeout"); None where it had not: it sent
    an alert, or this proxy stopped meanwhile.
    """

    KIND = EventKind.TLS_FAILED
    side: str | None = None
    tap: str | None = None
    client: str | None = None
    sni: str | None = None
    error: str | None = None
    rule: str | None = None
    how: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class ClientLeft(Event):
    """A client connected and left without sending a byte, after this many milliseconds."""

    KIND = EventKind.CLIENT_LEFT
    tap: str | None = None
    client: str | None = None
    how: str | None = None
    ms: float | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class PassedUnread(Event):
    """A tunnel is passed on as raw TCP; `first` are its first bytes, as Latin-1."""

    KIND = EventKind.PASSED_UNREAD
    tap: str | None = None
    client: str | None = None
    server: str | None = None
    sni: str | None = None
    reason: str | None = None
    first: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class RequestFailed(Event):
    """A request other than an opening handshake was answered by this proxy; `where` is how far it came."""

    KIND = EventKind.REQUEST_FAILED
    tap: str | None = None
    client: str | None = None
    method: str | None = None
    host: str | None = None
    url: str | None = None
    where: str | None = None
    status: int | None = None
    error: str | None = None
    server: str | None = None
    tls: Mapping[str, Any] | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Alpn(Event):
    """A side offered HTTP/2, and the other one answered with something else."""

    KIND = EventKind.ALPN
    tap: str | None = None
    side: str | None = None
    name: str | None = None
    offered: list[Any]
    answered: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class AltSvc(Event):
    """A server offers HTTP/3 (RFC 7838), for which browsers leave this proxy; `stripped`: not with us."""

    KIND = EventKind.ALT_SVC
    tap: str | None = None
    client: str | None = None
    host: str | None = None
    value: str | None = None
    stripped: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class H2Settings(Event):
    """Whether a server's SETTINGS allow an extended CONNECT, and what the client was sent in their place;
    `withdrawn` where they did before, on the same connection.
    """

    KIND = EventKind.H2_SETTINGS
    tap: str | None = None
    server: str | None = None
    server_enable_connect: bool = False
    client_enable_connect: bool = False
    client_alpn: str | None = None
    withdrawn: bool | None = if_set()


@dataclass(frozen=True, slots=True, kw_only=True)
class H2Error(Event):
    """A connection without WebSockets was ended because its peer (`side`) broke HTTP/2: `error` says how."""

    KIND = EventKind.H2_ERROR
    tap: str | None = None
    side: str | None = None
    client: str | None = None
    server: str | None = None
    error: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class H2Flood(Event):
    """A peer (`side`) sent `count` frames of one kind within a second, each of which has to be answered."""

    KIND = EventKind.H2_FLOOD
    tap: str | None = None
    side: str | None = None
    client: str | None = None
    server: str | None = None
    frame: str | None = None
    count: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class H2ConnectRefused(Event):
    """An extended CONNECT of a client, by its pseudo-header fields, which this proxy does not carry."""

    KIND = EventKind.H2_CONNECT_REFUSED
    tap: str | None = None
    client: str | None = None
    protocol: str | None = None
    authority: str | None = None
    path: str | None = None
    origin: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class RuleChanged(Event):
    """A rule was armed or disarmed.

    Attributes:
        source: where the rule came from.
        by: who armed or disarmed it.
        phase: of the scenario, from 0; None where none is under way.
        seed, time_scale: of all decisions, and of all times of rules and phases.
    """

    KIND = EventKind.RULE
    rule: str | None = None
    kind: str | None = None
    armed: bool = False
    source: str | None = None
    by: str | None = None
    phase: int | None = None
    seed: int | None = None
    time_scale: float | None = None
    settings: Mapping[str, Any] | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class PhaseChanged(Event):
    """A phase of a scenario began, `of` as many; None: the last one is over.

    Attributes:
        for_ms: how long it takes.
        rules: the names of rules that it arms.
        do: kinds of what it does once.
    """

    KIND = EventKind.PHASE
    phase: int | None = None
    of: int | None = None
    for_ms: float | None = if_set()
    rules: list[Any] | None = field(default=None, metadata=IF_SET)
    do: list[Any] | None = field(default=None, metadata=IF_SET)


@dataclass(frozen=True, slots=True, kw_only=True)
class Unstored(Event):
    """What could not be stored.

    Attributes:
        bytes, records: how much (None: nobody counted it), and in how many records.
        reason: by the system's own words; of a trace `NOT_IN_TRACE`, or `NOT_READ` and why.
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


# -- of the recorder


@dataclass(frozen=True, slots=True, kw_only=True)
class Evicted(Event):
    """Data was deleted to keep the capture within `limit` bytes: payloads, their bytes, and rows."""

    KIND = EventKind.EVICTED
    limit: int | None = None
    payloads: int | None = if_set()
    bytes: int | None = if_set()
    frames: int | None = if_set()
    connections: int | None = if_set()
    events: int | None = if_set()


@dataclass(frozen=True, slots=True, kw_only=True)
class RecorderError(Event):
    """A mistake of the recorder's own, at a record of that kind and part."""

    KIND = EventKind.RECORDER_ERROR
    error: str | None = None
    kind: int | None = None
    part: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Unreadable(Event):
    """A record of the journal that is not an event."""

    KIND = EventKind.UNREADABLE


def make_shapes() -> None:
    """Make now what the first record of each kind needs: memory that holds both is not given back."""
    for one in list(globals().values()):
        if isinstance(one, type) and issubclass(one, Event) and one is not Event:
            shape_of(one)
