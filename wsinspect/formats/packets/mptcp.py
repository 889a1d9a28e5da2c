"""Multipath TCP (RFC 8684; RFC 6824 before): which connections have their bytes in several subflows.

A subflow is a TCP connection of its own, which may have other addresses. Its SYN names by a token the
connection that it joins, and either side may send any part of its bytes in either. They are not put together
here: from the first byte in a second subflow on, the first one alone tells nothing.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from typing import Final

#: The option's number, and its subtypes.
_KIND: Final = 30
_CAPABLE, _JOIN = 0, 1
#: Bytes of MP_CAPABLE with one key, and of MP_JOIN in a SYN.
_WITH_KEY: Final = 12
_JOIN_BYTES: Final = 12


def token_joined(options: bytes) -> bytes | None:
    """The token of the connection that a SYN without ACK joins; None where it joins none."""
    for value in _values(options):
        if value[0] >> 4 == _JOIN and len(value) == _JOIN_BYTES - 2:
            return value[2:6]
    return None


def token_of(options: bytes) -> bytes | None:
    """By which token a connection can be joined at the side that sent this SYN; None where it cannot.

    It is the beginning of its key's hash (RFC 8684 section 3.2: SHA-256; version 0: SHA-1).
    """
    for value in _values(options):
        if value[0] >> 4 == _CAPABLE and len(value) == _WITH_KEY - 2:
            hashed = hashlib.sha256 if value[0] & 15 else hashlib.sha1
            return hashed(value[2:10], usedforsecurity=False).digest()[:4]
    return None


def _values(options: bytes) -> Iterator[bytes]:
    """What is behind kind and length of Multipath TCP's options, two bytes or more (RFC 9293 section 3.1)."""
    at = 0
    while at + 1 < len(options) and options[at]:
        size = 1 if options[at] == 1 else options[at + 1]
        if options[at] != 1 and size < 2:
            return
        if options[at] == _KIND and size >= 4 and at + size <= len(options):
            yield options[at + 2 : at + size]
        at += size
