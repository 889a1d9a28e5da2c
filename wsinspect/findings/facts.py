"""The facts that rules judge: plain values made from a capture, a HAR file or a pair of captures.

Contract: immutable, and small whatever a connection carried: of its frames and messages the first and last
few, every violation's first frame, CLOSE frames, pings, and counts. Times are epoch nanoseconds. Heads are
parsed when first asked for.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property, partial
from itertools import takewhile
from operator import is_not
from typing import Any, NamedTuple

from wsinspect.findings import lag
from wsinspect.findings.acceptance import is_refusal, is_taken_back
from wsinspect.findings.excuses import ActedFault
from wsinspect.findings.lag import Lag
from wsinspect.findings.software import Mark, recognise
from wsinspect.handshake.codings import decoded
from wsinspect.handshake.heads import RawHead
from wsinspect.handshake.negotiation import Negotiation, negotiate, opens
from wsinspect.net import host_of
from wsinspect.vocabulary import NO_SILENCES, Lack
from wsinspect.wire.opcodes import Direction

C2S, S2C = Direction.CLIENT_TO_SERVER, Direction.SERVER_TO_CLIENT
SECOND_NS = 10**9
_CONTENT_BYTES = 64 * 1024
#: Later than any time: the largest number that SQLite has.
_NEVER = (1 << 63) - 1


class FrameFact(NamedTuple):
    """A frame; `payload` is its beginning, unmasked, not inflated."""

    id: int
    direction: Direction
    time_ns: int
    opcode: int
    fin: bool
    length: int
    header: bytes = b""
    payload: bytes = b""
    violation: str | None = None
    message_id: int | None = None
    span_ns: int = 0

    @property
    def is_close(self) -> bool:
        """Whether it is a CLOSE frame; a fragmented one is none: so reads text such as `HTTP/1.1`."""
        return self.opcode == 8 and self.fin


class MessageFact(NamedTuple):
    """A message; `data` is the beginning of its content, inflated."""

    id: int
    direction: Direction
    time_ns: int
    opcode: int
    length: int | None
    data: bytes = b""
    compressed: bool = False
    problem: str | None = None

    @property
    def text(self) -> str:
        """The content as text."""
        return self.data.decode("utf-8", "replace")


class PingFact(NamedTuple):
    """A ping and the time of its pong."""

    id: int
    direction: Direction
    time_ns: int
    pong_id: int | None
    rtt_ns: int | None


class EndFact(NamedTuple):
    """The end of a transport: side client, server or proxy; how fin, rst, close_notify or timeout.

    `http2` is the frame that it was, of a stream of HTTP/2.
    """

    side: str
    how: str
    time_ns: int
    http2: str | None = None


class StallFact(NamedTuple):
    """A side did not take what it was sent for more than a second.

    Attributes:
        side: "client" or "server".
        from_ns, until_ns: while its buffer was full; to the begin of the end where it never drained.
        size: bytes that waited for it after the first second; `left` when it was last looked at.
        acknowledges: whether its TCP acknowledged anything in that time; None where that is not known.
        still_ns: the longest time in which nothing was taken; None where that is not known.
    """

    side: str
    from_ns: int
    until_ns: int
    size: int
    left: int
    acknowledges: bool | None
    has_drained: bool
    still_ns: int | None = None

    @property
    def lasted_ns(self) -> int:
        """For how long its buffer was full."""
        return self.until_ns - self.from_ns

    @property
    def is_steady(self) -> bool:
        """Whether some was taken again and again: whoever reads slowly is no one that does not read."""
        return self.still_ns is not None and 2 * self.still_ns < self.lasted_ns


class OpaqueFact(NamedTuple):
    """Bytes of which no frames could be made."""

    direction: Direction
    time_ns: int
    length: int
    data: bytes
    reason: str | None
    after_frame: int | None


class Problem(NamedTuple):
    """A message that could not be read, and the frame that shows it."""

    direction: Direction
    kind: str
    frame: int
    times: int


class Other(NamedTuple):
    """Another connection to the same host and port through the same tap, opened near to the one judged.

    Attributes:
        end_ns: when a side began to end it, by a CLOSE frame or without; None while it lives.
        silences: how long nothing had come when it ended, c2s and s2c; None while it lives or where unknown.
        request: its request header block, for attempts that are compared.
        response: the header block of its answer.
        server_close_code: of the server's CLOSE frame, or of the one that a file does not say the sender of.
        server_frames: how many the server sent, its CLOSE frame aside; None where unknown.
    """

    id: int
    path: str
    attempt_ns: int
    open_ns: int
    closed_ns: int | None = None
    end_ns: int | None = None
    ended_by: str | None = None
    how: str | None = None
    has_close: bool = False
    silences: tuple[int | None, int | None] = (None, None)
    request: bytes | None = None
    response: bytes | None = None
    server_close_code: int | None = None
    server_frames: int | None = None

    @property
    def is_taken_back(self) -> bool:
        """Whether its 101 shows nothing of what the server accepts: it was closed or cut at once."""
        return is_taken_back(
            ended_by=self.ended_by,
            code=self.server_close_code,
            age_ns=self.lived_ns,
            server_frames=self.server_frames,
        )

    @property
    def is_cut(self) -> bool:
        """Whether a peer ended it without a CLOSE frame."""
        return (
            self.how in ("fin", "rst", "timeout")
            and self.ended_by in ("client", "server")
            and not self.has_close
        )

    def silence_ns(self, direction: Direction | None = None) -> int | None:
        """How long nothing had come (of one direction, or of both) when it ended."""
        if direction is not None:
            return self.silences[direction]
        c2s, s2c = self.silences
        return None if c2s is None or s2c is None else min(c2s, s2c)

    @property
    def age_ns(self) -> int | None:
        """From the 101 to the end."""
        return None if self.end_ns is None else self.end_ns - self.open_ns

    @property
    def lived_ns(self) -> int | None:
        """From the 101 to the end, or to when all was over where no end was recorded; None while it lives."""
        end = self.end_ns if self.end_ns is not None else self.closed_ns
        return None if end is None else end - self.open_ns


@dataclass(frozen=True, kw_only=True)
class ConnectionFacts:
    """One connection.

    Attributes:
        violations: for each direction and code the first frame that has it, with how many there are.
        first, last: the first and the last messages of both directions, in order.
        last_frames: the last frames, in order.
        last_ns: when the last frame came, by direction.
        faults: rules of faults that acted on it.
        rule: the one that refused or ended it (or `vocabulary.rules.BY_HAND`), or acted on its handshake.
        gaps: directions with bytes that could not be stored: their frames end there, and traffic went on.
        has_lost_records: whether a header block, a body or an event could not be stored.
        unrecorded: what the format that it was imported from does not have, of `vocabulary.Lack`.
        evicted_frames: how many of its first frames were deleted to make room.
        others: connections to the same host and port that were answered with 101, for attempts that were
            refused, also after their 101, or got no answer, and for ends without a CLOSE frame.
        lags: when this tap may have been blind meanwhile.
        stalls: when a side did not take what it was sent.
    """

    id: int
    tap: str | None = None
    client: str | None = None
    listener: str | None = None
    scheme: str = "ws"
    host: str | None = None
    port: int | None = None
    path: str = "/"
    http_version: str | None = "HTTP/1.1"
    server: str | None = None
    server_http_version: str | None = None
    client_alpn: str | None = None
    server_alpn: str | None = None
    status: int | None = None
    state: str = "closed"
    error: str | None = None
    failed_where: str | None = None
    attempt_ns: int = 0
    open_ns: int | None = None
    closed_ns: int | None = None
    ended_by: str | None = None
    how: str | None = None
    js_code: int | None = None
    js_was_clean: bool | None = None
    client_close_code: int | None = None
    client_close_reason: str | None = None
    server_close_code: int | None = None
    server_close_reason: str | None = None
    frames: tuple[int, int] = (0, 0)
    sizes: tuple[int, int] = (0, 0)
    raw_request_in: bytes | None = None
    raw_request_out: bytes | None = None
    raw_response_in: bytes | None = None
    raw_response_out: bytes | None = None
    informational: bytes = b""
    body: bytes = b""
    times: Mapping[str, int | None] = field(default_factory=dict)
    server_address: str | None = None
    client_tls: Mapping[str, Any] | None = None
    server_tls: Mapping[str, Any] | None = None
    ends: tuple[EndFact, ...] = ()
    first: tuple[MessageFact, ...] = ()
    last: tuple[MessageFact, ...] = ()
    last_frames: tuple[FrameFact, ...] = ()
    last_ns: tuple[int | None, int | None] = (None, None)
    violations: tuple[tuple[FrameFact, int], ...] = ()
    problems: tuple[Problem, ...] = ()
    opaque: tuple[OpaqueFact, ...] = ()
    pings: tuple[PingFact, ...] = ()
    faults: tuple[ActedFault, ...] = ()
    rule: str | None = None
    events: tuple[tuple[str, Mapping[str, Any]], ...] = ()
    gaps: frozenset[Direction] = frozenset()
    has_lost_records: bool = False
    unrecorded: frozenset[str] = frozenset()
    evicted_frames: int = 0
    others: tuple[Other, ...] = ()
    lags: tuple[Lag, ...] = ()
    stalls: tuple[StallFact, ...] = ()

    @property
    def is_accepted(self) -> bool:
        """Whether the answer opens the WebSocket: a 101, or over HTTP/2 any 2xx (RFC 8441 section 5)."""
        answer = self.response_in
        return self.status == 101 or (
            answer is not None and opens(self.request_out or self.request_in, answer)
        )

    @property
    def has_gap(self) -> bool:
        """Whether anything of it could not be stored: then no absence and no silence proves anything."""
        return bool(self.gaps) or self.has_lost_records

    @cached_property
    def content(self) -> bytes:
        """The beginning of a refusal's body, decompressed."""
        coding = self.response_in.get("content-encoding") if self.response_in else None
        return decoded(self.body, coding, _CONTENT_BYTES) if coding else self.body

    @cached_property
    def wording(self) -> bytes:
        """The first 4 KiB of `content` in lower case: rules search it for some twenty patterns, and without
        `re.IGNORECASE` that is several times faster."""
        return self.content[:4096].lower() or self.reject_reason.lower().encode()

    @property
    def said(self) -> bytes:
        """The words of the status line, where Autobahn and daphne say why, and of the body; lower case."""
        reason = self.response_in.reason[:200].lower() if self.response_in else b""
        return reason + b"\n" + self.wording

    @property
    def reject_reason(self) -> str:
        """What `websocket` for Node says in a header, since its answers have no body; "" for nothing."""
        value = self.response_in.get("x-websocket-reject-reason") if self.response_in else None
        return (value or b"").decode("latin-1")[:200]

    @cached_property
    def marks(self) -> tuple[Mark, ...]:
        """The software that the response names. Many rules ask, and each time would search the body again."""
        return recognise(self.response_in, self.content)

    @cached_property
    def request_in(self) -> RawHead | None:
        """The request as the client sent it."""
        return _head(self.raw_request_in)

    @cached_property
    def request_out(self) -> RawHead | None:
        """The request as it went to the server."""
        return self.request_in if self.raw_request_out == self.raw_request_in else _head(self.raw_request_out)

    @cached_property
    def response_in(self) -> RawHead | None:
        """The response as the server sent it."""
        return _head(self.raw_response_in)

    @cached_property
    def negotiation(self) -> Negotiation:
        """What client and server agreed, as the server saw the request."""
        return negotiate(self.request_out or self.request_in, self.response_in)

    @property
    def was_open(self) -> bool:
        """Whether a 101 was passed on."""
        return self.open_ns is not None

    @property
    def is_refused_late(self) -> bool:
        """Whether the server answered 101, and then closed with a code that stands for a refusal."""
        is_servers = self.was_open and self.ended_by in ("server", "both")
        return is_servers and is_refusal(self.server_close_code, self.age_ns)

    @property
    def is_ended_on_purpose(self) -> bool:
        """Whether a rule of ours, or somebody by hand, refused or ended it."""
        return self.ended_by == "fault"

    @property
    def is_over(self) -> bool:
        """Whether nothing more will come."""
        return self.closed_ns is not None or self.state in ("closed", "refused", "failed", "lost")

    @property
    def answer_ms(self) -> float | None:
        """From sending the request on until the response was there."""
        sent, answered = self.times.get("request_out_ns"), self.times.get("response_in_ns")
        return None if sent is None or answered is None else (answered - sent) / 1e6

    @cached_property
    def end_ns(self) -> int | None:
        """When it ended as seen here: the first end of a transport or CLOSE frame, else the last fact."""
        closes = [frame.time_ns for frame in self.last_frames if frame.is_close]
        times = [*(end.time_ns for end in self.ends), *closes]
        return min(times) if times else self.closed_ns

    @property
    def has_close(self) -> bool:
        """Whether a CLOSE frame was seen."""
        return self.client_close_reason is not None or self.server_close_reason is not None

    @property
    def data_ns(self) -> int | None:
        """When the last frame of either direction came that was not a CLOSE."""
        times = [frame.time_ns for frame in self.last_frames if not frame.is_close]
        known = [time for time in self.last_ns if time is not None] if not self.last_frames else []
        return max(times or known, default=None)

    def silence_ns(self, direction: Direction | None = None) -> int | None:
        """How long nothing had come (of one direction, or of both) when it ended; None where nobody knows."""
        if self.end_ns is None or self.open_ns is None:
            return None
        if self.has_lost_records or self.unrecorded & NO_SILENCES:
            return None
        if (direction in self.gaps) if direction is not None else self.gaps:
            return None
        last = self.data_ns if direction is None else self._data_of(direction)
        return max(0, self.end_ns - (last if last is not None else self.open_ns))

    def certain_ns(self, first_ns: int, last_ns: int) -> int:
        """What is certain of the time between two things that were read: all but where this tap was blind."""
        return lag.certain_ns(self.lags, first_ns, last_ns)

    def has_waited(self, first_ns: int, last_ns: int, least_ns: int) -> bool:
        """Whether the other side had this much time to answer, as far as this tap can know."""
        return lag.has_waited(self.lags, first_ns, last_ns, least_ns)

    def is_certain(self, first_ns: int | None, last_ns: int | None, most_ns: float = lag.COARSE_NS) -> bool:
        """Whether the time between two things that were read is right but for `most_ns`."""
        known = first_ns is not None and last_ns is not None
        return not known or lag.blur_ns(self.lags, first_ns or 0, last_ns or 0) <= most_ns

    def is_order_known(self, one_ns: int, other_ns: int) -> bool:
        """Whether what was read first of two sockets came first."""
        return lag.is_order_known(self.lags, one_ns, other_ns)

    def is_silence_certain(self, most_ns: float = lag.COARSE_NS) -> bool:
        """Whether the length of the last silence is right but for `most_ns`."""
        return self.is_certain(self.data_ns or self.open_ns, self.end_ns, most_ns)

    def is_age_certain(self, most_ns: float = lag.COARSE_NS) -> bool:
        """Whether the time from the 101 to the end is right but for `most_ns`."""
        return self.is_certain(self.open_ns, self.end_ns, most_ns)

    def _data_of(self, direction: Direction) -> int | None:
        """When the last frame of a direction came that was not a CLOSE."""
        mine = [frame for frame in self.last_frames if frame.direction == direction]
        times = [frame.time_ns for frame in mine if not frame.is_close]
        return max(times) if times else None if mine else self.last_ns[direction]

    @property
    def age_ns(self) -> int | None:
        """From the 101 to the end."""
        return None if self.end_ns is None or self.open_ns is None else self.end_ns - self.open_ns

    def request_line(self, name: str) -> str:
        """A field of the client's request as evidence: `Name: value`, or that there is none.

        Over HTTP/2 `:authority` stands for Host (RFC 9113 section 8.3.1).
        """
        if Lack.REQUEST in self.unrecorded:
            return f"{name} is not in the file"
        if name == "Host" and self.request_in is not None and self.request_in.get(":authority") is not None:
            name = ":authority"
        return _line(self.request_in, name)

    def response_line(self, name: str) -> str:
        """A field of the server's response as evidence."""
        if Lack.ANSWER in self.unrecorded:
            return f"{name} is not in the file"
        return _line(self.response_in, name)


class Summary(NamedTuple):
    """A connection among all of a capture.

    Attributes:
        s2c_bytes: on the wire, frame headers included.
        is_faulted: whether a fault of ours ended it, or acted on its handshake where it never opened.
        key: what stands behind `Sec-WebSocket-Key:` in its request, and a little more; None without one.
    """

    id: int
    tap: str | None
    client: str | None
    scheme: str
    host: str | None
    port: int | None
    path: str
    subprotocol: str | None
    attempt_ns: int
    open_ns: int | None
    closed_ns: int | None
    state: str
    status: int | None
    error: str | None
    ended_by: str | None
    how: str | None
    client_close_code: int | None
    server_close_code: int | None
    server_close_reason: str | None
    c2s_frames: int
    s2c_frames: int
    s2c_bytes: int
    is_faulted: bool
    key: str | None = None

    @property
    def key_sent(self) -> str | None:
        """The key of its request, which a hop mostly passes on; None without one."""
        return (self.key or "").partition("\r")[0].partition("\n")[0].strip() or None

    @property
    def place(self) -> str:
        """Host, port and path without the query: what makes attempts the same endpoint."""
        return f"{self.scheme}://{self.host}:{self.port}{self.path.partition('?')[0]}"

    @property
    def client_host(self) -> str:
        """The client's address without its port."""
        return host_of(self.client)

    @property
    def has_failed(self) -> bool:
        """Whether the attempt ended without a 101; one that is still under way has not."""
        return self.open_ns is None and self.state in ("refused", "failed")


def without_hops(attempts: Sequence[Summary]) -> Iterator[Summary]:
    """Those that clients made, of attempts in order of time.

    A hop asks while the attempt that it asks for is unanswered at the tap before it, and may try several
    times (Go's HTTP client does so once for each idle connection in its pool). The tap in front of a hop sees
    an attempt before the tap behind it does.
    """
    #: Until when attempts were unanswered, by tap, and there by the key, which stays where a hop writes
    #: another path, and by the path's last part: a hop may take a prefix away, or make a key of its own.
    taps: dict[str | None, dict[str, int]] = {}
    for one in attempts:
        mine = taps.setdefault(one.tap, {})
        key = one.key_sent
        marks = [one.path.partition("?")[0].rstrip("/").rpartition("/")[2], *([f"\n{key}"] if key else [])]
        earlier = takewhile(partial(is_not, mine), taps.values())
        if not any(until.get(mark, -1) >= one.attempt_ns for until in earlier for mark in marks):
            yield one
        answered = one.closed_ns if one.open_ns is None else one.open_ns
        for mark in marks:
            mine[mark] = max(mine.get(mark, -1), _NEVER if answered is None else answered)


class EngineEvent(NamedTuple):
    """An event of the engine itself, such as `tls_failed` or `page`."""

    time_ns: int
    kind: str
    detail: Mapping[str, Any]


def text_of(detail: Mapping[str, Any], name: str) -> str | None:
    """What an event has under a name, as text: somebody else's capture may have a list there, which can be no
    key; None without it."""
    value = detail.get(name)
    return None if value is None else str(value)


@dataclass(frozen=True, kw_only=True)
class CaptureFacts:
    """All of a capture: its connections in short, the events of no connection, when its taps were blind.

    Attributes:
        is_trace: it was made of packets that another program recorded.
    """

    connections: tuple[Summary, ...] = ()
    events: tuple[EngineEvent, ...] = ()
    meta: Mapping[str, Any] = field(default_factory=dict)
    lags: tuple[Lag, ...] = ()
    is_trace: bool = False

    @cached_property
    def series(self) -> list[list[Summary]]:
        """Attempts of each client's address at each endpoint, in order; none that a hop made for a client."""
        by_time = sorted(self.connections, key=lambda one: one.attempt_ns)
        found: dict[tuple[str, str, str], list[Summary]] = {}
        for one in without_hops(by_time):
            found.setdefault((one.tap or "", one.client_host, one.place), []).append(one)
        return [group for _, group in sorted(found.items())]


def _head(raw: bytes | None) -> RawHead | None:
    return RawHead.parse(raw) if raw else None


def _line(head: RawHead | None, name: str) -> str:
    values = head.get_all(name) if head else []
    if not values:
        return f"no {name}"
    return ", ".join(f"{name}: {value.decode('latin-1')}" for value in values)
