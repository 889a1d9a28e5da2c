"""Typed rows of a capture, as `reader.Capture` hands them out; the columns are docs/capture-format.md's."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple, Protocol

from wsinspect.net import url_of
from wsinspect.wire.header import HeaderFields
from wsinspect.wire.opcodes import Direction, Opcode

#: What `run --headless --json` prints for one event, without `schema`.
Note = dict[str, Any]
#: Runs a short statement and gives all of its rows: of a file (`Capture.query`), or the recorder's database.
Query = Callable[[str, Sequence[Any]], list[tuple[Any, ...]]]


class Queried(Protocol):
    """Whatever runs short statements: a capture, or the database of the recorder that writes it."""

    def query(self, sql: str, parameters: Sequence[Any] = ..., /) -> list[tuple[Any, ...]]: ...


class Connection(NamedTuple):
    """A row of `connection`: one WebSocket from its attempt to its end."""

    id: int
    tap: str | None
    client: str | None
    listener: str | None
    scheme: str | None
    host: str | None
    port: int | None
    path: str | None
    http_version: str | None
    server: str | None
    server_http_version: str | None
    client_alpn: str | None
    server_alpn: str | None
    status: int | None
    subprotocol: str | None
    extensions: str | None
    client_session: int | None
    attempt_ns: int | None
    open_ns: int | None
    closed_ns: int | None
    state: str
    error: str | None
    client_close_code: int | None
    client_close_reason: str | None
    server_close_code: int | None
    server_close_reason: str | None
    ended_by: str | None
    how: str | None
    js_code: int | None
    js_was_clean: bool | None
    c2s_frames: int
    s2c_frames: int
    c2s_bytes: int
    s2c_bytes: int
    #: Of the table `evicted`: what is missing because of --max-capture-size.
    evicted_payloads: int = 0
    evicted_bytes: int = 0
    evicted_frames: int = 0
    #: The rule that refused or ended it (or `by-hand`), or that acted on a handshake that failed.
    rule: str | None = None
    #: What could not be stored, as `c2s=412,s2c==trace` (direction, bytes, kind); `missing.lacks` reads it.
    gaps: str = ""

    @property
    def url(self) -> str:
        """Its `ws:` or `wss:` URL."""
        return url_of(self.scheme, self.host, self.port, self.path)


class Handshake(NamedTuple):
    """A row of `handshake`: the heads byte for byte, and when each step was done."""

    connection_id: int
    request_in: bytes | None
    request_out: bytes | None
    response_in: bytes | None
    response_out: bytes | None
    informational: bytes | None
    body: bytes | None
    tcp_ns: int | None
    tls_ns: int | None
    server_tcp_start_ns: int | None
    server_tcp_done_ns: int | None
    server_tls_done_ns: int | None
    request_in_ns: int | None
    request_out_ns: int | None
    response_in_ns: int | None
    response_out_ns: int | None
    server_address: str | None
    server_sockname: str | None
    server_reused: bool | None
    client_tls: dict[str, Any] | None
    server_tls: dict[str, Any] | None
    problems: list[str]

    @property
    def heads(self) -> list[bytes]:
        """The header blocks that there are."""
        blocks = (self.request_in, self.request_out, self.response_in, self.response_out)
        return [raw for raw in blocks if raw]


class _FrameRow(NamedTuple):
    id: int
    connection_id: int
    direction: Direction
    first_ns: int
    time_ns: int
    sent_ns: int | None
    header: bytes
    wire_length: int
    payload: bytes
    message_id: int | None
    violation: str | None
    fault_event_id: int | None
    #: Its payload was deleted to make room (--max-capture-size).
    is_evicted: bool = False


class FrameRow(_FrameRow, HeaderFields):
    """A row of `frame`."""

    __slots__ = ()

    @property
    def is_fragment(self) -> bool:
        """Whether it may be one of several frames of a message."""
        return self.opcode < Opcode.CLOSE and (self.opcode == Opcode.CONTINUATION or not self.fin)


class Message(NamedTuple):
    """A row of `message`; `last_frame` and `length` are None while it continues."""

    id: int
    connection_id: int
    direction: Direction
    opcode: int
    first_frame: int
    last_frame: int | None
    compressed: bool
    length: int | None
    data: bytes | None
    valid_text: bool | None
    problem: str | None


class Ping(NamedTuple):
    """A row of `ping`; `pong_frame` and `rtt_ns` are None until a PONG answers it."""

    ping_frame: int
    connection_id: int
    leg: str
    pong_frame: int | None
    rtt_ns: int | None


class Opaque(NamedTuple):
    """A row of `opaque`: bytes of which no frames could be made."""

    id: int
    connection_id: int
    direction: Direction
    time_ns: int
    after_frame: int | None
    length: int
    data: bytes
    reason: str | None
    #: Its data was deleted to make room (--max-capture-size).
    is_evicted: bool = False


class Event(NamedTuple):
    """A row of `event`."""

    id: int
    time_ns: int
    connection_id: int | None
    kind: str
    detail: dict[str, Any]


class FaultRow(NamedTuple):
    """A row of `fault_event`: what a fault did, to which frame."""

    id: int
    time_ns: int
    connection_id: int | None
    frame_id: int | None
    rule: str
    kind: str
    detail: str | None


class FindingRow(NamedTuple):
    """A row of `finding`; `detail` is JSON."""

    id: int
    rule: str
    severity: str
    connection_id: int | None
    frame_id: int | None
    detail: str
