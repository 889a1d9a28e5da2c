"""The strict judge: what wsproto makes of the same bytes.

wsproto stops at the first violation and at CLOSE, shows neither masks nor reserved bits, and inflates without
a cap: so it is not a source of facts. It is an independent opinion: on a stream that it accepts, the tolerant
reader must see the same messages, and where it fails, the reader must name a violation.

Known differences, where wsproto errs:
- It refuses close code 1014, which IANA registered after RFC 6455.
- A control frame inside a fragmented compressed message makes it take the rest of that message for
uncompressed.
- After a DEFLATE block with BFINAL (RFC 7692 section 7.2.3.4) it refuses the next compressed message.
- It takes window bits 9 to 15 only; 8 is judged as 9.
Do not use it on data that may be a compression bomb.
"""

from __future__ import annotations

from typing import NamedTuple

from wsproto.extensions import PerMessageDeflate
from wsproto.frame_protocol import CloseReason, FrameProtocol, ParseFailed

from wsinspect.wire.deflate import DeflateParams
from wsinspect.wire.opcodes import Direction


class Heard(NamedTuple):
    """A whole message or control frame that wsproto accepted.

    Attributes:
        opcode: of the message's first frame.
        data: inflated payload; for CLOSE as it stands in the frame.
    """

    opcode: int
    data: bytes


class Failure(NamedTuple):
    """Why wsproto gave up, and the close code that it would send."""

    reason: str
    code: int


class Oracle:
    """Judges one direction.

    Attributes:
        heard: what was accepted so far.
        failure: set for good at the first violation.
        is_closed: a CLOSE frame was accepted; later bytes are not judged.
    """

    def __init__(self, direction: Direction, deflate: DeflateParams | None = None) -> None:
        self.heard: list[Heard] = []
        self.failure: Failure | None = None
        self.is_closed = False
        self._parts: list[bytes] = []
        extensions = [] if deflate is None else [_extension(deflate)]
        self._protocol = FrameProtocol(
            client=direction is Direction.SERVER_TO_CLIENT, extensions=list(extensions)
        )

    def feed(self, data: bytes) -> None:
        """Judge the next bytes; never raises."""
        if self.failure is not None or self.is_closed:
            return
        self._protocol.receive_bytes(data)
        try:
            for frame in self._protocol.received_frames():
                self._take(
                    int(frame.opcode), frame.payload, is_whole=frame.message_finished and frame.frame_finished
                )
        except ParseFailed as error:
            self.failure = Failure(str(error), int(error.code))

    def _take(self, opcode: int, payload: bytes | str | tuple[int, str], *, is_whole: bool) -> None:
        if isinstance(payload, tuple):
            code, reason = payload
            empty = code == CloseReason.NO_STATUS_RCVD
            self.heard.append(Heard(opcode, b"" if empty else int(code).to_bytes(2, "big") + reason.encode()))
            self.is_closed = True
            return
        data = payload.encode() if isinstance(payload, str) else bytes(payload)
        if opcode & 0x8:
            self.heard.append(Heard(opcode, data))
            return
        self._parts.append(data)
        if is_whole:
            self.heard.append(Heard(opcode, b"".join(self._parts)))
            self._parts = []


def _extension(deflate: DeflateParams) -> PerMessageDeflate:
    extension = PerMessageDeflate(
        client_no_context_takeover=deflate.client_no_context_takeover,
        server_no_context_takeover=deflate.server_no_context_takeover,
        client_max_window_bits=deflate.window_bits(Direction.CLIENT_TO_SERVER),
        server_max_window_bits=deflate.window_bits(Direction.SERVER_TO_CLIENT),
    )
    extension.finalize(PerMessageDeflate.name)
    return extension
