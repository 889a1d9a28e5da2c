"""What HTTP/2 makes of a WebSocket: the server's SETTINGS, and an extended CONNECT (RFC 8441). Without I/O.

A browser that has an HTTP/2 connection to the server sends its WebSocket over it when the SETTINGS allow
that, and opens one for HTTP/1.1 otherwise; so a server that announces it has to carry it.
"""

from __future__ import annotations

from typing import Final

from h2.config import H2Configuration
from h2.connection import H2Connection
from h2.errors import ErrorCodes
from h2.events import (
    ConnectionTerminated,
    DataReceived,
    Event,
    RemoteSettingsChanged,
    ResponseReceived,
    StreamReset,
)
from h2.exceptions import ProtocolError
from h2.settings import SettingCodes

from wsinspect.doctor.questions import Question
from wsinspect.units import whole_number

_STREAM: Final = 1
#: Fields of an HTTP/1.1 handshake that HTTP/2 has no use for (RFC 8441 section 5).
_OF_HTTP1: Final = frozenset(("host", "connection", "upgrade", "sec-websocket-key"))


class ConnectReader:
    """One HTTP/2 connection that asks for one WebSocket, if the server announces that it may.

    Attributes:
        is_announced: whether SETTINGS_ENABLE_CONNECT_PROTOCOL is 1; None before the SETTINGS came.
        status: of the answer; None while there is none.
        fields: the answer's other header fields.
        error: what ended it without an answer.
    """

    def __init__(self, question: Question) -> None:
        self.is_announced: bool | None = None
        self.status: int | None = None
        self.fields: list[tuple[bytes, bytes]] = []
        self.error: str | None = None
        self._question = question
        # h2 does not let a client send the pseudo-header fields of extended CONNECT.
        self._h2 = H2Connection(H2Configuration(client_side=True, validate_outbound_headers=False))
        self._h2.initiate_connection()

    @property
    def is_done(self) -> bool:
        """Whether all is known."""
        return self.status is not None or self.error is not None or self.is_announced is False

    def outgoing(self) -> bytes:
        """What is to be sent now."""
        return self._h2.data_to_send() or b""

    def feed(self, data: bytes) -> None:
        """Take bytes, in any pieces; none are the end."""
        if not data:
            self.error = self.error or "the server closed the connection"
            return
        try:
            for event in self._h2.receive_data(data):
                self._take(event)
        except ProtocolError as error:
            self.error = f"not valid HTTP/2: {error}"

    def _take(self, event: Event) -> None:
        if isinstance(event, RemoteSettingsChanged) and self.is_announced is None:
            setting = self._h2.remote_settings.get(SettingCodes.ENABLE_CONNECT_PROTOCOL, 0)
            self.is_announced = bool(setting)
            if self.is_announced:
                self._h2.send_headers(_STREAM, self.request_fields())
        elif isinstance(event, ResponseReceived):
            fields = [(bytes(name), bytes(value)) for name, value in event.headers or ()]
            code = dict(fields).get(b":status", b"")
            status = whole_number(code, 3)
            if (why := _no_tunnel(status, fields, is_over=event.stream_ended is not None)) is not None:
                self.error = f"the server answered {status}, and {why}"
                return
            self.status = status
            self.fields = [one for one in fields if not one[0].startswith(b":")]
        elif isinstance(event, StreamReset):
            self.error = self.error or f"the server reset the stream ({_code(event.error_code)})"
        elif isinstance(event, ConnectionTerminated):
            self.error = self.error or f"the server sent GOAWAY ({_code(event.error_code)})"
        elif isinstance(event, DataReceived):
            self._h2.acknowledge_received_data(event.flow_controlled_length or 0, event.stream_id or _STREAM)

    def request_fields(self) -> list[tuple[str, str]]:
        """The fields of the extended CONNECT (RFC 8441 section 5), pseudo-header fields first."""
        target = self._question.target
        own = [(one.key, one.value) for one in self._question.fields if one.key not in _OF_HTTP1]
        return [
            (":method", "CONNECT"),
            (":protocol", "websocket"),
            (":scheme", "https"),
            (":path", target.target),
            (":authority", self._question.value("Host") or target.authority),
            *own,
        ]

    @property
    def raw_request(self) -> bytes:
        """The request as a header block, for people and rules."""
        fields = self.request_fields()
        lines = [
            f"CONNECT {self._question.target.target} HTTP/2",
            *(f"{name}: {value}" for name, value in fields),
        ]
        return "\r\n".join([*lines, "", ""]).encode("utf-8", "surrogateescape")

    @property
    def raw_response(self) -> bytes | None:
        """The answer as a header block; None without one."""
        if self.status is None:
            return None
        lines = [f"HTTP/2 {self.status}".encode(), *(name + b": " + value for name, value in self.fields)]
        return b"\r\n".join([*lines, b"", b""])


def _code(number: int | None) -> str:
    """The name that RFC 9113 section 7 has for an error code."""
    try:
        return ErrorCodes(number or 0).name
    except ValueError:
        return f"error code {number}"


def _no_tunnel(status: int | None, fields: list[tuple[bytes, bytes]], *, is_over: bool) -> str | None:
    """Why an answer that says 2xx opens nothing: a hop took the request for an ordinary one."""
    if status is None or not 200 <= status <= 299:
        return None
    kind = dict(fields).get(b"content-type", b"").lower()
    if kind.startswith(b"text/html"):
        return "sent a web page (Content-Type: text/html)"
    return "ended the stream at once (END_STREAM)" if is_over else None
