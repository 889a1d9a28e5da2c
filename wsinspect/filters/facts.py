"""What a filter may ask of a frame and of a connection.

Both are protocols: the capture answers them from its tables, faults from the traffic that passes. A filter
asks only for what its keys need, so a costly fact can be a property. What does not apply is None, or empty.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol


class ConnectionFacts(Protocol):
    """A connection, open or ended."""

    @property
    def id(self) -> int:
        """Its number in the capture."""

    @property
    def tap(self) -> str | None:
        """The name of the tap that saw it."""

    @property
    def host(self) -> str | None:
        """The host that was asked for."""

    @property
    def port(self) -> int | None:
        """The port that was asked for."""

    @property
    def path(self) -> str | None:
        """The request's path with its query."""

    @property
    def subprotocol(self) -> str | None:
        """The subprotocol that was accepted."""

    def header_values(self, name: str) -> Sequence[str]:
        """The values of that field in all heads of the handshake; the case of `name` does not matter."""

    @property
    def is_closed(self) -> bool:
        """Whether it has ended, or was refused."""

    @property
    def client_close_code(self) -> int | None:
        """The code in the client's CLOSE frame."""

    @property
    def server_close_code(self) -> int | None:
        """The code in the server's CLOSE frame."""

    @property
    def js_code(self) -> int | None:
        """The code that JavaScript sees."""

    @property
    def js_was_clean(self) -> bool | None:
        """What JavaScript sees in `wasClean`."""

    @property
    def how(self) -> str | None:
        """`close-frame`, `fin`, `rst`, `timeout` or `refused`."""

    @property
    def ended_by(self) -> str | None:
        """`client`, `server`, `both`, `proxy`, `fault` or `unknown`."""

    @property
    def faults(self) -> Sequence[str]:
        """Rules and kinds of the faults that acted on it or on its frames."""

    @property
    def findings(self) -> Sequence[tuple[str, str]]:
        """Id and severity of each finding about it or its frames."""


class FrameFacts(Protocol):
    """A frame of a connection."""

    @property
    def connection(self) -> ConnectionFacts:
        """The connection it belongs to."""

    @property
    def direction(self) -> int:
        """0 from client to server, 1 from server to client."""

    @property
    def opcode(self) -> int:
        """The low four bits of the first byte, 0 to 15 (RFC 6455 section 5.2)."""

    @property
    def fin(self) -> bool:
        """The FIN bit: whether this frame ends its message."""

    @property
    def rsv1(self) -> bool:
        """The first reserved bit."""

    @property
    def rsv2(self) -> bool:
        """The second reserved bit."""

    @property
    def rsv3(self) -> bool:
        """The third reserved bit."""

    @property
    def masked(self) -> bool:
        """The MASK bit: set in all frames from a client, as RFC 6455 section 5.1 demands."""

    @property
    def length(self) -> int:
        """Bytes of payload on the wire."""

    @property
    def wire_length(self) -> int:
        """Bytes of header and payload on the wire."""

    @property
    def message_id(self) -> int | None:
        """The message it belongs to."""

    @property
    def fragment(self) -> int | None:
        """Its place in a message of several frames, from 1; None in a message of one frame."""

    @property
    def payload(self) -> bytes:
        """Its own payload, unmasked, not inflated."""

    @property
    def body(self) -> bytes:
        """What is searched.

        The frame that ends a message stands for all of it: the whole message, inflated. Other frames of an
        uncompressed message, and control frames, have their own payload, other frames of a compressed one
        nothing.
        """

    @property
    def rtt_ns(self) -> int | None:
        """Round trip of the PING and the PONG that matches it."""

    @property
    def gap_ns(self) -> int | None:
        """Time since the frame before it in its direction."""

    @property
    def delta_ns(self) -> int | None:
        """Time since the frame before it in either direction."""

    @property
    def t_ns(self) -> int | None:
        """Time since the connection's attempt, or whatever times count from."""

    @property
    def faults(self) -> Sequence[str]:
        """Rules and kinds of the faults that acted on it."""

    @property
    def findings(self) -> Sequence[tuple[str, str]]:
        """Id and severity of each finding about it."""
