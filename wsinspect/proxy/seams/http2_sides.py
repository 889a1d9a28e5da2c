"""Seam: what both HTTP/2 sides of the proxy do alike, and what they tell each other (see `http2`)."""

from __future__ import annotations

import asyncio
import time
from abc import abstractmethod
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any, Final, Literal, Protocol

from h2.errors import ErrorCodes
from h2.events import (
    DataReceived,
    Event,
    InformationalResponseReceived,
    PingReceived,
    PriorityUpdated,
    RemoteSettingsChanged,
    ResponseReceived,
    StreamEnded,
    StreamReset,
    TrailersReceived,
)
from h2.settings import SettingCodes
from mitmproxy import http
from mitmproxy.connection import Connection, ConnectionState
from mitmproxy.proxy import commands, events, layer
from mitmproxy.proxy.context import Context
from mitmproxy.proxy.layers.http import HttpLayer
from mitmproxy.proxy.layers.http._base import HttpEvent, ReceiveHttp
from mitmproxy.proxy.layers.http._events import RequestProtocolError
from mitmproxy.proxy.layers.http._http2 import Http2Connection, StreamState

from wsinspect.proxy.seams.http1 import PassInformational, WireHead, carry_head, error_code_of
from wsinspect.proxy.seams.http2_shortcut import Shortcut
from wsinspect.proxy.seams.http2_tunnels import (
    AltSvc,
    GoAway,
    GoAwayReceived,
    RelayedConnection,
    RunReceived,
    Tunnel,
    code_name,
)
from wsinspect.proxy.seams.transport import Wire

Commands = layer.CommandGenerator[None]
Fields = Sequence[tuple[bytes, bytes]]
#: What is done with WebSockets over HTTP/2: as the server offers, between any two versions, or nothing.
Mode = Literal["off", "mirror", "bridge"]
#: How long those who need a server's SETTINGS wait for them.
SETTINGS_WAIT_SECONDS: Final = 1.0
ENABLE_CONNECT: Final = SettingCodes.ENABLE_CONNECT_PROTOCOL


class Observer(Protocol):
    """Who is notified of extended CONNECT: what a server allows, and what was refused."""

    def settings(self, context: Context, enable_connect: bool, is_passed_on: bool) -> None:
        """A server's first SETTINGS: do they allow extended CONNECT, and does its client get the offer?"""

    def alt_svc_frame(self, context: Context, origin: str, value: str, *, is_stripped: bool) -> None:
        """A server offers other services in an ALTSVC frame (RFC 7838 section 4)."""

    def refused_connect(self, context: Context, head: dict[str, str]) -> None:
        """An extended CONNECT of a client was refused; `head` has its pseudo-header fields and `origin`."""

    def withdrew_connect(self, context: Context) -> None:
        """A server's SETTINGS allow extended CONNECT no longer (RFC 8441 section 3 forbids that)."""

    def broke_http2(self, context: Context, side: str, error: str) -> None:
        """A connection without WebSockets was ended, for its peer (`side`: client or server) broke HTTP/2."""

    def flooded(self, context: Context, side: str, frame: str, count: int) -> None:
        """A peer sent so many frames of one kind within a second."""


class _Nobody:
    def alt_svc_frame(self, context: Context, origin: str, value: str, *, is_stripped: bool) -> None:
        return

    def settings(self, context: Context, enable_connect: bool, is_passed_on: bool) -> None:
        return

    def refused_connect(self, context: Context, head: dict[str, str]) -> None:
        return

    def withdrew_connect(self, context: Context) -> None:
        return

    def broke_http2(self, context: Context, side: str, error: str) -> None:
        return

    def flooded(self, context: Context, side: str, frame: str, count: int) -> None:
        return


@dataclass
class Current:
    """What this process's proxy does with WebSockets over HTTP/2, and who is notified."""

    mode: Mode = "off"
    strips_alt_svc: bool = False
    answers_connects: bool = False
    may_shortcut: bool = True
    observer: Observer = field(default_factory=_Nobody)


current = Current()


# -- between the two sides


@dataclass
class ServerSettings(HttpEvent):
    """The server's SETTINGS came, or changed."""

    enable_connect: int
    max_streams: int | None


@dataclass
class PassGoAway(HttpEvent):
    """The other side's peer sent GOAWAY; `last_stream` in numbers of the receiver's connection."""

    frame: GoAway


@dataclass
class PassAltSvc(HttpEvent):
    """The server sent ALTSVC; its stream in numbers of the receiver's connection."""

    frame: AltSvc


@dataclass
class ServerGone(HttpEvent):
    """The server ended its connection ("fin", "rst", "timeout")."""

    how: str


BETWEEN: Final = (ServerSettings, PassGoAway, PassInformational, PassAltSvc, ServerGone)
#: Frames that cost whoever answers them more than whoever sends them (CVE-2019-9512 and its like,
#: CVE-2023-44487): so many within a second are a flood.
_COSTLY: Final[dict[type[Event], str]] = {
    PingReceived: "PING",
    RemoteSettingsChanged: "SETTINGS",
    StreamReset: "RST_STREAM",
    PriorityUpdated: "PRIORITY",
}
_FLOOD: Final = 1000
#: How often to look whether a slow receiver has taken what waits for it.
_LOOK_SECONDS: Final = 0.005


def side_of(http_layer: HttpLayer, connection: Connection) -> Relaying | None:
    """The side of a connection, where it speaks HTTP/2."""
    below: Any = http_layer.connections.get(connection)
    while below is not None and not isinstance(below, Relaying):
        below = getattr(below, "child_layer", None)
    found: Relaying | None = below
    return found


def head_text(fields: Fields) -> bytes:
    """A header block of HTTP/2 as lines, pseudo-header fields first as they came."""
    lines = [name + b": " + value for name, value in fields]
    # HTTP/2 can carry line breaks inside of values, which are not allowed (RFC 9113 section 8.2.1).
    return b"".join(line.replace(b"\r", b"\\r").replace(b"\n", b"\\n") + b"\r\n" for line in lines) + b"\r\n"


def carry_fields(message: http.Message, fields: Fields, start: bytes = b"") -> WireHead:
    """Keep a message's fields as they came."""
    return carry_head(
        message, WireHead(head_text(fields), message.headers.fields, start, fields2=tuple(fields))
    )


def start_of(request: http.Request) -> bytes:
    """What a hook may change of a request, apart from its fields."""
    data = request.data
    return b"\n".join((data.method, data.scheme, data.authority, data.path))


def sent_fields(head: WireHead, pseudo: dict[bytes, bytes], message: http.Message) -> Fields:
    """The fields as they came, with what was changed of them."""
    assert head.fields2 is not None
    kept = [(name, pseudo.get(name, value)) for name, value in head.fields2 if name[:1] == b":"]
    return [*kept, *((name.lower(), value) for name, value in message.headers.fields)]


def error_event(kind: Any, stream_id: int, message: str, code: int) -> Any:
    """A stream's error, to be passed on as RST_STREAM with this code."""
    name, status = ("CANCEL", 499) if kind is RequestProtocolError else ("GENERIC_SERVER_ERROR", 502)
    event = kind(stream_id, message, error_code_of(name, status))
    event.__dict__["h2_code"] = code
    return event


def code_of(event: HttpEvent) -> int | None:
    """The code of the RST_STREAM that an error stands for."""
    code: int | None = event.__dict__.get("h2_code")
    return code


def seen(
    generator: layer.CommandGenerator[bool], look: Callable[[HttpEvent], None]
) -> layer.CommandGenerator[bool]:
    """The commands of `generator`; `look` is shown each event in them before it is handled."""
    while True:
        try:
            command = next(generator)
        except StopIteration as stop:
            return bool(stop.value)
        if isinstance(command, ReceiveHttp):
            look(command.event)
        yield command


class Relaying(Http2Connection):
    """What both sides do alike."""

    side = ""

    def __init__(self, context: Context) -> None:
        super().__init__(context)  # type: ignore[call-arg]
        self.h2_conn: RelayedConnection = RelayedConnection(self.h2_conf)
        self.wire = Wire.of(context)
        self.goaway: GoAway | None = None
        self._owed: dict[int, int] = {}
        self._is_looking = False
        self._write: Any = None
        self._costly: Counter[str] = Counter()
        self._counted_since = 0.0
        self._shortcut: Shortcut | None = None
        self._turn: commands.RequestWakeup | None = None
        self._closing: events.ConnectionClosed | None = None
        self._held_reader: Connection | None = None

    @property
    def tunnels(self) -> dict[int, Tunnel]:
        return self.h2_conn.tunnels

    @property
    def http_layer(self) -> HttpLayer:
        """The layer that both sides belong to."""
        return next(one for one in reversed(self.context.layers) if isinstance(one, HttpLayer))

    def flush(self) -> None:
        data = self.h2_conn.data_to_send()
        if data:
            if self._write is None:
                self._write = self.wire.writer(self.context, self.conn)
            self._write(data)

    def _handle_event(self, event: events.Event) -> Commands:
        if isinstance(event, events.DataReceived):
            yield from self._receive(event.data)
        elif self._is_turn(event):
            self._turn = None
            yield from self._receive(b"")
        elif isinstance(event, events.ConnectionClosed) and self.h2_conn.has_more:
            yield from self._close_behind(event)
        elif isinstance(event, PassGoAway):
            self.h2_conn.send_goaway(event.frame)
            yield commands.SendData(self.conn, self.h2_conn.data_to_send())
        else:
            yield from super()._handle_event(event)

    # What one read brings is handled in portions, so that others get their turns

    def _receive(self, data: bytes) -> Commands:
        """A portion of what has come; the next one is asked for."""
        outbox = self.wire.outbox
        is_handled = False
        outbox.begin()
        try:
            yield from super()._handle_event(events.DataReceived(self.conn, data))
            is_handled = True
        finally:
            outbox.end()
            if not is_handled:
                # mitmproxy gives an event up where something fails: no turn follows, but a read may.
                self._hold_reader(False)
        if self.h2_conn.has_more:
            self._hold_reader(True)
            yield from self._ask_for_turn()
            return
        self._hold_reader(False)
        closing, self._closing = self._closing, None
        if closing is not None:
            yield from self._handle_event(closing)

    def _ask_for_turn(self) -> Commands:
        if self._turn is None:
            self._turn = commands.RequestWakeup(0)
            yield self._turn

    def _hold_reader(self, is_held: bool) -> None:
        """Nothing more is read before all has been handled."""
        held = self._held_reader
        if is_held and held is None:
            held = self._held_reader = self.wire.carrier(self.context, self.conn)
            self.wire.hold_reader(held, True)
        elif not is_held and held is not None:
            self._held_reader = None
            self.wire.hold_reader(held, False)

    def _is_turn(self, event: events.Event) -> bool:
        return isinstance(event, events.Wakeup) and event.command is self._turn

    def _close_behind(self, event: events.ConnectionClosed) -> Commands:
        """The end comes behind what is still to be handled: its turns, or at once where there are no more."""
        if self.conn.state & ConnectionState.CAN_WRITE:
            self._closing = event
            yield from self._ask_for_turn()
            return
        while self.h2_conn.has_more:
            yield from self._receive(b"")
        yield from self._handle_event(event)

    def take_run(self, received: RunReceived) -> None:
        if self.tunnels.get(received.stream_id) is received.tunnel:
            received.tunnel.on_run(received.run)
        else:
            # It was ended by what came before this.
            self.h2_conn.acknowledge_received_data(received.run.size, received.stream_id)

    def open_tunnel(self, tunnel: Tunnel) -> None:
        """From now on what comes on its stream is the WebSocket's."""
        tunnel.is_open = True
        if self._shortcut is None and current.may_shortcut:
            self._shortcut = Shortcut.of(self)

    def _send_reset(self, stream_id: int, code: int) -> Commands:
        if not self.is_closed(stream_id):
            self.h2_conn.reset_stream(stream_id, code)
            yield commands.SendData(self.conn, self.h2_conn.data_to_send())

    def forget(self, stream_id: int) -> None:
        self.tunnels.pop(stream_id, None)

    def end_connection(self, how: str) -> None:
        carrier = self.wire.carrier(self.context, self.conn)
        frame = GoAway(int(ErrorCodes.NO_ERROR), self.h2_conn.highest_inbound_stream_id, b"")
        detail = str(frame) if how == "goaway" else ""
        tunnels = list(self.tunnels.values())
        self.tunnels.clear()
        for tunnel in tunnels:
            tunnel.on_lost("fin" if how == "goaway" else "rst", detail, is_ours=True)
        if how == "goaway":
            self.h2_conn.send_goaway(frame)
            self.flush()
            self.wire.close(carrier)
        else:
            self.wire.abort([carrier])

    def handle_h2_event(self, event: Event) -> layer.CommandGenerator[bool]:
        if isinstance(event, RunReceived):
            self.take_run(event)
            return False
        tunnel = self.tunnels.get(getattr(event, "stream_id", None) or 0)
        if (costly := _COSTLY.get(type(event))) is not None:
            self._count(costly)
        if isinstance(event, GoAwayReceived):
            self.goaway = event.frame
            yield from self.pass_goaway(event.frame)
        elif isinstance(event, StreamReset):
            yield from self._stream_reset(event, tunnel)
        elif tunnel is None and isinstance(event, DataReceived) and self._is_body(event):
            yield from self._receive_body(event)
        elif tunnel is None or isinstance(event, ResponseReceived | InformationalResponseReceived):
            return (yield from super().handle_h2_event(event))
        elif isinstance(event, DataReceived):
            tunnel.on_data(event.data or b"", event.flow_controlled_length or 0, bool(event.stream_ended))
        elif isinstance(event, TrailersReceived):
            tunnel.on_data(b"", 0, True)
        elif not isinstance(event, StreamEnded):
            return (yield from super().handle_h2_event(event))
        return False

    def _count(self, frame: str) -> None:
        """Report a flood, once a second at most."""
        now = time.monotonic()
        if now - self._counted_since > 1:
            self._counted_since = now
            self._costly.clear()
        self._costly[frame] += 1
        if self._costly[frame] == _FLOOD:
            current.observer.flooded(self.context, self.side, frame, _FLOOD)

    # Ordinary bodies: their sender gets room once the receiver has taken what came

    def _receive_body(self, event: DataReceived) -> Commands:
        """What stock mitmproxy does, except that it acknowledges at once."""
        assert event.stream_id is not None
        stream_id = event.stream_id
        if event.data or not event.stream_ended:
            yield ReceiveHttp(self.ReceiveData(stream_id, event.data or b""))
        size = event.flow_controlled_length or 0
        if stream_id in self.streams and self.is_held_up(stream_id):
            self._owed[stream_id] = self._owed.get(stream_id, 0) + size
            self.look_later()
        else:
            self.h2_conn.acknowledge_received_data(size, stream_id)

    @abstractmethod
    def is_held_up(self, stream_id: int) -> bool:
        """Whether what came on this stream waits on the other side, and is more than a little."""

    def look_later(self) -> None:
        """Look again soon whether what is held up has left."""
        if not self._is_looking:
            self._is_looking = True
            asyncio.get_running_loop().call_later(_LOOK_SECONDS, self._look)

    def _look(self) -> None:
        self._is_looking = False
        if self.h2_conn.is_closed:
            self._owed.clear()
        for stream_id in [one for one in self._owed if not self.is_held_up(one)]:
            self.h2_conn.acknowledge_received_data(self._owed.pop(stream_id), stream_id)
        self.flush()
        if self._owed:
            self.look_later()

    def _is_body(self, event: DataReceived) -> bool:
        return self.streams.get(event.stream_id or 0) is StreamState.HEADERS_RECEIVED

    @abstractmethod
    def pass_goaway(self, frame: GoAway) -> Commands:
        """Send a GOAWAY of this side on to the other one."""

    def _stream_reset(self, event: StreamReset, tunnel: Tunnel | None) -> Commands:
        assert event.stream_id is not None
        code = int(event.error_code or 0)
        if tunnel is not None:
            del self.tunnels[event.stream_id]
            tunnel.on_reset(code)
        if event.stream_id in self.streams or self._is_awaited(event.stream_id):
            who = self.side if event.remote_reset else "wsinspect"
            message = f"{who} reset the stream ({code_name(code)})"
            yield ReceiveHttp(error_event(self.ReceiveProtocolError, event.stream_id, message, code))
            self.streams.pop(event.stream_id, None)

    def _is_awaited(self, stream_id: int) -> bool:
        """Whether somebody still works for a stream whose END_STREAM and RST_STREAM came in one read."""
        return False

    def close_connection(self, msg: str) -> Commands:
        how = self.wire.end_of(self.wire.carrier(self.context, self.conn))
        detail = str(self.goaway) if self.goaway else msg if msg.startswith("HTTP/2") else ""
        self.h2_conn.has_more = False  # it ends in the middle of what has come
        self._hold_reader(False)
        tunnels = list(self.tunnels.values())
        self.tunnels.clear()
        for tunnel in tunnels:
            tunnel.on_lost(how, detail)
        if not tunnels and msg.startswith("HTTP/2"):
            current.observer.broke_http2(self.context, self.side, msg)
        yield from super().close_connection(self._blame(msg))

    def _blame(self, msg: str) -> str:
        """Stock mitmproxy's words for an end, which do not say whose it was."""
        if msg == "peer closed connection" and self.side == "server":
            return "server closed connection"
        broken = "HTTP/2 protocol error: "
        return f"{self.side} broke HTTP/2: {msg.removeprefix(broken)}" if msg.startswith(broken) else msg
