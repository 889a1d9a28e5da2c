"""What is known of each attempt of a client; plain values. Times are epoch nanoseconds.

Cookies, tokens and what else tells clients apart are here as keyed digests alone: equal values have equal
digests within one reading of a capture, and nothing of them can be printed.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from hashlib import blake2b
from typing import Any, Final, NamedTuple

from wsinspect.faults.sessions import PER_CONNECTION, SessionBy
from wsinspect.handshake.heads import RawHead
from wsinspect.net import host_of
from wsinspect.vocabulary import Direction

SECOND_NS: Final = 10**9
#: Statuses and codes that another try will not change: credentials, path, protocol.
FATAL_STATUSES: Final = frozenset({400, 401, 403, 404, 405, 410, 426})
FATAL_CODES: Final = frozenset(
    {1002, 1003, 1007, 1008, 1010, 3000, 3003, 4001, 4003, 4004, 4400, 4401, 4403, 4404, 4406}
)
#: A connection that its server ends this soon, without a message, was a failed try.
SHORT_NS: Final = 2 * SECOND_NS
#: A fault that acts this soon after the opening has acted from the beginning.
_AT_ONCE_NS: Final = SECOND_NS // 10
#: A later timer than this says more of a machine that stood still than of its neighbours' timers.
MOST_LATE_NS: Final = SECOND_NS // 2
_MOST_PARTS: Final = 64

Digest = Callable[[str], bytes]


def keyed_digest(key: bytes) -> Digest:
    """Digests by a key that nobody keeps: good for comparing, and for nothing else."""

    def digest(text: str) -> bytes:
        return blake2b(text.encode("utf-8", "surrogateescape"), key=key, digest_size=12).digest()

    return digest


_NO_KEY: Final = keyed_digest(b"")


class Transport(StrEnum):
    """How a client is connected."""

    WEBSOCKET = "websocket"
    POLLING = "polling"


class Said(NamedTuple):
    """A message.

    Attributes:
        id: of its first frame; 0 where it was polled.
        data: the beginning of its content.
        length: bytes of all of it.
        sent_ns: when it was passed on; None where it never was.
    """

    id: int
    direction: Direction
    time_ns: int
    data: bytes
    length: int
    sent_ns: int | None

    @property
    def is_delivered(self) -> bool:
        """Whether it was passed on to the other side's socket."""
        return self.sent_ns is not None


class Stall(NamedTuple):
    """A time in which a fault passed nothing on, without an end: a half-open connection.

    Attributes:
        until_ns: None where nothing ended it.
    """

    from_ns: int
    until_ns: int | None
    rule: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Attempt:
    """One try to be connected: a WebSocket's opening handshake and what came of it, or a polling session.

    Attributes:
        id: of the connection; of a polling session the negative id of its first event.
        run: which of the engine's runs recorded it.
        place: scheme, host and port.
        path: without the query.
        parts: what may tell clients apart, by name ("cookie sid", "query user"), as digests.
        chosen: digest of what `--session-by` names.
        tokens: digests of all values in its URL.
        sid: digest of the Engine.IO session or SignalR connection that it belongs to.
        end_ns: when it was over as its client saw it: the first end of a transport, CLOSE frame or refusal.
        closed_ns: when all of it was over, its closing handshake too.
        retry_after_ns: what the refusal asked for.
        rule: the fault that refused or ended it; `fault` is its kind.
        close_ns: when the client sent CLOSE or ended its transport.
        frames, sizes: how many there were and their bytes: the client's, the server's.
        is_stream: polling by Server-Sent Events; `frames` are messages then, as of all polling.
    """

    id: int
    run: int = 1
    transport: Transport = Transport.WEBSOCKET
    tap: str | None = None
    address: str = ""
    place: str = ""
    path: str = "/"
    user_agent: str = ""
    origin: str = ""
    parts: Mapping[str, bytes] = field(default_factory=dict)
    chosen: bytes | None = None
    tokens: frozenset[bytes] = frozenset()
    sid: bytes | None = None
    subprotocol: str | None = None
    attempt_ns: int
    open_ns: int | None = None
    end_ns: int | None = None
    closed_ns: int | None = None
    state: str = "open"
    status: int | None = None
    error: str | None = None
    retry_after_ns: int | None = None
    ended_by: str | None = None
    how: str | None = None
    client_code: int | None = None
    server_code: int | None = None
    rule: str | None = None
    fault: str | None = None
    close_ns: int | None = None
    stalls: tuple[Stall, ...] = ()
    frames: tuple[int, int] = (0, 0)
    sizes: tuple[int, int] = (0, 0)
    is_stream: bool = False

    @property
    def is_open(self) -> bool:
        """Whether it was ever open."""
        return self.open_ns is not None

    @property
    def is_rejected(self) -> bool:
        """Whether its server, or a fault in the server's place, opened it only to end it at once."""
        if self.open_ns is None or self.end_ns is None or self.ended_by == "client":
            return False
        is_short = self.end_ns - self.open_ns < SHORT_NS
        if self.ended_by == "fault":
            return is_short and self.server_code in FATAL_CODES
        is_reported = self.server_code in FATAL_CODES
        return is_short and self.ended_by == "server" and (is_reported or not self.frames[1])

    @property
    def is_stillborn(self) -> bool:
        """Whether it was half-open from the beginning, and its client gave it up like that."""
        if self.open_ns is None or self.end_ns is None:
            return False
        return any(
            stall.from_ns - self.open_ns < _AT_ONCE_NS
            and stall.from_ns <= self.end_ns
            and (stall.until_ns is None or self.end_ns <= stall.until_ns)
            for stall in self.stalls
        )

    @property
    def is_failure(self) -> bool:
        """Whether the try brought no connection that could be used."""
        return (self.open_ns is None and self.end_ns is not None) or self.is_rejected or self.is_stillborn

    @property
    def is_lasting(self) -> bool:
        """Whether what refused it will refuse the next one, too."""
        if self.open_ns is None:
            return self.status in FATAL_STATUSES
        return self.server_code in FATAL_CODES

    def is_usable(self, at_ns: int) -> bool:
        """Whether it was open then, and no fault kept its traffic."""
        return self.open_ns is not None and self.open_ns <= at_ns and self.is_alive(at_ns)

    def is_alive(self, at_ns: int) -> bool:
        """Whether it was open or not answered yet, and no fault kept its traffic."""
        if self.end_ns is not None and self.end_ns <= at_ns:
            return False
        return not any(
            stall.from_ns <= at_ns and (stall.until_ns is None or at_ns < stall.until_ns)
            for stall in self.stalls
        )

    def known_over_ns(self, before_ns: int) -> int | None:
        """When its client could know that it was over, and try again at `before_ns`."""
        if self.closed_ns is not None and self.closed_ns <= before_ns:
            return self.closed_ns
        return self.end_ns

    @property
    def answer(self) -> str:
        """What came of it, in a few words."""
        if self.open_ns is None:
            if self.status is not None:
                return str(self.status)
            return self.error or ("no answer" if self.end_ns is not None else "no answer yet")
        if self.is_stillborn:
            return "101, then silence"
        if self.is_rejected:
            return f"101, then {self.server_code or self.how or 'closed'}"
        if self.transport == Transport.POLLING:
            return "Server-Sent Events" if self.is_stream else "polling"
        return "101"


class Block(NamedTuple):
    """A time in which a rule kept every client out."""

    from_ns: int
    until_ns: int | None
    rule: str


class Late(NamedTuple):
    """How late the engine's timers were at worst in a time."""

    from_ns: int
    until_ns: int
    worst_ns: int


class Lateness:
    """How late timers are on this machine: usually, and in times when it was busier than that.

    Args:
        usual_ns: everywhere.
        times: when it was worse, in order.
    """

    def __init__(self, usual_ns: int = 20_000_000, times: Sequence[Late] = ()) -> None:
        self.usual_ns = usual_ns
        self._times = times
        self._ends = [one.until_ns for one in times]

    def within(self, from_ns: int, until_ns: int) -> int:
        """The worst between two times, in nanoseconds."""
        worst = self.usual_ns
        for one in self._times[bisect_left(self._ends, from_ns) :]:
            if one.from_ns > until_ns:
                break
            worst = max(worst, one.worst_ns)
        return min(worst, max(self.usual_ns, MOST_LATE_NS))


@dataclass(frozen=True, kw_only=True)
class ClientFacts:
    """All attempts of a capture, and what was done to them.

    Attributes:
        attempts: in the order of their times.
        blocks: times in which a rule without conditions kept all clients out.
        phases: begin of each phase of the scenario, with its number from 0; `phases_end_ns` is when the
            last one was over.
        horizon_ns: until when the capture can say anything.
        lateness: how late timers are on this machine, as measured.
        said: the first and last messages of an attempt, in order.
        pings: when the client's PING frames came.
    """

    attempts: Sequence[Attempt] = ()
    blocks: Sequence[Block] = ()
    phases: Sequence[tuple[int, int]] = ()
    phases_end_ns: int | None = None
    horizon_ns: int = 0
    lateness: Lateness = field(default_factory=Lateness)
    said: Callable[[Attempt], Sequence[Said]] = lambda _: ()
    pings: Callable[[Attempt], Sequence[int]] = lambda _: ()
    digest: Digest = _NO_KEY

    @property
    def noise_ns(self) -> int:
        """How late a timer usually may be."""
        return self.lateness.usual_ns


class Known(NamedTuple):
    """What a request says of its client; the fields of `Attempt` with these names."""

    user_agent: str
    origin: str
    parts: dict[str, bytes]
    chosen: bytes | None
    tokens: frozenset[bytes]
    sid: bytes | None


def known_by(
    request: RawHead | None, path: str, digest: Digest, session_by: SessionBy | None = None
) -> Known:
    """Read what tells a client apart out of its request.

    Args:
        path: with the query.
        session_by: the user's own choice of it.
    """
    query = [part.partition("=") for part in path.partition("?")[2].split("&") if part][:_MOST_PARTS]
    cookies = [
        crumb.strip().partition("=")
        for line in _values(request, "cookie")
        for crumb in line.split(";")[:_MOST_PARTS]
    ]
    parts = {f"cookie {name}": digest(value) for name, _, value in cookies if name}
    parts |= {f"query {name}": digest(value) for name, _, value in query if name not in PER_CONNECTION}
    for line in _values(request, "authorization")[:1]:
        parts["Authorization"] = digest(line)
    for line in _values(request, "sec-websocket-protocol")[:1]:
        parts["subprotocol"] = digest(line)
    chosen = None
    if session_by is not None:
        given: dict[str, list[str]] = {
            "header": _values(request, session_by.name),
            "cookie": [value for name, _, value in cookies if name == session_by.name],
            "query": [value for name, _, value in query if name == session_by.name],
        }
        found = given[session_by.part]
        chosen = digest(found[0]) if found else None
    sids = [value for name, _, value in query if name in ("sid", "id") and len(value) >= 4]
    return Known(
        " ".join(_values(request, "user-agent")[:1])[:500],
        " ".join(_values(request, "origin")[:1])[:500],
        parts,
        chosen,
        frozenset(digest(value) for _, _, value in query if len(value) >= 8),
        digest(sids[0]) if sids else None,
    )


def address_of(client: str | None) -> str:
    """A client's address without its port."""
    return host_of(client)


def _values(request: RawHead | None, name: str) -> list[str]:
    if request is None:
        return []
    return [value.decode("utf-8", "surrogateescape") for value in request.get_all(name)]


def retry_after(value: Any) -> int | None:
    """The nanoseconds of a `Retry-After` in seconds (RFC 9110, section 10.2.3); None for others."""
    text = value.decode("latin-1") if isinstance(value, bytes) else str(value or "")
    text = text.strip()
    return int(text) * SECOND_NS if text.isascii() and text.isdigit() and len(text) < 7 else None
