"""permessage-deflate, the inflating half (RFC 7692 section 7), with a cap on what comes out.

`Inflater` serves one direction. With context takeover all compressed messages are one DEFLATE stream, so a
message whose output is beyond the cap is still inflated and its output thrown away; after broken data the
stream is lost, and later compressed messages are not inflated. Its window can be taken out and put back
(`window`, `zdict`), which is how a reader resumes in the middle of a connection.
"""

from __future__ import annotations

import zlib
from dataclasses import dataclass
from typing import Final, NamedTuple

from wsinspect.wire.opcodes import Direction

#: Beyond 64 MiB a message is not kept inflated; ws and websockets refuse 100 MiB and 1 MiB by default.
INFLATE_CAP: Final = 64 * 1024 * 1024
#: DEFLATE looks back at most this far (RFC 1951 section 2).
WINDOW: Final = 32 * 1024

#: Compressed bytes that `Inflater.whole` takes at once; up to a thousand times as many come out.
WHOLE_LIMIT: Final = 4 * 1024

#: "Append 4 octets of 0x00 0x00 0xff 0xff to the tail end of the payload of the message" (RFC 7692 section
#: 7.2.2).
_TAIL: Final = b"\x00\x00\xff\xff"
_OUTPUT_PIECE: Final = 1024 * 1024
_INPUT_PIECE: Final = 64 * 1024
_RECENT_LIMIT: Final = 4 * WINDOW
#: A block with BFINAL ends zlib's stream (RFC 7692 section 7.2.3.4 allows such blocks); a new one costs
#: microseconds, and an attacker fits one into two bytes. No real compressor makes more than one a message.
_FINAL_BLOCKS: Final = 1000


@dataclass(frozen=True, kw_only=True, slots=True)
class DeflateParams:
    """The accepted parameters of permessage-deflate (RFC 7692 section 7.1)."""

    client_no_context_takeover: bool = False
    server_no_context_takeover: bool = False
    client_max_window_bits: int = 15
    server_max_window_bits: int = 15

    def takeover(self, direction: Direction) -> bool:
        """Whether the sender of `direction` continues with the window of its message before."""
        if direction is Direction.CLIENT_TO_SERVER:
            return not self.client_no_context_takeover
        return not self.server_no_context_takeover

    def window_bits(self, direction: Direction) -> int:
        """What to inflate `direction` with; 9 for 8, since zlib deflates with 9 when asked for 8."""
        client = direction is Direction.CLIENT_TO_SERVER
        bits = self.client_max_window_bits if client else self.server_max_window_bits
        return min(max(bits, 9), 15)


class Before(NamedTuple):
    """What a restart in the middle of a message needs of the time before it."""

    stored_run: int
    window: bytes | None


#: Of nearly every message: the whole window is in the messages' data.
_STORED: Final = Before(WINDOW, None)


class Inflater:
    """Inflates the compressed messages of one direction.

    `begin`, `feed` for each piece, `finish`; or `whole` for a message that is there at once. `feed` returns
    what came out, so that a caller can look at all of it even where it is not kept.

    Attributes:
        dead: why nothing more can be inflated ("" while all is well).
        length: bytes that came out of the current message so far.
        is_over: whether that is beyond the cap.
        failed: whether the current message's data are broken.
        before: what was before the current message.
        stored_run: how many of the latest bytes are all in some message's `data`, counted up to the window's
            size.
    """

    __slots__ = (
        "_bits", "_cap", "_final_blocks", "_is_fresh", "_keep", "_kept", "_most", "_parts", "_recent",
        "_recent_size", "_takeover", "_zlib", "before", "dead", "failed", "is_over", "length", "stored_run",
    )  # fmt: skip

    def __init__(
        self,
        *,
        bits: int,
        takeover: bool,
        cap: int = INFLATE_CAP,
        keep: int | None = None,
        window: bytes = b"",
    ) -> None:
        self._bits = bits
        self._takeover = takeover
        self._cap = cap
        self._keep = cap if keep is None else min(cap, keep)
        self._most = min(self._keep, _OUTPUT_PIECE - 1)  # what comes out at once and is kept
        self._recent: list[bytes] = [window[-WINDOW:]]
        self._recent_size = len(self._recent[0])
        self.stored_run = WINDOW
        self.before = Before(WINDOW, None)
        self._zlib = self._new()
        self._parts: list[bytes] = []
        self._kept = 0
        self._final_blocks = 0
        self._is_fresh = False
        self.dead = ""
        self.failed = False
        self.is_over = False
        self.length = 0

    def _new(self) -> zlib._Decompress:
        window = self.window()
        return zlib.decompressobj(-self._bits, zdict=window) if window else zlib.decompressobj(-self._bits)

    def window(self) -> bytes:
        """The last 32 KiB that came out; what a resumed reader needs."""
        if len(self._recent) > 1:
            self._recent = [b"".join(self._recent)[-WINDOW:]]
            self._recent_size = len(self._recent[0])
        return self._recent[0][-WINDOW:]

    @property
    def has_gap(self) -> bool:
        """Whether the window holds bytes that no message's `data` has (cut, or beyond the cap)."""
        return self._takeover and not self.dead and self.stored_run < WINDOW

    def begin(self) -> None:
        """Start a message; without context takeover the window is empty again (RFC 7692 section 7.1.1)."""
        self.before = self._now()
        self._clear()
        if not self._takeover:
            self._forget()

    def _now(self) -> Before:
        return Before(self.stored_run, self.window() if self.has_gap else None)

    def _clear(self) -> None:
        self._parts = []
        self._kept = self.length = self._final_blocks = 0
        self.is_over = self.failed = self._is_fresh = False

    def _forget(self) -> None:
        self._zlib = zlib.decompressobj(-self._bits)
        self._recent = [b""]
        self._recent_size = 0

    def feed(self, data: bytes) -> list[bytes]:
        """Inflate a piece of the current message.

        Returns:
            What came out of it, in pieces of at most 1 MiB; empty once the data turned out broken.
        """
        out: list[bytes] = []
        if self.failed or self.dead:
            return out
        try:
            for start in range(0, len(data), _INPUT_PIECE):
                self._inflate(data[start : start + _INPUT_PIECE], out)
        except zlib.error:
            self.failed = True
        return out

    def whole(self, data: bytes) -> tuple[bytes, bytes | None] | None:
        """`begin`, `feed` and `finish` of a message that is there at once and is small (`WHOLE_LIMIT`).

        Returns:
            All that came out, and the message's data as `finish` gives it; None where data are broken.
        """
        is_stored = self.stored_run == WINDOW
        self.before = _STORED if is_stored else self._now()
        if not self._takeover:
            self._forget()
        unzip = self._zlib
        self.is_over = self.failed = False
        try:
            # One call takes the tail too: a call costs more than the bytes of a small message.
            piece = unzip.decompress(data + _TAIL, _OUTPUT_PIECE)
            length = len(piece)
            if 0 < length <= self._most and not unzip.eof and not unzip.unconsumed_tail:
                # Nearly every message: all of it came out, all of it is kept, and nothing more is to come.
                self.length = length
                self._recent.append(piece)
                self._recent_size += length
                if self._recent_size > _RECENT_LIMIT:
                    self.window()
                if not is_stored:
                    self.stored_run = min(WINDOW, self.stored_run + length)
                return piece, piece
            self._clear()
            out: list[bytes] = []
            self._drain(piece, out, len(_TAIL))
        except zlib.error:
            self.failed = True
        kept = self._end()
        return None if self.failed else (b"".join(out), kept)

    def _inflate(self, data: bytes, out: list[bytes]) -> None:
        self._is_fresh = False
        self._drain(self._zlib.decompress(data, _OUTPUT_PIECE), out)

    def _drain(self, piece: bytes, out: list[bytes], tail: int = 0) -> None:
        """Take what a call of zlib gave, and all that it still has.

        Args:
            tail: how many bytes were appended to the message's. They are not needed behind a final block.
        """
        while True:
            if piece:
                out.append(piece)
                self._note(piece)
            if self._zlib.eof:
                data = self._zlib.unused_data
                self._final_blocks += 1
                if self._final_blocks > _FINAL_BLOCKS:
                    raise zlib.error("too many final blocks")
                self._zlib = self._new()
                if len(data) == tail or not data:
                    self._is_fresh = True
                    return
            else:
                data = self._zlib.unconsumed_tail
                if not data and len(piece) < _OUTPUT_PIECE:
                    return
            piece = self._zlib.decompress(data, _OUTPUT_PIECE)

    def _note(self, piece: bytes) -> None:
        self.length += len(piece)
        self._recent.append(piece)
        self._recent_size += len(piece)
        if self._recent_size > _RECENT_LIMIT:
            self.window()
        if self.length > self._cap:
            self.is_over = True
            self._parts = []
        elif self._kept < self._keep:
            self._parts.append(piece[: self._keep - self._kept])
            self._kept += len(self._parts[-1])

    def finish(self) -> tuple[list[bytes], bytes | None]:
        """End the message.

        Returns:
            What came out at last, and the message's data (cut at `keep`); None beyond the cap or where data
            are broken.
        """
        # Some senders forget the empty block after one with BFINAL; their data need no tail.
        last = [] if self._is_fresh else self.feed(_TAIL)
        return last, self._end()

    def _end(self) -> bytes | None:
        if self.failed or self.dead:
            self.stored_run = 0
            if self._takeover:
                self.dead = self.dead or "inflate-failed"
            return None
        if self._kept == self.length:
            self.stored_run = min(WINDOW, self.stored_run + self.length)
        else:
            self.stored_run = 0
        data = None if self.is_over else b"".join(self._parts)
        self._parts = []
        return data

    def revive(self) -> None:
        """The message that could not be inflated is over: without context takeover the next one can be."""
        if not self._takeover:
            self.dead = ""

    def abandon(self) -> None:
        """The current message will never end: its data stop in the middle of a block."""
        self._parts = []
        self.stored_run = 0
        if self._takeover:
            self.dead = self.dead or "interrupted"
