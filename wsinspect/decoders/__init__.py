"""What applications say over a WebSocket, taken apart: one subprotocol a file.

Contract: sans-I/O; bytes and what is known of the connection in, values out. Peer bytes never raise: what
cannot be read is reported as a `problem`, with what was read before it. Every decoder is bounded (`limits`)
in the bytes it looks at, the lines it makes, and the depth it goes to. Text that comes out is as the peer
sent it: whoever shows it escapes it.
"""

from wsinspect.decoders.model import Decoded, Decoder, Payload
from wsinspect.decoders.registry import (
    decode,
    decoders_for,
    known,
    register,
    summary,
    summary_signs,
    unregister,
)

__all__ = [
    "Decoded",
    "Decoder",
    "Payload",
    "decode",
    "decoders_for",
    "known",
    "register",
    "summary",
    "summary_signs",
    "unregister",
]
