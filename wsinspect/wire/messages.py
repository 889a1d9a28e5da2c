"""Messages: what the fragments of a data message make together (RFC 6455 sections 5.4 and 5.6).

`Message` is the finished fact; `OpenMessage` collects it while fragments arrive. Text is checked as it comes
(RFC 6455 section 8.1), so that the frame that breaks UTF-8 is known.
"""

from __future__ import annotations

import codecs
from typing import Any, Final, NamedTuple

#: `Message.problem`.
INFLATE_FAILED: Final = "inflate-failed"
NOT_INFLATED: Final = "not-inflated"
OVER_CAP: Final = "over-cap"
INTERRUPTED: Final = "interrupted"
UNFINISHED: Final = "unfinished"

_UTF8: Final = codecs.getincrementaldecoder("utf-8")


class Message(NamedTuple):
    """A message of one direction.

    Attributes:
        ordinal: its number in this direction from 0 on; `Frame.message` refers to it.
        opcode: TEXT or BINARY.
        first_frame: ordinal of its first frame in this direction.
        last_frame: ordinal of the last frame of it that was seen.
        compressed: whether RSV1 said so under permessage-deflate.
        length: bytes of the whole message, after inflating (also beyond cap and snap length); where it could
            not be inflated or did not end, its bytes on the wire.
        data: what a compressed message inflates to, cut at the snap length; None where it is not compressed
            (the frames' payloads are the data), beyond the cap, or could not be inflated.
        valid_text: whether a text message is valid UTF-8; None where it is not text or was not judged.
        problem: "inflate-failed"; "not-inflated", an earlier message broke the compression context;
            "over-cap"; "interrupted", another message began inside it; "unfinished", the connection ended.
            None when all is well.
    """

    ordinal: int
    opcode: int
    first_frame: int
    last_frame: int
    compressed: bool
    length: int
    data: bytes | None
    valid_text: bool | None
    problem: str | None


def is_utf8(data: bytes) -> bool:
    """Whether `data` is valid UTF-8 (RFC 3629: no surrogates, nothing overlong)."""
    if data.isascii():
        return True
    try:
        data.decode()
    except UnicodeDecodeError:
        return False
    return True


class TextCheck:
    """Says for bytes in pieces whether they are UTF-8 so far, and at the end."""

    __slots__ = ("_decoder", "is_valid")

    def __init__(self, state: str = "") -> None:
        self._decoder = _UTF8()
        self.is_valid = state != "invalid"
        if state and self.is_valid:
            self._decoder.setstate((bytes.fromhex(state), 0))

    def feed(self, piece: bytes, *, final: bool = False) -> None:
        """Look at the next piece."""
        if not self.is_valid or (piece.isascii() and not self._decoder.getstate()[0]):
            return
        try:
            self._decoder.decode(piece, final)
        except UnicodeDecodeError:
            self.is_valid = False

    def state(self) -> str:
        """For a check that continues here: the bytes of an unfinished character in hex, or "invalid"."""
        return self._decoder.getstate()[0].hex() if self.is_valid else "invalid"


class OpenMessage:
    """A message whose final fragment has not come yet."""

    __slots__ = (
        "compressed", "first_frame", "inflates", "last_frame", "length", "opcode", "ordinal", "text",
        "was_closed",
    )  # fmt: skip

    def __init__(
        self, *, ordinal: int, opcode: int, first_frame: int, compressed: bool, text: TextCheck | None
    ) -> None:
        self.ordinal = ordinal
        self.opcode = opcode
        self.first_frame = first_frame
        self.last_frame = first_frame
        self.compressed = compressed
        #: Whether its data go through the inflater: not after the context was lost.
        self.inflates = compressed
        self.text = text
        self.length = 0
        #: Whether a CLOSE frame had been seen when it began, because a resumed reader starts there.
        self.was_closed = False

    def to_message(self, data: bytes | None, problem: str | None) -> Message:
        """The message as a record; `valid_text` is None where there was nothing to judge."""
        text = self.text
        if text is None or (text.is_valid and problem not in (None, OVER_CAP)):
            valid = None
        else:
            valid = text.is_valid
        return Message(
            self.ordinal,
            self.opcode,
            self.first_frame,
            self.last_frame,
            self.compressed,
            self.length,
            data,
            valid,
            problem,
        )

    def state(self) -> dict[str, Any]:
        """JSON to make it again from; a compressed message is not inflated any further then."""
        return {
            "compressed": self.compressed,
            "ordinal": self.ordinal,
            "opcode": self.opcode,
            "first_frame": self.first_frame,
            "last_frame": self.last_frame,
            "length": self.length,
            "text": None if self.text is None else self.text.state(),
        }

    @classmethod
    def from_state(cls, state: dict[str, Any]) -> OpenMessage:
        """The inverse of `state`."""
        text = None if state["text"] is None else TextCheck(state["text"])
        message = cls(
            ordinal=state["ordinal"],
            opcode=state["opcode"],
            first_frame=state["first_frame"],
            compressed=state["compressed"],
            text=text,
        )
        message.inflates = False
        message.last_frame = state["last_frame"]
        message.length = state["length"]
        return message
