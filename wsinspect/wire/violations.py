"""The violations that the reader finds, by stable code; `Frame.violation` holds codes joined by commas.

A code says what the sender did, with no opinion on what the receiver made of it. Codes are part of the
capture format.
"""

from __future__ import annotations

from typing import Final, NamedTuple


class Violation(NamedTuple):
    """What a code means and the rule that was broken."""

    sentence: str
    section: str


MASK_MISSING: Final = "unmasked-client-frame"
MASK_UNEXPECTED: Final = "masked-server-frame"
RESERVED_BIT: Final = "reserved-bit"
RESERVED_OPCODE: Final = "reserved-opcode"
CONTROL_FRAGMENTED: Final = "fragmented-control"
CONTROL_TOO_LONG: Final = "oversized-control"
LENGTH_NOT_MINIMAL: Final = "length-not-minimal"
CONTINUATION_UNEXPECTED: Final = "unexpected-continuation"
MESSAGE_INTERRUPTED: Final = "data-inside-message"
INVALID_UTF8: Final = "invalid-utf8"
INFLATE_FAILED: Final = "inflate-failed"
CLOSE_TRUNCATED: Final = "close-one-byte"
CLOSE_CODE: Final = "close-code"
CLOSE_UTF8: Final = "close-invalid-utf8"
DATA_AFTER_CLOSE: Final = "data-after-close"

#: Not on a frame: `StreamDecoder.lost` when frame boundaries are lost.
LENGTH_TOP_BIT: Final = "length-top-bit"
LENGTH_TOO_LARGE: Final = "length-too-large"

VIOLATIONS: Final[dict[str, Violation]] = {
    MASK_MISSING: Violation("A client must mask every frame that it sends.", "RFC 6455 §5.1"),
    MASK_UNEXPECTED: Violation("A server must not mask any frame.", "RFC 6455 §5.1"),
    RESERVED_BIT: Violation(
        "A reserved bit is set that no accepted extension defines here.", "RFC 6455 §5.2, RFC 7692 §6"
    ),
    RESERVED_OPCODE: Violation("The opcode is reserved.", "RFC 6455 §5.2"),
    CONTROL_FRAGMENTED: Violation("A control frame must not be fragmented.", "RFC 6455 §5.5"),
    CONTROL_TOO_LONG: Violation("A control frame's payload must not exceed 125 bytes.", "RFC 6455 §5.5"),
    LENGTH_NOT_MINIMAL: Violation("The length must use the fewest bytes that can hold it.", "RFC 6455 §5.2"),
    CONTINUATION_UNEXPECTED: Violation("A continuation frame came with no message open.", "RFC 6455 §5.4"),
    MESSAGE_INTERRUPTED: Violation("A new message began before the open one ended.", "RFC 6455 §5.4"),
    INVALID_UTF8: Violation("A text message is not valid UTF-8.", "RFC 6455 §8.1"),
    INFLATE_FAILED: Violation("A compressed message is not valid DEFLATE data.", "RFC 7692 §7.2.2"),
    CLOSE_TRUNCATED: Violation("A CLOSE frame has a body of one byte.", "RFC 6455 §5.5.1"),
    CLOSE_CODE: Violation("The close code must not be sent on the wire.", "RFC 6455 §7.4"),
    CLOSE_UTF8: Violation("A close reason is not valid UTF-8.", "RFC 6455 §5.5.1"),
    DATA_AFTER_CLOSE: Violation("A data frame follows the sender's CLOSE frame.", "RFC 6455 §5.5.1"),
    LENGTH_TOP_BIT: Violation("The most significant bit of a 64-bit length must be 0.", "RFC 6455 §5.2"),
    LENGTH_TOO_LARGE: Violation("The length is impossibly large.", "RFC 6455 §10.4"),
}
