"""How far decoders go: far enough for what applications send, and no further for what an attacker does."""

from typing import Final

#: Larger payloads are not decoded; text and hex show them in pieces.
MAX_BYTES: Final = 256 * 1024
#: Lines of one payload.
MAX_LINES: Final = 4_000
#: Nesting of values. Jackson stops at 1,000 by default, msgpack for Python at 1,024; nobody reads that.
MAX_DEPTH: Final = 60
#: Values of one payload: a few bytes can promise billions of them.
MAX_VALUES: Final = 20_000
#: Characters of one value.
MAX_TEXT: Final = 4_000
#: Bytes of a binary value that are shown.
MAX_HEX: Final = 64
#: About how many cells a summary has: it shares a row with other things.
MAX_SUMMARY: Final = 60
#: Characters a summary is made from.
SUMMARY_BYTES: Final = 512
