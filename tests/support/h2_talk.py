"""Two ends of the library h2, and every byte between them."""

from __future__ import annotations

from collections.abc import Callable

from h2.config import H2Configuration
from h2.connection import H2Connection
from h2.settings import SettingCodes

from tests.support.packets import CLIENT, SERVER

CONNECT = [
    (":method", "CONNECT"),
    (":protocol", "websocket"),
    (":scheme", "https"),
    (":path", "/chat"),
    (":authority", "chat.example"),
    ("sec-websocket-version", "13"),
    ("cookie", "a=b"),
]


class Talk:
    """What a client and a server say over HTTP/2 (RFC 8441 allowed).

    Args:
        heard: called with side and bytes.
        step: bytes at once; 0 all.
    """

    def __init__(self, heard: Callable[[int, bytes], object], step: int = 0) -> None:
        self._heard = heard
        self._step = step
        self.ends = [
            H2Connection(
                H2Configuration(client_side=one, header_encoding=None, validate_outbound_headers=False)
            )
            for one in (True, False)
        ]
        self.ends[SERVER].update_settings({SettingCodes.ENABLE_CONNECT_PROTOCOL: 1})
        for end in self.ends:
            end.initiate_connection()
        self.flush()

    def flush(self) -> None:
        for _ in range(3):
            for side, end in enumerate(self.ends):
                if data := end.data_to_send():
                    step = self._step or len(data)
                    for place in range(0, len(data), step):
                        self._heard(side, data[place : place + step])
                    self.ends[1 - side].receive_data(data)

    def connect(self, stream: int, status: str | None = "200") -> None:
        """An extended CONNECT, and its answer."""
        self.ends[CLIENT].send_headers(stream, CONNECT)
        self.flush()
        if status is not None:
            self.ends[SERVER].send_headers(stream, [(":status", status), ("server", "x")])
            self.flush()
