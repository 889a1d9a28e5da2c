"""Seam: HTTP/2 streams that carry a WebSocket (RFC 8441), below mitmproxy's HTTP layers.

Stock mitmproxy gives each stream a receive window of 2 GiB and acknowledges at once, so that nothing stops a
fast sender; it buffers what the other side does not take, and loses END_STREAM of a DATA frame that it has to
split. A `Tunnel` is one side of a stream: what comes is handed to its `Receiver`, what is written waits here
for the peer's window, and received bytes are acknowledged when the receiver says so. Of ordinary bodies the
connection knows which ones are too many to take more (`http2_sides`).

What is written leaves at the end of what is being handled (`Outbox`): DATA frames that came in one read leave
in one write, and END_STREAM goes with the last of them.

An open tunnel's DATA frames without flags, which are nearly all, do not pass the h2 library:
`RelayedConnection` takes them out of what was read and puts them into what is written, frame for frame
(`wire.data_frames`), and keeps h2's own windows in step. Whatever is not that plain, or more than its sender
was allowed, is left to h2.

What one read brings is handled in portions (`RelayedConnection.has_more`): a read may hold seven thousand
frames of nine bytes, each of which costs h2 as much as a large one, and nobody else's bytes move meanwhile.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable, Iterator
from typing import Any, Final, NamedTuple, Protocol

from h2.config import H2Configuration
from h2.connection import ConnectionState, H2Connection
from h2.errors import ErrorCodes
from h2.events import Event
from h2.exceptions import FrameTooLargeError, ProtocolError
from h2.stream import H2Stream, StreamState
from hyperframe.frame import AltSvcFrame, GoAwayFrame
from mitmproxy.proxy.layers.http._http2 import CATCH_HYPER_H2_ERRORS
from mitmproxy.proxy.layers.http._http_h2 import BufferedH2Connection, SendH2Data

from wsinspect.wire.data_frames import HEADER_BYTES, Run, data_frames, frame_end, plain_stream, read_run

#: Bytes a sender may have in flight on one stream before the other side has taken them.
WINDOW_BYTES: Final = 1 << 20
#: How long a reset waits for what was written before it.
RESET_GRACE_SECONDS: Final = 1.0
#: Bytes of an ordinary body that may wait for a window before its sender is given no more room.
_CROWD_BYTES: Final = 1 << 18
#: Pieces that wait one by one; what comes behind them is joined, for a byte costs as much as a frame.
_PIECES: Final = 64
_PIECE_BYTES: Final = 1 << 14
#: What a frame counts of a portion: one that h2 sees, and one that begins or ends a stream, with all that
#: hangs on it. DATA frames that h2 does not see count one a run.
_SLOW: Final = 4
_STREAM: Final = 32
#: HEADERS, RST_STREAM, PUSH_PROMISE.
_STREAM_TYPES: Final = frozenset({1, 3, 5})
#: h2 looks at each stream when SETTINGS or the connection's WINDOW_UPDATE come: so many streams count one.
_STREAMS_A_UNIT: Final = 16
#: A client's first bytes (RFC 9113 section 3.4).
_PREFACE_BYTES: Final = 24
#: Where a stream may receive, and send.
_RECEIVING: Final = (StreamState.OPEN, StreamState.HALF_CLOSED_LOCAL)
_SENDING: Final = (StreamState.OPEN, StreamState.HALF_CLOSED_REMOTE)


class GoAway(NamedTuple):
    """A GOAWAY frame (RFC 9113 section 6.8)."""

    code: int
    last_stream: int
    data: bytes

    def __str__(self) -> str:
        return f"GOAWAY {code_name(self.code)}"


class GoAwayReceived(Event):
    """Takes the place of h2's ConnectionTerminated: a GOAWAY ends no stream that is open (section 6.8)."""

    def __init__(self, frame: GoAway) -> None:
        self.frame = frame


class AltSvc(NamedTuple):
    """An ALTSVC frame (RFC 7838 section 4): for the origin of a stream, or for the one that it names."""

    stream: int
    origin: bytes
    value: bytes


class AltSvcReceived(Event):
    """Takes the place of h2's AlternativeServiceAvailable."""

    def __init__(self, frame: AltSvc) -> None:
        self.frame = frame


class RunReceived(Event):
    """DATA frames of an open tunnel, which h2 has not seen."""

    def __init__(self, tunnel: Tunnel, run: Run) -> None:
        self.tunnel = tunnel
        self.stream_id = tunnel.id
        self.run = run


def code_name(code: int) -> str:
    """`CANCEL` for 8 (RFC 9113 section 7); unknown codes in hexadecimal."""
    try:
        return ErrorCodes(code).name
    except ValueError:
        return f"{code:#x}"


class Receiver(Protocol):
    """Who handles what comes on a tunnel."""

    def data(self, data: bytes, flow_bytes: int, is_end: bool) -> None:
        """A DATA frame; `flow_bytes` are to be acknowledged, `is_end` is its END_STREAM."""

    def run(self, run: Run) -> None:
        """DATA frames without flags; their size is to be acknowledged."""

    def reset(self, code: int) -> None:
        """The peer sent RST_STREAM with this code (RFC 9113 section 6.4)."""

    def lost(self, how: str, detail: str, is_ours: bool) -> None:
        """The connection under the stream ended ("fin", "rst", "timeout"), by its peer or by our fault."""

    def drained(self) -> None:
        """All that was written has left."""

    def ended(self, how: str) -> None:
        """The end of a socket that takes the place of a stream: "fin", "rst", "timeout" or "close_notify"."""


class Owner(Protocol):
    """The HTTP/2 connection of a tunnel (`seams.http2`)."""

    h2_conn: Any

    def is_open_for_us(self, stream_id: int) -> bool: ...

    def is_closed(self, stream_id: int) -> bool: ...

    def flush(self) -> None:
        """Write what is ready to be sent."""

    def forget(self, stream_id: int) -> None:
        """A tunnel is over on both sides."""

    def end_connection(self, how: str) -> None:
        """End the connection with all its streams: by "goaway" and FIN, or "connection", by RST."""


class Outbox:
    """What one client's connections have to write, written together."""

    def __init__(self) -> None:
        self._depth = 0
        self._tunnels: dict[Tunnel, None] = {}
        self._owners: dict[Owner, None] = {}
        self._is_scheduled = False

    def begin(self) -> None:
        """Bytes are being handled: `end` will write."""
        self._depth += 1

    def end(self) -> None:
        self._depth -= 1
        if not self._depth:
            self.flush()

    def add(self, tunnel: Tunnel) -> None:
        """A tunnel has something to send."""
        self._tunnels[tunnel] = None
        self._schedule()

    def add_owner(self, owner: Owner) -> None:
        """A connection has frames to send."""
        self._owners[owner] = None
        self._schedule()

    def _schedule(self) -> None:
        if not self._depth and not self._is_scheduled:
            self._is_scheduled = True
            asyncio.get_running_loop().call_soon(self._scheduled)

    def _scheduled(self) -> None:
        self._is_scheduled = False
        self.flush()

    def flush(self) -> None:
        while self._tunnels:
            tunnel = next(iter(self._tunnels))
            del self._tunnels[tunnel]
            tunnel.pump()
            self._owners[tunnel.owner] = None
        while self._owners:
            owner = next(iter(self._owners))
            del self._owners[owner]
            owner.flush()


class Tunnel:
    """One side of a WebSocket's stream.

    Attributes:
        owner: the connection.
        id: the stream's number on it.
        peer: the same WebSocket's stream on the other side, once there is one.
        is_open: a 2xx has answered the CONNECT; what comes is the WebSocket's.
        is_accepted: a server that speaks HTTP/1.1 has agreed to open a client's stream.
        unsent: bytes that wait for the peer's window.
    """

    def __init__(self, owner: Owner, stream_id: int, outbox: Outbox) -> None:
        self.owner = owner
        self.id = stream_id
        self.peer: Tunnel | None = None
        self.is_open = False
        self.is_accepted = False
        self.unsent = 0
        self._outbox = outbox
        self._receiver: Receiver | None = None
        self._early: list[Callable[[Receiver], None]] = []
        self._early_data = bytearray()
        self._early_flow = 0
        self._early_end = False
        self._waiting: deque[bytes] = deque()
        self._ends = False
        self._reset_code: int | None = None
        self._is_over = False
        self._is_released = False

    # What comes

    def attach(self, receiver: Receiver) -> None:
        """From now on `receiver` gets what comes, first what has come already."""
        self._receiver = receiver
        if self._early_flow or self._early_end:
            receiver.data(bytes(self._early_data), self._early_flow, self._early_end)
            self._early_data.clear()
        early, self._early = self._early, []
        for tell in early:
            tell(receiver)

    def on_data(self, data: bytes, flow_bytes: int, is_end: bool) -> None:
        if self._receiver is not None:
            self._receiver.data(data, flow_bytes, is_end)
            return
        self._early_data += data
        self._early_flow += flow_bytes
        self._early_end |= is_end

    def on_run(self, run: Run) -> None:
        if self._receiver is not None:
            self._receiver.run(run)
        else:
            self.on_data(run.data, run.size, False)

    def on_reset(self, code: int) -> None:
        self._drop()
        self._tell(lambda receiver: receiver.reset(code))

    def on_lost(self, how: str, detail: str, *, is_ours: bool = False) -> None:
        self._drop()
        self._tell(lambda receiver: receiver.lost(how, detail, is_ours))

    def _tell(self, tell: Callable[[Receiver], None]) -> None:
        if self._receiver is None:
            self._early.append(tell)
        else:
            tell(self._receiver)

    # What goes

    def waiting(self) -> tuple[int, int | None]:
        """Bytes that wait for the peer's windows; whether its TCP acknowledges says nothing of one stream."""
        return self.unsent, None

    def write(self, data: bytes) -> bool:
        """Send bytes; False where the stream takes no more."""
        if self._is_over or self._ends or self._reset_code is not None:
            return False
        waiting = self._waiting
        if len(waiting) >= _PIECES and len(waiting[-1]) + len(data) <= _PIECE_BYTES:
            waiting[-1] += data
        else:
            waiting.append(data)
        self.unsent += len(data)
        self._outbox.add(self)
        return True

    def write_run(self, run: Run) -> bool:
        """Send DATA frames; False where they wait for the peer's windows, or the stream takes no more."""
        if self._is_over or self._ends or self._reset_code is not None:
            return False
        if not self._waiting and self.owner.h2_conn.send_run(self.id, run):
            self._outbox.add_owner(self.owner)
            return True
        for piece in run.pieces:
            self.write(piece)
        return False

    def finish(self) -> None:
        """END_STREAM behind what was written."""
        self._ends = True
        self._outbox.add(self)

    def touch(self) -> None:
        """Have the receiver hear of `drained`, though nothing was written."""
        self._outbox.add(self)

    def reset(self, code: int) -> None:
        """RST_STREAM behind what was written, or what the peer's windows take of it within a second."""
        if self._is_over or self._reset_code is not None:
            return
        self.pump()
        self._reset_code = code
        if self._waiting:
            asyncio.get_running_loop().call_later(RESET_GRACE_SECONDS, self._reset)
        else:
            self._reset()

    def _reset(self) -> None:
        code = self._reset_code
        if self._is_over or code is None:
            return
        self._drop()
        if not self.owner.is_closed(self.id):
            self.owner.h2_conn.reset_stream(self.id, code)
        self._outbox.add(self)

    def acknowledge(self, flow_bytes: int) -> None:
        """The other side has taken so much of what came."""
        if flow_bytes and not self.is_connection_closed:
            self.owner.h2_conn.acknowledge_received_data(flow_bytes, self.id)
            self._outbox.add_owner(self.owner)

    @property
    def is_connection_closed(self) -> bool:
        connection: RelayedConnection = self.owner.h2_conn
        return connection.is_closed

    def pump(self) -> None:
        """Send as much as the peer's windows take."""
        if not self._is_over and not self.owner.is_open_for_us(self.id):
            self._drop()
        connection: RelayedConnection = self.owner.h2_conn
        waiting = self._waiting
        while waiting:
            data = waiting[0]
            room = connection.room(self.id)
            if room <= 0:
                return
            if len(data) > room:
                waiting[0] = data[room:]
                data = data[:room]
            else:
                waiting.popleft()
            if self._ends and not waiting:
                self._is_over = True
                H2Connection.send_data(connection, self.id, data, end_stream=True)
            else:
                connection.send_piece(self.id, data)
            self.unsent -= len(data)
        if self._reset_code is not None:
            self._reset()
        elif self._ends and not self._is_over:
            self._is_over = True
            H2Connection.send_data(connection, self.id, b"", end_stream=True)
        if self._receiver is not None:
            self._receiver.drained()
        if self._is_released and self._is_over:
            self.owner.forget(self.id)

    def release(self) -> None:
        """Nothing more comes; the connection forgets the stream once all has left."""
        self._is_released = True
        self._outbox.add(self)

    def _drop(self) -> None:
        self._is_over = True
        self._waiting.clear()
        self.unsent = 0


class RelayedConnection(BufferedH2Connection):
    """mitmproxy's h2 connection, with tunnels, and with a life after GOAWAY.

    Attributes:
        has_more: whole frames are left over from what was received; `receive_data(b"")` handles more of them.
        portion: what is handled at once: 128 runs, 32 PINGs or 4 requests, which takes some 2 ms.
    """

    portion = 128

    def __init__(self, config: H2Configuration) -> None:
        super().__init__(config)
        self.local_settings.initial_window_size = WINDOW_BYTES
        self.local_settings.acknowledge()
        self.tunnels: dict[int, Tunnel] = {}
        self._tunnels_first = True
        self._preface_left = 0 if config.client_side else _PREFACE_BYTES
        self._partial = b""
        self.has_more = False

    @property
    def is_closed(self) -> bool:
        """Whether nothing can be sent any more."""
        return self.state_machine.state.name == "CLOSED"

    @property
    def has_unsent(self) -> bool:
        """Whether anything waits for the peer's windows."""
        return any(self.stream_buffers.values()) or any(one.unsent for one in self.tunnels.values())

    def is_crowded(self, stream_id: int) -> bool:
        """Whether so much of an ordinary body waits for the peer's windows that no more should come."""
        waiting = self.stream_buffers.get(stream_id)
        if not waiting:
            return False
        return len(waiting) > _PIECES or sum(len(one.data) for one in waiting) > _CROWD_BYTES

    def send_data(  # type: ignore[override]
        self, stream_id: int, data: bytes, end_stream: bool = False, pad_length: None = None
    ) -> None:
        waiting = self.stream_buffers.get(stream_id)
        if waiting and len(waiting) > _PIECES and not waiting[-1].end_stream:
            last = waiting[-1].data
            if len(last) + len(data) <= _PIECE_BYTES:
                waiting[-1] = SendH2Data(last + data, end_stream)
                return
        super().send_data(stream_id, data, end_stream, pad_length)

    # DATA frames that h2 does not see

    def receive_data(self, data: bytes) -> list[Event]:
        """What h2 does, and the open tunnels' DATA frames in their places between it; a portion of it.

        h2 gets a frame at a time: what came before one that breaks the connection is not lost with it, and it
        does not copy the rest of a read for each frame.
        """
        events: list[Any] = []
        buffer = self._whole(data)
        self.has_more = False
        budget = self.portion
        size = len(buffer)
        position = min(self._preface_left, size)
        if position:
            self._preface_left -= position
            if not self._receive_slowly(buffer[:position], events):
                return events
        while True:
            for received in self._runs(buffer, position):
                events.append(received)
                position += len(received.run.raw)
                budget -= 1
                if budget <= 0:
                    break
            if position + HEADER_BYTES > size:
                break
            end = frame_end(buffer, position)
            length = end - position - HEADER_BYTES
            if length > self.max_inbound_frame_size:
                # h2 would first take all of it, up to 16 MiB.
                self._terminate_connection(ErrorCodes.FRAME_SIZE_ERROR)
                events.append(FrameTooLargeError(f"a frame of {length} bytes"))
                return events
            if end > size:
                break
            if budget <= 0:
                self.has_more = True
                break
            budget -= self._cost(buffer, position)
            if not self._receive_slowly(buffer[position:end], events):
                return events
            position = end
        self._partial = buffer[position:]
        return events

    def take_runs(self, data: bytes, take: Callable[[RunReceived], None]) -> bytes:
        """Hand on the tunnels' DATA frames that come first; returns what is left for `receive_data`."""
        buffer = self._whole(data)
        position = 0
        budget = self.portion
        for received in self._runs(buffer, position):
            position += len(received.run.raw)
            take(received)
            budget -= 1
            if not budget:
                break
        left = buffer[position:]
        if len(left) < HEADER_BYTES or (
            len(left) < frame_end(left, 0) <= self.max_inbound_frame_size + HEADER_BYTES
        ):
            # Not whole yet: it waits.
            self._partial, left = left, b""
        return left

    def _cost(self, buffer: bytes, position: int) -> int:
        """What the frame that begins here counts of a portion."""
        if buffer[position + 3] in _STREAM_TYPES:
            return _STREAM
        is_of_all = not any(buffer[position + 5 : position + HEADER_BYTES])
        return _SLOW + len(self.streams) // _STREAMS_A_UNIT if is_of_all else _SLOW

    def _whole(self, data: bytes) -> bytes:
        """With the frame before it that was not whole."""
        partial, self._partial = self._partial, b""
        return partial + data if partial else data

    def _runs(self, buffer: bytes, position: int) -> Iterator[RunReceived]:
        """The DATA frames of open tunnels that begin here, counted as h2 does, unless h2 has to see them."""
        while position + HEADER_BYTES <= len(buffer):
            tunnel = self.tunnels.get(plain_stream(buffer, position))
            if tunnel is None or not tunnel.is_open or self.incoming_buffer._headers_buffer:
                return
            stream = self._stream_in(tunnel.id, _RECEIVING)
            if stream is None or stream._expected_content_length is not None:
                return
            windows = (self._inbound_flow_control_window_manager, stream._inbound_window_manager)
            room = min(windows[0].current_window_size, windows[1].current_window_size)
            run = read_run(buffer, position, self.max_inbound_frame_size, room)
            if run is None:
                return
            for window in windows:
                window.window_consumed(run.size)
            position += len(run.raw)
            yield RunReceived(tunnel, run)

    def _receive_slowly(self, frame: bytes, events: list[Any]) -> bool:
        """Through h2; False, with the error as the last of the events, when the connection is broken."""
        try:
            events += super().receive_data(frame)
        except CATCH_HYPER_H2_ERRORS as error:
            # What stock mitmproxy makes of it.
            events.append(ProtocolError(f"uncaught hyper-h2 error: {error}"))
        except ProtocolError as error:
            events.append(error)
        else:
            return True
        return False

    def _stream_in(self, stream_id: int, states: tuple[StreamState, ...]) -> H2Stream | None:
        stream: H2Stream | None = self.streams.get(stream_id)
        if stream is None or stream.state_machine.state not in states:
            return None
        return None if self.state_machine.state is ConnectionState.CLOSED else stream

    def send_run(self, stream_id: int, run: Run) -> bool:
        """Send these DATA frames on this stream; False, and nothing sent, where not all of them may be."""
        stream = self._stream_in(stream_id, _SENDING)
        if stream is None or run.longest > self.max_outbound_frame_size:
            return False
        size = run.size
        if size > self.outbound_flow_control_window or size > stream.outbound_flow_control_window:
            return False
        self._data_to_send += run.frames_for(stream_id)
        self.outbound_flow_control_window -= size
        stream.outbound_flow_control_window -= size
        return True

    def room(self, stream_id: int) -> int:
        """The longest payload that one DATA frame may have now; 0 and less where none may be sent."""
        stream = self._stream_in(stream_id, _SENDING)
        if stream is None:
            return 0
        windows = min(self.outbound_flow_control_window, stream.outbound_flow_control_window)
        return min(windows, self.max_outbound_frame_size)

    def send_piece(self, stream_id: int, data: bytes) -> None:
        """Send one DATA frame, for which there is `room`."""
        self._data_to_send += data_frames(stream_id, (data,))
        self.outbound_flow_control_window -= len(data)
        self.streams[stream_id].outbound_flow_control_window -= len(data)

    def send_alt_svc(self, frame: AltSvc) -> None:
        """An ALTSVC frame as another server sent it."""
        self._prepare_for_sending([AltSvcFrame(frame.stream, frame.origin, frame.value)])

    def _receive_alt_svc_frame(self, frame: AltSvcFrame) -> tuple[list[Any], list[Event]]:
        # h2 forgets which stream it was for.
        return [], [AltSvcReceived(AltSvc(frame.stream_id, frame.origin, frame.field))]

    def send_goaway(self, frame: GoAway) -> None:
        """A GOAWAY behind which open streams continue."""
        goaway = GoAwayFrame(0, frame.last_stream, frame.code, frame.data)
        self._prepare_for_sending([goaway])

    def _receive_goaway_frame(self, frame: GoAwayFrame) -> tuple[list[Any], list[Event]]:
        # h2 takes the connection for closed, and what open streams still send for a protocol error.
        received = GoAway(frame.error_code, frame.last_stream_id, frame.additional_data)
        return [], [GoAwayReceived(received)]

    def stream_window_updated(self, stream_id: int) -> bool:
        tunnel = self.tunnels.get(stream_id)
        if tunnel is None or self.stream_buffers.get(stream_id):
            # An ordinary body, which may be that of a refusal.
            return super().stream_window_updated(stream_id)
        before = tunnel.unsent
        if before:
            tunnel.pump()
        return tunnel.unsent < before

    def connection_window_updated(self) -> None:
        # Who is served first takes turns, so that neither starves the other.
        self._tunnels_first = not self._tunnels_first
        if self._tunnels_first:
            self._pump_tunnels()
        super().connection_window_updated()
        if not self._tunnels_first:
            self._pump_tunnels()

    def _pump_tunnels(self) -> None:
        waiting = [tunnel for tunnel in self.tunnels.values() if tunnel.unsent]
        if waiting:
            # The next time another one begins.
            first = waiting[0]
            self.tunnels[first.id] = self.tunnels.pop(first.id)
        for tunnel in waiting:
            tunnel.pump()


__all__ = [
    "AltSvc",
    "AltSvcReceived",
    "GoAway",
    "GoAwayReceived",
    "Outbox",
    "Receiver",
    "RelayedConnection",
    "RunReceived",
    "Tunnel",
    "code_name",
]
