"""A client that speaks HTTP/2 over TLS, for what browsers do not do at a word: one request at a time."""

from __future__ import annotations

import socket
import ssl
from collections.abc import Sequence

from h2.config import H2Configuration
from h2.connection import H2Connection
from h2.events import (
    ConnectionTerminated,
    DataReceived,
    Event,
    RemoteSettingsChanged,
    ResponseReceived,
    StreamEnded,
    StreamReset,
)
from h2.settings import SettingCodes

_SECONDS = 10.0


class H2Client:
    """One connection.

    Attributes:
        alpn: what the server chose.
        enable_connect: whether its SETTINGS allow extended CONNECT; None before they came.
    """

    def __init__(
        self, port: int, offers: Sequence[str] = ("h2", "http/1.1"), host: str = "127.0.0.1"
    ) -> None:
        context = ssl.create_default_context()
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
        context.set_alpn_protocols(list(offers))
        self.authority = f"localhost:{port}"
        self._socket = context.wrap_socket(
            socket.create_connection((host, port), _SECONDS), server_hostname="localhost"
        )
        self.alpn = self._socket.selected_alpn_protocol()
        self.enable_connect: bool | None = None
        self._h2 = H2Connection(H2Configuration(client_side=True, validate_outbound_headers=False))
        if self.alpn == "h2":
            self._h2.initiate_connection()
            self._flush()

    def request(self, path: str, *fields: tuple[str, str], method: str = "GET", protocol: str = "") -> str:
        """Send a request; its status, or `reset CODE`, or `closed`.

        Args:
            protocol: makes it an extended CONNECT, which is not ended.
        """
        pseudo = [(":method", "CONNECT" if protocol else method), (":scheme", "https"), (":path", path)]
        pseudo += [(":authority", self.authority), *([(":protocol", protocol)] if protocol else [])]
        stream = self._h2.get_next_available_stream_id()
        self._h2.send_headers(stream, [*pseudo, *fields], end_stream=not protocol)
        self._flush()
        status = ""
        while True:
            for event in self._receive():
                if isinstance(event, ConnectionTerminated):
                    return "closed"
                if getattr(event, "stream_id", None) != stream:
                    continue
                if isinstance(event, ResponseReceived):
                    status = dict(event.headers or ())[b":status"].decode()
                elif isinstance(event, StreamReset):
                    return f"reset {event.error_code}"
                elif isinstance(event, StreamEnded):
                    return status

    def _receive(self) -> list[Event]:
        data = self._socket.recv(65536)
        if not data:
            return [ConnectionTerminated()]
        events: list[Event] = list(self._h2.receive_data(data))
        for event in events:
            if isinstance(event, RemoteSettingsChanged):
                allowed = self._h2.remote_settings.get(SettingCodes.ENABLE_CONNECT_PROTOCOL, 0)
                self.enable_connect = bool(allowed)
            elif isinstance(event, DataReceived) and event.stream_id is not None:
                self._h2.acknowledge_received_data(event.flow_controlled_length or 0, event.stream_id)
        self._flush()
        return events

    def _flush(self) -> None:
        self._socket.sendall(self._h2.data_to_send())

    def close(self) -> None:
        self._socket.close()

    def __enter__(self) -> H2Client:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()
